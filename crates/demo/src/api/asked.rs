//! What a call asks for, read from its query.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::failure::Refusal;

/// The parameters of some calls.
pub(super) trait Parameters: DeserializeOwned {
    /// What they have to be, for whoever sent others.
    const WANTED: &str;
}

/// The parameters of one call. What is not UTF-8 is refused: to guess at it would take two names for
/// one and the same.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Sync, T: Parameters> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(Refusal::Asked("send parameters as percent-encoded UTF-8"));
        }
        let asked = Query::try_from_uri(&parts.uri).map_err(|_| Refusal::Asked(T::WANTED))?;
        Ok(Self(asked.0))
    }
}
