//! What other Unixes have in place of `linux`: slower, with the same guarantees.

#![allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "every item has the shape of the one it stands in for"
)]

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::{Dir, File, open_plainly};

pub(super) fn open(dir: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(open_plainly(dir, name, flags)?)
}

/// There is no such call; the caller times the plain one instead.
pub(super) fn open_cached(_: &OwnedFd, _: &str, _: OFlags) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::WouldBlock.into())
}

pub(super) fn pread_cached(
    file: &OwnedFd,
    buffer: &mut [u8],
    offset: u64,
) -> rustix::io::Result<usize> {
    rustix::io::pread(file, buffer, offset)
}

/// On Apple's systems `fsync` reaches the drive's cache only; this one asks the drive to empty it.
#[cfg(target_vendor = "apple")]
pub(super) fn fdatasync(file: &OwnedFd) -> rustix::io::Result<()> {
    rustix::fs::fcntl_fullfsync(file)
}

#[cfg(not(target_vendor = "apple"))]
pub(super) fn fdatasync(file: &OwnedFd) -> rustix::io::Result<()> {
    rustix::fs::fsync(file)
}

/// Other Unixes tell file systems apart by names of their own; none is refused there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct FileSystem;

impl FileSystem {
    pub(in super::super) fn is_known_good(self) -> bool {
        true
    }

    pub(in super::super) fn name(self) -> String {
        "of unknown type".into()
    }
}

pub(super) fn file_system(_: &OwnedFd) -> io::Result<FileSystem> {
    Ok(FileSystem)
}

/// The exclusive lock: `flock` on a file beside the session file, whose own `flock` is the commit
/// lock. (A record lock of POSIX belongs to the process, and the next close of the file frees it.)
#[derive(Debug)]
pub(in super::super) struct ExclusiveLock {
    shard: Dir,
    name: String,
    beside: File,
}

impl ExclusiveLock {
    pub(in super::super) fn try_take(
        shard: &Dir,
        name: &str,
        _file: &Arc<File>,
    ) -> io::Result<Option<Self>> {
        let name = format!("{name}.lock");
        let beside = shard.open_or_create_file(&name)?;
        // The last holder unlinks the file while it holds it: a lock on a file that has no name
        // any more excludes nobody.
        if !beside.try_lock()? || beside.meta()?.links == 0 {
            return Ok(None);
        }
        Ok(Some(Self { shard: shard.open_dir(".")?, name, beside }))
    }
}

impl Drop for ExclusiveLock {
    fn drop(&mut self) {
        // What cannot be unlinked stays behind, free for the next.
        let _ = self.shard.unlink(&self.name);
        let _ = self.beside.unlock();
    }
}

/// Nothing portable wakes a task when a file is closed: the callers poll.
#[derive(Debug)]
pub(in super::super) struct Watcher;

impl Watcher {
    pub(in super::super) fn new(_: &File) -> Option<Self> {
        None
    }

    pub(in super::super) fn closed(&self) -> impl Future<Output = ()> + Send + '_ {
        std::future::pending()
    }
}
