//! `cargo xtask fuzz`: every program in `fuzz/` for a while, from the corpus in the repository.
//!
//! One of them has a bug planted that only a fuzzer finds which follows coverage: when that stays
//! unfound, the runs of the others say nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::needs;
use crate::shell::{self, Outcome, cargo, root, run};
use crate::tally::Tally;

/// How long all targets together run in `cargo xtask test`.
const SMOKE_SECONDS: u64 = 60;

/// Longer than the planted bug is ever looked for: it takes a second.
const PLANTED_SECONDS: u64 = 60;

const PLANTED: &str = "planted";

/// Fuzzes for as long as these options say, and prints what was counted.
pub(crate) fn fuzz(options: &[String]) -> Outcome {
    let mut tally = Tally::default();
    compiler()?;
    for_seconds(&mut tally, seconds(options)?);
    println!("{tally}");
    if tally.failed() == 0 { Ok(()) } else { Err("a fuzz target failed".into()) }
}

/// Fuzzes for a minute.
pub(crate) fn smoke(tally: &mut Tally) {
    for_seconds(tally, SMOKE_SECONDS);
}

/// libFuzzer is C++.
pub(crate) fn compiler() -> Outcome {
    needs::program(&["c++", "g++", "clang++"], "g++").map(|_| ())
}

fn seconds(options: &[String]) -> Result<u64, String> {
    let words: Vec<_> = options.iter().map(String::as_str).collect();
    let seconds = match words[..] {
        [] => Some(SMOKE_SECONDS),
        ["--seconds", number] => number.parse().ok(),
        _ => None,
    };
    seconds.ok_or_else(|| format!("`fuzz` takes --seconds and a number, not {words:?}"))
}

fn for_seconds(tally: &mut Tally, seconds: u64) {
    let targets = targets(&root());
    tally.check(build());
    tally.check(finds_what_is_planted());
    let each = (seconds / targets.len().max(1) as u64).max(1);
    for target in targets {
        tally.check(without_findings(&target, each));
    }
}

/// The names of the targets, but for the planted one.
fn targets(root: &Path) -> Vec<String> {
    let files = std::fs::read_dir(root.join("fuzz/fuzz_targets")).into_iter().flatten().flatten();
    let names = files.filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<_> = names.filter(|name| name != PLANTED).collect();
    names.sort();
    names
}

fn build() -> Outcome {
    // Flags of the environment would take the place of those in `fuzz/.cargo/config.toml`.
    run(in_fuzz(&["build", "--quiet", "--release"]).env_remove("RUSTFLAGS"))
}

fn finds_what_is_planted() -> Outcome {
    let session = Session::run(PLANTED, PLANTED_SECONDS)?;
    match session.artifact() {
        Some(artifact) if session.said.contains("the planted bug") => {
            let _ = std::fs::remove_file(root().join(artifact));
            println!("fuzz {PLANTED}: found, as it must be");
            Ok(())
        }
        _ => Err(format!("fuzz {PLANTED}: not found; is coverage no longer followed?")),
    }
}

fn without_findings(target: &str, seconds: u64) -> Outcome {
    let session = Session::run(target, seconds)?;
    match (session.succeeded, session.runs()) {
        (true, Some(runs @ 1..)) => {
            println!("fuzz {target}: {runs} runs");
            Ok(())
        }
        (true, _) => Err(format!("fuzz {target}: not one run")),
        (false, _) => {
            eprintln!("{}", session.said);
            let kept = session.artifact().unwrap_or("no file: it failed before the first input");
            Err(format!("fuzz {target}: failed; the input is kept in {kept}"))
        }
    }
}

/// What libFuzzer said in one run of one target.
struct Session {
    succeeded: bool,
    said: String,
}

impl Session {
    fn run(target: &str, seconds: u64) -> Result<Self, String> {
        let (found, artifacts) =
            (fresh_corpus(target)?, root().join("fuzz/artifacts").join(target));
        std::fs::create_dir_all(&artifacts).map_err(|e| format!("cannot keep findings: {e}"))?;
        let mut words = in_fuzz(&["run", "--quiet", "--release", "--bin", target, "--"]);
        words.env_remove("RUSTFLAGS").arg(found).arg(root().join("fuzz/corpus").join(target));
        words.arg(format!("-max_total_time={seconds}"));
        // Without the slash it would be the beginning of a file's name.
        words.arg(format!("-artifact_prefix={}/", artifacts.display()));
        words.args(["-print_final_stats=1", "-timeout=20", "-rss_limit_mb=2048"]);
        let output = words.output().map_err(|e| format!("fuzz {target} could not be run: {e}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Self { succeeded: output.status.success(), said })
    }

    /// How many inputs were tried.
    fn runs(&self) -> Option<u64> {
        let mut counts = self.said.lines().filter_map(|line| {
            line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok()
        });
        counts.next_back()
    }

    /// The file with the input that failed.
    fn artifact(&self) -> Option<&str> {
        let mut files =
            self.said.lines().filter_map(|line| line.split("Test unit written to ").nth(1));
        files.next_back()
    }
}

/// A folder for what a run finds to be new; it stays until the next run, to be picked from.
fn fresh_corpus(target: &str) -> Result<PathBuf, String> {
    let folder = shell::target_dir().join("fuzz-corpus").join(target);
    let _ = std::fs::remove_dir_all(&folder);
    let made = std::fs::create_dir_all(&folder).and_then(|()| {
        // A target without a corpus begins with nothing.
        std::fs::create_dir_all(root().join("fuzz/corpus").join(target))
    });
    made.map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    Ok(folder)
}

/// Cargo in the folder whose configuration makes it instrument.
fn in_fuzz(words: &[&str]) -> Command {
    let mut command = cargo(words);
    command.current_dir(root().join("fuzz"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(said: &str) -> Session {
        Session { succeeded: true, said: said.to_owned() }
    }

    #[test]
    fn runs_and_findings_are_read_out_of_what_libfuzzer_says() {
        let whole = session("#2\tINITED\nDone 9 runs\nstat::number_of_executed_units: 1234\n");
        assert_eq!((whole.runs(), whole.artifact()), (Some(1234), None));
        let found = session("artifact_prefix='a/'; Test unit written to a/crash-12\nBase64: QQ==");
        assert_eq!((found.runs(), found.artifact()), (None, Some("a/crash-12")));
    }

    #[test]
    fn every_target_is_found_but_the_planted_one() {
        let targets = targets(&root());
        assert!(targets.contains(&"record".to_owned()) && targets.len() > 5, "{targets:?}");
        assert!(!targets.contains(&PLANTED.to_owned()));
    }

    #[test]
    fn the_time_is_a_number_of_seconds() {
        let words = |words: &[&str]| words.iter().map(|&word| word.into()).collect::<Vec<_>>();
        assert_eq!(seconds(&[]), Ok(SMOKE_SECONDS));
        assert_eq!(seconds(&words(&["--seconds", "600"])), Ok(600));
        assert!(seconds(&words(&["--seconds"])).is_err());
        assert!(seconds(&words(&["--seconds", "long"])).is_err());
        assert!(seconds(&words(&["600"])).is_err());
    }
}
