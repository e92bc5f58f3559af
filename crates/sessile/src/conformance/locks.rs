//! The exclusive lock: whom it keeps out, for how long, and whom it does not concern.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::Place;
use super::trial::{
    LONG, LONG_AFTER, PATIENCE, SOON, Trial, at_once, list, next_of, owner, read, touch, update,
};
use crate::error::{ErrorKind, Result};
use crate::record::Record;
use crate::store::{Access, Durability, Loaded, Scope, Store, Ticket, Updated};
use crate::token::SessionId;

/// While one holds a session exclusively, no other exclusive load of it is answered; those of other
/// sessions are.
pub async fn exclusive_excludes_exclusive(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let (record, other) = (trial.created().await, trial.created().await);
    for turn in 0..2 {
        let held = trial.hold(turn, record.id).await;
        for rival in 0..2 {
            assert_timed_out(&trial.lock(rival, record.id, SOON, LONG).await);
        }
        let unrelated = at_once("the lock of another session", trial.hold(1, other.id)).await;
        release(&trial, turn, unrelated.ticket).await;
        release(&trial, turn, held.ticket).await;
    }
    never_two_at_once(&trial, &record).await;
}

/// Queues holders behind a lock that is held, and lets them go.
async fn never_two_at_once(trial: &Trial, record: &Record) {
    let first = trial.hold(0, record.id).await;
    let busy = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for turn in 0..4 {
        let (store, now) = (trial.handle(turn), trial.now());
        tasks.spawn(hold_by_turns(store, record.id, now, Arc::clone(&busy)));
    }
    let early = timeout(SOON, tasks.join_next()).await;
    assert!(early.is_err(), "who is willing to wait for a held lock ended with {early:?}");
    release(trial, 0, first.ticket).await;
    at_once("a queue of exclusive loads", tasks.join_all()).await;
}

async fn hold_by_turns(
    store: Arc<dyn Store>,
    id: SessionId,
    now: SystemTime,
    busy: Arc<AtomicBool>,
) {
    let access = Access::Exclusive { wait: LONG, hold: LONG };
    for _ in 0..8 {
        let loaded = store.load(id, now, access).await.expect("load fails");
        assert!(!busy.swap(true, Ordering::SeqCst), "two hold the exclusive lock");
        yield_now().await;
        busy.store(false, Ordering::SeqCst);
        let ticket = loaded.expect("the session is live").ticket;
        store.release(ticket).await.expect("release fails");
    }
}

/// Reads, saves, touches, lists and sweeps pass an exclusive lock; its holder's own save merges
/// like any other.
pub async fn exclusive_excludes_nobody_else(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let ann = owner("ann");
    let record = trial.created_of(&ann).await;
    let mut held = trial.hold(0, record.id).await;
    for turn in 0..2 {
        let (store, now) = (trial.handle(turn), trial.now());
        let seen = at_once("a load", read(&*store, record.id, now)).await.expect("it is live");
        at_once("a load for a write", store.load(record.id, now, Access::Write))
            .await
            .expect("load fails");
        let updated = at_once("an update", update(&*store, &next_of(&seen, 1), seen.version)).await;
        assert_eq!(updated, Updated::Written, "an update past the exclusive lock");
        assert!(at_once("a touch", touch(&*store, record.id, now)).await, "a touch");
        at_once("a list", list(&*store, Scope::Owner(&ann), now)).await;
    }
    let Updated::Conflict(current) = update_held(&trial, &mut held, &record).await else {
        panic!("the holder of the lock overwrote what others had saved");
    };
    assert_eq!(update_held(&trial, &mut held, &current).await, Updated::Written, "its merge");
    let swept = at_once("a sweep", trial.sweep(trial.now() + LONG_AFTER)).await;
    assert_eq!(swept, [(record.id, Some(ann))], "an expired session that is locked");
}

// R62
/// Whoever waits for the lock gets it when it is free, with the newest record; whoever has waited
/// as long as they were willing gets `LockTimeout`.
pub async fn exclusive_waits_and_times_out(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let record = trial.created().await;
    let mut held = trial.hold(0, record.id).await;
    for wait in [Duration::ZERO, SOON] {
        let refused = at_once("a short wait", trial.lock(1, record.id, wait, LONG)).await;
        assert_timed_out(&refused);
    }
    let mut waiter = pin!(trial.lock(1, record.id, LONG, LONG));
    assert_waits(waiter.as_mut()).await;
    assert_eq!(update_held(&trial, &mut held, &record).await, Updated::Written);
    release(&trial, 0, held.ticket).await;
    let loaded = at_once("the lock that was freed", waiter).await.expect("load fails");
    let loaded = loaded.expect("the session is live");
    assert_eq!(loaded.record.version, record.version.next(), "what the waiter was given");
    assert_timed_out(&trial.lock(0, record.id, SOON, LONG).await);
}

/// Dropping the ticket frees the lock as a release does.
pub async fn a_dropped_ticket_frees_the_lock(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let record = trial.created().await;
    for turn in 0..4 {
        let held = trial.hold(turn, record.id).await;
        drop(held.ticket);
        let next = trial.lock(turn / 2, record.id, PATIENCE, LONG).await;
        let next = next.expect("a dropped ticket keeps its lock").expect("the session is live");
        release(&trial, turn / 2, next.ticket).await;
    }
}

/// A hold that is meant to pass, yet not before somebody on a busy machine found the lock taken.
const SHORT_HOLD: Duration = Duration::from_millis(500);

// R62
/// A lock held past its deadline is free for others; its late holder's commit answers `LockLost`
/// and writes nothing, and its release takes nothing from the next holder.
pub async fn a_lock_held_too_long_is_lost_and_its_commit_fails(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let record = trial.created().await;
    let late = trial.lock(0, record.id, PATIENCE, SHORT_HOLD).await.expect("the lock is free");
    let mut late = late.expect("the session is live");
    let next = trial.lock(1, record.id, PATIENCE, LONG).await;
    let mut next = next.expect("a hold never ends").expect("the session is live");
    assert_eq!(update_held(&trial, &mut late, &record).await, Updated::LockLost, "its commit");
    release(&trial, 0, late.ticket).await;
    assert_timed_out(&trial.lock(0, record.id, SOON, LONG).await);
    assert_eq!(update_held(&trial, &mut next, &record).await, Updated::Written, "the next holder");
}

/// A logout waits for no exclusive lock; its holder, and whoever waits for it, find the session
/// gone.
pub async fn delete_passes_an_exclusive_lock(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let ann = owner("ann");
    for delete_all in [false, true] {
        let record = trial.created_of(&ann).await;
        let mut held = trial.hold(0, record.id).await;
        let mut waiter = pin!(trial.lock(1, record.id, PATIENCE, LONG));
        assert_waits(waiter.as_mut()).await;
        if delete_all {
            let delete = trial.twin.delete_owner(&ann, None, trial.now(), Durability::Power);
            assert_eq!(at_once("delete_owner", delete).await.expect("it fails"), 1, "deleted");
        } else {
            let delete = trial.twin.delete(record.id, Durability::Power);
            assert!(at_once("a delete", delete).await.expect("delete fails"), "it was there");
        }
        assert_eq!(trial.load(record.id).await, None, "after the delete");
        assert_eq!(update_held(&trial, &mut held, &record).await, Updated::Gone, "the holder");
        release(&trial, 0, held.ticket).await;
        let given = at_once("the lock of an ended session", waiter).await.expect("load fails");
        assert!(given.is_none(), "what the waiter was given: {given:?}");
    }
}

async fn assert_waits(waiter: Pin<&mut impl Future<Output = Result<Option<Loaded>>>>) {
    let given = timeout(SOON, waiter).await;
    assert!(given.is_err(), "who is willing to wait for a held lock was given {given:?}");
}

async fn update_held(trial: &Trial, held: &mut Loaded, over: &Record) -> Updated {
    let (next, ticket) = (next_of(over, 2), &mut held.ticket);
    let updated = trial.store.update(&next, over.version, Durability::Process, ticket).await;
    updated.expect("update fails")
}

async fn release(trial: &Trial, turn: usize, ticket: Ticket) {
    trial.handle(turn).release(ticket).await.expect("release fails");
}

fn assert_timed_out(refused: &Result<Option<Loaded>>) {
    let kind = refused.as_ref().map_err(crate::Error::kind).err();
    assert_eq!(kind, Some(ErrorKind::LockTimeout), "a load while the lock is held: {refused:?}");
}
