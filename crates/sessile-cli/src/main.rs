//! `sessile`: the demo, and what operators do to a session store.

mod admin;
mod sweep;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Server-side web sessions in plain files.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what sessile promises, in a browser
    Demo(sessile_demo::Options),
    /// Remove expired sessions until none is due
    Sweep(sweep::Options),
    #[command(flatten)]
    Admin(admin::Command),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(options) => sessile_demo::run(&options),
        Command::Sweep(options) => sweep::run(&options),
        Command::Admin(command) => admin::run(&command),
    }
}
