//! Every call of every operation refused, cut short, or its process's last.
//!
//! strace counts the calls of one thread from the moment it is attached, which is after the store
//! was opened and before the order is given: "the third `fdatasync`" is the operation's own third.
//! What is injected was counted in a trace before.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::deed::{Deed, Order};
use crate::hand::{PATIENCE, Reply, Worker};
use crate::history::Promise;
use crate::operations::{self, Operation};
use crate::report::{Row, Trouble};
use crate::scene::{Fixture, May, Scene};
use crate::strace::{self, CALLS, Call, Strace, Thread};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This call, refused with this error, once.
    Refused(Call, &'static str),
    /// This call, refused as a kernel or a sandbox does that does not know it: to be done another way,
    /// and nobody told.
    Unsupported(Call, &'static str),
    /// This call, broken off by a signal before it did anything: to be made again, and nobody told.
    Interrupted(Call),
    /// This write, taking nothing.
    TakesNothing(Call),
    /// The process is killed as it makes this call, which is not carried out.
    Killed(Call),
    /// No file may grow beyond so many bytes: a write across the border is cut short there, truly,
    /// and what is left of it is refused. (strace cannot cut a write short: it only claims to.)
    CutShort(u64),
    /// These calls are refused from the first one on.
    AllRefused(&'static str, &'static str),
}

impl Fault {
    fn kind(&self) -> &'static str {
        match self {
            Self::Refused(_, error) => error,
            Self::Unsupported(..) => "unsupported",
            Self::Interrupted(_) => "EINTR",
            Self::TakesNothing(_) => "takes nothing",
            Self::Killed(_) => "SIGKILL",
            Self::CutShort(_) => "cut short",
            Self::AllRefused(..) => "all refused",
        }
    }

    /// What an operation may come to under it.
    fn may(&self, operation: Operation) -> May {
        match self {
            Self::Interrupted(_) | Self::Unsupported(..) => May::Succeed,
            Self::Killed(_) => May::Die,
            Self::Refused(call, _) if call.syncs() => May::OnlyFail,
            _ if operation.is_logout() && self.is_of_writes() => May::Succeed,
            _ => May::Fail,
        }
    }

    /// Whether it keeps nothing but writes from being carried out, as a full disk does.
    fn is_of_writes(&self) -> bool {
        match self {
            Self::Refused(call, _) | Self::TakesNothing(call) => call.writes(),
            Self::CutShort(_) => true,
            Self::AllRefused(_, error) => *error == "ENOSPC",
            Self::Interrupted(_) | Self::Unsupported(..) | Self::Killed(_) => false,
        }
    }

    /// The words that have strace do it.
    fn injection(&self) -> Option<String> {
        match self {
            Self::Refused(call, error) | Self::Unsupported(call, error) => {
                Some(at(call, &format!("error={error}")))
            }
            Self::Interrupted(call) => Some(at(call, "error=EINTR")),
            Self::TakesNothing(call) => Some(at(call, "retval=0")),
            Self::Killed(call) => Some(at(call, "signal=KILL")),
            Self::CutShort(_) => None,
            Self::AllRefused(calls, error) => Some(format!("{calls}:error={error}:when=1+")),
        }
    }

    fn threads(&self, worker: &Worker) -> Vec<u32> {
        match self {
            Self::Refused(call, _)
            | Self::Unsupported(call, _)
            | Self::Interrupted(call)
            | Self::TakesNothing(call)
            | Self::Killed(call) => vec![thread(call, worker)],
            Self::CutShort(_) | Self::AllRefused(..) => vec![worker.main, worker.pool],
        }
    }

    /// Whether a line of strace's shows that it happened.
    fn shows_in(&self, line: &str) -> bool {
        match self {
            Self::Killed(_) => line.contains("killed by SIGKILL"),
            Self::CutShort(_) => line.contains("EFBIG"),
            _ => line.contains("(INJECTED)"),
        }
    }
}

fn at(call: &Call, what: &str) -> String {
    format!("{}:{what}:when={}", call.name, call.nth)
}

pub(crate) fn thread(call: &Call, worker: &Worker) -> u32 {
    match call.thread {
        Thread::Main => worker.main,
        Thread::Pool => worker.pool,
    }
}

/// Every fault that these calls can meet.
pub(crate) fn faults(calls: &[Call]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = calls.iter().flat_map(faults_of).collect();
    let mut limits: Vec<u64> = calls.iter().flat_map(limits).collect();
    limits.sort_unstable();
    limits.dedup();
    faults.extend(limits.into_iter().map(Fault::CutShort));
    for (names, error) in [
        ("pwrite64,mkdirat,linkat", "ENOSPC"),
        ("pwrite64,fdatasync,fsync", "EIO"),
        ("openat,openat2", "EMFILE"),
    ] {
        if calls.iter().any(|call| names.split(',').any(|name| name == call.name)) {
            faults.push(Fault::AllRefused(names, error));
        }
    }
    faults
}

fn faults_of(call: &Call) -> Vec<Fault> {
    let mut faults = vec![Fault::Refused(call.clone(), "EIO"), Fault::Killed(call.clone())];
    if call.takes_space() {
        faults.push(Fault::Refused(call.clone(), "ENOSPC"));
    }
    if call.opens() {
        faults.push(Fault::Refused(call.clone(), "EMFILE"));
    }
    if call.writes() {
        faults.push(Fault::TakesNothing(call.clone()));
    }
    if let Some(error) = call.refusal_of_the_unknown() {
        faults.push(Fault::Unsupported(call.clone(), error));
    }
    if call.may_be_interrupted() {
        faults.push(Fault::Interrupted(call.clone()));
    }
    faults
}

/// Where a write is cut short: after its first byte, in the middle, before its last.
fn limits(call: &Call) -> Vec<u64> {
    let extent = call.extent().or_else(|| call.writes().then_some((0, 32)));
    extent.map_or(vec![], |(at, bytes)| vec![at + 1, at + bytes / 2, at + bytes - 1])
}

/// How many of each kind are injected into each operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) each_max: usize,
    pub(crate) seed: u64,
}

impl Sample {
    /// At most so many of each kind, as the seed draws them.
    pub(crate) fn draw<T>(self, all: Vec<T>, kind: impl Fn(&T) -> &'static str) -> Vec<T> {
        let mut all = all;
        fastrand::Rng::with_seed(self.seed).shuffle(&mut all);
        let mut taken: Vec<(&str, usize)> = Vec::new();
        all.retain(|it| {
            let kind = kind(it);
            let at = taken.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
                taken.push((kind, 0));
                taken.len() - 1
            });
            taken[at].1 += 1;
            taken[at].1 <= self.each_max
        });
        all
    }
}

/// Injects, operation by operation; one row for each.
pub(crate) fn run(fixture: &Fixture, sample: Sample) -> Result<Vec<Row>, Trouble> {
    is_traceable(fixture)?;
    let mut rows = Vec::new();
    for operation in operations::ALL {
        let faults = sample.draw(faults(&trace(fixture, operation)?), Fault::kind);
        let row = Row::new(operation.name);
        rows.push(in_parallel(row, &faults, |fault| inject(fixture, operation, fault)));
        eprintln!("  {}: {} faults", operation.name, faults.len());
    }
    Ok(rows)
}

/// Some sandboxes have strace and forbid its use.
pub(crate) fn is_traceable(fixture: &Fixture) -> Result<(), Trouble> {
    let worker = fixture.scene(true)?.worker()?;
    let attached = Strace::attach(&[worker.main], CALLS.as_slice(), &[]);
    attached.map(drop).map_err(|why| Trouble::Missing(format!("nothing can be traced: {why}")))
}

/// Works on as many cases at once as there are processors, and adds up what they came to.
pub(crate) fn in_parallel<T: Sync>(
    row: Row,
    cases: &[T],
    run: impl Fn(&T) -> Result<Row, String> + Sync,
) -> Row {
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(row));
    let add = |row| sum.lock().expect("adding does not panic").add(row);
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            add(run(case).unwrap_or_else(|why| Row { violations: vec![why], ..Row::default() }));
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(8) {
            scope.spawn(work);
        }
    });
    sum.into_inner().expect("adding does not panic")
}

/// The calls that an operation makes.
pub(crate) fn trace(fixture: &Fixture, operation: Operation) -> Result<Vec<Call>, String> {
    let mut scene = fixture.scene(operation.is_furnished())?;
    let mut worker = on_stage(&mut scene, operation)?;
    let strace = Strace::attach(&[worker.main, worker.pool], &CALLS, &[])?;
    let order = order(&mut scene, operation);
    let reply = worker.ask(&order);
    let calls = strace::calls(&strace.detach(), worker.main);
    match scene.hear(reply, &order, May::Succeed) {
        Some(wrong) => Err(format!("{} without a fault: {wrong}", operation.name)),
        None if calls.is_empty() => Err(format!("{} makes no calls", operation.name)),
        None => Ok(calls),
    }
}

/// A worker that has done everything but the operation.
pub(crate) fn on_stage(scene: &mut Scene, operation: Operation) -> Result<Worker, String> {
    if operation.is_furnished() { scene.worker() } else { Worker::serving(&scene.root) }
}

pub(crate) fn order(scene: &mut Scene, operation: Operation) -> Order {
    let stamps = [scene.stamp(), scene.stamp()];
    let deed = (operation.deed)(scene.cast, stamps);
    scene.order(deed)
}

/// One operation under one fault, and everything that may be asked afterwards.
fn inject(fixture: &Fixture, operation: Operation, fault: &Fault) -> Result<Row, String> {
    let mut row = Row::default();
    let mut scene = fixture.scene(operation.is_furnished())?;
    let mut worker = on_stage(&mut scene, operation)?;
    let order = order(&mut scene, operation);
    let (reply, is_injected) = under(fault, &mut worker, &order)?;
    row.injected += u64::from(is_injected);
    // What did not happen, as the calls came in another order this time, excuses nothing.
    let may = if is_injected { fault.may(operation) } else { May::Succeed };
    row.check(scene.hear(reply, &order, may));

    scene.look(&mut row, Promise::KILL);
    let worker = (may != May::Die).then_some(worker);
    once_more(&mut scene, operation, worker, &mut row);
    scene.look(&mut row, Promise::KILL);
    scene.go_on(&mut row);
    scene.judge_answers(&mut row);
    for violation in &mut row.violations {
        *violation = format!("{fault:?}: {violation}");
    }
    Ok(row)
}

/// Gives the order while this goes wrong; the fault is over when this returns.
fn under(fault: &Fault, worker: &mut Worker, order: &Order) -> Result<(Reply, bool), String> {
    let strace = Strace::attach(
        &fault.threads(worker),
        &CALLS,
        &fault.injection().into_iter().collect::<Vec<_>>(),
    )?;
    if let Fault::CutShort(bytes) = fault {
        worker.limit_files(Some(*bytes))?;
    }
    worker.send(order);
    let reply = worker.receive(order, PATIENCE);
    if let Fault::CutShort(_) = fault {
        worker.limit_files(None)?;
    }
    let lines = strace.detach();
    Ok((reply, lines.iter().any(|line| fault.shows_in(line))))
}

/// The same store does the same once more; where its process died, another one's does.
fn once_more(scene: &mut Scene, operation: Operation, worker: Option<Worker>, row: &mut Row) {
    let again = order(scene, operation);
    let wrong = match worker {
        Some(mut worker) => {
            let reply = worker.ask(&again);
            scene.hear(reply, &again, May::Succeed)
        }
        None if again.deed == Deed::Open => None,
        None => scene.ask(&again.deed).err(),
    };
    row.check(wrong.map(|wrong| format!("once more: {wrong}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> Call {
        Call { thread: Thread::Main, name: name.into(), nth: 2, arguments: arguments.into() }
    }

    #[test]
    fn a_write_meets_every_fault_and_a_read_only_its_own() {
        let kinds = |call: Call| faults(&[call]).iter().map(Fault::kind).collect::<Vec<_>>();
        assert_eq!(
            kinds(call("pwrite64", "5, \"\"..., 100, 64")),
            [
                "EIO",
                "SIGKILL",
                "ENOSPC",
                "takes nothing",
                "EINTR",
                "cut short",
                "cut short",
                "cut short",
                "all refused",
                "all refused",
            ]
        );
        assert_eq!(kinds(call("pread64", "5, \"\"..., 4096, 0")), ["EIO", "SIGKILL", "EINTR"]);
        let of_linux_alone = kinds(call("preadv2", "5, [{...}], 1, 0, RWF_NOWAIT"));
        assert_eq!(of_linux_alone, ["EIO", "SIGKILL", "unsupported", "EINTR"]);
    }

    #[test]
    fn a_fault_is_put_at_one_call() {
        let fault = Fault::Refused(call("fdatasync", "5"), "EIO");
        assert_eq!(fault.injection().unwrap(), "fdatasync:error=EIO:when=2");
    }

    #[test]
    fn a_sample_has_some_of_each_kind_and_the_same_ones_for_a_seed() {
        let all = faults(&[call("pwrite64", "5, \"\", 100, 64"), call("write", "5, \"\", 32")]);
        let draw = |seed| Sample { each_max: 1, seed }.draw(all.clone(), Fault::kind);
        let kinds: std::collections::BTreeSet<_> = all.iter().map(Fault::kind).collect();
        assert_eq!(draw(1).len(), kinds.len());
        assert_eq!(draw(1), draw(1));
    }
}
