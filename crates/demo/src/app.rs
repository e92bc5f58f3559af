//! What all requests share, and which handler answers which.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::{from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sessile::metrics::{Count, Timed};
use sessile::store::Store;
use sessile::{Config, CrossSiteLayer, Owner, SessionId, Sessions};

use crate::disk::Disk;
use crate::ending::Ending;
use crate::events::Events;
use crate::meter::{self, Meter};
use crate::own_client::OwnClient;
use crate::pages::devices::Device;
use crate::pages::inside::StoredFile;
use crate::{api, guard, site};

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) sessions: Sessions,
    pub(crate) events: Events,
    /// The server, as a client reaches it.
    pub(crate) own_client: OwnClient,
    /// Ends this process, where a parent starts another.
    pub(crate) plug: Option<Ending>,
    /// Where records are files.
    pub(crate) disk: Option<Disk>,
    /// Where numbers come together.
    pub(crate) meter: Option<Meter>,
}

impl App {
    /// Lays the engine over a store, for a server that listens on `address`.
    pub(crate) fn new(
        store: impl Store,
        config: Config,
        address: SocketAddr,
    ) -> sessile::Result<Self> {
        let events = Events::default();
        let sessions = Sessions::builder(Timed::new(store)).config(config);
        let sessions = sessions.subscriber(events.clone()).subscriber(Count::new()).build()?;
        let own_client = OwnClient::of(address);
        Ok(Self { sessions, events, own_client, plug: None, disk: None, meter: None })
    }

    /// The cookie's name as it travels.
    pub(crate) fn cookie_name(&self) -> String {
        self.sessions.config().cookie.full_name()
    }

    /// How large the record of a session is; `None` where it is no file.
    pub(crate) async fn bytes_on_disk(&self, id: SessionId) -> Option<u64> {
        self.disk.as_ref()?.bytes(id).await
    }

    /// The record's file, opened up; `None` where it is no file.
    pub(crate) async fn file_on_disk(&self, id: SessionId) -> Option<StoredFile> {
        self.disk.as_ref()?.file(id).await
    }

    /// Where `owner` is signed in, by last use; this browser first.
    pub(crate) async fn devices(
        &self,
        owner: Owner,
        this: Option<SessionId>,
    ) -> sessile::Result<Vec<Device>> {
        let mut devices = Vec::new();
        let mut after = None;
        loop {
            let page = self.sessions.list(owner.clone(), this, after).await?;
            devices.extend(page.devices.into_iter().map(Device::from));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        devices.sort_by_key(|device| (!device.this, Reverse(device.used_at)));
        Ok(devices)
    }
}

/// The whole application.
pub(crate) fn router(app: App) -> Router {
    let sessions = app.sessions.clone();
    let app = Arc::new(app);
    let api = api::routes()
        .layer(sessions.layer())
        .layer(CrossSiteLayer::new())
        .layer(map_response(api::json_failures));
    let site = site::routes()
        .layer(sessions.layer())
        .layer(CrossSiteLayer::new())
        .layer(map_response(site::calm_failures));
    Router::new()
        .nest("/api", api)
        .merge(site)
        .route("/style.css", get(site::style))
        .route("/metrics", get(meter::metrics))
        .layer(from_fn(guard::strict_headers))
        .with_state(app)
}

/// The same response, cookies and all, with another body.
pub(crate) fn with_body(response: Response, body: impl IntoResponse) -> Response {
    let (mut head, _) = response.into_parts();
    let (body_head, body) = body.into_response().into_parts();
    head.headers.remove(CONTENT_LENGTH);
    for (name, value) in &body_head.headers {
        head.headers.insert(name, value.clone());
    }
    Response::from_parts(head, body)
}
