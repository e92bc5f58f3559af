//! Deadlines are exact; use is noted without a rewrite.

use std::time::SystemTime;

use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use sessile::{Clock, Login};

use crate::engine::Place;
use crate::engine::harness::{Server, secs};

// R23, R32, R33
pub(crate) async fn idle_and_absolute_deadlines_are_exact(place: &Place) {
    let server = Server::with(place, |config| {
        config.idle_timeout = secs(100);
        config.absolute_timeout = secs(150);
    });
    let idle = server.write("", "key", "value").await;
    let used = server.write("", "key", "value").await;
    server.clock.advance(std::time::Duration::from_millis(99_999));
    assert!(server.id(&used).await.is_some(), "a use, just before the idle deadline");
    server.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(server.id(&idle).await, None);
    server.clock.advance(std::time::Duration::from_millis(49_999));
    assert!(server.id(&used).await.is_some(), "just before the absolute deadline");
    server.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(server.id(&used).await, None);
}

pub(crate) async fn use_is_noted_and_keeps_the_session_alive(place: &Place) {
    let server = Server::with(place, |config| config.idle_timeout = secs(160));
    let cookie = server.write("", "key", "value").await;
    let version = server.visit(&cookie).await.session.record().unwrap().version;
    for _ in 0..20 {
        server.clock.advance(secs(100));
        let visit = server.visit(&cookie).await;
        assert!(visit.session.id().is_some());
        assert_eq!(visit.session.record().unwrap().version, version, "a touch writes no version");
    }
    let calls = server.store.calls();
    server.clock.advance(secs(9));
    server.visit(&cookie).await;
    assert_eq!(server.store.calls() - calls, 1, "not every use is noted");
}

/// R32: what asks by itself keeps nobody signed in.
pub(crate) async fn a_peek_leaves_content_and_age_as_they_were(place: &Place) {
    let server = Server::with(place, |config| {
        config.idle_timeout = secs(160);
        config.rotate_every = Some(secs(100));
    });
    let cookie = server.signed_in("ann").await;
    let before = server.visit(&cookie).await.session.record();
    for _ in 0..3 {
        server.clock.advance(secs(50));
        assert_eq!(server.peek(&cookie).await.record(), before);
    }
    let exchange = server.navigation(&cookie);
    exchange.handle().peek().await.unwrap();
    let mut headers = HeaderMap::new();
    exchange.finish(StatusCode::OK, &mut headers).await.unwrap();
    assert!(!headers.contains_key(SET_COOKIE), "the secret is left as it is, due or not");
    server.clock.advance(secs(10));
    assert_eq!(server.peek(&cookie).await.id(), None, "nobody used it");
}

pub(crate) async fn what_follows_a_peek_counts_as_use(place: &Place) {
    let server = Server::with(place, |config| config.idle_timeout = secs(160));
    let cookie = server.write("", "key", "value").await;
    server.clock.advance(secs(100));
    let exchange = server.begin(&cookie);
    assert!(exchange.handle().peek().await.unwrap().contains("key"));
    assert!(exchange.handle().read().await.unwrap().contains("key"));
    server.clock.advance(secs(100));
    let exchange = server.begin(&cookie);
    exchange.handle().peek().await.unwrap();
    exchange.handle().session().await.unwrap().insert("key", "changed").unwrap();
    exchange.finish(StatusCode::OK, &mut HeaderMap::new()).await.unwrap();
    server.clock.advance(secs(100));
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("changed"));
}

// R21
pub(crate) async fn remember_me_sets_a_lasting_cookie(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.login(Login::new("ann").remember_for(secs(30 * 86_400))).unwrap();
    let mut headers = HeaderMap::new();
    visit.exchange.finish(StatusCode::OK, &mut headers).await.unwrap();
    let header = headers[SET_COOKIE].to_str().unwrap();
    assert!(header.contains("; Max-Age=2592000;"), "{header}");
    assert_eq!(headers["cache-control"], "no-store");
    server.clock.advance(secs(29 * 86_400));
    let cookie = header.split(';').next().unwrap();
    assert_eq!(server.owner(cookie).await.as_deref(), Some("ann"));
}

pub(crate) async fn a_session_lives_as_long_as_its_handler_says(place: &Place) {
    type Wish = fn(&sessile::Session, SystemTime) -> sessile::Result<()>;
    let server = Server::with(place, |config| config.idle_timeout = secs(100));
    let wishes: [(Wish, u64); 3] = [
        (|session, _| session.expire_in(secs(40)), 40),
        (|session, now| session.expire_at(now + secs(50)), 50),
        (|session, _| session.expire_when_idle_for(secs(60)), 60),
    ];
    for (wish, lasts) in wishes {
        let cookie = server.write("", "key", "value").await;
        let visit = server.visit(&cookie).await;
        wish(&visit.session, server.clock.now()).unwrap();
        assert_eq!(visit.finish().await.unwrap(), None, "a lifetime needs no new cookie");
        let deadline = server.visit(&cookie).await.session.record().unwrap().deadline();
        assert_eq!(deadline, server.clock.now() + secs(lasts));
    }
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    visit.session.expire_when_idle_for(None).unwrap();
    visit.finish().await.unwrap();
    server.clock.advance(secs(1_000));
    assert!(server.id(&cookie).await.is_some(), "the idle check is off");
}

pub(crate) async fn a_lifetime_in_the_past_ends_the_session(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    visit.session.expire_at(server.clock.now() - secs(1)).unwrap();
    visit.finish().await.unwrap();
    assert_eq!(server.id(&cookie).await, None);
}

pub(crate) async fn remembering_later_sets_a_new_cookie(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let visit = server.visit(&cookie).await;
    visit.session.remember_for(secs(86_400)).unwrap();
    let lasting = visit.finish().await.unwrap().expect("the cookie is set anew");
    server.clock.advance(secs(86_399));
    let visit = server.visit(&lasting).await;
    assert!(visit.session.record().unwrap().persistent);
    visit.session.forget_with_browser().unwrap();
    let brief = visit.finish().await.unwrap().unwrap();
    assert!(!server.visit(&brief).await.session.record().unwrap().persistent);
    server.clock.advance(secs(1));
    assert_eq!(server.id(&brief).await, None, "the deadline stayed");
}

// R77
pub(crate) async fn sweeping_removes_the_expired(place: &Place) {
    let server = Server::with(place, |config| config.idle_timeout = secs(100));
    for _ in 0..3 {
        server.write("", "key", "value").await;
    }
    server.clock.advance(secs(50));
    let live = server.write("", "key", "value").await;
    // Stores may keep what expired in the last minutes.
    server.clock.advance(secs(20 * 60));
    server.visit(&live).await;
    let swept = server.sessions.sweep(2).await.unwrap();
    assert_eq!((swept.removed, swept.more), (2, true));
    let mut removed = swept.removed;
    for _ in 0..10 {
        removed += server.sessions.sweep(10).await.unwrap().removed;
    }
    assert_eq!(removed, 4);
    assert_eq!(server.events.names().iter().filter(|name| **name == "swept").count(), 4);
}
