//! The tower layer: a session around any service of `http` requests.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use http::{Extensions, HeaderMap, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::RETRY_AFTER_SECONDS;
use crate::cookie::NO_STORE;
use crate::engine::{Client, Exchange, SessionHandle, Sessions, behind};
use crate::error::Error;

type AddressOf = dyn Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync;
type TlsOf = dyn Fn(&HeaderMap, &Extensions) -> Option<bool> + Send + Sync;

/// Gives every request of a router or service a session. Get one by [`Sessions::layer`].
///
/// The session is committed before the response head leaves. When that fails, the response is
/// replaced: the error's status, an empty body, and [`Failure`] in the response's extensions. The
/// service's response body must therefore be [`Default`].
#[derive(Clone)]
pub struct SessionLayer {
    sessions: Sessions,
    address_of: Option<Arc<AddressOf>>,
    tls_of: Option<Arc<TlsOf>>,
}

impl Sessions {
    /// A layer that gives requests their session.
    pub fn layer(&self) -> SessionLayer {
        SessionLayer { sessions: self.clone(), address_of: None, tls_of: None }
    }
}

impl SessionLayer {
    /// Finds the client's address, which is kept for lists of devices as far as configured.
    ///
    /// Take it from the connection, and from a header only when a proxy of yours writes that header.
    #[must_use]
    pub fn with_client_address<F>(mut self, address_of: F) -> Self
    where
        F: Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync + 'static,
    {
        self.address_of = Some(Arc::new(address_of));
        self
    }

    /// Finds whether the client speaks TLS; `None` where that is not known.
    ///
    /// To whoever is known to speak plain HTTP, no `Secure` cookie is sent: their request is answered
    /// with the 400 of [`ErrorKind::PlainHttp`](crate::ErrorKind::PlainHttp) when it would begin a
    /// session. Loopback is exempt, as it is in browsers. Behind a proxy, ask
    /// [`TrustedProxies::tls`](crate::TrustedProxies::tls).
    #[must_use]
    pub fn with_tls<F>(mut self, tls_of: F) -> Self
    where
        F: Fn(&HeaderMap, &Extensions) -> Option<bool> + Send + Sync + 'static,
    {
        self.tls_of = Some(Arc::new(tls_of));
        self
    }

    fn client<B>(&self, request: &Request<B>) -> Client {
        let (headers, extensions) = (request.headers(), request.extensions());
        let address = self.address_of.as_ref().and_then(|find| find(headers, extensions));
        let tls = self.tls_of.as_ref().and_then(|find| find(headers, extensions));
        address.map(Client::at).unwrap_or_default().with_tls(tls)
    }

    /// The exchange of `request` and who sent it, unless an outer layer of the same engine has begun
    /// one.
    fn begin<B>(&self, request: &mut Request<B>) -> Option<(Exchange, Client)> {
        let begun = request.extensions().get::<SessionHandle>();
        if begun.is_some_and(|handle| self.sessions.is_same(handle.slot())) {
            return None;
        }
        let client = self.client(request);
        let exchange = self.sessions.begin(request.headers(), client);
        request.extensions_mut().insert(exchange.handle());
        Some((exchange, client))
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { inner, layer: self.clone() }
    }
}

/// A service whose requests have a session. Made by [`SessionLayer`].
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    layer: SessionLayer,
}

/// Why a response was replaced: the commit failed. Found in the response's extensions.
#[derive(Clone, Debug)]
pub struct Failure(pub Arc<Error>);

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    ResBody: Default + Send + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let exchange = self.layer.begin(&mut request);
        let response = self.inner.call(request);
        Box::pin(async move {
            let Some((exchange, client)) = exchange else { return response.await };
            // An error or a panic of the inner service drops the exchange: nothing is written.
            let response = behind(client, response).await?;
            Ok(finish(exchange, response).await)
        })
    }
}

async fn finish<B: Default>(exchange: Exchange, mut response: Response<B>) -> Response<B> {
    let status = response.status();
    let mut written = HeaderMap::new();
    // What the handler says of caching may count, by configuration.
    if let Some(said) = response.headers().get(CACHE_CONTROL) {
        written.insert(CACHE_CONTROL, said.clone());
    }
    let committed = exchange.finish(status, &mut written).await;
    if let Err(error) = committed {
        response = refusal(error.into());
        written.insert(CACHE_CONTROL, NO_STORE);
    }
    add(response.headers_mut(), written);
    response
}

/// Headers of the session go beside those the handler set; one that says how to cache replaces.
fn add(headers: &mut HeaderMap, written: HeaderMap) {
    let mut name = None;
    for (next, value) in written {
        name = next.or(name);
        match &name {
            Some(name) if name == CACHE_CONTROL => {
                headers.insert(name, value);
            }
            Some(name) => {
                headers.append(name, value);
            }
            None => {}
        }
    }
}

/// The response to a request whose session could not be committed: nothing of what was built.
pub(super) fn refusal<B: Default>(error: Arc<Error>) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = error.status();
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    response.extensions_mut().insert(Failure(error));
    response
}
