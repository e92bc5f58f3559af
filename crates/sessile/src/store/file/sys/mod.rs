//! Every system call of the file store, and nothing else.
//!
//! The rest of the store names no descriptor and no flag: it calls the methods of [`Dir`] and
//! [`File`], each of which is one step that a crash can come before or after. Names are relative to
//! an open directory and never followed through a symbolic link; every descriptor closes on `exec`.
//!
//! What only Linux has lies in `linux`; `portable` stands in for it elsewhere, and on Linux too in a
//! build with `--cfg portable_system`, under which `cargo xtask test` runs all tests of files.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

#[cfg(test)]
use self::record::{Call, node, node_at};

#[cfg(all(target_os = "linux", not(portable_system)))]
mod linux;
#[cfg(any(portable_system, not(target_os = "linux")))]
mod portable;

#[cfg(test)]
pub(super) mod record;

#[cfg(all(target_os = "linux", not(portable_system)))]
use linux as system;
#[cfg(any(portable_system, not(target_os = "linux")))]
use portable as system;

pub(super) use system::{ExclusiveLock, FileSystem, Watcher};

/// One step that may change the disk or be refused by it. Tests note what it did, as the closure tells
/// it, and may refuse it; in every other build this is the step and nothing else.
macro_rules! step {
    ($kind:ident, $call:expr, $step:expr) => {{
        #[cfg(test)]
        let done = record::step(record::Kind::$kind, $call, || $step);
        #[cfg(not(test))]
        let done = $step;
        done
    }};
}

const PRIVATE_FILE: Mode = Mode::from_raw_mode(0o600);
const PRIVATE_DIR: Mode = Mode::from_raw_mode(0o700);

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Reading,
    Writing,
}

impl For {
    /// `NONBLOCK` means nothing to a regular file, and keeps a planted FIFO from stalling a thread.
    fn flags(self) -> OFlags {
        let direction = match self {
            Self::Reading => OFlags::RDONLY,
            Self::Writing => OFlags::RDWR,
        };
        direction | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK
    }
}

/// What the system knows about a file or directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    kind: FileType,
    mode: u32,
    pub(super) uid: u32,
    pub(super) links: u64,
    pub(super) bytes: u64,
    pub(super) bytes_on_disk: u64,
    pub(super) modified_at: SystemTime,
    inode: (u64, u64),
}

impl Meta {
    pub(super) fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }

    pub(super) fn is_symlink(&self) -> bool {
        self.kind == FileType::Symlink
    }

    /// The permission bits, as `chmod` takes them.
    pub(super) fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        self.inode == other.inode
    }

    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        reason = "the fields have other widths and signs on every platform"
    )]
    fn new(stat: &fs::Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode as _),
            mode: stat.st_mode as u32,
            uid: stat.st_uid as u32,
            links: stat.st_nlink as u64,
            bytes: stat.st_size as u64,
            bytes_on_disk: stat.st_blocks as u64 * 512,
            modified_at: UNIX_EPOCH + Duration::from_secs(stat.st_mtime as u64),
            inode: (stat.st_dev as u64, stat.st_ino as u64),
        }
    }
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

impl Dir {
    /// Opens the directory at `path`, which must not be a symbolic link.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(retry(|| fs::open(path, Self::flags(), Mode::empty()))?))
    }

    pub(super) fn open_dir(&self, name: &str) -> io::Result<Self> {
        let open = || retry(|| fs::openat(&self.0, name, Self::flags(), Mode::empty()));
        step!(Open, |_| Call::Look, open()).map(Self)
    }

    fn flags() -> OFlags {
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
    }

    /// Makes a directory that only we may enter; one that is there already is as good.
    pub(super) fn make_dir(&self, name: &str) -> io::Result<()> {
        step!(
            Write,
            |()| Call::MakeDir {
                dir: node(&self.0),
                name: name.into(),
                made: node_at(&self.0, name)
            },
            match retry(|| fs::mkdirat(&self.0, name, PRIVATE_DIR)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            }
        )
    }

    /// Opens a file; `NotFound` when there is none, `InvalidData` when something else is there.
    pub(super) fn open_file(&self, name: &str, purpose: For) -> io::Result<File> {
        let open = || system::open(&self.0, name, purpose.flags());
        step!(Open, |_| Call::Look, open()).map(File).map_err(no_file)
    }

    /// As [`open_file`](Self::open_file), but `WouldBlock` where that might read from the disk.
    pub(super) fn open_file_cached(&self, name: &str, purpose: For) -> io::Result<File> {
        system::open_cached(&self.0, name, purpose.flags()).map(File).map_err(no_file)
    }

    /// Makes a file that only we may open; `AlreadyExists` when there is one.
    pub(super) fn create_file(&self, name: &str) -> io::Result<File> {
        self.open_with(name, For::Writing.flags() | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens a file, or makes it empty.
    pub(super) fn open_or_create_file(&self, name: &str) -> io::Result<File> {
        self.open_with(name, For::Writing.flags() | OFlags::CREATE)
    }

    /// Opens a file, or makes it empty; all writes go to its end.
    pub(super) fn open_or_create_log(&self, name: &str) -> io::Result<File> {
        self.open_with(name, For::Writing.flags() | OFlags::CREATE | OFlags::APPEND)
    }

    fn open_with(&self, name: &str, flags: OFlags) -> io::Result<File> {
        step!(
            Write,
            |file| Call::Create { dir: node(&self.0), name: name.into(), file: node(file) },
            retry(|| fs::openat(&self.0, name, flags, PRIVATE_FILE))
        )
        .map(File)
    }

    /// Gives a file a second name; `AlreadyExists` when that is taken.
    pub(super) fn link(&self, name: &str, second: &str) -> io::Result<()> {
        step!(
            Write,
            |()| Call::Link { dir: node(&self.0), name: name.into(), second: second.into() },
            retry(|| fs::linkat(&self.0, name, &self.0, second, AtFlags::empty()))
        )
    }

    pub(super) fn unlink(&self, name: &str) -> io::Result<()> {
        step!(
            Name,
            |()| Call::Unlink { dir: node(&self.0), name: name.into() },
            retry(|| fs::unlinkat(&self.0, name, AtFlags::empty()))
        )
    }

    pub(super) fn rename_into(&self, name: &str, target: &Self, new_name: &str) -> io::Result<()> {
        step!(
            Name,
            |()| Call::Rename {
                dir: node(&self.0),
                name: name.into(),
                target: node(&target.0),
                new_name: new_name.into()
            },
            retry(|| fs::renameat(&self.0, name, &target.0, new_name))
        )
    }

    /// What `name` is, if it is there; a symbolic link is looked at, not through.
    pub(super) fn look_at(&self, name: &str) -> io::Result<Option<Meta>> {
        match retry(|| fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(Meta::new(&stat))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn meta(&self) -> io::Result<Meta> {
        Ok(Meta::new(&retry(|| fs::fstat(&self.0))?))
    }

    /// All names in the directory that are UTF-8, in no order.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in retry(|| fs::Dir::read_from(&self.0))? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    /// Locks the directory against others who do so, until this handle is closed; gives whether it was
    /// free.
    pub(super) fn try_lock(&self) -> io::Result<bool> {
        try_lock(&self.0)
    }

    /// Makes the names in the directory survive the loss of power.
    pub(super) fn sync(&self) -> io::Result<()> {
        step!(Sync, |()| Call::SyncDir { dir: node(&self.0) }, retry(|| fs::fsync(&self.0)))
    }

    pub(super) fn file_system(&self) -> io::Result<FileSystem> {
        system::file_system(&self.0)
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct File(OwnedFd);

impl File {
    /// Reads until `buffer` is full or the file ends, and gives how much it read.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read =
            || fill(buffer, |rest, done| rustix::io::pread(&self.0, rest, offset + done));
        step!(Read, |_| Call::Look, read()).map_err(no_file)
    }

    /// As [`read_at`](Self::read_at), but `WouldBlock` where that would read from the disk.
    pub(super) fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = fill(buffer, |rest, done| system::pread_cached(&self.0, rest, offset + done));
        read.map_err(no_file)
    }

    /// Writes all of `bytes`: in one call, unless the system takes less of it.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        step!(
            Write,
            |()| Call::write(&self.0, offset, bytes),
            drain(bytes, |rest, done| rustix::io::pwrite(&self.0, rest, offset + done))
        )
    }

    /// Writes all of `bytes` to the end of a log.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        step!(
            Write,
            |()| Call::append(&self.0, bytes),
            drain(bytes, |rest, _| rustix::io::write(&self.0, rest))
        )
    }

    /// Makes the content survive the loss of power.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        step!(
            Sync,
            |()| Call::SyncFile { file: node(&self.0) },
            retry(|| system::fdatasync(&self.0))
        )
    }

    /// Makes the next read go to the disk, if there is one.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn drop_from_memory(&self) {
        fs::fadvise(&self.0, 0, None, fs::Advice::DontNeed).expect("an open file may be dropped");
    }

    pub(super) fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        step!(
            Name,
            |()| Call::SetBytes { file: node(&self.0), bytes },
            retry(|| fs::ftruncate(&self.0, bytes))
        )
    }

    pub(super) fn meta(&self) -> io::Result<Meta> {
        Ok(Meta::new(&retry(|| fs::fstat(&self.0))?))
    }

    /// Takes the commit lock if it is free. It goes with [`unlock`](Self::unlock) or the last close.
    pub(super) fn try_lock(&self) -> io::Result<bool> {
        try_lock(&self.0)
    }

    pub(super) fn unlock(&self) -> io::Result<()> {
        retry(|| fs::flock(&self.0, FlockOperation::Unlock))
    }
}

fn try_lock(fd: &OwnedFd) -> io::Result<bool> {
    match retry(|| fs::flock(fd, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many files this process may have open.
pub(super) fn open_files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// The user this process acts as.
pub(super) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// What lies at a path; a symbolic link is looked at, not through.
pub(super) fn look_at(path: &Path) -> io::Result<Option<Meta>> {
    match retry(|| fs::lstat(path)) {
        Ok(stat) => Ok(Some(Meta::new(&stat))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Tells a link, a directory, a pipe or a device in a file's place from a disk that fails.
fn no_file(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::SPIPE) => {
            io::Error::new(io::ErrorKind::InvalidData, error)
        }
        _ => error,
    }
}

fn retry<T>(call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    Ok(rustix::io::retry_on_intr(call)?)
}

fn fill(
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8], u64) -> rustix::io::Result<usize>,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match retry(|| read(&mut buffer[done..], done as u64))? {
            0 => break,
            more => done += more,
        }
    }
    Ok(done)
}

fn drain(
    bytes: &[u8],
    mut write: impl FnMut(&[u8], u64) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match retry(|| write(&bytes[done..], done as u64))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            more => done += more,
        }
    }
    Ok(())
}

fn open_plainly(dir: &OwnedFd, name: impl Arg + Copy, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::io::retry_on_intr(|| fs::openat(dir, name, flags, Mode::empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_the_system_refuses_is_told() {
        let (pipe, _) = io::pipe().unwrap();
        assert!(File(pipe.into()).sync_data().is_err());
    }

    #[test]
    fn a_call_that_does_a_part_is_made_again_for_the_rest() {
        let mut parts = [Ok(2), Err(Errno::INTR), Ok(3), Ok(0)].into_iter();
        let mut asked = Vec::new();
        let read = fill(&mut [0; 8], |rest, done| {
            asked.push((rest.len(), done));
            parts.next().unwrap()
        });
        assert_eq!((read.unwrap(), asked), (5, vec![(8, 0), (6, 2), (6, 2), (3, 5)]));
        let mut parts = [Ok(2), Err(Errno::INTR), Ok(3)].into_iter();
        let mut asked = Vec::new();
        let written = drain(b"hello", |rest, done| {
            asked.push((rest.to_vec(), done));
            parts.next().unwrap()
        });
        written.unwrap();
        let rest = |from: u64| (b"hello"[from as usize..].to_vec(), from);
        assert_eq!(asked, [rest(0), rest(2), rest(2)]);
        let nothing = drain(b"hello", |_, _| Ok(0)).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WriteZero);
        assert!(drain(b"hello", |_, _| Err(Errno::NOSPC)).is_err());
    }
}
