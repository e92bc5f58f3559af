//! Sessions in the memory of one process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Access, Created, Durability, Expired, Loaded, Page, Scope, Store, Ticket, Updated};
use crate::clock::truncated;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Owner, Record, Version};
use crate::token::SessionId;

/// A store in memory, for tests and development: it dies with its process, and no other process
/// sees it.
///
/// It keeps every law of [`Store`] within the process, and treats all durabilities alike. Clones
/// share their records. An owner whose sessions were ended is remembered until the process ends.
///
/// # Examples
///
/// ```
/// # use sessile::store::{MemoryStore, Store};
/// let shop = MemoryStore::new().with_namespace("shop");
/// let blog = shop.clone().with_namespace("blog"); // same memory, other sessions
/// assert_eq!((shop.namespace(), blog.namespace()), ("shop", "blog"));
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    namespace: Arc<str>,
    table: SharedTable,
    /// The tables of all namespaces, by name.
    place: Arc<Mutex<BTreeMap<Arc<str>, SharedTable>>>,
}

type SharedTable = Arc<Mutex<Table>>;

impl MemoryStore {
    /// Makes an empty store of the namespace `default`.
    pub fn new() -> Self {
        let unused = Self { namespace: "".into(), table: Arc::default(), place: Arc::default() };
        unused.with_namespace("default")
    }

    /// Turns this handle to another namespace of the same memory.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.into();
        self.table = Arc::clone(locked(&self.place).entry(self.namespace.clone()).or_default());
        self
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.table)
    }

    async fn load_exclusive(
        &self,
        id: SessionId,
        now: SystemTime,
        (wait, hold): (Duration, Duration),
    ) -> Result<Option<Loaded>> {
        let Some(lock) = self.table().live(id, now).map(|entry| Arc::clone(&entry.lock)) else {
            return Ok(None);
        };
        let guard = timeout(wait, lock.acquire(hold)).await.map_err(|_| lock_timeout())?;
        // The record may have changed or ended in the meantime.
        let record = self.table().live(id, now).map(|entry| entry.record.clone());
        Ok(record.map(|record| Loaded { record, ticket: Ticket::new(guard) }))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    async fn create(&self, record: &Record, _: Durability) -> Result<Created> {
        Ok(self.table().create(record))
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        if let Access::Exclusive { wait, hold } = access {
            return self.load_exclusive(id, now, (wait, hold)).await;
        }
        let record = self.table().live(id, now).map(|entry| entry.record.clone());
        Ok(record.map(|record| Loaded { record, ticket: Ticket::none() }))
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        _: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        if record.version <= expected {
            return Err(Error::new(ErrorKind::Value, "an update must raise the version"));
        }
        Ok(self.table().update(record, expected, ticket.get_mut()))
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        _: SystemTime,
        _: &mut Ticket,
    ) -> Result<bool> {
        Ok(self.table().touch(id, used_at))
    }

    async fn delete(&self, id: SessionId, _: Durability) -> Result<bool> {
        Ok(self.table().remove(id).is_some())
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        _: Durability,
    ) -> Result<u64> {
        Ok(self.table().delete_owner(owner, except, truncated(not_before)))
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        Ok(self.table().delete_expired(now, limit))
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        Ok(self.table().list(scope, now, after, limit))
    }

    async fn release(&self, ticket: Ticket) -> Result<()> {
        drop(ticket);
        Ok(())
    }
}

/// The records of one namespace. Every method is one step that nobody sees half done.
#[derive(Default)]
struct Table {
    entries: BTreeMap<SessionId, Entry>,
    /// Invariant: holds exactly the deadline of every entry.
    deadlines: BTreeSet<(SystemTime, SessionId)>,
    owners: BTreeMap<Owner, Devices>,
}

/// A record and its exclusive lock, which end together: an ID is never drawn twice.
struct Entry {
    record: Record,
    lock: Arc<Lock>,
}

/// What is known of one owner.
#[derive(Default)]
struct Devices {
    /// Invariant: exactly the entries with this owner.
    sessions: BTreeSet<SessionId>,
    not_before: Option<SystemTime>,
}

impl Table {
    fn live(&self, id: SessionId, now: SystemTime) -> Option<&Entry> {
        self.entries.get(&id).filter(|entry| !entry.record.is_expired(now))
    }

    fn create(&mut self, record: &Record) -> Created {
        if self.entries.contains_key(&record.id) {
            return Created::Exists;
        }
        if self.is_revoked(record) {
            return Created::Revoked;
        }
        self.insert(Entry { record: record.clone(), lock: Arc::default() });
        Created::New
    }

    fn update(
        &mut self,
        record: &Record,
        expected: Version,
        guard: Option<&mut LockGuard>,
    ) -> Updated {
        // A use at or after the deadline comes too late: the session ended before it.
        let Some(current) = self.live(record.id, record.used_at).map(|entry| &entry.record) else {
            return Updated::Gone;
        };
        if guard.is_some_and(|guard| !guard.is_held()) {
            return Updated::LockLost;
        }
        if current.version != expected {
            return Updated::Conflict(Box::new(current.clone()));
        }
        // Whoever gains an owner logs in by it, and a login that was revoked gains nothing.
        if current.owner != record.owner && self.is_revoked(record) {
            return Updated::Gone;
        }
        self.change(record.id, |known| {
            let used_at = known.used_at;
            known.clone_from(record);
            known.touch(used_at);
        });
        Updated::Written
    }

    fn touch(&mut self, id: SessionId, used_at: SystemTime) -> bool {
        self.live(id, used_at).is_some() && self.change(id, |known| known.touch(used_at))
    }

    fn delete_owner(
        &mut self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
    ) -> u64 {
        let devices = self.owners.entry(owner.clone()).or_default();
        devices.not_before = devices.not_before.max(Some(not_before));
        let mut ended = devices.sessions.clone();
        ended.retain(|id| Some(*id) != except);
        for id in &ended {
            self.remove(*id);
        }
        ended.len() as u64
    }

    fn delete_expired(&mut self, now: SystemTime, limit: usize) -> Expired {
        let looked_at = self.deadlines.iter().inspect(|_| look());
        let due = looked_at.take_while(|(deadline, _)| *deadline <= now);
        let mut due: Vec<_> = due.take(limit.saturating_add(1)).map(|(_, id)| *id).collect();
        let more = due.len() > limit;
        due.truncate(limit);
        let removed = due.into_iter().filter_map(|id| Some((id, self.remove(id)?.record.owner)));
        Expired::new(removed.collect(), more)
    }

    fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Page {
        let behind = (after.map_or(Unbounded, Excluded), Unbounded);
        let ids: Box<dyn Iterator<Item = &SessionId>> = match scope {
            Scope::All => Box::new(self.entries.range(behind).map(|(id, _)| id)),
            Scope::Owner(owner) => {
                let devices = self.owners.get(owner).into_iter();
                Box::new(devices.flat_map(move |devices| devices.sessions.range(behind)))
            }
        };
        let ids = ids.inspect(|_| look());
        let live = ids.filter_map(|id| self.live(*id, now)).map(|entry| &entry.record);
        let mut listed = live.filter(|record| !record.superseded).map(Record::summary);
        let sessions: Vec<_> = listed.by_ref().take(limit).collect();
        let next = listed.next().and(sessions.last().map(|last| last.id));
        Page::new(sessions, next)
    }

    fn is_revoked(&self, record: &Record) -> bool {
        let devices = record.owner.as_ref().and_then(|owner| self.owners.get(owner));
        let not_before = devices.and_then(|devices| devices.not_before);
        not_before.is_some_and(|instant| record.login_began_at.is_none_or(|began| began <= instant))
    }

    /// Changes a record and moves it in every index; gives whether it was there.
    fn change(&mut self, id: SessionId, change: impl FnOnce(&mut Record)) -> bool {
        let Some(mut entry) = self.remove(id) else {
            return false;
        };
        change(&mut entry.record);
        self.insert(entry);
        true
    }

    fn insert(&mut self, entry: Entry) {
        let record = &entry.record;
        self.deadlines.insert((record.deadline(), record.id));
        if let Some(owner) = &record.owner {
            self.owners.entry(owner.clone()).or_default().sessions.insert(record.id);
        }
        self.entries.insert(record.id, entry);
    }

    fn remove(&mut self, id: SessionId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.deadlines.remove(&(entry.record.deadline(), id));
        if let Some(owner) = &entry.record.owner {
            self.leave(owner, id);
        }
        Some(entry)
    }

    fn leave(&mut self, owner: &Owner, id: SessionId) {
        let Some(devices) = self.owners.get_mut(owner) else {
            return;
        };
        devices.sessions.remove(&id);
        if devices.sessions.is_empty() && devices.not_before.is_none() {
            self.owners.remove(owner);
        }
    }
}

/// Counts what an operation looks at, for the test of its price.
fn look() {
    #[cfg(test)]
    tests::LOOKS.with(|looks| looks.set(looks.get() + 1));
}

/// An exclusive lock that its holder loses at a deadline.
#[derive(Default)]
struct Lock {
    /// First come, first served: only the head of the queue watches the holder.
    queue: tokio::sync::Mutex<()>,
    holder: Mutex<Holder>,
    freed: Notify,
}

#[derive(Default)]
struct Holder {
    /// Counts the holders, so that a late one cannot free the lock of the next.
    number: u64,
    /// When it loses the lock; `None` when nobody holds it.
    until: Option<Instant>,
}

impl Lock {
    async fn acquire(self: Arc<Self>, hold: Duration) -> LockGuard {
        let _turn = self.queue.lock().await;
        loop {
            match self.try_acquire(hold) {
                Ok(number) => return LockGuard { lock: Arc::clone(&self), number },
                Err(until) => _ = timeout_at(until, self.freed.notified()).await,
            }
        }
    }

    /// Gives the number of the new holder, or the instant at which the present one loses the lock.
    fn try_acquire(&self, hold: Duration) -> Result<u64, Instant> {
        let now = Instant::now();
        let mut holder = locked(&self.holder);
        if let Some(until) = holder.until.filter(|until| now < *until) {
            return Err(until);
        }
        holder.number += 1;
        holder.until = Some(now + hold.min(HOLD_MAX));
        Ok(holder.number)
    }
}

/// Keeps `now + hold` representable.
const HOLD_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What the ticket of an exclusive load holds. Dropping it frees the lock.
struct LockGuard {
    lock: Arc<Lock>,
    number: u64,
}

impl LockGuard {
    fn is_held(&self) -> bool {
        let holder = locked(&self.lock.holder);
        holder.number == self.number && holder.until.is_some_and(|until| Instant::now() < until)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let mut holder = locked(&self.lock.holder);
        if holder.number == self.number {
            holder.until = None;
            self.lock.freed.notify_one();
        }
    }
}

fn lock_timeout() -> Error {
    Error::new(ErrorKind::LockTimeout, "the session's exclusive lock was not free in time")
}

/// Locks a mutex whose guarded steps cannot panic half-way, so that poison means nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::token::SecretHash;

    thread_local! {
        pub(super) static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    /// How many entries an operation looks at, and what it gives.
    fn price<T>(operation: impl FnOnce() -> T) -> (usize, T) {
        LOOKS.set(0);
        let done = operation();
        (LOOKS.get(), done)
    }

    /// A table of a thousand sessions, the first ten of which are one user's and end in a minute.
    fn table(now: SystemTime) -> Table {
        let mut table = Table::default();
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        for number in 0..1_000_u128 {
            let id = SessionId::from_bytes(number.to_be_bytes());
            let is_anns = number < 10;
            let life = if is_anns { minute } else { hour };
            let hash = SecretHash::from_bytes([7; 32]);
            let mut record = Record::new(id, hash, now, None, life);
            record.owner = is_anns.then(|| Owner::new("ann").expect("a name"));
            assert_eq!(table.create(&record), Created::New);
        }
        table
    }

    #[test]
    fn a_list_costs_what_it_shows_and_clean_up_what_is_due() {
        let now = SystemTime::UNIX_EPOCH;
        let mut table = table(now);
        let (ann, middle) =
            (Owner::new("ann").unwrap(), SessionId::from_bytes(500_u128.to_be_bytes()));
        let of_ann = price(|| table.list(Scope::Owner(&ann), now, None, 100).sessions.len());
        assert_eq!(of_ann, (10, 10));
        let of_all = price(|| table.list(Scope::All, now, Some(middle), 10).sessions.len());
        assert_eq!(of_all, (11, 10), "one more tells that there is another page");
        let nothing = price(|| table.delete_expired(now, 100).removed.len());
        assert_eq!(nothing, (1, 0));
        let due = price(|| table.delete_expired(now + Duration::from_secs(60), 100).removed.len());
        assert_eq!(due, (11, 10), "the first that is not due ends it");
        let bounded = price(|| table.delete_expired(now + Duration::from_secs(3_600), 5));
        assert_eq!((bounded.0, bounded.1.removed.len(), bounded.1.more), (6, 5, true));
    }
}
