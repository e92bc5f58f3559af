//! The server as a client of itself, over real HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::body::{Body, Bytes};
use axum::http::header::COOKIE;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::Failure;

/// Sends requests to the address this process listens on.
#[derive(Clone, Debug)]
pub(crate) struct OwnClient {
    client: Client<HttpConnector, Body>,
    address: SocketAddr,
}

impl OwnClient {
    /// A client of the server that listens on `address`. Connections are not kept: each request
    /// comes by its own, as those of different browsers do.
    pub(crate) fn of(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { client, address: reachable(address) }
    }

    /// Sends a request with this cookie, and gives the answer's status and body.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        cookie: HeaderValue,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri).body(Body::empty())?;
        request.headers_mut().insert(COOKIE, cookie);
        let (head, body) = self.client.request(request).await?.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    }
}

/// The address under which a process reaches its own listener.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}
