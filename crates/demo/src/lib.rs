//! A small web application that shows what sessile promises, and lets you try to break it.
//!
//! `cargo run --release` starts it, and so does `sessile demo`. What a browser does is in `site`,
//! what a script does in `api`; both are written as an application on sessile would be. The rest is
//! what a demo needs beside: a parent that starts the server again (`supervisor`), forty requests
//! at once (`burst`), and a look at one's own record (`whereabouts`, `disk`).

mod api;
mod app;
mod banner;
mod basket;
mod burst;
mod disk;
mod ending;
mod events;
#[cfg(test)]
mod fragile;
mod guard;
mod keys;
mod lifeline;
mod meter;
mod options;
mod own_client;
mod pages;
mod serve;
mod signals;
mod simulation;
mod site;
mod supervisor;
mod whereabouts;
mod words;

use std::fmt::Display;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use banner::Banner;
use lifeline::{Lifeline, Message};

pub use options::{Options, StoreUrl};

/// Why the demo cannot go on, for the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the demo until it is told to stop, and says on standard error why it could not.
pub fn run(options: &Options) -> ExitCode {
    let outcome = match Lifeline::inherited() {
        Ok(Some((lifeline, listener))) => return run_child(options, lifeline, listener),
        Ok(None) => run_on_terminal(options),
        Err(error) => Err(error),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("error: {}", in_full(&*error));
    ExitCode::FAILURE
}

/// Serves, or lets a child serve.
fn run_on_terminal(options: &Options) -> Result<(), Failure> {
    let listener = options.bind()?;
    let banner = Banner { address: listener.local_addr()?, store: options.store()? };
    let runtime = Runtime::new()?;
    if options.is_supervised() {
        return runtime.block_on(supervisor::run(listener, banner));
    }
    let ready = || banner.print(std::process::id());
    runtime.block_on(serve::run(listener, options, None, ready))
}

/// Serves for a parent, which hears of a failure in place of the terminal.
fn run_child(options: &Options, lifeline: Lifeline, listener: TcpListener) -> ExitCode {
    let teller = lifeline.clone();
    let ready = || teller.tell(&Message::Ready);
    let outcome = Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(serve::run(listener, options, Some(lifeline), ready)));
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    teller.tell(&Message::Failed(in_full(&*error)));
    ExitCode::FAILURE
}

/// Writes a line to standard output. That whoever reads there has seen enough, as `head` has, is no
/// trouble.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// An error and what caused it, in one line, as the terminal shows it.
pub fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
