//! What operators see of an engine, and what nobody may see of a session.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, StatusCode};
use sessile::store::MemoryStore;
use sessile::{
    Circumstances, Client, Clock, Config, Event, Keep, ManualClock, SessionId, Sessions,
    Subscriber, Token,
};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::engine::harness::{Server, secs};
use crate::engine::memory;

const OWNER: &str = "ann@example.org";
const KEY: &str = "postbox";
const VALUE: &str = "a love letter";

/// Everything that was logged, at every level, spans' beginnings and ends included.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs what this thread does from now on, until the guard is dropped.
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What of a cookie nobody may see: the token, and its secret in every common spelling.
fn secrets_of(cookie: &str) -> Vec<String> {
    let token = cookie.split_once('=').unwrap().1;
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).unwrap();
    let secret = &bytes[16..];
    let spelled = [BASE64URL_NOPAD.encode(secret), HEXLOWER.encode(secret), format!("{secret:?}")];
    // 16 bytes end within a character of base64, which the secret's first bits share.
    [[token.into(), token[22..].into()].to_vec(), spelled.to_vec()].concat()
}

/// The cookie of a guess: the right ID and another secret.
fn guess(cookie: &str) -> String {
    let last = if cookie.ends_with('A') { 'E' } else { 'A' };
    format!("{}{last}", &cookie[..cookie.len() - 1])
}

#[tokio::test]
async fn what_is_traced_holds_no_token_no_secret_no_owner_and_no_value() {
    let (place, log) = (memory(), Log::default());
    let server = Server::new(&place);
    let logging = log.begin();

    let anonymous = server.write("", KEY, VALUE).await;
    let visit = server.visit(&anonymous).await;
    visit.session.login(OWNER).unwrap();
    let first = visit.finish().await.unwrap().unwrap();
    let visit = server.visit(&first).await;
    visit.session.rotate().unwrap();
    let second = visit.finish().await.unwrap().unwrap();
    assert_eq!(server.id(&anonymous).await, None, "a login replaced it");
    server.clock.advance(secs(61));
    for refused in [&first, &guess(&second)] {
        assert_eq!(server.id(refused).await, None);
    }
    let failing = server.visit(&second).await;
    failing.session.insert(KEY, &format!("{VALUE}, again")).unwrap();
    server.store.fail("update");
    failing.finish().await.unwrap_err();
    server.store.fail("load");
    assert!(server.try_visit(&second).await.is_err());
    server.store.mend();
    let id = server.id(&second).await.unwrap().to_string();
    server.sessions.revoke_all(OWNER, None).await.unwrap();

    drop(logging);
    let text = log.text();
    let secrets = [&anonymous, &first, &second].map(|cookie| secrets_of(cookie)).concat();
    for secret in secrets.iter().map(String::as_str).chain([OWNER, KEY, VALUE]) {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    let events = ["created", "logged_in", "rotated", "superseded", "replayed", "refused"];
    let more = ["store_failed", "owner_revoked", "sessile.load", "sessile.commit", &id];
    for said in events.into_iter().chain(more) {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_load_and_a_commit_are_spans_with_the_public_id() {
    let (place, log) = (memory(), Log::default());
    let server = Server::new(&place);
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    let logging = log.begin();
    server.write(&cookie, "key", "other").await;
    drop(logging);
    for span in ["sessile.load", "sessile.commit"] {
        let span = format!("DEBUG {span}{{session={id}}}: sessile: close");
        assert_eq!(log.text().matches(&span).count(), 1, "{span} is not once in\n{}", log.text());
    }
}

#[cfg(feature = "metrics")]
mod metrics {
    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use ::metrics::{Key, Label, set_default_local_recorder};
    use http::{HeaderMap, HeaderValue, StatusCode};
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    use sessile::metrics::{Count, Timed, count_live};
    use sessile::store::{Access, MemoryStore, Store};
    use sessile::{Client, ManualClock, Sessions};

    use super::{OWNER, VALUE};
    use crate::engine::harness::{Events, pair_of};

    /// What was recorded: counts and gauges as they stand, histograms by their number of values.
    fn all_of(recorder: &DebuggingRecorder) -> BTreeMap<String, u64> {
        let all = recorder.snapshotter().snapshot().into_vec().into_iter();
        all.map(|(key, _, _, value)| (series(key.key()), number(value))).collect()
    }

    /// A series as Prometheus writes it.
    fn series(key: &Key) -> String {
        let label = |label: &Label| format!("{}={}", label.key(), label.value());
        let labels: Vec<_> = key.labels().map(label).collect();
        format!("{}{{{}}}", key.name(), labels.join(","))
    }

    #[expect(clippy::cast_sign_loss, reason = "the one gauge counts")]
    fn number(value: DebugValue) -> u64 {
        match value {
            DebugValue::Counter(n) => n,
            DebugValue::Gauge(value) => *value as u64,
            DebugValue::Histogram(values) => {
                assert!(values.iter().all(|value| (0.0..60.0).contains(&**value)), "seconds");
                values.len() as u64
            }
        }
    }

    /// A request with this cookie that runs `handle`; gives the browser's cookie.
    async fn request(
        sessions: &Sessions,
        cookie: &str,
        handle: impl FnOnce(&sessile::Session),
    ) -> String {
        let cookies = HeaderValue::from_str(cookie).unwrap();
        let headers = HeaderMap::from_iter([(http::header::COOKIE, cookies)]);
        let exchange = sessions.begin(&headers, Client::default());
        handle(&exchange.handle().session().await.unwrap());
        let mut response = HeaderMap::new();
        exchange.finish(StatusCode::OK, &mut response).await.unwrap();
        response.get("set-cookie").map_or(cookie.into(), pair_of)
    }

    #[tokio::test]
    async fn every_event_is_counted_by_its_name_and_by_nothing_else() {
        let recorder = DebuggingRecorder::new();
        let _local = set_default_local_recorder(&recorder);
        let seen = Events::default();
        let builder = Sessions::builder(MemoryStore::new()).subscriber(Count::new());
        let sessions = builder.subscriber(seen.clone()).build().unwrap();
        let anonymous = request(&sessions, "", |it| it.insert("key", VALUE).unwrap()).await;
        let cookie = request(&sessions, &anonymous, |it| it.login(OWNER).unwrap()).await;
        request(&sessions, &anonymous, |_| ()).await;
        request(&sessions, &anonymous, |_| ()).await;
        request(&sessions, &cookie, |it| it.invalidate().unwrap()).await;

        let mut expected = BTreeMap::new();
        for name in seen.names() {
            *expected.entry(format!("sessile_events_total{{event={name}}}")).or_default() += 1;
        }
        assert_eq!(expected["sessile_events_total{event=superseded}"], 2);
        assert_eq!(all_of(&recorder), expected);
    }

    #[tokio::test]
    async fn every_call_of_the_store_is_timed_with_what_came_of_it() {
        let recorder = DebuggingRecorder::new();
        let _local = set_default_local_recorder(&recorder);
        let clock = ManualClock::starting_at(SystemTime::now());
        let builder = Sessions::builder(Timed::new(MemoryStore::new())).clock(clock.clone());
        let sessions = builder.build().unwrap();
        let cookie = request(&sessions, "", |it| it.login(OWNER).unwrap()).await;
        clock.advance(Duration::from_secs(600));
        request(&sessions, &cookie, |it| it.insert("key", VALUE).unwrap()).await;
        sessions.list(OWNER, None, None).await.unwrap();
        sessions.revoke_all(OWNER, None).await.unwrap();
        request(&sessions, &cookie, |_| ()).await;
        sessions.sweep(10).await.unwrap();

        let timed = |operation: &str, outcome: &str| {
            format!("sessile_store_seconds{{operation={operation},outcome={outcome}}}")
        };
        let expected = [
            (timed("create", "new"), 1),
            (timed("load", "found"), 1),
            (timed("touch", "found"), 1),
            (timed("update", "written"), 1),
            (timed("list", "ok"), 1),
            (timed("delete_owner", "ok"), 1),
            // Of a dead cookie, and of the mark that a login reads.
            (timed("load", "absent"), 2),
            (timed("delete_expired", "ok"), 1),
        ];
        let mut all = all_of(&recorder);
        assert!(all.remove(&timed("release", "ok")).is_some_and(|times| times >= 3));
        assert_eq!(all, BTreeMap::from(expected));
    }

    #[tokio::test]
    async fn a_wait_for_the_lock_is_told_from_a_load_and_so_is_a_call_nobody_waited_for() {
        let recorder = DebuggingRecorder::new();
        let store = Timed::new(MemoryStore::new());
        let sessions = Sessions::new(store.clone());
        let session = sessions.detached();
        session.insert("key", VALUE).unwrap();
        session.commit().await.unwrap();
        let id = session.id().unwrap();
        let hold = Duration::from_secs(60);
        let lock = |wait| store.load(id, SystemTime::now(), Access::Exclusive { wait, hold });

        let _local = set_default_local_recorder(&recorder);
        let holder = lock(Duration::ZERO).await.unwrap().unwrap();
        lock(Duration::from_millis(1)).await.unwrap_err();
        let gone = tokio::time::timeout(Duration::from_millis(1), lock(hold)).await;
        assert!(gone.is_err(), "the lock is held");
        drop(holder);
        let all = all_of(&recorder);
        for outcome in ["found", "lock_timeout", "dropped"] {
            let series =
                format!("sessile_store_seconds{{operation=load_exclusive,outcome={outcome}}}");
            assert_eq!(all.get(&series), Some(&1), "{series} in {all:?}");
        }
    }

    #[tokio::test]
    async fn live_sessions_are_those_of_the_store_whoever_began_them() {
        let recorder = DebuggingRecorder::new();
        let _local = set_default_local_recorder(&recorder);
        let store = MemoryStore::new();
        let [ours, theirs] = [Sessions::new(store.clone()), Sessions::new(store.clone())];
        for sessions in [&ours, &theirs, &theirs] {
            request(sessions, "", |it| it.insert("key", VALUE).unwrap()).await;
        }
        let now = SystemTime::now();
        assert_eq!(count_live(&store, now).await.unwrap(), 3);
        assert_eq!(all_of(&recorder)["sessile_sessions_live{}"], 3);
        let tomorrow = now + Duration::from_secs(86_400);
        assert_eq!(count_live(&store, tomorrow).await.unwrap(), 0, "expired, though not swept");
    }

    #[tokio::test]
    async fn more_sessions_than_a_page_are_counted_once_each() {
        let store = MemoryStore::new();
        let sessions = Sessions::new(store.clone());
        for _ in 0..2_001 {
            let session = sessions.detached();
            session.insert("key", VALUE).unwrap();
            session.commit().await.unwrap();
        }
        assert_eq!(count_live(&store, SystemTime::now()).await.unwrap(), 2_001);
    }

    /// A timed store under every law.
    #[cfg(feature = "conformance")]
    mod timed {
        use std::sync::Arc;

        use async_trait::async_trait;
        use sessile::SessionId;
        use sessile::conformance::Place;
        use sessile::metrics::Timed;
        use sessile::store::{MemoryStore, Store};

        struct TimedMemory(MemoryStore);

        #[async_trait]
        impl Place for TimedMemory {
            async fn open(&self, namespace: &str) -> Arc<dyn Store> {
                Arc::new(Timed::new(self.0.clone().with_namespace(namespace)))
            }

            async fn damage(&self, _namespace: &str, _id: SessionId) -> bool {
                false
            }
        }

        sessile::conformance_laws!(TimedMemory(MemoryStore::new()));
    }
}

/// What happened, when, and from where.
#[derive(Clone, Debug, Default)]
struct Journal(Arc<Mutex<Vec<(&'static str, Circumstances)>>>);

impl Journal {
    fn take(&self) -> Vec<(&'static str, Circumstances)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn addresses(&self) -> Vec<(&'static str, Option<String>)> {
        self.take().into_iter().map(|(name, told)| (name, told.client_address)).collect()
    }
}

impl Subscriber for Journal {
    fn notify(&self, _: &Event) {
        unreachable!("the engine tells the circumstances too")
    }

    fn notify_with(&self, event: &Event, circumstances: &Circumstances) {
        self.0.lock().unwrap().push((event.name(), circumstances.clone()));
    }
}

fn journaled(keep: Keep, clock: &ManualClock) -> (Sessions, Journal) {
    let (mut config, journal) = (Config::default(), Journal::default());
    config.client_address = keep;
    let builder = Sessions::builder(MemoryStore::new()).config(config).clock(clock.clone());
    (builder.subscriber(journal.clone()).build().unwrap(), journal)
}

async fn signed_in(sessions: &Sessions, client: Client) -> SessionId {
    let exchange = sessions.begin(&HeaderMap::new(), client);
    let session = exchange.handle().session().await.unwrap();
    session.login(OWNER).unwrap();
    exchange.finish(StatusCode::OK, &mut HeaderMap::new()).await.unwrap();
    session.id().unwrap()
}

#[tokio::test]
async fn r77_events_tell_when_and_from_where_as_far_as_configured() {
    for (keep, told) in [
        (Keep::Off, None),
        (Keep::Truncated, Some("192.0.2.0/24")),
        (Keep::Full, Some("192.0.2.77")),
    ] {
        let clock = ManualClock::starting_at(SystemTime::now());
        let (sessions, journal) = journaled(keep, &clock);
        clock.advance(secs(5));
        signed_in(&sessions, Client::at([192, 0, 2, 77])).await;
        let told = Some(told.map(str::to_owned));
        let [(name, circumstances)] = &journal.take()[..] else { panic!("one event") };
        assert_eq!((*name, Some(circumstances.client_address.clone())), ("logged_in", told));
        let late = clock.now().duration_since(circumstances.at).unwrap();
        assert!(late < std::time::Duration::from_millis(1), "by the engine's clock");
        signed_in(&sessions, Client::default()).await;
        assert_eq!(journal.addresses(), [("logged_in", None)]);
    }
}

#[tokio::test]
async fn r77_every_look_at_a_cookie_tells_from_where() {
    let clock = ManualClock::starting_at(SystemTime::now());
    let (sessions, journal) = journaled(Keep::Full, &clock);
    let id = signed_in(&sessions, Client::default()).await;
    journal.take();
    for (token, event) in
        [(Token::random().unwrap(), "unknown"), (Token::for_session(id).unwrap(), "refused")]
    {
        let cookie = format!("__Host-session={}", token.reveal());
        let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(cookie).unwrap())]);
        let exchange = sessions.begin(&headers, Client::at([192, 0, 2, 77]));
        exchange.handle().session().await.unwrap();
        assert_eq!(journal.addresses(), [(event, Some("192.0.2.77".to_owned()))]);
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn r78_what_administrators_list_and_end_is_told_with_their_address() {
    use axum::routing::get;
    use tower::ServiceExt;

    let clock = ManualClock::starting_at(SystemTime::now());
    let (sessions, journal) = journaled(Keep::Full, &clock);
    signed_in(&sessions, Client::default()).await;
    signed_in(&sessions, Client::default()).await;
    journal.take();
    let inside = sessions.clone();
    let admin = async move || -> sessile::Result<()> {
        let page = inside.list(OWNER, None, None).await?;
        inside.revoke_any(page.devices[0].session.id).await?;
        inside.revoke_all(OWNER, None).await.map(drop)
    };
    let layer = sessions.layer().with_client_address(|_, _| "192.0.2.77".parse().ok());
    let app = axum::Router::new().route("/", get(admin)).layer(layer);
    let request = http::Request::get("/").body(axum::body::Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::OK);
    let from = |name| (name, Some("192.0.2.77".to_owned()));
    assert_eq!(journal.addresses(), ["listed", "revoked", "owner_revoked"].map(from));
}
