//! An error, or the process's death, at every call of every operation; then the same once more.

use super::super::sys::record::{Call, Fault};
use super::check::{Report, check_end};
use super::disk::SECTOR;
use super::judge::Invariant;
use super::operations::{self, Operation};
use super::scene::{Scene, Story};
use crate::error::Result;

const OUTCOMES_MAX: usize = 8;

// R53
#[test]
fn an_error_at_any_call_leaves_the_state_before_and_is_told() {
    let mut report = Report::default();
    for operation in operations::ALL {
        at_every_step(operation, Fault::Once, |scene, result| {
            let story = scene.story();
            report.add(check_end(&story, OUTCOMES_MAX));
            report.add(told(operation, &story, &result));
        });
    }
    report.print("an error at every call");
}

#[test]
fn what_failed_or_died_half_way_can_be_done_again() {
    let mut report = Report::default();
    for operation in operations::ALL {
        for fault in [Fault::Once, Fault::Dead] {
            at_every_step(operation, fault, |scene, _| {
                report.add(again(scene, operation));
            });
        }
    }
    report.print("every operation again after its failure or death");
}

#[test]
fn a_logout_that_died_half_way_can_be_done_again_on_a_full_disk() {
    let mut report = Report::default();
    at_every_step(operations::DELETE, Fault::Dead, |scene, _| {
        report.add(again(scene, operations::DELETE_WHEN_FULL));
    });
    report.print("a deletion again on a full disk");
}

#[test]
fn an_error_that_is_swallowed_is_seen() {
    let mut story = super::tests::story(&[operations::UPDATE], SECTOR);
    assert!(told(operations::UPDATE, &story, &Ok(())).wrong.is_empty());
    story.log.retain(|call| !matches!(call, Call::Acknowledged(_)));
    let report = told(operations::UPDATE, &story, &Ok(()));
    assert_eq!(report.broken(), [Invariant::I9ErrorsAreTold]);
}

/// Runs an operation as often as it has steps, with another one of them refused each time.
fn at_every_step(
    operation: Operation,
    fault: impl Fn(usize) -> Fault,
    mut then: impl FnMut(&mut Scene, Result<()>),
) {
    for at in 0.. {
        let mut scene = Scene::new();
        (operation.prepare)(&mut scene).unwrap();
        scene.begin(SECTOR);
        let before = scene.steps();
        scene.set_fault(fault(at));
        let result = (operation.run)(&mut scene);
        scene.set_fault(Fault::Never);
        if at >= scene.steps() - before {
            break;
        }
        then(&mut scene, result);
    }
}

/// Another process does it once more, and nothing is refused.
fn again(scene: &mut Scene, operation: Operation) -> Report {
    scene.restart();
    scene.now += std::time::Duration::from_secs(1);
    let result = (operation.run)(scene);
    let mut report = check_end(&scene.story(), OUTCOMES_MAX);
    if let Err(error) = result {
        report.blame(Invariant::I9ErrorsAreTold, format!("{}: {error:?}", operation.name), "again");
    }
    report
}

/// Whoever gets no error got what they asked for.
fn told(operation: Operation, story: &Story, result: &Result<()>) -> Report {
    let done = |call: &&Call| matches!(call, Call::Acknowledged(_));
    let is_done = story.log.iter().filter(done).count() == story.deeds.len() - story.certain;
    let mut report = Report::default();
    if result.is_ok() && !is_done {
        let what = format!("{}: an error was swallowed", operation.name);
        report.blame(Invariant::I9ErrorsAreTold, what, "");
    }
    report
}
