//! What the journal comes to, and every decision of the store. Pure: no file, no clock, no lock.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use sessile::store::{Created, Expired, Page, Scope, Updated};
use sessile::{Error, ErrorKind, Owner, Record, Result, SessionId, Version};

use crate::entry::Entry;

/// What a decision gives, and the entries that make it true.
pub(crate) type Decided<T> = (T, Vec<Entry>);

/// The state after all entries that were read.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Encoded, so that a session nobody asks for costs no decoding.
    records: BTreeMap<SessionId, Bytes>,
    not_before: BTreeMap<String, SystemTime>,
    locks: BTreeMap<SessionId, Lock>,
}

#[derive(Clone, Copy, Debug)]
struct Lock {
    /// Where its entry stands, which no other lock's does.
    place: u64,
    until: SystemTime,
}

impl Table {
    /// Takes the next entry of the journal.
    pub(crate) fn apply(&mut self, place: u64, entry: Entry) {
        match entry {
            Entry::Put(id, record) => _ = self.records.insert(id, record),
            Entry::End(id) => {
                self.records.remove(&id);
                self.locks.remove(&id);
            }
            Entry::NotBefore(at, owner) => {
                let latest = self.not_before.entry(owner).or_insert(at);
                *latest = at.max(*latest);
            }
            Entry::Lock(id, until) => _ = self.locks.insert(id, Lock { place, until }),
            Entry::Free(id, place) => {
                if self.locks.get(&id).is_some_and(|lock| lock.place == place) {
                    self.locks.remove(&id);
                }
            }
        }
    }

    /// The live record. Expired equals absent, to the instant.
    pub(crate) fn live(&self, id: SessionId, now: SystemTime) -> Result<Option<Record>> {
        let record = self.records.get(&id).map(Record::from_bytes).transpose()?;
        Ok(record.filter(|record| !record.is_expired(now)))
    }

    pub(crate) fn create(&self, record: &Record) -> Result<Decided<Created>> {
        if self.records.contains_key(&record.id) {
            return Ok((Created::Exists, vec![]));
        }
        if self.is_revoked(record) {
            return Ok((Created::Revoked, vec![]));
        }
        Ok((Created::New, vec![put(record)?]))
    }

    pub(crate) fn update(&self, record: &Record, expected: Version) -> Result<Decided<Updated>> {
        if record.version <= expected {
            return Err(Error::new(ErrorKind::Value, "an update must raise the version"));
        }
        // Live when the request used it: a use at or after the deadline comes too late.
        let Some(current) = self.live(record.id, record.used_at)? else {
            return Ok((Updated::Gone, vec![]));
        };
        if current.version != expected {
            return Ok((Updated::Conflict(Box::new(current)), vec![]));
        }
        if current.owner != record.owner && self.is_revoked(record) {
            return Ok((Updated::Gone, vec![]));
        }
        let mut next = record.clone();
        next.touch(current.used_at);
        Ok((Updated::Written, vec![put(&next)?]))
    }

    pub(crate) fn touch(&self, id: SessionId, used_at: SystemTime) -> Result<Decided<bool>> {
        let Some(mut record) = self.live(id, used_at)? else { return Ok((false, vec![])) };
        record.touch(used_at);
        Ok((true, vec![put(&record)?]))
    }

    pub(crate) fn delete(&self, id: SessionId) -> Decided<bool> {
        match self.records.contains_key(&id) {
            true => (true, vec![Entry::End(id)]),
            false => (false, vec![]),
        }
    }

    /// The instant comes first: of a journal that ends between these lines no login escapes.
    pub(crate) fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
    ) -> Decided<u64> {
        let theirs = self.readable().filter(|record| record.owner.as_ref() == Some(owner));
        let ended: Vec<_> =
            theirs.map(|record| record.id).filter(|id| Some(*id) != except).collect();
        let first = Entry::NotBefore(not_before, owner.as_str().to_owned());
        let entries = [first].into_iter().chain(ended.iter().copied().map(Entry::End));
        (ended.len() as u64, entries.collect())
    }

    /// The oldest first, at most `limit`; a damaged record is no reason to stop.
    pub(crate) fn delete_expired(&self, now: SystemTime, limit: usize) -> Decided<Expired> {
        let mut due: Vec<_> = self.readable().filter(|record| record.is_expired(now)).collect();
        due.sort_by_key(Record::deadline);
        let more = due.len() > limit;
        due.truncate(limit);
        let entries = due.iter().map(|record| Entry::End(record.id)).collect();
        let removed = due.into_iter().map(|record| (record.id, record.owner)).collect();
        (Expired::new(removed, more), entries)
    }

    pub(crate) fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Page {
        let live = self.readable().filter(|record| !record.is_expired(now) && !record.superseded);
        let in_scope = live.filter(|record| scope.covers(record.owner.as_ref()));
        let mut listed = in_scope.filter(|record| Some(record.id) > after);
        let sessions: Vec<_> = listed.by_ref().take(limit).map(|record| record.summary()).collect();
        let next = listed.next().and(sessions.last().map(|last| last.id));
        Page::new(sessions, next)
    }

    /// Takes the lock, unless somebody has it. Gives whether it was free.
    pub(crate) fn lock(&self, id: SessionId, now: SystemTime, until: SystemTime) -> Decided<bool> {
        match self.locks.get(&id) {
            Some(lock) if now < lock.until => (false, vec![]),
            _ => (true, vec![Entry::Lock(id, until)]),
        }
    }

    /// Where the entry of the session's present lock stands.
    pub(crate) fn lock_place(&self, id: SessionId) -> Option<u64> {
        self.locks.get(&id).map(|lock| lock.place)
    }

    /// Whether the lock whose entry stands at `place` is still its holder's.
    pub(crate) fn is_held(&self, id: SessionId, place: u64, now: SystemTime) -> bool {
        self.locks.get(&id).is_some_and(|lock| lock.place == place && now < lock.until)
    }

    /// Every record that can be read, by ID.
    fn readable(&self) -> impl Iterator<Item = Record> {
        self.records.values().filter_map(|bytes| Record::from_bytes(bytes).ok())
    }

    /// Whether all of its owner's sessions were ended after this login began.
    fn is_revoked(&self, record: &Record) -> bool {
        let not_before = record.owner.as_ref().and_then(|it| self.not_before.get(it.as_str()));
        not_before
            .is_some_and(|instant| record.login_began_at.is_none_or(|began| began <= *instant))
    }
}

fn put(record: &Record) -> Result<Entry> {
    Ok(Entry::Put(record.id, record.to_bytes()?))
}
