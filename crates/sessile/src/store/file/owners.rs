//! Who owns which sessions: one small file per owner, under a keyed hash of the owner's name.
//!
//! An index may hold ghosts, and never misses a live session: an entry is there before its record can
//! be seen, and goes after it. Every change is made under the `flock` of the owner's file, which also
//! keeps the owner's "not before": logins that began at or before that instant are refused.

use std::io;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use super::Doing;
use super::core::wait_for;
use super::root::Key;
use super::sys::{Dir, File, For};
use crate::clock::{from_millis, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Owner, Record};
use crate::store::Durability;
use crate::token::SessionId;

const MAGIC: &[u8; 8] = b"sessown\x01";
const HEAD_BYTES: usize = 64;
const ENTRY_BYTES: usize = 32;

/// How long an entry may wait for its record before it counts as a ghost.
const GHOST_AGE: Duration = Duration::from_secs(10 * 60);

/// How long an owner without sessions is remembered for the sake of their "not before".
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a record may be created for an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Its entry was added.
    Added,
    /// Its entry was there.
    Known,
    /// The owner's sessions were ended after its login began.
    Refused,
}

/// The index of all owners.
#[derive(Debug)]
pub(super) struct Owners {
    dir: Dir,
    /// Invariant: whoever cannot read the root cannot tell whether an owner has sessions.
    prefix: Sha256,
}

impl Owners {
    pub(super) fn new(dir: Dir, key: Key, namespace: &str) -> Self {
        let prefix = Sha256::new().chain_update(key).chain_update(namespace).chain_update([0]);
        Self { dir, prefix }
    }

    /// Adds the entry of a record that is about to be created, unless its login is refused.
    pub(super) fn admit(
        &self,
        owner: &Owner,
        record: &Record,
        durability: Durability,
    ) -> Result<Admission> {
        let mut index = self.open_or_create(owner)?;
        if index.refuses(record.login_began_at) {
            return Ok(Admission::Refused);
        }
        let added = index.add(record.id, record.used_at)?;
        if durability >= Durability::Power {
            self.sync(&index)?;
        }
        Ok(if added { Admission::Added } else { Admission::Known })
    }

    /// Admits a record once more that was created since. Its entry was one of a session before it under
    /// the same ID, if somebody took it for a ghost meanwhile.
    pub(super) fn confirm(
        &self,
        owner: &Owner,
        record: &Record,
        durability: Durability,
    ) -> Result<Admission> {
        let found = self
            .open(owner)?
            .map(|index| (index.refuses(record.login_began_at), index.has(record.id)));
        match found {
            Some((true, _)) => Ok(Admission::Refused),
            Some((false, true)) => Ok(Admission::Known),
            // It is judged once more, under the lock with which the entry is added.
            Some((false, false)) | None => self.admit(owner, record, durability),
        }
    }

    /// Refuses, from now on, logins that began at or before this instant, and lists the sessions.
    pub(super) fn revoke(
        &self,
        owner: &Owner,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<Vec<SessionId>> {
        let mut index = self.open_or_create(owner)?;
        index.raise_not_before(millis(not_before))?;
        if durability >= Durability::Power {
            self.sync(&index)?;
        }
        Ok(index.entries.iter().filter_map(|entry| entry.map(|entry| entry.id)).collect())
    }

    /// The sessions of an owner and when each was added, by ID.
    pub(super) fn list(&self, owner: &Owner) -> Result<Vec<Entry>> {
        let Some(index) = self.open(owner)? else { return Ok(Vec::new()) };
        let mut entries: Vec<_> = index.entries.into_iter().flatten().collect();
        entries.sort_unstable_by_key(|entry| entry.id);
        Ok(entries)
    }

    /// Removes the entries of sessions that are gone when looked at under the lock.
    pub(super) fn remove(
        &self,
        owner: &Owner,
        is_gone: &dyn Fn(SessionId) -> Result<bool>,
    ) -> Result<()> {
        let Some(mut index) = self.open(owner)? else { return Ok(()) };
        index.remove(&|entry| is_gone(entry.id))
    }

    /// Removes entries older than ten minutes whose session is a ghost when looked at under the lock,
    /// and the file itself when it says nothing any more.
    pub(super) fn heal(
        &self,
        owner: &Owner,
        now: SystemTime,
        is_ghost: &dyn Fn(SessionId) -> Result<bool>,
    ) -> Result<()> {
        let Some(mut index) = self.open(owner)? else { return Ok(()) };
        index.remove(&|entry| Ok(entry.is_old(now) && is_ghost(entry.id)?))?;
        if index.is_spent(now) {
            self.dir.unlink(&self.name(owner)).doing("cannot remove an owner's empty index")?;
        }
        Ok(())
    }

    /// The files of all owners.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let names = self.dir.names().doing("cannot read the directory of owners")?;
        let is_ours = |name: &String| name.len() == 64 && HEXLOWER.decode(name.as_bytes()).is_ok();
        Ok(names.into_iter().filter(is_ours).collect())
    }

    /// Writes the head anew of a file whose head is damaged; gives whether it was.
    ///
    /// What it said of revoked logins is lost, so none that began before `now` is let in.
    pub(super) fn mend_head(&self, name: &str, now: SystemTime) -> Result<bool> {
        let Some((mut index, is_damaged)) = self.open_any(name)? else { return Ok(false) };
        if is_damaged {
            index.raise_not_before(millis(now))?;
            self.sync(&index)?;
        }
        Ok(is_damaged)
    }

    /// Adds the entry of a session that lives; gives whether it was missing.
    pub(super) fn enter(&self, owner: &Owner, id: SessionId, used_at: SystemTime) -> Result<bool> {
        let mut index = self.open_or_create(owner)?;
        let added = index.add(id, used_at)?;
        if added {
            self.sync(&index)?;
        }
        Ok(added)
    }

    /// As [`heal`](Self::heal), of whoever's file this is; gives how many ghosts went.
    pub(super) fn heal_named(
        &self,
        name: &str,
        now: SystemTime,
        is_ghost: &dyn Fn(SessionId) -> Result<bool>,
    ) -> Result<u64> {
        let Some((mut index, false)) = self.open_any(name)? else { return Ok(0) };
        let before = index.entries.iter().flatten().count();
        index.remove(&|entry| Ok(entry.is_old(now) && is_ghost(entry.id)?))?;
        if index.is_spent(now) {
            self.dir.unlink(name).doing("cannot remove an owner's empty index")?;
        }
        Ok((before - index.entries.iter().flatten().count()) as u64)
    }

    /// Opens a file that may be damaged, and tells whether it is.
    fn open_any(&self, name: &str) -> Result<Option<(Index, bool)>> {
        let file = match self.dir.open_file(name, For::Writing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.doing("cannot open an owner's index")?,
        };
        Index::lock_any(file)
    }

    /// Syncs the name as well: whoever made the file may not have had to.
    fn sync(&self, index: &Index) -> Result<()> {
        index.file.sync_data().doing("cannot sync an owner's index")?;
        self.dir.sync().doing("cannot sync the directory of owners")
    }

    fn open(&self, owner: &Owner) -> Result<Option<Index>> {
        let name = self.name(owner);
        loop {
            let file = match self.dir.open_file(&name, For::Writing) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file.doing("cannot open an owner's index")?,
            };
            if let Some(index) = Index::lock(file, &name)? {
                return Ok(Some(index));
            }
        }
    }

    fn open_or_create(&self, owner: &Owner) -> Result<Index> {
        let name = self.name(owner);
        loop {
            let file = self.dir.open_or_create_file(&name).doing("cannot open an owner's index")?;
            if let Some(index) = Index::lock(file, &name)? {
                return Ok(index);
            }
        }
    }

    /// The name of an owner's file.
    pub(super) fn name(&self, owner: &Owner) -> String {
        HEXLOWER.encode(&self.prefix.clone().chain_update(owner.as_str()).finalize())
    }
}

/// One session of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: SessionId,
    added_ms: u64,
}

impl Entry {
    /// Whether it has waited so long that its record should be there.
    pub(super) fn is_old(&self, now: SystemTime) -> bool {
        from_millis(self.added_ms) + GHOST_AGE < now
    }

    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..16].copy_from_slice(self.id.as_bytes());
        bytes[16..24].copy_from_slice(&self.added_ms.to_le_bytes());
        let check = xxh3_64(&bytes[..24]);
        bytes[24..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The entry in a slot; `None` for a free slot, and for one that a crash tore before its record
    /// was promised to anyone.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ENTRY_BYTES] = bytes.try_into().ok()?;
        let (content, check) = bytes.split_at(24);
        let id = SessionId::from_bytes(content[..16].try_into().ok()?);
        let added_ms = u64::from_le_bytes(content[16..].try_into().ok()?);
        (xxh3_64(content).to_le_bytes() == *check).then_some(Self { id, added_ms })
    }
}

/// One owner's file, locked and read. The lock goes with it.
#[derive(Debug)]
struct Index {
    file: File,
    bytes: u64,
    not_before_ms: u64,
    entries: Vec<Option<Entry>>,
}

impl Index {
    /// `None` when the file was removed before the lock was ours.
    fn lock(file: File, name: &str) -> Result<Option<Self>> {
        match Self::lock_any(file)? {
            Some((_, true)) => Err(damaged(name)),
            locked => Ok(locked.map(|(index, _)| index)),
        }
    }

    /// As [`lock`](Self::lock), and tells whether the head is damaged.
    fn lock_any(file: File) -> Result<Option<(Self, bool)>> {
        wait_for(|| file.try_lock().doing("cannot lock an owner's index"))?;
        let meta = file.meta().doing("cannot look at an owner's index")?;
        if meta.links == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; meta.bytes as usize];
        file.read_at(&mut bytes, 0).doing("cannot read an owner's index")?;
        let not_before_ms = decode_head(&bytes);
        let slots = bytes.get(HEAD_BYTES..).unwrap_or_default().chunks(ENTRY_BYTES);
        let entries = slots.map(Entry::decode).collect();
        let (is_damaged, not_before_ms) = (not_before_ms.is_none(), not_before_ms.unwrap_or(0));
        Ok(Some((Self { file, bytes: meta.bytes, not_before_ms, entries }, is_damaged)))
    }

    fn refuses(&self, began_at: Option<SystemTime>) -> bool {
        is_refused(self.not_before_ms, began_at)
    }

    /// Writes the head even where nothing changes: a sync that failed before may have dropped it, and
    /// the next one writes only what was written since.
    fn raise_not_before(&mut self, ms: u64) -> Result<()> {
        self.not_before_ms = self.not_before_ms.max(ms);
        self.write_head()
    }

    fn write_head(&self) -> Result<()> {
        let written = self.file.write_at(&encode_head(self.not_before_ms), 0);
        written.doing("cannot write an owner's index")
    }

    fn has(&self, id: SessionId) -> bool {
        self.entries.iter().flatten().any(|entry| entry.id == id)
    }

    /// Adds an entry in a free slot; gives whether it was missing.
    fn add(&mut self, id: SessionId, added_at: SystemTime) -> Result<bool> {
        if self.has(id) {
            return Ok(false);
        }
        if self.bytes == 0 {
            self.write_head()?;
        }
        let free = self.entries.iter().position(Option::is_none).unwrap_or(self.entries.len());
        let entry = Entry { id, added_ms: millis(added_at) };
        let written = self.file.write_at(&entry.encode(), slot_at(free));
        written.doing("cannot write an owner's index").map(|()| true)
    }

    fn remove(&mut self, is_gone: &dyn Fn(&Entry) -> Result<bool>) -> Result<()> {
        for (slot, place) in self.entries.iter_mut().enumerate() {
            let Some(entry) = place else { continue };
            if is_gone(entry)? {
                let freed = self.file.write_at(&[0; ENTRY_BYTES], slot_at(slot));
                freed.doing("cannot write an owner's index")?;
                *place = None;
            }
        }
        Ok(())
    }

    fn is_spent(&self, now: SystemTime) -> bool {
        let is_empty = self.entries.iter().all(Option::is_none);
        is_empty && from_millis(self.not_before_ms) + MEMORY < now
    }
}

/// Whether an owner's "not before", which is 0 until it is set, refuses a login that began then.
pub(super) fn is_refused(not_before_ms: u64, began_at: Option<SystemTime>) -> bool {
    not_before_ms > 0 && began_at.map_or(0, millis) <= not_before_ms
}

fn slot_at(slot: usize) -> u64 {
    (HEAD_BYTES + slot * ENTRY_BYTES) as u64
}

fn encode_head(not_before_ms: u64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..16].copy_from_slice(&not_before_ms.to_le_bytes());
    let check = xxh3_64(&head[..16]);
    head[16..24].copy_from_slice(&check.to_le_bytes());
    head
}

/// The "not before" instant; 0 in a file that was never written, `None` in a damaged one.
fn decode_head(bytes: &[u8]) -> Option<u64> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Some(0);
    }
    let fits = bytes.len() >= HEAD_BYTES
        && bytes.starts_with(MAGIC)
        && bytes[16..24] == xxh3_64(&bytes[..16]).to_le_bytes();
    let word = bytes.get(8..16).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
    word.filter(|_| fits)
}

/// Without "not before" nobody can tell which logins were revoked: none is let in.
fn damaged(name: &str) -> Error {
    let mend = format!("the owner's index \"owners/{name}\" is damaged; run: sessile mend");
    Error::new(ErrorKind::Corrupt, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_head_lets_nobody_in() {
        let head = encode_head(1_234);
        assert_eq!(decode_head(&head), Some(1_234));
        for at in 0..24 {
            let mut damaged = head;
            damaged[at] ^= 1;
            assert_eq!(decode_head(&damaged), None, "byte {at}");
        }
        assert_eq!(decode_head(&head[..10]), None);
    }

    #[test]
    fn a_file_that_was_never_written_refuses_nobody() {
        assert_eq!(decode_head(&[]), Some(0));
    }

    #[test]
    fn a_torn_entry_is_free() {
        let entry = Entry { id: SessionId::from_bytes([9; 16]), added_ms: 5 };
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        let mut torn = entry.encode();
        torn[20] ^= 1;
        assert_eq!(Entry::decode(&torn), None);
        assert_eq!(Entry::decode(&[0; ENTRY_BYTES]), None);
    }
}
