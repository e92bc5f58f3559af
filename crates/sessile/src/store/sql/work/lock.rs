//! The exclusive lock: a lease in the session's own row.
//!
//! It is judged by the server's clock, which all who share the sessions share. No connection is held
//! meanwhile, so that a handler that dawdles costs nobody a place in the pool.

use std::fmt;
use std::sync::Arc;

use super::load::Load;
use crate::error::Result;
use crate::record::Record;
use crate::store::sql::core::{Core, Work};
use crate::store::sql::driver::{Driver, values};
use crate::store::sql::failure::Worked;
use crate::store::sql::link::Link;
use crate::token::SessionId;

/// Who holds a lock.
pub(in crate::store::sql) type LockToken = [u8; 16];

/// Tries once to take the lock of a session that is live at an instant.
pub(in crate::store::sql) struct TryLock {
    pub(in crate::store::sql) load: Load,
    pub(in crate::store::sql) token: LockToken,
    pub(in crate::store::sql) hold_ms: i64,
}

/// How a try went.
pub(in crate::store::sql) enum Attempt<D: Driver> {
    /// The lock is ours; this is the record as it is now.
    Held(Box<Record>, Guard<D>),
    /// Somebody else holds it.
    Busy,
    /// There is no such session.
    Absent,
}

impl<D: Driver> Work<D> for TryLock {
    type Output = Attempt<D>;
    const DOING: &'static str = "cannot lock a session";

    async fn run(&self, link: &mut Link<D>) -> Worked<Attempt<D>> {
        let (id, now) = (&self.load.id.as_bytes()[..], self.load.now);
        let values = values![&self.token[..], self.hold_ms, link.namespace(), id, now, now];
        // Whatever goes wrong from here on, nobody waits for a lock that nobody knows to hold.
        let core = Arc::clone(link.core());
        let mut guard = Guard { core, id: self.load.id, token: self.token, held: true };
        if link.execute(Arc::clone(&link.sql().lock), values).await? == 0 {
            guard.held = false;
            return self.refused(link).await;
        }
        let record = self.load.run(link).await?;
        Ok(record.map_or(Attempt::Absent, |record| Attempt::Held(Box::new(record), guard)))
    }
}

impl TryLock {
    async fn refused<D: Driver>(&self, link: &mut Link<D>) -> Worked<Attempt<D>> {
        let (id, now) = (&self.load.id.as_bytes()[..], self.load.now);
        let values = values![link.namespace(), id, now, now];
        let row = link.fetch_first(Arc::clone(&link.sql().is_live), values).await?;
        Ok(if row.is_some() { Attempt::Busy } else { Attempt::Absent })
    }
}

/// A lock that is held. Dropping it frees it soon; where no runtime is left to do that, its lease
/// ends.
pub(in crate::store::sql) struct Guard<D: Driver> {
    core: Arc<Core<D>>,
    id: SessionId,
    token: LockToken,
    held: bool,
}

impl<D: Driver> Guard<D> {
    pub(in crate::store::sql) fn token(&self) -> LockToken {
        self.token
    }

    pub(in crate::store::sql) fn id(&self) -> SessionId {
        self.id
    }

    pub(in crate::store::sql) async fn release(mut self) -> Result<()> {
        self.held = false;
        self.core.run(self.unlock()).await
    }

    fn unlock(&self) -> Unlock {
        Unlock { id: self.id, token: self.token }
    }
}

impl<D: Driver> Drop for Guard<D> {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (core, unlock) = (Arc::clone(&self.core), self.unlock());
            runtime.spawn(async move {
                if let Err(error) = core.run(unlock).await {
                    tracing::debug!(%error, "a session's lock is left to its lease");
                }
            });
        }
    }
}

impl<D: Driver> fmt::Debug for Guard<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Frees a lock, if it is still this holder's.
struct Unlock {
    id: SessionId,
    token: LockToken,
}

impl<D: Driver> Work<D> for Unlock {
    type Output = ();
    const DOING: &'static str = "cannot free a session's lock";

    async fn run(&self, link: &mut Link<D>) -> Worked<()> {
        let values = values![link.namespace(), &self.id.as_bytes()[..], &self.token[..]];
        link.execute(Arc::clone(&link.sql().unlock), values).await?;
        Ok(())
    }
}
