//! What each path under `/api/` answers.

use axum::http::header::{CONTENT_TYPE, SET_COOKIE, VARY};
use serde_json::json;

use crate::support::{Browser, Server};

#[tokio::test]
async fn a_path_without_a_session_touches_none() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let browser = Browser::new();
    browser.post(&server, "/api/count").await;
    let answer = browser.get(&server, "/api/none").await;
    assert_eq!((answer.status.as_u16(), answer.json), (200, json!({})));
    assert!(!answer.headers.contains_key(VARY) && !answer.headers.contains_key(SET_COOKIE));
}

#[tokio::test]
async fn reading_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let browser = Browser::new();
    let answer = browser.get(&server, "/api/read").await;
    assert_eq!(answer.json, json!({ "data": {} }));
    assert_eq!(answer.headers[VARY], "Cookie");
    assert_eq!(browser.cookie(), None);
}

#[tokio::test]
async fn what_is_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let browser = Browser::new();
    assert_eq!(browser.post(&server, "/api/count").await.json, json!({ "count": 1 }));
    assert_eq!(browser.post(&server, "/api/exclusive").await.json, json!({ "count": 2 }));
    assert_eq!(browser.post(&server, "/api/set?key=colour&value=sea%20green").await.status, 200);
    let data = json!({ "visits": 2, "colour": "sea green" });
    assert_eq!(browser.data(&server).await, data);
}

#[tokio::test]
async fn a_login_carries_the_data_over_and_a_logout_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let browser = Browser::new();
    browser.post(&server, "/api/count").await;
    let anonymous = browser.cookie();
    assert_eq!(browser.post(&server, "/api/login?user=ann").await.json, json!({ "user": "ann" }));
    assert_ne!(browser.cookie(), anonymous);
    assert_eq!(browser.data(&server).await, json!({ "visits": 1, "user": "ann" }));
    let thief = browser.thief();
    assert_eq!(browser.post(&server, "/api/logout").await.status, 200);
    assert_eq!((browser.cookie(), thief.data(&server).await), (None, json!({})));
}

#[tokio::test]
async fn a_rotation_replaces_the_cookie_and_keeps_the_session() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let browser = Browser::new();
    browser.post(&server, "/api/count").await;
    let before = browser.thief();
    browser.post(&server, "/api/rotate").await;
    assert_ne!(browser.cookie(), before.cookie());
    assert_eq!(browser.post(&server, "/api/count").await.count(), 2);
    assert_eq!(before.post(&server, "/api/count").await.count(), 3, "the grace lasts");
}

#[tokio::test]
async fn devices_are_listed_and_ended_by_their_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let [here, there, third, stranger] = std::array::from_fn(|_| Browser::new());
    for (browser, user) in [(&here, "ann"), (&there, "ann"), (&third, "ann"), (&stranger, "eve")] {
        browser.post(&server, &format!("/api/login?user={user}")).await;
    }
    let listed = here.get(&server, "/api/sessions").await.json;
    let sessions = listed["sessions"].as_array().unwrap();
    let ids = |current: bool| -> Vec<&str> {
        let wanted = sessions.iter().filter(|session| session["current"] == current);
        wanted.map(|session| session["id"].as_str().unwrap()).collect()
    };
    assert_eq!((ids(true).len(), ids(false).len()), (1, 2));

    let path = format!("/api/revoke?id={}", ids(true)[0]);
    assert_eq!(stranger.post(&server, &path).await.json, json!({ "revoked": false }));
    assert_eq!(there.post(&server, &path).await.json, json!({ "revoked": true }));
    assert_eq!(here.data(&server).await, json!({}));
    let others = there.post(&server, "/api/revoke-others").await.json;
    assert_eq!(others, json!({ "revoked": 1 }));
    assert_eq!(third.data(&server).await, json!({}));
    assert_eq!(there.data(&server).await, json!({ "user": "ann" }));
}

#[tokio::test]
async fn a_failure_says_how_to_mend_it_and_nothing_of_what_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let browser = Browser::new();
    for (method, path, status, error, mend) in [
        ("GET", "/api/sessions", 401, "unauthorized", "/api/login?user=U"),
        ("POST", "/api/revoke?id=00000000000000000000000000000000", 401, "unauthorized", "login"),
        ("POST", "/api/revoke-others", 401, "unauthorized", "login"),
        ("POST", "/api/login", 400, "bad request", "user=U"),
        ("POST", "/api/login?user=", 400, "bad request", "user"),
        ("POST", "/api/login?user=a&user=xyzzy", 400, "bad request", "user"),
        ("POST", "/api/login?user=xyzzy%0A", 400, "bad request", "control characters"),
        ("POST", "/api/login?user=xyzzy%FF", 400, "bad request", "UTF-8"),
        ("POST", "/api/set?key=visits&value=xyzzy", 400, "bad request", "another key"),
        ("POST", "/api/set?key=sessile.flashes&value=x", 400, "bad request", "another key"),
        ("POST", "/api/set?key=&value=xyzzy", 400, "bad request", "1 to"),
        ("POST", "/api/set?key=xyzzy", 400, "bad request", "key=K&value=V"),
        ("POST", "/api/set?key=a&value=%C3", 400, "bad request", "UTF-8"),
        ("POST", "/api/count?hold_ms=xyzzy", 400, "bad request", "hold_ms"),
        ("POST", "/api/count?hold_ms=-1", 400, "bad request", "hold_ms"),
        ("GET", "/api/read?hold_ms=60001", 400, "bad request", "60000"),
        ("GET", "/api/count", 405, "method not allowed", "Allow"),
        ("GET", "/api/xyzzy", 404, "not found", "README"),
        ("GET", "/api", 404, "not found", "README"),
        ("GET", "/api/", 404, "not found", "README"),
    ] {
        let answer = browser.send(&server, method, path, &[]).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.json["error"]), (status, &json!(error)));
        let said = answer.json["mend"].as_str().unwrap_or_default();
        assert!(said.contains(mend) && !said.contains("xyzzy"), "{path}: {said:?}");
        assert_eq!(answer.headers[CONTENT_TYPE], "application/json", "{path}");
        assert_eq!(browser.cookie(), None, "{path}");
    }
}

#[tokio::test]
async fn a_session_that_is_full_says_what_fits_and_keeps_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let browser = Browser::new();
    let value = "v".repeat(50_000);
    let mut stored = 0;
    let refused = loop {
        let path = format!("/api/set?key=k{stored}&value={value}");
        let answer = browser.post(&server, &path).await;
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
    };
    assert_eq!((refused.status.as_u16(), stored), (413, 5));
    assert!(refused.json["mend"].as_str().unwrap().contains("256 KiB"), "{}", refused.json);
    assert_eq!(browser.data(&server).await.as_object().unwrap().len(), stored);
    assert_eq!(browser.post(&server, "/api/count").await.count(), 1);
}

#[tokio::test]
async fn what_another_site_sends_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let browser = Browser::new();
    let own = format!("http://{}", server.address);
    for (status, header) in [
        (403, ("sec-fetch-site", "cross-site")),
        (403, ("origin", "http://evil.example")),
        (200, ("sec-fetch-site", "same-origin")),
        (200, ("origin", &own)),
    ] {
        let answer = browser.send(&server, "POST", "/api/count", &[header]).await.unwrap();
        assert_eq!(answer.status, status, "{header:?}");
    }
    assert_eq!(browser.data(&server).await, json!({ "visits": 2 }));
}

#[tokio::test]
async fn a_cookie_that_is_none_is_a_fresh_start() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s"));
    let browser = Browser::new();
    browser.post(&server, "/api/count").await;
    let (name, value) = browser.cookie().unwrap().split_once('=').map(own).unwrap();
    let last = if value.ends_with('A') { "E" } else { "A" };
    for bad in [
        String::new(),
        "x".repeat(5_000),
        format!("{value}="),
        value[1..].to_owned(),
        format!("{}{last}", &value[..42]),
        "../../../../../../../../etc/passwd".into(),
    ] {
        browser.plant(Some(format!("{name}={bad}")));
        assert_eq!(browser.data(&server).await, json!({}), "{bad}");
        assert_eq!(browser.post(&server, "/api/count").await.count(), 1, "{bad}");
    }
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
