//! A store in memory that lets others run around its calls.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::SystemTime;

use async_trait::async_trait;
use sessile::store::{
    Access, Created, Durability, Expired, Loaded, MemoryStore, Page, Scope, Store, Ticket, Updated,
};
use sessile::{Owner, Record, Result, SessionId, Version};

/// Where a call pauses. Before is enough for the order of calls; a request that is dropped after
/// one does not learn how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pauses {
    Before,
    BeforeAndAfter,
}

#[derive(Clone, Debug)]
pub(super) struct Yielding {
    inner: MemoryStore,
    pauses: Pauses,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_off: AtomicBool,
    passed: AtomicUsize,
}

impl Yielding {
    pub(super) fn new(pauses: Pauses) -> Self {
        Self { inner: MemoryStore::new(), pauses, shared: Arc::default() }
    }

    /// Turns the pauses off, to prepare a scene and to look at it.
    pub(super) fn turn(&self, on: bool) {
        self.shared.is_off.store(!on, Ordering::SeqCst);
    }

    /// How many pauses were reached or passed. Who is polled and does neither waits for somebody.
    pub(super) fn progress(&self) -> usize {
        self.shared.passed.load(Ordering::SeqCst)
    }

    async fn pause(&self) {
        let mut paused = self.shared.is_off.load(Ordering::SeqCst);
        poll_fn(|_| {
            self.shared.passed.fetch_add(1, Ordering::SeqCst);
            let poll = if paused { Poll::Ready(()) } else { Poll::Pending };
            paused = true;
            poll
        })
        .await;
    }

    async fn around<T>(&self, call: impl Future<Output = T>) -> T {
        self.pause().await;
        let answer = call.await;
        if self.pauses == Pauses::BeforeAndAfter {
            self.pause().await;
        }
        answer
    }
}

#[async_trait]
impl Store for Yielding {
    fn namespace(&self) -> &str {
        self.inner.namespace()
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        self.around(self.inner.create(record, durability)).await
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        self.around(self.inner.load(id, now, access)).await
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        self.around(self.inner.update(record, expected, durability, ticket)).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        self.around(self.inner.touch(id, used_at, idle_deadline, ticket)).await
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        self.around(self.inner.delete(id, durability)).await
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        self.around(self.inner.delete_owner(owner, except, not_before, durability)).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        self.around(self.inner.delete_expired(now, limit)).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        self.around(self.inner.list(scope, now, after, limit)).await
    }

    async fn release(&self, ticket: Ticket) -> Result<()> {
        // When a lock goes is one more order only where somebody is dropped in between.
        match self.pauses {
            Pauses::Before => self.inner.release(ticket).await,
            Pauses::BeforeAndAfter => self.around(self.inner.release(ticket)).await,
        }
    }
}
