//! Where records live, and the contract every store keeps.

#[cfg(feature = "file")]
pub mod file;
mod memory;
mod moving;
#[cfg(feature = "redis")]
pub mod redis;
mod shared;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub mod sql;
mod url;

use std::any::Any;
use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::error::Result;
use crate::record::{Owner, Record, Summary, Version};
use crate::token::SessionId;

#[cfg(feature = "file")]
pub use self::file::FileStore;
pub use self::memory::MemoryStore;
pub use self::moving::{Migrating, MoveAll, Moved, move_all};
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
#[cfg(feature = "mysql")]
pub use self::sql::MySqlStore;
#[cfg(feature = "postgres")]
pub use self::sql::PostgresStore;
#[cfg(feature = "sqlite")]
pub use self::sql::SqliteStore;
#[cfg(all(fuzzing, feature = "file"))]
pub(crate) use self::url::check_file_url;
pub use self::url::open;

/// A place where records live.
///
/// There are no default methods: a store that cannot keep a law has no default to hide behind.
/// The laws are executable; hold your store to them with the `conformance` feature.
///
/// # Laws
///
/// - **Absence.** An expired record equals an absent one, to the exact instant `now >=`
///   [`Record::deadline`], swept or not. Stores read no clock; `now` is always an argument.
/// - **`create` never replaces** a record, live or not yet swept.
/// - **`update` never creates, never revives**, and writes only over the version it expected.
/// - **`touch` changes neither data nor version**, never moves a use back, never revives.
/// - **`delete` is idempotent** and, once acknowledged, final: across processes, and across crashes
///   when asked for [`Durability::Power`] or more. It waits for no exclusive lock.
/// - **Versions only grow**, and the version that is written is the one the record carries.
/// - **A read is one committed version or nothing**, and never waits for a writer.
/// - **`list(Owner)` never misses a live session**: the index entry exists before the record is
///   visible and goes after it.
/// - **`delete_owner` lets no login escape** that began at or before its `not_before` instant.
/// - **`delete_expired` is bounded**, goes on past damaged records, and never removes what was
///   touched after it looked.
/// - **An exclusive lock** excludes other exclusive holders across processes and no one else, has a
///   deadline, is free soon after its holder's death, and a commit whose lock was lost fails.
/// - **An outage is an error** ([`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable)), never
///   "absent". An unknown outcome is an error too, and the store never retries it by itself.
/// - **Namespaces never meet.**
/// - **Cancellation.** A dropped future leaves neither a half-written record nor a held lock.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The name that keeps this application's sessions apart from others in the same place. It is
    /// part of every secret's hash, so a record moved to another namespace opens to nobody.
    fn namespace(&self) -> &str;

    /// Writes a record that must not exist yet.
    ///
    /// A record with an owner is refused as [`Created::Revoked`] when its `login_began_at` is not
    /// later than its owner's "not before" instant; that is judged when the index entry is written
    /// and once more after the record is, before this answers.
    async fn create(&self, record: &Record, durability: Durability) -> Result<Created>;

    /// Reads the live record of `id`, and opens what `access` asks for.
    ///
    /// # Errors
    /// [`LockTimeout`](crate::ErrorKind::LockTimeout) when the exclusive lock was not free in time,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) for a damaged record (which is set aside),
    /// [`NewerFormat`](crate::ErrorKind::NewerFormat) for a record of a newer release.
    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>>;

    /// Replaces the state of version `expected` by `record`, whose version is greater.
    ///
    /// A record whose use lies at or after the deadline of the current state comes too late, whatever
    /// version it expects: [`Updated::Gone`], swept or not. A touch that is later than the record's
    /// use is kept. A record never gains an owner (its index would miss it: a login creates) and
    /// never changes from one owner to another; it may lose its owner, and then leaves that owner's
    /// list. `ticket` is what [`load`](Store::load) gave, or [`Ticket::none`].
    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated>;

    /// Notes a use, unless a later one is known; gives whether the record was live at that use.
    ///
    /// `idle_deadline` is `used_at` plus the record's idle timeout, for stores that index it.
    /// Best effort: a crash may forget it.
    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool>;

    /// Ends the session of `id`; gives whether a record was there, expired or not.
    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool>;

    /// Ends all sessions of `owner` but `except`, those of logins in flight included.
    ///
    /// Writes `not_before` first (it only grows), then lists, then deletes; gives how many records
    /// it deleted. Logins that began at or before `not_before` are refused from then on.
    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64>;

    /// Removes at most `limit` records that are expired at `now`, oldest first where the store can.
    ///
    /// A store may leave recently expired ones for a later call, as long as they count as absent.
    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired>;

    /// Lists live sessions in ascending order of ID, from the one after `after`, at most `limit`.
    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page>;

    /// Gives back what [`load`](Store::load) opened. Dropping the ticket must do as well, if later.
    async fn release(&self, ticket: Ticket) -> Result<()>;
}

/// What a write survives once it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The death of the process.
    Process,
    /// The loss of power.
    Power,
    /// The loss of power, and no damage to the newest state lets an older one be read again. For
    /// changes of authority: rotation, step-up, the end of a record that a login replaced.
    Final,
}

/// What a load prepares for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Reading; perhaps a touch.
    Read,
    /// An update that expects the version which is loaded.
    Write,
    /// As `Write`, and no other `Exclusive` load of this session is answered until the release.
    Exclusive {
        /// How long to wait for the lock.
        wait: Duration,
        /// How long the lock may be held; then it is free, and the holder's commit fails.
        hold: Duration,
    },
}

/// A record that was read, and what goes with it.
#[derive(Debug)]
pub struct Loaded {
    /// The record.
    pub record: Record,
    /// What the store opened for it.
    pub ticket: Ticket,
}

/// A store's own state between load and save: a descriptor, a lock, a lease.
#[derive(Default)]
pub struct Ticket(Option<Box<dyn Any + Send>>);

impl Ticket {
    /// A ticket that holds nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A ticket that holds `state`; dropping it drops the state.
    pub fn new(state: impl Any + Send) -> Self {
        Self(Some(Box::new(state)))
    }

    /// The state, if it is of this type.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        self.0.as_mut()?.downcast_mut()
    }

    /// Takes the state out, if it is of this type.
    pub fn take<T: Any>(&mut self) -> Option<T> {
        let state = self.0.take_if(|state| state.is::<T>())?;
        state.downcast().ok().map(|state| *state)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Ticket(..)" } else { "Ticket(none)" })
    }
}

/// How [`Store::create`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Created {
    /// The record was written.
    New,
    /// There is a record of this ID already; it was left alone.
    Exists,
    /// The owner's sessions were ended after this login began; nothing was left behind.
    Revoked,
}

/// How [`Store::update`] went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Updated {
    /// The record was written.
    Written,
    /// Another version is current: this one.
    Conflict(Box<Record>),
    /// The session ended; nothing was written.
    Gone,
    /// The ticket's exclusive lock was lost; nothing was written.
    LockLost,
}

/// Which sessions to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope<'a> {
    /// Every session of the namespace.
    All,
    /// The sessions of one owner.
    Owner(&'a Owner),
}

impl Scope<'_> {
    /// Whether a session of `owner` is listed; `None` for a session of nobody.
    ///
    /// ```
    /// # use sessile::{Owner, store::Scope};
    /// let (ann, bob) = (Owner::new("ann")?, Owner::new("bob")?);
    /// let hers = Scope::Owner(&ann);
    /// assert!(hers.covers(Some(&ann)) && !hers.covers(Some(&bob)) && !hers.covers(None));
    /// assert!(Scope::All.covers(Some(&bob)) && Scope::All.covers(None));
    /// # Ok::<_, sessile::Error>(())
    /// ```
    pub fn covers(&self, owner: Option<&Owner>) -> bool {
        match self {
            Self::All => true,
            Self::Owner(wanted) => owner == Some(*wanted),
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The sessions, by ID.
    pub sessions: Vec<Summary>,
    /// Where the next page begins, when there may be one: pass it as `after`.
    pub next: Option<SessionId>,
}

impl Page {
    /// A page of these sessions, after which the list goes on behind `next`.
    pub fn new(sessions: Vec<Summary>, next: Option<SessionId>) -> Self {
        Self { sessions, next }
    }
}

/// What [`Store::delete_expired`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired {
    /// The sessions that were removed, with their owners.
    pub removed: Vec<(SessionId, Option<Owner>)>,
    /// Whether it stopped at its limit with more to look at.
    pub more: bool,
}

impl Expired {
    /// A clean-up that removed these, and whether more is due.
    pub fn new(removed: Vec<(SessionId, Option<Owner>)>, more: bool) -> Self {
        Self { removed, more }
    }
}
