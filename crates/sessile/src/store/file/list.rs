//! Lists: one owner's sessions by their index, everybody's by the directories.

use std::collections::HashSet;
use std::time::SystemTime;

use super::Doing;
use super::commit::Deletion;
use super::core::Core;
use super::records::SHARDS;
use super::sys::For;
use crate::error::{ErrorKind, Result};
use crate::record::{Owner, Record, Summary};
use crate::store::{Durability, Page};
use crate::token::SessionId;

impl Core {
    /// Lists the live sessions of `owner`, and heals their index of old ghosts.
    pub(super) fn list_owner(
        &self,
        owner: &Owner,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        let entries = self.owners.list(owner)?;
        let mut page = Listing::new(now, limit);
        let mut ghosts = false;
        for entry in entries.iter().filter(|entry| Some(entry.id) > after) {
            if page.is_full() {
                break;
            }
            let record = self.load_listed(entry.id)?;
            let record = record.filter(|record| record.owner.as_ref() == Some(owner));
            ghosts |= record.is_none() && entry.is_old(now);
            page.add(record.as_ref());
        }
        if ghosts || entries.is_empty() {
            self.owners.heal(owner, now, &|id| self.is_ghost(id, owner))?;
        }
        Ok(page.done())
    }

    /// Lists all live sessions.
    pub(super) fn list_all(
        &self,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        let mut page = Listing::new(now, limit);
        let first = after.map_or(0, |id| id.as_bytes()[0]);
        for shard in first..=(SHARDS - 1) as u8 {
            let ids = self.records.ids(shard).doing("cannot read a session directory")?;
            for id in ids.into_iter().filter(|id| Some(*id) > after) {
                if page.is_full() {
                    return Ok(page.done());
                }
                page.add(self.load_listed(id)?.as_ref());
            }
        }
        Ok(page.done())
    }

    /// Ends all sessions of `owner` but one, those of logins in flight included.
    pub(super) fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        let ids = self.owners.revoke(owner, not_before, self.durability(durability))?;
        let is_theirs = |record: &Record| record.owner.as_ref() == Some(owner);
        let mut deleted = HashSet::new();
        let mut failed = None;
        for id in ids.into_iter().filter(|id| Some(*id) != except) {
            match self.end_if(id, durability, &is_theirs) {
                Ok(Deletion::Done(_)) => {
                    deleted.insert(id);
                }
                Ok(Deletion::Absent | Deletion::Spared(_)) => {}
                // The others are ended all the same, and then the caller is told.
                Err(error) => failed = Some(error),
            }
        }
        self.leave_owner(owner, &deleted)?;
        failed.map_or(Ok(deleted.len() as u64), Err)
    }

    /// Takes sessions that are gone out of their owner's list. One that was made again meanwhile stays
    /// there: its ID comes back with the key that it follows from.
    pub(super) fn leave_owner(&self, owner: &Owner, ids: &HashSet<SessionId>) -> Result<()> {
        self.owners.remove(owner, &|id| Ok(ids.contains(&id) && self.is_ghost(id, owner)?))
    }

    /// The record of `id` for a list, which one damaged or newer record must not make fail.
    pub(super) fn load_listed(&self, id: SessionId) -> Result<Option<Record>> {
        match self.load(id, For::Reading) {
            Ok(opened) => Ok(opened.map(|opened| opened.record)),
            Err(error) if is_one_records_trouble(error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an index entry stands for no session of its owner. A record that cannot be read may
    /// be one.
    fn is_ghost(&self, id: SessionId, owner: &Owner) -> Result<bool> {
        self.is_ghost_to(id, &|record| record.owner.as_ref() == Some(owner))
    }

    /// As [`is_ghost`](Self::is_ghost), of whomever `is_theirs` knows.
    pub(super) fn is_ghost_to(
        &self,
        id: SessionId,
        is_theirs: &dyn Fn(&Record) -> bool,
    ) -> Result<bool> {
        match self.load(id, For::Reading) {
            Ok(opened) => Ok(opened.is_none_or(|opened| !is_theirs(&opened.record))),
            Err(error) if is_one_records_trouble(error.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_one_records_trouble(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::NewerFormat | ErrorKind::Contended)
}

/// A page of a list that is being filled.
struct Listing {
    now: SystemTime,
    limit: usize,
    sessions: Vec<Summary>,
}

impl Listing {
    fn new(now: SystemTime, limit: usize) -> Self {
        Self { now, limit, sessions: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.sessions.len() >= self.limit
    }

    fn add(&mut self, record: Option<&Record>) {
        let live = record.filter(|record| !record.superseded && !record.is_expired(self.now));
        self.sessions.extend(live.map(Record::summary));
    }

    fn done(self) -> Page {
        let next = if self.is_full() { self.sessions.last().map(|last| last.id) } else { None };
        Page::new(self.sessions, next)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::Options;
    use super::super::sys::record::Recording;
    use super::*;
    use crate::token::SecretHash;

    fn store(core: &Core, owner: Option<&Owner>, sessions: usize) {
        for _ in 0..sessions {
            let (id, hash) = (SessionId::random().unwrap(), SecretHash::from_bytes([7; 32]));
            let mut record = Record::new(id, hash, UNIX_EPOCH, None, Duration::from_secs(60));
            (record.owner, record.login_began_at) = (owner.cloned(), Some(UNIX_EPOCH));
            core.create(&record, Durability::Process).unwrap();
        }
    }

    /// How many sessions a page shows, and how often it opened or read something.
    fn price(list: impl Fn() -> Result<Page>) -> (usize, usize) {
        list().unwrap();
        let recording = Recording::start();
        (list().unwrap().sessions.len(), recording.steps())
    }

    #[test]
    fn a_list_costs_what_it_shows_and_not_what_is_stored() {
        let directory = tempfile::tempdir().unwrap();
        let core = Core::open(directory.path(), Options::default()).unwrap();
        let ann = Owner::new("ann").unwrap();
        let of_ann = || core.list_owner(&ann, UNIX_EPOCH, None, 100);
        // Long after they were entered, and expired: their records are there, and no ghosts.
        let later = || core.list_owner(&ann, UNIX_EPOCH + Duration::from_secs(660), None, 100);
        let of_all = |limit| price(|| core.list_all(UNIX_EPOCH, None, limit));
        store(&core, Some(&ann), 3);
        let alone = price(of_ann);
        store(&core, None, 300);
        assert_eq!((alone.0, price(of_ann)), (3, alone));
        assert_eq!(price(later), (0, alone.1));
        let ((ten, cheap), (hundred, dear)) = (of_all(10), of_all(100));
        assert_eq!((ten, hundred), (10, 100));
        assert!(cheap * 5 < dear && dear < 400, "{cheap} and {dear} calls");
    }

    #[test]
    fn an_entry_whose_session_cannot_be_looked_at_is_an_error_and_no_ghost() {
        let directory = tempfile::tempdir().unwrap();
        let core = Core::open(directory.path(), Options::default()).unwrap();
        std::fs::write(directory.path().join("default/records/07"), "").unwrap();
        let error = core.is_ghost_to(SessionId::from_bytes([7; 16]), &|_| true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}
