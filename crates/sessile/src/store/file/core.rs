//! The store without async: what it holds open, how it reads, how it takes the commit lock.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::expiry_log::ExpiryLog;
use super::owners::Owners;
use super::page::{self, PAGE_BYTES, Page, Reading, State};
use super::records::Records;
use super::root::Root;
use super::sweep::Patrol;
use super::sys::{self, Dir, File, For, Meta};
use super::{Doing, Options};
use crate::codec::{Head, Place, Refusal, newer_format};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;
use crate::store::Durability;
use crate::token::SessionId;

/// How often a reader looks again at a slot that a writer is filling, before it asks for the lock.
const READ_ROUNDS_MAX: usize = 16;
const READ_TIME_MAX: Duration = Duration::from_millis(1);

/// How long a commit waits for others to leave a lock that each holds for microseconds, or for one
/// sync.
pub(super) const COMMIT_WAIT_MAX: Duration = Duration::from_secs(2);

/// One namespace of one root.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) path: PathBuf,
    pub(super) namespace: String,
    pub(super) records: Records,
    pub(super) log: ExpiryLog,
    pub(super) owners: Owners,
    pub(super) patrol: Patrol,
    corrupt: Dir,
    kept_files: Arc<KeptFiles>,
    sync_data: bool,
}

impl Core {
    pub(super) fn open(path: &std::path::Path, options: Options) -> Result<Self> {
        let root = Root::open(path, &options)?;
        Ok(Self {
            path: root.path,
            records: Records::new(root.records, sys::open_files_max()),
            log: ExpiryLog::new(root.expiry),
            owners: Owners::new(root.owners, root.key, &options.namespace),
            patrol: Patrol::default(),
            corrupt: root.corrupt,
            kept_files: Arc::new(KeptFiles::new(sys::open_files_max() / 4)),
            namespace: options.namespace,
            sync_data: options.sync_data,
        })
    }

    /// The durability that the configuration makes of the one that is asked for.
    pub(super) fn durability(&self, asked: Durability) -> Durability {
        if self.sync_data { asked.max(Durability::Power) } else { asked }
    }

    /// Permission to keep one more file open between load and save.
    pub(super) fn keep_file(&self) -> Option<KeptFile> {
        KeptFiles::try_add(&self.kept_files)
    }

    /// Reads the record of `id`, expired or not, and leaves its file open.
    pub(super) fn load(&self, id: SessionId, purpose: For) -> Result<Option<Opened>> {
        let file = self.records.open(id, purpose).doing("cannot open a session file")?;
        let Some(file) = file else { return Ok(None) };
        let record = self.read(&file, id)?;
        Ok(record.map(|record| Opened { record, file }))
    }

    /// As [`load`](Self::load), without waiting for a disk or a lock where that is possible.
    pub(super) fn load_cached(&self, id: SessionId, purpose: For) -> io::Result<Cached> {
        match self.records.open_cached(id, purpose)? {
            Some(file) => read_cached(file, id),
            None => Ok(Cached::Known(None)),
        }
    }

    /// Opens on the calling thread, even if that has to read a directory, and goes on from memory.
    pub(super) fn load_half_cached(&self, id: SessionId, purpose: For) -> io::Result<Cached> {
        match self.records.open(id, purpose)? {
            Some(file) => read_cached(file, id),
            None => Ok(Cached::Known(None)),
        }
    }

    /// Reads the record in an open file. A reader takes no lock unless a slot stays torn.
    pub(super) fn read(&self, file: &File, id: SessionId) -> Result<Option<Record>> {
        match settle(file, id, Source::Disk).doing("cannot read a session file")? {
            Settled::Unfinished => Ok(None),
            Settled::Newer => Err(newer_format()),
            Settled::State(page, state) => self.record(file, id, &page, &state),
            Settled::Torn => self.read_locked(file, id),
        }
    }

    fn read_locked(&self, file: &File, id: SessionId) -> Result<Option<Record>> {
        wait_for(|| file.try_lock().doing("cannot lock a session file"))?;
        let judged = self.judge(file, id);
        let record = match judged {
            Ok(Judged::Live(page, state)) => self.record(file, id, &page, &state),
            Ok(Judged::Unfinished | Judged::Ended(_)) => Ok(None),
            Err(error) => Err(error),
        };
        file.unlock().doing("cannot unlock a session file")?;
        record
    }

    /// The record of a verified state; `None` for a tombstone.
    pub(super) fn record(
        &self,
        file: &File,
        id: SessionId,
        page: &Page,
        state: &State,
    ) -> Result<Option<Record>> {
        if state.is_tombstone() {
            return Ok(None);
        }
        match state.record(page) {
            Ok(record) => Ok(Some(record)),
            // The checksum holds and the content does not: no writer at work explains that.
            Err(_) => Err(self.set_aside(file, id)),
        }
    }

    /// Tells what a file holds. The caller holds the commit lock.
    pub(super) fn judge(&self, file: &File, id: SessionId) -> Result<Judged> {
        self.judge_page(file, id, page_of(file)?)
    }

    /// As [`judge`](Self::judge), of a page that was just read under the lock.
    pub(super) fn judge_page(&self, file: &File, id: SessionId, page: PageRead) -> Result<Judged> {
        let look = look_into(file, id, Source::Disk, page).doing("cannot read a session file")?;
        match look.under_lock() {
            Ok(judged) => Ok(judged),
            Err(Unclear::Newer) => Err(newer_format()),
            Err(Unclear::Torn { print }) => self.judge_again(file, id, print),
        }
    }

    /// Only bytes that are the same on a second read are called damaged.
    fn judge_again(&self, file: &File, id: SessionId, print: u64) -> Result<Judged> {
        match look(file, id, Source::Disk).doing("cannot read a session file")? {
            Look::Torn { print: again, fallback: None } if again == print => {
                Err(self.set_aside(file, id))
            }
            _ => Err(Error::new(ErrorKind::Unavailable, "a session file reads differently twice")),
        }
    }

    /// Moves a damaged file to where an operator finds it, and says so.
    fn set_aside(&self, file: &File, id: SessionId) -> Error {
        let damaged = Error::new(
            ErrorKind::Corrupt,
            format!("session {id} is damaged; its file was set aside in the directory \"corrupt\""),
        );
        match self.records.set_aside(id, file, &self.corrupt) {
            Ok(()) => damaged,
            Err(error) => damaged.with_source(error),
        }
    }

    /// Takes the commit lock of `id`: on the file in `kept`, if there is one, else on the named one.
    pub(super) fn lock(
        &self,
        id: SessionId,
        kept: &mut Option<Arc<File>>,
    ) -> Result<Attempt<Option<Locked>>> {
        for _ in 0..2 {
            let file = match kept.take() {
                Some(file) => file,
                None => match self.records.open(id, For::Writing).doing("cannot open a session")? {
                    Some(file) => Arc::new(file),
                    None => return Ok(Attempt::Done(None)),
                },
            };
            if !file.try_lock().doing("cannot lock a session file")? {
                *kept = Some(file);
                return Ok(Attempt::Busy);
            }
            let locked = Locked::new(file)?;
            // A file without a name was deleted on a disk too full for a tombstone. Its name may
            // have been given anew, once.
            if locked.meta.links > 0 {
                return Ok(Attempt::Done(Some(locked)));
            }
        }
        Ok(Attempt::Done(None))
    }
}

/// A record that was read, and the file it was read from.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) record: Record,
    pub(super) file: File,
}

/// What could be told without waiting.
#[derive(Debug)]
pub(super) enum Cached {
    Known(Option<Box<Opened>>),
    /// The careful way has to decide.
    Undecided,
}

/// What a file holds, for whoever holds its commit lock.
#[derive(Debug)]
pub(super) enum Judged {
    /// A create in flight, or one that never ended.
    Unfinished,
    /// The session ended; its file awaits removal.
    Ended(State),
    Live(Page, State),
}

impl Judged {
    fn new(page: Page, state: State) -> Self {
        if state.is_tombstone() { Self::Ended(state) } else { Self::Live(page, state) }
    }
}

/// What a step that needs the commit lock came to.
#[derive(Debug)]
pub(super) enum Attempt<T> {
    Done(T),
    /// Somebody else holds the lock; nothing was done.
    Busy,
}

/// The commit lock of a file, held.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) file: Arc<File>,
    pub(super) meta: Meta,
}

impl Locked {
    fn new(file: Arc<File>) -> Result<Self> {
        match file.meta().doing("cannot look at a session file") {
            Ok(meta) if meta.is_file() => Ok(Self { file, meta }),
            Ok(_) => {
                Err(Error::new(ErrorKind::Corrupt, "what lies in a session's place is no file"))
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Locked {
    /// Frees the lock: by the close, if nobody keeps the file, which saves a call.
    fn drop(&mut self) {
        if Arc::strong_count(&self.file) > 1 {
            // It fails for a bad descriptor alone.
            let _ = self.file.unlock();
        }
    }
}

/// Repeats an attempt until the lock was free, or for two seconds.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> Result<Attempt<T>>) -> Result<T> {
    let mut done = None;
    wait_for(|| match attempt()? {
        Attempt::Done(value) => {
            done = Some(value);
            Ok(true)
        }
        Attempt::Busy => Ok(false),
    })?;
    Ok(done.expect("the wait ends when the attempt is done"))
}

/// Waits for a lock, with the thread asleep between tries.
pub(super) fn wait_for(mut try_lock: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    for round in 0.. {
        if try_lock()? {
            return Ok(());
        }
        if started.elapsed() >= COMMIT_WAIT_MAX {
            return Err(contended());
        }
        match pause_before(round) {
            None => std::thread::yield_now(),
            Some(pause) => std::thread::sleep(pause),
        }
    }
    Ok(())
}

/// How long to leave the lock alone: most holders are gone after a yield, one that syncs is not.
pub(super) fn pause_before(round: u32) -> Option<Duration> {
    let pause = Duration::from_micros(50) * (1 << round.saturating_sub(8).min(5));
    (round >= 8).then_some(pause)
}

pub(super) fn contended() -> Error {
    Error::new(ErrorKind::Contended, "the commit lock of a session stayed taken for two seconds")
}

#[derive(Clone, Copy)]
enum Source {
    Disk,
    Cache,
}

impl Source {
    fn read(self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Disk => file.read_at(buffer, offset),
            Self::Cache => file.read_cached_at(buffer, offset),
        }
    }
}

/// What is certain.
#[derive(Debug)]
pub(super) enum Settled {
    Unfinished,
    Newer,
    State(Page, State),
    Torn,
}

/// Reads until what it sees is certain, without a lock.
fn settle(file: &File, id: SessionId, source: Source) -> io::Result<Settled> {
    let mut looks = Looks::default();
    let mut started = None;
    for _ in 0..READ_ROUNDS_MAX {
        if let Some(settled) = looks.settle(look(file, id, source)?) {
            return Ok(settled);
        }
        if started.get_or_insert_with(Instant::now).elapsed() > READ_TIME_MAX {
            break;
        }
    }
    Ok(Settled::Torn)
}

/// What a reader without a lock saw so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Looks {
    torn: Option<u64>,
}

impl Looks {
    /// What is certain after one more look, if anything.
    ///
    /// A torn slot belongs to a writer at work, whose next state is about to appear, or to a crash.
    /// The same torn bytes twice mean the crash, and the other slot counts if it was valid beside them.
    pub(super) fn settle(&mut self, look: Look) -> Option<Settled> {
        match look {
            Look::Unfinished => Some(Settled::Unfinished),
            Look::Newer => Some(Settled::Newer),
            Look::State(page, state) => Some(Settled::State(page, state)),
            Look::Torn { print, fallback: Some((page, state)) } if self.torn == Some(print) => {
                Some(Settled::State(page, state))
            }
            Look::Torn { print, .. } => {
                self.torn = Some(print);
                None
            }
        }
    }
}

/// What one reading of a file shows.
#[derive(Clone, Debug)]
pub(super) enum Look {
    Unfinished,
    Newer,
    State(Page, State),
    Torn { print: u64, fallback: Option<(Page, State)> },
}

impl Look {
    /// What a page shows; `tail` reads a body that lies behind it.
    pub(super) fn at(
        page: PageRead,
        id: SessionId,
        tail: &mut dyn FnMut(&Head) -> io::Result<Option<Bytes>>,
    ) -> io::Result<Self> {
        let page = match page {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(Self::Unfinished),
            Err(Refusal::Newer) => return Ok(Self::Newer),
            Err(Refusal::Damaged) => return Ok(Self::Torn { print: 0, fallback: None }),
        };
        Ok(match page::read(&page, id, tail)? {
            Reading::Newer => Self::Newer,
            Reading::Newest(state) => Self::State(page, state),
            Reading::Torn { print, fallback } => {
                Self::Torn { print, fallback: fallback.map(|state| (page, state)) }
            }
        })
    }

    /// The state that counts for whoever holds the commit lock, if there is one.
    ///
    /// Nobody else is at work on the file: what is torn was torn by a crash, and the other slot holds
    /// the last state that was ever committed.
    pub(super) fn under_lock(self) -> Result<Judged, Unclear> {
        match self {
            Self::Unfinished => Ok(Judged::Unfinished),
            Self::State(page, state) | Self::Torn { fallback: Some((page, state)), .. } => {
                Ok(Judged::new(page, state))
            }
            Self::Newer => Err(Unclear::Newer),
            Self::Torn { print, fallback: None } => Err(Unclear::Torn { print }),
        }
    }
}

/// Why nothing counts, even under the lock.
#[derive(Debug)]
pub(super) enum Unclear {
    /// A newer release wrote here.
    Newer,
    /// No slot is valid.
    Torn { print: u64 },
}

/// A page as it was read: `None` for a create that has not got so far.
pub(super) type PageRead = Result<Option<Page>, Refusal>;

/// Reads the file once.
fn look(file: &File, id: SessionId, source: Source) -> io::Result<Look> {
    look_into(file, id, source, read_page(file, source)?)
}

fn look_into(file: &File, id: SessionId, source: Source, page: PageRead) -> io::Result<Look> {
    Look::at(page, id, &mut |head| read_tail(file, head, source))
}

fn read_page(file: &File, source: Source) -> io::Result<PageRead> {
    let mut bytes = vec![0; PAGE_BYTES];
    let len = source.read(file, &mut bytes, 0)?;
    bytes.truncate(len);
    Ok(Page::new(bytes))
}

/// The page of a file whose commit lock the caller holds.
pub(super) fn page_of(file: &File) -> Result<PageRead> {
    read_page(file, Source::Disk).doing("cannot read a session file")
}

/// Reads a body behind the page. No more is allocated than the file holds.
fn read_tail(file: &File, head: &Head, source: Source) -> io::Result<Option<Bytes>> {
    let Place::Tail { page } = head.place else { return Ok(None) };
    let at = u64::from(page) * PAGE_BYTES as u64;
    if file.meta()?.bytes < at + u64::from(head.body_bytes) {
        return Ok(None);
    }
    let mut body = vec![0; head.body_bytes as usize];
    let len = source.read(file, &mut body, at)?;
    Ok((len == body.len()).then(|| body.into()))
}

fn read_cached(file: File, id: SessionId) -> io::Result<Cached> {
    let (page, state) = match settle(&file, id, Source::Cache) {
        Ok(Settled::Unfinished) => return Ok(Cached::Known(None)),
        Ok(Settled::State(_, state)) if state.is_tombstone() => return Ok(Cached::Known(None)),
        Ok(Settled::State(page, state)) => (page, state),
        Ok(Settled::Newer | Settled::Torn) => return Ok(Cached::Undecided),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Cached::Undecided),
        Err(error) => return Err(error),
    };
    let Ok(record) = state.record(&page) else { return Ok(Cached::Undecided) };
    Ok(Cached::Known(Some(Box::new(Opened { record, file }))))
}

/// Counts the files that are kept open between load and save.
#[derive(Debug)]
struct KeptFiles {
    count: AtomicUsize,
    max: usize,
}

/// One kept file, counted until it is dropped.
#[derive(Debug)]
pub(super) struct KeptFile(Arc<KeptFiles>);

impl KeptFiles {
    fn new(max: usize) -> Self {
        Self { count: AtomicUsize::new(0), max }
    }

    fn try_add(this: &Arc<Self>) -> Option<KeptFile> {
        let kept = KeptFile(Arc::clone(this));
        // One too many is taken back by the drop.
        (this.count.fetch_add(1, Ordering::Relaxed) < this.max).then_some(kept)
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core() -> (tempfile::TempDir, Core) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { allow_any_file_system: true, ..Options::default() };
        let core = Core::open(directory.path(), options).unwrap();
        (directory, core)
    }

    #[test]
    fn at_most_a_quarter_of_the_files_allowed_is_kept_open() {
        let (_directory, core) = core();
        assert_eq!(core.kept_files.max, sys::open_files_max() / 4);
        assert!(core.keep_file().is_some());
        let files = Arc::new(KeptFiles::new(2));
        let (one, two) = (KeptFiles::try_add(&files), KeptFiles::try_add(&files));
        assert!(one.is_some() && two.is_some());
        assert!(KeptFiles::try_add(&files).is_none() && KeptFiles::try_add(&files).is_none());
        drop(one);
        let three = KeptFiles::try_add(&files);
        assert!(three.is_some() && KeptFiles::try_add(&files).is_none());
    }

    #[test]
    fn a_lock_is_tried_until_it_is_free_after_ever_longer_pauses() {
        let mut tries = 0;
        let is_free_at_last = || {
            tries += 1;
            Ok(tries == 20)
        };
        wait_for(is_free_at_last).unwrap();
        assert_eq!(tries, 20);
        let pauses = |rounds: &[u32]| -> Vec<_> {
            rounds.iter().map(|round| pause_before(*round).map(|it| it.as_micros())).collect()
        };
        assert_eq!(pauses(&[0, 7]), [None, None]);
        assert_eq!(pauses(&[8, 9, 13, 14]), [Some(50), Some(100), Some(1_600), Some(1_600)]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_has_to_be_read_from_the_disk_is_left_to_who_may_wait_for_it() {
        let (_directory, core) = core();
        let id = SessionId::from_bytes([7; 16]);
        let hash = crate::token::SecretHash::from_bytes([5; 32]);
        let began_at = std::time::UNIX_EPOCH;
        let record = Record::new(id, hash, began_at, None, Duration::from_secs(60));
        core.create(&record, Durability::Power).unwrap();
        let file = core.records.open(id, For::Reading).unwrap().unwrap();
        file.drop_from_memory();
        // On a file system that has no disk it is still there.
        match core.load_half_cached(id, For::Reading).unwrap() {
            Cached::Known(opened) => assert_eq!(opened.unwrap().record, record),
            Cached::Undecided => {
                assert_eq!(core.load(id, For::Reading).unwrap().unwrap().record, record);
            }
        }
    }

    /// A page whose slot A holds version 1, and whose slot B a torn version 2 that ends in this byte.
    fn torn_look(last: u8) -> Look {
        let id = SessionId::from_bytes([7; 16]);
        let slot =
            |version| page::plan(None, id, crate::record::Version::new(version), vec![1]).slot;
        let (mut bytes, mut torn) = (Page::first(&slot(1)), slot(2));
        *torn.last_mut().unwrap() = last;
        bytes[page::Side::B.at()..][..torn.len()].copy_from_slice(&torn);
        Look::at(Ok(Page::new(bytes).unwrap()), id, &mut |_| Ok(None)).unwrap()
    }

    #[test]
    fn a_slot_that_is_torn_twice_in_the_same_way_gives_way_to_the_other_without_a_lock() {
        let mut looks = Looks::default();
        assert!(looks.settle(torn_look(2)).is_none());
        assert!(looks.settle(torn_look(3)).is_none(), "a writer is at work");
        let Some(Settled::State(_, state)) = looks.settle(torn_look(3)) else {
            panic!("the other slot was valid");
        };
        assert_eq!(state.head.version.get(), 1);
    }
}
