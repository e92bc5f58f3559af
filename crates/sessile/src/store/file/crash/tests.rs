//! One test per operation, one for all pairs of them.

use std::time::Duration;

use super::check::{Report, check};
use super::disk::SECTOR;
use super::judge::Invariant;
use super::operations::{self, Operation};
use super::scene::{Scene, Story};

/// How many outcomes of one moment are tried before they are sampled.
const OUTCOMES_MAX: usize = 4_096;
const OUTCOMES_OF_PAIRS_MAX: usize = 8;

/// What happens when these run one after the other, each on what the last one left.
pub(super) fn story(operations: &[Operation], sector: usize) -> Story {
    let mut scene = prepared(operations, sector);
    run(&mut scene, operations);
    scene.story()
}

fn prepared(operations: &[Operation], sector: usize) -> Scene {
    let mut scene = Scene::new();
    for operation in operations {
        (operation.prepare)(&mut scene).unwrap();
    }
    scene.begin(sector);
    scene
}

fn run(scene: &mut Scene, operations: &[Operation]) {
    for operation in operations {
        (operation.run)(scene).unwrap();
        scene.now += Duration::from_secs(1);
    }
}

/// Two operations, of which the second crashes: the first alone has its own test.
fn pair(first: Operation, second: Operation) -> Story {
    let mut scene = prepared(&[first, second], SECTOR);
    run(&mut scene, &[first]);
    scene.spare_the_past();
    run(&mut scene, &[second]);
    scene.story()
}

#[track_caller]
fn crash_anywhere_in(operation: Operation) {
    check(&story(&[operation], SECTOR), OUTCOMES_MAX).print(operation.name);
}

#[test]
fn a_crash_anywhere_in_a_create_leaves_a_session_or_none() {
    crash_anywhere_in(operations::CREATE);
}

#[test]
fn a_crash_anywhere_in_the_create_of_an_owned_session_keeps_it_in_its_owners_list() {
    crash_anywhere_in(operations::CREATE_OWNED);
}

#[test]
fn a_crash_anywhere_in_an_update_leaves_the_state_before_or_after() {
    crash_anywhere_in(operations::UPDATE);
}

#[test]
fn a_crash_anywhere_in_an_update_that_grows_leaves_no_head_without_its_tail() {
    crash_anywhere_in(operations::GROW);
}

#[test]
fn a_crash_anywhere_in_updates_that_shrink_cuts_off_nothing_that_lives() {
    crash_anywhere_in(operations::SHRINK);
}

#[test]
fn a_crash_anywhere_in_a_touch_harms_no_state() {
    crash_anywhere_in(operations::TOUCH);
}

#[test]
fn a_crash_anywhere_in_a_rotation_leaves_a_usable_secret() {
    crash_anywhere_in(operations::ROTATE);
}

#[test]
fn a_crash_anywhere_in_a_login_leaves_the_old_session_or_the_new_one() {
    crash_anywhere_in(operations::LOGIN);
}

#[test]
fn a_crash_anywhere_in_a_step_up_leaves_a_usable_secret() {
    crash_anywhere_in(operations::STEP_UP);
}

// R37, R39, R55
#[test]
fn a_crash_anywhere_in_a_deletion_never_undoes_it() {
    crash_anywhere_in(operations::DELETE);
}

// R39
#[test]
fn a_crash_anywhere_in_a_deletion_on_a_full_disk_never_undoes_it() {
    crash_anywhere_in(operations::DELETE_WHEN_FULL);
}

// R55
#[test]
fn a_crash_anywhere_in_a_revocation_brings_back_none_and_lets_none_in() {
    crash_anywhere_in(operations::REVOKE);
}

#[test]
fn a_crash_anywhere_in_a_sweep_spares_the_living() {
    crash_anywhere_in(operations::SWEEP);
}

#[test]
fn a_crash_anywhere_in_an_append_to_the_expiry_log_loses_no_session() {
    crash_anywhere_in(operations::FILE_ANEW);
}

#[test]
fn a_crash_anywhere_in_a_synced_save_keeps_what_was_acknowledged() {
    crash_anywhere_in(operations::SAVE_DURABLY);
}

#[test]
fn a_crash_anywhere_in_the_first_opening_leaves_a_directory_that_opens() {
    let mut scene = Scene::unfurnished();
    (operations::CREATE_OWNED.run)(&mut scene).unwrap();
    check(&scene.story(), OUTCOMES_MAX).print("first opening");
}

/// Saves that are not synced, one over the other.
const SAVES: [Operation; 3] = [operations::UPDATE; 3];

/// What shows of unsynced saves if each is held to the promises of the synced one before them.
fn crash_anywhere_in_saves_on(sector: usize) -> Report {
    let mut told = story(&SAVES, sector);
    told.pages_are_whole = true;
    check(&told, OUTCOMES_MAX)
}

#[test]
fn a_device_that_writes_pages_whole_loses_nothing_to_saves_without_a_sync() {
    let report = crash_anywhere_in_saves_on(4_096);
    report.print("saves without a sync, pages written whole");
}

/// A limit, not a promise: on a device that tears pages, two saves without a sync fill both slots,
/// and a loss of power may damage one and lose the other. What was synced before them, unless it was
/// final, may then be gone, and the state before it be read.
#[test]
fn a_device_that_tears_pages_may_lose_what_two_saves_without_a_sync_wrote_over() {
    let broken = crash_anywhere_in_saves_on(SECTOR).broken();
    assert_eq!(broken, [Invariant::I1OneState, Invariant::I3DurableIsThere]);
}

#[test]
fn a_crash_anywhere_in_any_two_operations_keeps_every_promise() {
    let (left, right) = operations::ALL.split_at(operations::ALL.len() / 2);
    let report = std::thread::scope(|scope| {
        let left = scope.spawn(|| pairs_that_begin_with(left));
        let mut report = pairs_that_begin_with(right);
        report.add(left.join().unwrap());
        report
    });
    report.print("every pair");
}

fn pairs_that_begin_with(operations: &[Operation]) -> Report {
    let mut report = Report::default();
    for first in operations {
        for second in operations::ALL {
            report.add(check(&pair(*first, second), OUTCOMES_OF_PAIRS_MAX));
        }
    }
    report
}
