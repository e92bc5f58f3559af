//! Moving house: what [`Migrating`](sessile::store::Migrating) promises while sessions are on their way.

mod carried;
mod crashes;
mod gated;
#[cfg(feature = "conformance")]
mod laws;
mod move_all;
#[cfg(feature = "file")]
pub(crate) mod restless;
mod schedules;
mod steps;
mod under_load;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sessile::store::{Access, Created, Durability, MemoryStore, Migrating, Store, Ticket, Updated};
use sessile::{Owner, Record, SecretHash, SessionId, Version};

pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Two places, and an instant at which all of a trial happens.
pub(crate) struct House {
    pub(crate) old: Arc<dyn Store>,
    pub(crate) new: Arc<dyn Store>,
    pub(crate) now: SystemTime,
}

impl House {
    pub(crate) fn in_memory() -> Self {
        Self {
            old: Arc::new(MemoryStore::new()),
            new: Arc::new(MemoryStore::new()),
            now: SystemTime::UNIX_EPOCH + 20_000 * DAY,
        }
    }

    pub(crate) fn preparing(&self) -> Migrating {
        Migrating::prepare(Arc::clone(&self.old), Arc::clone(&self.new)).unwrap()
    }

    pub(crate) fn carrying(&self) -> Migrating {
        Migrating::new(Arc::clone(&self.old), Arc::clone(&self.new)).unwrap()
    }

    /// A session of ann's.
    pub(crate) fn record(&self, number: u8) -> Record {
        let (id, hash) = (SessionId::from_bytes([number; 16]), SecretHash::from_bytes([7; 32]));
        let mut record = Record::new(id, hash, self.now, Some(IDLE), DAY);
        record.owner = Some(ann());
        record.login_began_at = Some(self.now);
        record.data.insert("born", Bytes::from_static(b"true"));
        record
    }

    /// A session of ann's in the old store, written twice already.
    pub(crate) async fn session(&self, number: u8) -> Record {
        let first = self.record(number);
        let created = self.old.create(&first, Durability::Process).await.unwrap();
        assert_eq!(created, Created::New);
        let second = next_of(&first);
        assert_eq!(save(&*self.old, &second, Version::FIRST).await, Updated::Written);
        second
    }
}

/// The same, one version later.
pub(crate) fn next_of(record: &Record) -> Record {
    let mut next = record.clone();
    next.version = record.version.next();
    next
}

pub(crate) fn ann() -> Owner {
    Owner::new("ann").unwrap()
}

pub(crate) async fn save(store: &dyn Store, record: &Record, expected: Version) -> Updated {
    let none = &mut Ticket::none();
    store.update(record, expected, Durability::Process, none).await.unwrap()
}

pub(crate) async fn read(store: &dyn Store, id: SessionId, now: SystemTime) -> Option<Record> {
    store.load(id, now, Access::Read).await.unwrap().map(|loaded| loaded.record)
}
