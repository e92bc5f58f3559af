//! What a store finds after a crash, and how it gets on from there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::super::core::Core;
use super::super::sys::For;
use super::scene::{ann, id, next, open, owned, revoked_at, update, watch};
use super::tree::{self, Tree};
use crate::error::{ErrorKind, Result};
use crate::record::Record;
use crate::store::{Created, Durability};
use crate::token::SessionId;

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Record(Box<Record>),
    Nothing,
    Corrupt,
    Failed(String),
}

/// Everything that shows of one state of the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Observation {
    pub(super) seen: BTreeMap<SessionId, Seen>,
    /// Ann's sessions, as a list shows them.
    pub(super) listed: BTreeSet<SessionId>,
    /// What differs when it is all done once more.
    pub(super) unsettled: Vec<String>,
    /// What the sessions are after a sweep that finds nothing due among the live.
    pub(super) swept: BTreeMap<SessionId, Seen>,
    /// The sessions whose next update failed, or could not be read back.
    pub(super) stuck: Vec<String>,
    /// Whether a login of Ann that began at her "not before" was let in.
    pub(super) late_login: Option<Created>,
    /// The files that are still there days after everything expired.
    pub(super) leftovers: Vec<String>,
    /// What failed that must not, whatever was lost.
    pub(super) failed: Vec<String>,
}

/// Rebuilds states, each once, and remembers what showed.
#[derive(Debug)]
pub(super) struct Observer {
    dir: tempfile::TempDir,
    ids: Vec<SessionId>,
    now: SystemTime,
    known: RefCell<HashMap<u64, Rc<Observation>>>,
}

impl Observer {
    pub(super) fn new(ids: Vec<SessionId>, now: SystemTime) -> Self {
        Self { dir: tree::scratch(), ids, now, known: RefCell::default() }
    }

    pub(super) fn observe(&self, print: u64, state: &Tree) -> Rc<Observation> {
        if let Some(known) = self.known.borrow().get(&print) {
            return Rc::clone(known);
        }
        let path = self.dir.path().join("state");
        state.build(&path);
        let observation = Rc::new(self.recover(&path));
        std::fs::remove_dir_all(&path).unwrap();
        self.known.borrow_mut().insert(print, Rc::clone(&observation));
        observation
    }

    fn recover(&self, path: &Path) -> Observation {
        let mut recovery = Recovery {
            path: path.to_owned(),
            ids: &self.ids,
            now: self.now,
            found: Observation::default(),
        };
        if let Err(error) = recovery.run() {
            recovery.found.failed.push(format!("{error}"));
        }
        recovery.found
    }
}

struct Recovery<'a> {
    path: PathBuf,
    ids: &'a [SessionId],
    now: SystemTime,
    found: Observation,
}

impl Recovery<'_> {
    fn run(&mut self) -> Result<()> {
        let core = open(&self.path)?;
        self.found.seen = self.read_all(&core);
        self.found.listed = self.list(&core)?;
        self.once_more()?;
        core.delete_expired(self.now, 100)?;
        self.found.swept = self.read_all(&core);
        self.go_on(&core);
        self.found.late_login = Some(self.log_in_late(&core)?);
        self.collect(&core)
    }

    fn read_all(&self, core: &Core) -> BTreeMap<SessionId, Seen> {
        self.ids.iter().map(|id| (*id, read(core, *id))).collect()
    }

    fn list(&self, core: &Core) -> Result<BTreeSet<SessionId>> {
        let page = core.list_owner(&ann(), self.now, None, 100)?;
        Ok(page.sessions.iter().map(|it| it.id).collect())
    }

    /// A second recovery must find what the first one left, and change nothing.
    fn once_more(&mut self) -> Result<()> {
        let before = Tree::read(&self.path);
        let core = open(&self.path)?;
        let (seen, listed) = (self.read_all(&core), self.list(&core)?);
        let mut expected = self.found.seen.clone();
        // What is damaged was set aside by the first read.
        expected.values_mut().filter(|it| **it == Seen::Corrupt).for_each(|it| *it = Seen::Nothing);
        let unsettled = [
            ("a second read differs", seen != expected),
            ("a second list differs", listed != self.found.listed),
            ("a second recovery changed the disk", Tree::read(&self.path) != before),
        ];
        let unsettled = unsettled.into_iter().filter(|it| it.1).map(|it| it.0.to_owned());
        self.found.unsettled.extend(unsettled);
        Ok(())
    }

    /// Every session that was read goes on from what was read.
    fn go_on(&mut self, core: &Core) {
        for seen in self.found.seen.values() {
            let Seen::Record(record) = seen else { continue };
            let next = next(record, 1_000);
            let went_on = record.superseded
                || record.is_expired(self.now)
                || matches!(update(core, &next, Durability::Power), Ok(true))
                    && read(core, next.id) == Seen::Record(Box::new(next));
            if !went_on {
                self.found.stuck.push(record.id.to_string());
            }
        }
    }

    fn log_in_late(&self, core: &Core) -> Result<Created> {
        let mut record = owned(id(0x11, 0x77), self.now);
        record.login_began_at = Some(revoked_at());
        core.create(&record, Durability::Power)
    }

    /// Days later everything has expired, and a patrol has come by everywhere.
    fn collect(&mut self, core: &Core) -> Result<()> {
        let later = self.now + Duration::from_secs(3 * 24 * 3600);
        let shards: BTreeSet<u8> = self.ids.iter().map(|id| id.as_bytes()[0]).collect();
        for shard in shards {
            while core.delete_expired(watch(later, shard), 100)?.more {}
        }
        core.list_owner(&ann(), later, None, 100)?;
        let files = Tree::read(&self.path).files().into_iter();
        let is_left = |path: &String| path != "sessile.key" && !path.contains("/corrupt");
        let is_file = |path: &String| self.path.join(path).is_file();
        self.found.leftovers = files.filter(|path| is_left(path) && is_file(path)).collect();
        Ok(())
    }
}

fn read(core: &Core, id: SessionId) -> Seen {
    match core.load(id, For::Reading) {
        Ok(None) => Seen::Nothing,
        Ok(Some(opened)) => Seen::Record(Box::new(opened.record)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Seen::Corrupt,
        Err(error) => Seen::Failed(format!("{error}")),
    }
}
