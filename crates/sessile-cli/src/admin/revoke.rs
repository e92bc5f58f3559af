//! `sessile revoke`: ends sessions, after asking.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use clap::Args;
use sessile::{Error, ErrorKind, Event, Owner, Result, SessionId, Sessions, Subscriber};
use sessile_demo::say;

use super::{Target, counted};
use crate::sweep::PROGRESS_EVERY;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    whose: Whose,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Whose {
    /// Every session, those of nobody included: as after a restore from a backup
    #[arg(long)]
    all: bool,

    /// Every session that somebody is signed in to
    #[arg(long)]
    signed_in: bool,

    /// All sessions of one user
    #[arg(long, value_name = "NAME", value_parser = |name: &str| Owner::new(name))]
    owner: Option<Owner>,

    /// One session, by its public ID
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
}

/// Ends what was asked for, and says on standard output how many sessions that were.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let store = options.target.open()?;
    if !options.is_confirmed()? {
        eprintln!("nothing was ended");
        return Ok(ExitCode::FAILURE);
    }
    let began = Instant::now();
    let sessions = Sessions::builder(store).subscriber(Progress::new(began)).build()?;
    let ended = options.whose.end(&sessions).await?;
    say(format_args!("{} ended in {:.1?}", counted(ended, "session"), began.elapsed()));
    Ok(ExitCode::SUCCESS)
}

impl Options {
    /// One session is what was meant; many may be a slip of the hand.
    fn is_confirmed(&self) -> Result<bool> {
        if self.yes || self.whose.session.is_some() {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            let mend = "nobody is there to ask: say --yes to end these sessions all the same";
            return Err(Error::new(ErrorKind::Config, mend));
        }
        ask(&format!("This ends {} in {}. Go on? [y/N] ", self.whose.named(), self.target.url))
    }
}

fn ask(question: &str) -> Result<bool> {
    let unheard = |error| Error::new(ErrorKind::Config, "cannot ask").with_source(error);
    eprint!("{question}");
    io::stderr().flush().map_err(unheard)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(unheard)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

impl Whose {
    fn named(&self) -> String {
        match &self.owner {
            Some(owner) => format!("every session of {:?}", owner.as_str()),
            None if self.signed_in => "every session that somebody is signed in to".into(),
            None => "every session".into(),
        }
    }

    async fn end(&self, sessions: &Sessions) -> Result<u64> {
        match (&self.owner, self.session) {
            (Some(owner), _) => sessions.revoke_all(owner, None).await,
            (_, Some(id)) => sessions.revoke_any(id).await.map(u64::from),
            _ if self.signed_in => sessions.revoke_signed_in().await,
            _ => sessions.revoke_everybody().await,
        }
    }
}

/// Says on standard error how far it is, when that takes long.
#[derive(Debug)]
struct Progress(Mutex<(u64, Instant)>);

impl Progress {
    fn new(began: Instant) -> Self {
        Self(Mutex::new((0, began)))
    }
}

impl Subscriber for Progress {
    fn notify(&self, event: &Event) {
        let Event::Revoked(_) = event else { return };
        let mut progress = self.0.lock().expect("nothing panics under this lock");
        progress.0 += 1;
        if progress.1.elapsed() >= PROGRESS_EVERY {
            eprintln!("{} ended so far", counted(progress.0, "session"));
            progress.1 = Instant::now();
        }
    }
}
