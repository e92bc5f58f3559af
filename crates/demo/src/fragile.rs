//! A store whose disk can be full or unreadable, for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use sessile::store::{
    Access, Created, Durability, Expired, Loaded, MemoryStore, Page, Scope, Store, Ticket, Updated,
};
use sessile::{Error, ErrorKind, Owner, Record, Result, SessionId, Version};

/// A disk that fails on command.
#[derive(Clone, Debug)]
pub(crate) struct Fragile {
    inner: MemoryStore,
    full: Arc<AtomicBool>,
    unreadable: Arc<AtomicBool>,
}

impl Fragile {
    pub(crate) fn new() -> Self {
        Self { inner: MemoryStore::new(), full: Arc::default(), unreadable: Arc::default() }
    }

    /// From now on nothing can be written, or all is well again.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// From now on nothing can be read, or all is well again.
    pub(crate) fn set_unreadable(&self, unreadable: bool) {
        self.unreadable.store(unreadable, Ordering::Relaxed);
    }

    fn check_space(&self) -> Result<()> {
        fail(&self.full, "no space left on /var/lib/secret-path")
    }

    fn check_readable(&self) -> Result<()> {
        fail(&self.unreadable, "input/output error on /var/lib/secret-path")
    }
}

fn fail(broken: &AtomicBool, why: &'static str) -> Result<()> {
    match broken.load(Ordering::Relaxed) {
        true => Err(Error::new(ErrorKind::Unavailable, why)),
        false => Ok(()),
    }
}

#[async_trait]
impl Store for Fragile {
    fn namespace(&self) -> &str {
        self.inner.namespace()
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        self.check_space()?;
        self.inner.create(record, durability).await
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        self.check_readable()?;
        self.inner.load(id, now, access).await
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        self.check_space()?;
        self.inner.update(record, expected, durability, ticket).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        self.inner.touch(id, used_at, idle_deadline, ticket).await
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        self.inner.delete(id, durability).await
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        self.inner.delete_owner(owner, except, not_before, durability).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        self.inner.delete_expired(now, limit).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        self.inner.list(scope, now, after, limit).await
    }

    async fn release(&self, ticket: Ticket) -> Result<()> {
        self.inner.release(ticket).await
    }
}
