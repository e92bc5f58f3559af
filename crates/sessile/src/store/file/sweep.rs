//! Clean-up: the buckets of the expiry log that fell due, and a slow patrol for what they miss.
//!
//! Only what expired more than five minutes ago is removed, judged again under its lock: a request
//! that is still at work, or a clock that is a little wrong, loses nothing. Expiry itself is exact
//! wherever a record is read, swept or not.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::Doing;
use super::commit::Deletion;
use super::core::Core;
use super::expiry_log::{Bucket, GRACE};
use super::records::SHARDS;
use crate::clock::{later, millis};
use crate::error::{ErrorKind, Result};
use crate::record::{Owner, Record};
use crate::store::{Durability, Expired};
use crate::token::SessionId;

/// Entries are worked off, and cut off, so many at a time.
const BATCH: usize = 64;

/// How many entries are looked at for each record that may be removed: most that fell due have been
/// used since.
const LOOKS_PER_REMOVAL: usize = 4;

/// How old a file without a session in it must be: an `O_EXCL` create shows empty for a moment.
const HUSK_AGE: Duration = Duration::from_secs(10 * 60);

/// How long the patrol stays in one directory: it is round once a day.
pub(super) const WATCH_MS: u64 = 24 * 60 * 60 * 1000 / SHARDS as u64;

/// Where the patrol was last, as a count of watches since the epoch.
#[derive(Debug, Default)]
pub(super) struct Patrol(AtomicU64);

impl Patrol {
    /// The directory whose turn it is, once per watch.
    fn next(&self, now: SystemTime) -> Option<u8> {
        let watch = millis(now) / WATCH_MS;
        let before = self.0.swap(watch, Ordering::Relaxed);
        (before != watch).then_some(shard_of(watch))
    }
}

/// A round begins one directory earlier than the one before. Whoever sweeps at the same hours of each
/// day, as a timer does, would else meet the same directories for ever.
pub(super) fn shard_of(watch: u64) -> u8 {
    let round = watch / SHARDS as u64;
    (watch.wrapping_sub(round) % SHARDS as u64) as u8
}

/// A clean-up under way.
struct Sweep<'a> {
    core: &'a Core,
    now: SystemTime,
    limit: usize,
    looks_left: usize,
    expired: Expired,
    /// Sessions that were removed, and still stand in their owners' lists.
    to_leave: HashMap<Owner, HashSet<SessionId>>,
}

impl Core {
    /// Removes at most `limit` records that expired more than five minutes before `now`.
    pub(super) fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        let looks_left = limit.saturating_mul(LOOKS_PER_REMOVAL).saturating_add(BATCH);
        let (expired, to_leave) = Default::default();
        let mut sweep = Sweep { core: self, now, limit, looks_left, expired, to_leave };
        let swept = sweep.all_that_is_due();
        sweep.leave_owners();
        swept.map(|()| sweep.expired)
    }
}

impl Sweep<'_> {
    fn is_full(&self) -> bool {
        self.expired.removed.len() >= self.limit || self.looks_left == 0
    }

    fn all_that_is_due(&mut self) -> Result<()> {
        for bucket in self.core.log.due(self.now)? {
            if self.is_full() {
                self.expired.more = true;
                return Ok(());
            }
            if let Some(bucket) = self.core.log.open(bucket)? {
                self.work_off(bucket)?;
            }
        }
        match self.core.patrol.next(self.now) {
            Some(shard) => self.patrol(shard),
            None => Ok(()),
        }
    }

    fn work_off(&mut self, mut bucket: Bucket) -> Result<()> {
        while !bucket.is_empty() {
            let rest = self.batch(&bucket)?;
            bucket.truncate(rest)?;
            if self.is_full() && !bucket.is_empty() {
                self.expired.more = true;
                return Ok(());
            }
        }
        self.core.log.remove(&bucket)
    }

    /// Handles the last entries, and gives how many bytes of others remain before them.
    fn batch(&mut self, bucket: &Bucket) -> Result<u64> {
        let mut rest = bucket.bytes();
        for (at, id) in bucket.last(BATCH.min(self.looks_left.max(1)))? {
            if self.expired.removed.len() >= self.limit {
                break;
            }
            if let Some(id) = id {
                self.look_at(id, true)?;
            }
            self.looks_left = self.looks_left.saturating_sub(1);
            rest = at;
        }
        Ok(rest)
    }

    /// Removes a record that is long expired; files another under its deadline anew, if asked.
    fn look_at(&mut self, id: SessionId, file_anew: bool) -> Result<()> {
        let now = self.now;
        let is_long_expired = |record: &Record| later(record.deadline(), GRACE) < now;
        match self.core.delete_if(id, Durability::Process, &is_long_expired) {
            Ok(Deletion::Done(owner)) => {
                self.note(id, owner);
                Ok(())
            }
            Ok(Deletion::Spared(record)) if file_anew => {
                self.core.log.append(id, record.deadline(), now)
            }
            Ok(Deletion::Spared(_) | Deletion::Absent) => Ok(()),
            Err(error) => self.go_on_after(error, id, file_anew),
        }
    }

    fn note(&mut self, id: SessionId, owner: Option<Owner>) {
        if let Some(owner) = &owner {
            self.to_leave.entry(owner.clone()).or_default().insert(id);
        }
        self.expired.removed.push((id, owner));
        if self.expired.removed.len().is_multiple_of(BATCH) {
            self.leave_owners();
        }
    }

    /// Takes them out of these lists. A list is read whole for that, so it is done for many sessions at
    /// once; but not for too many, since what a killed clean-up leaves there stays until the owner's
    /// next list.
    fn leave_owners(&mut self) {
        for (owner, ids) in self.to_leave.drain() {
            // Best effort: one owner's damaged index is no reason to leave the others' sessions.
            let _ = self.core.leave_owner(&owner, &ids);
            let _ = self.core.owners.heal(&owner, self.now, &|_| Ok(false));
        }
    }

    /// One bad record stops nobody's clean-up: a damaged one is out of the way by now, one that is
    /// locked or newer than this release comes up again later. A failing disk is another matter.
    fn go_on_after(
        &self,
        error: crate::error::Error,
        id: SessionId,
        file_anew: bool,
    ) -> Result<()> {
        match error.kind() {
            ErrorKind::Contended | ErrorKind::NewerFormat if file_anew => {
                self.core.log.append(id, later(self.now, 2 * GRACE), self.now)
            }
            ErrorKind::Corrupt | ErrorKind::Contended | ErrorKind::NewerFormat => Ok(()),
            _ => Err(error),
        }
    }

    /// Looks at every file of one directory: at tombstones and unfinished creates that a crash left
    /// behind, and at expired records whose log entry was lost.
    fn patrol(&mut self, shard: u8) -> Result<()> {
        let beat = self.core.records.beat(shard).doing("cannot open a session directory")?;
        let Some(beat) = beat else { return Ok(()) };
        for id in beat.ids().doing("cannot read a session directory")? {
            if self.expired.removed.len() >= self.limit {
                return Ok(());
            }
            self.patrol_file(id)?;
        }
        Ok(())
    }

    fn patrol_file(&mut self, id: SessionId) -> Result<()> {
        let now = self.now;
        let is_old = |modified_at| later(modified_at, HUSK_AGE) < now;
        match self.core.load(id, super::sys::For::Reading) {
            Ok(Some(opened)) if opened.record.is_expired(now) => self.look_at(id, false),
            Ok(Some(_)) => Ok(()),
            Ok(None) => self.core.remove_husk(id, &is_old),
            Err(error) => self.go_on_after(error, id, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::Options;
    use super::super::sys::record::Recording;
    use super::*;
    use crate::token::SecretHash;

    fn start() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_225_600)
    }

    fn store(core: &Core, owner: Option<&Owner>, sessions: usize) {
        for _ in 0..sessions {
            let (id, hash) = (SessionId::random().unwrap(), SecretHash::from_bytes([7; 32]));
            let mut record = Record::new(id, hash, start(), None, Duration::from_secs(60));
            (record.owner, record.login_began_at) = (owner.cloned(), Some(start()));
            core.create(&record, Durability::Process).unwrap();
        }
    }

    /// How often a clean-up that removes these opened, read or wrote something.
    fn price(core: &Core, owner: Option<&Owner>, sessions: usize) -> usize {
        store(core, owner, sessions);
        let recording = Recording::start();
        let now = start() + Duration::from_secs(60 * 60);
        assert_eq!(core.delete_expired(now, 1_000).unwrap().removed.len(), sessions);
        recording.steps()
    }

    #[test]
    fn a_clean_up_reads_an_owners_list_now_and_then_and_not_for_each_session() {
        let directory = tempfile::tempdir().unwrap();
        let core = Core::open(directory.path(), Options::default()).unwrap();
        let ann = Owner::new("ann").unwrap();
        let (of_nobody, of_ann) = (price(&core, None, 100), price(&core, Some(&ann), 100));
        // Each session is looked for, and its place in the list freed by a write of its own.
        assert!(of_ann <= of_nobody + 200 + 20, "{of_nobody} and {of_ann} calls");
        assert!(core.owners.names().unwrap().is_empty(), "the list went with the last session");
    }

    #[test]
    fn the_patrol_is_round_once_a_day() {
        let patrol = Patrol::default();
        let mut shards = Vec::new();
        for minute in 1..=24 * 60 {
            let now = start() + Duration::from_secs(minute * 60);
            shards.extend(patrol.next(now));
            assert_eq!(patrol.next(now), None);
        }
        assert!(shards.len() <= SHARDS + 1, "{} directories", shards.len());
        shards.sort_unstable();
        shards.dedup();
        assert_eq!(shards.len(), SHARDS);
    }

    #[test]
    fn a_sweep_every_hour_patrols_every_directory_in_time() {
        let hours = (0..24 * 14).map(|hour| UNIX_EPOCH + Duration::from_secs(hour * 60 * 60));
        // Each sweep is a process of its own.
        let shards = hours.filter_map(|now| Patrol::default().next(now));
        let seen: std::collections::BTreeSet<_> = shards.collect();
        assert_eq!(seen.len(), SHARDS);
    }

    #[test]
    fn no_directory_waits_longer_than_a_day_and_a_watch_for_the_patrol() {
        let mut last = [0; SHARDS];
        for watch in 0..4 * SHARDS as u64 {
            let shard = usize::from(shard_of(watch));
            assert!(watch - last[shard] <= SHARDS as u64 + 1, "{shard} at {watch}");
            last[shard] = watch;
        }
    }
}
