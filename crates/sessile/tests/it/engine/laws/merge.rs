//! Parallel requests lose no writes.

use std::panic::AssertUnwindSafe;

use sessile::{ErrorKind, Session};

use crate::engine::Place;
use crate::engine::harness::{Server, Visit, kind_of, secs};

fn count(session: &Session) -> sessile::Result<u64> {
    session.update("count", |n: Option<u64>| n.unwrap_or(0) + 1)
}

/// Two requests of one browser, both loaded before either is finished.
async fn pair(server: &Server, cookie: &str) -> (Visit, Visit) {
    (server.visit(cookie).await, server.visit(cookie).await)
}

// R60
pub(crate) async fn different_keys_written_in_parallel_all_survive(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "old", "old").await;
    let mut visits = Vec::new();
    for letter in 'a'..='z' {
        let visit = server.visit(&cookie).await;
        visit.session.insert(&letter.to_string(), &letter).unwrap();
        visits.push(visit);
    }
    for visit in visits.into_iter().rev() {
        assert_eq!(visit.finish().await.unwrap(), None);
    }
    assert_eq!(server.visit(&cookie).await.session.keys().len(), 27);
}

// R60
pub(crate) async fn parallel_updates_are_all_applied(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "old", "old").await;
    let (one, two) = pair(&server, &cookie).await;
    assert_eq!((count(&one.session).unwrap(), count(&two.session).unwrap()), (1, 1));
    two.finish().await.unwrap();
    one.finish().await.unwrap();
    assert_eq!(server.visit(&cookie).await.session.get::<u64>("count").unwrap(), Some(2));
}

pub(crate) async fn clear_removes_what_is_there_at_commit(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "old", "old").await;
    let (clearing, writing) = pair(&server, &cookie).await;
    clearing.session.clear().unwrap();
    clearing.session.insert("kept", "kept").unwrap();
    writing.session.insert("late", "late").unwrap();
    writing.finish().await.unwrap();
    clearing.finish().await.unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["kept"]);
}

// R60
pub(crate) async fn an_insert_over_anothers_word_is_told(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "old").await;
    let (one, two) = pair(&server, &cookie).await;
    one.session.insert("key", "one").unwrap();
    two.session.insert("key", "two").unwrap();
    one.finish().await.unwrap();
    server.events.take();
    two.finish().await.unwrap();
    assert_eq!(server.events.take(), ["conflict", "overwrote"]);
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("two"));
}

pub(crate) async fn an_insert_over_anothers_word_is_refused_when_asked(place: &Place) {
    let server = Server::with(place, |config| config.refuse_overwrites = true);
    let cookie = server.write("", "key", "old").await;
    let (one, two) = pair(&server, &cookie).await;
    one.session.insert("key", "one").unwrap();
    two.session.insert("key", "two").unwrap();
    one.finish().await.unwrap();
    assert_eq!(kind_of(two.finish().await), Some(ErrorKind::Overwrote));
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("one"));
}

pub(crate) async fn a_closure_that_panics_at_commit_writes_nothing(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "old", "old").await;
    let (one, two) = pair(&server, &cookie).await;
    let picky = |n: Option<u64>| n.map_or(1, |_| panic!("expected by this test"));
    one.session.update("count", picky).unwrap();
    one.session.insert("also", "lost").unwrap();
    count(&two.session).unwrap();
    two.finish().await.unwrap();
    assert_eq!(kind_of(one.finish().await), Some(ErrorKind::Panicked));
    let after = server.visit(&cookie).await.session;
    assert_eq!((after.get("count").unwrap(), after.contains("also")), (Some(1_u64), false));
}

pub(crate) async fn a_closure_may_use_its_own_session(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    visit.session.insert("price", &7).unwrap();
    let clone = visit.session.clone();
    let total = visit.session.update("total", move |total: Option<u64>| {
        total.unwrap_or(0) + clone.get::<u64>("price").ok().flatten().unwrap_or(0)
    });
    assert_eq!(total.unwrap(), 7);
    // A panic inside a closure leaves the session usable to whoever catches it.
    let session = visit.session.clone();
    let panicking =
        AssertUnwindSafe(|| session.update("total", |_: Option<u64>| panic!("expected")));
    assert!(std::panic::catch_unwind(panicking).is_err());
    visit.finish().await.unwrap();
}

pub(crate) async fn a_closure_that_runs_again_may_use_its_own_session(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "price", "7").await;
    let visit = server.visit(&cookie).await;
    let clone = visit.session.clone();
    let total = move |total: Option<String>| {
        clone.insert("seen", "by the closure").unwrap();
        total.unwrap_or_default() + &clone.get::<String>("price").unwrap().unwrap()
    };
    visit.session.update("total", total).unwrap();
    server.write(&cookie, "total", "1").await;
    // Going up loads anew, and the closure runs on what is there now.
    let held = visit.session.clone().exclusive().await.unwrap();
    assert_eq!(held.get::<String>("total").unwrap().as_deref(), Some("17"));
    visit.finish().await.unwrap();
    let after = server.visit(&cookie).await.session;
    assert_eq!(after.keys(), ["price", "seen", "total"]);
    assert_eq!(after.get::<String>("total").unwrap().as_deref(), Some("17"));
}

pub(crate) async fn a_closure_that_changes_its_own_key_is_refused(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    let clone = visit.session.clone();
    let restless = move |n: Option<u64>| {
        count(&clone).unwrap();
        n.unwrap_or(0)
    };
    assert_eq!(kind_of(visit.session.update("count", restless)), Some(ErrorKind::Contended));
}

/// One committer is beaten again and again, and still waits for nobody but those who beat it.
pub(crate) async fn a_committer_that_keeps_losing_gets_its_turn(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "old", "old").await;
    let visit = server.visit(&cookie).await;
    count(&visit.session).unwrap();
    let mut barrier = server.store.stop_after(0);
    let finish = tokio::spawn(visit.finish());
    for _ in 0..6 {
        assert!(barrier.is_met_by(&finish).await);
        let other = server.visit(&cookie).await;
        count(&other.session).unwrap();
        other.finish().await.unwrap();
        let lifted = std::mem::replace(&mut barrier, server.store.stop_after(0));
        lifted.lift();
    }
    assert!(barrier.is_met_by(&finish).await);
    barrier.lift();
    finish.await.unwrap().unwrap();
    assert_eq!(server.events.attempts(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(server.visit(&cookie).await.session.get::<u64>("count").unwrap(), Some(7));
}

pub(crate) async fn many_committers_of_one_session_all_succeed(place: &Place) {
    // What is proved is that nobody loses, not how fast a busy server is.
    let server = Server::with(place, |config| config.commit_deadline = secs(60));
    let server = std::sync::Arc::new(server);
    let cookie = server.write("", "old", "old").await;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (server, cookie) = (server.clone(), cookie.clone());
            tokio::spawn(async move {
                let visit = server.visit(&cookie).await;
                count(&visit.session).unwrap();
                visit.session.commit().await.unwrap();
                visit.session.get::<u64>("count").unwrap().unwrap()
            })
        })
        .collect();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=64).collect::<Vec<_>>(), "each saw its own number");
}

pub(crate) async fn what_is_changed_by_id_merges_like_any_other(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "old", "old").await;
    let id = server.id(&cookie).await.unwrap();
    let found = server.sessions.find(id).await.unwrap().unwrap();
    count(&found).unwrap();
    let visit = server.visit(&cookie).await;
    count(&visit.session).unwrap();
    visit.finish().await.unwrap();
    found.commit().await.unwrap();
    assert_eq!(server.visit(&cookie).await.session.get::<u64>("count").unwrap(), Some(2));
}
