//! `sessile sweep`: removes expired sessions until none is due.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use sessile::{Error, ErrorKind, Sessions};
use sessile_demo::{StoreUrl, say};
use tokio::runtime;

/// The exit code for a command that cannot work as it was written.
const USAGE: u8 = 2;

/// How many sessions are removed between two looks at the clock.
const SLICE: usize = 1_000;

/// How often work that takes longer says how far it is.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// What `sessile sweep` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Where sessions live, such as `file:///var/lib/shop/sessions`
    #[arg(long, value_name = "URL")]
    store: StoreUrl,

    /// Stop after this many sessions [default: when nothing is due]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Sweeps, and says on standard output how many sessions went.
pub(crate) fn run(options: &Options) -> ExitCode {
    let began = Instant::now();
    match sweep(options, |removed| eprintln!("{} so far", counted(removed))) {
        Ok(removed) => {
            say(format_args!("{} in {:.1?}", counted(removed), began.elapsed()));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn counted(removed: usize) -> String {
    format!("{removed} expired session{} removed", if removed == 1 { "" } else { "s" })
}

fn sweep(options: &Options, progress: impl FnMut(usize)) -> sessile::Result<usize> {
    check_exists(&options.store)?;
    block_on(async {
        let sessions = Sessions::builder(sessile::store::open(options.store.as_str())?).build()?;
        sweep_all(&sessions, options.limit.unwrap_or(usize::MAX), progress).await
    })
}

/// Runs what needs a runtime, on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = sessile::Result<T>>) -> sessile::Result<T> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "cannot start the runtime").with_source(error)
    })?;
    runtime.block_on(work)
}

/// A mistyped path must not become an empty store.
pub(crate) fn check_exists(store: &StoreUrl) -> sessile::Result<()> {
    check_lasts(store)?;
    match store.missing() {
        Some(missing) => Err(Error::new(ErrorKind::Config, format!("there is no {missing}"))),
        None => Ok(()),
    }
}

/// The memory of another process is out of reach, and that of this one ends with the command.
pub(crate) fn check_lasts(store: &StoreUrl) -> sessile::Result<()> {
    if !store.as_str().starts_with("memory:") {
        return Ok(());
    }
    let mend = "a memory store lives in one process and ends with it; name one that lasts";
    Err(Error::new(ErrorKind::Config, mend))
}

/// Sweeps slice by slice, until nothing is due or `limit` sessions are removed.
async fn sweep_all(
    sessions: &Sessions,
    limit: usize,
    mut progress: impl FnMut(usize),
) -> sessile::Result<usize> {
    let mut removed = 0;
    let mut said_at = Instant::now();
    loop {
        let swept = sessions.sweep(SLICE.min(limit - removed)).await?;
        removed += swept.removed as usize;
        if !swept.more || removed >= limit {
            return Ok(removed);
        }
        if said_at.elapsed() >= PROGRESS_EVERY {
            progress(removed);
            said_at = Instant::now();
        }
    }
}

/// Says on standard error what went wrong; the exit code tells a wrong command from trouble.
pub(crate) fn fail(error: &Error) -> ExitCode {
    eprintln!("error: {}", sessile_demo::in_full(error));
    match error.kind() {
        ErrorKind::Config => ExitCode::from(USAGE),
        _ => ExitCode::FAILURE,
    }
}
