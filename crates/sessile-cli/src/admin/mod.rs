//! What administrators do: see sessions, end them, mend the store.

mod list;
mod mend;
mod revoke;
mod show;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use sessile::Error;
use sessile::store::Store;
use sessile_demo::StoreUrl;

use crate::sweep::{block_on, check_exists, fail};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// End sessions: everybody's, one user's, or a single one
    Revoke(revoke::Options),
    /// List live sessions, without secrets and data
    List(list::Options),
    /// Show one session, without secrets and data
    Show(show::Options),
    /// Mend the list of who owns which sessions of a file store
    Mend(mend::Options),
}

/// Which store a command is about.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// Where sessions live, such as `file:///var/lib/shop/sessions`
    #[arg(long = "store", value_name = "URL")]
    url: StoreUrl,
}

impl Target {
    /// The store, which must be there already. Needs a runtime.
    fn open(&self) -> sessile::Result<Arc<dyn Store>> {
        check_exists(&self.url)?;
        sessile::store::open(self.url.as_str())
    }
}

pub(crate) fn run(command: &Command) -> ExitCode {
    let done = match command {
        Command::Revoke(options) => block_on(revoke::run(options)),
        Command::List(options) => block_on(list::run(options)),
        Command::Show(options) => block_on(show::run(options)),
        Command::Mend(options) => mend::run(options),
    };
    done.unwrap_or_else(|error: Error| fail(&error))
}

/// `1 session`, `2 sessions`.
fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// An instant as people and programs read it, in UTC.
fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// Text that a visitor may have chosen: nothing in it moves a terminal's cursor.
fn plain(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.escape_debug().to_string())
}
