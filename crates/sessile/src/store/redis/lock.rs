//! The exclusive lock: a token and a lease in the session's own hash, by the server's clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::records::Raw;
use super::scripts;
use crate::clock::millis;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;
use crate::store::{Loaded, Ticket};
use crate::token::SessionId;

/// Keeps instants representable.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a ticket of this store holds.
pub(super) struct Opened {
    /// The absolute deadline when it was loaded.
    pub(super) lives_until: SystemTime,
    lock: Option<Lock>,
}

impl Opened {
    pub(super) fn ticket(record: &Record, lock: Option<Lock>) -> Ticket {
        Ticket::new(Self { lives_until: record.absolute_deadline, lock })
    }

    pub(super) fn token(&self) -> Option<String> {
        Some(self.lock.as_ref()?.token.clone())
    }

    /// Frees the lock, if this holds one.
    pub(super) async fn release(self) -> Result<()> {
        match self.lock {
            Some(lock) => lock.release().await,
            None => Ok(()),
        }
    }
}

/// A lock that is held, or asked for by a question whose answer is not here yet. Dropping it frees
/// it: the question and the release go through one connection in this order.
pub(super) struct Lock {
    shared: Arc<Shared>,
    id: SessionId,
    /// Nobody else's: it also fences the holder's update.
    token: String,
    /// Where the release runs, should this be dropped outside a runtime.
    runtime: Handle,
    may_be_held: bool,
}

/// How an attempt went.
enum Attempt {
    Absent,
    Held,
    Taken(Raw),
}

impl Lock {
    /// Loads the session when its lock is free. Waiters ask again and again, 20 to 50 ms apart, each
    /// at intervals of its own; whoever asks first after the release is next.
    pub(super) async fn load(
        shared: &Arc<Shared>,
        id: SessionId,
        now: SystemTime,
        (wait, hold): (Duration, Duration),
    ) -> Result<Option<Loaded>> {
        let until = Instant::now() + wait.min(LONGEST);
        let mut lock = Self::new(Arc::clone(shared), id)?;
        loop {
            match lock.attempt(now, hold).await? {
                Attempt::Absent => return Ok(None),
                Attempt::Taken(raw) => return lock.loaded(raw).await,
                Attempt::Held => {}
            }
            if Instant::now() >= until {
                return Err(lock_timeout());
            }
            sleep(pause()?.min(until - Instant::now())).await;
        }
    }

    fn new(shared: Arc<Shared>, id: SessionId) -> Result<Self> {
        let token = SessionId::random()?.to_string();
        Ok(Self { shared, id, token, runtime: Handle::current(), may_be_held: false })
    }

    async fn attempt(&mut self, now: SystemTime, hold: Duration) -> Result<Attempt> {
        let key = self.shared.keys.session(self.id);
        let (now, hold) = (millis(now).to_string(), hold.min(LONGEST).as_millis().to_string());
        let arguments = [now.as_bytes(), self.token.as_bytes(), hold.as_bytes()];
        self.may_be_held = true;
        let (answer, bytes, used_at): (u8, _, _) =
            self.shared.server.run(&scripts::LOCK, &[&key], &arguments).await?;
        let attempt = match answer {
            0 => Attempt::Absent,
            1 => Attempt::Taken((bytes, used_at)),
            _ => Attempt::Held,
        };
        self.may_be_held = matches!(attempt, Attempt::Taken(_));
        Ok(attempt)
    }

    async fn loaded(self, raw: Raw) -> Result<Option<Loaded>> {
        let record = self.shared.decoded(self.id, raw).await?;
        Ok(record.map(|record| {
            let ticket = Opened::ticket(&record, Some(self));
            Loaded { record, ticket }
        }))
    }

    async fn release(mut self) -> Result<()> {
        let freed = unlock(&self.shared, self.id, &self.token).await;
        // A release that failed is not repeated: the lease ends.
        self.may_be_held = false;
        freed
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.may_be_held {
            let (shared, id) = (Arc::clone(&self.shared), self.id);
            let token = std::mem::take(&mut self.token);
            // Where this fails, the lease ends.
            self.runtime.spawn(async move { unlock(&shared, id, &token).await.ok() });
        }
    }
}

async fn unlock(shared: &Shared, id: SessionId, token: &str) -> Result<()> {
    let key = shared.keys.session(id);
    shared.server.run(&scripts::UNLOCK, &[&key], &[token.as_bytes()]).await
}

/// How long to wait between two attempts.
fn pause() -> Result<Duration> {
    let drawn = getrandom::u32().map_err(|error| {
        Error::new(ErrorKind::Random, "the system gives no randomness").with_source(error)
    })?;
    Ok(Duration::from_millis(20 + u64::from(drawn % 30)))
}

fn lock_timeout() -> Error {
    Error::new(ErrorKind::LockTimeout, "the session's exclusive lock was not free in time")
}
