//! Moving house: from one store to another, while the application runs.

mod find;
mod lists;
mod marks;
mod move_all;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use self::find::Found;
use super::{Access, Created, Durability, Expired, Loaded, Page, Scope, Store, Ticket, Updated};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Owner, Record, Version};
use crate::token::SessionId;

pub use self::move_all::{MoveAll, Moved, move_all};

/// Two stores as one, while sessions move from the old to the new: nobody is signed out, no logout is
/// undone, no acknowledged write is lost.
///
/// # Which processes may run side by side
///
/// Everybody who writes must know where a session is. From the old store to the new one there are
/// three deploys, and between two of them a rolling deploy may mix two neighbours of this line, never
/// more:
///
/// | | new sessions | sessions of the old store | finds sessions in |
/// |---|---|---|---|
/// | 1. the old store alone | old | stay | old |
/// | 2. [`Migrating::prepare`] | old | stay | new, old |
/// | 3. [`Migrating::new`] | new | carried over when they are asked for | new, old |
/// | 4. the new store alone | new | - | new |
///
/// Between 3 and 4 run [`move_all`], or `sessile move`, until it says that nothing is left. Who can
/// stop all processes at once may go from 1 to 3 directly. The way back: from 3 to 2 at any time,
/// from 2 to 1 as long as nobody ran 3.
///
/// **Dangers.** A process of step 1 beside one of step 3 does not find what was carried: its users
/// are strangers there, though nothing of theirs is lost. A process of step 4 beside one of step 2
/// does not find what is created in the old store. A new store that holds sessions of this namespace
/// from another time mixes them in. Both stores have one namespace, which is part of every secret's
/// hash.
///
/// # The protocol
///
/// A session is in the new store if that has a live record of it, else in the old one. It leaves the
/// old store once, and never comes back. To carry it over:
///
/// 1. Take the old store's exclusive lock, so that nobody who holds the session alone loses it. While
///    it is taken the session stays where it is, and is served from there.
/// 2. Draw a number: save the record unchanged, one version later. No other attempt has this version.
/// 3. Put the whole record, wrapped, into the new store under that version: it is *arriving*, and no
///    session yet. What an earlier attempt left there is replaced, by comparing versions.
/// 4. Replace the record in the old store, if nobody wrote it meanwhile, by a mark that it *left*.
///    **This decides.** Until here the session is in the old store, from here on in the new one.
/// 5. Unwrap it in the new store, over the arriving record of this very version, with the last use
///    that the mark knows of. Whoever meets the mark does this; one of them wins.
/// 6. Delete the mark.
///
/// So the version of a session grows by two when it is carried. An ending deletes **in the old store
/// first, then in the new one**, and is acknowledged after both. Before the old record is gone,
/// step 4 finds it gone and nothing arrives; after step 4, the deletion in the new store takes what
/// arrives or arrived, and step 5 finds nothing to unwrap. An attempt that wakes up late may still
/// put an arriving record into the new store. It is no session without a mark of the next version
/// in the old one, and none is ever made: the record it would replace is gone. It is removed by who
/// meets it, or expires.
///
/// A crash between any two steps leaves the session in the old store, or a mark that the next look at
/// the session acts upon. An error of either store ends the operation with that error.
///
/// `delete_owner` writes its instant to both stores, the old one first, and a login is judged where
/// it creates its session. A record that is carried is not judged again: it was there, and spared.
/// Exclusive access is the lock of the store the session is in.
///
/// Kept by `every_schedule_of_two_keeps_the_promises`, which runs the orders in which the calls of
/// two operations can fall, `schedules_of_three_keep_the_promises`,
/// `a_carrier_that_wakes_up_late_brings_nothing_back` and
/// `a_crash_at_any_call_loses_no_session_and_undoes_no_logout`. Why each step is there is in
/// `docs/design.md`.
///
/// # Costs
///
/// A look-up of a session that has moved is one call, as without this; one of a session that never
/// was is three, and so is a creation, which must not give the ID of a session in the other store.
/// Carrying takes some ten calls, once per session. Lists read both stores, and look twice at what
/// is still in the old one. Nothing of a session is kept in both: the old store is no backup.
///
/// Sessions that a login replaced, and "not before" instants from before step 2, stay behind: the
/// first mean something for a minute, the second for requests that were under way then.
///
/// # Examples
///
/// ```
/// # use sessile::store::{MemoryStore, Migrating, Store};
/// let (old, new) = (MemoryStore::new(), MemoryStore::new());
/// let both = Migrating::new(old, new)?;
/// let sessions = sessile::Sessions::new(both);
/// # Ok::<_, sessile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Migrating {
    old: Arc<dyn Store>,
    new: Arc<dyn Store>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Preparing,
    Carrying,
}

impl Migrating {
    /// Keeps every session in `old`, and finds those that others carried over to `new`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the two stores have different namespaces.
    pub fn prepare(old: impl Store, new: impl Store) -> Result<Self> {
        Self::at(Stage::Preparing, Arc::new(old), Arc::new(new))
    }

    /// Creates sessions in `new`, and carries those of `old` over when they are asked for.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn new(old: impl Store, new: impl Store) -> Result<Self> {
        Self::at(Stage::Carrying, Arc::new(old), Arc::new(new))
    }

    fn at(stage: Stage, old: Arc<dyn Store>, new: Arc<dyn Store>) -> Result<Self> {
        let (from, to) = (old.namespace(), new.namespace());
        if from != to {
            let doing = format!(
                "the old store has the namespace {from:?}, the new one {to:?}: open both with one, \
                 or every session would open to nobody"
            );
            return Err(Error::new(ErrorKind::Config, doing));
        }
        Ok(Self { old, new, stage })
    }

    fn side(&self, side: Side) -> &dyn Store {
        match side {
            Side::Old => &*self.old,
            Side::New => &*self.new,
        }
    }
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

/// What a ticket of this store holds: another's ticket.
#[derive(Debug)]
struct Held {
    side: Side,
    ticket: Ticket,
    exclusive: bool,
}

#[async_trait]
impl Store for Migrating {
    fn namespace(&self) -> &str {
        self.new.namespace()
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        let (here, there) = match self.stage {
            Stage::Preparing => (Side::Old, Side::New),
            Stage::Carrying => (Side::New, Side::Old),
        };
        if self.is_taken(there, record.id).await? {
            return Ok(Created::Exists);
        }
        let created = self.side(here).create(record, durability).await?;
        if created == Created::New {
            return self.unless_taken_meanwhile(here, there, record.id, durability).await;
        }
        Ok(created)
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        let found = self.find(id, now, access).await?;
        Ok(found.map(|Found { record, held }| Loaded { record, ticket: Ticket::new(held) }))
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        if let Some(held) = ticket.get_mut::<Held>() {
            return self.update_held(record, expected, durability, held).await;
        }
        let found = self.find(record.id, record.used_at, Access::Write).await?;
        let Some(Found { mut held, .. }) = found else { return Ok(Updated::Gone) };
        self.update_held(record, expected, durability, &mut held).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        match ticket.get_mut::<Held>() {
            Some(Held { side: Side::New, ticket, .. }) => {
                self.new.touch(id, used_at, idle_deadline, ticket).await
            }
            _ => self.touch_where_it_is(id, used_at, idle_deadline).await,
        }
    }

    /// In the old store first: see "The protocol". Where one fails the other is asked all the same.
    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        let old = self.old.delete(id, durability).await;
        let new = self.new.delete(id, durability).await;
        Ok(old? | new?)
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        let old = self.old.delete_owner(owner, except, not_before, durability).await;
        let new = self.new.delete_owner(owner, except, not_before, durability).await;
        Ok(old? + new?)
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        self.sweep_both(now, limit).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        self.list_both(scope, now, after, limit).await
    }

    async fn release(&self, mut ticket: Ticket) -> Result<()> {
        match ticket.take::<Held>() {
            Some(held) => self.side(held.side).release(held.ticket).await,
            None => Ok(()),
        }
    }
}

impl Migrating {
    /// Undoes a creation when a process of the other step created the same session meanwhile, which
    /// only keys of another system make possible. Where both do, both are refused.
    async fn unless_taken_meanwhile(
        &self,
        here: Side,
        there: Side,
        id: SessionId,
        durability: Durability,
    ) -> Result<Created> {
        let taken = self.is_taken(there, id).await;
        if let Ok(false) = taken {
            return Ok(Created::New);
        }
        self.side(here).delete(id, durability).await?;
        taken.map(|_| Created::Exists)
    }

    /// Whether a session of this ID is there, live or not.
    async fn is_taken(&self, side: Side, id: SessionId) -> Result<bool> {
        let there = self.side(side).load(id, UNIX_EPOCH, Access::Read).await?;
        Ok(there.is_some_and(|there| !marks::is_arriving(&there.record)))
    }

    async fn update_held(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        held: &mut Held,
    ) -> Result<Updated> {
        let store = self.side(held.side);
        let updated = store.update(record, expected, durability, &mut held.ticket).await?;
        match (held.side, updated) {
            // It ended, and what is there now is what a late carrier left.
            (Side::New, Updated::Conflict(current)) if marks::is_mark(&current) => {
                Ok(Updated::Gone)
            }
            (Side::Old, Updated::Conflict(current)) if marks::is_mark(&current) => {
                self.moved_away(record, held).await
            }
            (Side::Old, Updated::Gone) => self.moved_away(record, held).await,
            (_, updated) => Ok(updated),
        }
    }

    /// How an update went whose session is no longer where it was loaded.
    async fn moved_away(&self, record: &Record, held: &mut Held) -> Result<Updated> {
        let found = self.find(record.id, record.used_at, Access::Write).await?;
        let Some(found) = found else { return Ok(Updated::Gone) };
        // A carrier takes the lock first: whoever held it had lost it.
        if std::mem::replace(held, found.held).exclusive {
            return Ok(Updated::LockLost);
        }
        Ok(Updated::Conflict(Box::new(found.record)))
    }

    async fn touch_where_it_is(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
    ) -> Result<bool> {
        loop {
            let found = self.find(id, used_at, Access::Read).await?;
            let Some(Found { mut held, .. }) = found else { return Ok(false) };
            let store = self.side(held.side);
            let touched = store.touch(id, used_at, idle_deadline, &mut held.ticket).await?;
            // The mark of a session that left can be touched, and nobody would know.
            if held.side == Side::New || (touched && self.is_still_in_old(id, used_at).await?) {
                return Ok(touched);
            }
        }
    }

    async fn is_still_in_old(&self, id: SessionId, now: SystemTime) -> Result<bool> {
        let there = self.old.load(id, now, Access::Read).await?;
        Ok(there.is_some_and(|there| !marks::is_mark(&there.record)))
    }
}
