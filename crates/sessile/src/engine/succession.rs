//! A new record in place of an old one: what a login makes, and a rotation where the ID follows from
//! the key.
//!
//! The new record is made first and the old one retired after, so that a crash in between loses
//! nothing: nobody holds the new token until the answer leaves.

use std::time::SystemTime;

use super::Engine;
use super::commit::{Contest, DRAWS_MAX, Settled, Work, applied, lock_lost};
use super::standing::Live;
use crate::error::Result;
use crate::event::Event;
use crate::plan::{self, Authority, Fresh, Login};
use crate::record::{Data, Owner, Record};
use crate::store::{Access, Ticket, Updated};
use crate::token::SessionId;

/// Why a record takes the place of another.
#[derive(Clone, Copy)]
enum Succession<'a> {
    Login(&'a Login),
    Rotation,
}

impl Engine {
    /// A login in place of an anonymous session, or of another login.
    pub(super) async fn replace(
        &self,
        mut work: Work,
        live: Live,
        login: &Login,
        ticket: &mut Ticket,
    ) -> Result<Settled> {
        let edited = work.edited.take().unwrap_or_else(|| live.record.data.clone());
        let data = if login.keeps_data { edited } else { applied(&work.changes, Data::new())? };
        let replaced = live.record.id;
        let (token, new) = self.first_state(&work, Some(login), data, self.new_token()?)?;
        let durability = self.config.security_durability;
        let (token, new) = self.insert(token, new, durability, DRAWS_MAX).await?;
        self.admit_to_owner(&new, Some(replaced)).await?;
        let new = self.retire(&mut work, live, Succession::Login(login), new, ticket).await?;
        self.end_surplus(&new).await?;
        Ok(self.begun(token, new, Some(replaced)))
    }

    /// A rotation where a new secret means a new ID.
    pub(super) async fn relocate(
        &self,
        mut work: Work,
        live: Live,
        ticket: &mut Ticket,
    ) -> Result<Settled> {
        self.check_line(&work.visitor)?;
        let data = work.edited.take().unwrap_or_else(|| live.record.data.clone());
        let replaced = live.record.id;
        let (token, fresh) = self.with_hash(self.new_token()?);
        let new = self.moved_state(&work, &live, data, fresh)?;
        let durability = self.config.security_durability;
        let (token, new) = self.insert(token, new, durability, DRAWS_MAX).await?;
        let new = self.retire(&mut work, live, Succession::Rotation, new, ticket).await?;
        self.notify(&Event::Rekeyed { id: new.id, replaced });
        if work.wish.reauthenticate.is_some() {
            self.notify(&Event::Reauthenticated(new.id));
        }
        Ok(self.settled(new, Some(token), Authority::Current))
    }

    /// What the handler asks for, done to the record it was loaded from, under another key.
    fn moved_state(&self, work: &Work, live: &Live, data: Data, fresh: Fresh) -> Result<Record> {
        let next = self.next_state(live, data, &work.wish, None)?;
        let proved_at = work.wish.reauthenticate.map(|_| work.began_at);
        Ok(plan::moved(next, fresh, proved_at))
    }

    /// Retires the old record, or undoes the new one, whose token nobody got.
    async fn retire(
        &self,
        // Not shared: closures are `Send` alone, and this reference lives across awaits.
        work: &mut Work,
        old: Live,
        succession: Succession<'_>,
        new: Record,
        ticket: &mut Ticket,
    ) -> Result<Record> {
        let id = new.id;
        let retired = self.hand_over(work, old, succession, new, ticket).await;
        if retired.is_err() {
            self.undo(id).await;
        }
        retired
    }

    /// Takes all authority from the old record, and brings along what was written to it late.
    async fn hand_over(
        &self,
        work: &mut Work,
        mut old: Live,
        succession: Succession<'_>,
        mut new: Record,
        ticket: &mut Ticket,
    ) -> Result<Record> {
        let mut contest = Contest::new(self, old.record.id);
        loop {
            let mark = plan::superseded(&old.record, self.config.rotation_grace, self.now());
            let durability = self.config.final_durability();
            let updated = self.store.update(&mark, old.record.version, durability, ticket).await;
            match (updated.map_err(|error| self.failed(error))?, succession) {
                (Updated::Written, _) => return Ok(new),
                // Another login of the same browser was first: its form was sent twice. Both stand,
                // each with what it had loaded; the browser keeps whichever answer comes last.
                (Updated::Conflict(current), Succession::Login(_)) if current.superseded => {
                    return Ok(new);
                }
                (Updated::Conflict(current), _) => {
                    contest.lost().await?;
                    old = self.reverified(*current, &old)?;
                    if old.authority == Authority::Previous {
                        return Err(plan::rotated_away());
                    }
                    if let Some(late) = self.with_late(work, &old, succession, &new)? {
                        new = self.rewritten(&new, late).await?;
                    }
                }
                // It ended meanwhile: a login is a new beginning, but ended data stays ended.
                (Updated::Gone, Succession::Login(_)) => {
                    let data = applied(&work.changes, Data::new())?;
                    let next = plan::with_data(&new, new.version.next(), data);
                    return self.rewritten(&new, next).await;
                }
                (Updated::Gone, Succession::Rotation) => return Err(self.ended(old.record.id)),
                (Updated::LockLost, _) => return Err(lock_lost()),
            }
        }
    }

    /// The next state of the new record, from what the old one is by now.
    fn with_late(
        &self,
        work: &Work,
        old: &Live,
        succession: Succession<'_>,
        new: &Record,
    ) -> Result<Option<Record>> {
        let late = || applied(&work.changes, old.record.data.clone());
        let version = new.version.next();
        match succession {
            Succession::Login(login) if !login.keeps_data => Ok(None),
            Succession::Login(_) => Ok(Some(plan::with_data(new, version, late()?))),
            Succession::Rotation => {
                let fresh = Fresh { id: new.id, hash: new.secret_hash };
                let moved = self.moved_state(work, old, late()?, fresh)?;
                Ok(Some(Record { version, ..moved }))
            }
        }
    }

    /// Writes another state of a record that nobody else knows of yet. Only a move from one store to
    /// another, which changes nothing but the version, can come in between.
    async fn rewritten(&self, new: &Record, mut next: Record) -> Result<Record> {
        plan::check_size(&next.data, &self.config)?;
        let (mut contest, mut expected) = (Contest::new(self, new.id), new.version);
        loop {
            let (durability, mut ticket) = (self.config.final_durability(), Ticket::none());
            let updated = self.store.update(&next, expected, durability, &mut ticket).await;
            match updated.map_err(|error| self.failed(error))? {
                Updated::Written => return Ok(next),
                Updated::Conflict(moved) => {
                    contest.lost().await?;
                    (expected, next.version) = (moved.version, moved.version.next());
                }
                _ => return Err(self.ended(new.id)),
            }
        }
    }

    /// Removes a record whose token nobody got. What remains after a failure expires by itself.
    pub(super) async fn undo(&self, id: SessionId) {
        if let Err(error) = self.store.delete(id, self.config.security_durability).await {
            self.failed(error);
        }
    }

    /// Lets a session of `owner` move later on, although all the owner's other sessions end now: its
    /// next record must not look like that of a login from before.
    pub(super) async fn spare(
        &self,
        id: SessionId,
        owner: &Owner,
        not_before: SystemTime,
    ) -> Result<()> {
        let mut contest = Contest::new(self, id);
        let loaded = self.store.load(id, self.now(), Access::Write).await;
        let Some(mut loaded) = loaded.map_err(|error| self.failed(error))? else { return Ok(()) };
        while loaded.record.owner.as_ref() == Some(owner) {
            let next = plan::spared(&loaded.record, not_before);
            let (expected, durability) = (loaded.record.version, self.config.final_durability());
            let ticket = &mut loaded.ticket;
            let updated = self.store.update(&next, expected, durability, ticket).await;
            match updated.map_err(|error| self.failed(error))? {
                Updated::Conflict(current) => loaded.record = *current,
                _ => break,
            }
            contest.lost().await?;
        }
        self.release(loaded.ticket).await;
        Ok(())
    }
}
