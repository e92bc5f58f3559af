//! What an engine does in numbers, through the [`metrics`](https://docs.rs/metrics) facade: whichever
//! recorder the application installs gets them, and without one they cost next to nothing.
//!
//! | name | kind | unit | labels | |
//! |---|---|---|---|---|
//! | `sessile_events_total` | counter | events | `event` | what happened in this process, by [`Event::name`]; by [`Count`] |
//! | `sessile_store_seconds` | histogram | seconds | `operation`, `outcome` | how long the store's calls took; by [`Timed`] |
//! | `sessile_sessions_live` | gauge | sessions | none | how many sessions the store held when somebody last counted; by [`count_live`] |
//!
//! Every label's value is one of a few words that stand in this crate's source. No session ID, no
//! owner, no key and no value ever becomes one.
//!
//! | `operation` | `outcome` |
//! |---|---|
//! | `create` | `new`, `exists`, `revoked` |
//! | `load`, `load_exclusive` (waits for the lock) | `found`, `absent` |
//! | `update` | `written`, `conflict`, `gone`, `lock_lost` |
//! | `touch`, `delete` | `found`, `absent` |
//! | `delete_owner`, `delete_expired`, `list`, `release` | `ok` |
//! | any of them | `unavailable`, `lock_timeout`, `corrupt`, `newer_format`, `failed`, `dropped` (its request went away) |
//!
//! # How many sessions are live
//!
//! No gauge keeps itself up to date. Sessions begun minus sessions ended, as one process saw them, is
//! another number: it starts at zero over a full store, knows nothing of other processes, and learns
//! of an expiry only when the record is swept, perhaps by somebody else. The store alone knows, and it
//! has to look: [`count_live`] does, for as long as that takes.
//!
//! ```
//! use std::time::SystemTime;
//!
//! use sessile::Sessions;
//! use sessile::metrics::{Count, Timed, count_live};
//! use sessile::store::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> sessile::Result<()> {
//! // First install a recorder, such as that of `metrics-exporter-prometheus`.
//! let store = Timed::new(MemoryStore::new());
//! let sessions = Sessions::builder(store.clone()).subscriber(Count::new()).build()?;
//! assert_eq!(count_live(&store, SystemTime::now()).await?, 0);
//! # Ok(()) }
//! ```

use std::time::{Instant, SystemTime};

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use ::metrics::{gauge, histogram};
use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Subscriber};
use crate::record::{Owner, Record, Version};
use crate::store::{
    Access, Created, Durability, Expired, Loaded, Page, Scope, Store, Ticket, Updated,
};
use crate::token::SessionId;

const EVENTS: &str = "sessile_events_total";
const STORE_SECONDS: &str = "sessile_store_seconds";
const SESSIONS_LIVE: &str = "sessile_sessions_live";

/// How many sessions [`count_live`] holds in memory at once.
const COUNTED_AT_ONCE: usize = 1_000;

/// Tells the recorder what the names mean. One that is installed later never hears it.
fn describe() {
    describe_counter!(EVENTS, Unit::Count, "What happened to sessions in this process, by event");
    describe_histogram!(STORE_SECONDS, Unit::Seconds, "How long calls of the session store took");
    describe_gauge!(SESSIONS_LIVE, Unit::Count, "Live sessions in the store when last counted");
}

/// A subscriber that counts every event by its name.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Count;

impl Count {
    /// Counts from now on. Recorders that show descriptions are installed before.
    pub fn new() -> Self {
        describe();
        Self
    }
}

impl Default for Count {
    fn default() -> Self {
        Self::new()
    }
}

impl Subscriber for Count {
    fn notify(&self, event: &Event) {
        counter!(EVENTS, "event" => event.name()).increment(1);
    }
}

/// A store whose calls are timed. It passes everything on unchanged, so it keeps the laws that the
/// store within keeps.
#[derive(Clone, Debug)]
pub struct Timed<S>(S);

impl<S: Store> Timed<S> {
    /// Times every call of `store`. Recorders that show descriptions are installed before.
    pub fn new(store: S) -> Self {
        describe();
        Self(store)
    }
}

/// Counts the live sessions of a store and sets the gauge `sessile_sessions_live`.
///
/// It sees those of every process on the store, so of several gauges take one, never the sum. A
/// session that a login replaced counts until its grace is over; one that begins or ends meanwhile
/// may count or not.
///
/// The cost grows with the number of sessions, not with what happens to them: a file store opens
/// every file once, about 4 seconds for a million that the system has cached and a minute for a
/// million that it has not (`docs/design.md`). Call it every few minutes in a task of its own, not when
/// somebody reads the metrics.
///
/// # Errors
/// Those of [`Store::list`]; the gauge then keeps its last value.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 sessions")]
pub async fn count_live(store: &(impl Store + ?Sized), now: SystemTime) -> Result<u64> {
    let (mut live, mut after) = (0, None);
    loop {
        let page = store.list(Scope::All, now, after, COUNTED_AT_ONCE).await?;
        live += page.sessions.len() as u64;
        after = page.next;
        if after.is_none() {
            gauge!(SESSIONS_LIVE).set(live as f64);
            return Ok(live);
        }
    }
}

#[async_trait]
impl<S: Store> Store for Timed<S> {
    fn namespace(&self) -> &str {
        self.0.namespace()
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        timed("create", self.0.create(record, durability)).await
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        let operation = match access {
            Access::Read | Access::Write => "load",
            // Its time is that of whoever holds the lock.
            Access::Exclusive { .. } => "load_exclusive",
        };
        timed(operation, self.0.load(id, now, access)).await
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        timed("update", self.0.update(record, expected, durability, ticket)).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        timed("touch", self.0.touch(id, used_at, idle_deadline, ticket)).await
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        timed("delete", self.0.delete(id, durability)).await
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        let deleted = self.0.delete_owner(owner, except, not_before, durability);
        timed("delete_owner", deleted).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        timed("delete_expired", self.0.delete_expired(now, limit)).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        timed("list", self.0.list(scope, now, after, limit)).await
    }

    async fn release(&self, ticket: Ticket) -> Result<()> {
        timed("release", self.0.release(ticket)).await
    }
}

async fn timed<T: Outcome>(
    operation: &'static str,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut watch = Stopwatch { operation, outcome: "dropped", began: Instant::now() };
    let result = call.await;
    watch.outcome = result.as_ref().map_or_else(failure, Outcome::word);
    result
}

/// Tells the time of a call when it is over, be it that nobody waits for it any more.
struct Stopwatch {
    operation: &'static str,
    outcome: &'static str,
    began: Instant,
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        let (operation, outcome) = (self.operation, self.outcome);
        histogram!(STORE_SECONDS, "operation" => operation, "outcome" => outcome)
            .record(self.began.elapsed());
    }
}

/// How a call went that did not fail, in one of few words; `ok` where there is but one way.
trait Outcome {
    fn word(&self) -> &'static str {
        "ok"
    }
}

impl Outcome for Created {
    fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Exists => "exists",
            Self::Revoked => "revoked",
        }
    }
}

impl Outcome for Option<Loaded> {
    fn word(&self) -> &'static str {
        self.is_some().word()
    }
}

impl Outcome for Updated {
    fn word(&self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Conflict(_) => "conflict",
            Self::Gone => "gone",
            Self::LockLost => "lock_lost",
        }
    }
}

impl Outcome for bool {
    fn word(&self) -> &'static str {
        if *self { "found" } else { "absent" }
    }
}

impl Outcome for u64 {}
impl Outcome for Expired {}
impl Outcome for Page {}
impl Outcome for () {}

fn failure(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::LockTimeout => "lock_timeout",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::NewerFormat => "newer_format",
        _ => "failed",
    }
}
