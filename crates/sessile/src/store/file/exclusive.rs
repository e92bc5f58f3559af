//! The exclusive lock of a session: for as long as a handler works, across processes, with a
//! deadline. It excludes other exclusive holders and nobody else.
//!
//! Waiters of one session queue in the process; the first of them tries the lock of the file, and is
//! woken when another process closes that file, by its release or by its death. A poll every 25 ms
//! covers what no event tells: an unlock without a close, an event that was dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Doing;
use super::core::Core;
use super::sys::{ExclusiveLock, File, For, Watcher};
use crate::error::{Error, ErrorKind, Result};
use crate::token::SessionId;

const POLL: Duration = Duration::from_millis(25);

/// The kernel tells of a close a moment before it frees the lock: so often do we try at once.
const TRIES_AFTER_CLOSE: u32 = 40;

/// Waits for the exclusive lock of `id`; `None` when there is no such session.
pub(super) async fn acquire(
    core: &Core,
    queues: &Arc<Queues>,
    id: SessionId,
    wait: Duration,
    hold: Duration,
) -> Result<Option<(Arc<File>, Exclusive)>> {
    let give_up_at = deadline(wait);
    let turn = queues.join(id);
    let turn = timeout_at(give_up_at, turn.wait()).await.map_err(|_| timed_out())?;
    // The file may be deleted and made anew while we wait for the lock of the old one.
    for _ in 0..2 {
        let file = core.records.open(id, For::Writing).doing("cannot open a session file")?;
        let Some(file) = file.map(Arc::new) else { return Ok(None) };
        let lock = wait_for_file(core, id, &file, give_up_at).await?;
        if file.meta().doing("cannot look at a session file")?.links > 0 {
            return Ok(Some((file, Exclusive::start(lock, turn, hold))));
        }
    }
    Ok(None)
}

fn deadline(wait: Duration) -> Instant {
    let far = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + wait.min(far)
}

async fn wait_for_file(
    core: &Core,
    id: SessionId,
    file: &Arc<File>,
    give_up_at: Instant,
) -> Result<ExclusiveLock> {
    if let Some(lock) = try_file(core, id, file)? {
        return Ok(lock);
    }
    let watcher = Watcher::new(file);
    loop {
        // Listening begins before the try, so that no close falls between the two.
        let closed = watcher.as_ref().map(Watcher::closed);
        if let Some(lock) = try_file(core, id, file)? {
            return Ok(lock);
        }
        if Instant::now() >= give_up_at {
            return Err(timed_out());
        }
        let poll_at = give_up_at.min(Instant::now() + POLL);
        let Some(closed) = closed else {
            sleep_until(poll_at).await;
            continue;
        };
        if timeout_at(poll_at, closed).await.is_ok()
            && let Some(lock) = try_file_often(core, id, file).await?
        {
            return Ok(lock);
        }
    }
}

async fn try_file_often(
    core: &Core,
    id: SessionId,
    file: &Arc<File>,
) -> Result<Option<ExclusiveLock>> {
    for _ in 0..TRIES_AFTER_CLOSE {
        if let Some(lock) = try_file(core, id, file)? {
            return Ok(Some(lock));
        }
        tokio::task::yield_now().await;
    }
    Ok(None)
}

fn try_file(core: &Core, id: SessionId, file: &Arc<File>) -> Result<Option<ExclusiveLock>> {
    let shard = core.records.shard(id).doing("cannot open a session directory")?;
    let Some(shard) = shard else { return Ok(None) };
    ExclusiveLock::try_take(&shard.dir, &id.to_string(), file).doing("cannot lock a session file")
}

fn timed_out() -> Error {
    Error::new(ErrorKind::LockTimeout, "the exclusive lock of a session was not free in time")
}

const HELD: u8 = 0;
const COMMITTING: u8 = 1;
const LOST: u8 = 2;

/// The exclusive lock, held until this is dropped, or until its time is over.
#[derive(Debug)]
pub(super) struct Exclusive {
    hold: Arc<Hold>,
    timer: AbortHandle,
}

impl Exclusive {
    fn start(lock: ExclusiveLock, turn: Turn, hold: Duration) -> Self {
        let lose_at = deadline(hold);
        let both = Mutex::new(Some(Both { _lock: lock, _turn: turn }));
        let hold = Arc::new(Hold { state: AtomicU8::new(HELD), both });
        let timer = tokio::spawn(lose_after(lose_at, Arc::clone(&hold)));
        Self { hold, timer: timer.abort_handle() }
    }

    /// What a commit goes by.
    pub(super) fn hold(&self) -> Arc<Hold> {
        Arc::clone(&self.hold)
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.timer.abort();
        self.hold.free();
    }
}

async fn lose_after(at: Instant, hold: Arc<Hold>) {
    sleep_until(at).await;
    // A commit that has begun is let through: its holder had the lock when it began.
    while !hold.lose() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// The state of a held lock: commits need it held, and keep its time from running out meanwhile.
#[derive(Debug)]
pub(super) struct Hold {
    state: AtomicU8,
    both: Mutex<Option<Both>>,
}

/// Dropped in this order: whoever is next in the queue finds the lock of the file free.
#[derive(Debug)]
struct Both {
    _lock: ExclusiveLock,
    _turn: Turn,
}

impl Hold {
    /// Begins a commit; `None` when the lock was lost.
    pub(super) fn begin_commit(self: &Arc<Self>) -> Option<CommitUnderHold> {
        self.change(HELD, COMMITTING).then(|| CommitUnderHold(Arc::clone(self)))
    }

    /// Gives whether the lock is lost, which it is not while a commit is under way.
    fn lose(&self) -> bool {
        let is_lost = self.change(HELD, LOST);
        if is_lost {
            self.free();
        }
        is_lost
    }

    fn free(&self) {
        drop(self.both.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A commit of the holder, under way until this is dropped.
#[derive(Debug)]
pub(super) struct CommitUnderHold(Arc<Hold>);

impl Drop for CommitUnderHold {
    fn drop(&mut self) {
        self.0.change(COMMITTING, HELD);
    }
}

/// Who waits in this process for the lock of which session.
#[derive(Debug, Default)]
pub(super) struct Queues(Mutex<HashMap<SessionId, Arc<tokio::sync::Mutex<()>>>>);

impl Queues {
    fn join(self: &Arc<Self>, id: SessionId) -> Place {
        let queue = Arc::clone(self.lock().entry(id).or_default());
        Place { id, queues: Arc::clone(self), queue: Some(queue) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a queue. The last one to leave takes the queue away.
#[derive(Debug)]
struct Place {
    id: SessionId,
    queues: Arc<Queues>,
    queue: Option<Arc<tokio::sync::Mutex<()>>>,
}

impl Place {
    async fn wait(mut self) -> Turn {
        let queue = self.queue.take().expect("a place waits once");
        Turn { _first: queue.lock_owned().await, _place: self }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.queue.take());
        let mut queues = self.queues.lock();
        // Clones are made under this lock alone: one reference is the map's own.
        if queues.get(&self.id).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.id);
        }
    }
}

/// The first place of a queue. The fields drop in this order: the next is called, then we leave.
#[derive(Debug)]
struct Turn {
    _first: OwnedMutexGuard<()>,
    _place: Place,
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::Options;
    use super::*;
    use crate::record::Record;
    use crate::store::Durability;
    use crate::token::SecretHash;

    const ID: SessionId = SessionId::from_bytes([7; 16]);

    fn core_with_a_session() -> (tempfile::TempDir, Core) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { allow_any_file_system: true, ..Options::default() };
        let core = Core::open(directory.path(), options).unwrap();
        let hash = SecretHash::from_bytes([5; 32]);
        let record = Record::new(ID, hash, UNIX_EPOCH, None, Duration::from_secs(60));
        core.create(&record, Durability::Process).unwrap();
        (directory, core)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_whose_time_is_over_in_a_commit_is_lost_right_after_it() {
        let (_directory, core) = core_with_a_session();
        let (wait, hold) = (Duration::ZERO, Duration::from_secs(1));
        let acquired = acquire(&core, &Arc::default(), ID, wait, hold).await.unwrap();
        let (_file, exclusive) = acquired.unwrap();
        let is_free = || {
            let file = core.records.open(ID, For::Writing).unwrap().unwrap();
            try_file(&core, ID, &Arc::new(file)).unwrap().is_some()
        };
        let commit = exclusive.hold().begin_commit().unwrap();
        sleep(2 * hold).await;
        assert!(!is_free());
        drop(commit);
        sleep(Duration::from_millis(2)).await;
        assert!(is_free() && exclusive.hold().begin_commit().is_none());
    }

    /// The clock moves while all sleep: whoever tries without a pause never comes to an end.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_lock_sleeps_between_the_tries() {
        let (_directory, core) = core_with_a_session();
        let (wait, hold) = (Duration::from_secs(1), Duration::from_secs(60));
        let _held = acquire(&core, &Arc::default(), ID, wait, hold).await.unwrap();
        let began = Instant::now();
        let refused = acquire(&core, &Arc::default(), ID, wait, hold).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::LockTimeout);
        assert!((wait..wait + POLL).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_queue_is_there_for_as_long_as_somebody_is_in_it() {
        let queues = Arc::<Queues>::default();
        let first = queues.join(ID).wait().await;
        let second = queues.join(ID);
        drop(first);
        assert_eq!(queues.lock().len(), 1);
        drop(second.wait().await);
        assert!(queues.lock().is_empty());
    }
}
