//! `sessile mend`: makes a file store's list of owners right again.

use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use clap::Args;
use sessile::store::FileStore;
use sessile::{Error, ErrorKind, Result};
use sessile_demo::say;

use super::{Target, counted};
use crate::sweep::check_exists;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
}

/// Mends, and says on standard output what was amiss.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let url = &options.target.url;
    if url.directory().is_none() {
        let mend = "only a file store can be mended: other stores keep their indexes themselves";
        return Err(Error::new(ErrorKind::Config, mend));
    }
    check_exists(url)?;
    let began = Instant::now();
    let mended = FileStore::open_url(url.as_str())?.mend(SystemTime::now())?;
    say(format_args!(
        "{} mended, {} entered, {} removed in {:.1?}",
        counted(mended.owners, "damaged index file"),
        counted(mended.missing, "missing session"),
        counted(mended.ghosts, "ghost"),
        began.elapsed(),
    ));
    Ok(ExitCode::SUCCESS)
}
