//! Requests by hand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use sessile::store::{
    Access, Created, Durability, Expired, Loaded, Page, Scope, Store, Ticket, Updated,
};
use sessile::{
    Client, Clock, Config, Error, ErrorKind, Event, Exchange, Keys, ManualClock, Owner,
    PeekSession, Record, Session, SessionId, Sessions, SessionsBuilder, Subscriber, Version,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Place;

/// A server: an engine on a counted store, a clock to move and a log of events.
pub(crate) struct Server {
    pub(crate) sessions: Sessions,
    pub(crate) clock: ManualClock,
    pub(crate) events: Events,
    pub(crate) store: Counted,
}

impl Server {
    pub(crate) fn new(place: &Place) -> Self {
        Self::with(place, |_| {})
    }

    pub(crate) fn with(place: &Place, change: impl FnOnce(&mut Config)) -> Self {
        Self::built(place, change, |builder| builder)
    }

    /// A server that takes keys that are not ours.
    pub(crate) fn with_keys(place: &Place, keys: Keys) -> Self {
        Self::built(place, |_| {}, |builder| builder.keys(keys))
    }

    pub(crate) fn built(
        place: &Place,
        change: impl FnOnce(&mut Config),
        build: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let (clock, events) = (ManualClock::starting_at(SystemTime::now()), Events::default());
        let store = Counted::new(Arc::clone(&place.store));
        let mut config = Config::default();
        change(&mut config);
        let builder = Sessions::builder(store.clone()).config(config).clock(clock.clone());
        let sessions = build(builder).subscriber(events.clone()).build().unwrap();
        Self { sessions, clock, events, store }
    }

    /// Begins a request of a browser that holds `cookie`.
    pub(crate) async fn visit(&self, cookie: &str) -> Visit {
        self.try_visit(cookie).await.unwrap()
    }

    pub(crate) async fn try_visit(&self, cookie: &str) -> Result<Visit, Error> {
        let exchange = self.begin(cookie);
        let session = exchange.handle().session().await?;
        Ok(Visit { exchange, session })
    }

    /// Begins a top-level navigation of a browser that holds `cookie`.
    pub(crate) async fn navigate(&self, cookie: &str) -> Visit {
        let exchange = self.navigation(cookie);
        let session = exchange.handle().session().await.unwrap();
        Visit { exchange, session }
    }

    pub(crate) fn navigation(&self, cookie: &str) -> Exchange {
        let mut headers = headers(cookie);
        headers.insert("sec-fetch-mode", HeaderValue::from_static("navigate"));
        headers.insert("sec-fetch-dest", HeaderValue::from_static("document"));
        self.sessions.begin(&headers, Client::default())
    }

    /// A request that looks without using; gives what it saw.
    pub(crate) async fn peek(&self, cookie: &str) -> PeekSession {
        self.begin(cookie).handle().peek().await.unwrap()
    }

    pub(crate) fn begin(&self, cookie: &str) -> Exchange {
        self.sessions.begin(&headers(cookie), Client::default())
    }

    /// A request that writes `value` under `key`; gives the browser's cookie.
    pub(crate) async fn write(&self, cookie: &str, key: &str, value: &str) -> String {
        let visit = self.visit(cookie).await;
        visit.session.insert(key, value).unwrap();
        visit.finish().await.unwrap().unwrap_or_else(|| cookie.to_owned())
    }

    pub(crate) async fn read(&self, cookie: &str, key: &str) -> Option<String> {
        let visit = self.visit(cookie).await;
        visit.session.get(key).unwrap()
    }

    /// A browser where `owner` is signed in.
    pub(crate) async fn signed_in(&self, owner: &str) -> String {
        let visit = self.visit("").await;
        visit.session.login(owner).unwrap();
        visit.finish().await.unwrap().unwrap()
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(crate) async fn owner(&self, cookie: &str) -> Option<String> {
        self.visit(cookie).await.session.owner().map(|owner| owner.to_string())
    }

    pub(crate) async fn id(&self, cookie: &str) -> Option<SessionId> {
        self.visit(cookie).await.session.id()
    }
}

fn headers(cookie: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !cookie.is_empty() {
        headers.insert(COOKIE, HeaderValue::from_str(cookie).unwrap());
    }
    headers
}

/// A request under way whose handler holds the session.
pub(crate) struct Visit {
    pub(crate) exchange: Exchange,
    pub(crate) session: Session,
}

impl Visit {
    /// Answers 200; gives the cookie the browser got, if it got one.
    pub(crate) async fn finish(self) -> Result<Option<String>, Error> {
        let (committed, cookie) = self.finish_with(StatusCode::OK).await;
        committed.map(|()| cookie)
    }

    pub(crate) async fn finish_with(
        self,
        status: StatusCode,
    ) -> (Result<(), Error>, Option<String>) {
        let mut headers = HeaderMap::new();
        let committed = self.exchange.finish(status, &mut headers).await;
        let set = headers.get_all(SET_COOKIE).iter().collect::<Vec<_>>();
        assert!(set.len() <= 1, "two Set-Cookie headers in one response");
        assert_eq!(headers.get("vary").map(HeaderValue::as_bytes), Some(&b"Cookie"[..]));
        (committed, set.first().map(|value| pair_of(value)))
    }
}

/// `name=value` of a Set-Cookie header, as a browser would send it back.
pub(crate) fn pair_of(header: &HeaderValue) -> String {
    header.to_str().unwrap().split(';').next().unwrap().to_owned()
}

pub(crate) fn kind_of<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().map(Event::name).collect()
    }

    /// The numbers that conflicts bore, in order.
    pub(crate) fn attempts(&self) -> Vec<u32> {
        let events = self.0.lock().unwrap();
        let attempts = events.iter().filter_map(|event| match event {
            Event::Conflict { attempts, .. } => Some(*attempts),
            _ => None,
        });
        attempts.collect()
    }

    pub(crate) fn take(&self) -> Vec<&'static str> {
        let names = self.names();
        self.0.lock().unwrap().clear();
        names
    }
}

impl Subscriber for Events {
    fn notify(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// A store that counts its calls, and fails or never answers them when told to.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    inner: Arc<dyn Store>,
    calls: Arc<AtomicUsize>,
    trouble: Arc<Mutex<Trouble>>,
    barrier: Arc<Mutex<Option<Barrier>>>,
    late: Arc<Mutex<Option<Record>>>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Trouble {
    #[default]
    None,
    Fails(&'static str),
    FailsOnce(&'static str, ErrorKind),
    Hangs(&'static str),
    Takes(&'static str, Duration),
}

impl Counted {
    fn new(inner: Arc<dyn Store>) -> Self {
        let (calls, trouble, barrier, late) = Default::default();
        Self { inner, calls, trouble, barrier, late }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Lets every call of `operation` fail from now on.
    pub(crate) fn fail(&self, operation: &'static str) {
        *self.trouble.lock().unwrap() = Trouble::Fails(operation);
    }

    /// Lets the next call of `operation` fail, and no other.
    pub(crate) fn fail_once(&self, operation: &'static str, kind: ErrorKind) {
        *self.trouble.lock().unwrap() = Trouble::FailsOnce(operation, kind);
    }

    /// Lets no call of `operation` answer from now on.
    pub(crate) fn hang(&self, operation: &'static str) {
        *self.trouble.lock().unwrap() = Trouble::Hangs(operation);
    }

    /// Lets every call of `operation` take this long from now on.
    pub(crate) fn slow_down(&self, operation: &'static str, time: Duration) {
        *self.trouble.lock().unwrap() = Trouble::Takes(operation, time);
    }

    /// Lets this record appear right after the next list that an end of all sessions goes by.
    pub(crate) fn appears_late(&self, record: Record) {
        *self.late.lock().unwrap() = Some(record);
    }

    pub(crate) fn mend(&self) {
        *self.trouble.lock().unwrap() = Trouble::None;
    }

    /// Stops the call after the next `calls` ones, until the barrier is lifted.
    pub(crate) fn stop_after(&self, calls: usize) -> Barrier {
        let stops_at = self.calls() + calls;
        let barrier = Barrier { stops_at, reached: Arc::default(), lifted: Arc::default() };
        *self.barrier.lock().unwrap() = Some(barrier.clone());
        barrier
    }

    async fn call(&self, operation: &str) -> Result<(), Error> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let barrier = self.barrier.lock().unwrap().clone();
        if let Some(barrier) = barrier.filter(|barrier| barrier.stops_at == number) {
            barrier.reached.notify_one();
            barrier.lifted.notified().await;
        }
        match self.trouble_with(operation) {
            Trouble::Fails(this) if this == operation => {
                Err(Error::new(ErrorKind::Unavailable, "told to fail"))
            }
            Trouble::FailsOnce(this, kind) if this == operation => {
                Err(Error::new(kind, "told to fail once"))
            }
            Trouble::Hangs(this) if this == operation => std::future::pending().await,
            Trouble::Takes(this, time) if this == operation => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Told and ended under one lock: of calls at the same time one alone fails once.
    fn trouble_with(&self, operation: &str) -> Trouble {
        let mut trouble = self.trouble.lock().unwrap();
        match *trouble {
            Trouble::FailsOnce(this, _) if this == operation => std::mem::take(&mut *trouble),
            lasting => lasting,
        }
    }
}

/// Where one call of a store waits, so that others run between it and the one before.
#[derive(Clone, Debug)]
pub(crate) struct Barrier {
    stops_at: usize,
    reached: Arc<Notify>,
    lifted: Arc<Notify>,
}

impl Barrier {
    /// Waits until `side` meets the barrier or ends; gives whether it met it.
    pub(crate) async fn is_met_by<T>(&self, side: &JoinHandle<T>) -> bool {
        // A task that is done is not asked again: its owner still wants what it gives.
        while !side.is_finished() {
            if timeout(Duration::from_millis(1), self.reached.notified()).await.is_ok() {
                return true;
            }
        }
        false
    }

    pub(crate) fn lift(&self) {
        self.lifted.notify_one();
    }
}

#[async_trait]
impl Store for Counted {
    fn namespace(&self) -> &str {
        self.inner.namespace()
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created, Error> {
        self.call("create").await?;
        self.inner.create(record, durability).await
    }

    async fn load(
        &self,
        id: SessionId,
        now: SystemTime,
        access: Access,
    ) -> Result<Option<Loaded>, Error> {
        self.call("load").await?;
        self.inner.load(id, now, access).await
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated, Error> {
        self.call("update").await?;
        self.inner.update(record, expected, durability, ticket).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool, Error> {
        self.call("touch").await?;
        self.inner.touch(id, used_at, idle_deadline, ticket).await
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool, Error> {
        self.call("delete").await?;
        self.inner.delete(id, durability).await
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64, Error> {
        self.call("delete_owner").await?;
        let deleted = self.inner.delete_owner(owner, except, not_before, durability).await;
        let late = self.late.lock().unwrap().take();
        if let Some(record) = late {
            assert_eq!(self.inner.create(&record, durability).await?, Created::New);
        }
        deleted
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired, Error> {
        self.call("delete_expired").await?;
        self.inner.delete_expired(now, limit).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page, Error> {
        self.call("list").await?;
        self.inner.list(scope, now, after, limit).await
    }

    async fn release(&self, ticket: Ticket) -> Result<(), Error> {
        self.inner.release(ticket).await
    }
}

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
