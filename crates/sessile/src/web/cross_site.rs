//! A layer that refuses requests which another site made the browser send.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

/// Refuses, with 403 and an empty body, requests that another site made the browser send.
///
/// `GET`, `HEAD`, `OPTIONS` and `TRACE` pass: they must not change anything. Others are refused when
/// the browser says that they come from elsewhere: by `Sec-Fetch-Site` (W3C Fetch Metadata), or by an
/// `Origin` (RFC 6454) whose host is not the one asked. A request with neither header passes: it
/// comes from no browser of the last years, but from a program, which needs no foreign page to send
/// what it likes. `SameSite` cookies leave a gap that this closes: a sibling subdomain is same-site.
///
/// ```
/// use axum::{Router, routing::post};
/// use sessile::CrossSiteLayer;
/// let app: Router = Router::new()
///     .route("/order", post(async || "ordered"))
///     .layer(CrossSiteLayer::new().allow("https://partner.example"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct CrossSiteLayer {
    allowed: Arc<[String]>,
}

impl CrossSiteLayer {
    /// Refuses every other site's requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets requests of this origin pass: scheme, host and, if it is not the scheme's own, port.
    #[must_use]
    pub fn allow(self, origin: impl Into<String>) -> Self {
        let allowed = self.allowed.iter().cloned().chain([origin.into()]).collect();
        Self { allowed }
    }

    fn refuses<B>(&self, request: &Request<B>) -> bool {
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
        !safe.contains(request.method()) && self.is_foreign(request.headers(), asked(request))
    }

    fn is_foreign(&self, headers: &HeaderMap, asked: Option<&str>) -> bool {
        let origin = headers.get(ORIGIN);
        if origin
            .is_some_and(|origin| self.allowed.iter().any(|allowed| origin == allowed.as_str()))
        {
            return false;
        }
        let site = headers.get("sec-fetch-site");
        let foreign_site = site.is_some_and(|site| site != "same-origin" && site != "none");
        foreign_site || origin.is_some_and(|origin| !is_own(origin, asked))
    }
}

/// The host that was asked: the authority of an HTTP/2 request, which has no `Host` header.
fn asked<B>(request: &Request<B>) -> Option<&str> {
    let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
    host.or_else(|| request.uri().authority().map(Authority::as_str))
}

/// Whether `origin` is `scheme://host` with the host that was asked.
fn is_own(origin: &HeaderValue, asked: Option<&str>) -> bool {
    let (Ok(origin), Some(host)) = (origin.to_str(), asked) else { return false };
    origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host))
}

impl<S> Layer<S> for CrossSiteLayer {
    type Service = CrossSiteService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CrossSiteService { inner, layer: self.clone() }
    }
}

/// A service that no other site's page can post to. Made by [`CrossSiteLayer`].
#[derive(Clone, Debug)]
pub struct CrossSiteService<S> {
    inner: S,
    layer: CrossSiteLayer,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CrossSiteService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Default,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = Verdict<S::Future, Ready<Result<Self::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        if !self.layer.refuses(&request) {
            return Verdict::Passed(Box::pin(self.inner.call(request)));
        }
        let mut refusal = Response::new(ResBody::default());
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        Verdict::Refused(ready(Ok(refusal)))
    }
}

/// The answer to a request that was judged.
#[derive(Debug)]
pub enum Verdict<Passed, Refused> {
    /// The inner service answers.
    Passed(Pin<Box<Passed>>),
    /// It is not even asked.
    Refused(Refused),
}

impl<P, R> Future for Verdict<P, R>
where
    P: Future,
    R: Future<Output = P::Output> + Unpin,
{
    type Output = P::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Passed(answer) => answer.as_mut().poll(context),
            Self::Refused(refusal) => Pin::new(refusal).poll(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: (&str, &str) = ("host", "shop.example:3000");

    fn request(method: Method, pairs: &[(&str, &str)]) -> Request<()> {
        let builder = Request::builder().method(method);
        let add = |builder: http::request::Builder, (name, value): &(&str, &str)| {
            builder.header(*name, *value)
        };
        pairs.iter().fold(builder, add).body(()).unwrap()
    }

    // R81
    #[test]
    fn what_the_browser_says_of_its_origin_decides() {
        for (refused, said) in [
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
            let layer = CrossSiteLayer::new();
            assert_eq!(layer.refuses(&request(Method::POST, said)), refused, "{said:?}");
        }
    }

    #[test]
    fn a_request_without_a_host_header_is_judged_by_its_authority() {
        let asked = |origin: &str| {
            let request = Request::post("https://shop.example/order").header("origin", origin);
            CrossSiteLayer::new().refuses(&request.body(()).unwrap())
        };
        assert!(!asked("https://shop.example"));
        assert!(asked("https://evil.example"));
    }

    // R81
    #[test]
    fn methods_that_change_nothing_pass() {
        let foreign = [HERE, ("sec-fetch-site", "cross-site")];
        for (method, refused) in [
            (Method::GET, false),
            (Method::HEAD, false),
            (Method::OPTIONS, false),
            (Method::POST, true),
            (Method::PUT, true),
            (Method::DELETE, true),
        ] {
            let layer = CrossSiteLayer::new();
            assert_eq!(layer.refuses(&request(method.clone(), &foreign)), refused, "{method}");
        }
    }

    // R81
    #[test]
    fn an_allowed_origin_passes_and_no_other() {
        let layer = CrossSiteLayer::new().allow("https://a.example").allow("https://b.example");
        for (origin, refused) in [
            ("https://a.example", false),
            ("https://b.example", false),
            ("http://a.example", true),
            ("https://a.example.evil", true),
        ] {
            let said = [HERE, ("origin", origin), ("sec-fetch-site", "cross-site")];
            assert_eq!(layer.refuses(&request(Method::POST, &said)), refused, "{origin}");
        }
    }
}
