//! The file store beside the memory store: whatever is done to both, they answer alike, across
//! restarts and whatever time it is. Tickets are kept for as long as the input says, so that saves
//! come by descriptors of long ago.

#![no_main]

use std::time::{Duration, SystemTime};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sessile::store::{
    Access, Created, Durability, FileStore, MemoryStore, Page, Scope, Store, Ticket,
};
use sessile::{ErrorKind, Owner, Record, SecretHash, SessionId, Summary, Version};
use sessile_fuzz::{at, id, wait};
use tempfile::TempDir;

#[derive(Arbitrary, Debug)]
enum Step {
    Create { id: u8, owner: Option<u8>, idle: u16, absolute: u16, began: i8, size: u16, keep: Keep },
    Read { id: u8 },
    LoadForWriting { id: u8 },
    Lock { id: u8 },
    Release { ticket: u8 },
    Update { id: u8, from: u8, raise: u8, size: u16, change: u8, keep: Keep, ticket: Option<u8> },
    Touch { id: u8, used: i8, ticket: Option<u8> },
    Delete { id: u8, keep: Keep },
    DeleteOwner { owner: u8, except: Option<u8>, not_before: i8, keep: Keep },
    Sweep { limit: u8 },
    List { owner: Option<u8>, after: Option<u8>, limit: u8 },
    Later { seconds: u16 },
    Reopen,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Keep {
    Process,
    Power,
    Final,
}

fuzz_target!(|steps: Vec<Step>| {
    let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let mut pair = Pair::new(place.expect("a temporary folder"));
    for step in steps.iter().take(64) {
        wait(pair.step(step));
    }
    wait(pair.agree());
});

/// Both stores, and what time it is for them.
struct Pair {
    files: FileStore,
    memory: MemoryStore,
    tickets: Vec<(Ticket, Ticket)>,
    now: SystemTime,
    place: TempDir,
}

impl Pair {
    fn new(place: TempDir) -> Self {
        let (files, memory) = (open(&place), MemoryStore::new());
        Self { files, memory, tickets: Vec::new(), now: at(0), place }
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Create { id, owner, idle, absolute, began, size, keep } => {
                let mut record = self.record(id, idle, absolute);
                record.owner = owner.map(named);
                record.login_began_at = record.owner.is_some().then(|| self.near(began));
                fill(&mut record, size);
                self.create(&record, keep.into()).await;
            }
            Step::Read { id } => self.load(id, Access::Read).await,
            Step::LoadForWriting { id } => self.load(id, Access::Write).await,
            Step::Lock { id } => self.load(id, ALONE).await,
            Step::Release { ticket } => drop(self.take(ticket)),
            Step::Update { id, from, raise, size, change, keep, ticket } => {
                self.update((id, from, raise), size, change, keep.into(), ticket).await;
            }
            Step::Touch { id, used, ticket } => self.touch(id, self.near(used), ticket).await,
            Step::Delete { id, keep } => self.delete(id, keep.into()).await,
            Step::DeleteOwner { owner, except, not_before, keep } => {
                let (owner, except) = (named(owner), except.map(session));
                let (not_before, keep) = (self.near(not_before), keep.into());
                let files = self.files.delete_owner(&owner, except, not_before, keep).await;
                let memory = self.memory.delete_owner(&owner, except, not_before, keep).await;
                assert_eq!(files.expect("files"), memory.expect("memory"), "{step:?}");
            }
            Step::Sweep { limit } => self.sweep(limit.into()).await,
            Step::List { owner, after, limit } => {
                let (owner, after) = (owner.map(named), after.map(session));
                self.list(owner.as_ref(), after, usize::from(limit) + 1).await;
            }
            Step::Later { seconds } => self.now += Duration::from_millis(u64::from(seconds) * 997),
            Step::Reopen => {
                self.tickets.clear();
                self.files = open(&self.place);
            }
        }
    }

    fn record(&self, id: u8, idle: u16, absolute: u16) -> Record {
        let idle = (!idle.is_multiple_of(8)).then(|| Duration::from_secs(idle.into()));
        let absolute = Duration::from_secs(absolute.into());
        Record::new(session(id), SecretHash::from_bytes([9; 32]), self.now, idle, absolute)
    }

    /// An instant a few seconds from now.
    fn near(&self, seconds: i8) -> SystemTime {
        let distance = Duration::from_millis(u64::from(seconds.unsigned_abs()) * 499);
        if seconds < 0 { self.now - distance } else { self.now + distance }
    }

    async fn create(&self, record: &Record, keep: Durability) {
        let files = self.files.create(record, keep).await.expect("files create");
        let memory = self.memory.create(record, keep).await.expect("memory creates");
        // Of a record that is there and of a login that was revoked, either may be said.
        let both_refuse = files != Created::New && memory != Created::New;
        assert!(files == memory || both_refuse, "{files:?}, not {memory:?}: {record:?}");
    }

    async fn load(&mut self, id: u8, access: Access) {
        let files = self.files.load(session(id), self.now, access).await;
        let memory = self.memory.load(session(id), self.now, access).await;
        match (files, memory) {
            (Ok(None), Ok(None)) => {}
            (Ok(Some(files)), Ok(Some(memory))) => {
                assert_eq!(files.record, memory.record, "load of {id}");
                self.tickets.push((files.ticket, memory.ticket));
                self.tickets.truncate(8);
            }
            (Err(files), Err(memory)) => {
                assert_eq!((files.kind(), memory.kind()), (ErrorKind::LockTimeout, files.kind()));
            }
            // Who waits for a session that is held hears of its end when the lock is free, or not at all.
            (Err(files), Ok(None)) => assert_eq!(files.kind(), ErrorKind::LockTimeout),
            (files, memory) => panic!("files: {files:?}, memory: {memory:?}"),
        }
    }

    fn take(&mut self, number: u8) -> Option<(Ticket, Ticket)> {
        let number = usize::from(number).checked_rem(self.tickets.len())?;
        Some(self.tickets.swap_remove(number))
    }

    async fn update(
        &mut self,
        (id, from, raise): (u8, u8, u8),
        size: u16,
        change: u8,
        keep: Durability,
        ticket: Option<u8>,
    ) {
        let Some(mut next) = self.known(id).await else { return };
        let expected = Version::new(next.version.get().saturating_sub(u64::from(from % 4)));
        next.version = Version::new(expected.get() + u64::from(raise % 4));
        fill(&mut next, size);
        self.vary(&mut next, change);
        let (mut files, mut memory) = ticket.and_then(|it| self.take(it)).unwrap_or_default();
        let files = self.files.update(&next, expected, keep, &mut files).await;
        let memory = self.memory.update(&next, expected, keep, &mut memory).await;
        match (files, memory) {
            (Ok(files), Ok(memory)) => assert_eq!(files, memory, "update to {next:?}"),
            (Err(files), Err(memory)) => assert_eq!(files.kind(), memory.kind(), "{files:?}"),
            (files, memory) => panic!("update to {next:?}: files {files:?}, memory {memory:?}"),
        }
    }

    /// The record of `id` at a time when it was live, if there is one.
    async fn known(&self, id: u8) -> Option<Record> {
        let loaded = self.memory.load(session(id), at(0), Access::Read).await;
        loaded.expect("memory loads").map(|loaded| loaded.record)
    }

    fn vary(&self, record: &mut Record, change: u8) {
        record.touch(self.near((change % 16).cast_signed()));
        if change & 0x10 != 0 {
            record.owner = None;
        }
        record.superseded |= change & 0x20 != 0;
        if change & 0x40 != 0 {
            record.idle_timeout = Some(Duration::from_secs(change.into()));
        }
        record.persistent = change & 0x80 != 0;
    }

    async fn touch(&mut self, id: u8, used_at: SystemTime, ticket: Option<u8>) {
        let (mut files, mut memory) = ticket.and_then(|it| self.take(it)).unwrap_or_default();
        let deadline = used_at + Duration::from_secs(60);
        let files = self.files.touch(session(id), used_at, deadline, &mut files).await;
        let memory = self.memory.touch(session(id), used_at, deadline, &mut memory).await;
        assert_eq!(files.expect("files"), memory.expect("memory"), "touch of {id} at {used_at:?}");
    }

    async fn delete(&self, id: u8, keep: Durability) {
        let files = self.files.delete(session(id), keep).await.expect("files delete");
        assert_eq!(files, self.memory.delete(session(id), keep).await.expect("memory"), "{id}");
    }

    /// Files may let lie for a while what expired; what they remove must have.
    async fn sweep(&self, limit: usize) {
        let swept = self.files.delete_expired(self.now, limit).await.expect("files sweep");
        assert!(swept.removed.len() <= limit);
        for (id, owner) in swept.removed {
            let live = self.memory.load(id, self.now, Access::Read).await.expect("memory loads");
            assert!(live.is_none(), "{id} of {owner:?} was swept alive");
            assert!(self.memory.delete(id, Durability::Process).await.expect("memory"), "{id}");
        }
    }

    async fn list(&self, owner: Option<&Owner>, after: Option<SessionId>, limit: usize) {
        let scope = owner.map_or(Scope::All, Scope::Owner);
        let files = all(&self.files, scope, self.now, after, limit).await;
        let memory = all(&self.memory, scope, self.now, after, limit).await;
        assert_eq!(files, memory, "list of {scope:?} after {after:?}");
    }

    async fn agree(&mut self) {
        for id in 0..SESSIONS {
            self.load(id, Access::Read).await;
        }
        self.list(None, None, 2).await;
    }
}

/// All pages behind `after`, each of at most `limit`.
async fn all(
    store: &dyn Store,
    scope: Scope<'_>,
    now: SystemTime,
    mut after: Option<SessionId>,
    limit: usize,
) -> Vec<Summary> {
    let mut sessions = Vec::new();
    loop {
        let Page { sessions: more, next, .. } =
            store.list(scope, now, after, limit).await.expect("a list");
        assert!(more.len() <= limit);
        sessions.extend(more);
        after = next;
        if after.is_none() {
            return sessions;
        }
    }
}

/// Few sessions and owners, so that steps meet.
const SESSIONS: u8 = 4;

const ALONE: Access =
    Access::Exclusive { wait: Duration::ZERO, hold: Duration::from_secs(24 * 60 * 60) };

fn open(place: &TempDir) -> FileStore {
    let path = place.path().join("sessions");
    FileStore::builder(path).allow_any_file_system(true).open().expect("the store opens")
}

fn session(number: u8) -> SessionId {
    id(number % SESSIONS)
}

fn named(number: u8) -> Owner {
    Owner::new(["ann", "bob"][usize::from(number % 2)]).expect("a name")
}

/// Data of a size: within a slot, over it, and over several pages.
fn fill(record: &mut Record, size: u16) {
    let text = format!("\"{}\"", "x".repeat(usize::from(size % 10_000)));
    record.data.insert("fill", text.into());
}

impl From<Keep> for Durability {
    fn from(keep: Keep) -> Self {
        match keep {
            Keep::Process => Self::Process,
            Keep::Power => Self::Power,
            Keep::Final => Self::Final,
        }
    }
}
