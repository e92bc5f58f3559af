//! A store in which every session moves: it is born in the old store, and the next who asks for it
//! carries it over.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use sessile::store::{
    Access, Created, Durability, Expired, Loaded, MemoryStore, Migrating, Page, Scope, Store,
    Ticket, Updated,
};
use sessile::{Owner, Record, Result, SessionId, Version};

/// A rolling deploy: logins meet a process of the step before, everything else one that carries.
#[derive(Debug)]
pub(crate) struct Restless {
    before: Migrating,
    after: Migrating,
}

impl Restless {
    pub(crate) fn new(old: Arc<dyn Store>) -> Self {
        let new: Arc<dyn Store> = Arc::new(MemoryStore::new());
        Self {
            before: Migrating::prepare(Arc::clone(&old), Arc::clone(&new)).unwrap(),
            after: Migrating::new(old, new).unwrap(),
        }
    }
}

#[async_trait]
impl Store for Restless {
    fn namespace(&self) -> &str {
        self.after.namespace()
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        self.before.create(record, durability).await
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        self.after.load(id, now, access).await
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        self.after.update(record, expected, durability, ticket).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        self.after.touch(id, used_at, idle_deadline, ticket).await
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        self.after.delete(id, durability).await
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        self.before.delete_owner(owner, except, not_before, durability).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        self.after.delete_expired(now, limit).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        self.after.list(scope, now, after, limit).await
    }

    async fn release(&self, ticket: Ticket) -> Result<()> {
        self.after.release(ticket).await
    }
}
