//! Session files by their ID: 256 directories, made when first needed, whose handles are kept where
//! the process may have so many files open.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::Doing;
use super::sys::{Dir, File, For};
use crate::error::Result;
use crate::token::SessionId;

/// How many directories the records lie in. 4,096 are slower: cold directory blocks (measured).
pub(super) const SHARDS: usize = 256;

#[derive(Debug)]
pub(super) struct Records {
    dir: Dir,
    shards: [OnceLock<Arc<Shard>>; SHARDS],
    keeps_handles: bool,
}

/// One directory of session files.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) dir: Dir,
    /// Whether this process saw to it that the directory itself survives the loss of power.
    is_synced: AtomicBool,
}

impl Records {
    /// Keeps the directories' handles if they take at most a quarter of the files that may be open.
    pub(super) fn new(dir: Dir, open_files_max: usize) -> Self {
        let shards = std::array::from_fn(|_| OnceLock::new());
        Self { dir, shards, keeps_handles: open_files_max / 4 >= SHARDS }
    }

    /// The directory of `id`, if it was ever needed.
    pub(super) fn shard(&self, id: SessionId) -> io::Result<Option<Arc<Shard>>> {
        self.shard_numbered(id.as_bytes()[0])
    }

    /// The directory of all IDs that begin with this byte.
    pub(super) fn shard_numbered(&self, number: u8) -> io::Result<Option<Arc<Shard>>> {
        let kept = &self.shards[usize::from(number)];
        if let Some(shard) = kept.get() {
            return Ok(Some(Arc::clone(shard)));
        }
        match self.dir.open_dir(&shard_name(number)) {
            Ok(dir) => {
                let shard = Arc::new(Shard { dir, is_synced: false.into() });
                let keep = || Arc::clone(kept.get_or_init(|| Arc::clone(&shard)));
                Ok(Some(if self.keeps_handles { keep() } else { shard }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the file of `id`, if there is one.
    pub(super) fn open(&self, id: SessionId, purpose: For) -> io::Result<Option<File>> {
        self.open_with(id, |dir, name| dir.open_file(name, purpose))
    }

    /// As [`open`](Self::open), but `WouldBlock` where that might read from the disk.
    pub(super) fn open_cached(&self, id: SessionId, purpose: For) -> io::Result<Option<File>> {
        self.open_with(id, |dir, name| dir.open_file_cached(name, purpose))
    }

    fn open_with(
        &self,
        id: SessionId,
        open: impl FnOnce(&Dir, &str) -> io::Result<File>,
    ) -> io::Result<Option<File>> {
        let Some(shard) = self.shard(id)? else { return Ok(None) };
        match open(&shard.dir, &id.to_string()) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the file of `id`; `AlreadyExists` when there is one.
    pub(super) fn create(&self, id: SessionId) -> io::Result<File> {
        if self.shard(id)?.is_none() {
            self.dir.make_dir(&shard_name(id.as_bytes()[0]))?;
        }
        let shard = self.shard(id)?.ok_or(io::ErrorKind::NotFound)?;
        shard.dir.create_file(&id.to_string())
    }

    /// Makes the name of a new file survive the loss of power: its directory, and once per process
    /// the directory above, where this name may be just as new.
    pub(super) fn sync_name(&self, id: SessionId) -> io::Result<()> {
        let Some(shard) = self.shard(id)? else { return Ok(()) };
        shard.dir.sync()?;
        if !shard.is_synced.load(Ordering::Acquire) {
            self.dir.sync()?;
            shard.is_synced.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Removes the name of `id`, unless it means another file by now.
    pub(super) fn unlink(&self, id: SessionId, file: &File) -> Result<()> {
        if self.is_named(id, file).doing("cannot look at a session file")? {
            let shard = self.shard(id).doing("cannot open a session directory")?;
            let unlinked = shard.map_or(Ok(()), |shard| shard.dir.unlink(&id.to_string()));
            unlinked.doing("cannot remove a session file")?;
        }
        Ok(())
    }

    /// Whether `id` is the name of this very file.
    fn is_named(&self, id: SessionId, file: &File) -> io::Result<bool> {
        let Some(shard) = self.shard(id)? else { return Ok(false) };
        let named = shard.dir.look_at(&id.to_string())?;
        named.map_or(Ok(false), |named| Ok(named.is_same_file(&file.meta()?)))
    }

    /// Moves the file of `id` out of the way, under a name that takes no earlier one's place.
    pub(super) fn set_aside(&self, id: SessionId, file: &File, corrupt: &Dir) -> io::Result<()> {
        if !self.is_named(id, file)? {
            return Ok(());
        }
        let Some(shard) = self.shard(id)? else { return Ok(()) };
        let mut name = id.to_string();
        for number in 1.. {
            if corrupt.look_at(&name)?.is_none() {
                break;
            }
            name = format!("{id}.{number}");
        }
        shard.dir.rename_into(&id.to_string(), corrupt, &name)
    }

    /// The IDs of all files in one directory, in ascending order.
    pub(super) fn ids(&self, shard: u8) -> io::Result<Vec<SessionId>> {
        let Some(shard) = self.shard_numbered(shard)? else { return Ok(Vec::new()) };
        ids_in(&shard.dir)
    }

    /// A directory for the patrol; `None` where there is none, or somebody else patrols it.
    pub(super) fn beat(&self, shard: u8) -> io::Result<Option<Beat>> {
        // Opened anew, since the lock goes with the handle.
        match self.dir.open_dir(&shard_name(shard)) {
            Ok(dir) => Ok(dir.try_lock()?.then_some(Beat(dir))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A directory that no other process patrols while this is there.
#[derive(Debug)]
pub(super) struct Beat(Dir);

impl Beat {
    pub(super) fn ids(&self) -> io::Result<Vec<SessionId>> {
        ids_in(&self.0)
    }
}

fn ids_in(dir: &Dir) -> io::Result<Vec<SessionId>> {
    let names = dir.names()?;
    let mut ids: Vec<_> = names.iter().filter_map(|name| name.parse().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}

fn shard_name(number: u8) -> String {
    format!("{number:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // R57
    #[test]
    fn a_directory_is_patrolled_by_one_process_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("07")).unwrap();
        let opened = || Records::new(Dir::open(root.path()).unwrap(), 0);
        let (ours, theirs) = (opened(), opened());
        let beat = ours.beat(7).unwrap().expect("nobody is there");
        assert!(theirs.beat(7).unwrap().is_none() && ours.beat(7).unwrap().is_none());
        assert!(theirs.beat(8).unwrap().is_none(), "there is no such directory");
        drop(beat);
        assert!(theirs.beat(7).unwrap().is_some());
    }

    #[test]
    fn handles_are_kept_only_where_they_are_at_most_a_quarter_of_the_files_allowed() {
        for (open_files_max, keeps) in [(1_023, false), (1_024, true)] {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("07")).unwrap();
            let records = Records::new(Dir::open(root.path()).unwrap(), open_files_max);
            let shard = || records.shard_numbered(7).unwrap().unwrap();
            assert_eq!(Arc::ptr_eq(&shard(), &shard()), keeps, "{open_files_max}");
        }
    }

    #[test]
    fn a_name_that_means_another_file_by_now_is_left_alone() {
        let (root, corrupt) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let records = Records::new(Dir::open(root.path()).unwrap(), 0);
        let id = SessionId::from_bytes([7; 16]);
        let (first, path) =
            (records.create(id).unwrap(), root.path().join("07").join(id.to_string()));
        std::fs::remove_file(&path).unwrap();
        let second = records.create(id).unwrap();
        let aside = Dir::open(corrupt.path()).unwrap();
        records.unlink(id, &first).unwrap();
        records.set_aside(id, &first, &aside).unwrap();
        assert!(path.exists());
        records.set_aside(id, &second, &aside).unwrap();
        assert!(!path.exists() && corrupt.path().join(id.to_string()).exists());
        let third = records.create(id).unwrap();
        records.unlink(id, &third).unwrap();
        assert!(!path.exists());
    }
}
