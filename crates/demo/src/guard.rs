//! What every request and response of the demo passes: a dying process answers nobody, headers are
//! strict.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::App;
use crate::ending::Ending;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// Adds the headers that keep a page from being framed, scripted, sniffed or kept.
pub(crate) async fn strict_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // `no-referrer` would turn the Origin of the demo's own forms into `null`.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Sends whoever comes once the plug was pulled to the next process. A browser opens connections
/// ahead of its needs, and such a one still reaches this process while it ends.
pub(crate) async fn ask_the_next(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    if !app.plug.as_ref().is_some_and(Ending::is_pulled) {
        return next.run(request).await;
    }
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
    ([(CONNECTION, "close")], Redirect::temporary(path)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn pages_are_never_kept_unless_they_say_so() {
        let style = || async { [(CACHE_CONTROL, "max-age=60")] };
        let app = Router::new()
            .route("/", get(|| async {}))
            .route("/style.css", get(style))
            .layer(from_fn(strict_headers));
        for (path, kept) in [("/", "no-store"), ("/style.css", "max-age=60")] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.headers()[CACHE_CONTROL], kept);
            assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
        }
    }
}
