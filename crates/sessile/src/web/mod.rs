//! Adapters to frameworks. Each knows HTTP and the engine, and no concrete store.

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "tower")]
mod cross_site;
#[cfg(feature = "tower")]
mod proxies;
#[cfg(feature = "tower")]
mod tower;

use http::StatusCode;

use crate::error::{Error, ErrorKind};

#[cfg(feature = "tower")]
pub use cross_site::{CrossSiteLayer, CrossSiteService, Verdict};
#[cfg(feature = "tower")]
pub use proxies::TrustedProxies;
#[cfg(feature = "tower")]
pub use tower::{Failure, SessionLayer, SessionService};

#[cfg(feature = "axum")]
pub use axum::SignedIn;

/// What a client that waits this many seconds may find changed.
#[cfg(feature = "tower")]
const RETRY_AFTER_SECONDS: u16 = 1;

impl Error {
    /// The status a response has when this error is its reason.
    ///
    /// 503 when trying again later may help, 409 when the session changed under the request, 401
    /// when nobody is signed in, 403 for a form that is not ours, 400 for plain HTTP where TLS is
    /// needed, 500 for the rest.
    pub fn status(&self) -> StatusCode {
        match self.kind() {
            ErrorKind::Unavailable
            | ErrorKind::LockTimeout
            | ErrorKind::Contended
            | ErrorKind::AnonymousLimit
            | ErrorKind::NewerFormat => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Ended
            | ErrorKind::Superseded
            | ErrorKind::OwnerLimit
            | ErrorKind::Overwrote => StatusCode::CONFLICT,
            ErrorKind::NotSignedIn => StatusCode::UNAUTHORIZED,
            ErrorKind::Forged => StatusCode::FORBIDDEN,
            ErrorKind::PlainHttp => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
