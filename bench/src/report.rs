//! The table, and whether it holds.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crate::rounds::{Op, Times};

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    times: Times,
    calls: String,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.times.store.as_secs_f64() / self.times.floor.as_secs_f64()
    }

    fn is_over(&self) -> bool {
        self.times.op.limit().is_some_and(|limit| self.ratio() > limit)
    }
}

/// Joins times and calls, which come in the same order.
pub(crate) fn rows(times: &[Times], calls: &[String]) -> Vec<Row> {
    let pairs = times.iter().zip(calls);
    pairs.map(|(times, calls)| Row { times: *times, calls: calls.clone() }).collect()
}

pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| operation | store | floor | ratio | limit | system calls of the store |\n\
         |---|--:|--:|--:|--:|---|\n",
    );
    for row in rows {
        let Times { op, store, floor } = row.times;
        let (ratio, limit) = (row.ratio(), limit(op));
        let (name, calls) = (op.name(), &row.calls);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {ratio:.2} | {limit} | {calls} |",
            micros(store),
            micros(floor)
        );
    }
    text
}

/// Success, unless a check was asked for and a ratio is over its limit.
pub(crate) fn verdict(rows: &[Row], check: bool) -> ExitCode {
    let over: Vec<_> = rows.iter().filter(|row| row.is_over()).collect();
    for row in &over {
        eprintln!("bench: {} is over its limit ({:.2})", row.times.op.name(), row.ratio());
    }
    if check && !over.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The processor and the kernel, as far as the system says.
pub(crate) fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!("{processors} processors, Linux {}, load average {load}.", kernel.trim())
}

fn limit(op: Op) -> String {
    op.limit().map_or_else(|| "-".into(), |limit| format!("{limit:.1}"))
}

fn micros(duration: Duration) -> String {
    format!("{:.1} us", duration.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(op: Op, store_us: u64) -> Row {
        let (store, floor) = (Duration::from_micros(store_us), Duration::from_micros(10));
        Row { times: Times { op, store, floor }, calls: "3: a, b, c".into() }
    }

    #[test]
    fn a_row_reads_as_a_line_of_the_table() {
        let text = table(&[row(Op::Load, 12)]);
        assert!(
            text.ends_with("| load | 12.0 us | 10.0 us | 1.20 | 1.5 | 3: a, b, c |\n"),
            "{text}"
        );
    }

    #[test]
    fn only_a_check_fails_and_only_over_a_limit() {
        let (slow, no_limit) = (row(Op::Load, 16), row(Op::Rotate, 900));
        let code = |rows: &[Row], check| format!("{:?}", verdict(rows, check));
        let failure = format!("{:?}", ExitCode::FAILURE);
        assert_eq!(code(std::slice::from_ref(&slow), true), failure);
        assert_ne!(code(&[slow], false), failure);
        assert_ne!(code(&[no_limit], true), failure);
    }
}
