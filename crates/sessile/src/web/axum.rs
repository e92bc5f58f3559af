//! Extractors for axum, on `axum-core` alone.

use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::tower::refusal;
use crate::engine::SessionHandle;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Owner;
use crate::session::{ExclusiveSession, PeekSession, ReadSession, Session};

/// Who is signed in; a request of nobody is answered 401.
///
/// ```
/// # use sessile::SignedIn;
/// async fn profile(SignedIn(owner): SignedIn) -> String {
///     format!("hello {owner}")
/// }
/// # let _ = axum::routing::get::<_, _, ()>(profile);
/// ```
#[derive(Clone, Debug)]
pub struct SignedIn(pub Owner);

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        handle(parts)?.session().await
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>> {
        handle(parts)?.existing().await
    }
}

impl<S: Sync> FromRequestParts<S> for ReadSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        handle(parts)?.read().await
    }
}

impl<S: Sync> FromRequestParts<S> for PeekSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        handle(parts)?.peek().await
    }
}

impl<S: Sync> FromRequestParts<S> for ExclusiveSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        handle(parts)?.exclusive().await
    }
}

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let owner = handle(parts)?.read().await?.owner();
        let nobody = || Error::new(ErrorKind::NotSignedIn, "nobody is signed in");
        owner.map(Self).ok_or_else(nobody)
    }
}

fn handle(parts: &Parts) -> Result<SessionHandle> {
    parts.extensions.get::<SessionHandle>().cloned().ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            "no session layer: add `.layer(sessions.layer())` to the router",
        )
    })
}

impl IntoResponse for Error {
    /// The error's status with its reason phrase as the body; the error itself is in the response's
    /// extensions as a [`Failure`](crate::Failure).
    fn into_response(self) -> Response {
        let mut response = refusal::<Body>(Arc::new(self));
        let reason = response.status().canonical_reason().unwrap_or_default();
        *response.body_mut() = Body::from(reason);
        response
    }
}
