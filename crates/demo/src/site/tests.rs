use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use sessile::store::MemoryStore;
use sessile::{Config, ManualClock, Sessions};
use tower::ServiceExt;

use crate::app::{App, router};
use crate::ending::{End, Ending};
use crate::fragile::Fragile;

/// A browser in front of the application, without a network between.
struct Browser {
    app: Router,
    cookies: Vec<String>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Browser {
    fn new(store: &Fragile) -> Self {
        let address = ([127, 0, 0, 1], 9).into();
        Self::before(App::new(store.clone(), Config::default(), address).unwrap())
    }

    fn before(app: App) -> Self {
        Self { app: router(app), cookies: Vec::new() }
    }

    /// Another browser before the same application.
    fn another(&self) -> Self {
        Self { app: self.app.clone(), cookies: Vec::new() }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), "").await
    }

    async fn post(&mut self, path: &str, form: &str) -> Answer {
        let request = Request::post(path);
        self.send(request.header("content-type", "application/x-www-form-urlencoded"), form).await
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: &str) -> Answer {
        let request = request.header(COOKIE, self.cookies.join("; "));
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (head, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        for set in head.headers.get_all(SET_COOKIE) {
            self.keep(set.to_str().unwrap());
        }
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.into()).unwrap();
        Answer { status: head.status, headers: head.headers, body }
    }

    fn keep(&mut self, set: &str) {
        let pair = set.split(';').next().unwrap();
        let name = pair.split_inclusive('=').next().unwrap();
        self.cookies.retain(|cookie| !cookie.starts_with(name));
        if !set.contains("Max-Age=0") {
            self.cookies.push(pair.to_owned());
        }
    }
}

const NOT_SAVED: &str = "Not saved, nothing was changed";

#[tokio::test]
async fn a_full_disk_is_said_calmly_and_the_old_basket_is_still_there() {
    let disk = Fragile::new();
    let mut browser = Browser::new(&disk);
    browser.get("/").await;
    browser.post("/basket/add", "item=Coral").await;
    browser.get("/").await;

    disk.set_full(true);
    let refused = browser.post("/basket/add", "item=Oyster").await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains(NOT_SAVED) && !refused.body.contains("secret-path"));
    assert!(refused.headers.contains_key("retry-after"));
    let home = browser.get("/").await;
    assert_eq!(home.status, 503);
    assert!(home.body.contains(NOT_SAVED) && home.body.contains("id=\"items\">1 item<"));
    assert!(home.body.contains("id=\"visits\">1<"), "{}", home.body);

    disk.set_full(false);
    assert_eq!(browser.post("/basket/add", "item=Oyster").await.status, 303);
    assert!(browser.get("/").await.body.contains("id=\"items\">2 items<"));
}

#[tokio::test]
async fn signing_out_works_on_a_full_disk() {
    let disk = Fragile::new();
    let mut browser = Browser::new(&disk);
    browser.post("/sign-in", "name=ann").await;
    disk.set_full(true);
    let left = browser.post("/sign-out", "").await;
    assert_eq!(
        (left.status.as_u16(), &left.headers[LOCATION]),
        (303, &"/signed-out".parse().unwrap())
    );
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
}

#[tokio::test]
async fn an_unreadable_disk_is_said_calmly_on_every_page() {
    let disk = Fragile::new();
    let mut browser = Browser::new(&disk);
    browser.post("/sign-in", "name=ann").await;
    let cookies = browser.cookies.clone();
    disk.set_unreadable(true);
    for path in ["/", "/devices", "/inside"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 503, "{path}");
        assert!(page.body.contains(NOT_SAVED) && !page.body.contains("secret-path"), "{path}");
    }
    let refused = browser.get("/api/read").await.body;
    assert!(refused.starts_with(r#"{"error":"service unavailable","mend":""#), "{refused}");
    assert!(!refused.contains("secret-path"), "{refused}");
    assert_eq!(browser.cookies, cookies, "an outage is no logout");
    disk.set_unreadable(false);
    assert!(browser.get("/").await.body.contains(">ann<"));
}

#[tokio::test]
async fn every_form_is_answered_with_a_page_to_look_at() {
    let mut browser = Browser::new(&Fragile::new());
    browser.get("/").await;
    for (path, form, to) in [
        ("/basket/add", "item=Coral", "/"),
        ("/basket/empty", "", "/"),
        ("/sign-in", "name=ann", "/"),
        ("/devices/end", "id=00000000000000000000000000000000", "/devices"),
        ("/devices/end-others", "", "/devices/confirm"),
        ("/devices/confirm", "password=x", "/devices"),
        ("/devices/end-others", "", "/devices"),
        ("/inside/thief", "", "/inside#thief"),
        ("/sign-out", "", "/signed-out"),
    ] {
        let answer = browser.post(path, form).await;
        assert_eq!(answer.status, 303, "{path}");
        assert_eq!(answer.headers[LOCATION], to);
    }
}

#[tokio::test]
async fn a_form_that_makes_no_sense_changes_nothing() {
    let mut browser = Browser::new(&Fragile::new());
    for (path, form, status) in [
        ("/basket/add", "item=Shark", 422),
        ("/basket/add", "", 422),
        ("/sign-in", "name=", 422),
        ("/sign-in", "name=++", 422),
        ("/devices/end", "id=..", 401),
        ("/devices/end-others", "", 401),
        ("/devices/confirm", "password=x", 401),
        ("/plug", "", 404),
    ] {
        let answer = browser.post(path, form).await;
        assert_eq!(answer.status, status, "{path} {form}");
        assert!(answer.body.contains("<h1>"), "{path}");
        assert!(browser.cookies.is_empty(), "{path}");
    }
}

/// The application on a clock that is moved by hand.
fn app_at(clock: &ManualClock) -> App {
    let address = ([127, 0, 0, 1], 9).into();
    let sessions = Sessions::builder(MemoryStore::new()).clock(clock.clone()).build().unwrap();
    let app = App::new(MemoryStore::new(), Config::default(), address).unwrap();
    App { sessions, ..app }
}

#[tokio::test]
async fn ending_all_others_is_confirmed_first_and_again_after_five_minutes() {
    let clock = ManualClock::starting_at(SystemTime::now());
    let mut here = Browser::before(app_at(&clock));
    let mut there = here.another();
    for browser in [&mut here, &mut there] {
        browser.post("/sign-in", "name=ann").await;
    }
    let asked = here.post("/devices/end-others", "").await;
    assert_eq!(asked.headers[LOCATION], "/devices/confirm");
    assert!(here.get("/devices/confirm").await.body.contains("Confirm that it is you"));
    assert_eq!(here.post("/devices/confirm", "password=").await.status, 422);
    assert!(there.get("/").await.body.contains(">ann<"), "nothing ended yet");

    let before = here.cookies.clone();
    here.post("/devices/confirm", "password=anything").await;
    assert_ne!(here.cookies, before, "who confirms gets a new secret");
    assert!(here.get("/devices").await.body.contains("1 other session ended."));
    assert_eq!(there.get("/").await.status, 401);

    for (passed, to) in [(299, "/devices"), (2, "/devices/confirm")] {
        clock.advance(Duration::from_secs(passed));
        let answer = here.post("/devices/end-others", "").await;
        assert_eq!(answer.headers[LOCATION], to, "after {passed} more seconds");
    }
}

#[tokio::test]
async fn a_confirmation_that_cannot_be_saved_ends_nothing() {
    let disk = Fragile::new();
    let mut here = Browser::new(&disk);
    let mut there = here.another();
    for browser in [&mut here, &mut there] {
        browser.post("/sign-in", "name=ann").await;
    }
    disk.set_full(true);
    let refused = here.post("/devices/confirm", "password=x").await;
    assert!(refused.status == 503 && refused.body.contains(NOT_SAVED));
    disk.set_full(false);
    assert!(there.get("/").await.body.contains(">ann<"));
}

#[tokio::test]
async fn who_asks_to_be_remembered_is_for_thirty_days() {
    for (form, remembered) in [("name=ann", false), ("name=ann&remember=yes", true)] {
        let clock = ManualClock::starting_at(SystemTime::now());
        let mut browser = Browser::before(app_at(&clock));
        let answer = browser.post("/sign-in", form).await;
        let sets: Vec<_> = answer.headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(sets.len(), 2, "the session and the hint");
        for set in sets {
            let lasts = set.to_str().unwrap().contains("Max-Age=2592000");
            assert_eq!(lasts, remembered, "{form}: {set:?}");
        }
        let marked = browser.get("/devices").await.body.contains(">remembered<");
        assert_eq!(marked, remembered, "{form}");
        clock.advance(Duration::from_secs(29 * 24 * 60 * 60));
        assert_eq!(browser.get("/devices").await.status == 200, remembered, "{form}");
    }
}

/// A connection that the browser opened ahead reaches the process whose plug was pulled.
#[tokio::test]
async fn a_process_whose_plug_was_pulled_sends_everybody_to_the_next() {
    let address = ([127, 0, 0, 1], 9).into();
    let app = App::new(MemoryStore::new(), Config::default(), address).unwrap();
    let plug = Ending::new();
    let mut browser = Browser::before(App { plug: Some(plug.clone()), ..app });
    assert_eq!(browser.get("/").await.status, 200);
    plug.begin(End::Plug);
    for path in ["/", "/devices", "/api/read?a=b"] {
        let answer = browser.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers[LOCATION]),
            (307, &path.parse().unwrap())
        );
        assert_eq!(answer.headers["connection"], "close");
    }
}

#[tokio::test]
async fn the_stylesheet_may_be_kept_and_touches_no_session() {
    let mut browser = Browser::new(&Fragile::new());
    let style = browser.get("/style.css").await;
    assert_eq!(style.headers["content-type"], "text/css");
    assert_eq!(style.headers["cache-control"], "public, max-age=3600");
    assert!(!style.headers.contains_key("vary") && style.body.contains(":root"));
}

#[tokio::test]
async fn a_name_cannot_bring_markup_along() {
    let mut browser = Browser::new(&Fragile::new());
    browser.post("/sign-in", "name=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    for path in ["/", "/devices", "/inside"] {
        assert!(!browser.get(path).await.body.contains("<script"), "{path}");
    }
}
