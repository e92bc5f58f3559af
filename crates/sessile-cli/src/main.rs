//! `sessile`: the demo, and what operators do to a session store.

mod admin;
mod move_house;
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
    /// Move every session from one store to another, while the application runs on both or on none
    Move(move_house::Options),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(options) => sessile_demo::run(&options),
        Command::Sweep(options) => sweep::run(&options),
        Command::Admin(command) => admin::run(&command),
        Command::Move(options) => move_house::run(&options),
    }
}
