//! A login is a new record, and gives nothing to whoever held the old token.

use sessile::{ErrorKind, Login, Session};

use crate::engine::Place;
use crate::engine::harness::{Server, Visit, kind_of, secs};

// R28, R29, R36
pub(crate) async fn login_gives_a_new_id_and_keeps_the_data(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let before = server.id(&anonymous).await;
    let visit = server.visit(&anonymous).await;
    visit.session.login(Login::new("ann").level(2)).unwrap();
    let cookie = visit.finish().await.unwrap().expect("a login sets a cookie");
    let session = server.visit(&cookie).await.session;
    assert_ne!(session.id(), before);
    assert_eq!(session.owner().unwrap().as_str(), "ann");
    assert_eq!(session.get::<String>("basket").unwrap().as_deref(), Some("apple"));
    assert_eq!(session.record().unwrap().level, 2);
    assert!(session.authenticated_within(secs(1)));
    server.clock.advance(secs(2));
    assert!(!server.visit(&cookie).await.session.authenticated_within(secs(1)));
}

/// The lock was the old session's; the new one is nobody else's yet.
pub(crate) async fn a_request_goes_on_after_a_committed_login(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let exchange = server.begin(&anonymous);
    let session = exchange.handle().exclusive().await.unwrap();
    session.login("ann").unwrap();
    session.commit().await.unwrap();
    session.insert("after", "kept").unwrap();
    let visit = Visit { exchange, session: (*session).clone() };
    let cookie = visit.finish().await.unwrap().expect("a login sets a cookie");
    assert_eq!(server.visit(&cookie).await.session.keys(), ["after", "basket"]);
}

pub(crate) async fn going_up_after_a_committed_login_finds_the_new_session(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let Visit { exchange, session } = server.visit(&anonymous).await;
    session.login("ann").unwrap();
    session.commit().await.unwrap();
    let held = session.exclusive().await.unwrap();
    assert_eq!(held.owner().unwrap().as_str(), "ann");
    held.rotate().unwrap();
    held.commit().await.unwrap();
    held.insert("after", "kept").unwrap();
    let visit = Visit { exchange, session: (*held).clone() };
    let cookie = visit.finish().await.unwrap().expect("a login sets a cookie");
    assert_eq!(server.visit(&cookie).await.session.keys(), ["after", "basket"]);
}

/// The lock of the session before is of no use to the one that a login made.
pub(crate) async fn after_a_committed_login_the_lock_is_taken_anew(place: &Place) {
    let server = Server::with(place, |config| config.lock_wait = secs(1));
    let anonymous = server.write("", "basket", "apple").await;
    let exchange = server.begin(&anonymous);
    let session = exchange.handle().exclusive().await.unwrap();
    session.login("ann").unwrap();
    session.commit().await.unwrap();
    let held = (*session).clone().exclusive().await.unwrap();
    let found = server.sessions.find(held.id().unwrap()).await.unwrap().unwrap();
    assert_eq!(kind_of(found.exclusive().await), Some(ErrorKind::LockTimeout));
}

pub(crate) async fn what_a_login_leaves_behind_late_data_does_not_follow(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let visit = server.visit(&anonymous).await;
    visit.session.login(Login::new("ann").drop_data()).unwrap();
    visit.session.insert("fresh", "kept").unwrap();
    server.write(&anonymous, "late", "pear").await;
    let cookie = visit.finish().await.unwrap().unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["fresh"]);
}

pub(crate) async fn login_leaves_the_data_behind_when_asked(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let visit = server.visit(&anonymous).await;
    visit.session.insert("fresh", "kept").unwrap();
    visit.session.login(Login::new("ann").drop_data()).unwrap();
    let cookie = visit.finish().await.unwrap().unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["fresh"]);
}

pub(crate) async fn login_takes_late_data_along(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let visit = server.visit(&anonymous).await;
    visit.session.login("ann").unwrap();
    server.write(&anonymous, "late", "pear").await;
    let cookie = visit.finish().await.unwrap().unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["basket", "late"]);
}

// R28
pub(crate) async fn a_planted_token_gains_nothing_by_a_login(place: &Place) {
    let server = Server::new(place);
    let planted = server.write("", "planted", "yes").await;
    let (thief_before, victim) = (server.visit(&planted).await, server.visit(&planted).await);
    thief_before.session.insert("late", "theft").unwrap();
    victim.session.login("ann").unwrap();
    let cookie = victim.finish().await.unwrap().unwrap();
    let thief_after = server.visit(&planted).await;
    assert_eq!((thief_after.session.owner(), thief_after.session.id()), (None, None));
    assert!(thief_after.session.keys().is_empty());
    assert_eq!(kind_of(thief_before.finish().await), Some(ErrorKind::Ended));
    assert!(!server.visit(&cookie).await.session.contains("late"));
}

pub(crate) async fn a_late_write_with_a_superseded_token_is_refused_without_a_cookie(
    place: &Place,
) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let visit = server.visit(&anonymous).await;
    visit.session.login("ann").unwrap();
    visit.finish().await.unwrap();
    let wishes: [fn(&Session) -> sessile::Result<()>; 4] = [
        |session| session.insert("key", "value"),
        |session| session.rotate(),
        |session| session.lower(0),
        |session| session.expire_in(secs(1)),
    ];
    for wish in wishes {
        let late = server.visit(&anonymous).await;
        wish(&late.session).unwrap();
        let (committed, set) = late.finish_with(http::StatusCode::OK).await;
        assert_eq!((kind_of(committed), set), (Some(ErrorKind::Ended), None));
    }
    assert!(server.events.names().contains(&"superseded"));
}

pub(crate) async fn the_mark_of_a_login_goes_after_the_grace(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let visit = server.visit(&anonymous).await;
    visit.session.login("ann").unwrap();
    visit.finish().await.unwrap();
    server.clock.advance(secs(60));
    let cookie = server.write(&anonymous, "key", "value").await;
    assert_ne!(cookie, anonymous, "a stale cookie is a fresh start again");
}

pub(crate) async fn two_logins_from_one_token_both_succeed(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let (one, two) = (server.visit(&anonymous).await, server.visit(&anonymous).await);
    one.session.login("ann").unwrap();
    one.finish().await.unwrap().unwrap();
    // The form was sent twice, and perhaps only the second answer reaches the browser.
    two.session.login("ann").unwrap();
    let cookie = two.finish().await.unwrap().unwrap();
    assert_eq!(server.owner(&cookie).await.as_deref(), Some("ann"));
    assert_eq!(server.read(&cookie, "basket").await.as_deref(), Some("apple"));
    let three = server.visit(&anonymous).await;
    three.session.login("ann").unwrap();
    let cookie = three.finish().await.unwrap().unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), Vec::<String>::new());
}

pub(crate) async fn a_login_does_not_revive_ended_data(place: &Place) {
    let server = Server::new(place);
    let anonymous = server.write("", "basket", "apple").await;
    let visit = server.visit(&anonymous).await;
    visit.session.insert("own", "pear").unwrap();
    visit.session.login("ann").unwrap();
    let id = server.id(&anonymous).await.unwrap();
    server.sessions.revoke_any(id).await.unwrap();
    let cookie = visit.finish().await.unwrap().unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["own"]);
}

// R40
pub(crate) async fn a_login_that_began_before_revoke_all_is_refused(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.login("ann").unwrap();
    server.clock.advance(secs(1));
    assert_eq!(server.sessions.revoke_all("ann", None).await.unwrap(), 0);
    let (committed, set) = visit.finish_with(http::StatusCode::OK).await;
    assert_eq!((kind_of(committed), set), (Some(ErrorKind::Ended), None));
    assert!(server.sessions.list("ann", None, None).await.unwrap().devices.is_empty());
    server.clock.advance(secs(1));
    server.signed_in("ann").await;
}

pub(crate) async fn a_login_whose_token_is_rotated_away_meanwhile_is_told_so(place: &Place) {
    let server = Server::new(place);
    let old = server.write("", "key", "value").await;
    let (login, rotation) = (server.visit(&old).await, server.visit(&old).await);
    login.session.login("ann").unwrap();
    rotation.session.rotate().unwrap();
    let new = rotation.finish().await.unwrap().unwrap();
    assert_eq!(kind_of(login.finish().await), Some(ErrorKind::Superseded));
    assert_eq!(server.owner(&new).await, None);
    let devices = server.sessions.list("ann", None, None).await.unwrap().devices;
    assert_eq!(devices, [], "the login took its record along");
}

/// What the application changes by ID is not written into the mark that a login left.
pub(crate) async fn a_session_found_by_its_id_ends_for_the_finder_with_a_login(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "basket", "apple").await;
    let id = server.id(&cookie).await.unwrap();
    let found = server.sessions.find(id).await.unwrap().unwrap();
    found.insert("late", "lost").unwrap();
    assert!(found.is_live().await.unwrap());
    let visit = server.visit(&cookie).await;
    visit.session.login("ann").unwrap();
    let new = visit.finish().await.unwrap().unwrap();
    assert!(!found.is_live().await.unwrap());
    assert_eq!(kind_of(found.commit().await), Some(ErrorKind::Ended));
    assert_eq!(server.visit(&new).await.session.keys(), ["basket"]);
}

pub(crate) async fn a_login_may_be_lowered_in_its_own_request(place: &Place) {
    let server = Server::new(place);
    for cookie in [String::new(), server.write("", "basket", "apple").await] {
        let visit = server.visit(&cookie).await;
        visit.session.login(Login::new("ann").level(3)).unwrap();
        visit.session.lower(2).unwrap();
        visit.session.lower(5).unwrap();
        let cookie = visit.finish().await.unwrap().unwrap();
        assert_eq!(server.visit(&cookie).await.session.record().unwrap().level, 2);
    }
}
