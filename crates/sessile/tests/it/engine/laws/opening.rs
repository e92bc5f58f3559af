//! What a cookie, or none, leads to.

use std::time::{Duration, Instant};

use sessile::{ErrorKind, OnOutage, Token};

use crate::engine::Place;
use crate::engine::harness::{Server, kind_of, secs};

fn cookie_of(token: &Token) -> String {
    format!("__Host-session={}", token.reveal())
}

// R66
pub(crate) async fn no_cookie_and_no_write_touch_neither_store_nor_cookie(place: &Place) {
    let server = Server::new(place);
    let unasked = server.begin("");
    unasked.finish(http::StatusCode::OK, &mut http::HeaderMap::new()).await.unwrap();
    let asked = server.visit("").await;
    assert_eq!(asked.session.id(), None);
    assert_eq!(asked.finish().await.unwrap(), None);
    assert_eq!(server.store.calls(), 0);
}

// R25
pub(crate) async fn reading_creates_nothing(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    assert_eq!(visit.session.get::<String>("key").unwrap(), None);
    assert!(visit.session.keys().is_empty() && visit.session.record().is_none());
    assert_eq!(visit.finish().await.unwrap(), None);
}

pub(crate) async fn the_first_write_creates_a_session_and_sets_one_cookie(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    assert!(cookie.starts_with("__Host-session=") && cookie.len() == 15 + Token::TEXT_LEN);
    assert_eq!(server.events.take(), ["created"]);
    assert!(server.id(&cookie).await.is_some());
}

// R66
pub(crate) async fn removing_from_nothing_creates_nothing(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.remove("key").unwrap();
    visit.session.clear().unwrap();
    visit.session.rotate().unwrap();
    assert_eq!(visit.finish().await.unwrap(), None);
    assert_eq!(server.store.calls(), 0);
}

pub(crate) async fn what_was_written_is_there_for_the_next_request(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "grüße \u{1f980}").await;
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("grüße \u{1f980}"));
}

pub(crate) async fn a_save_sets_no_cookie(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "one").await;
    let visit = server.visit(&cookie).await;
    visit.session.insert("key", "two").unwrap();
    assert_eq!(visit.finish().await.unwrap(), None);
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("two"));
}

// R10, R11
pub(crate) async fn a_token_we_did_not_issue_is_never_adopted(place: &Place) {
    let server = Server::new(place);
    let foreign = cookie_of(&Token::random().unwrap());
    let given = server.write(&foreign, "key", "value").await;
    assert_ne!(given, foreign);
    assert_eq!(server.id(&foreign).await, None);
    assert_eq!(server.events.take(), ["unknown", "created", "unknown"]);
}

// R8
pub(crate) async fn a_malformed_token_costs_no_look_up(place: &Place) {
    let server = Server::new(place);
    let good = cookie_of(&Token::random().unwrap());
    for bad in
        [&good[..20], &format!("{good}x"), "__Host-session=", "__Host-session=../../etc/passwd"]
    {
        let visit = server.visit(bad).await;
        assert_eq!(visit.session.id(), None);
        assert_eq!(visit.finish().await.unwrap(), None);
    }
    assert_eq!((server.store.calls(), server.events.take().len()), (0, 0));
}

// R69
pub(crate) async fn an_unknown_token_leaves_the_cookie_alone(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit(&cookie_of(&Token::random().unwrap())).await;
    assert_eq!(visit.finish().await.unwrap(), None);
    assert_eq!(server.store.calls(), 1, "one look-up, no more");
}

/// R11: whatever a token was, that it opens nothing is all that is told.
pub(crate) async fn a_token_that_opens_nothing_is_told_from_none(place: &Place) {
    let server = Server::new(place);
    let rotated = server.write("", "key", "value").await;
    let visit = server.visit(&rotated).await;
    visit.session.rotate().unwrap();
    visit.finish().await.unwrap();
    server.clock.advance(secs(20 * 60));
    let ended = server.write("", "key", "value").await;
    server.sessions.revoke_any(server.id(&ended).await.unwrap()).await.unwrap();
    let live = server.write("", "key", "value").await;
    let expired = server.write("", "key", "value").await;
    server.clock.advance(secs(20 * 60));
    let id = server.id(&live).await.unwrap();
    server.clock.advance(secs(20 * 60));
    let guess = cookie_of(&Token::for_session(id).unwrap());
    let unknown = cookie_of(&Token::random().unwrap());
    for dead in [rotated, ended, expired, guess, unknown, "__Host-session=junk".into()] {
        let visit = server.visit(&dead).await;
        assert!(visit.session.has_ended(), "{dead}");
        assert!(server.peek(&dead).await.has_ended(), "{dead}");
        assert_eq!(visit.finish().await.unwrap(), None, "and its cookie is left alone");
        let new = server.write(&dead, "key", "fresh").await;
        assert!(!server.visit(&new).await.session.has_ended(), "a working session follows");
    }
    for well in ["", "other=junk", &live] {
        assert!(!server.visit(well).await.session.has_ended(), "{well}");
    }
}

pub(crate) async fn what_did_not_end_is_not_called_ended(place: &Place) {
    let server = Server::with(place, |config| config.on_outage = OnOutage::ReadAsNobody);
    let replaced = server.write("", "key", "value").await;
    let visit = server.visit(&replaced).await;
    visit.session.login("ann").unwrap();
    let live = visit.finish().await.unwrap().unwrap();
    assert!(!server.visit(&replaced).await.session.has_ended(), "the browser holds the newer");
    server.store.fail("load");
    let unread = server.visit(&live).await.session;
    assert_eq!((unread.owner(), unread.has_ended()), (None, false));
    server.store.mend();
    let leaving = server.visit(&live).await;
    leaving.session.invalidate().unwrap();
    assert!(!leaving.session.has_ended(), "this very handler ends it");
}

// R4, R6, R11, R77
pub(crate) async fn a_guess_is_refused_and_changes_nothing(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    let before = server.visit(&cookie).await.session.record();
    server.events.take();
    let guess = server.visit(&cookie_of(&Token::for_session(id).unwrap())).await;
    assert_eq!((guess.session.id(), guess.session.contains("key")), (None, false));
    guess.session.invalidate().unwrap();
    guess.finish().await.unwrap();
    assert_eq!(server.events.take(), ["refused"]);
    assert_eq!(server.visit(&cookie).await.session.record(), before);
}

// R11
pub(crate) async fn guessing_gets_slower_and_costs_the_owner_nothing(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    let mut slowest = Duration::ZERO;
    for _ in 0..8 {
        let started = Instant::now();
        server.visit(&cookie_of(&Token::for_session(id).unwrap())).await;
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest >= Duration::from_millis(150), "the eighth guess waits");
    let started = Instant::now();
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("value"));
    assert!(started.elapsed() < slowest, "the owner does not");
}

// R20
pub(crate) async fn the_second_of_two_cookies_counts_when_the_first_is_dead(place: &Place) {
    let server = Server::new(place);
    let live = server.write("", "key", "value").await;
    let planted = cookie_of(&Token::random().unwrap());
    for both in [format!("{planted}; {live}"), format!("{live}; {planted}")] {
        assert_eq!(server.read(&both, "key").await.as_deref(), Some("value"), "{both}");
    }
}

// R65
pub(crate) async fn a_failed_load_is_never_followed_by_a_save(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    server.store.fail("load");
    assert_eq!(kind_of(server.try_visit(&cookie).await), Some(ErrorKind::Unavailable));
    assert!(server.events.names().contains(&"store_failed"));
    server.store.mend();
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("value"));
}

pub(crate) async fn a_session_asked_for_twice_is_loaded_once(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let before = server.store.calls();
    let exchange = server.begin(&cookie);
    let (one, two) = (exchange.handle(), exchange.handle());
    let (one, two) = tokio::join!(one.session(), two.session());
    one.unwrap().insert("key", "changed").unwrap();
    assert_eq!(two.unwrap().get::<String>("key").unwrap().as_deref(), Some("changed"));
    assert_eq!(server.store.calls() - before, 1);
}

pub(crate) async fn reading_and_then_writing_loads_once(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let before = server.store.calls();
    let exchange = server.begin(&cookie);
    assert!(exchange.handle().read().await.unwrap().contains("key"));
    exchange.handle().session().await.unwrap().insert("key", "changed").unwrap();
    assert_eq!(server.store.calls() - before, 1);
    exchange.finish(http::StatusCode::OK, &mut http::HeaderMap::new()).await.unwrap();
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("changed"));
}

// R26
pub(crate) async fn cookies_that_never_come_back_are_told_of_once(place: &Place) {
    let server = Server::new(place);
    for _ in 0..40 {
        server.write("", "key", "value").await;
    }
    let names = server.events.take();
    assert_eq!(names.iter().filter(|name| **name == "cookies_not_returned").count(), 1);
    assert_eq!(names.iter().position(|name| *name == "cookies_not_returned"), Some(20));
}
