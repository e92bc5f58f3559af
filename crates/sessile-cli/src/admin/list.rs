//! `sessile list`: the live sessions, one to a line.

use std::io::{self, ErrorKind as Io, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use sessile::store::{Scope, Store};
use sessile::{Error, ErrorKind, Owner, Result, Summary};

use super::{Target, plain, time};

const LISTED_AT_ONCE: usize = 1_000;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// Only those of one user
    #[arg(long, value_name = "NAME", value_parser = |name: &str| Owner::new(name))]
    owner: Option<Owner>,
}

/// Lists by ID. Columns are parted by tabs, for `cut`, `sort` and `column -t -s $'\t'`.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let store = options.target.open()?;
    let mut out = io::stdout().lock();
    let scope = options.owner.as_ref().map_or(Scope::All, Scope::Owner);
    match list(&*store, scope, &mut out).await? {
        // Whoever reads has seen enough, as `head` has.
        Err(error) if error.kind() != Io::BrokenPipe => {
            Err(Error::new(ErrorKind::Unavailable, "cannot write the list").with_source(error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

async fn list(store: &dyn Store, scope: Scope<'_>, out: &mut impl Write) -> Result<io::Result<()>> {
    let (now, mut after) = (SystemTime::now(), None);
    if let Err(error) = writeln!(out, "ID\tOWNER\tLEVEL\tCREATED\tUSED\tENDS\tADDRESS\tAGENT") {
        return Ok(Err(error));
    }
    loop {
        let page = store.list(scope, now, after, LISTED_AT_ONCE).await?;
        for session in &page.sessions {
            if let Err(error) = writeln!(out, "{}", line(session)) {
                return Ok(Err(error));
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(out.flush());
        }
    }
}

fn line(session: &Summary) -> String {
    [
        session.id.to_string(),
        plain(session.owner.as_ref().map(Owner::as_str)),
        session.level.to_string(),
        time(session.created_at),
        time(session.used_at),
        time(session.deadline()),
        plain(session.client_address.as_deref()),
        plain(session.user_agent.as_deref()),
    ]
    .join("\t")
}
