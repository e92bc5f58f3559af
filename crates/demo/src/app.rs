//! What all requests share, and which handler answers which.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use sessile::metrics::{Count, Timed};
use sessile::store::Store;
use sessile::{Config, CrossSiteLayer, Owner, SessionId, Sessions};

use crate::ending::Ending;
use crate::events::Events;
use crate::meter::{self, Meter};
use crate::own_client::OwnClient;
use crate::pages::devices::Device;
use crate::whereabouts::Whereabouts;
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
    /// Where records lie.
    pub(crate) whereabouts: Whereabouts,
    /// Where numbers come together.
    pub(crate) meter: Option<Meter>,
}

impl App {
    /// Lays the engine over a store, for a server that listens on `address`. What keeps the records
    /// is taken for memory until it is said.
    pub(crate) fn new(
        store: impl Store,
        config: Config,
        address: SocketAddr,
    ) -> sessile::Result<Self> {
        let events = Events::default();
        let sessions = Sessions::builder(Timed::new(store)).config(config);
        let sessions = sessions.subscriber(events.clone()).subscriber(Count::new()).build()?;
        let (own_client, whereabouts) = (OwnClient::of(address), Whereabouts::Memory);
        Ok(Self { sessions, events, own_client, plug: None, whereabouts, meter: None })
    }

    /// The cookie's name as it travels.
    pub(crate) fn cookie_name(&self) -> String {
        self.sessions.config().cookie.full_name()
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
        .layer(map_response(api::in_json));
    let site = site::routes()
        .layer(sessions.layer())
        .layer(CrossSiteLayer::new())
        .layer(map_response(site::calm_failures));
    Router::new()
        .nest("/api", api)
        .route("/api/", any(api::no_such_call).layer(map_response(api::in_json)))
        .merge(site)
        .route("/style.css", get(site::style))
        .route("/metrics", get(meter::metrics))
        .layer(from_fn_with_state(Arc::clone(&app), guard::ask_the_next))
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
