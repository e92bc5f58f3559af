//! Crashes a story at every moment, in every way, and judges what is found.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

use super::super::sys::record::Call;
use super::choices::Choices;
use super::disk::{Disk, SECTOR};
use super::judge::{Crash, Invariant, Progress, Violation, judge};
use super::observe::Observer;
use super::scene::Story;
use super::tree::Tree;

/// How many states were judged, and what was wrong with them.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The different states of the disk from moments of which every outcome was tried.
    pub(super) exhaustive: usize,
    /// Those from moments of which a sample was tried.
    pub(super) sampled: usize,
    /// What was wrong, with how often and where first.
    pub(super) wrong: BTreeMap<(Invariant, String), (usize, String)>,
}

impl Report {
    pub(super) fn add(&mut self, other: Self) {
        self.exhaustive += other.exhaustive;
        self.sampled += other.sampled;
        for (what, (times, first)) in other.wrong {
            self.wrong.entry(what).or_insert((0, first)).0 += times;
        }
    }

    pub(super) fn blame(&mut self, of: Invariant, what: String, place: impl Into<String>) {
        self.wrong.entry((of, what)).or_insert_with(|| (0, place.into())).0 += 1;
    }

    /// The invariants that were broken.
    pub(super) fn broken(&self) -> Vec<Invariant> {
        let mut broken: Vec<_> = self.wrong.keys().map(|(of, _)| *of).collect();
        broken.dedup();
        broken
    }

    /// Prints the count, and fails when anything was wrong.
    #[track_caller]
    pub(super) fn print(self, name: &str) {
        let Self { exhaustive, sampled, wrong } = self;
        println!("{}", line(name, exhaustive, sampled));
        count(exhaustive, sampled);
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        assert!(exhaustive > 1, "{name}: nothing was checked");
    }
}

/// Crashes a story.
#[derive(Debug)]
pub(super) struct Checker<'a> {
    story: &'a Story,
    observer: Observer,
    /// So many outcomes of one moment are tried exhaustively, and sampled beyond.
    outcomes_max: usize,
    seen: HashSet<u64>,
    report: Report,
}

/// The report on a story that is crashed by kill and by loss of power, at every moment.
pub(super) fn check(story: &Story, outcomes_max: usize) -> Report {
    let mut checker = Checker::new(story, outcomes_max);
    checker.crash_everywhere();
    checker.report
}

/// As [`check`], at the last moment alone.
pub(super) fn check_end(story: &Story, outcomes_max: usize) -> Report {
    let mut checker = Checker::new(story, outcomes_max);
    checker.crash_at_the_end();
    checker.report
}

/// The disk and the promises at the end of a story.
pub(super) fn end_of(story: &Story) -> (Disk, Progress<'_>) {
    let (mut disk, mut progress) = (story.start.clone(), Progress::new(story));
    for call in &story.log {
        disk.apply(call);
        progress.go_on(call);
    }
    (disk, progress)
}

impl<'a> Checker<'a> {
    fn new(story: &'a Story, outcomes_max: usize) -> Self {
        let observer = Observer::new(story.ids(), story.now);
        Self { story, observer, outcomes_max, seen: HashSet::new(), report: Report::default() }
    }

    /// A kill is tried around every call; a loss of power where it can do most.
    ///
    /// Between two syncs, what a loss of power may leave only grows: the outcomes of a moment are
    /// among those of the next one, which may keep nothing of the call in between. So it is enough to
    /// try them before each sync, before each deed, after which more is permitted, and after each
    /// acknowledgment, after which less is.
    fn crash_everywhere(&mut self) {
        let (mut disk, mut progress) = (self.story.start.clone(), Progress::new(self.story));
        for (moment, call) in self.story.log.iter().enumerate() {
            for torn in torn_writes(call) {
                self.kill(&after(&disk, &torn), &progress, moment);
            }
            if is_barrier(call) {
                self.lose_power(&disk, &progress, moment);
            }
            disk.apply(call);
            progress.go_on(call);
            self.kill(&disk, &progress, moment + 1);
            if matches!(call, Call::Acknowledged(_)) {
                self.lose_power(&disk, &progress, moment + 1);
            }
        }
        self.lose_power(&disk, &progress, self.story.log.len());
    }

    fn crash_at_the_end(&mut self) {
        let (disk, progress) = end_of(self.story);
        let moment = self.story.log.len();
        self.kill(&disk, &progress, moment);
        self.lose_power(&disk, &progress, moment);
    }

    fn lose_power(&mut self, disk: &Disk, progress: &Progress<'_>, moment: usize) {
        if moment < self.story.crashes_from {
            return;
        }
        let questions = disk.questions();
        let choices = Choices::new(&questions, self.outcomes_max, moment as u64);
        for answers in &choices.answers {
            let state = disk.after(&questions, answers);
            self.judge(&state, progress, Crash::Power, moment, choices.are_all);
        }
    }

    fn kill(&mut self, disk: &Disk, progress: &Progress<'_>, moment: usize) {
        if moment >= self.story.crashes_from {
            self.judge(&disk.now(), progress, Crash::Kill, moment, true);
        }
    }

    fn judge(
        &mut self,
        state: &Tree,
        progress: &Progress<'_>,
        crash: Crash,
        moment: usize,
        exhaustive: bool,
    ) {
        let print = state.print();
        if self.seen.insert(print) {
            match exhaustive {
                true => self.report.exhaustive += 1,
                false => self.report.sampled += 1,
            }
        }
        for Violation { of, what } in judge(progress, crash, &self.observer.observe(print, state)) {
            self.report.blame(of, what, format!("{crash:?} {}", place(self.story, moment)));
        }
    }
}

fn place(story: &Story, moment: usize) -> String {
    let last = moment.checked_sub(1).and_then(|last| story.log.get(last));
    format!("after step {moment} of {}: {}", story.log.len(), brief(last))
}

fn is_barrier(call: &Call) -> bool {
    matches!(call, Call::SyncFile { .. } | Call::SyncDir { .. } | Call::Failed(_) | Call::Begun(_))
}

fn after(disk: &Disk, call: &Call) -> Disk {
    let mut after = disk.clone();
    after.apply(call);
    after
}

/// The ways a kill can cut a write short: at every sector, and at a few places that are none. What
/// lies within one sector the kernel copies in one go.
fn torn_writes(call: &Call) -> Vec<Call> {
    let Call::Write { file, offset, bytes } = call else { return vec![] };
    let to_sector = SECTOR - *offset as usize % SECTOR;
    if bytes.len() <= to_sector {
        return vec![];
    }
    let sectors = (to_sector..bytes.len()).step_by(SECTOR).take(16);
    let odd = [1, 55, 63, bytes.len() / 2, bytes.len() - 1];
    let cuts = sectors.chain(odd).filter(|cut| *cut < bytes.len());
    cuts.map(|cut| Call::Write { file: *file, offset: *offset, bytes: bytes[..cut].into() })
        .collect()
}

fn brief(call: Option<&Call>) -> String {
    match call {
        Some(Call::Write { file, offset, bytes }) => {
            format!("Write {} bytes at {offset} of {}", bytes.len(), file.1)
        }
        Some(call) => format!("{call:?}"),
        None => "nothing".into(),
    }
}

/// How many tests print a count.
const TESTS: usize = 21;

static TOTAL: Mutex<(usize, usize, usize)> = Mutex::new((0, 0, 0));

/// Adds to the total over all tests, and prints it once the last of them is done.
fn count(exhaustive: usize, sampled: usize) {
    let mut total = TOTAL.lock().unwrap();
    *total = (total.0 + 1, total.1 + exhaustive, total.2 + sampled);
    let (tests, exhaustive, sampled) = *total;
    if tests == TESTS {
        println!("{}", line("total", exhaustive, sampled));
    }
}

fn line(name: &str, exhaustive: usize, sampled: usize) -> String {
    let states = exhaustive + sampled;
    format!("crash: {name} {states} states ({exhaustive} exhaustive, {sampled} sampled)")
}
