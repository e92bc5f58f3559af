//! End the sessions of everybody.

use http::StatusCode;
use sessile::{ErrorKind, SessionId};

use crate::engine::Place;
use crate::engine::harness::{Server, kind_of, secs};

/// No schedule of one login has this many calls of the store.
const CALLS_MAX: usize = 32;

async fn ids(server: &Server, owner: &str) -> Vec<SessionId> {
    let page = server.sessions.list(owner, None, None).await.unwrap();
    page.devices.iter().map(|device| device.session.id).collect()
}

// R40
pub(crate) async fn everybody_is_signed_out_and_may_sign_in_again(place: &Place) {
    let server = Server::new(place);
    let mut cookies = vec![server.write("", "basket", "apple").await];
    for owner in ["ann", "ann", "bob"] {
        cookies.push(server.signed_in(owner).await);
    }
    server.events.take();
    assert_eq!(server.sessions.revoke_everybody().await.unwrap(), 4);
    let names = server.events.take();
    assert_eq!(names.iter().filter(|name| **name == "revoked").count(), 4);
    assert_eq!(names.last(), Some(&"everybody_revoked"));
    assert!(!names.contains(&"conflict"), "nobody else ended everything");
    for cookie in &cookies {
        assert_eq!(server.id(cookie).await, None);
    }
    assert_eq!(server.sessions.revoke_everybody().await.unwrap(), 0, "once more");
    server.clock.advance(secs(1));
    assert_eq!(server.sessions.revoke_everybody().await.unwrap(), 0, "a second later");
    assert!(!server.events.take().contains(&"conflict"), "nobody else ended everything");
    server.clock.advance(secs(1));
    let again = server.signed_in("ann").await;
    assert_eq!(server.owner(&again).await.as_deref(), Some("ann"));
    let anonymous = server.write("", "basket", "pear").await;
    assert_eq!(server.read(&anonymous, "basket").await.as_deref(), Some("pear"));
}

pub(crate) async fn revoking_the_signed_in_spares_the_anonymous(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let cookie = server.signed_in("ann").await;
    assert_eq!(server.sessions.revoke_signed_in().await.unwrap(), 1);
    assert_eq!(server.id(&cookie).await, None);
    assert_eq!(server.read(&anonymous, "basket").await.as_deref(), Some("apple"));
}

// R40
pub(crate) async fn a_login_that_began_before_everybody_was_revoked_is_refused(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    for cookie in ["", &anonymous] {
        let visit = server.visit(cookie).await;
        visit.session.login("ann").unwrap();
        server.clock.advance(secs(1));
        server.sessions.revoke_signed_in().await.unwrap();
        let (committed, set) = visit.finish_with(StatusCode::OK).await;
        assert_eq!((kind_of(committed), set), (Some(ErrorKind::Ended), None));
        assert_eq!(ids(&server, "ann").await, []);
    }
    assert_eq!(server.read(&anonymous, "basket").await.as_deref(), Some("apple"));
}

// R40
/// Everything ends between any two calls that a login makes.
pub(crate) async fn no_login_escapes_the_end_of_everybodys_sessions(place: &Place) {
    for calls in 0..CALLS_MAX {
        let server = Server::new(place);
        let anonymous = server.write("", "basket", "apple").await;
        let visit = server.visit(&anonymous).await;
        visit.session.login("ann").unwrap();
        let barrier = server.store.stop_after(calls);
        let login = tokio::spawn(visit.finish_with(StatusCode::OK));
        let met = barrier.is_met_by(&login).await;

        let admin = Server::new(place);
        admin.sessions.revoke_everybody().await.unwrap();
        barrier.lift();
        let (_, cookie) = login.await.unwrap();
        assert_eq!(ids(&admin, "ann").await, [], "after {calls} calls of the login");
        assert_eq!(server.owner(&cookie.unwrap_or_default()).await, None);
        if !met {
            return assert!(calls > 2, "a login makes more calls than {calls}");
        }
    }
    panic!("a login makes more calls than {CALLS_MAX}");
}

// R40
/// A whole login runs between any two calls that the end of everything makes.
pub(crate) async fn the_end_of_everybodys_sessions_misses_no_login_beside_it(place: &Place) {
    for calls in 0..CALLS_MAX {
        let (server, admin) = (Server::new(place), Server::new(place));
        let visit = server.visit("").await;
        visit.session.login("ann").unwrap();
        let barrier = admin.store.stop_after(calls);
        let sessions = admin.sessions.clone();
        let end = tokio::spawn(async move { sessions.revoke_everybody().await });
        let met = barrier.is_met_by(&end).await;

        let (committed, cookie) = visit.finish_with(StatusCode::OK).await;
        barrier.lift();
        end.await.unwrap().unwrap();
        assert_eq!(ids(&admin, "ann").await, [], "after {calls} calls of the end");
        assert_eq!(server.owner(&cookie.unwrap_or_default()).await, None);
        if !met {
            assert_eq!(kind_of(committed), Some(ErrorKind::Ended), "a login after all is done");
            return assert!(calls > 1, "the end of everything makes more calls than {calls}");
        }
    }
    panic!("the end of everything makes more calls than {CALLS_MAX}");
}

pub(crate) async fn an_earlier_end_of_everybodys_sessions_takes_nothing_back(place: &Place) {
    let (server, late) = (Server::new(place), Server::new(place));
    late.clock.advance(secs(60));
    late.sessions.revoke_everybody().await.unwrap();
    server.sessions.revoke_everybody().await.unwrap();
    for (seconds, is_let_in) in [(0, false), (59, false), (2, true)] {
        server.clock.advance(secs(seconds));
        let visit = server.visit("").await;
        visit.session.login("ann").unwrap();
        let (committed, _) = visit.finish_with(StatusCode::OK).await;
        assert_eq!(committed.is_ok(), is_let_in, "{seconds} seconds later");
    }
    late.clock.advance(secs(60));
    assert_eq!(late.sessions.revoke_everybody().await.unwrap(), 1, "the mark is raised again");
    let visit = server.visit("").await;
    visit.session.login("ann").unwrap();
    assert_eq!(kind_of(visit.finish().await), Some(ErrorKind::Ended));
}

pub(crate) async fn a_login_waits_for_the_word_on_everybody(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.login("ann").unwrap();
    server.store.fail("load");
    let (committed, set) = visit.finish_with(StatusCode::OK).await;
    assert_eq!((kind_of(committed), set), (Some(ErrorKind::Unavailable), None));
    server.store.mend();
    assert_eq!(ids(&server, "ann").await, [], "nobody knows whether it may stay");
}

// R40
pub(crate) async fn nobody_ends_the_end_of_everybodys_sessions(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.login("ann").unwrap();
    server.clock.advance(secs(1));
    server.sessions.revoke_everybody().await.unwrap();
    let mark = SessionId::from_bytes(*b"sessile everyone");
    assert!(!server.sessions.revoke_any(mark).await.unwrap());
    assert!(server.sessions.find(mark).await.unwrap().is_none());
    assert_eq!(kind_of(visit.finish().await), Some(ErrorKind::Ended));
}

// R40
pub(crate) async fn the_end_of_everybodys_sessions_counts_for_ever(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.login("ann").unwrap();
    server.clock.advance(secs(1));
    server.sessions.revoke_everybody().await.unwrap();
    server.clock.advance(secs(99 * 365 * 24 * 60 * 60));
    server.sessions.sweep(100).await.unwrap();
    assert_eq!(kind_of(visit.finish().await), Some(ErrorKind::Ended));
}

// R40
pub(crate) async fn one_sessions_trouble_keeps_no_other_from_its_end(place: &Place) {
    let server = Server::new(place);
    // More than are ended at once: those after the trouble end as well as those beside it.
    for _ in 0..40 {
        server.signed_in("ann").await;
    }
    server.store.fail_once("delete", ErrorKind::Corrupt);
    let troubled = server.sessions.revoke_everybody().await;
    assert_eq!(kind_of(troubled), Some(ErrorKind::Corrupt));
    assert_eq!(ids(&server, "ann").await.len(), 1);
    server.events.take();
    server.store.fail("delete");
    let outage = server.sessions.revoke_everybody().await;
    assert_eq!(kind_of(outage), Some(ErrorKind::Unavailable));
    assert!(!server.events.take().contains(&"everybody_revoked"), "an outage ends the attempt");
    server.store.mend();
    assert_eq!(server.sessions.revoke_everybody().await.unwrap(), 1);
}
