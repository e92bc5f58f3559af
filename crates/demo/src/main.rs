//! `sessile-demo`: the demo as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use sessile_demo::Options;

/// Shows what sessile promises, in a browser.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    sessile_demo::run(&Command::parse().options)
}
