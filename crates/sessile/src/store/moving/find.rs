//! Where a session is, and carrying it over.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::{Held, Migrating, Side, Stage, marks};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;
use crate::store::{Access, Created, Durability, Loaded, Ticket, Updated};
use crate::token::SessionId;

/// How often somebody else may be faster before we give up. Each of them got further than we did.
const ROUNDS_MAX: usize = 32;

/// How long a carrier may hold the old store's lock. Whoever takes longer is refused its last write.
const CARRY_MAX: Duration = Duration::from_secs(10);

/// A session, and what is held of it where it is.
pub(super) struct Found {
    pub(super) record: Record,
    pub(super) held: Held,
}

/// What one round came to.
#[expect(clippy::large_enum_variant, reason = "one per look-up, moved once")]
enum Look {
    Here(Found),
    Nowhere,
    /// Something moved meanwhile.
    Again,
}

/// How an attempt to carry went.
enum Carried {
    /// The old store knows that the session left, or somebody was faster.
    OnItsWay,
    /// The new store does not take it now: it stays where it is.
    Refused,
}

impl Migrating {
    /// The live session, wherever it is; while carrying, in the new store if it can be brought there.
    pub(super) async fn find(
        &self,
        id: SessionId,
        now: SystemTime,
        access: Access,
    ) -> Result<Option<Found>> {
        let patience = Patience::of(access);
        for _ in 0..ROUNDS_MAX {
            match self.look(id, now, patience.left(access)).await? {
                Look::Here(found) => return Ok(Some(found)),
                Look::Nowhere => return Ok(None),
                Look::Again => {}
            }
        }
        Err(Error::new(ErrorKind::Contended, "others kept moving the session between two stores"))
    }

    async fn look(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Look> {
        if let Some(found) = self.in_new(id, now, access).await? {
            return Ok(Look::Here(found));
        }
        // Who carries reads first, and takes the lock only when there is something to carry.
        let first = if self.stage == Stage::Carrying { Access::Read } else { access };
        match self.old.load(id, now, first).await? {
            None => self.not_in_old(id, now).await,
            Some(there) if marks::has_left(&there.record) => self.receive(&there.record, now).await,
            Some(there) if self.stage == Stage::Preparing || there.record.superseded => {
                Ok(Look::Here(Found::new(Side::Old, there, access)))
            }
            Some(_) => self.bring(id, now, access).await,
        }
    }

    /// Looks into the new store once more: the session may have been carried between the two looks.
    ///
    /// What is still arriving there never left the old store, or was ended after it did. It is removed,
    /// so that nobody who saw the mark lets it in after others found it gone.
    async fn not_in_old(&self, id: SessionId, now: SystemTime) -> Result<Look> {
        if let Some(look) = self.not_arriving(id, now).await? {
            return Ok(look);
        }
        // At the epoch nothing is expired yet: a clock that is ahead of others removes nothing.
        if self.old.load(id, UNIX_EPOCH, Access::Read).await?.is_none() {
            if let Some(look) = self.not_arriving(id, now).await? {
                return Ok(look);
            }
            self.new.delete(id, Durability::Process).await?;
        }
        Ok(Look::Nowhere)
    }

    /// What the new store says, unless it is that something is arriving.
    async fn not_arriving(&self, id: SessionId, now: SystemTime) -> Result<Option<Look>> {
        Ok(match self.new.load(id, now, Access::Read).await? {
            None => Some(Look::Nowhere),
            Some(seen) if !marks::is_mark(&seen.record) => Some(Look::Again),
            Some(_) => None,
        })
    }

    /// The session in the new store, if it is there and is no mark.
    async fn in_new(
        &self,
        id: SessionId,
        now: SystemTime,
        access: Access,
    ) -> Result<Option<Found>> {
        let seen = self.new.load(id, now, unlocked(access)).await?;
        let Some(seen) = seen.filter(|seen| !marks::is_mark(&seen.record)) else { return Ok(None) };
        if !is_exclusive(access) {
            return Ok(Some(Found::new(Side::New, seen, access)));
        }
        let locked = self.new.load(id, now, access).await?;
        let locked = locked.filter(|locked| !marks::is_mark(&locked.record));
        Ok(locked.map(|locked| Found::new(Side::New, locked, access)))
    }

    // Carrying

    /// Carries a session over that was seen in the old store. While somebody holds it exclusively
    /// there, it stays.
    async fn bring(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Look> {
        let wait = if let Access::Exclusive { wait, .. } = access { wait } else { Duration::ZERO };
        let lock = Access::Exclusive { wait, hold: CARRY_MAX };
        let mut there = match self.old.load(id, now, lock).await {
            Ok(Some(there)) => there,
            Ok(None) => return Ok(Look::Again),
            Err(error) if error.kind() == ErrorKind::LockTimeout && !is_exclusive(access) => {
                return self.stay(id, now, access).await;
            }
            Err(error) => return Err(error),
        };
        let carried = self.carry(&there.record, &mut there.ticket).await;
        self.old.release(there.ticket).await?;
        match carried? {
            Carried::OnItsWay => Ok(Look::Again),
            Carried::Refused => self.stay(id, now, access).await,
        }
    }

    /// The session where it is, in the old store.
    async fn stay(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Look> {
        let there = self.old.load(id, now, access).await?;
        let there = there.filter(|there| !marks::is_mark(&there.record));
        Ok(there.map_or(Look::Again, |there| Look::Here(Found::new(Side::Old, there, access))))
    }

    /// Three steps, of which the third decides. See "The protocol" on [`Migrating`].
    async fn carry(&self, record: &Record, ticket: &mut Ticket) -> Result<Carried> {
        if marks::is_mark(record) || record.superseded {
            return Ok(Carried::OnItsWay);
        }
        // Nobody but this attempt ever writes an arriving record of this version.
        let numbered = Record { version: record.version.next(), ..record.clone() };
        let drawn = self.old.update(&numbered, record.version, Durability::Power, ticket).await?;
        if drawn != Updated::Written {
            return Ok(Carried::OnItsWay);
        }
        if !self.announce(&marks::arriving(&numbered)?).await? {
            return Ok(Carried::Refused);
        }
        let left = marks::left(&numbered);
        self.old.update(&left, numbered.version, Durability::Final, ticket).await?;
        Ok(Carried::OnItsWay)
    }

    /// Puts an arriving record into the new store, over one of an earlier attempt if need be; gives
    /// whether it is there.
    async fn announce(&self, arriving: &Record) -> Result<bool> {
        match self.new.create(arriving, Durability::Final).await? {
            Created::New => Ok(true),
            Created::Exists => self.announce_anew(arriving).await,
            Created::Revoked => Ok(false),
        }
    }

    async fn announce_anew(&self, arriving: &Record) -> Result<bool> {
        // At the epoch nothing is expired yet, and an expired one stands in the way as well.
        let earlier = self.new.load(arriving.id, UNIX_EPOCH, Access::Write).await?;
        let Some(mut earlier) = earlier else { return Ok(false) };
        let over = earlier.record.version;
        if !marks::is_arriving(&earlier.record) || over >= arriving.version {
            return Ok(false);
        }
        let ticket = &mut earlier.ticket;
        let updated = self.new.update(arriving, over, Durability::Final, ticket).await?;
        Ok(updated == Updated::Written)
    }

    /// Lets a session in that left the old store. Whoever sees the mark does this; one of them wins.
    async fn receive(&self, left: &Record, now: SystemTime) -> Result<Look> {
        let (id, version) = (left.id, left.version);
        let arriving = self.new.load(id, now, Access::Write).await?;
        let Some(mut arriving) = arriving else { return self.ended_on_its_way(id).await };
        if !marks::is_mark(&arriving.record) {
            self.clear(id).await;
            return Ok(Look::Again);
        }
        if arriving.record.version.next() != version {
            return self.ended_on_its_way(id).await;
        }
        let arrived = marks::arrived(&arriving.record, left.used_at)?;
        let (over, ticket) = (arriving.record.version, &mut arriving.ticket);
        if self.new.update(&arrived, over, Durability::Final, ticket).await? == Updated::Written {
            self.clear(id).await;
        }
        Ok(Look::Again)
    }

    /// It left, and what arrived is gone: somebody ended it.
    async fn ended_on_its_way(&self, id: SessionId) -> Result<Look> {
        self.clear(id).await;
        Ok(Look::Nowhere)
    }

    /// Removes the mark of a session, if there is one that a crash left behind.
    pub(super) async fn clear_mark(&self, id: SessionId) -> Result<()> {
        let there = self.old.load(id, UNIX_EPOCH, Access::Read).await?;
        if there.is_some_and(|there| marks::has_left(&there.record)) {
            self.old.delete(id, Durability::Process).await?;
        }
        Ok(())
    }

    /// Removes the mark of a session that left. A mark that stays tells nobody anything wrong.
    async fn clear(&self, id: SessionId) {
        if let Err(error) = self.old.delete(id, Durability::Process).await {
            tracing::debug!(session = %id, %error, "the mark of a session that left stays behind");
        }
    }
}

impl Found {
    fn new(side: Side, loaded: Loaded, access: Access) -> Self {
        let held = Held { side, ticket: loaded.ticket, exclusive: is_exclusive(access) };
        Self { record: loaded.record, held }
    }
}

fn is_exclusive(access: Access) -> bool {
    matches!(access, Access::Exclusive { .. })
}

/// What to look with before a lock is asked for.
fn unlocked(access: Access) -> Access {
    if is_exclusive(access) { Access::Read } else { access }
}

/// How long somebody is willing to wait for locks, in all rounds together.
struct Patience(Option<Instant>);

impl Patience {
    fn of(access: Access) -> Self {
        let Access::Exclusive { wait, .. } = access else { return Self(None) };
        Self(Instant::now().checked_add(wait))
    }

    fn left(&self, access: Access) -> Access {
        match (access, self.0) {
            (Access::Exclusive { hold, .. }, Some(until)) => {
                Access::Exclusive { wait: until.saturating_duration_since(Instant::now()), hold }
            }
            _ => access,
        }
    }
}
