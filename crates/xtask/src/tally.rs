//! Counting: what the test programs print about themselves, added up into one line.

use std::fmt;

use crate::faults::MISSING;

/// How many tests passed, failed and were skipped, and why.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: Vec<String>,
    broken: Vec<String>,
}

impl Tally {
    /// Counts a line of `cargo test`, if it is a result line.
    pub(crate) fn cargo_line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.add(counts);
        }
    }

    /// Counts the line that ends a run of pytest: `5 passed, 1 skipped in 12.3s`.
    pub(crate) fn pytest_line(&mut self, line: &str) {
        let words = line.trim_matches(['=', ' ']);
        let counts = words.split_once(" in ").map_or("", |(counts, _)| counts);
        if counts.split(", ").all(is_count) {
            self.add(counts);
        }
    }

    /// Counts a line of the faults: what each part came to, and what could not be tried. What is
    /// missing is a failure where it was promised; what the machine does not allow never is.
    pub(crate) fn faults_line(&mut self, line: &str, is_promised: bool) {
        if let Some(counts) = line.strip_prefix("faults: ") {
            let ran = counts.rsplit_once(", ").map_or(counts, |(ran, _skipped)| ran);
            self.add(ran);
        } else if let Some(why) = line.strip_prefix("skipped: ") {
            self.skip(format!("faults: {why}"));
        } else if let Some(why) = line.strip_prefix(MISSING) {
            match is_promised {
                true => self.step(self.failed, Err(format!("faults: {why}"))),
                false => self.skip(format!("faults: {why}")),
            }
        }
    }

    /// Notes something that was not tested, and why.
    pub(crate) fn skip(&mut self, what_and_why: impl Into<String>) {
        self.skipped.push(what_and_why.into());
    }

    /// Counts a check of our own as one test.
    pub(crate) fn check(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(why) => self.step(self.failed, Err(why)),
        }
    }

    /// Notes a step that could not finish, unless its failed tests are counted already.
    pub(crate) fn step(&mut self, failed_before: u64, outcome: Result<(), String>) {
        if let Err(why) = outcome
            && self.failed == failed_before
        {
            self.failed += 1;
            self.broken.push(why);
        }
    }

    /// The failures so far.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Reads `3 passed`, `1 failed`, `2 skipped` and their like out of a line of counts.
    fn add(&mut self, counts: &str) {
        let words: Vec<&str> =
            counts.split([' ', ',', ';', '.']).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(n) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => self.passed += n,
                "failed" | "error" | "errors" => self.failed += n,
                "skipped" | "ignored" => self.add_skipped(n),
                _ => {}
            }
        }
    }

    fn add_skipped(&mut self, n: u64) {
        self.skipped.extend((0..n).map(|_| "a test, for the reason printed above".to_owned()));
    }
}

fn is_count(words: &str) -> bool {
    words.split_once(' ').is_some_and(|(n, _)| n.parse::<u64>().is_ok())
}

impl fmt::Display for Tally {
    /// What was skipped and what broke, each on a line; the last line counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for why in &self.skipped {
            writeln!(f, "skipped: {why}")?;
        }
        for why in &self.broken {
            writeln!(f, "failed: {why}")?;
        }
        let (passed, failed, skipped) = (self.passed, self.failed, self.skipped.len());
        write!(f, "sessile: {passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_result_lines_add_up() {
        let mut tally = Tally::default();
        tally.cargo_line("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered");
        tally.cargo_line("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured");
        tally.cargo_line("test says_5_passed ... ok");
        assert_eq!(tally.to_string(), "sessile: 13 passed, 2 failed, 0 skipped");
    }

    #[test]
    fn pytests_last_line_is_counted_and_no_other() {
        let mut tally = Tally::default();
        tally.pytest_line("crates/demo/tests/browser/test_demo.py ...   [100%]");
        tally.pytest_line("a line with 7 passed words");
        tally.pytest_line("==== 1 failed, 4 passed, 1 skipped in 12.30s ====");
        assert!(tally.to_string().ends_with("sessile: 4 passed, 1 failed, 1 skipped"));
    }

    #[test]
    fn the_parts_of_the_faults_are_counted_and_what_is_missing_fails_where_it_was_promised() {
        let lines = [
            "update in place        13   484   0",
            "skipped: power: only root may mount a file system",
            "missing: calls: no strace",
            "faults: 14 passed, 1 failed, 2 skipped",
        ];
        for (is_promised, counts) in
            [(false, "14 passed, 1 failed, 2 skipped"), (true, "14 passed, 2 failed, 1 skipped")]
        {
            let mut tally = Tally::default();
            for line in lines {
                tally.faults_line(line, is_promised);
            }
            assert!(tally.to_string().ends_with(counts), "{tally}");
        }
    }

    #[test]
    fn a_step_that_breaks_without_a_count_is_one_failure() {
        let mut tally = Tally::default();
        tally.step(0, Err("`cargo test`: exit status: 101".into()));
        assert_eq!(
            tally.to_string(),
            "failed: `cargo test`: exit status: 101\nsessile: 0 passed, 1 failed, 0 skipped"
        );
    }

    #[test]
    fn a_check_of_our_own_is_one_test() {
        let mut tally = Tally::default();
        tally.check(Ok(()));
        tally.check(Err("fuzz record: failed".into()));
        assert_eq!(
            tally.to_string(),
            "failed: fuzz record: failed\nsessile: 1 passed, 1 failed, 0 skipped"
        );
    }

    #[test]
    fn a_step_whose_failures_are_counted_is_not_counted_twice() {
        let mut tally = Tally::default();
        tally.cargo_line("test result: FAILED. 1 passed; 2 failed; 0 ignored");
        tally.step(0, Err("`cargo test`: exit status: 101".into()));
        assert_eq!(tally.failed(), 2);
    }

    #[test]
    fn what_was_skipped_is_said_with_its_reason() {
        let mut tally = Tally::default();
        tally.skip("the browser test: no chromium");
        assert!(tally.to_string().starts_with("skipped: the browser test: no chromium\n"));
    }
}
