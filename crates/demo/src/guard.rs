//! What every request and response of the demo passes: no foreign forms, strict headers.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// Refuses a request that another site made the browser send.
pub(crate) async fn same_site(request: Request, next: Next) -> Response {
    if request.method() == Method::POST && is_foreign(request.headers()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

/// Whether the browser says that the request comes from another site than it goes to.
///
/// A request with neither header comes from no browser of the last years, but from a script, which
/// needs no foreign page to send what it likes.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    let foreign_site = site.is_some_and(|site| site != "same-origin" && site != "none");
    foreign_site || headers.get(ORIGIN).is_some_and(|origin| !is_own(origin, headers.get(HOST)))
}

/// Whether `origin` is `scheme://host` with the host that was asked.
fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), host.map(HeaderValue::to_str)) else {
        return false;
    };
    origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host))
}

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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::{get, post};
    use tower::ServiceExt;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn what_the_browser_says_of_its_origin_decides() {
        const HERE: (&str, &str) = ("host", "shop.example:3000");
        for (foreign, said) in [
            (false, &[HERE] as &[_]),
            (false, &[HERE, ("sec-fetch-site", "same-origin")]),
            (false, &[HERE, ("sec-fetch-site", "none")]),
            (true, &[HERE, ("sec-fetch-site", "same-site")]),
            (true, &[HERE, ("sec-fetch-site", "cross-site")]),
            (false, &[HERE, ("origin", "http://shop.example:3000")]),
            (false, &[HERE, ("origin", "http://SHOP.example:3000")]),
            (true, &[HERE, ("origin", "http://shop.example")]),
            (true, &[HERE, ("origin", "http://evil.example:3000")]),
            (true, &[HERE, ("origin", "null")]),
            (true, &[HERE, ("origin", "")]),
            (true, &[("origin", "http://shop.example:3000")]),
            (true, &[HERE, ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")]),
        ] {
            assert_eq!(is_foreign(&headers(said)), foreign, "{said:?}");
        }
    }

    #[tokio::test]
    async fn foreign_forms_are_refused_and_foreign_links_are_not() {
        let app = Router::new()
            .route("/", get(|| async {}))
            .route("/", post(|| async {}))
            .layer(from_fn(same_site));
        for (method, status) in [("POST", 403), ("GET", 200)] {
            let request = Request::builder().method(method).header("sec-fetch-site", "cross-site");
            let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), status, "{method}");
        }
    }

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
