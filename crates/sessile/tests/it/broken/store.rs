//! A memory store that can be broken in any one way.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use sessile::conformance::Place;
use sessile::store::{
    Access, Created, Durability, Expired, Loaded, MemoryStore, Page, Scope, Store, Ticket, Updated,
};
use sessile::{Data, Error, ErrorKind, Owner, Record, Result, SessionId, Summary, Version};
use tokio::task::yield_now;

use super::Fault;

/// A place whose stores all have one fault.
pub(super) struct BrokenPlace {
    fault: Fault,
    memory: MemoryStore,
    notes: Arc<Mutex<Notes>>,
}

impl BrokenPlace {
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault, memory: MemoryStore::new(), notes: Arc::default() }
    }
}

#[async_trait]
impl Place for BrokenPlace {
    async fn open(&self, namespace: &str) -> Arc<dyn Store> {
        let table = match self.fault {
            Fault::NamespacesMeet => "one for all".to_owned(),
            Fault::NamespacesCut => namespace.chars().take(4).collect(),
            _ => namespace.to_owned(),
        };
        Arc::new(Broken {
            fault: self.fault,
            namespace: namespace.to_owned(),
            inner: self.memory.clone().with_namespace(&table),
            notes: Arc::clone(&self.notes),
        })
    }

    async fn damage(&self, _namespace: &str, id: SessionId) -> bool {
        locked(&self.notes).damaged.insert(id)
    }
}

/// A memory store with one fault.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    namespace: String,
    inner: MemoryStore,
    notes: Arc<Mutex<Notes>>,
}

/// What faults remember, for all handles of a place.
#[derive(Debug, Default)]
struct Notes {
    graves: BTreeMap<SessionId, Record>,
    damaged: BTreeSet<SessionId>,
    unlisted: BTreeSet<SessionId>,
    superseded: BTreeSet<SessionId>,
    used_at: BTreeMap<SessionId, SystemTime>,
    half_written: BTreeMap<SessionId, Bytes>,
    not_before: BTreeMap<(String, Owner), SystemTime>,
}

const PROCESS: Durability = Durability::Process;
const BRIEFLY: Access =
    Access::Exclusive { wait: Duration::from_secs(2), hold: Duration::from_secs(60) };

impl Broken {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        locked(&self.notes)
    }

    /// The record, expired or not.
    async fn stored(&self, id: SessionId) -> Result<Option<Record>> {
        let loaded = self.inner.load(id, UNIX_EPOCH, Access::Read).await?;
        Ok(loaded.map(|loaded| loaded.record))
    }

    async fn replace(&self, record: &Record) -> Result<()> {
        self.inner.delete(record.id, PROCESS).await?;
        self.inner.create(record, PROCESS).await.map(drop)
    }

    /// Fails when somebody holds the exclusive lock.
    async fn wait_for_lock(&self, id: SessionId) -> Result<()> {
        self.inner.load(id, UNIX_EPOCH, BRIEFLY).await.map(drop)
    }

    /// The record as this store would keep it.
    fn kept(&self, record: &Record) -> Record {
        let mut record = record.clone();
        match self.fault {
            Fault::FieldForgotten => record.user_agent = None,
            Fault::GraceInSeconds => {
                if let Some(previous) = &mut record.previous {
                    previous.replaced_at = in_seconds(previous.replaced_at);
                }
            }
            Fault::LargeValuesCut | Fault::EmptyValuesDropped | Fault::KeysFoldCase => {
                record.data = self.kept_data(&record.data);
            }
            Fault::ListShowsSuperseded if record.superseded => {
                self.notes().superseded.insert(record.id);
                record.superseded = false;
            }
            _ => {}
        }
        record
    }

    fn kept_data(&self, data: &Data) -> Data {
        let mut kept = Data::default();
        for (key, json) in data.iter() {
            match self.fault {
                Fault::LargeValuesCut => _ = kept.insert(key, json.slice(..json.len().min(65_536))),
                Fault::KeysFoldCase => _ = kept.insert(&key.to_lowercase(), json.clone()),
                _ if json.is_empty() => {}
                _ => _ = kept.insert(key, json.clone()),
            }
        }
        kept
    }

    /// The record as this store reads it.
    fn seen(&self, mut record: Record) -> Record {
        let notes = self.notes();
        record.superseded |= notes.superseded.contains(&record.id);
        if let Some(used_at) = notes.used_at.get(&record.id) {
            record.used_at = *used_at;
        }
        if let Some(fill) = notes.half_written.get(&record.id) {
            record.data.insert("fill", fill.clone());
        }
        record
    }

    fn is_refused(&self, record: &Record) -> bool {
        let notes = self.notes();
        let Some(owner) = record.owner.clone() else { return false };
        let not_before = notes.not_before.get(&(self.namespace.clone(), owner));
        not_before.is_some_and(|not_before| record.login_began_at <= Some(*not_before))
    }

    async fn sweep_those(
        &self,
        due: impl Iterator<Item = Summary>,
        limit: usize,
    ) -> Result<Expired> {
        let mut removed = Vec::new();
        for session in due {
            self.inner.delete(session.id, PROCESS).await?;
            removed.push((session.id, session.owner));
        }
        let more = removed.len() == limit;
        Ok(Expired::new(removed, more))
    }

    /// What an update came to, and what a fault makes of it.
    async fn update_after(
        &self,
        record: &Record,
        expected: Version,
        updated: Updated,
    ) -> Result<Updated> {
        let buried = self.notes().graves.contains_key(&record.id);
        let expired = self.stored(record.id).await?.is_some();
        match (self.fault, updated) {
            (Fault::UpdateUpserts, Updated::Gone) if !expired => {}
            (Fault::UpdateRevivesDeleted, Updated::Gone) if buried => {}
            (Fault::UpdateRevivesExpired, Updated::Gone) if expired => {}
            (Fault::UpdateIgnoresVersion, Updated::Conflict(current)) => {
                let version = record.version.max(current.version.next());
                let record = with_version(record, version);
                let none = &mut Ticket::none();
                return self.inner.update(&record, current.version, PROCESS, none).await;
            }
            (Fault::ConflictLies, Updated::Conflict(_)) => {
                return Ok(Updated::Conflict(Box::new(with_version(record, expected))));
            }
            (_, updated) => return Ok(updated),
        }
        self.replace(record).await?;
        Ok(Updated::Written)
    }
}

#[async_trait]
impl Store for Broken {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        let record = &self.kept(record);
        match self.fault {
            Fault::CreateReplaces => _ = self.inner.delete(record.id, durability).await?,
            Fault::NotBeforeShrinks | Fault::LoginLooksThenWrites => {
                if self.is_refused(record) {
                    return Ok(Created::Revoked);
                }
                yield_now().await;
            }
            Fault::ListLearnsLate => {
                self.notes().unlisted.insert(record.id);
                let created = self.inner.create(record, durability).await;
                yield_now().await;
                self.notes().unlisted.remove(&record.id);
                return created;
            }
            _ => {}
        }
        self.inner.create(record, durability).await
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        let (mut now, mut access) = (now, access);
        let before = self.stored(id).await?.filter(|record| !record.is_expired(now));
        if self.notes().damaged.contains(&id) && self.fault != Fault::DamageServed {
            self.notes().damaged.remove(&id);
            self.inner.delete(id, PROCESS).await?;
            return match self.fault {
                Fault::DamageAbsent => Ok(None),
                _ => Err(Error::new(ErrorKind::Corrupt, "damaged")),
            };
        }
        match (self.fault, access) {
            (Fault::LoadServesExpired, _) => now = UNIX_EPOCH,
            (Fault::DeadlineInclusive, _) => now -= Duration::from_millis(1),
            (Fault::ReadRemovesExpired, _) if before.is_none() => {
                self.inner.delete(id, PROCESS).await?;
            }
            (Fault::ReadWaits, Access::Read) => self.wait_for_lock(id).await?,
            (Fault::LockExcludesNobody, Access::Exclusive { .. }) => access = Access::Write,
            (Fault::LockEndless, Access::Exclusive { wait, .. }) => {
                access = Access::Exclusive { wait, hold: Duration::MAX };
            }
            (Fault::LockImpatient, Access::Exclusive { hold, .. }) => {
                access = Access::Exclusive { wait: Duration::ZERO, hold };
            }
            _ => {}
        }
        let loaded = self.inner.load(id, now, access).await?;
        let Some(Loaded { record, mut ticket }) = loaded else { return Ok(None) };
        let mut record = self.seen(record);
        match self.fault {
            Fault::LockSurvivesDrop => {
                let leak = Leak::new(ticket);
                yield_now().await;
                ticket = Leak::into_inner(leak);
            }
            Fault::LockSurvivesTicket => ticket = Ticket::new(Leak::new(ticket)),
            Fault::LockGivesOldRecord => record = before.unwrap_or(record),
            _ => {}
        }
        Ok(Some(Loaded { record, ticket }))
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        let mut record = self.kept(record);
        let (mut none, mut expected) = (Ticket::none(), expected);
        let before = self.stored(record.id).await?;
        let expects = before.as_ref().is_some_and(|before| before.version == expected);
        let mut ticket = match ticket.get_mut::<Leak>() {
            Some(leak) => leak,
            None => ticket,
        };
        match self.fault {
            Fault::LateCommitPasses => ticket = &mut none,
            Fault::LockExcludesWriters if is_empty(ticket) => self.wait_for_lock(record.id).await?,
            Fault::FinalWriteLost if durability == Durability::Final => {
                return Ok(Updated::Written);
            }
            Fault::OwnerStays => record.owner = before.and_then(|before| before.owner),
            Fault::VersionsMayStay if expects && record.version <= expected => {
                return self.replace(&record).await.map(|()| Updated::Written);
            }
            Fault::VersionsCounted => record.version = expected.next(),
            Fault::UpdateForgetsUse => _ = self.notes().used_at.insert(record.id, record.used_at),
            Fault::UpdateLooksThenWrites if expects && record.version > expected => {
                yield_now().await;
                expected = self.stored(record.id).await?.map_or(expected, |it| it.version);
                record.version = record.version.max(expected.next());
            }
            Fault::UpdateCrossesDelete if before.is_some() => {
                yield_now().await;
                if self.stored(record.id).await?.is_none() {
                    self.replace(&record).await?;
                    return Ok(Updated::Written);
                }
            }
            Fault::UpdateInHalves if expects => {
                let fill = before.as_ref().and_then(|before| before.data.get("fill"));
                self.notes().half_written.extend(fill.map(|fill| (record.id, fill.clone())));
                let updated = self.inner.update(&record, expected, durability, ticket).await;
                yield_now().await;
                self.notes().half_written.remove(&record.id);
                return updated;
            }
            _ => {}
        }
        let updated = self.inner.update(&record, expected, durability, ticket).await?;
        self.update_after(&record, expected, updated).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        if self.fault == Fault::TouchForgets {
            return Ok(self.inner.load(id, used_at, Access::Read).await?.is_some());
        }
        let touched = self.inner.touch(id, used_at, idle_deadline, ticket).await?;
        let grave = self.notes().graves.get(&id).cloned();
        match (self.fault, self.stored(id).await?) {
            (Fault::TouchRaisesVersion, Some(old)) if touched => {
                let next = with_version(&old, old.version.next());
                self.inner.update(&next, old.version, PROCESS, &mut Ticket::none()).await?;
            }
            (Fault::TouchMovesBack, _) if touched => {
                self.notes().used_at.insert(id, used_at);
            }
            (Fault::UpdateForgetsUse, _) => _ = self.notes().used_at.remove(&id),
            (Fault::TouchRevivesExpired, Some(mut old)) if !touched => {
                old.touch(used_at);
                self.replace(&old).await?;
            }
            (Fault::TouchRevivesDeleted, None) => {
                if let Some(record) = grave {
                    self.replace(&record).await?;
                }
            }
            _ => {}
        }
        Ok(touched)
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        match (self.fault, self.stored(id).await?) {
            (Fault::DeleteForgets, there) => return Ok(there.is_some()),
            (Fault::DeleteWaits, _) => self.wait_for_lock(id).await?,
            (Fault::UpdateRevivesDeleted | Fault::TouchRevivesDeleted, Some(record)) => {
                self.notes().graves.insert(id, record);
            }
            _ => {}
        }
        let deleted = self.inner.delete(id, durability).await?;
        Ok(deleted || self.fault == Fault::DeleteSaysYes)
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        let (mut except, mut not_before) = (except, not_before);
        match self.fault {
            Fault::ExceptionIgnored => except = None,
            Fault::OwnerLivesOn => return Ok(0),
            Fault::NotBeforeIgnored => not_before = UNIX_EPOCH,
            Fault::NotBeforeExclusive => not_before -= Duration::from_millis(1),
            Fault::NotBeforeForEver => not_before += Duration::from_secs(1 << 30),
            Fault::NotBeforeShrinks | Fault::LoginLooksThenWrites => {
                let (whose, mut notes) = ((self.namespace.clone(), owner.clone()), self.notes());
                let known = notes.not_before.entry(whose).or_insert(not_before);
                let shrinks = self.fault == Fault::NotBeforeShrinks;
                *known = if shrinks { not_before } else { not_before.max(*known) };
                not_before = UNIX_EPOCH;
            }
            _ => {}
        }
        self.inner.delete_owner(owner, except, not_before, durability).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        let all = self.inner.list(Scope::All, UNIX_EPOCH, None, usize::MAX).await?.sessions;
        let (mut now, mut limit) = (now, limit);
        match self.fault {
            Fault::SweepUnlimited => limit = usize::MAX,
            Fault::SweepRemovesLive => now += Duration::from_secs(15 * 60),
            Fault::SweepIdle => return Ok(Expired::default()),
            Fault::SweepStopsAtDamage if !self.notes().damaged.is_empty() => {
                return Err(Error::new(ErrorKind::Corrupt, "damaged"));
            }
            Fault::SweepKnowsNoTouch => {
                let due = |it: &Summary| it.created_at + it.idle_timeout.unwrap_or_default() <= now;
                return self.sweep_those(all.into_iter().filter(due).take(limit), limit).await;
            }
            Fault::SweepLooksThenRemoves => {
                let due: Vec<_> = all.into_iter().filter(|it| it.deadline() <= now).collect();
                yield_now().await;
                return self.sweep_those(due.into_iter().take(limit), limit).await;
            }
            _ => {}
        }
        let mut expired = self.inner.delete_expired(now, limit).await?;
        expired.more |= self.fault == Fault::SweepEndless;
        if self.fault == Fault::SweepSilent {
            expired.removed.clear();
        }
        Ok(expired)
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        let (mut scope, mut now) = (scope, now);
        match (self.fault, scope) {
            (Fault::ListShowsExpired, _) => now = UNIX_EPOCH,
            (Fault::DeadlineInclusive, _) => now -= Duration::from_millis(1),
            (Fault::ListOfEverybody, Scope::Owner(_)) => scope = Scope::All,
            _ => {}
        }
        let limit = if self.fault == Fault::ListUnlimited { usize::MAX } else { limit };
        let mut page = self.inner.list(scope, now, after, limit).await?;
        match self.fault {
            Fault::ListLosesUpdated => page.sessions.retain(|it| it.version == Version::FIRST),
            Fault::ListEndsEarly => page.next = None,
            Fault::ListRepeats if page.next.is_some() && page.sessions.len() > 1 => {
                page.next = Some(page.sessions[page.sessions.len() - 2].id);
            }
            _ => {}
        }
        let notes = self.notes();
        if matches!(scope, Scope::Owner(_)) {
            page.sessions.retain(|it| !notes.unlisted.contains(&it.id));
        }
        for session in &mut page.sessions {
            session.used_at = notes.used_at.get(&session.id).copied().unwrap_or(session.used_at);
        }
        Ok(page)
    }

    async fn release(&self, mut ticket: Ticket) -> Result<()> {
        if let Some(leak) = ticket.take::<Leak>() {
            ticket = Leak::into_inner(leak);
        }
        self.inner.release(ticket).await
    }
}

/// A ticket whose drop frees nothing.
type Leak = ManuallyDrop<Ticket>;

fn is_empty(ticket: &Ticket) -> bool {
    format!("{ticket:?}") == "Ticket(none)"
}

fn with_version(record: &Record, version: Version) -> Record {
    let mut record = record.clone();
    record.version = version;
    record
}

fn locked(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().expect("nobody panics with the notes in hand")
}

fn in_seconds(instant: SystemTime) -> SystemTime {
    let since = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
