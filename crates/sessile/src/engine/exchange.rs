//! One request and its response: the whole interface for a framework's adapter.

use std::pin::pin;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tracing::field::display;
use tracing::{Instrument, debug_span};

use super::{Mode, Slot};
use crate::error::Result;
use crate::session::{ExclusiveSession, PeekSession, ReadSession, Session};

/// A request under way, from [`Sessions::begin`](super::Sessions::begin) to [`finish`](Self::finish).
///
/// It owns the request's lock and pending changes. When it is finished or dropped (the client left,
/// the handler panicked), the lock is free, nothing more is written, and clones of the session in
/// other tasks refuse further changes.
///
/// ```
/// # use http::{HeaderMap, StatusCode};
/// # use sessile::{Client, Sessions, store::MemoryStore};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let sessions = Sessions::new(MemoryStore::new());
/// let exchange = sessions.begin(&HeaderMap::new(), Client::default());
/// let session = exchange.handle().session().await?;
/// session.insert("greeting", "hello")?;
/// let mut response = HeaderMap::new();
/// exchange.finish(StatusCode::OK, &mut response).await?;
/// assert!(response.contains_key("set-cookie"));
/// # Ok::<_, sessile::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "an exchange that is dropped writes nothing"]
pub struct Exchange {
    slot: Arc<Slot>,
}

impl Exchange {
    pub(super) fn new(slot: Slot) -> Self {
        Self { slot: Arc::new(slot) }
    }

    /// What handlers ask for the session with.
    pub fn handle(&self) -> SessionHandle {
        SessionHandle { slot: Arc::clone(&self.slot) }
    }

    /// Commits before the response head leaves, and writes the session's headers.
    ///
    /// With a 5xx `status`, data, login and rotation are dropped; a logout is carried out.
    ///
    /// # Errors
    /// Why the commit failed. The response must then say so instead of what the handler built; the
    /// headers are written all the same.
    pub async fn finish(self, status: StatusCode, headers: &mut HeaderMap) -> Result<()> {
        // First: who asks from here on is refused, and who asked before is waited for.
        self.slot.take_no_more();
        if !self.slot.was_asked() {
            return Ok(());
        }
        if status.is_server_error() {
            self.slot.drop_wishes();
        } else {
            self.slot.keep_fresh();
        }
        let committed = self.slot.traced_commit().await;
        self.slot.write_headers(headers);
        self.slot.engine().release(self.slot.close()).await;
        committed
    }
}

impl Slot {
    /// Commits inside a span, which bears the ID the session had before: a login's new one is in the
    /// event.
    pub(crate) async fn traced_commit(&self) -> Result<()> {
        let id = || self.with_record(|record| display(record.id));
        let span = debug_span!(target: "sessile", "sessile.commit", session = id());
        // Pinned here, since a future this large is slow to move into the instrumented one.
        pin!(self.commit()).instrument(span).await
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        drop(self.slot.close());
    }
}

/// What a handler asks for its session with. Adapters put it where handlers find it.
#[derive(Clone, Debug)]
pub struct SessionHandle {
    slot: Arc<Slot>,
}

impl SessionHandle {
    /// The session, loaded; an empty one when there is none.
    pub async fn session(&self) -> Result<Session> {
        self.open(Mode::Write).await
    }

    /// The session for reading alone.
    pub async fn read(&self) -> Result<ReadSession> {
        self.open(Mode::Read).await.map(ReadSession::new)
    }

    /// The session for a look that does not count as use: for pages that ask again and again by
    /// themselves, and would keep a session alive that nobody is sitting at.
    ///
    /// Asked for in another way as well, the session is used after all.
    pub async fn peek(&self) -> Result<PeekSession> {
        self.open(Mode::Peek).await.map(PeekSession::new)
    }

    /// The session, held by no other request that asks for it this way.
    ///
    /// # Errors
    /// [`ErrorKind::LockTimeout`](crate::ErrorKind::LockTimeout) when it was not free in time.
    pub async fn exclusive(&self) -> Result<ExclusiveSession> {
        self.open(Mode::Exclusive).await.map(ExclusiveSession::new)
    }

    /// The session if there is one; never makes one.
    pub async fn existing(&self) -> Result<Option<Session>> {
        let session = self.session().await?;
        Ok(session.id().is_some().then_some(session))
    }

    async fn open(&self, mode: Mode) -> Result<Session> {
        self.slot.open(mode).await?;
        Ok(Session::new(Arc::clone(&self.slot)))
    }

    #[cfg(feature = "tower")]
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }
}
