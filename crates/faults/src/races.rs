//! Two processes at once: one stands still after each of its calls, while another does all of its
//! deed.
//!
//! A stop is a delay that ends when it is told to: the race happens, rather than being made likely.

use std::time::Duration;

use rustix::process::Signal;

use crate::deed::Deed;
use crate::hand::{PATIENCE, Reply};
use crate::history::Promise;
use crate::inject::{self, Sample, in_parallel, is_traceable, thread, trace};
use crate::operations::{self, Operation};
use crate::report::{Row, Trouble};
use crate::scene::{Fixture, May, Scene, ann};
use crate::strace::{CALLS, Call, Strace};

/// How long a rival waits for a lock of the one that stands still, before that one goes on.
const STILL: Duration = Duration::from_millis(30);

/// What the other process does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rival {
    Saves,
    Deletes,
    RevokesAll,
    Sweeps,
}

const RIVALS: [Rival; 4] = [Rival::Saves, Rival::Deletes, Rival::RevokesAll, Rival::Sweeps];

impl Rival {
    fn name(self) -> &'static str {
        match self {
            Self::Saves => "saves",
            Self::Deletes => "deletes",
            Self::RevokesAll => "revokes all",
            Self::Sweeps => "sweeps",
        }
    }

    fn deed(self, scene: &mut Scene, operation: Operation) -> Deed {
        let id = (operation.subject)(scene.cast);
        let durability = sessile::store::Durability::Process;
        match self {
            Self::Saves => Deed::save(id, scene.stamp(), 900, durability),
            Self::Deletes => Deed::Delete { id },
            Self::RevokesAll => Deed::Revoke { owner: ann() },
            Self::Sweeps => Deed::Sweep,
        }
    }
}

/// Races each operation that changes something against each rival; one row for all.
pub(crate) fn run(fixture: &Fixture, sample: Sample) -> Result<Vec<Row>, Trouble> {
    is_traceable(fixture)?;
    let mut row = Row::new("two processes at once");
    for operation in operations::ALL.into_iter().filter(|operation| operation.changes()) {
        let calls = trace(fixture, operation)?;
        let pairs = calls.iter().flat_map(|call| RIVALS.map(|rival| (call.clone(), rival)));
        let pairs = sample.draw(pairs.collect(), |(_, rival)| rival.name());
        let name = row.what.clone();
        row = in_parallel(row, &pairs, |(call, rival)| race(fixture, operation, call, *rival));
        row.what = name;
        eprintln!("  {}: {} races", operation.name, pairs.len());
    }
    Ok(vec![row])
}

fn race(fixture: &Fixture, operation: Operation, call: &Call, rival: Rival) -> Result<Row, String> {
    let mut row = Row::default();
    let mut scene = fixture.scene(true)?;
    let (mut worker, mut other) = (scene.worker()?, scene.worker()?);
    let stop = format!("{}:signal=STOP:when={}", call.name, call.nth);
    let mut strace = Strace::attach(&[thread(call, &worker)], &CALLS, &[stop])?;
    let order = inject::order(&mut scene, operation);
    worker.send(&order);
    strace.wait_for("stopped by SIGSTOP")?;
    row.injected += 1;

    let deed = rival.deed(&mut scene, operation);
    let rivals_order = scene.order(deed);
    other.send(&rivals_order);
    let early = other.receive(&rivals_order, STILL);
    worker.signal(Signal::CONT);
    let rivals = match early {
        Reply::Silent => other.receive(&rivals_order, PATIENCE),
        early => early,
    };
    let own = worker.receive(&order, PATIENCE);
    drop(strace);

    row.check(scene.hear(own, &order, May::Succeed));
    row.check(scene.hear(rivals, &rivals_order, May::Succeed));
    scene.look(&mut row, Promise::KILL);
    scene.go_on(&mut row);
    scene.judge_answers(&mut row);
    for violation in &mut row.violations {
        *violation = format!("{} after {call:?}, {rival:?}: {violation}", operation.name);
    }
    Ok(row)
}
