//! How sessions end by themselves, and how what is left of them is removed.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::Place;
use super::interleaving::{POLLS_MAX, interleaved};
use super::trial::{
    ABSOLUTE, IDLE, LONG, LONG_AFTER, MILLISECOND, NAMESPACE, Trial, minutes, next_of, owner, touch,
};
use crate::error::ErrorKind;
use crate::record::{Owner, Record};
use crate::store::{Access, Created, Durability, Scope, Ticket, Updated};
use crate::token::SessionId;

// R35
/// A session is there one millisecond before its deadline and absent at its deadline, by whatever
/// limit and after whatever use.
pub async fn expired_equals_absent_to_the_exact_instant(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let ann = owner("ann");
    let idle = trial.created_of(&ann).await;
    assert_ends_at(&trial, idle.id, idle.created_at + IDLE).await;

    let endless = Record { idle_timeout: None, ..trial.record_of(&ann) };
    let endless = trial.create(endless).await;
    assert_ends_at(&trial, endless.id, endless.created_at + ABSOLUTE).await;

    let used = trial.created_of(&ann).await;
    for number in [20, 40, 60] {
        let used_at = used.created_at + minutes(number);
        assert!(trial.touch(used.id, used_at).await, "a touch before the deadline");
        assert_ends_at(&trial, used.id, used_at + IDLE).await;
    }
    let mut extended = trial.load(used.id).await.expect("the session is live");
    extended.absolute_deadline = extended.used_at + minutes(1);
    let extended = trial.updated(&extended).await;
    assert_ends_at(&trial, used.id, extended.absolute_deadline).await;
}

async fn assert_ends_at(trial: &Trial, id: SessionId, deadline: SystemTime) {
    let ann = owner("ann");
    let before = deadline - MILLISECOND;
    assert!(trial.load_at(id, before).await.is_some(), "a load a millisecond before its deadline");
    assert!(trial.lists(id, &ann, before).await, "a list a millisecond before its deadline");
    for now in [deadline, deadline + MILLISECOND, deadline + LONG_AFTER] {
        assert_eq!(trial.load_at(id, now).await, None, "a load at or after its deadline");
        assert!(!trial.lists(id, &ann, now).await, "a list at or after its deadline");
        let access = Access::Exclusive { wait: Duration::ZERO, hold: LONG };
        let loaded = trial.store.load(id, now, access).await.expect("load fails");
        assert!(loaded.is_none(), "an exclusive load at or after its deadline");
    }
}

// R35
/// Reading with a clock that is far ahead, or far behind, removes and changes nothing.
pub async fn a_clock_that_steps_back_and_forth_loses_nothing(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let (ann, start) = (owner("ann"), trial.now());
    let record = trial.created_of(&ann).await;
    for (now, live) in [
        (start + LONG_AFTER, false),
        (start, true),
        (start - LONG_AFTER, true),
        (start + IDLE, false),
        (start + IDLE - MILLISECOND, true),
    ] {
        trial.clock.step_to(now);
        assert_eq!(trial.load(record.id).await.is_some(), live, "a load at {now:?}");
        assert_eq!(trial.lists(record.id, &ann, now).await, live, "a list at {now:?}");
    }
    trial.clock.step_to(start - LONG_AFTER);
    assert!(trial.touch(record.id, trial.now()).await, "a touch by a clock that stepped back");
    assert_eq!(trial.load_at(record.id, start).await, Some(record), "after all these steps");
}

// R57
/// `delete_expired` removes no more than its limit, says what it removed and whether more is due,
/// gets everything that is expired in the end, and nothing that is not.
pub async fn delete_expired_is_bounded(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let mut due = BTreeMap::new();
    for name in [None, Some("ann"), Some("ann"), None, Some("ben"), None, Some("ann")] {
        let record = match name {
            Some(name) => trial.created_of(&owner(name)).await,
            None => trial.created().await,
        };
        due.insert(record.id, record.owner);
    }
    trial.clock.advance(LONG_AFTER);
    let live = trial.created_of(&owner("ann")).await;
    assert_eq!(sweep_by_threes(&trial).await, due, "what the sweeps removed");
    assert_eq!(trial.load(live.id).await.as_ref(), Some(&live), "a live session after the sweep");
    for (id, owner) in due {
        let reborn = Record { id, owner, login_began_at: Some(trial.now()), ..trial.record() };
        assert_eq!(trial.try_create(&reborn).await, Created::New, "the ID of a swept record");
    }
}

async fn sweep_by_threes(trial: &Trial) -> BTreeMap<SessionId, Option<Owner>> {
    let mut removed = BTreeMap::new();
    for turn in 0..64 {
        let expired = trial.handle(turn).delete_expired(trial.now(), 3).await;
        let expired = expired.expect("delete_expired fails");
        assert!(expired.removed.len() <= 3, "a sweep of at most 3: {:?}", expired.removed);
        for (id, owner) in expired.removed {
            assert_eq!(removed.insert(id, owner), None, "{id} was removed twice");
        }
        if !expired.more {
            return removed;
        }
    }
    panic!("64 sweeps later there is still more to remove");
}

/// `delete_expired` judges by the last use and by the newest deadlines, not by those it was told
/// first; what it spares it removes later.
pub async fn delete_expired_spares_what_was_touched(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let (unused, touched) = (trial.created().await, trial.created().await);
    let mut extended = trial.created().await;
    trial.clock.advance(minutes(29));
    assert!(trial.touch(touched.id, trial.now()).await, "a touch before the deadline");
    extended.idle_timeout = None;
    let extended = trial.updated(&extended).await;

    trial.clock.advance(minutes(20));
    assert_eq!(trial.sweep(trial.now()).await, [(unused.id, None)], "after 49 idle minutes");
    assert!(trial.load(touched.id).await.is_some(), "the touched session after the sweep");
    assert!(trial.load(extended.id).await.is_some(), "the extended session after the sweep");

    trial.clock.advance(minutes(7 * 60));
    assert_eq!(trial.sweep(trial.now()).await, [(touched.id, None)], "before the absolute end");
    trial.clock.advance(LONG_AFTER);
    assert_eq!(trial.sweep(trial.now()).await, [(extended.id, None)], "after the absolute end");
}

// R56
/// A touch that was acknowledged keeps its session, even one that came while a sweep was looking.
pub async fn delete_expired_spares_what_is_touched_meanwhile(place: &dyn Place) {
    let trial = Trial::new(place).await;
    for polls in 0..POLLS_MAX {
        let record = trial.created().await;
        let (used_at, now) = touched_before_a_sweep(&record);
        let sweep = trial.store.delete_expired(now, 100);
        let went = interleaved(polls, sweep, touch(&*trial.twin, record.id, used_at)).await;
        went.first.expect("delete_expired fails");
        assert_spared_if(went.second, &trial, &record).await;
        if went.exhausted {
            break;
        }
    }
    for turn in 0..32 {
        let record = trial.created().await;
        let (used_at, now) = touched_before_a_sweep(&record);
        let sweeper = trial.handle(turn);
        let sweep = tokio::spawn(async move { sweeper.delete_expired(now, 100).await });
        let touched = touch(&*trial.handle(turn / 2), record.id, used_at).await;
        sweep.await.expect("the sweeper ends").expect("delete_expired fails");
        assert_spared_if(touched, &trial, &record).await;
    }
}

/// A use just before the deadline, and a sweep ten minutes after it.
fn touched_before_a_sweep(record: &Record) -> (SystemTime, SystemTime) {
    (record.deadline() - MILLISECOND, record.deadline() + minutes(10))
}

async fn assert_spared_if(touched: bool, trial: &Trial, record: &Record) {
    let (_, now) = touched_before_a_sweep(record);
    let live = trial.load_at(record.id, now).await.is_some();
    assert_eq!(live, touched, "whether the session lives, and whether its touch was acknowledged");
    trial.delete(record.id).await;
}

/// A damaged record is an error or absent, never data; nobody writes over it, and sweeps, lists and
/// other sessions go on.
///
/// Holds wherever [`Place::damage`] can damage nothing.
pub async fn a_damaged_record_is_refused_and_does_not_stop_a_sweep(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let mut due = vec![trial.created().await.id, trial.created().await.id];
    let damaged = [trial.created().await, trial.created().await];
    due.extend([trial.created().await.id, trial.created().await.id]);
    for record in &damaged {
        if !place.damage(NAMESPACE, record.id).await {
            return;
        }
    }
    assert_refused(&trial, &damaged[0]).await;
    trial.clock.advance(LONG_AFTER);
    let live = trial.created().await;
    let mut removed: Vec<_> =
        trial.sweep(trial.now()).await.into_iter().map(|(id, _)| id).collect();
    removed.retain(|id| damaged.iter().all(|record| record.id != *id));
    removed.sort();
    due.sort();
    assert_eq!(removed, due, "what a sweep past damaged records removed");
    let listed = trial.list(Scope::All).await;
    assert_eq!(listed, [live.summary()], "a list past damaged records");
}

async fn assert_refused(trial: &Trial, damaged: &Record) {
    let seen = trial.store.load(damaged.id, trial.now(), Access::Read).await;
    let kind = seen.as_ref().map_err(crate::Error::kind).err();
    assert_eq!(kind, Some(ErrorKind::Corrupt), "the first load of a damaged record: {seen:?}");
    let seen = trial.twin.load(damaged.id, trial.now(), Access::Read).await;
    assert!(!matches!(seen, Ok(Some(_))), "a damaged record was served: {seen:?}");
    let (next, mut ticket) = (next_of(damaged, 0), Ticket::none());
    let updated =
        trial.store.update(&next, damaged.version, Durability::Process, &mut ticket).await;
    assert!(matches!(updated, Ok(Updated::Gone) | Err(_)), "an update over it: {updated:?}");
}
