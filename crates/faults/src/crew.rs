//! Several processes at work on one directory, as they like, until they are killed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::hand::Worker;
use crate::history::History;

#[derive(Debug)]
pub(crate) struct Crew {
    root: PathBuf,
    rng: fastrand::Rng,
    /// How many workers there ever were: each has a name of its own.
    names: u64,
    workers: Vec<Worker>,
}

impl Crew {
    pub(crate) fn new(root: &Path, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { root: root.to_owned(), rng, names: 0, workers: Vec::new() }
    }

    pub(crate) fn start(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            self.names += 1;
            self.workers.push(Worker::roaming(&self.root, self.rng.u64(..), self.names)?);
        }
        Ok(())
    }

    /// Starts one worker, or some.
    pub(crate) fn start_some(&mut self, most: usize) -> Result<(), String> {
        let count = self.rng.usize(1..=most);
        self.start(count)
    }

    /// Lets them work for a while that nobody can foresee.
    pub(crate) fn work(&mut self, ms: std::ops::Range<u64>) {
        std::thread::sleep(Duration::from_millis(self.rng.u64(ms)));
    }

    /// Lets them work for a while, and then until one of them has ended a session.
    pub(crate) fn work_to_an_end(&mut self, ms: std::ops::Range<u64>) {
        self.work(ms);
        if let Some(worker) = self.workers.first_mut() {
            worker.wait_for_an_end(Duration::from_millis(500));
        }
    }

    /// Kills one of them, and notes what it did.
    pub(crate) fn kill_one(&mut self, history: &mut History) {
        let worker = self.workers.swap_remove(self.rng.usize(..self.workers.len()));
        worker.kill().into_iter().for_each(|event| history.note(event));
    }

    /// Kills all of them, in no order.
    pub(crate) fn kill_all(&mut self, history: &mut History) -> u64 {
        let count = self.workers.len() as u64;
        while !self.workers.is_empty() {
            self.kill_one(history);
        }
        count
    }

    /// Stops all of them where they are.
    pub(crate) fn stop_all(&self) {
        self.workers.iter().for_each(|worker| worker.signal(Signal::STOP));
    }
}
