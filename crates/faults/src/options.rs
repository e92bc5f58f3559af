//! What may be asked for on the command line, and how much of everything that is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};

use crate::inject::{self, Sample};
use crate::report::{Report, Row, Trouble};
use crate::scene::Fixture;
use crate::worker;
use crate::{full, kills, power, races};

/// Injects faults into real processes at work on a directory of sessions, and checks after each
/// that nothing acknowledged is lost.
///
/// Prints a table: what was injected, what was looked at, what was wrong. Fails when anything was.
#[derive(Parser)]
#[command(
    name = "cargo xtask faults",
    bin_name = "cargo xtask faults",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    /// A few of each, about a minute: what `cargo xtask test` runs
    #[arg(long, conflicts_with_all = ["long", "minutes"])]
    smoke: bool,
    /// Kill and copy for four hours rather than three minutes
    #[arg(long, conflicts_with = "minutes")]
    long: bool,
    /// Kill and copy for so many minutes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// Draw the same again as the run that printed this
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run this part alone; may be said more than once
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Keep the directories of sessions here, in place of the system's temporary folder
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    worker: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// What the driver starts
    #[command(hide = true)]
    Worker {
        #[command(subcommand)]
        how: How,
    },
}

#[derive(Subcommand)]
enum How {
    Serve { root: PathBuf },
    Roam { root: PathBuf, seed: u64, name: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// An error, a short write or a kill at each call of each operation
    Calls,
    /// A stop after each call, while another process does something else
    Races,
    /// A tmpfs of 64 KiB, filled
    Full,
    /// An ext4 in a file, copied while processes write to it
    Power,
    /// Processes killed at random moments
    Kills,
}

/// What a run is about.
struct Plan {
    scratch: PathBuf,
    seed: u64,
    is_smoke: bool,
    minutes: u64,
}

const MINUTES: u64 = 3;
const MINUTES_LONG: u64 = 240;

/// One takes a second or two.
const COPIES_PER_MINUTE: u64 = 8;

/// Does what the command line says.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.worker {
        Some(Role::Worker { how: How::Serve { root } }) => worker::serve(&root),
        Some(Role::Worker { how: How::Roam { root, seed, name } }) => {
            worker::roam(&root, seed, name);
        }
        None => return drive(&arguments),
    }
    ExitCode::SUCCESS
}

fn drive(arguments: &Arguments) -> ExitCode {
    let folder = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = match tempfile::Builder::new().prefix("sessile-faults-").tempdir_in(&folder) {
        Ok(scratch) => scratch,
        Err(why) => {
            eprintln!("no scratch folder in {}: {why}; name another with --dir", folder.display());
            return ExitCode::FAILURE;
        }
    };
    let plan = Plan::new(arguments, scratch.path());
    println!("seed {}", plan.seed);
    let report = report(&plan, &arguments.only);
    println!("{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Plan {
    fn new(arguments: &Arguments, scratch: &Path) -> Self {
        let minutes = if arguments.long { MINUTES_LONG } else { MINUTES };
        Self {
            scratch: scratch.to_owned(),
            seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
            is_smoke: arguments.smoke,
            minutes: arguments.minutes.unwrap_or(minutes),
        }
    }

    /// All faults, or so many of each kind in a smoke.
    fn sample(&self, in_smoke: usize) -> Sample {
        let each_max = if self.is_smoke { in_smoke } else { usize::MAX };
        Sample { each_max, seed: self.seed }
    }

    fn fixture(&self, name: &str) -> Result<Fixture, Trouble> {
        let scratch = self.scratch.join(name);
        std::fs::create_dir(&scratch)?;
        Ok(Fixture::make(&scratch)?)
    }

    fn copies(&self) -> u64 {
        if self.is_smoke { 10 } else { self.minutes * COPIES_PER_MINUTE }
    }

    fn time(&self) -> Duration {
        if self.is_smoke { Duration::from_secs(10) } else { Duration::from_secs(self.minutes * 60) }
    }
}

/// Every part that was asked for, or all of them.
fn report(plan: &Plan, only: &[Part]) -> Report {
    let mut report = Report::default();
    let parts = Part::value_variants().iter();
    for part in parts.filter(|part| only.is_empty() || only.contains(part)) {
        let started = Instant::now();
        eprintln!("{part:?}");
        report.add(&format!("{part:?}").to_lowercase(), part.run(plan));
        eprintln!("{part:?}: {:?}", Duration::from_secs(started.elapsed().as_secs()));
    }
    report
}

impl Part {
    fn run(self, plan: &Plan) -> Result<Vec<Row>, Trouble> {
        match self {
            Self::Calls => inject::run(&plan.fixture("calls")?, plan.sample(2)),
            Self::Races => races::run(&plan.fixture("races")?, plan.sample(3)),
            Self::Full => full::run(&plan.scratch, if plan.is_smoke { 2 } else { 8 }),
            Self::Power => power::run(&plan.scratch, plan.seed, plan.copies()),
            Self::Kills => kills::run(&plan.scratch, plan.seed, plan.time()),
        }
    }
}
