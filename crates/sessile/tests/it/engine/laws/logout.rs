//! A logout is final.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use sessile::ErrorKind;

use crate::engine::Place;
use crate::engine::harness::{Server, kind_of};

// R38, R77
pub(crate) async fn logout_wins_against_a_request_in_flight(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let slow = server.visit(&cookie).await;
    slow.session.insert("key", "value").unwrap();
    let leaving = server.visit(&cookie).await;
    leaving.session.invalidate().unwrap();
    leaving.finish().await.unwrap();
    let (committed, set) = slow.finish_with(StatusCode::OK).await;
    assert_eq!(kind_of(committed), Some(ErrorKind::Ended));
    assert_eq!(set, None, "the late answer leaves the cookie alone");
    assert_eq!(server.id(&cookie).await, None);
    let names = server.events.take();
    assert!(names.contains(&"logged_out") && names.contains(&"write_refused"), "{names:?}");
}

pub(crate) async fn logout_is_carried_out_with_a_5xx(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let visit = server.visit(&cookie).await;
    visit.session.invalidate().unwrap();
    let (committed, set) = visit.finish_with(StatusCode::BAD_GATEWAY).await;
    committed.unwrap();
    assert_eq!(set.as_deref(), Some("__Host-session="));
    assert_eq!(server.id(&cookie).await, None);
}

pub(crate) async fn logout_with_a_dead_token_removes_the_cookie(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    for _ in 0..2 {
        let visit = server.visit(&cookie).await;
        visit.session.invalidate().unwrap();
        assert_eq!(visit.finish().await.unwrap().as_deref(), Some("__Host-session="));
    }
    let visit = server.visit("").await;
    visit.session.invalidate().unwrap();
    assert_eq!(visit.finish().await.unwrap(), None, "there was no cookie to remove");
}

// R19
pub(crate) async fn a_session_may_begin_after_a_logout_in_one_request(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let visit = server.visit(&cookie).await;
    visit.session.insert("before", "gone").unwrap();
    visit.session.invalidate().unwrap();
    visit.session.flash("signed out").unwrap();
    let new = visit.finish().await.unwrap().unwrap();
    assert_eq!((server.id(&cookie).await, server.owner(&new).await), (None, None));
    let next = server.visit(&new).await;
    assert_eq!(next.session.flashes().unwrap(), ["signed out"]);
    assert!(!next.session.contains("before"));
}

pub(crate) async fn a_token_committed_before_a_logout_never_goes_out(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.login("ann").unwrap();
    visit.session.commit().await.unwrap();
    let id = visit.session.id().unwrap();
    visit.session.invalidate().unwrap();
    assert_eq!(visit.finish().await.unwrap(), None);
    assert!(server.sessions.find(id).await.unwrap().is_none());
}

pub(crate) async fn only_the_request_that_logs_out_removes_its_cookie(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let id = server.id(&cookie).await.unwrap();
    assert!(server.sessions.revoke_any(id).await.unwrap());
    let visit = server.visit(&cookie).await;
    assert_eq!((visit.session.id(), visit.finish().await.unwrap()), (None, None));
}

pub(crate) async fn a_5xx_drops_data_login_and_rotation(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let wishes: [fn(&sessile::Session); 3] =
        [|s| s.insert("key", "new").unwrap(), |s| s.login("ann").unwrap(), |s| s.rotate().unwrap()];
    for wish in wishes {
        let visit = server.visit(&cookie).await;
        let before = visit.session.record();
        wish(&visit.session);
        let (committed, set) = visit.finish_with(StatusCode::INTERNAL_SERVER_ERROR).await;
        assert_eq!((kind_of(committed), set), (None, None));
        assert_eq!(server.visit(&cookie).await.session.record(), before);
    }
}

pub(crate) async fn logout_passes_an_exclusive_request(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let exchange = server.begin(&cookie);
    let held = exchange.handle().exclusive().await.unwrap();
    held.insert("key", "value").unwrap();
    let leaving = server.visit(&cookie).await;
    leaving.session.invalidate().unwrap();
    leaving.finish().await.unwrap();
    let committed = exchange.finish(StatusCode::OK, &mut http::HeaderMap::new()).await;
    assert_eq!(kind_of(committed), Some(ErrorKind::Ended));
}

pub(crate) async fn a_socket_notices_a_logout(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let socket = server.visit(&cookie).await;
    assert!(socket.session.is_live().await.unwrap());
    let leaving = server.visit(&cookie).await;
    leaving.session.invalidate().unwrap();
    leaving.finish().await.unwrap();
    assert!(!socket.session.is_live().await.unwrap());
}

pub(crate) async fn what_was_logged_out_does_not_come_back_by_going_up(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let visit = server.visit(&cookie).await;
    visit.session.invalidate().unwrap();
    visit.session.insert("theme", "dark").unwrap();
    let held = visit.session.clone().exclusive().await.unwrap();
    assert_eq!((held.id(), held.owner(), held.keys()), (None, None, vec!["theme".to_owned()]));
    let new = visit.finish().await.unwrap().unwrap();
    assert_eq!(server.id(&cookie).await, None);
    assert_eq!(server.read(&new, "theme").await.as_deref(), Some("dark"));
}

/// A task of the handler logs out while the handler's login is being committed.
pub(crate) async fn a_logout_beside_a_commit_of_its_own_request_ends_what_that_makes(
    place: &Place,
) {
    for calls in 0..3 {
        let server = Server::new(place);
        let cookie = server.write("", "basket", "apple").await;
        let visit = server.visit(&cookie).await;
        let (session, task) = (visit.session.clone(), visit.session.clone());
        session.login("ann").unwrap();
        let barrier = server.store.stop_after(calls);
        let commit = tokio::spawn(async move { session.commit().await });
        assert!(barrier.is_met_by(&commit).await, "a login makes more calls than {calls}");
        task.invalidate().unwrap();
        barrier.lift();
        commit.await.unwrap().unwrap();
        assert_eq!((task.id(), task.owner()), (None, None), "after {calls} calls");
        let left = visit.finish().await.unwrap();
        assert_eq!(left.as_deref(), Some("__Host-session="));
        let page = server.sessions.list("ann", None, None).await.unwrap();
        assert_eq!(page.devices, [], "after {calls} calls");
    }
}

/// A closure that runs again once the login is stored logs out, and fails.
pub(crate) async fn a_logout_stands_even_if_the_closure_that_asked_for_it_fails(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "basket", "apple").await;
    let visit = server.visit(&cookie).await;
    let (session, task, clone) =
        (visit.session.clone(), visit.session.clone(), visit.session.clone());
    session.login("ann").unwrap();
    let barrier = server.store.stop_after(0);
    let commit = tokio::spawn(async move { session.commit().await });
    assert!(barrier.is_met_by(&commit).await);
    let runs = AtomicUsize::new(0);
    let change = move |_: Option<String>| {
        if runs.fetch_add(1, Ordering::Relaxed) > 0 {
            clone.invalidate().unwrap();
            panic!("it runs again");
        }
        "once".to_owned()
    };
    task.update("runs", change).unwrap();
    barrier.lift();
    assert_eq!(kind_of(commit.await.unwrap()), Some(ErrorKind::Panicked));
    assert_eq!((task.id(), task.owner()), (None, None));
    assert_eq!(visit.finish().await.unwrap().as_deref(), Some("__Host-session="));
    assert_eq!(server.sessions.list("ann", None, None).await.unwrap().devices, []);
}

pub(crate) async fn a_logout_with_the_token_of_before_a_login_is_one(place: &Place) {
    let server = Server::new(place);
    let old = server.write("", "basket", "apple").await;
    let visit = server.visit(&old).await;
    visit.session.login("ann").unwrap();
    let new = visit.finish().await.unwrap().unwrap();
    let late = server.visit(&old).await;
    late.session.invalidate().unwrap();
    assert_eq!(late.finish().await.unwrap().as_deref(), Some("__Host-session="));
    assert!(server.id(&new).await.is_some(), "who holds it did not log out");
}
