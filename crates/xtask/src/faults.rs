//! `cargo xtask faults`: builds the program that injects faults, and runs it.

use crate::needs;
use crate::shell::{Outcome, cargo, command, is_ci, run_lines, target_dir};
use crate::tally::Tally;

/// What it runs besides itself, and the packages that have it.
const PROGRAMS: [(&str, &str); 3] =
    [("strace", "strace"), ("mkfs.ext4", "e2fsprogs"), ("mount", "mount")];

/// How its lines begin that tell of something it could not do for want of a program.
pub(crate) const MISSING: &str = "missing: ";

/// Runs it with these options.
pub(crate) fn inject(options: &[String]) -> Outcome {
    bring();
    let mut lacks = false;
    let words = ["run", "--quiet", "--package", "sessile-faults", "--"];
    run_lines(cargo(&words).args(options), |line| lacks |= line.starts_with(MISSING))?;
    if lacks && is_ci() {
        return Err("what CI promised is missing".into());
    }
    Ok(())
}

/// Runs a few faults of each kind, built before, and counts them as tests.
pub(crate) fn smoke(tally: &mut Tally) -> Outcome {
    bring();
    let mut faults = command(target_dir().join("debug/sessile-faults"));
    run_lines(faults.arg("--smoke"), |line| tally.faults_line(line, is_ci()))
}

/// Installs what it needs, where we may. What is missing then it names itself.
fn bring() {
    for (program, package) in PROGRAMS {
        if let Err(why) = needs::program(&[program], package) {
            eprintln!("{why}");
        }
    }
}
