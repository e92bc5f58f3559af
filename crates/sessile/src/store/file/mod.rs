//! Sessions in plain files: one file per session, in a private directory, with no server to run.
//!
//! A session's file never changes its inode. Its first page has two slots; a save fills the one that
//! does not hold the newest state, so there is nothing to rename, to allocate or to lose, and readers
//! take no lock. Any number of processes of one machine may share a directory.
//!
//! What is promised, and what keeps it:
//!
//! - A killed process loses nothing that was acknowledged, and leaves no half-written record.
//! - After a loss of power a record is intact where the device writes 4 KiB atomically or the save
//!   was synced ([`Durability::Power`]). Else a torn one is refused, or the state before it is read:
//!   never a mixture, and never a state from before a [`Durability::Final`] one. Two saves without a
//!   sync may so endanger a synced one before them; those of records larger than a slot, which take
//!   several pages, on any device.
//! - A logout is a newer state of the session, synced before it is acknowledged.
//! - Any error of the disk (full, failing, out of descriptors) leaves the state before, and is told.
//!
//! `docs/file_format.md` describes every byte.

mod async_face;
mod commit;
mod core;
#[cfg(test)]
mod crash;
mod exclusive;
mod expiry_log;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod inspect;
mod list;
mod mend;
#[cfg(test)]
mod model;
mod owners;
mod page;
mod records;
mod root;
mod sweep;
mod sys;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

pub use inspect::{Inspection, SlotContent, SlotInspection};
pub use mend::Mended;

use self::async_face::{OpenPace, Recent};
use self::core::Core;
use self::exclusive::Queues;
use crate::error::{Error, ErrorKind, Result};
#[cfg(doc)]
use crate::store::Durability;
use crate::token::SessionId;

/// A store that keeps each session in a file of its own. Clones share everything.
///
/// Its methods of [`Store`](crate::store::Store) need a Tokio runtime: what may wait for a disk runs
/// on the blocking pool, what lies in memory is read on the spot.
///
/// ```
/// # fn main() -> sessile::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("sessions");
/// use sessile::store::FileStore;
/// let store = FileStore::builder(path).namespace("shop").sync_data(true).open()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileStore {
    core: Arc<Core>,
    queues: Arc<Queues>,
    pace: Arc<OpenPace>,
    recent: Arc<Recent>,
}

impl FileStore {
    /// Opens the directory at `path`, and makes it if it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the directory cannot be trusted: a symbolic link, not ours, writable
    /// by others, or on a file system whose locks and syncs are not known to hold. The message names
    /// the mend.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Begins to open the directory at `path` with other than the default options.
    pub fn builder(path: impl AsRef<Path>) -> FileStoreBuilder {
        FileStoreBuilder { path: path.as_ref().to_owned(), options: Options::default() }
    }

    /// Shows what lies in the file of `id`, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the first page is none of ours, [`ErrorKind::NewerFormat`] when a
    /// newer release laid it out.
    pub fn inspect(&self, id: SessionId) -> Result<Option<Inspection>> {
        self.core.inspect(id)
    }

    /// Mends what `sessile.key` and the records allow to tell of who owns which sessions: damaged
    /// files of the folder `owners` are usable again, entries that are missing are added, old ones
    /// that point at nothing go. A directory without damage is left as it is.
    ///
    /// Processes that use the directory meanwhile may go on. Whoever's file was damaged cannot log
    /// in by a request that began before `now`: nobody knows which logins it refused. The call
    /// reads every record and blocks the thread, as long as [`list`](crate::store::Store::list) of
    /// all takes: hand it to `spawn_blocking`. Records that are damaged themselves are set aside by
    /// whoever reads them.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the disk refuses; calling again goes on.
    #[doc(alias = "repair")]
    pub fn mend(&self, now: SystemTime) -> Result<Mended> {
        self.core.mend(now)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.core.path
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("FileStore");
        debug.field("path", &self.core.path).field("namespace", &self.core.namespace);
        debug.finish_non_exhaustive()
    }
}

/// Opens a [`FileStore`].
#[derive(Clone, Debug)]
pub struct FileStoreBuilder {
    path: PathBuf,
    options: Options,
}

impl FileStoreBuilder {
    /// Keeps this application's sessions apart from others in the same directory: 1 to 64 of a-z,
    /// 0-9, `_` and `-`. The default is "default".
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.options.namespace = namespace.into();
        self
    }

    /// Syncs every save before it is acknowledged, and not only logins, rotations and logouts. A save
    /// then takes 0.1 ms and more in place of 5 us. The default is `false`.
    #[must_use]
    pub fn sync_data(mut self, sync: bool) -> Self {
        self.options.sync_data = sync;
        self
    }

    /// Admits a directory that its group may write to and that may belong to the superuser, as
    /// Kubernetes makes them for `fsGroup`. The default is `false`.
    #[must_use]
    pub fn allow_group(mut self, allow: bool) -> Self {
        self.options.allow_group = allow;
        self
    }

    /// Admits file systems whose locks and syncs are not known to hold, such as NFS, FUSE and
    /// overlayfs. The default is `false`.
    #[must_use]
    pub fn allow_any_file_system(mut self, allow: bool) -> Self {
        self.options.allow_any_file_system = allow;
        self
    }

    /// Opens the directory, and makes it if it is missing.
    ///
    /// # Errors
    /// As [`FileStore::open`]; also for a namespace of other letters.
    pub fn open(self) -> Result<FileStore> {
        Ok(FileStore {
            core: Arc::new(Core::open(&self.path, self.options)?),
            queues: Arc::default(),
            pace: Arc::default(),
            recent: Arc::default(),
        })
    }
}

#[derive(Clone, Debug)]
struct Options {
    namespace: String,
    sync_data: bool,
    allow_group: bool,
    allow_any_file_system: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: "default".into(),
            sync_data: false,
            allow_group: false,
            allow_any_file_system: false,
        }
    }
}

/// Says what we were doing when the system refused.
trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T> {
        self.map_err(|error| {
            let told = match error.kind() {
                // What lies in a file's place is none: no fault of the disk, and none that passes.
                io::ErrorKind::InvalidData => Error::new(ErrorKind::Corrupt, doing),
                // Where a missing file means something, it was asked for before. The directories are
                // held open since the start, and nothing can be made in one that was removed.
                io::ErrorKind::NotFound => Error::new(
                    ErrorKind::Unavailable,
                    format!("{doing}: its directory was removed; restart to make it anew"),
                ),
                _ => Error::new(ErrorKind::Unavailable, doing),
            };
            told.with_source(error)
        })
    }
}
