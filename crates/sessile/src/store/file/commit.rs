//! Every change of a session file: create, update, touch, delete. Each under the commit lock.
//!
//! The danger is a way back: a session that a crash, a race or a full disk brings to an older state
//! or back to life. So the newest state is never overwritten, a deletion is itself a newer state,
//! and what was promised to be final stands in both slots.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::Doing;
use super::core::{Attempt, Core, Judged, Locked, page_of, patiently, wait_for};
use super::owners::Admission;
use super::page::{self, PAGE_BYTES, Page, Side, State, TOUCH_WORD_AT};
use super::sys::{File, For};
use crate::codec::{self, Head, Place, encode_body, is_owned};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Owner, Record, Version};
use crate::store::{Created, Durability, Updated};
use crate::token::SessionId;

/// How much behind the last live region is worth a call to give it back.
const SPARE_BYTES_MAX: u64 = 64 * 1024;

/// A committed update, and the owner whose list the session leaves by it.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) updated: Updated,
    pub(super) left: Option<Owner>,
}

impl From<Updated> for Committed {
    fn from(updated: Updated) -> Self {
        Self { updated, left: None }
    }
}

/// What a deletion came to.
#[derive(Debug)]
pub(super) enum Deletion {
    /// There was no session.
    Absent,
    /// The caller did not want this one to go.
    Spared(Box<Record>),
    /// It ended; it belonged to this owner.
    Done(Option<Owner>),
}

impl Core {
    /// Writes a record that must not exist yet. Its owner's index knows it before anyone can see it.
    pub(super) fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        let durability = self.durability(durability);
        let Some(owner) = &record.owner else { return self.create_record(record, durability) };
        let admission = self.owners.admit(owner, record, durability)?;
        if admission == Admission::Refused {
            return Ok(Created::Revoked);
        }
        let created = self.create_record(record, durability);
        if matches!(created, Ok(Created::New)) {
            return self.confirm(owner, record, durability);
        }
        // After an error the entry stays: a record that was written, and removed without a sync, comes
        // back with the power, and must then be in the list. A ghost is healed by the next list.
        if admission == Admission::Added && created.is_ok() {
            let _ = self.leave_owner(owner, &[record.id].into());
        }
        created
    }

    /// Looks again whether the owner's sessions were ended while this record was written. Whoever
    /// ends them lists after they wrote the instant: they see the record, or we see the instant.
    fn confirm(&self, owner: &Owner, record: &Record, durability: Durability) -> Result<Created> {
        if self.owners.confirm(owner, record, durability)? != Admission::Refused {
            return Ok(Created::New);
        }
        self.delete(record.id, durability)?;
        Ok(Created::Revoked)
    }

    fn create_record(&self, record: &Record, durability: Durability) -> Result<Created> {
        let body = encode_body(record, record.used_at)?;
        // An entry without a record is dropped when it is due; a record without an entry waits a
        // day for the back-stop.
        self.log.append(record.id, record.deadline(), record.used_at)?;
        let file = match self.records.create(record.id) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Created::Exists);
            }
            file => file.doing("cannot create a session file")?,
        };
        match self.write_first(&file, record, body, durability) {
            Ok(()) => Ok(Created::New),
            Err(error) => {
                // The first error is the one to report; what stays behind is an unfinished create.
                let _ = self.records.unlink(record.id, &file);
                Err(error)
            }
        }
    }

    /// Fills a new file: the tail, then the whole page at once. The lock, which the close frees, keeps
    /// a reader who finds the page half-way from calling it damaged.
    fn write_first(
        &self,
        file: &File,
        record: &Record,
        body: Vec<u8>,
        durability: Durability,
    ) -> Result<()> {
        wait_for(|| file.try_lock().doing("cannot lock a new session file"))?;
        let write = page::plan(None, record.id, record.version, body);
        write_tail(file, &write).doing("cannot write a new session file")?;
        file.write_at(&Page::first(&write.slot), 0).doing("cannot write a new session file")?;
        if durability >= Durability::Power {
            file.sync_data().doing("cannot sync a new session file")?;
            self.records.sync_name(record.id).doing("cannot sync a session directory")?;
        }
        Ok(())
    }

    /// Replaces the state of version `expected`.
    ///
    /// A file in `kept` is used, and closed by a successful write: the close frees the commit lock.
    pub(super) fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        kept: &mut Option<Arc<File>>,
    ) -> Result<Attempt<Committed>> {
        if record.version <= expected {
            return Err(Error::new(ErrorKind::Value, "an update carries a greater version"));
        }
        let locked = match self.lock(record.id, kept)? {
            Attempt::Busy => return Ok(Attempt::Busy),
            Attempt::Done(None) => return Ok(Attempt::Done(Updated::Gone.into())),
            Attempt::Done(Some(locked)) => locked,
        };
        let committed =
            self.update_locked(record, expected, self.durability(durability), &locked)?;
        if matches!(committed.updated, Updated::Conflict(_)) {
            *kept = Some(Arc::clone(&locked.file));
        }
        Ok(Attempt::Done(committed))
    }

    fn update_locked(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        locked: &Locked,
    ) -> Result<Committed> {
        let read = page_of(&locked.file)?;
        if let (Ok(Some(page)), true) = (&read, record.owner.is_some())
            && let Some(newest) = page.expected_in_tail(record.id, expected)
        {
            let front = front_of_tail(&locked.file, &newest.1)?;
            if comes_too_late(record, page, &front) {
                return Ok(Updated::Gone.into());
            }
            return replace(locked, record, page, newest, durability, None);
        }
        let (page, state) = match self.judge_page(&locked.file, record.id, read)? {
            Judged::Live(page, state) => (page, state),
            Judged::Unfinished | Judged::Ended(_) => return Ok(Updated::Gone.into()),
        };
        if state.head.version != expected {
            let current = self.record(&locked.file, record.id, &page, &state)?;
            let live = current.filter(|it| !it.is_expired(record.used_at));
            return Ok(live.map_or(Updated::Gone, |it| Updated::Conflict(Box::new(it))).into());
        }
        if comes_too_late(record, &page, &state.body) {
            return Ok(Updated::Gone.into());
        }
        let left = if record.owner.is_none() && is_owned(&state.body) {
            state.record(&page)?.owner
        } else {
            None
        };
        replace(locked, record, &page, (state.side, state.head), durability, left)
    }

    /// Notes a use, unless a later one is known; gives whether the session was there.
    pub(super) fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        kept: &mut Option<Arc<File>>,
    ) -> Result<Attempt<bool>> {
        let locked = match self.lock(id, kept)? {
            // It may be the sweeper's: a use that nobody noted must not be acknowledged.
            Attempt::Busy => return Ok(Attempt::Busy),
            Attempt::Done(None) => return Ok(Attempt::Done(false)),
            Attempt::Done(Some(locked)) => locked,
        };
        *kept = Some(Arc::clone(&locked.file));
        self.touch_locked(id, used_at, &locked).map(Attempt::Done)
    }

    fn touch_locked(&self, id: SessionId, used_at: SystemTime, locked: &Locked) -> Result<bool> {
        let Judged::Live(page, state) = self.judge(&locked.file, id)? else { return Ok(false) };
        let Some(record) = self.record(&locked.file, id, &page, &state)? else { return Ok(false) };
        if record.is_expired(used_at) {
            return Ok(false);
        }
        if used_at > record.used_at {
            let word = page::touch_word(id, record.created_at, used_at);
            let written = locked.file.write_at(&word.to_le_bytes(), TOUCH_WORD_AT);
            written.doing("cannot touch a session file")?;
        }
        Ok(true)
    }

    /// Ends the session of `id`, and removes it from its owner's index afterwards.
    pub(super) fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        let Deletion::Done(owner) = self.end_if(id, durability, &|_| true)? else {
            return Ok(false);
        };
        if let Some(owner) = owner {
            // Best effort: the session ended, and a full disk may have no room for its owner's list.
            // A ghost in there is healed by the next list.
            let _ = self.leave_owner(&owner, &[id].into());
        }
        Ok(true)
    }

    /// As [`delete_if`](Self::delete_if), of a session that may be damaged: setting it aside took it
    /// out of its place, which is all that its user asked for.
    pub(super) fn end_if(
        &self,
        id: SessionId,
        durability: Durability,
        wanted: &dyn Fn(&Record) -> bool,
    ) -> Result<Deletion> {
        match self.delete_if(id, durability, wanted) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.sync_removal(id, self.durability(durability))?;
                Ok(Deletion::Done(None))
            }
            deletion => deletion,
        }
    }

    /// Ends the session of `id` if `wanted` says so of the newest state, as read under its lock.
    pub(super) fn delete_if(
        &self,
        id: SessionId,
        durability: Durability,
        wanted: &dyn Fn(&Record) -> bool,
    ) -> Result<Deletion> {
        let durability = self.durability(durability);
        let mut kept = None;
        match patiently(|| self.lock(id, &mut kept))? {
            Some(locked) => self.delete_locked(id, durability, wanted, &locked),
            // Whoever removed the name may not have had to make that last.
            None => self.sync_removal(id, durability).map(|()| Deletion::Absent),
        }
    }

    fn delete_locked(
        &self,
        id: SessionId,
        durability: Durability,
        wanted: &dyn Fn(&Record) -> bool,
        locked: &Locked,
    ) -> Result<Deletion> {
        let (page, state) = match self.judge(&locked.file, id)? {
            Judged::Live(page, state) => (page, state),
            Judged::Unfinished => return Ok(Deletion::Absent),
            // Whoever wrote the tombstone may have died, or failed, before it was synced. Writing it
            // anew makes the next sync write it, and not call a page good that was dropped.
            Judged::Ended(state) => {
                return self.end(id, durability, locked, &state).map(|()| Deletion::Absent);
            }
        };
        let Some(record) = self.record(&locked.file, id, &page, &state)? else {
            return Ok(Deletion::Absent);
        };
        if !wanted(&record) {
            return Ok(Deletion::Spared(Box::new(record)));
        }
        self.end(id, durability, locked, &state)?;
        Ok(Deletion::Done(record.owner))
    }

    /// Writes a tombstone and makes it last, which alone makes the deletion last; then removes the
    /// file.
    fn end(
        &self,
        id: SessionId,
        durability: Durability,
        locked: &Locked,
        newest: &State,
    ) -> Result<()> {
        if bury(&locked.file, newest).is_err() {
            // A full disk that copies on write has no room for a tombstone. The missing name, synced,
            // says as much, and whoever holds the file open finds that it has none.
            self.records.unlink(id, &locked.file)?;
            return self.sync_removal(id, durability);
        }
        if durability >= Durability::Power {
            locked.file.sync_data().doing("cannot sync the end of a session")?;
        }
        self.records.unlink(id, &locked.file)
    }

    fn sync_removal(&self, id: SessionId, durability: Durability) -> Result<()> {
        if durability < Durability::Power {
            return Ok(());
        }
        self.records.sync_name(id).doing("cannot sync a session directory")
    }

    /// Removes a file without a session in it: an unfinished create, or a tombstone left behind.
    pub(super) fn remove_husk(
        &self,
        id: SessionId,
        is_old: &dyn Fn(SystemTime) -> bool,
    ) -> Result<()> {
        let file = self.records.open(id, For::Writing).doing("cannot open a session file")?;
        let Some(file) = file else { return Ok(()) };
        if !file.try_lock().doing("cannot lock a session file")? {
            return Ok(());
        }
        let meta = file.meta().doing("cannot look at a session file")?;
        match self.judge(&file, id)? {
            Judged::Unfinished if is_old(meta.modified_at) => self.records.unlink(id, &file),
            Judged::Ended(_) => self.records.unlink(id, &file),
            Judged::Unfinished | Judged::Live(..) => Ok(()),
        }
    }
}

/// Whether the use that a new state brings lies at or after the end of the one it would replace: the
/// session ended before it, swept or not.
fn comes_too_late(record: &Record, page: &Page, body: &Bytes) -> bool {
    let deadline = codec::deadline(body, |created_at| page.touched_at(record.id, created_at));
    deadline.is_none_or(|deadline| record.used_at >= deadline)
}

/// As much of a body behind the page as tells its deadline.
fn front_of_tail(file: &File, head: &Head) -> Result<Bytes> {
    let Place::Tail { page } = head.place else { return Ok(Bytes::new()) };
    let mut front = vec![0; codec::DEADLINE_BYTES_MAX];
    let read = file.read_at(&mut front, u64::from(page) * PAGE_BYTES as u64);
    front.truncate(read.doing("cannot read a session file")?);
    Ok(front.into())
}

/// Writes `record` beside the newest state.
fn replace(
    locked: &Locked,
    record: &Record,
    page: &Page,
    newest: (Side, Head),
    durability: Durability,
    left: Option<Owner>,
) -> Result<Committed> {
    let touched_at = page.touched_at(record.id, record.created_at);
    let body = encode_body(record, touched_at.map_or(record.used_at, |at| at.max(record.used_at)))?;
    let write = page::plan(Some(&newest), record.id, record.version, body);
    write_state(&locked.file, &write, durability)?;
    if locked.meta.bytes >= write.live_bytes + SPARE_BYTES_MAX {
        // The record is committed: space that stays allocated is no reason to say otherwise.
        let _ = locked.file.set_bytes(write.live_bytes);
    }
    Ok(Committed { updated: Updated::Written, left })
}

/// Writes a state, the tail before the slot that points to it, as durably as is asked.
///
/// After a failed sync the system may have dropped the pages and call the next sync good: there is
/// no second one, and the caller learns that the outcome is unknown.
fn write_state(file: &File, write: &page::Write, durability: Durability) -> Result<()> {
    write_tail(file, write).doing("cannot write a session file")?;
    write_slot(file, write, write.side)?;
    if durability >= Durability::Power {
        file.sync_data().doing("cannot sync a session file")?;
    }
    if durability >= Durability::Final {
        // In both slots, one after the other: no damage to either lets an older state be read.
        write_slot(file, write, write.side.other())?;
        file.sync_data().doing("cannot sync a session file")?;
    }
    Ok(())
}

fn write_slot(file: &File, write: &page::Write, side: Side) -> Result<()> {
    file.write_at(&write.slot, side.at() as u64).doing("cannot write a session file")
}

fn write_tail(file: &File, write: &page::Write) -> io::Result<()> {
    write.tail.as_ref().map_or(Ok(()), |tail| file.write_at(&tail.body, tail.at))
}

fn bury(file: &File, newest: &State) -> io::Result<()> {
    let (tombstone, sides) = page::burial(newest);
    sides.into_iter().try_for_each(|side| file.write_at(&tombstone, side.at() as u64))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::Options;
    use super::super::sys::record::{Call, Recording};
    use super::*;
    use crate::token::SecretHash;

    fn syncs(change: impl FnOnce()) -> usize {
        let recording = Recording::start();
        change();
        let calls = recording.take().into_iter();
        calls.filter(|call| matches!(call, Call::SyncFile { .. } | Call::SyncDir { .. })).count()
    }

    fn core() -> (tempfile::TempDir, Core) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { allow_any_file_system: true, ..Options::default() };
        let core = Core::open(directory.path(), options).unwrap();
        (directory, core)
    }

    /// A session of Ann's, whose ID comes again with the key that it follows from.
    fn of_ann(began_at: u64) -> Record {
        let (id, hash) = (SessionId::from_bytes([7; 16]), SecretHash::from_bytes([5; 32]));
        let began_at = UNIX_EPOCH + Duration::from_secs(began_at);
        let mut record = Record::new(id, hash, began_at, None, Duration::from_secs(60));
        (record.owner, record.login_began_at) = (Owner::new("ann").ok(), Some(began_at));
        record
    }

    #[test]
    fn a_session_made_again_before_the_first_has_left_the_list_stays_in_it() {
        let (_directory, core) = core();
        let (first, again) = (of_ann(1), of_ann(900));
        let ann = first.owner.clone().unwrap();
        let is_listed = || core.owners.list(&ann).unwrap().iter().any(|it| it.id == again.id);
        core.create(&first, Durability::Process).unwrap();
        core.end_if(first.id, Durability::Process, &|_| true).unwrap();
        assert_eq!(core.create(&again, Durability::Process).unwrap(), Created::New);
        core.leave_owner(&ann, &[first.id].into()).unwrap();
        assert!(is_listed(), "it left after the second was there");

        core.end_if(again.id, Durability::Process, &|_| true).unwrap();
        core.owners.admit(&ann, &again, Durability::Process).unwrap();
        core.leave_owner(&ann, &[again.id].into()).unwrap();
        core.create_record(&again, Durability::Process).unwrap();
        assert_eq!(core.confirm(&ann, &again, Durability::Process).unwrap(), Created::New);
        assert!(is_listed(), "it left between the entry and the record of the second");
    }

    /// A create syncs the file, its directory and, once, the one above.
    #[test]
    fn a_change_is_synced_as_often_as_its_durability_asks_for() {
        for (durability, expected) in [
            (Durability::Process, [0, 0, 0, 0]),
            (Durability::Power, [3, 1, 1, 1]),
            (Durability::Final, [3, 2, 1, 1]),
        ] {
            let (_directory, core) = core();
            let (id, hash) = (SessionId::from_bytes([7; 16]), SecretHash::from_bytes([5; 32]));
            let first = Record::new(id, hash, UNIX_EPOCH, None, Duration::from_secs(60));
            let mut second = first.clone();
            second.version = first.version.next();
            let counted = [
                syncs(|| assert_eq!(core.create(&first, durability).unwrap(), Created::New)),
                syncs(|| {
                    drop(core.update(&second, first.version, durability, &mut None).unwrap());
                }),
                syncs(|| assert!(core.delete(id, durability).unwrap())),
                syncs(|| assert!(!core.delete(id, durability).unwrap())),
            ];
            assert_eq!(counted, expected, "{durability:?}");
        }
    }
}
