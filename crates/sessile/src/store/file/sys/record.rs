//! The tests' view of the disk: every step that changes it is noted, and any step can be refused.
//!
//! A recording belongs to one thread. Without one, and in every build that is no test, a step is the
//! system call and nothing else.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use rustix::fs;
use rustix::io::Errno;

use super::Meta;

/// A file or directory: its device and number.
pub(in super::super) type Node = (u64, u64);

/// One step that changed the disk, or that the test noted between two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Call {
    /// Nothing changed.
    Look,
    /// A file is there under this name: made, unless it was there before.
    Create {
        dir: Node,
        name: String,
        file: Node,
    },
    /// A directory is there under this name: made, unless it was there before.
    MakeDir {
        dir: Node,
        name: String,
        made: Node,
    },
    Write {
        file: Node,
        offset: u64,
        bytes: Vec<u8>,
    },
    SetBytes {
        file: Node,
        bytes: u64,
    },
    Link {
        dir: Node,
        name: String,
        second: String,
    },
    Unlink {
        dir: Node,
        name: String,
    },
    Rename {
        dir: Node,
        name: String,
        target: Node,
        new_name: String,
    },
    SyncFile {
        file: Node,
    },
    SyncDir {
        dir: Node,
    },
    /// A sync that reported an error.
    Failed(Box<Call>),
    /// The test begins the deed of this number.
    Begun(usize),
    /// The caller was told that the deed of this number is done.
    Acknowledged(usize),
}

impl Call {
    pub(super) fn write(file: impl AsFd, offset: u64, bytes: &[u8]) -> Self {
        Self::Write { file: node(file), offset, bytes: bytes.to_vec() }
    }

    /// A write that just went to the end of `file`.
    pub(super) fn append(file: impl AsFd, bytes: &[u8]) -> Self {
        let end = fs::fstat(&file).map_or(0, |stat| Meta::new(&stat).bytes);
        Self::write(file, end - bytes.len() as u64, bytes)
    }
}

/// The identity of an open file or directory.
pub(super) fn node(fd: impl AsFd) -> Node {
    Meta::new(&fs::fstat(fd).expect("an open descriptor has a status")).inode
}

/// The identity of what lies under `name`.
pub(super) fn node_at(dir: impl AsFd, name: &str) -> Node {
    let stat = fs::statat(dir, name, fs::AtFlags::SYMLINK_NOFOLLOW);
    Meta::new(&stat.expect("what was just made is there")).inode
}

/// What a step asks of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Open,
    Read,
    Write,
    Name,
    Sync,
}

impl Kind {
    /// The error that the system gives for such a step on a bad day.
    fn errno(self) -> Errno {
        match self {
            Self::Open => Errno::MFILE,
            Self::Read | Self::Sync | Self::Name => Errno::IO,
            Self::Write => Errno::NOSPC,
        }
    }
}

/// Which steps the system refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Fault {
    Never,
    /// The step of this number, counted from 0.
    Once(usize),
    /// This step and all later ones, as if the process had died before it.
    Dead(usize),
    /// Everything that needs space, as on a full disk that copies on write.
    Full,
}

enum Verdict {
    Run,
    Refuse(Errno),
    Dead,
}

#[derive(Debug)]
struct Recorder {
    log: Vec<Call>,
    steps: usize,
    fault: Fault,
}

impl Recorder {
    fn judge(&mut self, kind: Kind) -> Verdict {
        let step = self.steps;
        self.steps += 1;
        match self.fault {
            Fault::Once(at) if at == step => Verdict::Refuse(kind.errno()),
            Fault::Full if kind == Kind::Write => Verdict::Refuse(Errno::NOSPC),
            Fault::Dead(at) if step >= at => Verdict::Dead,
            _ => Verdict::Run,
        }
    }
}

thread_local! {
    static RECORDER: RefCell<Option<Rc<RefCell<Recorder>>>> = const { RefCell::new(None) };
}

fn with<T>(then: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
    RECORDER.with_borrow(|recorder| recorder.as_ref().map(|it| then(&mut it.borrow_mut())))
}

/// Runs a step, and notes what it did; `call` tells that from its result.
pub(super) fn step<T>(
    kind: Kind,
    call: impl FnOnce(&T) -> Call,
    run: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    match with(|recorder| recorder.judge(kind)) {
        None => run(),
        Some(Verdict::Run) => run().inspect(|done| note(call(done))),
        Some(Verdict::Dead) => Err(Errno::IO.into()),
        Some(Verdict::Refuse(errno)) => {
            // A sync that fails has an effect all the same: what it dropped, no later one writes.
            if kind == Kind::Sync {
                note(Call::Failed(Box::new(call(&run()?))));
            }
            Err(errno.into())
        }
    }
}

fn note(call: Call) {
    with(|recorder| recorder.log.push(call));
}

/// Notes what this thread does to the disk, until it is dropped.
#[derive(Debug)]
pub(in super::super) struct Recording(Rc<RefCell<Recorder>>);

impl Recording {
    pub(in super::super) fn start() -> Self {
        let recorder = Recorder { log: Vec::new(), steps: 0, fault: Fault::Never };
        let recorder = Rc::new(RefCell::new(recorder));
        RECORDER.set(Some(Rc::clone(&recorder)));
        Self(recorder)
    }

    pub(in super::super) fn note(&self, call: Call) {
        self.0.borrow_mut().log.push(call);
    }

    pub(in super::super) fn set_fault(&self, fault: Fault) {
        self.0.borrow_mut().fault = fault;
    }

    /// How many steps there were so far.
    pub(in super::super) fn steps(&self) -> usize {
        self.0.borrow().steps
    }

    /// How much was noted since the last time.
    pub(in super::super) fn noted(&self) -> usize {
        self.0.borrow().log.len()
    }

    /// Everything noted since the last time.
    pub(in super::super) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.borrow_mut().log)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        RECORDER.set(None);
    }
}
