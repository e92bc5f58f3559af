//! What parallel requests may see of one another.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::Place;
use super::interleaving::{POLLS_MAX, dropped_after, interleaved, polled};
use super::trial::{
    LONG, LONG_AFTER, PATIENCE, SOON, Trial, assert_whole, at_once, list, next_of, owner, read,
    update,
};
use crate::record::{Record, Version};
use crate::store::{Access, Created, Durability, Scope, Store, Updated};
use crate::token::SessionId;

// R54
/// A read is one committed version, never a mixture of two and never an older one than before,
/// while several writers and readers are at the same record.
pub async fn a_read_is_one_committed_version(place: &dyn Place) {
    const LAST: Version = Version::new(200);
    let trial = Trial::new(place).await;
    let record = trial.created().await;
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for turn in 0..2 {
        writers.spawn(write_until(LAST, trial.handle(turn), record.clone(), turn as u64));
        readers.spawn(read_for_ever(trial.handle(turn), record.id, trial.now()));
    }
    writers.join_all().await;
    readers.abort_all();
    while let Some(reader) = readers.join_next().await {
        assert!(reader.is_err_and(|error| error.is_cancelled()), "a reader saw what nobody wrote");
    }
    let version = trial.load(record.id).await.map(|record| record.version);
    assert_eq!(version, Some(LAST), "after all writes");
    interleave_reads_with_a_write(&trial).await;
}

async fn write_until(last: Version, store: Arc<dyn Store>, mut record: Record, writer: u64) {
    for _ in 0..ATTEMPTS_MAX {
        if record.version >= last {
            return;
        }
        let next = next_of(&record, writer);
        record = match update(&*store, &next, record.version).await {
            Updated::Written => next,
            Updated::Conflict(current) => *current,
            other => panic!("a racing update of a live session: {other:?}"),
        };
        assert_whole(&record);
        yield_now().await;
    }
    panic!("{ATTEMPTS_MAX} racing updates led only to version {}", record.version);
}

/// Far more than there are rivals to lose against.
const ATTEMPTS_MAX: usize = 2_000;

async fn read_for_ever(store: Arc<dyn Store>, id: SessionId, now: SystemTime) {
    let mut newest = Version::FIRST;
    loop {
        let record = read(&*store, id, now).await.expect("the session is live");
        assert_whole(&record);
        assert!(record.version >= newest, "{} was read after {newest}", record.version);
        newest = record.version;
        yield_now().await;
    }
}

async fn interleave_reads_with_a_write(trial: &Trial) {
    let mut record = trial.created().await;
    for polls in 0..POLLS_MAX {
        let next = next_of(&record, 0);
        let write = update(&*trial.store, &next, record.version);
        let went = interleaved(polls, write, read_by_turns(trial, record.id)).await;
        assert!(went.second.is_sorted(), "a handle read an older version: {:?}", went.second);
        record = next;
        if went.exhausted {
            break;
        }
    }
}

/// What both handles read, one after the other. A write that is not polled may go on all the same, on
/// a server or in a task of its own, and end between the two.
async fn read_by_turns(trial: &Trial, id: SessionId) -> Vec<Version> {
    let mut versions = Vec::new();
    for turn in 0..4 {
        let record = read(&*trial.handle(turn), id, trial.now()).await;
        let record = record.expect("the session is live");
        assert_whole(&record);
        versions.push(record.version);
    }
    versions
}

// R61
/// Loads and lists end while a writer stands still in the middle of a write, and while somebody
/// holds the exclusive lock.
pub async fn readers_never_wait_for_writers(place: &dyn Place) {
    let trial = Trial::new(place).await;
    for polls in 0..POLLS_MAX {
        let record = trial.created_of(&owner("ann")).await;
        let next = next_of(&record, 0);
        let mut held = trial.hold(0, record.id).await;
        let ticket = &mut held.ticket;
        let write = trial.store.update(&next, record.version, Durability::Process, ticket);
        let mut write = std::pin::pin!(write);
        let written = polled(polls, write.as_mut()).await;
        assert_reads_at_once(&trial, record.id).await;
        if written.is_some() {
            break;
        }
        write.await.expect("update fails");
    }
}

async fn assert_reads_at_once(trial: &Trial, id: SessionId) {
    for turn in 0..2 {
        let (store, now) = (trial.handle(turn), trial.now());
        let record = at_once("a load", read(&*store, id, now)).await;
        assert_whole(&record.expect("the session is live"));
        let listed = at_once("a list", list(&*store, Scope::Owner(&owner("ann")), now)).await;
        assert!(listed.iter().any(|session| session.id == id), "the list misses {id}");
    }
}

/// Of many updates that expect the same version, one is written and all others get its record.
pub async fn racing_updates_of_one_version_have_one_winner(place: &dyn Place) {
    const WRITERS: usize = 8;
    let trial = Trial::new(place).await;
    let mut record = trial.created().await;
    for round in 0..16 {
        let barrier = Arc::new(Barrier::new(WRITERS));
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, barrier) = (trial.handle(writer), Arc::clone(&barrier));
            let (next, expected) = (next_of(&record, writer as u64), record.version);
            tasks.spawn(async move {
                barrier.wait().await;
                update(&*store, &next, expected).await
            });
        }
        let updates = tasks.join_all().await;
        let winners = updates.iter().filter(|updated| **updated == Updated::Written).count();
        assert_eq!(winners, 1, "winners of round {round}");
        record = trial.load(record.id).await.expect("the session is live");
        let current = Updated::Conflict(Box::new(record.clone()));
        for loser in updates.iter().filter(|updated| **updated != Updated::Written) {
            assert_eq!(*loser, current, "what a loser of round {round} got");
        }
    }
}

/// Counters that many requests raise at once, each by retrying on the conflict's record, lose
/// nothing.
pub async fn parallel_increments_by_retry_lose_nothing(place: &dyn Place) {
    const WRITERS: usize = 8;
    const EACH: usize = 10;
    let trial = Trial::new(place).await;
    let record = trial.created().await;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, mut record) = (trial.handle(writer), record.clone());
        tasks.spawn(async move {
            for _ in 0..EACH {
                record = incremented(&*store, record).await;
            }
        });
    }
    tasks.join_all().await;
    let record = trial.load(record.id).await.expect("the session is live");
    assert_eq!(count(&record), WRITERS * EACH, "the counter");
    assert_eq!(record.version, Version::new(1 + (WRITERS * EACH) as u64), "one version each");
}

async fn incremented(store: &dyn Store, mut record: Record) -> Record {
    for _ in 0..ATTEMPTS_MAX {
        let mut next = record.clone();
        next.version = record.version.next();
        next.data.insert("count", Bytes::from((count(&record) + 1).to_string()));
        match update(store, &next, record.version).await {
            Updated::Written => return next,
            Updated::Conflict(current) => record = *current,
            other => panic!("an increment of a live session: {other:?}"),
        }
        yield_now().await;
    }
    panic!("{ATTEMPTS_MAX} retries did not get past the conflict");
}

fn count(record: &Record) -> usize {
    let json = record.data.get("count").and_then(|json| std::str::from_utf8(json).ok());
    json.map_or(0, |json| json.parse().expect("a number was written"))
}

// R64
/// A future dropped at any await point leaves neither a half-written record nor a held lock.
pub async fn dropped_futures_leave_no_lock_and_no_half_write(place: &dyn Place) {
    let trial = Trial::new(place).await;
    // A dropped sweep may still be at its work, and all that lives here is expired at its instant.
    let swept = Trial::of(place, "swept").await;
    for polls in 1..POLLS_MAX {
        let finished = [
            drop_a_create(&trial, polls).await,
            drop_an_update(&trial, polls).await,
            drop_a_delete(&trial, polls).await,
            drop_a_sweep(&swept, polls).await,
            drop_an_exclusive_load(&trial, polls).await,
        ];
        if finished.iter().all(|finished| *finished) {
            break;
        }
    }
    drop_a_waiting_load(&trial).await;
}

async fn drop_a_create(trial: &Trial, polls: usize) -> bool {
    let ann = owner("ann");
    let record = trial.record_of(&ann);
    let create = trial.store.create(&record, Durability::Process);
    let finished = dropped_after(polls, create).await.is_some();
    if let Some(seen) = read(&*trial.store, record.id, trial.now()).await {
        assert_eq!(seen, record, "what a dropped create left");
        assert!(trial.lists(record.id, &ann, trial.now()).await, "it is live and not listed");
    }
    let again = trial.twin.create(&record, Durability::Process).await.expect("create fails");
    assert!(matches!(again, Created::New | Created::Exists), "create once more: {again:?}");
    // The dropped one may still be at its work, out of sight, and then it is the one that exists.
    if again == Created::New || finished {
        assert_writable(trial, &record).await;
    }
    finished
}

async fn drop_an_update(trial: &Trial, polls: usize) -> bool {
    let record = trial.created().await;
    let mut held = trial.hold(0, record.id).await;
    let next = next_of(&record, 1);
    let write = trial.store.update(&next, record.version, Durability::Process, &mut held.ticket);
    let finished = dropped_after(polls, write).await.is_some();
    drop(held);
    assert_writable(trial, &record).await;
    finished
}

async fn drop_a_delete(trial: &Trial, polls: usize) -> bool {
    let record = trial.created().await;
    let delete = trial.store.delete(record.id, Durability::Power);
    let finished = dropped_after(polls, delete).await.is_some();
    if let Some(seen) = read(&*trial.twin, record.id, trial.now()).await {
        assert_eq!(seen, record, "what a dropped delete left");
    }
    at_once("a delete after a dropped one", trial.delete(record.id)).await;
    assert_eq!(trial.load(record.id).await, None, "after the delete");
    finished
}

async fn drop_a_sweep(trial: &Trial, polls: usize) -> bool {
    let record = trial.created().await;
    let sweep = trial.store.delete_expired(record.created_at + LONG_AFTER, 100);
    let finished = dropped_after(polls, sweep).await.is_some();
    at_once("a sweep after a dropped one", trial.sweep(record.created_at + LONG_AFTER)).await;
    at_once("a delete after a dropped sweep", trial.delete(record.id)).await;
    assert_eq!(trial.load(record.id).await, None, "after the delete");
    finished
}

async fn drop_an_exclusive_load(trial: &Trial, polls: usize) -> bool {
    let record = trial.created().await;
    let load = trial.lock(0, record.id, PATIENCE, LONG);
    let finished = dropped_after(polls, load).await.is_some();
    assert_writable(trial, &record).await;
    finished
}

async fn drop_a_waiting_load(trial: &Trial) {
    let record = trial.created().await;
    let held = trial.hold(0, record.id).await;
    for turn in 0..2 {
        _ = timeout(SOON, trial.lock(turn, record.id, LONG, LONG)).await;
    }
    trial.store.release(held.ticket).await.expect("release fails");
    assert_writable(trial, &record).await;
}

/// Panics unless the lock of `record` is free and an update of the newest version is written.
async fn assert_writable(trial: &Trial, record: &Record) {
    let access = Access::Exclusive { wait: PATIENCE, hold: LONG };
    let loaded = trial.twin.load(record.id, trial.now(), access).await;
    let mut loaded = loaded.expect("a dropped future left its lock").expect("the session is live");
    for _ in 0..3 {
        assert_whole(&loaded.record);
        let (next, ticket) = (next_of(&loaded.record, 2), &mut loaded.ticket);
        let expected = loaded.record.version;
        match trial.twin.update(&next, expected, Durability::Process, ticket).await {
            Ok(Updated::Written) => {
                drop(loaded);
                assert_eq!(trial.load(record.id).await, Some(next), "after the update");
                return;
            }
            // A dropped write may still arrive, whole.
            Ok(Updated::Conflict(current)) => loaded.record = *current,
            other => panic!("an update after a dropped future: {other:?}"),
        }
    }
    panic!("updates after a dropped future conflict again and again");
}
