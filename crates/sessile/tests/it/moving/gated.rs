//! A store that stops before every call, or fails from one of them on.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::SystemTime;

use async_trait::async_trait;
use sessile::store::{
    Access, Created, Durability, Expired, Loaded, Page, Scope, Store, Ticket, Updated,
};
use sessile::{Error, ErrorKind, Owner, Record, Result, SessionId, Version};

/// What all calls of one process go through, to whichever store.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Whether every call waits to be polled once more before it begins.
    stops: bool,
    /// Whether somebody waits here.
    waiting: AtomicBool,
    calls: AtomicUsize,
    /// From this call on all fail.
    dies_at: Option<usize>,
    /// Whether that call took effect all the same.
    last_takes_effect: bool,
}

impl Gate {
    pub(crate) fn stopping() -> Arc<Self> {
        Arc::new(Self { stops: true, ..Self::default() })
    }

    pub(crate) fn dying_at(call: usize, last_takes_effect: bool) -> Arc<Self> {
        Arc::new(Self { dies_at: Some(call), last_takes_effect, ..Self::default() })
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether the process died of its gate.
    pub(crate) fn has_died(&self) -> bool {
        self.dies_at.is_some_and(|call| self.calls.load(Ordering::SeqCst) > call)
    }

    pub(crate) fn around(self: &Arc<Self>, inner: &Arc<dyn Store>) -> Gated {
        Gated { inner: Arc::clone(inner), gate: Arc::clone(self) }
    }

    async fn pass<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        if self.stops {
            self.stop().await;
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.dies_at {
            Some(last) if number == last && self.last_takes_effect => {
                call.await?;
                Err(down())
            }
            Some(last) if number >= last => Err(down()),
            _ => call.await,
        }
    }

    async fn stop(&self) {
        let mut seen = false;
        poll_fn(|_| {
            self.waiting.store(!seen, Ordering::SeqCst);
            if std::mem::replace(&mut seen, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn down() -> Error {
    Error::new(ErrorKind::Unavailable, "told to fail")
}

#[derive(Debug)]
pub(crate) struct Gated {
    inner: Arc<dyn Store>,
    gate: Arc<Gate>,
}

#[async_trait]
impl Store for Gated {
    fn namespace(&self) -> &str {
        self.inner.namespace()
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        self.gate.pass(self.inner.create(record, durability)).await
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        self.gate.pass(self.inner.load(id, now, access)).await
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        self.gate.pass(self.inner.update(record, expected, durability, ticket)).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        self.gate.pass(self.inner.touch(id, used_at, idle_deadline, ticket)).await
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        self.gate.pass(self.inner.delete(id, durability)).await
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        self.gate.pass(self.inner.delete_owner(owner, except, not_before, durability)).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        self.gate.pass(self.inner.delete_expired(now, limit)).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        self.gate.pass(self.inner.list(scope, now, after, limit)).await
    }

    async fn release(&self, ticket: Ticket) -> Result<()> {
        self.inner.release(ticket).await
    }
}
