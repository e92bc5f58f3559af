//! A store at work under the recorder, and the story of what it promised to whom.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::super::Options;
use super::super::core::{Core, patiently};
use super::super::records::SHARDS;
use super::super::sweep::{WATCH_MS, shard_of};
use super::super::sys::For;
use super::super::sys::record::{Call, Fault, Node, Recording};
use super::disk::{Disk, SECTOR};
use super::tree;
use crate::clock::{from_millis, later, millis};
use crate::error::Result;
use crate::record::{Owner, PreviousSecret, Record, Version};
use crate::store::{Created, Durability, Updated};
use crate::token::{SecretHash, SessionId};

/// Ann's session, the one that most operations are about.
pub(super) const MAIN: SessionId = id(0x11, 1);
/// Another one of hers.
pub(super) const SECOND: SessionId = id(0x11, 2);
/// One of hers that expired long ago.
pub(super) const EXPIRED: SessionId = id(0x11, 3);
/// Nobody's.
pub(super) const ANONYMOUS: SessionId = id(0x22, 1);

/// How long a secret that was replaced, and the mark of a login, are accepted.
pub(super) const GRACE: Duration = Duration::from_secs(60);

pub(super) const fn id(shard: u8, number: u8) -> SessionId {
    let mut bytes = [number; 16];
    bytes[0] = shard;
    SessionId::from_bytes(bytes)
}

/// The moment at which every story begins, in 2100: the patrol is in the directory of [`MAIN`].
pub(super) fn start() -> SystemTime {
    watch(UNIX_EPOCH + Duration::from_secs(4_102_444_800), MAIN.as_bytes()[0])
}

/// The first moment from `earliest` on at which the patrol is in this directory.
pub(super) fn watch(earliest: SystemTime, shard: u8) -> SystemTime {
    let first = millis(earliest).div_ceil(WATCH_MS);
    let watch = (first..first + 2 * SHARDS as u64).find(|watch| shard_of(*watch) == shard);
    from_millis(watch.expect("two rounds come by everywhere") * WATCH_MS)
}

/// Until when the owner's logins are refused once their sessions were ended.
pub(super) fn revoked_at() -> SystemTime {
    start() + Duration::from_millis(500)
}

pub(super) fn ann() -> Owner {
    Owner::new("ann").unwrap()
}

/// Something the store was asked to do, and must have done once it said so.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Write {
        record: Box<Record>,
        durability: Durability,
        /// The session that replaces this one.
        successor: Option<SessionId>,
    },
    Touch {
        id: SessionId,
        used_at: SystemTime,
    },
    End {
        id: SessionId,
        durability: Durability,
    },
    Revoke,
}

/// What happened: where it began, what the disk was told, what the callers were told.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) start: Disk,
    pub(super) log: Vec<Call>,
    pub(super) deeds: Vec<Deed>,
    /// So many of the deeds were done and synced before it began.
    pub(super) certain: usize,
    /// The files of the sessions that were there.
    pub(super) files: Vec<(SessionId, Node)>,
    pub(super) now: SystemTime,
    /// The moment from which on it crashes.
    pub(super) crashes_from: usize,
    /// Whether the device writes a page of 4 KiB whole or not at all: then saves that no sync covers
    /// endanger nothing that one did.
    pub(super) pages_are_whole: bool,
}

impl Story {
    fn beginning(start: Disk, certain: usize) -> Self {
        Self {
            start,
            log: vec![],
            deeds: vec![],
            certain,
            files: vec![],
            now: self::start(),
            crashes_from: 0,
            pages_are_whole: false,
        }
    }

    /// The sessions it is about.
    pub(super) fn ids(&self) -> Vec<SessionId> {
        let ids = self.deeds.iter().filter_map(Deed::id);
        ids.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }
}

impl Deed {
    pub(super) fn id(&self) -> Option<SessionId> {
        match self {
            Self::Write { record, .. } => Some(record.id),
            Self::Touch { id, .. } | Self::End { id, .. } => Some(*id),
            Self::Revoke => None,
        }
    }
}

/// A store on a disk of its own.
#[derive(Debug)]
pub(super) struct Scene {
    dir: tempfile::TempDir,
    pub(super) core: Core,
    recording: Recording,
    /// Where the story begins.
    beginning: Option<Story>,
    deeds: Vec<Deed>,
    pub(super) now: SystemTime,
    made: u8,
}

impl Scene {
    /// A store with four sessions, of which three have two states each.
    pub(super) fn new() -> Self {
        let dir = tree::scratch();
        let core = open(dir.path()).unwrap();
        let (recording, now) = (Recording::start(), start() - Duration::from_secs(3600));
        let mut scene = Self { dir, core, recording, beginning: None, deeds: vec![], now, made: 0 };
        scene.furnish().unwrap();
        scene.now = start();
        scene
    }

    /// A store in a directory that was never opened; its opening is part of the story.
    pub(super) fn unfurnished() -> Self {
        let (dir, recording, now) = (tree::scratch(), Recording::start(), start());
        let beginning = Some(Story::beginning(Disk::read(dir.path(), SECTOR), 0));
        let core = open(dir.path()).unwrap();
        Self { dir, core, recording, beginning, deeds: vec![], now, made: 0 }
    }

    fn furnish(&mut self) -> Result<()> {
        self.create(owned(MAIN, self.now), Durability::Power)?;
        self.create(owned(SECOND, self.now), Durability::Power)?;
        self.create(anonymous(ANONYMOUS, self.now), Durability::Power)?;
        let idle_timeout = Some(Duration::from_secs(600));
        let expired = Record { idle_timeout, ..owned(EXPIRED, self.now) };
        self.create(expired, Durability::Power)?;
        for id in [MAIN, ANONYMOUS] {
            self.save(id, 1_500, Durability::Power)?;
        }
        Ok(())
    }

    /// From here on the disk's calls are part of the story.
    pub(super) fn begin(&mut self, sector: usize) {
        let records = self.dir.path().join("default/records");
        let file = |id: SessionId| {
            let name = id.to_string();
            (id, tree::node(&records.join(&name[..2]).join(&name)))
        };
        let files = [MAIN, SECOND, EXPIRED, ANONYMOUS].map(file).into();
        let disk = Disk::read(self.dir.path(), sector);
        self.beginning = Some(Story { files, ..Story::beginning(disk, self.deeds.len()) });
        self.recording.take();
    }

    /// What happened so far went well: crashes come later.
    pub(super) fn spare_the_past(&mut self) {
        let beginning = self.beginning.as_mut().expect("the story has begun");
        beginning.crashes_from = self.recording.noted();
    }

    /// The story since its beginning.
    pub(super) fn story(&self) -> Story {
        let beginning = self.beginning.clone().expect("the story has begun");
        let (log, deeds) = (self.recording.take(), self.deeds.clone());
        Story { log, deeds, now: self.now + Duration::from_secs(1), ..beginning }
    }

    /// Another process takes over: nothing that the last one knew is known any more.
    pub(super) fn restart(&mut self) {
        self.core = open(self.dir.path()).unwrap();
    }

    /// Lets the system refuse steps, counted from here.
    pub(super) fn set_fault(&self, fault: Fault) {
        let steps = self.recording.steps();
        self.recording.set_fault(match fault {
            Fault::Once(at) => Fault::Once(steps + at),
            Fault::Dead(at) => Fault::Dead(steps + at),
            other => other,
        });
    }

    pub(super) fn steps(&self) -> usize {
        self.recording.steps()
    }

    /// An ID that was not used before, in a directory of its own.
    pub(super) fn fresh_id(&mut self) -> SessionId {
        self.made += 1;
        id(0x30 + self.made, 1)
    }

    /// The newest state of `id`, as a request would load it.
    pub(super) fn load(&self, id: SessionId) -> Result<Option<Record>> {
        let opened = self.core.load(id, For::Writing)?;
        Ok(opened.map(|it| it.record).filter(|it| !it.superseded && !it.is_expired(self.now)))
    }

    /// Ann's first session that is left.
    pub(super) fn subject(&self) -> Result<Option<Record>> {
        Ok(self.load(MAIN)?.or(self.load(SECOND)?))
    }

    // What a store is asked to do

    pub(super) fn create(&mut self, record: Record, durability: Durability) -> Result<bool> {
        self.perform(vec![write(&record, durability)], |core| {
            Ok(core.create(&record, durability)? == Created::New)
        })
    }

    pub(super) fn update(&mut self, next: &Record, durability: Durability) -> Result<bool> {
        self.perform(vec![write(next, durability)], |core| update(core, next, durability))
    }

    /// Puts the mark of a login in place of the session that `next` replaces.
    pub(super) fn supersede(&mut self, mark: &Record, by: SessionId) -> Result<bool> {
        let (record, successor) = (Box::new(mark.clone()), Some(by));
        let deed = Deed::Write { record, durability: Durability::Final, successor };
        self.perform(vec![deed], |core| update(core, mark, Durability::Final))
    }

    /// Saves data of so many bytes in the session of `id`, if it is there.
    pub(super) fn save(&mut self, id: SessionId, bytes: usize, how: Durability) -> Result<bool> {
        let Some(record) = self.load(id)? else { return Ok(false) };
        let next = next(&record, bytes);
        self.update(&next, how)
    }

    pub(super) fn touch(&mut self, id: SessionId, used_at: SystemTime) -> Result<bool> {
        let deed = Deed::Touch { id, used_at };
        self.perform(vec![deed], |core| patiently(|| core.touch(id, used_at, &mut None)))
    }

    /// It is acknowledged whether there was something to end or not.
    pub(super) fn delete(&mut self, id: SessionId, durability: Durability) -> Result<bool> {
        let deed = Deed::End { id, durability };
        self.perform(vec![deed], |core| core.delete(id, durability).map(|_| true))
    }

    pub(super) fn revoke(&mut self, ids: &[SessionId]) -> Result<bool> {
        let end = |id: &SessionId| Deed::End { id: *id, durability: Durability::Power };
        let deeds = ids.iter().map(end).chain([Deed::Revoke]).collect();
        self.perform(deeds, |core| {
            core.delete_owner(&ann(), None, revoked_at(), Durability::Power).map(|_| true)
        })
    }

    pub(super) fn sweep(&mut self) -> Result<bool> {
        let deed = Deed::End { id: EXPIRED, durability: Durability::Process };
        let now = self.now;
        self.perform(vec![deed], |core| core.delete_expired(now, 10).map(|_| true))
    }

    /// Does something that promises nothing by itself.
    pub(super) fn quietly(&mut self, act: impl FnOnce(&Core) -> Result<()>) -> Result<bool> {
        self.perform(vec![], |core| act(core).map(|()| true))
    }

    fn perform(
        &mut self,
        deeds: Vec<Deed>,
        act: impl FnOnce(&Core) -> Result<bool>,
    ) -> Result<bool> {
        let numbers = self.deeds.len()..self.deeds.len() + deeds.len();
        self.deeds.extend(deeds);
        numbers.clone().for_each(|number| self.recording.note(Call::Begun(number)));
        let done = act(&self.core)?;
        if done {
            numbers.for_each(|number| self.recording.note(Call::Acknowledged(number)));
        }
        Ok(done)
    }
}

pub(super) fn open(path: &std::path::Path) -> Result<Core> {
    Core::open(path, Options::default())
}

fn write(record: &Record, durability: Durability) -> Deed {
    Deed::Write { record: Box::new(record.clone()), durability, successor: None }
}

/// An update as the async face carries it out.
pub(super) fn update(core: &Core, next: &Record, durability: Durability) -> Result<bool> {
    let expected = Version::new(next.version.get() - 1);
    let committed = patiently(|| core.update(next, expected, durability, &mut None))?;
    if let Some(owner) = committed.left {
        core.leave_owner(&owner, &[next.id].into())?;
    }
    Ok(matches!(committed.updated, Updated::Written))
}

// Records

pub(super) fn anonymous(id: SessionId, now: SystemTime) -> Record {
    let (idle, absolute) = (Duration::from_secs(2 * 3600), Duration::from_secs(12 * 3600));
    let hash = SecretHash::from_bytes([id.as_bytes()[0] ^ id.as_bytes()[1]; 32]);
    with_data(Record::new(id, hash, now, Some(idle), absolute), 1_500)
}

pub(super) fn owned(id: SessionId, now: SystemTime) -> Record {
    let mut record = anonymous(id, now);
    record.owner = Some(ann());
    record.level = 1;
    record.authenticated_at = Some(now);
    record.login_began_at = Some(now);
    record
}

/// The next state, with so many bytes of other data: no sector of it is as in any other state.
pub(super) fn next(record: &Record, bytes: usize) -> Record {
    let version = record.version.next();
    with_data(Record { version, ..record.clone() }, bytes)
}

fn with_data(mut record: Record, bytes: usize) -> Record {
    let mut state = record.version.get() * 31 + u64::from(record.id.as_bytes()[0]) + 1;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{state:016x}")
    };
    let mut text: String = (0..bytes.div_ceil(16)).map(|_| word()).collect();
    text.truncate(bytes);
    record.data.insert("text", Bytes::from(format!("\"{text}\"")));
    record
}

/// The next state with another secret, as a rotation makes it.
pub(super) fn rotated(record: &Record, now: SystemTime) -> Record {
    let mut next = next(record, 1_500);
    next.previous = Some(PreviousSecret {
        hash: record.secret_hash,
        replaced_at: now,
        accepted_until: Some(later(now, GRACE)),
        auth_epoch: record.auth_epoch,
    });
    next.secret_hash = SecretHash::from_bytes([next.version.get() as u8 + 100; 32]);
    next
}

/// The next state after a step-up: the secret before opens nothing any more.
pub(super) fn stepped_up(record: &Record, now: SystemTime) -> Record {
    let mut next = rotated(record, now);
    next.auth_epoch += 1;
    next.level += 1;
    next
}

/// The mark that a login leaves in place of the session it replaced.
pub(super) fn mark(record: &Record, now: SystemTime) -> Record {
    let mut mark = next(record, 0);
    mark.data.clear();
    mark.superseded = true;
    mark.owner = None;
    mark.idle_timeout = None;
    mark.absolute_deadline = later(now, GRACE);
    mark
}
