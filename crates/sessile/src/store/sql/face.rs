//! The store's async face, the same for every driver.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::columns::{Columns, instant, number};
use super::core::{Core, dice};
use super::driver::Driver;
use super::work::{
    Attempt, Create, Delete, DeleteOwner, Guard, List, Load, ROWS_MAX, Sweep, Touch, TryLock,
    Update,
};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Owner, Record, Version};
use crate::store::{Access, Created, Durability, Expired, Loaded, Page, Scope, Ticket, Updated};
use crate::token::SessionId;

impl<D: Driver> Core<D> {
    pub(super) async fn create(
        self: &Arc<Self>,
        record: &Record,
        durability: Durability,
    ) -> Result<Created> {
        let columns = Columns::of(record)?;
        let login_began_at = record.login_began_at.map(instant);
        self.run(Create { columns, login_began_at, durability }).await
    }

    pub(super) async fn load(
        self: &Arc<Self>,
        id: SessionId,
        now: SystemTime,
        access: Access,
    ) -> Result<Option<Loaded>> {
        if let Access::Exclusive { wait, hold } = access {
            return self.load_exclusively(id, now, wait, hold).await;
        }
        let record = self.run(Load { id, now: instant(now) }).await?;
        Ok(record.map(|record| Loaded { record, ticket: Ticket::none() }))
    }

    async fn load_exclusively(
        self: &Arc<Self>,
        id: SessionId,
        now: SystemTime,
        wait: Duration,
        hold: Duration,
    ) -> Result<Option<Loaded>> {
        let (token, until) = (random_token()?, Instant::now() + wait.min(LEASE_MAX));
        let hold_ms = hold.min(LEASE_MAX).as_millis() as i64;
        loop {
            let load = Load { id, now: instant(now) };
            match self.run(TryLock { load, token, hold_ms }).await? {
                Attempt::Absent => return Ok(None),
                Attempt::Held(record, guard) => {
                    return Ok(Some(Loaded { record: *record, ticket: Ticket::new(guard) }));
                }
                Attempt::Busy => wait_for_turn(until).await?,
            }
        }
    }

    pub(super) async fn update(
        self: &Arc<Self>,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        if record.version <= expected {
            return Err(Error::new(ErrorKind::Value, "an update must raise the version"));
        }
        let guard = ticket.get_mut::<Guard<D>>().filter(|guard| guard.id() == record.id);
        let lock = guard.map(|guard| guard.token());
        let (columns, expected) = (Columns::of(record)?, number(expected)?);
        let login_began_at = record.login_began_at.map(instant);
        self.run(Update { columns, expected, login_began_at, durability, lock }).await
    }

    pub(super) async fn touch(
        self: &Arc<Self>,
        id: SessionId,
        used_at: SystemTime,
    ) -> Result<bool> {
        self.run(Touch { id, used_at: instant(used_at) }).await
    }

    pub(super) async fn delete(
        self: &Arc<Self>,
        id: SessionId,
        durability: Durability,
    ) -> Result<bool> {
        self.run(Delete { id, durability }).await
    }

    pub(super) async fn delete_owner(
        self: &Arc<Self>,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        let (owner, not_before) = (owner.clone(), instant(not_before));
        self.run(DeleteOwner { owner, except, not_before, durability }).await
    }

    pub(super) async fn delete_expired(
        self: &Arc<Self>,
        now: SystemTime,
        limit: usize,
    ) -> Result<Expired> {
        self.run(Sweep { now: instant(now), limit: limit.min(ROWS_MAX) }).await
    }

    pub(super) async fn list(
        self: &Arc<Self>,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        let owner = match scope {
            Scope::All => None,
            Scope::Owner(owner) => Some(owner.clone()),
        };
        self.run(List { owner, now: instant(now), after, limit: limit.min(ROWS_MAX) }).await
    }

    pub(super) async fn release(self: &Arc<Self>, mut ticket: Ticket) -> Result<()> {
        match ticket.take::<Guard<D>>() {
            Some(guard) => guard.release().await,
            None => Ok(()),
        }
    }
}

/// Keeps sums of instants representable.
const LEASE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long a waiter sleeps between two looks at least, and what chance adds at most.
const POLL: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(30)];

/// Sleeps a little; an error when the time is over.
async fn wait_for_turn(until: Instant) -> Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        let doing = "the session's exclusive lock was not free in time";
        return Err(Error::new(ErrorKind::LockTimeout, doing));
    }
    let pause = POLL[0] + POLL[1].mul_f32(dice());
    sleep(pause.min(left)).await;
    Ok(())
}

fn random_token() -> Result<[u8; 16]> {
    let mut token = [0; 16];
    let doing = "the system gives no randomness for a lock";
    let filled = getrandom::fill(&mut token);
    filled.map_err(|error| Error::new(ErrorKind::Random, doing).with_source(error))?;
    Ok(token)
}
