//! What a law works with: a place opened twice, a clock, and records that verify themselves.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::timeout;

use super::Place;
use crate::clock::{Clock, ManualClock};
use crate::error::Result;
use crate::record::{Owner, Record, Summary, Version};
use crate::store::{Access, Created, Durability, Loaded, Scope, Store, Ticket, Updated};
use crate::token::{SecretHash, SessionId};

pub(super) const NAMESPACE: &str = "laws";
pub(super) const IDLE: Duration = minutes(30);
pub(super) const ABSOLUTE: Duration = minutes(8 * 60);
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
/// Long after every deadline: no store may still keep what expired by then as "recently expired".
pub(super) const LONG_AFTER: Duration = minutes(30 * 24 * 60);
/// A wait that is meant to pass.
pub(super) const SOON: Duration = Duration::from_millis(50);
/// A hold that is not meant to pass.
pub(super) const LONG: Duration = Duration::from_secs(600);
/// What must not wait for anything takes longer than this only on a machine that stands still.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// One trial of one store. Most of its methods ask both handles and insist that they agree.
pub(super) struct Trial {
    pub(super) store: Arc<dyn Store>,
    /// A second handle on the same records, as another process would have it.
    pub(super) twin: Arc<dyn Store>,
    pub(super) clock: ManualClock,
}

impl Trial {
    pub(super) async fn new(place: &dyn Place) -> Self {
        Self::of(place, NAMESPACE).await
    }

    /// Starts today: a server that collects garbage by its own clock must find nothing expired.
    pub(super) async fn of(place: &dyn Place, namespace: &str) -> Self {
        let store = place.open(namespace).await;
        let twin = place.open(namespace).await;
        Self { store, twin, clock: ManualClock::starting_at(SystemTime::now()) }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// The two handles by turns.
    pub(super) fn handle(&self, turn: usize) -> Arc<dyn Store> {
        Arc::clone(if turn.is_multiple_of(2) { &self.store } else { &self.twin })
    }

    /// An anonymous record that begins now.
    pub(super) fn record(&self) -> Record {
        let id = SessionId::random().expect("the system gives randomness");
        let hash = SecretHash::from_bytes([0x5e; 32]);
        stamped(Record::new(id, hash, self.now(), Some(IDLE), ABSOLUTE), 0)
    }

    /// A record of a login that begins now.
    pub(super) fn record_of(&self, owner: &Owner) -> Record {
        let mut record = self.record();
        record.owner = Some(owner.clone());
        record.login_began_at = Some(self.now());
        record.authenticated_at = Some(self.now());
        record
    }

    pub(super) async fn created(&self) -> Record {
        self.create(self.record()).await
    }

    pub(super) async fn created_of(&self, owner: &Owner) -> Record {
        self.create(self.record_of(owner)).await
    }

    pub(super) async fn create(&self, record: Record) -> Record {
        assert_eq!(self.try_create(&record).await, Created::New, "create of {}", record.id);
        record
    }

    pub(super) async fn try_create(&self, record: &Record) -> Created {
        self.store.create(record, Durability::Process).await.expect("create fails")
    }

    pub(super) async fn load(&self, id: SessionId) -> Option<Record> {
        self.load_at(id, self.now()).await
    }

    pub(super) async fn load_at(&self, id: SessionId, now: SystemTime) -> Option<Record> {
        let seen = read(&*self.store, id, now).await;
        let seen_by_twin = read(&*self.twin, id, now).await;
        assert_eq!(seen, seen_by_twin, "two handles read {id} differently");
        seen
    }

    /// The ticket of a load that prepares an update.
    pub(super) async fn ticket(&self, id: SessionId) -> Ticket {
        let loaded = self.store.load(id, self.now(), Access::Write).await.expect("load fails");
        loaded.expect("a live record loads").ticket
    }

    pub(super) async fn update(&self, record: &Record, expected: Version) -> Updated {
        update(&*self.store, record, expected).await
    }

    /// Writes the next version of `record`, and gives it.
    pub(super) async fn updated(&self, record: &Record) -> Record {
        let next = next_of(record, 0);
        assert_eq!(self.update(&next, record.version).await, Updated::Written, "an update");
        next
    }

    pub(super) async fn touch(&self, id: SessionId, used_at: SystemTime) -> bool {
        touch(&*self.store, id, used_at).await
    }

    pub(super) async fn delete(&self, id: SessionId) -> bool {
        self.store.delete(id, Durability::Power).await.expect("delete fails")
    }

    pub(super) async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
    ) -> u64 {
        let deleted = self.store.delete_owner(owner, except, not_before, Durability::Power).await;
        deleted.expect("delete_owner fails")
    }

    /// Removes all that is expired at `now`, however many calls that takes.
    pub(super) async fn sweep(&self, now: SystemTime) -> Vec<(SessionId, Option<Owner>)> {
        let mut removed = Vec::new();
        for turn in 0..64 {
            let expired = self.handle(turn).delete_expired(now, 100).await;
            let expired = expired.expect("delete_expired fails");
            removed.extend(expired.removed);
            if !expired.more {
                return removed;
            }
        }
        panic!("delete_expired promises more after 64 calls; it removed {removed:?}");
    }

    pub(super) async fn list(&self, scope: Scope<'_>) -> Vec<Summary> {
        self.list_at(scope, self.now()).await
    }

    pub(super) async fn list_at(&self, scope: Scope<'_>, now: SystemTime) -> Vec<Summary> {
        let seen = list(&*self.store, scope, now).await;
        let seen_by_twin = list(&*self.twin, scope, now).await;
        assert_eq!(seen, seen_by_twin, "two handles list {scope:?} differently");
        seen
    }

    /// Whether lists of both scopes show the session; they must agree.
    pub(super) async fn lists(&self, id: SessionId, owner: &Owner, now: SystemTime) -> bool {
        let in_all = ids(&self.list_at(Scope::All, now).await).contains(&id);
        let in_owners = ids(&self.list_at(Scope::Owner(owner), now).await).contains(&id);
        assert_eq!(in_all, in_owners, "the list of all and the list of {owner} disagree on {id}");
        in_all
    }

    /// Takes the exclusive lock for long, by the handle of this turn.
    pub(super) async fn hold(&self, turn: usize, id: SessionId) -> Loaded {
        let loaded = self.lock(turn, id, PATIENCE, LONG).await.expect("the lock is free");
        loaded.expect("a live record loads")
    }

    pub(super) async fn lock(
        &self,
        turn: usize,
        id: SessionId,
        wait: Duration,
        hold: Duration,
    ) -> Result<Option<Loaded>> {
        self.handle(turn).load(id, self.now(), Access::Exclusive { wait, hold }).await
    }
}

pub(super) const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

pub(super) fn owner(name: &str) -> Owner {
    Owner::new(name).expect("a short name is an owner")
}

pub(super) async fn read(store: &dyn Store, id: SessionId, now: SystemTime) -> Option<Record> {
    let loaded = store.load(id, now, Access::Read).await.expect("load fails");
    loaded.map(|loaded| loaded.record)
}

pub(super) async fn update(store: &dyn Store, record: &Record, expected: Version) -> Updated {
    let updated = store.update(record, expected, Durability::Process, &mut Ticket::none()).await;
    updated.expect("update fails")
}

pub(super) async fn touch(store: &dyn Store, id: SessionId, used_at: SystemTime) -> bool {
    let touched = store.touch(id, used_at, used_at + IDLE, &mut Ticket::none()).await;
    touched.expect("touch fails")
}

/// Lists by pages of three, in order and without end in sight only for so long.
pub(super) async fn list(store: &dyn Store, scope: Scope<'_>, now: SystemTime) -> Vec<Summary> {
    let mut sessions: Vec<Summary> = Vec::new();
    let mut after = None;
    for _ in 0..1_000 {
        let page = store.list(scope, now, after, 3).await.expect("list fails");
        assert!(page.sessions.len() <= 3, "a page of 3 holds {}", page.sessions.len());
        sessions.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            return sessions;
        }
    }
    panic!("the list of {scope:?} has no end; it began with {:?}", &ids(&sessions)[..3]);
}

pub(super) fn ids(sessions: &[Summary]) -> Vec<SessionId> {
    sessions.iter().map(|session| session.id).collect()
}

/// The next version of `record`, as `writer` would write it.
pub(super) fn next_of(record: &Record, writer: u64) -> Record {
    let mut next = record.clone();
    next.version = record.version.next();
    stamped(next, writer)
}

/// Fills `record` with data that tell their version and their writer, in a size of their own.
pub(super) fn stamped(mut record: Record, writer: u64) -> Record {
    let version = record.version.get();
    let letter = char::from(b'a' + ((version + writer) % 26) as u8);
    let length = (version * 1_733 + writer * 911) % 6_007;
    let fill = format!("\"{}\"", String::from(letter).repeat(length as usize));
    for (key, json) in
        [("version", version.to_string()), ("writer", writer.to_string()), ("fill", fill)]
    {
        record.data.insert(key, Bytes::from(json));
    }
    record
}

/// Panics unless the data are those that [`stamped`] gave this very version.
pub(super) fn assert_whole(record: &Record) {
    let writer = record.data.get("writer").and_then(|json| std::str::from_utf8(json).ok());
    let writer = writer.and_then(|json| json.parse().ok()).expect("the record names its writer");
    let whole = stamped(record.clone(), writer);
    assert_eq!(record.data, whole.data, "version {} is a mixture", record.version);
}

/// The result of what must not wait.
pub(super) async fn at_once<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("{what} waited for more than {PATIENCE:?}"))
}
