//! `cargo xtask bench`: builds the benchmark, which keeps its own lock file, and runs it.

use crate::shell::{Outcome, cargo, run};

/// Runs it with these options.
pub(crate) fn measure(options: &[String]) -> Outcome {
    let words = ["run", "--quiet", "--release", "--manifest-path", "bench/Cargo.toml", "--"];
    run(cargo(&words).args(options))
}
