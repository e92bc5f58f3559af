//! How a session is held, and what becomes of it when its request is over.

use std::future::Future;
use std::task::{Context, Waker};

use http::{HeaderMap, StatusCode};
use sessile::ErrorKind;

use crate::engine::Place;
use crate::engine::harness::{Server, kind_of, secs};

pub(crate) async fn commit_shows_the_committed_value(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "n", "x").await;
    let visit = server.visit(&cookie).await;
    let add = |n: Option<u64>| n.unwrap_or(0) + 1;
    assert_eq!(visit.session.update("count", add).unwrap(), 1);
    let other = server.visit(&cookie).await;
    other.session.update("count", add).unwrap();
    other.finish().await.unwrap();
    visit.session.commit().await.unwrap();
    assert_eq!(visit.session.get::<u64>("count").unwrap(), Some(2));
    let (committed, set) = visit.finish_with(StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!((kind_of(committed), set), (None, None));
    assert_eq!(server.visit(&cookie).await.session.get::<u64>("count").unwrap(), Some(2));
}

// R64
pub(crate) async fn a_commit_that_is_dropped_half_way_refuses_to_go_on(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    visit.session.insert("key", "new").unwrap();
    server.store.hang("update");
    let mut commit = Box::pin(visit.session.commit());
    assert!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(visit.session.get::<String>("key").unwrap().as_deref(), Some("new"));
    drop(commit);
    server.store.mend();
    assert_eq!(kind_of(visit.session.insert("key", "more")), Some(ErrorKind::Closed));
    assert_eq!(kind_of(visit.finish().await), Some(ErrorKind::Closed));
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("value"));
}

pub(crate) async fn a_clone_that_outlives_its_request_reads_and_refuses_to_write(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    let clone = visit.session.clone();
    visit.finish().await.unwrap();
    assert_eq!(clone.get::<String>("key").unwrap().as_deref(), Some("value"));
    assert_eq!(kind_of(clone.insert("key", "late")), Some(ErrorKind::Closed));
    assert_eq!(kind_of(clone.invalidate()), Some(ErrorKind::Closed));
    assert_eq!(kind_of(clone.login("ann")), Some(ErrorKind::Closed));
    assert_eq!(kind_of(clone.commit().await), Some(ErrorKind::Closed));
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("value"));
}

pub(crate) async fn what_is_changed_while_the_last_commit_runs_is_refused(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    let clone = visit.session.clone();
    visit.session.insert("key", "new").unwrap();
    let barrier = server.store.stop_after(0);
    let finish = tokio::spawn(visit.finish());
    assert!(barrier.is_met_by(&finish).await);
    assert_eq!(kind_of(clone.insert("late", "lost")), Some(ErrorKind::Closed));
    assert_eq!(clone.get::<String>("key").unwrap().as_deref(), Some("new"));
    barrier.lift();
    finish.await.unwrap().unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["key"]);
}

pub(crate) async fn a_dropped_exchange_writes_nothing_and_frees_its_lock(place: &Place) {
    let server = Server::with(place, |config| config.lock_wait = secs(1));
    let cookie = server.write("", "key", "value").await;
    let exchange = server.begin(&cookie);
    let held = exchange.handle().exclusive().await.unwrap();
    held.insert("key", "lost").unwrap();
    drop(exchange);
    assert_eq!(kind_of(held.insert("key", "late")), Some(ErrorKind::Closed));
    let next = server.begin(&cookie);
    let session = next.handle().exclusive().await.unwrap();
    assert_eq!(session.get::<String>("key").unwrap().as_deref(), Some("value"));
}

/// A task of the handler waits for the lock, and gets it when nobody waits for the task any more.
pub(crate) async fn a_lock_that_comes_after_its_request_is_given_back(place: &Place) {
    let server = Server::with(place, |config| config.lock_wait = secs(10));
    let cookie = server.write("", "key", "value").await;
    let holder = server.begin(&cookie);
    holder.handle().exclusive().await.unwrap();
    let left = server.visit(&cookie).await;
    let clone = left.session.clone();
    let waiting = tokio::spawn(clone.exclusive());
    while !waiting.is_finished() && server.store.calls() < 6 {
        tokio::task::yield_now().await;
    }
    drop(left.exchange);
    drop(holder);
    let held = waiting.await.unwrap();
    assert_eq!(held.as_ref().err().map(sessile::Error::kind), Some(ErrorKind::Closed));
    let next = server.begin(&cookie);
    next.handle().exclusive().await.unwrap();
    drop(left.session);
}

pub(crate) async fn exclusive_requests_run_one_after_the_other(place: &Place) {
    let server = std::sync::Arc::new(Server::new(place));
    let cookie = server.write("", "key", "value").await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (server, cookie) = (server.clone(), cookie.clone());
            tokio::spawn(async move {
                let exchange = server.begin(&cookie);
                let held = exchange.handle().exclusive().await.unwrap();
                // Read, wait, write: without the lock this loses nearly every increment.
                let n = held.get::<u64>("count").unwrap().unwrap_or(0);
                tokio::task::yield_now().await;
                held.insert("count", &(n + 1)).unwrap();
                exchange.finish(StatusCode::OK, &mut HeaderMap::new()).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(server.visit(&cookie).await.session.get::<u64>("count").unwrap(), Some(16));
    assert!(!server.events.names().contains(&"conflict"));
}

pub(crate) async fn going_up_to_exclusive_keeps_what_was_changed(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    visit.session.insert("mine", "kept").unwrap();
    server.write(&cookie, "theirs", "seen").await;
    let held = visit.session.clone().exclusive().await.unwrap();
    assert_eq!(held.keys(), ["key", "mine", "theirs"]);
    visit.finish().await.unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["key", "mine", "theirs"]);
}

// R68
pub(crate) async fn too_large_a_value_is_refused_before_anything_is_written(place: &Place) {
    let server = Server::with(place, |config| config.data_bytes_max = 1_000);
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    let calls = server.store.calls();
    let large = "x".repeat(1_000);
    assert_eq!(kind_of(visit.session.insert("large", &large)), Some(ErrorKind::TooLarge));
    assert_eq!(server.store.calls(), calls);
    visit.session.insert("small", "fits").unwrap();
    visit.finish().await.unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["key", "small"]);
}

// R68
pub(crate) async fn too_many_keys_and_too_deep_a_value_are_refused(place: &Place) {
    let server = Server::with(place, |config| {
        config.keys_max = 2;
        config.nesting_max = 2;
    });
    let visit = server.visit("").await;
    let session = &visit.session;
    session.insert("a", &[[1]]).unwrap();
    assert_eq!(kind_of(session.insert("a", &[[[1]]])), Some(ErrorKind::TooLarge));
    let deeper = session.update("a", |_: Option<Vec<Vec<Vec<u8>>>>| vec![vec![vec![1]]]);
    assert!(deeper.is_err());
    session.insert("b", "b").unwrap();
    assert_eq!(kind_of(session.insert("c", "c")), Some(ErrorKind::TooLarge));
    session.insert("b", "again").unwrap();
}

pub(crate) async fn a_detached_session_is_written_by_commit(place: &Place) {
    let server = Server::new(place);
    let session = server.sessions.detached();
    assert_eq!(session.id(), None);
    session.login("ann").unwrap();
    session.insert("from", "a job").unwrap();
    session.commit().await.unwrap();
    let found = server.sessions.find(session.id().unwrap()).await.unwrap().unwrap();
    assert_eq!(found.get::<String>("from").unwrap().as_deref(), Some("a job"));
}

pub(crate) async fn flashes_are_given_once(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.flash("saved").unwrap();
    visit.session.flash("twice").unwrap();
    let cookie = visit.finish().await.unwrap().unwrap();
    for expected in [&["saved", "twice"][..], &[]] {
        let visit = server.visit(&cookie).await;
        assert_eq!(visit.session.flashes().unwrap(), expected);
        visit.finish().await.unwrap();
    }
}

#[derive(Debug)]
struct Panicking;

impl sessile::Subscriber for Panicking {
    fn notify(&self, _: &sessile::Event) {
        panic!("expected by this test");
    }
}

// R43
pub(crate) async fn subscribers_that_panic_stop_nothing(place: &Place) {
    let builder = sessile::Sessions::builder(place.store.clone()).subscriber(Panicking);
    let sessions = builder.build().unwrap();
    let exchange = sessions.begin(&HeaderMap::new(), sessile::Client::default());
    exchange.handle().session().await.unwrap().login("ann").unwrap();
    exchange.finish(StatusCode::OK, &mut HeaderMap::new()).await.unwrap();
    let id = sessions.list("ann", None, None).await.unwrap().devices[0].session.id;
    assert!(sessions.revoke("ann", id).await.unwrap());
}

pub(crate) async fn a_flash_noted_while_another_is_given_is_kept(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.flash("first").unwrap();
    let cookie = visit.finish().await.unwrap().unwrap();
    let looking = server.visit(&cookie).await;
    assert_eq!(looking.session.flashes().unwrap(), ["first"]);
    let noting = server.visit(&cookie).await;
    noting.session.flash("second").unwrap();
    noting.finish().await.unwrap();
    looking.finish().await.unwrap();
    assert_eq!(server.visit(&cookie).await.session.flashes().unwrap(), ["second"]);
}

pub(crate) async fn a_session_found_by_its_id_may_be_held_alone(place: &Place) {
    let server = Server::with(place, |config| config.lock_wait = secs(1));
    let cookie = server.signed_in("ann").await;
    let id = server.id(&cookie).await.unwrap();
    let found = server.sessions.find(id).await.unwrap().unwrap();
    found.insert("before", "kept").unwrap();
    let held = found.exclusive().await.unwrap();
    assert_eq!((held.id(), held.keys()), (Some(id), vec!["before".to_owned()]));
    let other = server.begin(&cookie);
    assert_eq!(kind_of(other.handle().exclusive().await), Some(ErrorKind::LockTimeout));
    held.insert("job", "done").unwrap();
    held.commit().await.unwrap();
    let other = server.begin(&cookie);
    let still = other.handle().exclusive().await;
    assert_eq!(kind_of(still), Some(ErrorKind::LockTimeout), "a commit frees nothing");
    assert!(held.is_live().await.unwrap());
    drop(held);
    assert_eq!(server.visit(&cookie).await.session.keys(), ["before", "job"]);
    let found = server.sessions.find(id).await.unwrap().unwrap();
    server.sessions.revoke_any(id).await.unwrap();
    assert!(!found.is_live().await.unwrap());
    let late = found.clone();
    server.events.take();
    assert_eq!(kind_of(found.exclusive().await), Some(ErrorKind::Ended));
    // What is written all the same begins no session that nobody could open.
    late.insert("job", "late").unwrap();
    assert_eq!(kind_of(late.commit().await), Some(ErrorKind::Ended));
    assert_eq!(server.events.take(), ["write_refused", "write_refused"]);
}
