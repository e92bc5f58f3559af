//! What one write may do to one record.

use std::time::Duration;

use super::Place;
use super::interleaving::{POLLS_MAX, interleaved};
use super::trial::{
    ABSOLUTE, IDLE, LONG_AFTER, MILLISECOND, Trial, assert_whole, minutes, next_of, owner, stamped,
    update,
};
use crate::record::{Record, Version};
use crate::store::{Created, Durability, Scope, Ticket, Updated};

/// `create` refuses an ID that has a record, live or not yet swept, and leaves that record alone.
pub async fn create_never_replaces(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let first = trial.created().await;
    for now in [first.created_at, first.deadline(), first.deadline() + IDLE] {
        trial.clock.step_to(now);
        let second = stamped(Record { id: first.id, ..trial.record() }, 7);
        assert_eq!(trial.try_create(&second).await, Created::Exists, "create over {first:?}");
        let kept = trial.load_at(first.id, first.created_at).await;
        assert_eq!(kept, Some(first.clone()), "the record after the refused create");
    }
}

// R10
/// `update` of an ID without a record answers `Gone` and writes nothing.
pub async fn update_never_creates(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let absent = trial.record();
    for expected in [Version::FIRST, Version::new(7)] {
        let next = stamped(Record { version: expected.next(), ..absent.clone() }, 0);
        assert_eq!(trial.update(&next, expected).await, Updated::Gone, "update of nothing");
        assert_eq!(trial.load(absent.id).await, None, "after the update of nothing");
        assert_eq!(trial.list(Scope::All).await, [], "after the update of nothing");
    }
}

// R38
/// `update` never brings an ended session back, whether it was deleted or swept, and whatever its
/// writer had opened before.
pub async fn update_never_revives(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let deleted = trial.created().await;
    let ticket = trial.ticket(deleted.id).await;
    trial.delete(deleted.id).await;
    assert_stays_gone(&trial, &deleted, ticket).await;

    let swept = trial.created().await;
    let ticket = trial.ticket(swept.id).await;
    trial.sweep(trial.now() + LONG_AFTER).await;
    assert_stays_gone(&trial, &swept, ticket).await;
}

async fn assert_stays_gone(trial: &Trial, ended: &Record, mut ticket: Ticket) {
    let next = next_of(ended, 0);
    let late = trial.store.update(&next, ended.version, Durability::Process, &mut ticket).await;
    assert_eq!(late.expect("update fails"), Updated::Gone, "update with the old ticket");
    for turn in 0..2 {
        let late = update(&*trial.handle(turn), &next, ended.version).await;
        assert_eq!(late, Updated::Gone, "update of an ended session");
    }
    assert_eq!(trial.load(ended.id).await, None, "after the update of an ended session");
    assert_eq!(trial.list(Scope::All).await, [], "after the update of an ended session");
}

/// An `update` whose use lies at or after the record's deadline answers `Gone`, as it would after a
/// sweep, and whatever version it expects: the session had ended for everybody else.
pub async fn an_update_after_the_deadline_comes_too_late(place: &dyn Place) {
    let trial = Trial::new(place).await;
    for late in [IDLE, IDLE + MILLISECOND, ABSOLUTE, LONG_AFTER] {
        let record = trial.created().await;
        let mut next = next_of(&record, 0);
        next.touch(record.created_at + late);
        next.absolute_deadline = next.used_at + ABSOLUTE;
        for expected in [record.version.next(), record.version] {
            next.version = expected.next();
            let updated = trial.update(&next, expected).await;
            assert_eq!(updated, Updated::Gone, "{late:?} later, expecting {expected}");
        }
        assert_eq!(trial.load_at(record.id, record.deadline()).await, None, "{late:?} later");
    }
}

/// `update` answers `Conflict` for any other version than the current one, and writes nothing.
pub async fn update_refuses_a_version_it_did_not_expect(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let first = trial.created().await;
    let second = trial.updated(&first).await;
    for expected in [first.version, second.version.next(), Version::new(1 << 40)] {
        let next = stamped(Record { version: expected.next(), ..second.clone() }, 3);
        let updated = trial.update(&next, expected).await;
        assert!(matches!(updated, Updated::Conflict(_)), "expected {expected}: {updated:?}");
        assert_eq!(trial.load(first.id).await.as_ref(), Some(&second), "after the conflict");
    }
}

/// `Conflict` carries the whole current record, as a load gives it.
pub async fn conflict_returns_the_current_record(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let first = trial.created_of(&owner("ann")).await;
    let second = trial.updated(&first).await;
    trial.touch(first.id, trial.now() + MILLISECOND).await;
    let current = trial.load(first.id).await.expect("the record is live");
    assert_eq!(current.data, second.data, "the current data");
    for turn in 0..2 {
        let updated = update(&*trial.handle(turn), &next_of(&first, 3), first.version).await;
        assert_eq!(updated, Updated::Conflict(Box::new(current.clone())), "the stale update");
    }
}

/// The version that is read is the one that was written, however far it leaps; an update that does
/// not raise it is refused.
pub async fn versions_only_grow(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let mut record = trial.created().await;
    assert_eq!(record.version, Version::FIRST);
    for (turn, leap) in [1, 1, 5, 1, 1 << 32, 1].into_iter().enumerate() {
        let version = Version::new(record.version.get() + leap);
        let next = stamped(Record { version, ..record.clone() }, 0);
        let updated = update(&*trial.handle(turn), &next, record.version).await;
        assert_eq!(updated, Updated::Written, "update from {} to {version}", record.version);
        let read = trial.load(record.id).await;
        assert_eq!(read.as_ref(), Some(&next), "after the update to {version}");
        record = next;
    }
    for version in [record.version, Version::FIRST] {
        let next = stamped(Record { version, ..record.clone() }, 3);
        let none = &mut Ticket::none();
        let updated = trial.store.update(&next, record.version, Durability::Process, none).await;
        assert!(updated.is_err(), "update from {} to {version}: {updated:?}", record.version);
        assert_eq!(trial.load(record.id).await.as_ref(), Some(&record), "after the refusal");
    }
}

/// `update` keeps the newest known use when it is later than the record's own.
pub async fn update_keeps_a_later_use(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let first = trial.created().await;
    let used_at = trial.now() + IDLE / 2;
    trial.touch(first.id, used_at).await;
    let second = trial.updated(&first).await;
    let read = trial.load(first.id).await;
    assert_eq!(read, Some(Record { used_at, ..second.clone() }), "a use later than the update's");

    let used_at = used_at + IDLE / 2;
    let third = next_of(&Record { used_at, ..second.clone() }, 0);
    assert_eq!(trial.update(&third, second.version).await, Updated::Written);
    assert_eq!(trial.load(first.id).await, Some(third), "a use earlier than the update's");
}

/// `touch` moves the last use and nothing else.
pub async fn touch_changes_neither_data_nor_version(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let mut record = trial.created_of(&owner("ann")).await;
    let mut ticket = trial.ticket(record.id).await;
    for minute in 1..=4 {
        let used_at = trial.now() + minute * IDLE / 8;
        let touched = trial.store.touch(record.id, used_at, used_at + IDLE, &mut ticket).await;
        assert!(touched.expect("touch fails"), "a touch of a live record answers true");
        record.used_at = used_at;
        assert_eq!(trial.load(record.id).await.as_ref(), Some(&record), "after the touch");
    }
    let next = next_of(&record, 0);
    let updated = trial.store.update(&next, record.version, Durability::Process, &mut ticket).await;
    assert_eq!(updated.expect("update fails"), Updated::Written, "the update after touches");
}

/// A `touch` with an earlier use than the known one changes nothing.
pub async fn touch_never_moves_a_use_back(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let record = trial.created().await;
    let latest = trial.now() + IDLE / 2;
    for back in [Duration::ZERO, MILLISECOND, IDLE / 4, IDLE / 2] {
        assert!(trial.touch(record.id, latest - back).await, "the record is there");
        let read = trial.load(record.id).await.map(|record| record.used_at);
        assert_eq!(read, Some(latest), "after a touch {back:?} earlier");
    }
}

// R38
/// `touch` of an absent or ended session answers `false` and leaves it absent.
pub async fn touch_never_revives(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let absent = trial.record();
    let deleted = trial.created().await;
    let mut ticket = trial.ticket(deleted.id).await;
    trial.delete(deleted.id).await;
    let late = trial.now() + MILLISECOND;
    let touched = trial.store.touch(deleted.id, late, late + IDLE, &mut ticket).await;
    assert!(!touched.expect("touch fails"), "a touch with the old ticket");
    for id in [absent.id, deleted.id] {
        assert!(!trial.touch(id, late).await, "a touch of an absent session");
        assert_eq!(trial.load(id).await, None, "after the touch of an absent session");
    }
    assert_eq!(trial.list(Scope::All).await, [], "after touches of absent sessions");
}

/// A `touch` at or after the record's deadline answers `false` and leaves the session expired.
pub async fn a_touch_after_the_deadline_comes_too_late(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let record = trial.created().await;
    for late in [IDLE, IDLE + MILLISECOND, minutes(479), ABSOLUTE] {
        let used_at = record.created_at + late;
        assert!(!trial.touch(record.id, used_at).await, "a touch {late:?} after the creation");
        assert_eq!(trial.load_at(record.id, record.deadline()).await, None, "{late:?} later");
    }
}

/// `delete` answers whether a record was there, expired or not, and may be repeated.
pub async fn delete_is_idempotent(place: &dyn Place) {
    let trial = Trial::new(place).await;
    for durability in [Durability::Process, Durability::Power, Durability::Final] {
        let record = trial.created_of(&owner("ann")).await;
        for (turn, there) in [true, false, false].into_iter().enumerate() {
            let deleted = trial.handle(turn).delete(record.id, durability).await;
            assert_eq!(deleted.expect("delete fails"), there, "delete number {}", turn + 1);
            assert_eq!(trial.load(record.id).await, None, "after the delete");
            assert!(!trial.lists(record.id, &owner("ann"), trial.now()).await, "after the delete");
        }
    }
    let expired = trial.created().await;
    trial.clock.step_to(expired.deadline());
    assert!(trial.delete(expired.id).await, "an expired record is there until it is swept");
    assert!(!trial.delete(trial.record().id).await, "a session that never was");
}

// R38
/// Whichever way an update and a delete cross, the session is gone once the delete is acknowledged.
pub async fn delete_wins_against_an_update_in_flight(place: &dyn Place) {
    let trial = Trial::new(place).await;
    for polls in 0..POLLS_MAX {
        let record = trial.created().await;
        let next = next_of(&record, 0);
        let mut ticket = trial.ticket(record.id).await;
        let went = interleaved(
            polls,
            trial.store.update(&next, record.version, Durability::Process, &mut ticket),
            trial.twin.delete(record.id, Durability::Process),
        )
        .await;
        assert_deleted(&trial, &record, went.first.expect("update fails")).await;
        assert!(went.second.expect("delete fails"), "the delete found the record");
        if went.exhausted {
            break;
        }
    }
    for turn in 0..32 {
        let record = trial.created().await;
        let (store, next) = (trial.handle(turn), next_of(&record, 0));
        let writer = tokio::spawn(async move { update(&*store, &next, Version::FIRST).await });
        trial.handle(turn / 2).delete(record.id, Durability::Process).await.expect("delete fails");
        assert_deleted(&trial, &record, writer.await.expect("the writer ends")).await;
    }
}

async fn assert_deleted(trial: &Trial, record: &Record, updated: Updated) {
    assert!(matches!(updated, Updated::Written | Updated::Gone), "the update: {updated:?}");
    if let Some(revived) = trial.load(record.id).await {
        assert_whole(&revived);
        panic!("a deleted session came back as version {}", revived.version);
    }
    let again = trial.update(&next_of(&next_of(record, 0), 0), record.version.next()).await;
    assert_eq!(again, Updated::Gone, "the next update");
}
