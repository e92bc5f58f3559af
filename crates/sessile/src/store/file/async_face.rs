//! The store's async face: which step runs on the spot, and which on the blocking pool.
//!
//! Measured: a load on the spot takes 2.5 us; one handed to the pool takes 8 us alone and 4 ms under
//! 512 tasks. So what lies in memory is read on the spot, by calls that refuse to wait for a disk, as
//! is the save of a record that was just read. What syncs, makes or removes a name, or takes several
//! locks goes to the pool, where it runs to its end even when the future is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

use super::commit::Committed;
use super::core::{
    Attempt, COMMIT_WAIT_MAX, Cached, Core, KeptFile, Opened, contended, pause_before,
};
use super::exclusive::{self, CommitUnderHold, Exclusive};
use super::sys::{File, For};
use super::{Doing, FileStore};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Owner, Record, Version};
use crate::store::{
    Access, Created, Durability, Expired, Loaded, Page, Scope, Store, Ticket, Updated,
};
use crate::token::SessionId;

/// What stays open between load and save.
#[derive(Debug)]
struct Kept {
    id: SessionId,
    /// Drops before the file, whose close wakes those who wait: they find the lock free.
    exclusive: Option<Exclusive>,
    file: Option<Arc<File>>,
    /// Counts the file, unless the lock needs it anyway.
    counted: Option<KeptFile>,
}

#[async_trait]
impl Store for FileStore {
    fn namespace(&self) -> &str {
        &self.core.namespace
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        // A new file is nobody else's and is made in memory: without a sync and an owner's index
        // there is nothing to wait for but a slow disk's directories.
        let syncs = self.core.durability(durability) > Durability::Process;
        if !syncs && record.owner.is_none() && !self.pace.is_slow() {
            return self.pace.time(|| self.core.create(record, durability));
        }
        let record = record.clone();
        self.on_pool(move |core| core.create(&record, durability)).await
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        match access {
            Access::Read => self.load_to_read(id, now).await,
            Access::Write => self.load_to_write(id, now).await,
            Access::Exclusive { wait, hold } => self.load_exclusively(id, now, wait, hold).await,
        }
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        let mut kept = ticket.get_mut::<Kept>().filter(|kept| kept.id == record.id);
        let Ok(_hold) = begin_commit(kept.as_deref()) else { return Ok(Updated::LockLost) };
        let mut file = kept.as_deref_mut().and_then(Kept::lend_file);
        let committed = self.commit(record, expected, durability, &mut file).await?;
        if let Some(kept) = kept {
            kept.take_back(file);
        }
        if let Some(owner) = committed.left {
            // Best effort: the record is written. A ghost is healed by the next list.
            let _ = self.leave_owner(owner, record.id).await;
        }
        Ok(committed.updated)
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        _idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        let mut kept = ticket.get_mut::<Kept>().filter(|kept| kept.id == id);
        let mut file = kept.as_deref_mut().and_then(Kept::lend_file);
        let mut patience = Patience::new();
        let touched = loop {
            match self.core.touch(id, used_at, &mut file)? {
                Attempt::Done(touched) => break touched,
                Attempt::Busy => patience.pause().await?,
            }
        };
        if let Some(kept) = kept {
            kept.take_back(file);
        }
        Ok(touched)
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        self.on_pool(move |core| core.delete(id, durability)).await
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        let owner = owner.clone();
        self.on_pool(move |core| core.delete_owner(&owner, except, not_before, durability)).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        self.on_pool(move |core| core.delete_expired(now, limit)).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        let owner = match scope {
            Scope::All => None,
            Scope::Owner(owner) => Some(owner.clone()),
        };
        self.on_pool(move |core| match owner {
            Some(owner) => core.list_owner(&owner, now, after, limit),
            None => core.list_all(now, after, limit),
        })
        .await
    }

    async fn release(&self, ticket: Ticket) -> Result<()> {
        drop(ticket);
        Ok(())
    }
}

impl FileStore {
    async fn load_to_read(&self, id: SessionId, now: SystemTime) -> Result<Option<Loaded>> {
        let opened = self.read(id, For::Reading).await?;
        let live = opened.filter(|opened| !opened.record.is_expired(now));
        Ok(live.map(|opened| Loaded { record: opened.record, ticket: Ticket::none() }))
    }

    async fn load_to_write(&self, id: SessionId, now: SystemTime) -> Result<Option<Loaded>> {
        let opened = self.read(id, For::Writing).await?;
        let live = opened.filter(|opened| !opened.record.is_expired(now));
        Ok(live.map(|opened| {
            let ticket = self.core.keep_file().map_or_else(Ticket::none, |counted| {
                let (file, counted) = (Some(Arc::new(opened.file)), Some(counted));
                Ticket::new(Kept { id, exclusive: None, file, counted })
            });
            Loaded { record: opened.record, ticket }
        }))
    }

    /// Takes the lock, then reads: what was read before may be old by the time the lock is ours.
    async fn load_exclusively(
        &self,
        id: SessionId,
        now: SystemTime,
        wait: Duration,
        hold: Duration,
    ) -> Result<Option<Loaded>> {
        let locked = exclusive::acquire(&self.core, &self.queues, id, wait, hold).await?;
        let Some((file, exclusive)) = locked else { return Ok(None) };
        let to_read = Arc::clone(&file);
        let record = self.on_pool(move |core| core.read(&to_read, id)).await?;
        let live = record.filter(|record| !record.is_expired(now));
        Ok(live.map(|record| {
            let (file, exclusive) = (Some(file), Some(exclusive));
            let ticket = Ticket::new(Kept { id, exclusive, file, counted: None });
            Loaded { record, ticket }
        }))
    }

    /// Reads on the spot what lies in memory, else on the pool.
    async fn read(&self, id: SessionId, purpose: For) -> Result<Option<Opened>> {
        match self.read_on_the_spot(id, purpose).doing("cannot read a session file")? {
            Cached::Known(opened) => Ok(opened.map(|opened| *opened)),
            Cached::Undecided => self.on_pool(move |core| core.load(id, purpose)).await,
        }
    }

    /// A name that the kernel does not know by heart, as every forged token's, is opened on the spot
    /// too, as long as that is quick: it takes 3 us where the directory lies in memory, and the pool
    /// would take more. A disk that has to seek stalls a thread of the runtime twice a second.
    ///
    /// What was opened before is asked of the kernel's memory first. A name that is new here would
    /// only be asked for twice: most of those are misses.
    fn read_on_the_spot(&self, id: SessionId, purpose: For) -> std::io::Result<Cached> {
        if self.recent.contains(id) || self.pace.is_slow() {
            match self.core.load_cached(id, purpose) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if self.pace.is_slow() {
                        return Ok(Cached::Undecided);
                    }
                }
                read => return read,
            }
        }
        let read = self.pace.time(|| self.core.load_half_cached(id, purpose))?;
        if matches!(read, Cached::Known(Some(_))) {
            self.recent.add(id);
        }
        Ok(read)
    }

    async fn commit(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        file: &mut Option<Arc<File>>,
    ) -> Result<Committed> {
        let syncs = self.core.durability(durability) > Durability::Process;
        let mut patience = Patience::new();
        loop {
            let attempt = if syncs {
                self.commit_on_pool(record, expected, durability, file).await?
            } else {
                self.core.update(record, expected, durability, file)?
            };
            match attempt {
                Attempt::Done(committed) => return Ok(committed),
                Attempt::Busy => patience.pause().await?,
            }
        }
    }

    async fn commit_on_pool(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        file: &mut Option<Arc<File>>,
    ) -> Result<Attempt<Committed>> {
        let (record, mut lent) = (record.clone(), file.take());
        let (attempt, lent) = self
            .on_pool(move |core| {
                let attempt = core.update(&record, expected, durability, &mut lent)?;
                Ok((attempt, lent))
            })
            .await?;
        *file = lent;
        Ok(attempt)
    }

    async fn leave_owner(&self, owner: Owner, id: SessionId) -> Result<()> {
        self.on_pool(move |core| core.leave_owner(&owner, &[id].into())).await
    }

    async fn on_pool<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Core) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let core = Arc::clone(&self.core);
        match tokio::task::spawn_blocking(move || job(&core)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(shutting_down(error)),
            },
        }
    }
}

/// How long a task has waited for a commit lock that others hold.
struct Patience {
    started: Instant,
    round: u32,
}

impl Patience {
    fn new() -> Self {
        Self { started: Instant::now(), round: 0 }
    }

    /// Lets other tasks run before the next try; an error after two seconds.
    async fn pause(&mut self) -> Result<()> {
        if self.started.elapsed() >= COMMIT_WAIT_MAX {
            return Err(contended());
        }
        match pause_before(self.round) {
            None => tokio::task::yield_now().await,
            Some(pause) => tokio::time::sleep(pause).await,
        }
        self.round += 1;
        Ok(())
    }
}

fn shutting_down(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Unavailable, "the runtime is shutting down").with_source(error)
}

/// Begins a commit under the exclusive lock, if there is to be one; an error when that was lost.
fn begin_commit(kept: Option<&Kept>) -> Result<Option<CommitUnderHold>, ()> {
    match kept.and_then(|kept| kept.exclusive.as_ref()) {
        Some(exclusive) => exclusive.hold().begin_commit().map(Some).ok_or(()),
        None => Ok(None),
    }
}

impl Kept {
    /// The file for one step. The exclusive lock's own stays open meanwhile.
    fn lend_file(&mut self) -> Option<Arc<File>> {
        match self.exclusive {
            Some(_) => self.file.clone(),
            None => self.file.take(),
        }
    }

    /// Keeps on what a step left open, if this kept a file before.
    fn take_back(&mut self, file: Option<Arc<File>>) {
        if self.exclusive.is_none() {
            self.file = file;
        }
        if self.file.is_none() {
            self.counted = None;
        }
    }
}

/// The sessions that were opened lately, as far as a small table tells.
#[derive(Debug)]
pub(super) struct Recent(Box<[AtomicU64]>);

const RECENT_MAX: usize = 4_096;

impl Default for Recent {
    fn default() -> Self {
        Self((0..RECENT_MAX).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Recent {
    /// IDs are random: one half says where to look, the other what to find.
    fn place(&self, id: SessionId) -> (&AtomicU64, u64) {
        let (place, mark) = id.as_bytes().split_at(8);
        let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 of 16 bytes"));
        (&self.0[half(place) as usize % RECENT_MAX], half(mark))
    }

    fn contains(&self, id: SessionId) -> bool {
        let (place, mark) = self.place(id);
        place.load(Ordering::Relaxed) == mark
    }

    fn add(&self, id: SessionId) {
        let (place, mark) = self.place(id);
        place.store(mark, Ordering::Relaxed);
    }
}

/// How long opens take that the kernel could not answer from memory.
#[derive(Debug)]
pub(super) struct OpenPace {
    started: Instant,
    slow_until_us: AtomicU64,
    slow_in_a_row: AtomicU32,
}

const SLOW: Duration = Duration::from_micros(100);
const SLOW_FOR: Duration = Duration::from_secs(1);

/// A thread that loses its processor for a while looks slow too, and on a busy machine some thread
/// does so every second. A disk that has to seek is slow again and again.
const SLOW_IN_A_ROW: u32 = 2;

impl Default for OpenPace {
    fn default() -> Self {
        let (slow_until_us, slow_in_a_row) = Default::default();
        Self { started: Instant::now(), slow_until_us, slow_in_a_row }
    }
}

impl OpenPace {
    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    fn is_slow(&self) -> bool {
        self.now_us() < self.slow_until_us.load(Ordering::Relaxed)
    }

    fn time<T>(&self, open: impl FnOnce() -> T) -> T {
        let before = self.now_us();
        let opened = open();
        let after = self.now_us();
        if after - before > SLOW.as_micros() as u64 {
            self.note_slow(after);
        } else if self.slow_in_a_row.load(Ordering::Relaxed) > 0 {
            self.slow_in_a_row.store(0, Ordering::Relaxed);
        }
        opened
    }

    fn note_slow(&self, now_us: u64) {
        if self.slow_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= SLOW_IN_A_ROW {
            self.slow_until_us.store(now_us + SLOW_FOR.as_micros() as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_opened_lately_is_known_until_another_takes_its_place() {
        let recent = Recent::default();
        let (one, same_place) = ([1; 16], [[1; 8], [2; 8]].concat());
        let one = SessionId::from_bytes(one);
        let other = SessionId::from_bytes(same_place.try_into().unwrap());
        assert!(!recent.contains(one));
        recent.add(one);
        assert!(recent.contains(one) && !recent.contains(other));
        recent.add(other);
        assert!(!recent.contains(one) && recent.contains(other));
    }

    #[test]
    fn two_slow_opens_in_a_row_send_the_next_ones_to_the_pool() {
        let slow = || std::thread::sleep(2 * SLOW);
        let pace = OpenPace::default();
        pace.time(slow);
        pace.time(|| ());
        pace.time(slow);
        assert!(!pace.is_slow());
        pace.time(slow);
        assert!(pace.is_slow());
    }
}
