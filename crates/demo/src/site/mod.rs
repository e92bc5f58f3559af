//! The pages a person sees and the forms they send. Every form is answered with 303 See Other.

mod account;
mod home;
mod inside;
mod step_up;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sessile::Session;

use crate::app::{App, with_body};
use crate::pages::sign_in::Why;
use crate::pages::{Frame, Place, STYLE, calm, sign_in};

/// Everything but `/api` and the stylesheet.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(home::home))
        .route("/plug", post(home::plug))
        .route("/at-once", post(home::at_once))
        .route("/basket/add", post(home::add))
        .route("/basket/empty", post(home::empty))
        .route("/devices", get(account::devices))
        .route("/devices/end", post(account::end))
        .route("/devices/end-others", post(step_up::end_others))
        .route("/devices/confirm", get(step_up::ask).post(step_up::confirm))
        .route("/inside", get(inside::inside))
        .route("/inside/thief", post(inside::thief))
        .route("/sign-out", post(account::sign_out))
        .route_layer(from_fn(account::ended_elsewhere))
        .route("/sign-in", post(account::sign_in))
        .route("/signed-out", get(account::signed_out))
        .fallback(|| async { StatusCode::NOT_FOUND })
}

/// The stylesheet. It is the same for everybody, so browsers may keep it.
pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css"), (CACHE_CONTROL, "public, max-age=3600")], STYLE)
}

/// Gives a failure of any origin a calm page, unless it has one.
pub(crate) async fn calm_failures(response: Response) -> Response {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    if !failed || is_page(&response) {
        return response;
    }
    match status {
        StatusCode::UNAUTHORIZED => with_body(response, sign_in::page(Why::Needed)),
        _ => with_body(response, calm::page(status)),
    }
}

fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// What stands around a page of this session. Takes the messages of the last form.
fn frame(session: &Session, title: &'static str, place: Place) -> sessile::Result<Frame> {
    let user = session.owner().map(String::from);
    Ok(Frame { title, place, user, flashes: session.flashes()? })
}
