//! How a piece of work reaches the database, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use super::dialect::Statements;
use super::driver::Driver;
use super::failure::{Failure, Worked, too_slow};
use super::link::Link;
use super::names::{DEFAULT_TABLE, Names, checked_namespace};
use super::parked::Parked;
use super::schema;
use crate::error::{Error, ErrorKind, Result};

/// One table and one namespace of one database.
pub(super) struct Core<D: Driver> {
    pub(super) pool: Pool<D>,
    /// The pool's connections between two pieces of work, where nobody else needs them.
    pub(super) parked: Option<Arc<Parked<D>>>,
    pub(super) names: Names,
    pub(super) statements: Statements,
    pub(super) namespace: Arc<str>,
    /// How long anyone waits for an answer, the wait for a free connection included.
    pub(super) patience: Duration,
    /// Filled once the tables are there; `None` where that is the caller's business.
    pub(super) migrated: Option<Arc<OnceCell<()>>>,
}

/// Statements that belong together. They may be run again when the database took them back.
pub(super) trait Work<D: Driver>: Send + Sync + 'static {
    type Output: Send + 'static;

    /// What could not be done, should it fail.
    const DOING: &'static str;

    fn run(&self, link: &mut Link<D>) -> impl Future<Output = Worked<Self::Output>> + Send;
}

const PATIENCE: Duration = Duration::from_secs(10);
/// How often work is run that the database takes back to end a deadlock.
const ATTEMPTS_MAX: u32 = 8;

impl<D: Driver> Core<D> {
    pub(super) fn new(pool: Pool<D>) -> Self {
        let names = Names::parse(DEFAULT_TABLE, false).expect("the default is a table name");
        let statements = Statements::new(&D::DIALECT, &names);
        let namespace = "default".into();
        Self {
            pool,
            parked: None,
            names,
            statements,
            namespace,
            patience: PATIENCE,
            migrated: None,
        }
    }

    pub(super) fn with_table(&self, name: &str) -> Result<Self> {
        let names = Names::parse(name, D::DIALECT.has_schemas)?;
        let statements = Statements::new(&D::DIALECT, &names);
        // Another table has its own migration before it.
        let migrated = self.migrated.as_ref().map(|_| Arc::default());
        Ok(Self { names, statements, migrated, ..self.copy() })
    }

    pub(super) fn with_namespace(&self, name: &str) -> Result<Self> {
        Ok(Self { namespace: checked_namespace(name)?.into(), ..self.copy() })
    }

    pub(super) fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.copy() }
    }

    /// Parks the connections of a pool of so many that is nobody else's.
    pub(super) fn parking(&self, connections: u32) -> Self {
        Self { parked: Some(Arc::new(Parked::new(connections))), ..self.copy() }
    }

    pub(super) fn migrating_first(&self) -> Self {
        Self { migrated: Some(Arc::default()), ..self.copy() }
    }

    fn copy(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            parked: self.parked.clone(),
            names: self.names.clone(),
            statements: Statements::new(&D::DIALECT, &self.names),
            namespace: Arc::clone(&self.namespace),
            patience: self.patience,
            migrated: self.migrated.clone(),
        }
    }

    /// Does the work in a task of its own, to its end even when nobody waits for it any more.
    ///
    /// A request that is dropped half-way thus never stops a driver in the middle of its protocol.
    pub(super) async fn run<W: Work<D>>(self: &Arc<Self>, work: W) -> Result<W::Output> {
        let core = Arc::clone(self);
        let task = tokio::spawn(async move {
            core.ready().await?;
            core.run_in_time(&work).await
        });
        match task.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(shutting_down(error)),
            },
        }
    }

    pub(super) async fn migrate(self: &Arc<Self>) -> Result<()> {
        self.run_in_time(&schema::Migrate).await
    }

    /// Makes the tables before the first work of a store that was opened by a URL.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<()> {
        match &self.migrated {
            Some(once) => once.get_or_try_init(|| self.migrate()).await.copied(),
            None => Ok(()),
        }
    }

    async fn run_in_time<W: Work<D>>(self: &Arc<Self>, work: &W) -> Result<W::Output> {
        match timeout(self.patience, self.run_until_kept(work)).await {
            Ok(done) => done.map_err(|failure| failure.into_error(W::DOING)),
            Err(_) => Err(too_slow(W::DOING)),
        }
    }

    /// Runs work again that the database took back, and nothing else.
    async fn run_until_kept<W: Work<D>>(self: &Arc<Self>, work: &W) -> Worked<W::Output> {
        for attempt in 1..ATTEMPTS_MAX {
            match self.run_once(work).await {
                Err(failure) if failure.was_undone() => sleep(pause_after(attempt)).await,
                done => return done,
            }
        }
        self.run_once(work).await
    }

    async fn run_once<W: Work<D>>(self: &Arc<Self>, work: &W) -> Result<W::Output, Failure> {
        let mut link = Link::open(self).await?;
        let done = work.run(&mut link).await;
        link.clear().await;
        done
    }
}

/// 1 to 128 ms, less a random part, so that those who met do not meet again.
fn pause_after(attempt: u32) -> Duration {
    Duration::from_millis(1 << attempt.min(7)).mul_f32(0.5 + 0.5 * dice())
}

/// A number from 0 to 1. It spreads waiters and need not be unpredictable.
pub(super) fn dice() -> f32 {
    let mut byte = [0];
    getrandom::fill(&mut byte).map_or(0.5, |()| f32::from(byte[0]) / 255.0)
}

fn shutting_down(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Unavailable, "the runtime is shutting down").with_source(error)
}
