//! What a call answers that failed: what its status says, and how to mend it. Nothing of the request
//! comes back, and nothing of the server is told.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;
use sessile::ErrorKind;

use crate::app::with_body;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Refusal {
    Session(sessile::Error),
    /// What it asked for makes no sense; what would.
    Asked(&'static str),
}

impl From<sessile::Error> for Refusal {
    fn from(error: sessile::Error) -> Self {
        Self::Session(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Asked(mend) => (StatusCode::BAD_REQUEST, Extension(Mend(mend))).into_response(),
            Self::Session(error) => match error.kind() {
                // What came in the request was no key, no owner, or too much.
                ErrorKind::Value => Self::Asked(NAMES).into_response(),
                ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
                _ => error.into_response(),
            },
        }
    }
}

const NAMES: &str = "give a user of 1 to 255 bytes, and a key of 1 to 255 bytes";

/// How to mend a failure, where its status does not say it.
#[derive(Clone, Copy)]
struct Mend(&'static str);

/// Gives a failure of any origin the body of all failures.
pub(crate) async fn in_json(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let error = status.canonical_reason().unwrap_or("failure").to_lowercase();
    let mend = response.extensions().get().map_or_else(|| usual_mend(status), |Mend(mend)| mend);
    with_body(response, Json(json!({ "error": error, "mend": mend })))
}

fn usual_mend(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "sign in first: POST /api/login?user=U",
        StatusCode::FORBIDDEN => {
            "send it from the demo's own pages, or with neither Origin nor Sec-Fetch-Site"
        }
        StatusCode::NOT_FOUND => "crates/demo/README.md lists the calls",
        StatusCode::METHOD_NOT_ALLOWED => "use the method that the header Allow names",
        StatusCode::CONFLICT => "the session ended meanwhile, and nothing was saved: begin anew",
        StatusCode::PAYLOAD_TOO_LARGE => {
            "nothing was saved: a session holds 256 KiB of data under at most 1,000 keys"
        }
        StatusCode::SERVICE_UNAVAILABLE => "try again in a moment: nothing was saved",
        _ => "nothing was saved",
    }
}
