//! Which records fall due in which minute: a log per minute, appended to, read from the end.
//!
//! A clean-up reads what fell due and nothing else, however many sessions live. An entry is a hint:
//! what counts is the record. A lost entry costs a day, until the back-stop scan comes by; a stale
//! one costs a look.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_64;

use super::Doing;
use super::sys::{Dir, File, For};
use crate::clock::{later, millis};
use crate::error::Result;
use crate::token::SessionId;

const ENTRY_BYTES: usize = 32;
const BUCKET_MS: u64 = 60_000;

/// Entries are filed no further ahead, so that there are few files and none is old: a session that
/// lives on is looked at every six hours.
const AHEAD_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// How long after the end of its minute a bucket is read. By then whoever still appends to it has a
/// clock that is wrong by minutes.
pub(super) const GRACE: Duration = Duration::from_secs(5 * 60);

const KEPT_FILES_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct ExpiryLog {
    dir: Dir,
    /// The files last appended to, the latest in front.
    kept: Mutex<VecDeque<(u64, Arc<File>)>>,
}

impl ExpiryLog {
    pub(super) fn new(dir: Dir) -> Self {
        Self { dir, kept: Mutex::default() }
    }

    /// Files a record under its deadline, or under the latest minute that entries go to.
    pub(super) fn append(
        &self,
        id: SessionId,
        deadline: SystemTime,
        now: SystemTime,
    ) -> Result<()> {
        let bucket = millis(deadline.min(later(now, AHEAD_MAX))) / BUCKET_MS;
        let appended = self.append_to(bucket, &entry(id, deadline));
        appended.doing("cannot append to the expiry log")
    }

    fn append_to(&self, bucket: u64, entry: &[u8]) -> io::Result<()> {
        let file = self.file(bucket)?;
        file.append(entry)?;
        if file.meta()?.links > 0 {
            return Ok(());
        }
        // A clean-up removed the file, empty, since it was opened.
        self.lock_kept().retain(|(kept, _)| *kept != bucket);
        self.file(bucket)?.append(entry)
    }

    fn file(&self, bucket: u64) -> io::Result<Arc<File>> {
        let mut kept = self.lock_kept();
        if let Some((_, file)) = kept.iter().find(|(kept, _)| *kept == bucket) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.dir.open_or_create_log(&bucket_name(bucket))?);
        kept.truncate(KEPT_FILES_MAX - 1);
        kept.push_front((bucket, Arc::clone(&file)));
        Ok(file)
    }

    fn lock_kept(&self) -> std::sync::MutexGuard<'_, VecDeque<(u64, Arc<File>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buckets whose minute ended at least five minutes before `now`, oldest first.
    pub(super) fn due(&self, now: SystemTime) -> Result<Vec<u64>> {
        let names = self.dir.names().doing("cannot read the directory of the expiry log")?;
        let is_due = |bucket: &u64| {
            let end = bucket.saturating_add(1).saturating_mul(BUCKET_MS);
            end.saturating_add(GRACE.as_millis() as u64) <= millis(now)
        };
        let mut due: Vec<_> = names.iter().filter_map(|name| bucket(name)).filter(is_due).collect();
        due.sort_unstable();
        Ok(due)
    }

    /// Opens a bucket for clean-up; `None` where it is gone, or another process is at it.
    pub(super) fn open(&self, bucket: u64) -> Result<Option<Bucket>> {
        let name = bucket_name(bucket);
        let file = match self.dir.open_file(&name, For::Writing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.doing("cannot open the expiry log")?,
        };
        let is_ours = file.try_lock().doing("cannot lock the expiry log")?;
        let bytes = file.meta().doing("cannot look at the expiry log")?.bytes;
        Ok(is_ours.then_some(Bucket { name, file, bytes }))
    }

    /// Removes a bucket whose entries are all done.
    pub(super) fn remove(&self, bucket: &Bucket) -> Result<()> {
        match self.dir.unlink(&bucket.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            unlinked => unlinked.doing("cannot remove an empty expiry log"),
        }
    }
}

/// A log that is being worked off. It is locked until it is dropped.
#[derive(Debug)]
pub(super) struct Bucket {
    name: String,
    file: File,
    bytes: u64,
}

impl Bucket {
    /// The last entries, the last first, and how many bytes remain before each; empty at the end.
    ///
    /// Working from the end, what is done is cut off, and a killed clean-up loses no progress.
    pub(super) fn last(&self, count: usize) -> Result<Vec<(u64, Option<SessionId>)>> {
        let start = self.bytes.saturating_sub((count * ENTRY_BYTES) as u64);
        let start = start.next_multiple_of(ENTRY_BYTES as u64).min(self.bytes);
        let mut bytes = vec![0; (self.bytes - start) as usize];
        self.file.read_at(&mut bytes, start).doing("cannot read the expiry log")?;
        let offsets = (start..).step_by(ENTRY_BYTES);
        let entries = offsets.zip(bytes.chunks(ENTRY_BYTES)).map(|(at, it)| (at, id_of(it)));
        let mut entries: Vec<_> = entries.collect();
        entries.reverse();
        Ok(entries)
    }

    /// Cuts off everything from this offset on.
    pub(super) fn truncate(&mut self, bytes: u64) -> Result<()> {
        self.file.set_bytes(bytes).doing("cannot shorten the expiry log")?;
        self.bytes = bytes;
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

pub(super) fn entry(id: SessionId, deadline: SystemTime) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..8].copy_from_slice(&millis(deadline).to_le_bytes());
    entry[8..24].copy_from_slice(id.as_bytes());
    let check = xxh3_64(&entry[..24]);
    entry[24..].copy_from_slice(&check.to_le_bytes());
    entry
}

/// The ID in an entry, unless a crash tore it.
fn id_of(entry: &[u8]) -> Option<SessionId> {
    let entry: &[u8; ENTRY_BYTES] = entry.try_into().ok()?;
    let (content, check) = entry.split_at(24);
    let id = content[8..].try_into().ok()?;
    (xxh3_64(content).to_le_bytes() == *check).then(|| SessionId::from_bytes(id))
}

pub(super) fn bucket_name(bucket: u64) -> String {
    format!("{bucket:016x}")
}

pub(super) fn bucket(name: &str) -> Option<u64> {
    let bucket = u64::from_str_radix(name, 16).ok()?;
    (bucket_name(bucket) == name).then_some(bucket)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_torn_entry_names_nobody() {
        let id = SessionId::from_bytes([3; 16]);
        let entry = entry(id, UNIX_EPOCH);
        assert_eq!(id_of(&entry), Some(id));
        assert_eq!(id_of(&entry[..31]), None);
        for at in 0..ENTRY_BYTES {
            let mut torn = entry;
            torn[at] ^= 1;
            assert_eq!(id_of(&torn), None, "byte {at}");
        }
    }

    #[test]
    fn only_our_names_are_buckets() {
        assert_eq!(bucket(&bucket_name(29_453_760)), Some(29_453_760));
        for name in ["", "a", "+000000000000001", "00000000000000001", "000000000000000A"] {
            assert_eq!(bucket(name), None, "{name}");
        }
    }

    fn log() -> (tempfile::TempDir, ExpiryLog) {
        let dir = tempfile::tempdir().unwrap();
        let log = ExpiryLog::new(Dir::open(dir.path()).unwrap());
        (dir, log)
    }

    fn at_minute(minute: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(60 * minute)
    }

    #[test]
    fn every_entry_goes_to_the_log_of_its_minute_and_few_files_stay_open() {
        let (dir, log) = log();
        for round in 1..=2 {
            for minute in 0..20 {
                let id = SessionId::from_bytes([minute as u8; 16]);
                log.append(id, at_minute(minute), UNIX_EPOCH).unwrap();
                let file = std::fs::read(dir.path().join(bucket_name(minute))).unwrap();
                assert_eq!(file, entry(id, at_minute(minute)).repeat(round));
                assert!(log.lock_kept().len() <= KEPT_FILES_MAX);
            }
        }
        assert_eq!(log.lock_kept().len(), KEPT_FILES_MAX);
    }

    #[test]
    fn a_log_is_worked_off_from_its_end_as_many_entries_at_a_time_as_are_asked_for() {
        let (_dir, log) = log();
        let ids: Vec<_> = (0..10).map(|it| SessionId::from_bytes([it; 16])).collect();
        for id in &ids {
            log.append(*id, UNIX_EPOCH, UNIX_EPOCH).unwrap();
        }
        let mut bucket = log.open(0).unwrap().unwrap();
        let last = |bucket: &Bucket| {
            bucket
                .last(4)
                .unwrap()
                .into_iter()
                .map(|(at, id)| (at, id.unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(last(&bucket), [(288, ids[9]), (256, ids[8]), (224, ids[7]), (192, ids[6])]);
        bucket.truncate(64).unwrap();
        assert_eq!(last(&bucket), [(32, ids[1]), (0, ids[0])]);
    }

    #[test]
    fn a_log_is_cleaned_up_by_one_process_and_removed_once() {
        let (dir, log) = log();
        assert!(log.open(0).unwrap().is_none());
        log.append(SessionId::from_bytes([1; 16]), UNIX_EPOCH, UNIX_EPOCH).unwrap();
        let bucket = log.open(0).unwrap().unwrap();
        assert!(log.open(0).unwrap().is_none(), "another process is at it");
        log.remove(&bucket).unwrap();
        log.remove(&bucket).unwrap();
        std::fs::create_dir(dir.path().join(bucket_name(0))).unwrap();
        assert!(log.open(0).is_err() && log.remove(&bucket).is_err());
    }
}
