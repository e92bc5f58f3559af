//! `sessile move`: carries every session from one store to another.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use sessile::store::{MoveAll, Moved, move_all, open};
use sessile::{Error, ErrorKind, SessionId, SystemClock};
use sessile_demo::{StoreUrl, say};

use crate::sweep::{PROGRESS_EVERY, block_on, check_exists, check_lasts, fail};

/// The exit code when sessions stayed in the old store.
const INCOMPLETE: u8 = 3;

/// What `sessile move` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Where sessions live now, such as `file:///var/lib/shop/sessions`
    #[arg(long, value_name = "URL")]
    from: StoreUrl,

    /// Where they are to live, such as `postgres://shop@db/shop`
    #[arg(long, value_name = "URL")]
    to: StoreUrl,

    /// Begin behind this session, which an earlier run named [default: the first]
    #[arg(long, value_name = "ID")]
    after: Option<SessionId>,
}

/// Moves, and says on standard output what became of the sessions.
pub(crate) fn run(options: &Options) -> ExitCode {
    let began = Instant::now();
    match move_house(options) {
        Ok(moved) if moved.is_complete() => {
            say(format_args!(
                "{moved} in {:.1?}; nothing is left in the old store",
                began.elapsed()
            ));
            ExitCode::SUCCESS
        }
        Ok(moved) => {
            say(format_args!("{moved} in {:.1?}", began.elapsed()));
            eprintln!("error: {}", what_is_left(&moved));
            ExitCode::from(INCOMPLETE)
        }
        Err(error) => {
            let code = fail(&error);
            if error.kind() != ErrorKind::Config {
                eprintln!("what was moved stays moved; run this again and it goes on");
            }
            code
        }
    }
}

fn what_is_left(moved: &Moved) -> String {
    let mut left = Vec::new();
    if moved.stayed > 0 {
        left.push(format!("{} are held exclusively; run this again", moved.stayed));
    }
    if moved.unreadable > 0 {
        let count = moved.unreadable;
        left.push(format!("{count} cannot be read; look for `Corrupt` in the application's log"));
    }
    format!("sessions are left in the old store: {}", left.join(", "))
}

fn move_house(options: &Options) -> sessile::Result<Moved> {
    check_exists(&options.from)?;
    check_lasts(&options.to)?;
    if is_same_place(&options.from, &options.to) {
        return Err(Error::new(ErrorKind::Config, "--from and --to name one and the same store"));
    }
    block_on(async {
        let (old, new) = (open(options.from.as_str())?, open(options.to.as_str())?);
        let mut moving = move_all(old, new, SystemClock::default())?;
        if let Some(cursor) = options.after {
            moving = moving.after(cursor);
        }
        saying_how_far(moving).run().await
    })
}

/// Whether both name one directory, or one table of a database file, however it is spelled.
fn is_same_place(one: &StoreUrl, other: &StoreUrl) -> bool {
    let place = |url: &StoreUrl| Some((url.path()?.canonicalize().ok()?, table(url).to_owned()));
    one == other || place(one).is_some_and(|here| place(other) == Some(here))
}

/// The table that a database's URL names, or the one that it means without.
fn table(url: &StoreUrl) -> &str {
    let (_, options) = url.as_str().split_once('?').unwrap_or_default();
    options.split('&').find_map(|option| option.strip_prefix("table=")).unwrap_or("sessile")
}

/// What was carried when this is stopped stays carried; the last line says where to go on.
fn saying_how_far(moving: MoveAll) -> MoveAll {
    let mut said_at = Instant::now();
    moving.on_progress(move |so_far| {
        if said_at.elapsed() < PROGRESS_EVERY {
            return;
        }
        said_at = Instant::now();
        let cursor = so_far.cursor.map(|cursor| format!("; go on with --after {cursor}"));
        eprintln!("{so_far} so far{}", cursor.unwrap_or_default());
    })
}
