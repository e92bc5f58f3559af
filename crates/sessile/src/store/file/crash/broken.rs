//! The proof of the proof: every check is seen to fail, on a store that does it the wrong way.
//!
//! A wrong order, a write left out, a sync forgotten: each is made from the log of the right one.

use super::super::sys::record::Call;
use super::check::{check, end_of};
use super::disk::SECTOR;
use super::judge::Invariant::{
    I1OneState, I2EndedIsFinal, I3DurableIsThere, I4UsableSecret, I5InTheList, I6Collected,
    I7Settled, I8SweepSpares, I10GoesOn,
};
use super::judge::{Crash, Invariant, judge};
use super::observe::{Observation, Observer, Seen};
use super::operations::{
    CREATE_OWNED, DELETE, DELETE_WHEN_FULL, GROW, LOGIN, Operation, REVOKE, ROTATE, SAVE_DURABLY,
    SHRINK, STEP_UP, SWEEP, TOUCH, UPDATE,
};
use super::scene::{Deed, MAIN, Scene, Story, anonymous, next};
use super::tests::story;
use crate::record::Record;
use crate::store::{Created, Durability};

const OUTCOMES_MAX: usize = 64;

/// What breaks when the log of `told` is changed like this.
fn broken_by(told: &Story, change: impl FnOnce(&mut Vec<Call>)) -> Vec<Invariant> {
    let mut wrong = told.clone();
    change(&mut wrong.log);
    assert_ne!(wrong.log, told.log, "nothing was changed");
    check(&wrong, OUTCOMES_MAX).broken()
}

fn plainly(operations: &[Operation]) -> Story {
    story(operations, SECTOR)
}

/// The first sessions of an owner, in a directory that was never opened.
fn first_of_all() -> Story {
    let mut scene = Scene::unfurnished();
    (CREATE_OWNED.run)(&mut scene).unwrap();
    scene.story()
}

fn is_sync(call: &Call) -> bool {
    matches!(call, Call::SyncFile { .. } | Call::SyncDir { .. })
}

/// The syncs of which each alone can be left out and nothing breaks.
fn spare_syncs(told: &Story) -> Vec<usize> {
    let syncs = (0..told.log.len()).filter(|at| is_sync(&told.log[*at]));
    syncs.filter(|at| broken_by(told, |log| drop(log.remove(*at))).is_empty()).collect()
}

#[test]
fn no_sync_can_be_left_out() {
    // A final state shows what it is worth when both slots are written over.
    let finals = [ROTATE, STEP_UP].map(|first| plainly(&[first, UPDATE, UPDATE]));
    let others = [SAVE_DURABLY, DELETE, DELETE_WHEN_FULL].map(|only| plainly(&[only]));
    for told in finals.iter().chain(&others) {
        assert_eq!(spare_syncs(told), Vec::<usize>::new(), "{:?}", told.log);
    }
    // The key's name is synced for other processes, which may use it from then on; the opening syncs
    // the root once more.
    assert_eq!(spare_syncs(&first_of_all()).len(), 1);
    // The name of the owner's list was synced when it was made.
    assert_eq!(spare_syncs(&plainly(&[REVOKE])).len(), 1);
    // So it was here. A mark fits one sector, which no power loss tears: one of its syncs would do.
    assert_eq!(spare_syncs(&plainly(&[LOGIN])).len(), 3);
}

#[test]
fn an_index_behind_its_record_is_seen() {
    let told = plainly(&[CREATE_OWNED]);
    let broken = broken_by(&told, |log| {
        let end_of_index =
            log.iter().position(|call| matches!(call, Call::SyncDir { .. })).unwrap();
        let index: Vec<_> = log.drain(1..=end_of_index).collect();
        let end = log.len() - 1;
        log.splice(end..end, index);
    });
    assert!(broken.contains(&I5InTheList), "{broken:?}");
}

#[test]
fn a_head_before_its_tail_is_seen() {
    let mut scene = Scene::new();
    scene.begin(SECTOR);
    let id = scene.fresh_id();
    let record = next(&anonymous(id, scene.now), 3_000);
    scene.create(record, Durability::Process).unwrap();
    let broken = broken_by(&scene.story(), |log| {
        let page = log.iter().position(|call| is_write(call, 4_096)).unwrap();
        log.swap(page - 1, page);
    });
    assert!(broken.contains(&I1OneState), "{broken:?}");
}

fn is_write(call: &Call, len: usize) -> bool {
    matches!(call, Call::Write { bytes, .. } if bytes.len() == len)
}

#[test]
fn a_tail_over_the_newest_one_is_seen() {
    let mut scene = Scene::new();
    (SHRINK.prepare)(&mut scene).unwrap();
    scene.begin(SECTOR);
    (GROW.run)(&mut scene).unwrap();
    let broken = broken_by(&scene.story(), |log| {
        for call in log {
            if let Call::Write { offset, .. } = call {
                *offset = (*offset).min(4_096);
            }
        }
    });
    assert!(broken.contains(&I3DurableIsThere) || broken.contains(&I1OneState), "{broken:?}");
}

#[test]
fn a_save_over_the_newest_slot_is_seen() {
    let broken = broken_by(&plainly(&[UPDATE]), |log| {
        for call in log {
            if let Call::Write { offset, .. } = call {
                *offset = 64 + 2_080 - *offset;
            }
        }
    });
    assert!(broken.contains(&I3DurableIsThere), "{broken:?}");
}

#[test]
fn a_final_state_in_one_slot_is_seen() {
    for first in [ROTATE, STEP_UP] {
        let broken = broken_by(&plainly(&[first, UPDATE, UPDATE]), |log| {
            let first_sync = log.iter().position(is_sync).unwrap();
            log.drain(first_sync + 1..=first_sync + 2);
        });
        assert!(broken.contains(&I4UsableSecret), "{broken:?}");
    }
}

#[test]
fn a_login_that_never_syncs_its_mark_is_seen() {
    let broken = broken_by(&plainly(&[LOGIN]), |log| {
        let record = log.iter().rposition(|call| matches!(call, Call::SyncDir { .. })).unwrap();
        let mark = log.split_off(record + 1);
        log.extend(mark.into_iter().filter(|call| !is_sync(call)));
    });
    assert!(broken.contains(&I4UsableSecret), "{broken:?}");
}

#[test]
fn a_deletion_without_a_tombstone_is_seen() {
    let broken = broken_by(&plainly(&[DELETE]), |log| log.retain(|call| !is_write(call, 56)));
    assert!(broken.contains(&I2EndedIsFinal), "{broken:?}");
}

#[test]
fn a_revocation_that_forgets_its_instant_is_seen() {
    let broken = broken_by(&plainly(&[REVOKE]), |log| log.retain(|call| !is_write(call, 64)));
    assert!(broken.contains(&I2EndedIsFinal), "{broken:?}");
}

/// The invariants that are broken when, after these operations, something else is found than was.
fn broken_when_found(
    operations: &[Operation],
    change: impl FnOnce(&mut Observation),
) -> Vec<Invariant> {
    let told = plainly(operations);
    let (disk, progress) = end_of(&told);
    let state = disk.now();
    let mut found = (*Observer::new(told.ids(), told.now).observe(state.print(), &state)).clone();
    assert_eq!(judge(&progress, Crash::Kill, &found), vec![]);
    change(&mut found);
    judge(&progress, Crash::Kill, &found).into_iter().map(|violation| violation.of).collect()
}

fn main_record(found: &mut Observation) -> &mut Record {
    match found.seen.get_mut(&MAIN) {
        Some(Seen::Record(record)) => record,
        other => panic!("Ann's session is there, and not {other:?}"),
    }
}

#[test]
fn a_mixture_of_states_is_seen() {
    let broken = broken_when_found(&[UPDATE], |found| main_record(found).level = 7);
    assert!(broken.contains(&I1OneState));
    let broken = broken_when_found(&[UPDATE], |found| {
        found.seen.insert(MAIN, Seen::Failed("a panic, perhaps".into()));
    });
    assert_eq!(broken, [I1OneState]);
}

#[test]
fn damage_where_none_may_be_is_seen() {
    let broken = broken_when_found(&[SAVE_DURABLY], |found| {
        found.seen.insert(MAIN, Seen::Corrupt);
    });
    assert_eq!(broken, [I1OneState]);
}

#[test]
fn a_session_that_came_back_is_seen() {
    let before = plainly(&[UPDATE]).deeds.into_iter().find_map(|deed| match deed {
        Deed::Write { record, .. } if record.id == MAIN => Some(record),
        _ => None,
    });
    let broken = broken_when_found(&[DELETE], |found| {
        found.seen.insert(MAIN, Seen::Record(before.unwrap()));
    });
    assert!(broken.contains(&I2EndedIsFinal));
}

#[test]
fn a_lost_session_is_seen() {
    let broken = broken_when_found(&[UPDATE], |found| {
        found.seen.insert(MAIN, Seen::Nothing);
    });
    assert_eq!(broken, [I3DurableIsThere]);
}

#[test]
fn a_use_that_was_forgotten_is_seen() {
    let broken = broken_when_found(&[TOUCH], |found| {
        let record = main_record(found);
        record.used_at = record.created_at;
    });
    assert!(broken.contains(&I3DurableIsThere));
}

#[test]
fn a_session_in_no_list_is_seen() {
    assert_eq!(broken_when_found(&[UPDATE], |found| found.listed.clear()), [I5InTheList; 2]);
}

#[test]
fn what_stays_for_ever_is_seen() {
    let broken = broken_when_found(&[UPDATE], |found| found.leftovers.push("a".into()));
    assert_eq!(broken, [I6Collected]);
}

#[test]
fn a_recovery_that_goes_on_for_ever_is_seen() {
    let broken = broken_when_found(&[UPDATE], |found| found.unsettled.push("more".into()));
    assert_eq!(broken, [I7Settled]);
}

#[test]
fn a_sweep_of_the_living_is_seen() {
    let broken = broken_when_found(&[SWEEP], |found| drop(found.swept.remove(&MAIN)));
    assert_eq!(broken, [I8SweepSpares]);
}

#[test]
fn a_store_that_does_not_go_on_is_seen() {
    let broken = broken_when_found(&[UPDATE], |found| found.stuck.push("a session".into()));
    assert_eq!(broken, [I10GoesOn]);
    let broken = broken_when_found(&[UPDATE], |found| found.failed.push("the opening".into()));
    assert_eq!(broken, [I10GoesOn]);
    let refused = Some(Created::Revoked);
    let broken = broken_when_found(&[UPDATE], |found| found.late_login = refused);
    assert_eq!(broken, [I10GoesOn]);
}
