//! System calls per operation: the benchmark runs itself under strace, once with the operation and
//! once without, and takes the difference.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::rounds::{Op, runtime};
use crate::store::StoreSide;

const TIMES: usize = 500;

/// What the allocator asks of the kernel now and then.
const MEMORY: [&str; 5] = ["brk", "madvise", "mmap", "mprotect", "munmap"];
/// How one thread wakes another.
const WAKING: &str = "futex";

/// Calls by name.
type Calls = BTreeMap<String, f64>;

/// What is printed per operation: the calls, or why they were not counted.
pub(crate) fn count_all(dir: &Path) -> Vec<String> {
    Op::ALL.map(|op| count(op, dir).unwrap_or_else(|why| format!("not counted: {why}"))).to_vec()
}

/// The traced process: opens a store, and runs the operation so many times.
pub(crate) fn child(op: Op, times: usize, dir: &Path) -> Outcome {
    let dir = dir.to_owned();
    runtime()?.block_on(async move {
        tokio::spawn(async move {
            let mut store = StoreSide::open(&dir).await?;
            // What is made once is made before: the folders' handles, the log, the records to delete.
            store.batch(op, 300, &mut Vec::new()).await?;
            store.prepare(op, TIMES).await?;
            store.batch(op, times, &mut Vec::new()).await
        })
        .await?
    })
}

fn count(op: Op, dir: &Path) -> Outcome<String> {
    let (with, without) = (traced(op, TIMES, dir)?, traced(op, 0, dir)?);
    Ok(describe(&per_operation(&with, &without)))
}

fn traced(op: Op, times: usize, dir: &Path) -> Outcome<Calls> {
    let (log, root) = (dir.join("calls.log"), dir.join(format!("calls-{}-{times}", op.name())));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&log).arg(std::env::current_exe()?);
    strace.args(["counted", op.name(), &times.to_string()]).arg(&root);
    let output = strace.stdin(Stdio::null()).output().map_err(|e| format!("strace: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().last().unwrap_or("strace failed").to_owned().into());
    }
    std::fs::remove_dir_all(&root)?;
    Ok(parse(&std::fs::read_to_string(&log)?))
}

/// Reads strace's table: `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn parse(table: &str) -> Calls {
    let rows = table.lines().filter_map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        words.first()?.parse::<f64>().ok()?;
        let calls = words.get(3)?.parse().ok()?;
        let name = *words.last()?;
        (name != "total" && !MEMORY.contains(&name)).then(|| (name.to_owned(), calls))
    });
    rows.collect()
}

#[expect(clippy::cast_precision_loss, reason = "a count of calls")]
fn per_operation(with: &Calls, without: &Calls) -> Calls {
    let each = |(name, calls): (&String, &f64)| {
        let before = without.get(name).copied().unwrap_or_default();
        (name.clone(), (calls - before) / TIMES as f64)
    };
    with.iter().map(each).collect()
}

/// `3: close, openat, pread64`; a call that is made less than every tenth time is left out. So is one
/// thread waking another: under a tracer that slows every call, more is handed over than otherwise.
fn describe(calls: &Calls) -> String {
    let seen = || calls.iter().filter(|(name, per)| **per >= 0.1 && *name != WAKING);
    let names = seen().map(|(name, per)| match per.round() {
        n if (per - n).abs() > 0.1 => format!("{name} x {per:.1}"),
        n if n > 1.0 => format!("{name} x {n}"),
        _ => name.clone(),
    });
    let total = seen().map(|(_, per)| per).sum::<f64>().max(0.0);
    format!("{total:.0}: {}", names.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000100           1       600       100 openat
 40.00    0.000050           1      1000           pread64
------ ----------- ----------- --------- --------- ----------------
100.00    0.000150           1      1600       100 total";

    #[test]
    fn straces_table_is_read_with_and_without_errors() {
        let calls = parse(TABLE);
        assert_eq!(calls.get("openat"), Some(&600.0));
        assert_eq!(calls.get("pread64"), Some(&1000.0));
        assert_eq!(calls.len(), 2);
    }

    #[test]
    fn the_calls_of_one_operation_are_the_difference() {
        let without = Calls::from([("openat".into(), 100.0)]);
        let each = per_operation(&parse(TABLE), &without);
        assert_eq!(describe(&each), "3: openat, pread64 x 2");
    }

    #[test]
    fn a_rare_call_is_left_out_and_a_fraction_is_shown() {
        let calls = Calls::from([("brk".into(), 0.01), ("openat".into(), 1.5)]);
        assert_eq!(describe(&calls), "2: openat x 1.5");
    }

    #[test]
    fn waking_another_thread_is_not_counted() {
        let calls = Calls::from([("futex".into(), 7.0), ("openat".into(), 1.0)]);
        assert_eq!(describe(&calls), "1: openat");
    }
}
