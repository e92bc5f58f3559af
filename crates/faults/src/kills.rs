//! Processes that share a directory, killed at random moments, again and again.
//!
//! What each of them began and was told lies in its pipe to us, where no kill can take it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::crew::Crew;
use crate::deed::{Deed, wall_ms};
use crate::history::{History, Promise};
use crate::report::{Row, Trouble};
use crate::scene::{Cast, Scene};

const WORKERS: usize = 3;

/// After so many rounds a new directory is begun: the history of each is checked whole every time.
const ROUNDS: u64 = 8;

/// So often it tells how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Kills for so long; one row.
pub(crate) fn run(scratch: &Path, seed: u64, time: Duration) -> Result<Vec<Row>, Trouble> {
    let mut row = Row::new("processes killed at random");
    let (started, mut told) = (Instant::now(), Instant::now());
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut directories = 0;
    while started.elapsed() < time && row.violations.is_empty() {
        directories += 1;
        let root = scratch.join(format!("kills-{directories}"));
        one_directory(&root, rng.u64(..), &mut row)?;
        if told.elapsed() > TOLD_EVERY {
            told = Instant::now();
            let (kills, checks, passed) = (row.injected, row.checks, started.elapsed().as_secs());
            eprintln!("  {passed} s: {kills} kills, {checks} checks");
        }
    }
    Ok(vec![row])
}

fn one_directory(root: &Path, seed: u64, row: &mut Row) -> Result<(), String> {
    let mut crew = Crew::new(root, seed);
    let mut scene = Scene::begin(root.into(), Cast::default(), History::default(), wall_ms());
    for _ in 0..ROUNDS {
        crew.start(WORKERS)?;
        for _ in 0..WORKERS {
            crew.work(2..80);
            crew.kill_one(&mut scene.history);
            row.injected += 1;
            crew.start(1)?;
        }
        crew.work(2..80);
        row.injected += crew.kill_all(&mut scene.history);
        check(&mut scene, row);
    }
    Ok(())
}

/// The whole history, by a process that was not there.
fn check(scene: &mut Scene, row: &mut Row) {
    scene.forget_witness();
    scene.set_now(wall_ms());
    for id in scene.look(row, Promise::KILL) {
        scene.take_over(id, row);
    }
    let swept = scene.ask(&Deed::Sweep);
    row.check(swept.err());
    scene.look(row, Promise::KILL);
    scene.go_on(row);
    scene.judge_answers(row);
}
