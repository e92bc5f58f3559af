//! The floors: the system calls an operation cannot do without, and nothing else.
//!
//! Files lie as the store lays them, in 256 folders whose handles are kept, one 4 KiB page each.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::{pread, pwrite};
use sessile::SessionId;

use crate::Outcome;
use crate::rounds::{Coin, Op, an_id_per_folder, fresh_id};

const PAGE: usize = 4096;
const RECORD: usize = 1024;

/// A folder of bare files.
#[derive(Debug)]
pub(crate) struct Floor {
    folders: Vec<OwnedFd>,
    log: OwnedFd,
    hot: Vec<Name>,
    spare: Vec<Name>,
    coin: Coin,
    saves: u64,
}

/// A file's folder and its name in it.
#[derive(Clone, Debug)]
struct Name {
    folder: usize,
    file: CString,
}

impl Name {
    fn fresh() -> Outcome<Self> {
        Self::of(fresh_id())
    }

    fn of(id: SessionId) -> Outcome<Self> {
        let folder = usize::from(id.as_bytes()[0]);
        Ok(Self { folder, file: CString::new(id.to_string())? })
    }
}

impl Floor {
    pub(crate) fn open(dir: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(dir)?;
        let folders = (0..256).map(|n| folder(&dir.join(format!("{n:02x}"))));
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
        let log = rustix::fs::openat(CWD, dir.join("log"), flags, Mode::RUSR | Mode::WUSR)?;
        let folders = folders.collect::<Outcome<_>>()?;
        let coin = Coin::default();
        let mut floor = Self { folders, log, hot: Vec::new(), spare: Vec::new(), coin, saves: 0 };
        for id in an_id_per_folder() {
            let name = Name::of(id)?;
            floor.create(&name)?;
            floor.hot.push(name);
        }
        Ok(floor)
    }

    /// Runs one operation so many times, and adds how long each took.
    pub(crate) fn batch(&mut self, op: Op, times: usize, took: &mut Vec<Duration>) -> Outcome {
        for _ in 0..times {
            let name = self.name_for(op)?;
            let start = Instant::now();
            self.run(op, &name)?;
            took.push(start.elapsed());
            if op == Op::Create {
                self.spare.push(name);
            }
        }
        Ok(())
    }

    fn name_for(&mut self, op: Op) -> Outcome<Name> {
        match op {
            Op::Create | Op::Miss => Name::fresh(),
            Op::Delete => self.spare(),
            Op::Load | Op::LoadSave | Op::Rotate => {
                Ok(self.hot[self.coin.below(self.hot.len())].clone())
            }
        }
    }

    /// A file to delete: one that was created before, else a new one.
    fn spare(&mut self) -> Outcome<Name> {
        if let Some(name) = self.spare.pop() {
            return Ok(name);
        }
        let name = Name::fresh()?;
        self.create(&name)?;
        Ok(name)
    }

    fn run(&mut self, op: Op, name: &Name) -> Outcome {
        match op {
            Op::Load => self.load(name),
            Op::LoadSave => self.save(name, false),
            Op::Rotate => self.save(name, true),
            Op::Create => self.create(name),
            Op::Delete => self.delete(name),
            Op::Miss => self.miss(name),
        }
    }

    fn load(&self, name: &Name) -> Outcome {
        let file = self.open_file(name, OFlags::RDONLY)?;
        pread(&file, &mut [0; PAGE], 0)?;
        Ok(())
    }

    /// Load and save with one descriptor. A change of authority is two writes, each synced.
    fn save(&mut self, name: &Name, durable_twice: bool) -> Outcome {
        let file = self.open_file(name, OFlags::RDWR)?;
        let mut page = [0; PAGE];
        pread(&file, &mut page, 0)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        pread(&file, &mut page, 0)?;
        rustix::fs::fstat(&file)?;
        self.saves += 1;
        pwrite(&file, &page[..RECORD], self.saves % 2 * 2048)?;
        if durable_twice {
            rustix::fs::fdatasync(&file)?;
            pwrite(&file, &page[..RECORD], (self.saves + 1) % 2 * 2048)?;
            rustix::fs::fdatasync(&file)?;
        }
        Ok(())
    }

    fn create(&self, name: &Name) -> Outcome {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let file = self.open_file(name, flags)?;
        pwrite(&file, &[1; PAGE], 0)?;
        drop(file);
        rustix::io::write(&self.log, &[2; 32])?;
        Ok(())
    }

    /// Tombstones into both slots under the lock, then the name goes, if it still is that file's.
    fn delete(&self, name: &Name) -> Outcome {
        let file = self.open_file(name, OFlags::RDWR)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let mut page = [0; PAGE];
        pread(&file, &mut page, 0)?;
        rustix::fs::fstat(&file)?;
        pwrite(&file, &page[..64], 0)?;
        pwrite(&file, &page[..64], 2048)?;
        let folder = &self.folders[name.folder];
        rustix::fs::statat(folder, &*name.file, AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::unlinkat(folder, &*name.file, AtFlags::empty())?;
        Ok(())
    }

    fn miss(&self, name: &Name) -> Outcome {
        match self.open_file(name, OFlags::RDONLY) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err("a fresh name was there already".into()),
        }
    }

    /// Without the access time, which would make each read after a write a write of its own.
    fn open_file(&self, name: &Name, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOATIME;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::openat(&self.folders[name.folder], &*name.file, flags, mode)
    }
}

fn folder(path: &Path) -> Outcome<OwnedFd> {
    std::fs::create_dir_all(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}
