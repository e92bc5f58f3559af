//! What only Linux has: reads that never touch the disk, locks of open file descriptions, inotify.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::sync::Notify;

use super::{Dir, File, open_plainly};

/// Set once the kernel refused `O_NOATIME`, which it grants for one's own files only.
static NOATIME_REFUSED: AtomicBool = AtomicBool::new(false);

/// Set once `openat2` was refused: by a kernel before 5.12, or by a sandbox that has not heard of it.
static OPENAT2_REFUSED: AtomicBool = AtomicBool::new(false);

/// Opens without moving the access time: moving it costs the first read after every write 1.5 us.
pub(super) fn open(dir: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    match open_plainly(dir, name, flags | noatime()) {
        Err(Errno::PERM) if !NOATIME_REFUSED.load(Ordering::Relaxed) => {
            let file = open_plainly(dir, name, flags)?;
            NOATIME_REFUSED.store(true, Ordering::Relaxed);
            Ok(file)
        }
        opened => Ok(opened?),
    }
}

/// Opens if the kernel can walk to the file from memory; `WouldBlock` if not, or if it cannot tell.
pub(super) fn open_cached(dir: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    if OPENAT2_REFUSED.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let flags = flags | noatime();
    match rustix::fs::openat2(dir, name, flags, Mode::empty(), ResolveFlags::CACHED) {
        Err(Errno::NOSYS | Errno::INVAL) => {
            OPENAT2_REFUSED.store(true, Ordering::Relaxed);
            Err(io::ErrorKind::WouldBlock.into())
        }
        // A sandbox that refuses the call, or a file that is not ours: the plain call can tell.
        Err(Errno::PERM | Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
        opened => Ok(opened?),
    }
}

fn noatime() -> OFlags {
    if NOATIME_REFUSED.load(Ordering::Relaxed) { OFlags::empty() } else { OFlags::NOATIME }
}

/// Reads what lies in the page cache; `AGAIN` for the rest.
pub(super) fn pread_cached(
    file: &OwnedFd,
    buffer: &mut [u8],
    offset: u64,
) -> rustix::io::Result<usize> {
    let slice = &mut [IoSliceMut::new(buffer)];
    match rustix::io::preadv2(file, slice, offset, ReadWriteFlags::NOWAIT) {
        // tmpfs has no such call, and no disk to wait for.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => rustix::io::pread(file, buffer, offset),
        read => read,
    }
}

pub(super) fn fdatasync(file: &OwnedFd) -> rustix::io::Result<()> {
    rustix::fs::fdatasync(file)
}

/// What kind of file system a directory lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct FileSystem(u64);

impl FileSystem {
    /// The kind that has this number.
    #[cfg(test)]
    pub(in super::super) fn of_magic(number: u64) -> Self {
        Self(number)
    }

    /// Whether our guarantees were tried there.
    pub(in super::super) fn is_known_good(self) -> bool {
        const KNOWN_GOOD: [u64; 6] = [
            0xEF53,      // ext2, ext3, ext4
            0x5846_5342, // xfs
            0x9123_683E, // btrfs
            0x2FC1_2FC1, // zfs
            0xF2F5_2010, // f2fs
            0x0102_1994, // tmpfs
        ];
        KNOWN_GOOD.contains(&self.0)
    }

    /// Its name, if it is one that people meet, else its number.
    pub(in super::super) fn name(self) -> String {
        match self.0 {
            0x794C_7630 => "overlayfs".into(),
            0x6969 => "NFS".into(),
            0xFF53_4D42 | 0xFE53_4D42 | 0x517B => "CIFS".into(),
            0x6573_5546 => "FUSE".into(),
            0x0102_1997 => "9p".into(),
            number => format!("type {number:#x}"),
        }
    }
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "the field is signed on some architectures; the numbers have 32 bits"
)]
pub(super) fn file_system(dir: &OwnedFd) -> io::Result<FileSystem> {
    let system = rustix::io::retry_on_intr(|| rustix::fs::fstatfs(dir))?;
    Ok(FileSystem(u64::from(system.f_type as u32)))
}

/// A byte far behind any page: locks need no data there, and on this one all processes agree.
const LOCKED_BYTE: libc::off_t = 1 << 30;

/// The exclusive lock: a write lock of the open file description on one byte of the session file.
///
/// It is independent of `flock`, the kernel frees it when its holder dies, and since a session's
/// inode never changes the lock needs no file of its own.
#[derive(Debug)]
pub(in super::super) struct ExclusiveLock(Arc<File>);

impl ExclusiveLock {
    /// Takes the lock of `file`, which must be open for writing, if it is free.
    pub(in super::super) fn try_take(
        _shard: &Dir,
        _name: &str,
        file: &Arc<File>,
    ) -> io::Result<Option<Self>> {
        match set_lock(file, libc::F_WRLCK) {
            Ok(()) => Ok(Some(Self(Arc::clone(file)))),
            Err(nix::Error::EAGAIN | nix::Error::EACCES) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for ExclusiveLock {
    /// Frees the lock before the descriptor is closed, so that whoever the close wakes finds it free.
    fn drop(&mut self) {
        // It fails for a bad descriptor alone; the close would free the lock just the same.
        let _ = set_lock(&self.0, libc::F_UNLCK);
    }
}

fn set_lock(file: &File, kind: libc::c_int) -> nix::Result<()> {
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: LOCKED_BYTE,
        l_len: 1,
        l_pid: 0,
    };
    loop {
        match fcntl(&file.0, FcntlArg::F_OFD_SETLK(&range)) {
            Err(nix::Error::EINTR) => {}
            set => return set.map(drop),
        }
    }
}

/// Wakes a task when some process closes a file, as its death does too.
#[derive(Debug)]
pub(in super::super) struct Watcher {
    watch: i32,
    closed: Arc<Notify>,
}

impl Watcher {
    /// Watches `file`; `None` where the system has no watch left, and polling must do.
    pub(in super::super) fn new(file: &File) -> Option<Self> {
        let inotify = Inotify::of_this_process()?;
        let path = format!("/proc/self/fd/{}", file.0.as_raw_fd());
        let mut watches = inotify.watches();
        // The kernel gives one inode one watch, so that all who wait for it share one entry.
        let watch = inotify::add_watch(&inotify.fd, path, WatchFlags::CLOSE).ok()?;
        let entry = watches.entry(watch).or_default();
        entry.watchers += 1;
        Some(Self { watch, closed: Arc::clone(&entry.closed) })
    }

    /// Waits for the next close, counted from this call and not from the first poll.
    pub(in super::super) fn closed(&self) -> impl Future<Output = ()> + Send + '_ {
        self.closed.notified()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let Some(inotify) = Inotify::of_this_process() else { return };
        let mut watches = inotify.watches();
        let Some(entry) = watches.get_mut(&self.watch) else { return };
        entry.watchers -= 1;
        if entry.watchers == 0 {
            watches.remove(&self.watch);
            // It fails when the file is gone, and the watch with it.
            let _ = inotify::remove_watch(&inotify.fd, self.watch);
        }
    }
}

#[derive(Debug, Default)]
struct Watched {
    watchers: usize,
    closed: Arc<Notify>,
}

/// One instance per process: closing one costs 13 ms, and users have few of them.
struct Inotify {
    fd: OwnedFd,
    watches: Mutex<HashMap<i32, Watched>>,
}

impl Inotify {
    fn of_this_process() -> Option<&'static Self> {
        static INSTANCE: OnceLock<Option<Inotify>> = OnceLock::new();
        static READER: OnceLock<bool> = OnceLock::new();
        let instance = INSTANCE.get_or_init(|| {
            let fd = inotify::init(CreateFlags::CLOEXEC).ok()?;
            Some(Self { fd, watches: Mutex::default() })
        });
        let instance = instance.as_ref()?;
        READER.get_or_init(|| spawn_reader(instance)).then_some(instance)
    }

    fn watches(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Watched>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_events_forever(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.fd, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    if let Some(watched) = self.watches().get(&event.wd()) {
                        watched.closed.notify_waiters();
                    }
                }
                Err(Errno::INTR) => {}
                // The waiters' own re-poll stands in from here on.
                Err(_) => return,
            }
        }
    }
}

fn spawn_reader(inotify: &'static Inotify) -> bool {
    let reader = std::thread::Builder::new().name("sessile-inotify".into());
    reader.spawn(|| inotify.read_events_forever()).is_ok()
}
