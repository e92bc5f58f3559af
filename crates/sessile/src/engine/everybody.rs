//! Ending the sessions of everybody, with no login beside it that escapes.
//!
//! One record of the store, the **mark**, says since when logins count. Ending everything raises the
//! mark first, then lists and deletes. A login writes its record first, then reads the mark. So either
//! the login finds the mark and undoes itself, or its record was there before the mark was raised, and
//! the list finds it. The mark is an ordinary record that a login has replaced, as far as a store can
//! tell: it opens nothing, is in no list, and needs no law that stores do not keep already.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::commit::Contest;
use super::{Engine, Sessions};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::record::{Record, Summary};
use crate::store::{Access, Created, Loaded, Scope, Ticket, Updated};
use crate::token::{Secret, SessionId};

/// The mark's ID, which no session is ever given: those are random.
pub(super) const MARK: SessionId = SessionId::from_bytes(*b"sessile everyone");

/// The mark is never swept, so that none that is written takes another's place.
const MARK_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

const LISTED_AT_ONCE: usize = 1_000;

/// So many deletions share a disk's syncs, or a server's round trips.
const ENDED_AT_ONCE: usize = 32;

impl Sessions {
    /// Ends every session there is, anonymous ones included; gives how many there were. For
    /// administrators: after a restore from a backup, or a theft of which nobody knows the extent.
    ///
    /// A login that began before this call does not escape it, in whichever process: it is undone
    /// when it commits. With several hosts, theirs and this one's clock decide which came first.
    /// Anonymous sessions that begin meanwhile may stay. Each end is an event, by which progress can
    /// be shown; the time it takes grows with the number of sessions.
    ///
    /// # Errors
    /// Those of the store. Sessions that could be ended have ended all the same, and calling again
    /// goes on. A session that only a newer release of this crate can read is not seen: let that one
    /// do this.
    #[doc(alias = "revoke_all_users")]
    pub async fn revoke_everybody(&self) -> Result<u64> {
        self.engine.end_everybody(|_| true).await
    }

    /// As [`revoke_everybody`](Self::revoke_everybody), and spares the sessions of nobody: baskets
    /// stay.
    pub async fn revoke_signed_in(&self) -> Result<u64> {
        self.engine.end_everybody(|session| session.owner.is_some()).await
    }
}

impl Engine {
    async fn end_everybody(self: &Arc<Self>, is_meant: fn(&Summary) -> bool) -> Result<u64> {
        self.raise_mark(self.now()).await?;
        let (mut sessions, mut failed, mut after) = (0, None, None);
        loop {
            let page = self.store.list(Scope::All, self.now(), after, LISTED_AT_ONCE).await;
            let page = page.map_err(|error| self.failed(error))?;
            let meant = page.sessions.iter().filter(|session| is_meant(session));
            let ids: Vec<_> = meant.map(|session| session.id).collect();
            for some in ids.chunks(ENDED_AT_ONCE) {
                sessions += self.end_at_once(some, &mut failed).await?;
            }
            after = page.next;
            if after.is_none() {
                self.notify(&Event::EverybodyRevoked { sessions });
                return failed.map_or(Ok(sessions), Err);
            }
        }
    }

    /// Ends these, and gives how many there were. One session's trouble is noted in `failed` and
    /// stops nothing; an outage does.
    async fn end_at_once(
        self: &Arc<Self>,
        ids: &[SessionId],
        failed: &mut Option<Error>,
    ) -> Result<u64> {
        let mut ends = JoinSet::new();
        for id in ids.iter().copied() {
            let engine = Arc::clone(self);
            ends.spawn(async move { engine.end(id).await });
        }
        let mut ended = 0;
        while let Some(end) = ends.join_next().await {
            match end.map_err(stopped)? {
                Ok(was_there) => ended += u64::from(was_there),
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) => *failed = Some(error),
            }
        }
        Ok(ended)
    }

    /// Undoes a login whose record was just written, if everybody's sessions were ended meanwhile.
    pub(super) async fn admit_to_everybody(&self, new: &Record) -> Result<()> {
        let counted_since = match self.read_mark(Access::Read).await {
            Ok(mark) => mark.and_then(|(since, _)| since),
            Err(error) => {
                self.undo(new.id).await;
                return Err(error);
            }
        };
        if counts(new, counted_since) {
            return Ok(());
        }
        self.undo(new.id).await;
        Err(Error::new(
            ErrorKind::Ended,
            "the sessions of everybody were ended while this login was under way",
        ))
    }

    /// Lets no login count that began at or before `now`.
    async fn raise_mark(&self, now: SystemTime) -> Result<()> {
        let mut contest = Contest::new(self, MARK);
        loop {
            if self.write_mark(now).await? {
                return Ok(());
            }
            contest.lost().await?;
        }
    }

    /// Gives whether the mark is there and high enough; somebody else may be writing it too.
    async fn write_mark(&self, now: SystemTime) -> Result<bool> {
        let Some((since, Loaded { record, mut ticket })) = self.read_mark(Access::Write).await?
        else {
            let durability = self.config.final_durability();
            let created = self.store.create(&first_mark(now)?, durability).await;
            return Ok(created.map_err(|error| self.failed(error))? == Created::New);
        };
        if since >= Some(now) {
            self.release(ticket).await;
            return Ok(true);
        }
        self.write_higher_mark(record, now, &mut ticket).await
    }

    async fn write_higher_mark(
        &self,
        mark: Record,
        now: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        let expected = mark.version;
        let higher = Record { version: expected.next(), authenticated_at: Some(now), ..mark };
        let durability = self.config.final_durability();
        let updated = self.store.update(&higher, expected, durability, ticket).await;
        Ok(updated.map_err(|error| self.failed(error))? == Updated::Written)
    }

    /// The instant since which logins count, with the record that says so.
    async fn read_mark(&self, access: Access) -> Result<Option<(Option<SystemTime>, Loaded)>> {
        let mark = self.store.load(MARK, self.now(), access).await;
        let mark = mark.map_err(|error| self.failed(error))?;
        Ok(mark.map(|loaded| (loaded.record.authenticated_at, loaded)))
    }
}

/// Whether a login counts where the mark says `since`, which ends those of that very instant too.
pub(super) fn counts(login: &Record, since: Option<SystemTime>) -> bool {
    since.is_none_or(|since| login.login_began_at > Some(since))
}

/// A record as of a session that a login replaced, whose secret nobody knows.
fn first_mark(now: SystemTime) -> Result<Record> {
    let nobodys = Secret::random()?.hash("");
    let mut mark = Record::new(MARK, nobodys, now, None, MARK_LIFE);
    mark.superseded = true;
    mark.authenticated_at = Some(now);
    Ok(mark)
}

fn stopped(error: tokio::task::JoinError) -> Error {
    let doing = "the runtime stopped while everybody's sessions were being ended";
    Error::new(ErrorKind::Unavailable, doing).with_source(error)
}
