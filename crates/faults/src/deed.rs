//! What a worker is asked to do, and what it answers: lines of JSON between two processes.

use serde::{Deserialize, Serialize};
use sessile::store::Durability;
use sessile::{Owner, SessionId};

/// The name of one state: no two attempts to write one share it, and its data follow from it.
pub(crate) type Stamp = u64;

/// A deed, and the instant at which it is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Milliseconds since 1970: the `now` of the store's methods.
    pub(crate) now_ms: u64,
    pub(crate) deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Opens the directory; every other deed needs that first.
    Open,
    Create {
        id: SessionId,
        stamp: Stamp,
        bytes: usize,
        durability: Durability,
        /// Whose login makes it.
        owner: Option<Owner>,
        /// Whether it expired long before `now_ms`.
        expired: bool,
    },
    /// Loads the session and writes its next state.
    Save {
        id: SessionId,
        stamp: Stamp,
        bytes: usize,
        durability: Durability,
        /// Whether nobody else may be between a load and a save that are exclusive, too.
        exclusive: bool,
    },
    Touch {
        id: SessionId,
    },
    /// Makes the owner's session `new`, and leaves a mark in the place of `old`.
    Login {
        old: SessionId,
        new: SessionId,
        stamp: Stamp,
        mark: Stamp,
        owner: Owner,
    },
    Delete {
        id: SessionId,
    },
    /// Ends all sessions of an owner, those of logins that began before `now_ms` included.
    Revoke {
        owner: Owner,
    },
    Sweep,
    Look {
        id: SessionId,
    },
    List {
        owner: Owner,
    },
}

impl Deed {
    /// A save that keeps nobody out.
    pub(crate) fn save(id: SessionId, stamp: Stamp, bytes: usize, durability: Durability) -> Self {
        Self::Save { id, stamp, bytes, durability, exclusive: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Opened,
    /// The state was written, with this version.
    Wrote {
        version: u64,
    },
    /// The new session is there; the old one's mark was written with this version, if it was there.
    LoggedIn {
        marked: Option<u64>,
    },
    Touched,
    /// Nothing was written: somebody else's state is current, or there is such a session already.
    Refused,
    /// Nothing was written: there is no such session.
    Gone,
    /// Nothing is left of it: the owner's sessions were ended after this login began.
    Revoked,
    Ended,
    Swept {
        removed: Vec<SessionId>,
    },
    Saw(Sight),
    Listed {
        ids: Vec<SessionId>,
    },
    Failed {
        kind: String,
        why: String,
    },
}

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sight {
    Live {
        version: u64,
        stamp: Stamp,
        used_ms: u64,
        superseded: bool,
    },
    Absent,
    /// The store says that the record is damaged, and gives nothing of it.
    Damaged,
    /// The record's data are not those that any one stamp stands for.
    Torn,
}

/// What a worker says on its standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said {
    /// The threads that do its work: most of it one of them, what may wait for a disk the other.
    Hello {
        main: u32,
        pool: u32,
    },
    /// It is about to begin this. Only who chooses its own deeds says so.
    Begins {
        order: Order,
        at_ns: u64,
    },
    Answers {
        answer: Answer,
        begun_ns: u64,
        at_ns: u64,
    },
}

/// Nanoseconds on the clock that all processes of this machine share and nobody sets.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
