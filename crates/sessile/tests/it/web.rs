//! The tower layer and the axum extractors, through a real router.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::routing::get;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use sessile::store::MemoryStore;
use sessile::{
    Config, Error, ErrorKind, ExclusiveSession, Failure, Login, ManualClock, PeekSession,
    ReadSession, Session, Sessions, SignedIn,
};
use tower::{Service, ServiceExt};

#[derive(Deserialize)]
struct Pair {
    key: String,
    value: String,
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/none", get(async || "none"))
        .route("/read", get(async |session: ReadSession| session.keys().join(",")))
        .route("/peek", get(async |session: PeekSession| session.keys().join(",")))
        .route("/ended", get(async |session: ReadSession| session.has_ended().to_string()))
        .route("/write", get(write))
        .route("/count", get(count))
        .route("/exclusive", get(exclusive))
        .route("/both", get(both))
        .route("/existing", get(async |session: Option<Session>| session.is_some().to_string()))
        .route("/login", get(async |session: Session| session.login(Login::new("ann"))))
        .route("/logout", get(async |session: Session| session.invalidate()))
        .route("/me", get(async |SignedIn(owner): SignedIn| owner.to_string()))
        .route("/boom", get(boom))
        .route("/panic", get(panicking))
        .layer(sessions.layer())
}

async fn write(session: Session, Query(pair): Query<Pair>) -> sessile::Result<()> {
    session.insert(&pair.key, &pair.value)
}

async fn count(session: Session) -> sessile::Result<String> {
    let n = session.update("count", |n: Option<u64>| n.unwrap_or(0) + 1)?;
    Ok(n.to_string())
}

async fn exclusive(session: ExclusiveSession) -> sessile::Result<String> {
    let n = session.get::<u64>("count")?.unwrap_or(0) + 1;
    session.insert("count", &n)?;
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

async fn boom(session: Session) -> (StatusCode, &'static str) {
    session.insert("key", "lost").unwrap();
    (StatusCode::INTERNAL_SERVER_ERROR, "boom")
}

async fn panicking(session: Session) -> &'static str {
    session.insert("key", "lost").unwrap();
    panic!("expected by this test")
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
async fn a_handler_that_does_not_ask_adds_no_header() {
    let answer = Browser::new(&memory()).get("/none").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "none"));
    for name in ["set-cookie", "vary", "cache-control"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_handler_that_asks_varies_by_cookie() {
    let answer = Browser::new(&memory()).get("/read").await;
    assert_eq!(answer.headers["vary"], "Cookie");
    assert!(!answer.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_write_sets_the_cookie_and_forbids_caching() {
    let mut browser = Browser::new(&memory());
    let answer = browser.get("/write?key=a&value=b").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 1);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(browser.get("/read").await.body, "a");
}

#[tokio::test]
async fn counting_goes_on_from_request_to_request() {
    let mut browser = Browser::new(&memory());
    assert_eq!(browser.get("/count").await.body, "1");
    assert_eq!(browser.get("/count").await.body, "2");
    assert_eq!(browser.get("/exclusive").await.body, "3");
}

#[tokio::test]
async fn an_optional_session_is_never_created() {
    let mut browser = Browser::new(&memory());
    let answer = browser.get("/existing").await;
    assert_eq!((answer.body.as_str(), answer.headers.contains_key("set-cookie")), ("false", false));
    browser.get("/count").await;
    assert_eq!(browser.get("/existing").await.body, "true");
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
    browser.get("/write?key=a&value=b").await;
    let idle = sessions.config().idle_timeout;
    clock.advance(idle / 2);
    let answer = browser.get("/peek").await;
    assert_eq!((answer.body.as_str(), &answer.headers["vary"]), ("a", &"Cookie".parse().unwrap()));
    clock.advance(idle / 2);
    assert_eq!(browser.get("/peek").await.body, "");
    assert_eq!(browser.get("/ended").await.body, "true");
    browser.get("/count").await;
    assert_eq!(browser.get("/ended").await.body, "false");
}

#[tokio::test]
async fn who_is_not_signed_in_gets_401() {
    let mut browser = Browser::new(&memory());
    let answer = browser.get("/me").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::UNAUTHORIZED, "Unauthorized"));
    browser.get("/login").await;
    assert_eq!(browser.get("/me").await.body, "ann");
    browser.get("/logout").await;
    assert_eq!(
        (browser.cookie.clone(), browser.get("/me").await.status),
        (None, StatusCode::UNAUTHORIZED)
    );
}

#[tokio::test]
async fn a_5xx_keeps_its_answer_and_writes_nothing() {
    let mut browser = Browser::new(&memory());
    let answer = browser.get("/boom").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "boom"));
    assert_eq!(browser.cookie, None);
}

#[tokio::test]
async fn a_panicking_handler_writes_nothing_and_holds_no_lock() {
    let sessions = memory();
    let mut browser = Browser::new(&sessions);
    browser.get("/count").await;
    let mut twin = Browser { app: browser.app.clone(), cookie: browser.cookie.clone() };
    let panicked = tokio::spawn(async move { twin.get("/panic").await.status }).await;
    assert!(panicked.unwrap_err().is_panic());
    assert_eq!(browser.get("/read").await.body, "count");
    assert_eq!(browser.get("/exclusive").await.body, "2");
}

/// Loses its session to a logout between load and commit.
async fn overtaken(session: Session, sessions: Sessions) -> sessile::Result<&'static str> {
    session.insert("key", "late")?;
    sessions.revoke_any(session.id().expect("signed in")).await?;
    Ok("all is well")
}

#[tokio::test]
async fn a_failed_commit_replaces_the_answer() {
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
