//! Carrying every session over, at once.

use std::fmt;
use std::time::SystemTime;

use tokio::task::JoinSet;

use super::{Migrating, Side};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Summary;
use crate::store::{Access, Scope, Store};
use crate::token::SessionId;

/// How many sessions are listed at once.
const PAGE: usize = 200;

/// How many sessions are carried at once.
const AT_ONCE: usize = 8;

/// Carries every session of `old` over to `new`.
///
/// This is what [`Migrating`] does with a session that is asked for, for all of them: while the
/// application runs on [`Migrating::new`] over the same two stores, or while it is stopped. Never
/// while a process runs on one of the stores alone. Nothing that ends meanwhile comes back. Data,
/// secrets, owners, deadlines and last uses stay; the version grows by two. Afterwards `new` holds
/// the sessions and `old` does not: this is no copy.
///
/// It may be stopped at any instant and run again, from the beginning or from a cursor: what was
/// carried is no longer listed. It holds at most 200 summaries and eight records at once; the lists of
/// SQL and Redis stores read whole records to make summaries, and hold a page of those as well.
///
/// `clock` says which sessions are expired; the engine's own clock does.
///
/// # Errors
/// [`ErrorKind::Config`] when the two stores have different namespaces.
///
/// # Examples
///
/// ```
/// # use sessile::{SystemClock, store::{MemoryStore, move_all}};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let (old, new) = (MemoryStore::new(), MemoryStore::new());
/// let moved = move_all(old, new, SystemClock::default())?
///     .on_progress(|so_far| println!("{so_far}"))
///     .run()
///     .await?;
/// assert!(moved.is_complete());
/// # Ok::<_, sessile::Error>(()) }).unwrap();
/// ```
pub fn move_all(old: impl Store, new: impl Store, clock: impl Clock) -> Result<MoveAll> {
    Ok(MoveAll {
        stores: Migrating::new(old, new)?,
        clock: Box::new(clock),
        after: None,
        on_progress: Box::new(|_| {}),
    })
}

/// A move that is about to begin. Get one by [`move_all`].
#[must_use]
pub struct MoveAll {
    stores: Migrating,
    clock: Box<dyn Clock>,
    after: Option<SessionId>,
    on_progress: Box<dyn FnMut(&Moved) + Send>,
}

impl fmt::Debug for MoveAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("MoveAll");
        debug.field("stores", &self.stores).field("after", &self.after).finish_non_exhaustive()
    }
}

/// How far a move got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// Sessions that are in the new store now, whoever carried them.
    pub moved: u64,
    /// Sessions that ended before their turn came.
    pub ended: u64,
    /// Sessions that are still in the old store, because somebody holds them exclusively, or the new
    /// store would not take them. Run the move again.
    pub stayed: u64,
    /// Sessions that could not be read, or were written by a newer release. They are left alone.
    pub unreadable: u64,
    /// All sessions up to this one had their turn. Where the next run may begin.
    pub cursor: Option<SessionId>,
}

impl Moved {
    /// Whether no session that could be read is left in the old store.
    pub fn is_complete(&self) -> bool {
        self.stayed == 0 && self.unreadable == 0
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moved, ended, stayed, unreadable, .. } = self;
        write!(
            f,
            "{moved} moved, {ended} ended meanwhile, {stayed} stayed, {unreadable} unreadable"
        )
    }
}

impl MoveAll {
    /// Begins behind this session: the cursor that an earlier run got to.
    pub fn after(mut self, cursor: SessionId) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Calls `on_progress` after every page of sessions.
    pub fn on_progress(mut self, on_progress: impl FnMut(&Moved) + Send + 'static) -> Self {
        self.on_progress = Box::new(on_progress);
        self
    }

    /// Carries one session after another until all had their turn.
    ///
    /// # Errors
    /// What a store gives that cannot be reached. What was carried until then stays carried; begin
    /// again at the last cursor.
    pub async fn run(mut self) -> Result<Moved> {
        let mut so_far = Moved { cursor: self.after, ..Moved::default() };
        loop {
            let (old, now) = (&self.stores.old, self.clock.now());
            let page = old.list(Scope::All, now, so_far.cursor, PAGE).await?;
            for some in page.sessions.chunks(AT_ONCE) {
                self.carry_some(some, &mut so_far).await?;
            }
            if page.next.is_some() {
                so_far.cursor = page.next;
            }
            (self.on_progress)(&so_far);
            if page.next.is_none() {
                return Ok(so_far);
            }
        }
    }

    async fn carry_some(&self, some: &[Summary], so_far: &mut Moved) -> Result<()> {
        let mut turns = JoinSet::new();
        for session in some {
            let (stores, id, now) = (self.stores.clone(), session.id, self.clock.now());
            turns.spawn(async move { stores.carried(id, now).await });
        }
        while let Some(turn) = turns.join_next().await {
            let found = turn.map_err(cut_short)?;
            match found {
                Ok(Some(Side::New)) => so_far.moved += 1,
                Ok(Some(Side::Old)) => so_far.stayed += 1,
                Ok(None) => so_far.ended += 1,
                Err(error) if is_of_the_record(&error) => so_far.unreadable += 1,
                Err(error) => return Err(error),
            }
        }
        so_far.cursor = some.last().map(|last| last.id).or(so_far.cursor);
        Ok(())
    }
}

impl Migrating {
    /// Where the session of `id` is after an attempt to carry it. No mark of it stays behind.
    async fn carried(&self, id: SessionId, now: SystemTime) -> Result<Option<Side>> {
        let side = self.find(id, now, Access::Read).await?.map(|found| found.held.side);
        if side == Some(Side::New) {
            self.clear_mark(id).await?;
        }
        Ok(side)
    }
}

/// Whether the trouble is with this one record, and not with a store.
fn is_of_the_record(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NewerFormat | ErrorKind::TooLarge)
}

fn cut_short(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Unavailable, "the move was cut short").with_source(error)
}
