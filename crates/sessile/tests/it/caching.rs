//! What responses say of caching, through the tower layer and the axum extractors.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, VARY};
use http::{HeaderMap, Request, StatusCode};
use sessile::store::MemoryStore;
use sessile::{Caching, Config, ReadSession, Session, Sessions, SignedIn};
use tower::ServiceExt;

const PUBLIC: [(http::HeaderName, &str); 1] = [(CACHE_CONTROL, "public, max-age=60")];

fn sessions(caching: Caching) -> Sessions {
    let mut config = Config::default();
    config.caching = caching;
    Sessions::builder(MemoryStore::new()).config(config).build().unwrap()
}

fn app(sessions: &Sessions) -> Router {
    let inside = sessions.clone();
    let overtaken = async move |session: Session| -> sessile::Result<_> {
        session.insert("key", "late")?;
        inside.revoke_any(session.id().expect("there is a session")).await?;
        Ok((PUBLIC, ""))
    };
    Router::new()
        .route("/none", get(async || (PUBLIC, "")))
        .route("/read", get(async |_: ReadSession| ""))
        .route("/read/public", get(async |_: ReadSession| (PUBLIC, "")))
        .route("/absent", get(async |session: Option<Session>| session.is_some().to_string()))
        .route("/me", get(async |SignedIn(owner): SignedIn| owner.to_string()))
        .route("/write", get(async |session: Session| session.insert("key", "value")))
        .route("/login/public", get(async |session: Session| (PUBLIC, session.login("ann"))))
        .route("/logout/public", get(async |session: Session| (PUBLIC, session.invalidate())))
        .route("/overtaken", get(overtaken))
        .layer(sessions.layer())
}

async fn headers_of(app: &Router, path: &str, cookie: &str) -> (StatusCode, HeaderMap) {
    let request = Request::get(path).header(COOKIE, cookie).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    (response.status(), response.headers().clone())
}

async fn cached(app: &Router, path: &str, cookie: &str) -> String {
    let (_, headers) = headers_of(app, path, cookie).await;
    assert_eq!(headers.get_all(CACHE_CONTROL).iter().count(), 1, "{path}");
    assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Cookie"], "{path}");
    headers[CACHE_CONTROL].to_str().unwrap().to_owned()
}

async fn signed_in(app: &Router) -> String {
    let (_, headers) = headers_of(app, "/login/public", "").await;
    headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
}

const DEPENDING: [&str; 7] =
    ["/read", "/read/public", "/absent", "/me", "/write", "/login/public", "/logout/public"];

#[tokio::test]
async fn r24_no_response_that_depends_on_a_session_may_be_stored() {
    let app = app(&sessions(Caching::Forbid));
    for path in DEPENDING {
        let cookie = signed_in(&app).await;
        for cookie in ["", &cookie] {
            assert_eq!(cached(&app, path, cookie).await, "no-store", "{path} with {cookie:?}");
        }
    }
    let (_, headers) = headers_of(&app, "/none", &signed_in(&app).await).await;
    assert_eq!(headers[CACHE_CONTROL], PUBLIC[0].1);
    assert!(!headers.contains_key(VARY));
}

// R24
#[tokio::test]
async fn a_handler_may_say_how_its_response_is_stored_when_that_is_asked_for() {
    let app = app(&sessions(Caching::ByHandler));
    let cookie = signed_in(&app).await;
    for (path, said) in [
        ("/read", "no-store"),
        ("/read/public", "public, max-age=60"),
        ("/me", "no-store"),
        ("/login/public", "no-store"),
        ("/logout/public", "no-store"),
    ] {
        assert_eq!(cached(&app, path, &cookie).await, said, "{path}");
    }
}

// R24
#[tokio::test]
async fn an_answer_in_place_of_the_handlers_is_never_stored() {
    for caching in [Caching::Forbid, Caching::ByHandler] {
        let app = app(&sessions(caching));
        let cookie = signed_in(&app).await;
        let (status, headers) = headers_of(&app, "/overtaken", &cookie).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert_eq!(headers[CACHE_CONTROL], "no-store");
    }
}
