//! What is the axum adapter's own; what every framework must do is a row of `http_laws`.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use http::header::COOKIE;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use sessile::store::MemoryStore;
use sessile::{
    Client, Config, CrossSiteLayer, Error, ErrorKind, ExclusiveSession, Failure, Login,
    ManualClock, PeekSession, ReadSession, Session, Sessions,
};
use tower::{Layer, Service, ServiceExt};

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/read", get(async |session: ReadSession| session.keys().join(",")))
        .route("/peek", get(async |session: PeekSession| session.keys().join(",")))
        .route("/ended", get(async |session: ReadSession| session.has_ended().to_string()))
        .route("/count", get(count))
        .route("/both", get(both))
        .route("/login", get(async |session: Session| session.login(Login::new("ann"))))
        .layer(sessions.layer())
}

async fn count(session: Session) -> sessile::Result<String> {
    let n = session.update("count", |n: Option<u64>| n.unwrap_or(0) + 1)?;
    Ok(n.to_string())
}

async fn both(
    read: ReadSession,
    session: Session,
    held: ExclusiveSession,
) -> sessile::Result<String> {
    session.insert("seen", "by all")?;
    Ok(format!("{}{}", read.contains("seen"), held.contains("seen")))
}

/// A browser that holds at most our cookie.
struct Browser {
    app: Router,
    cookie: Option<String>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    failure: Option<Arc<Error>>,
}

impl Browser {
    fn new(sessions: &Sessions) -> Self {
        Self { app: app(sessions), cookie: None }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        let answer = answer_of(self.app.call(request).await.unwrap()).await;
        if let Some(set) = answer.headers.get("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        answer
    }
}

async fn answer_of(response: Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        failure: head.extensions.get::<Failure>().map(|failure| Arc::clone(&failure.0)),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn memory() -> Sessions {
    Sessions::new(MemoryStore::new())
}

#[tokio::test]
async fn all_extractors_of_a_request_share_one_session() {
    let mut browser = Browser::new(&memory());
    browser.get("/count").await;
    assert_eq!(browser.get("/both").await.body, "truetrue");
    assert_eq!(browser.get("/read").await.body, "count,seen");
}

#[tokio::test]
async fn a_page_that_peeks_keeps_nobody_signed_in() {
    let clock = ManualClock::new();
    let sessions = Sessions::builder(MemoryStore::new()).clock(clock.clone()).build().unwrap();
    let mut browser = Browser::new(&sessions);
    browser.get("/count").await;
    let idle = sessions.config().idle_timeout;
    clock.advance(idle / 2);
    let answer = browser.get("/peek").await;
    assert_eq!(
        (answer.body.as_str(), &answer.headers["vary"]),
        ("count", &"Cookie".parse().unwrap())
    );
    clock.advance(idle / 2);
    assert_eq!(browser.get("/peek").await.body, "");
    assert_eq!(browser.get("/ended").await.body, "true");
    browser.get("/count").await;
    assert_eq!(browser.get("/ended").await.body, "false");
}

/// Loses its session to a logout between load and commit.
async fn overtaken(session: Session, sessions: Sessions) -> sessile::Result<&'static str> {
    session.insert("key", "late")?;
    sessions.revoke_any(session.id().expect("signed in")).await?;
    Ok("all is well")
}

#[tokio::test]
async fn a_replaced_answer_says_why_to_outer_layers() {
    let sessions = memory();
    let inside = sessions.clone();
    let overtaken = get(async move |session: Session| overtaken(session, inside).await);
    let mut browser = Browser::new(&sessions);
    browser.get("/login").await;
    browser.app = Router::new().route("/", overtaken).layer(sessions.layer());
    let answer = browser.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::CONFLICT, ""));
    assert_eq!(answer.failure.map(|error| error.kind()), Some(ErrorKind::Ended));
    assert!(!answer.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_missing_layer_is_named() {
    let app = Router::new().route("/", get(async |_: Session| ""));
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    let answer = answer_of(response).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.failure.unwrap().to_string().contains("sessions.layer()"));
}

#[tokio::test]
async fn a_layer_put_on_twice_works_as_one() {
    let sessions = memory();
    let mut browser = Browser::new(&sessions);
    browser.app = browser.app.layer(sessions.layer());
    let answer = browser.get("/count").await;
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 1);
    assert_eq!(browser.get("/count").await.body, "2");
}

async fn note(session: Session, request: Request<Body>, next: Next) -> Response<Body> {
    session.insert("noted", "between").unwrap();
    next.run(request).await
}

#[tokio::test]
async fn what_stands_between_two_layers_of_one_engine_shares_its_session() {
    let sessions = memory();
    let mut browser = Browser::new(&sessions);
    browser.app = browser.app.layer(from_fn(note)).layer(sessions.layer());
    assert_eq!(browser.get("/read").await.body, "noted");
    browser.get("/count").await;
    assert_eq!(browser.get("/read").await.body, "count,noted");
}

/// A service that wants to be asked whether it is ready, and says no.
#[derive(Clone)]
struct Busy;

impl Service<Request<Body>> for Busy {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Response<Body>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Err("busy"))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn the_layers_ask_their_service_whether_it_is_ready() {
    let request = || Request::get("/").body(Body::empty()).unwrap();
    let layer = memory().layer();
    assert!(format!("{layer:?}").starts_with("SessionLayer {"));
    let session = layer.layer(Busy);
    assert_eq!(session.oneshot(request()).await.err(), Some("busy"));
    let cross_site = CrossSiteLayer::new().layer(Busy);
    assert_eq!(cross_site.oneshot(request()).await.err(), Some("busy"));
}

// R81
#[tokio::test]
async fn only_what_comes_from_elsewhere_is_answered_403() {
    for (site, status) in [("same-origin", StatusCode::OK), ("cross-site", StatusCode::FORBIDDEN)] {
        let app = Router::new().route("/order", post(async || "ordered"));
        let request = Request::post("/order").header("sec-fetch-site", site);
        let request = request.body(Body::empty()).unwrap();
        let answer = app.layer(CrossSiteLayer::new()).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), status, "{site}");
    }
}

#[test]
fn every_kind_of_error_has_its_status() {
    for (kind, status) in [
        (ErrorKind::Unavailable, 503),
        (ErrorKind::LockTimeout, 503),
        (ErrorKind::Contended, 503),
        (ErrorKind::AnonymousLimit, 503),
        (ErrorKind::NewerFormat, 503),
        (ErrorKind::Ended, 409),
        (ErrorKind::Superseded, 409),
        (ErrorKind::OwnerLimit, 409),
        (ErrorKind::Overwrote, 409),
        (ErrorKind::NotSignedIn, 401),
        (ErrorKind::Forged, 403),
        (ErrorKind::PlainHttp, 400),
        (ErrorKind::LockLost, 500),
        (ErrorKind::Corrupt, 500),
        (ErrorKind::Closed, 500),
        (ErrorKind::TooLarge, 500),
        (ErrorKind::Value, 500),
        (ErrorKind::Panicked, 500),
        (ErrorKind::Key, 500),
        (ErrorKind::Random, 500),
        (ErrorKind::Config, 500),
    ] {
        assert_eq!(Error::new(kind, "told").status().as_u16(), status, "{kind:?}");
    }
}

// R81
#[tokio::test]
async fn who_only_reads_may_show_and_check_a_form_too() {
    let sessions = memory();
    let exchange = sessions.begin(&HeaderMap::new(), Client::default());
    exchange.handle().session().await.unwrap().insert("key", "value").unwrap();
    let mut headers = HeaderMap::new();
    exchange.finish(StatusCode::OK, &mut headers).await.unwrap();
    let pair = headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let sent = HeaderMap::from_iter([(COOKIE, pair.parse().unwrap())]);
    let read = sessions.begin(&sent, Client::default()).handle().read().await.unwrap();
    let token = read.form_token().unwrap().unwrap();
    read.check_form_token(&token).unwrap();
    assert_eq!(read.check_form_token("forged").unwrap_err().kind(), ErrorKind::Forged);
    assert_eq!((read.contains("key"), read.contains("other")), (true, false));
}

#[tokio::test]
async fn layers_of_two_engines_leave_each_other_alone() {
    let named = |name: &str| {
        let mut config = Config::default();
        config.cookie.name = name.into();
        Sessions::builder(MemoryStore::new()).config(config).build().unwrap()
    };
    let (inner, outer) = (named("inner"), named("outer"));
    let app = app(&inner).layer(outer.layer());
    let request = Request::get("/count").body(Body::empty()).unwrap();
    let answer = answer_of(app.oneshot(request).await.unwrap()).await;
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert!(set.len() == 1 && set[0].to_str().unwrap().starts_with("__Host-inner="), "{set:?}");
}

#[tokio::test]
async fn the_client_address_is_kept_truncated() {
    let sessions = memory();
    let layer = sessions.layer().with_client_address(|_, _| "192.0.2.77".parse().ok());
    let mut browser = Browser::new(&sessions);
    browser.app = Router::new()
        .route("/login", get(async |session: Session| session.login("ann")))
        .layer(layer);
    browser.get("/login").await;
    let page = sessions.list("ann", None, None).await.unwrap();
    assert_eq!(page.devices[0].session.client_address.as_deref(), Some("192.0.2.0/24"));
}

#[tokio::test]
async fn a_contradicting_configuration_does_not_start() {
    let mut config = Config::default();
    config.cookie.secure = false;
    let built = Sessions::builder(MemoryStore::new()).config(config).build();
    assert_eq!(built.unwrap_err().kind(), ErrorKind::Config);
}
