//! Connections that are parked: that stay out of their pool between two pieces of work.
//!
//! Whatever goes back to a pool of the driver is asked first whether it still lives: a second round
//! trip behind every operation, during which the next one takes another connection, whose server
//! process is cold. A store whose pool nobody else uses need not give it back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::driver::Driver;

/// How long anyone waits for a turn, or the pool for a connection.
pub(super) const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// A connection that nobody used for so long is asked whether it lives: what a restarted server has
/// forgotten is found by that. To ask before every statement would double its price.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// A connection that has been away from its pool for so long goes back when it, or another, is parked
/// next: the pool ends those that are old or idle.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// The connections that wait for work, and the turns to use one.
///
/// Invariant: those in use, those asked of the pool and those that wait together are never more than there are
/// turns. Whoever asks the pool has a turn and found none waiting, so the pool has one to give.
pub(super) struct Parked<D: Driver> {
    turns: Arc<Semaphore>,
    /// The one used last is used next: it is warm, and the others come to rest.
    waiting: Mutex<Vec<Waiting<D>>>,
}

struct Waiting<D: Driver> {
    connection: Away<D>,
    since: Instant,
}

/// A connection that is out of its pool.
pub(super) struct Away<D: Driver> {
    pub(super) connection: PoolConnection<D>,
    since: Instant,
}

impl<D: Driver> Away<D> {
    pub(super) fn new(connection: PoolConnection<D>) -> Self {
        Self { connection, since: Instant::now() }
    }
}

impl<D: Driver> Parked<D> {
    pub(super) fn new(connections: u32) -> Self {
        let turns = Arc::new(Semaphore::new(connections as usize));
        Self { turns, waiting: Mutex::default() }
    }

    /// A turn to use a connection. It ends behind the connection's return.
    pub(super) async fn turn(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(turn);
        }
        let turn = timeout(ACQUIRE_MAX, Arc::clone(&self.turns).acquire_owned()).await;
        turn.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)
    }

    /// The connection that was used last, and whether that was long ago.
    pub(super) fn take(&self) -> Option<(Away<D>, bool)> {
        let Waiting { connection, since } = self.waiting().pop()?;
        Some((connection, since.elapsed() >= PAUSE))
    }

    /// Parks a connection on which nothing is under way. Those that were away for long go back to their
    /// pool.
    pub(super) fn park(&self, connection: Away<D>) {
        let since = Instant::now();
        let is_long_away = |it: &Away<D>| since.duration_since(it.since) >= AWAY_MAX;
        if is_long_away(&connection) {
            return;
        }
        let mut waiting = self.waiting();
        let gone = waiting.extract_if(.., |it| is_long_away(&it.connection)).collect::<Vec<_>>();
        waiting.push(Waiting { connection, since });
        drop(waiting);
        drop(gone);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting<D>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Driver> Drop for Parked<D> {
    /// Closes them, as the pool does with its own when nobody needs it any more. To give them back first
    /// would take a runtime, and time.
    fn drop(&mut self) {
        for waiting in self.waiting().drain(..) {
            drop(waiting.connection.connection.detach());
        }
    }
}
