//! Mending the index of owners from the records, which say themselves whose they are.

use std::time::SystemTime;

use super::Doing;
use super::core::Core;
use super::records::SHARDS;
use crate::error::Result;
use crate::record::Record;

/// What [`FileStore::mend`](super::FileStore::mend) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mended {
    /// How many owners' files were damaged, and are usable again.
    pub owners: u64,
    /// How many live sessions their owner's file did not know.
    pub missing: u64,
    /// How many entries stood for no session any more.
    pub ghosts: u64,
}

impl Core {
    /// Heads first, since nothing can be entered under a damaged one; ghosts last, so that what was
    /// entered for a session which ended meanwhile is seen too.
    pub(super) fn mend(&self, now: SystemTime) -> Result<Mended> {
        let mut mended = Mended::default();
        for name in self.owners.names()? {
            mended.owners += u64::from(self.owners.mend_head(&name, now)?);
        }
        for shard in 0..=(SHARDS - 1) as u8 {
            mended.missing += self.enter_sessions_of(shard, now)?;
        }
        for name in self.owners.names()? {
            let is_theirs = |record: &Record| self.is_named(record, &name);
            let is_ghost = |id| self.is_ghost_to(id, &is_theirs);
            mended.ghosts += self.owners.heal_named(&name, now, &is_ghost)?;
        }
        Ok(mended)
    }

    fn enter_sessions_of(&self, shard: u8, now: SystemTime) -> Result<u64> {
        let mut missing = 0;
        for id in self.records.ids(shard).doing("cannot read a session directory")? {
            let record = self.load_listed(id)?.filter(|record| !record.is_expired(now));
            let Some(Record { owner: Some(owner), used_at, .. }) = record else { continue };
            missing += u64::from(self.owners.enter(&owner, id, used_at)?);
        }
        Ok(missing)
    }

    /// Whether a record belongs to the owner whose file has this name.
    fn is_named(&self, record: &Record, name: &str) -> bool {
        record.owner.as_ref().is_some_and(|owner| self.owners.name(owner) == name)
    }
}
