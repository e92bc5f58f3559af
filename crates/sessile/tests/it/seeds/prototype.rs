//! web.py's prototype of `Session`, `Handler` and `DBHandler`, and what web.py made of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;
use serde_json::{Value, json};
use sessile::store::{Durability, MemoryStore, Store};
use sessile::{Clock, Config, ErrorKind, Keys, Prefix, SessionId, Sessions, Token};

use super::process::Process;
use super::{
    BODY_AT, Disk, LONG, count, created, files_below, foreign_cookie, headers_of, holds, load,
    next, record, rotate, set_cookie, sweep, update,
};
use crate::engine::harness::{Server, kind_of, secs};
use crate::engine::{Place, memory};

// R25
#[tokio::test]
async fn pt1_pt26_a_visitor_has_no_id_no_data_and_no_file() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    assert_eq!((visit.session.id(), visit.session.keys().len()), (None, 0));
    assert_eq!(visit.finish().await.unwrap(), None);
    assert!(disk.records().is_empty());
}

#[tokio::test]
async fn pt4_a_save_persists_and_the_cookie_opens_it_elsewhere() {
    let disk = Disk::new();
    let cookie = disk.server().write("", "key", "value").await;
    let elsewhere = Server::new(&Place::of(disk.reopened()));
    assert_eq!(elsewhere.read(&cookie, "key").await.as_deref(), Some("value"));
}

#[tokio::test]
async fn pt5_the_cookie_carries_path_domain_and_life() {
    let disk = Disk::new();
    let server = disk.server_with(|config| {
        config.cookie.prefix = Prefix::Secure;
        config.cookie.domain = Some("example.org".into());
        config.cookie.path = "/app".into();
    });
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    visit.session.remember_for(secs(600)).unwrap();
    let response = headers_of(visit).await;
    for attribute in ["; Path=/app", "; Domain=example.org", "; Max-Age=600"] {
        assert!(set_cookie(&response).contains(attribute), "{attribute}");
    }
}

#[tokio::test]
async fn pt6_destroy_ends_the_current_token_and_the_one_before() {
    let disk = Disk::new();
    let server = disk.server();
    let before = server.write("", "key", "value").await;
    let current = rotate(&server, &before).await;
    let visit = server.visit(&current).await;
    visit.session.invalidate().unwrap();
    assert_eq!((visit.session.id(), visit.session.contains("key")), (None, false));
    assert_eq!(visit.finish().await.unwrap().as_deref(), Some("__Host-session="));
    assert_eq!((server.id(&before).await, server.id(&current).await), (None, None));
    assert!(disk.records().is_empty());
}

#[tokio::test]
async fn pt7_an_idle_session_is_gone_and_the_next_has_a_new_id() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.idle_timeout = secs(600));
    let old = server.write("", "key", "value").await;
    let old_id = server.id(&old).await;
    server.clock.advance(secs(600));
    let new = server.write(&old, "other", "value").await;
    let session = server.visit(&new).await.session;
    assert_eq!(session.keys(), ["other"]);
    assert_ne!(session.id(), old_id);
    server.clock.advance(LONG);
    sweep(&server).await;
    assert!(!disk.file(old_id.unwrap()).exists());
}

#[tokio::test]
async fn pt8_the_idle_check_can_be_turned_off() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.idle_timeout = config.absolute_timeout);
    let absolute = server.sessions.config().absolute_timeout;
    let by_config = server.write("", "key", "value").await;
    server.clock.advance(absolute.mul_f64(0.99));
    assert!(server.id(&by_config).await.is_some());
    server.clock.advance(absolute);
    assert_eq!(server.id(&by_config).await, None);
}

// R30, R33, R34
#[tokio::test]
async fn pt9_no_use_save_or_renewal_extends_the_absolute_deadline() {
    let disk = Disk::new();
    let server = disk.server_with(|config| {
        config.idle_timeout = secs(100);
        config.absolute_timeout = secs(250);
    });
    let mut cookie = server.write("", "key", "value").await;
    for _ in 0..3 {
        server.clock.advance(secs(83));
        cookie = rotate(&server, &cookie).await;
        server.write(&cookie, "key", "again").await;
    }
    assert!(server.id(&cookie).await.is_some(), "a second before");
    server.clock.advance(secs(1));
    assert_eq!(server.id(&cookie).await, None);
}

#[tokio::test]
async fn pt11_a_handler_may_renew_on_every_request() {
    let disk = Disk::new();
    let server = disk.server();
    let mut cookies = vec![server.write("", "key", "value").await];
    for _ in 0..8 {
        let visit = server.visit(cookies.last().unwrap()).await;
        count(&visit.session);
        visit.session.rotate().unwrap();
        cookies.push(visit.finish().await.unwrap().expect("the cookie follows"));
    }
    let last = cookies.last().unwrap();
    assert_eq!(server.visit(last).await.session.get::<u64>("count").unwrap(), Some(8));
    cookies.sort();
    cookies.dedup();
    assert_eq!(cookies.len(), 9);
}

#[tokio::test]
async fn pt12_parallel_requests_that_renew_end_with_one_session_and_no_logout() {
    let disk = Disk::new();
    let server = disk.server();
    let old = server.write("", "key", "value").await;
    let mut visits = Vec::new();
    for n in 0..8 {
        let visit = server.visit(&old).await;
        visit.session.insert(&format!("key{n}"), &n).unwrap();
        visit.session.rotate().unwrap();
        visits.push(visit);
    }
    let mut cookies = Vec::new();
    for visit in visits {
        cookies.extend(visit.finish().await.unwrap());
    }
    assert_eq!(cookies.len(), 1, "one of them gives the new token");
    for cookie in [&old, &cookies[0]] {
        assert_eq!(server.visit(cookie).await.session.keys().len(), 9);
    }
    assert_eq!(disk.records().len(), 1);
}

#[tokio::test]
async fn pt14_a_callers_own_generator_is_used_and_held_to_its_form() {
    let disk = Disk::new();
    let hex = || Keys::new("web-py", "0123456789abcdef", 40..=128).unwrap();
    let key = SessionId::random().unwrap().to_string().repeat(2);
    let drawn = key.clone();
    let server = Server::with_keys(&disk.place, hex().drawn_by(move || Ok(drawn.clone())));
    let cookie = server.write("", "key", "value").await;
    assert_eq!(cookie, format!("__Host-session={key}"));
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("value"));
    assert!(disk.file(hex().id_of(&key).unwrap()).exists(), "the file is named by the ID");
    for file in files_below(disk.path()) {
        assert!(!holds(&std::fs::read(file).unwrap(), key.as_bytes()));
    }

    let other = Disk::new();
    let hostile = hex().drawn_by(|| Ok("../../etc/passwd".into()));
    let visit = Server::with_keys(&other.place, hostile).visit("").await;
    visit.session.insert("key", "value").unwrap();
    assert_eq!(kind_of(visit.finish().await), Some(ErrorKind::Key));
    assert!(other.records().is_empty());
}

#[tokio::test]
async fn pt14_a_key_that_is_taken_is_refused_and_others_are_drawn_a_few_times() {
    let disk = Disk::new();
    let draws = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&draws);
    let same_again = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok("0123456789abcdef".repeat(4))
    };
    let keys = Keys::new("web-py", "0123456789abcdef", 64..=64).unwrap().drawn_by(same_again);
    let server = Server::with_keys(&disk.place, keys);
    let cookie = server.write("", "key", "first").await;
    let visit = server.visit("").await;
    visit.session.insert("key", "second").unwrap();
    assert_eq!(kind_of(visit.finish().await), Some(ErrorKind::Key));
    assert!((3..20).contains(&draws.load(Ordering::Relaxed)));
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("first"));
    assert_eq!(disk.records().len(), 1);
}

#[test]
fn pt14_keys_that_are_drawn_are_neither_signed_nor_rotated_by_themselves() {
    let keys = || Keys::new("web-py", "0123456789abcdef", 40..=40).unwrap();
    let signing = || BASE64URL_NOPAD.encode(&[1; 32]).parse().unwrap();
    let changes: [&dyn Fn(&mut Config); 2] =
        [&|config| config.rotate_every = Some(secs(600)), &|config| {
            config.token_keys = vec![signing()];
        }];
    for change in changes {
        let mut config = Config::default();
        change(&mut config);
        let builder = || Sessions::builder(MemoryStore::new()).config(config.clone());
        assert!(builder().keys(keys()).build().is_ok(), "with another system's they go together");
        let drawn = builder().keys(keys().drawn_by(|| Ok(String::new()))).build();
        assert_eq!(drawn.unwrap_err().kind(), ErrorKind::Config);
    }
}

// R1, R7
#[test]
fn pt15_al24_dj3_tokens_are_random_url_safe_and_never_come_twice() {
    const TOKENS: usize = 20_000;
    let texts: HashSet<_> = (0..TOKENS).map(|_| Token::random().unwrap().reveal()).collect();
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    assert!(texts.iter().all(|text| text.len() == 43 && text.bytes().all(safe)));
    let bytes = texts.iter().map(|text| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap());
    let tokens: Vec<[u8; 32]> = bytes.map(|bytes| bytes.try_into().unwrap()).collect();
    for half in [0..16, 16..32] {
        let distinct: HashSet<_> = tokens.iter().map(|token| &token[half.clone()]).collect();
        assert_eq!(distinct.len(), TOKENS, "IDs and secrets are drawn apart");
    }
    for bit in 0..256 {
        let set = tokens.iter().filter(|token| token[bit / 8] >> (bit % 8) & 1 == 1).count();
        // 7 standard deviations: among 256 bits, once in 10^9 runs by chance.
        assert!(set.abs_diff(TOKENS / 2) < 495, "bit {bit} is set in {set} of {TOKENS} tokens");
    }
}

#[tokio::test]
async fn pt16_a_url_selects_the_store_and_an_unknown_one_is_named() {
    let root = tempfile::tempdir().unwrap();
    let url = format!("file://{}/sessions?fs=any", root.path().display());
    let stored = sessile::store::open(&url).unwrap();
    let now = SystemTime::now();
    let id = created(&*stored, record(SessionId::random().unwrap(), now)).await.id;
    assert!(load(&*sessile::store::open(&url).unwrap(), id, now).await.is_some());
    let error = sessile::store::open("pickle:///tmp").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("pickle"), "{error}");
}

async fn a_visitor_counts_logs_in_and_leaves(place: &Place) {
    let server = Server::new(place);
    let visit = server.visit("").await;
    count(&visit.session);
    let anonymous = visit.finish().await.unwrap().unwrap();
    let visit = server.visit(&anonymous).await;
    visit.session.login("ann").unwrap();
    let cookie = visit.finish().await.unwrap().unwrap();
    assert_eq!(count(&server.visit(&cookie).await.session), 2);
    assert_eq!(server.sessions.revoke_all("ann", None).await.unwrap(), 1);
    assert_eq!(server.owner(&cookie).await, None);
}

#[tokio::test]
async fn pt17_one_body_passes_on_every_store() {
    a_visitor_counts_logs_in_and_leaves(&memory()).await;
    a_visitor_counts_logs_in_and_leaves(&Disk::new().place).await;
}

#[tokio::test]
async fn pt19_renewals_keep_one_file_and_created_and_advance_the_use() {
    let disk = Disk::new();
    let server = disk.server();
    let mut cookie = server.write("", "key", "value").await;
    let before = server.visit(&cookie).await.session.record().unwrap();
    for _ in 0..5 {
        server.clock.advance(secs(60));
        cookie = rotate(&server, &cookie).await;
    }
    let after = server.visit(&cookie).await.session.record().unwrap();
    assert_eq!((after.created_at, disk.records().len()), (before.created_at, 1));
    assert_eq!(after.used_at, before.used_at + secs(300));
}

#[tokio::test]
async fn pt20_a_failing_write_tells_its_cause_and_rolls_back() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let said = Process::grows_on_a_full_disk(&disk, &cookie).ends();
    assert!(said[1].contains("File too large"), "{said:?}");
    let session = server.visit(&cookie).await.session;
    assert_eq!(session.record().unwrap().version.get(), 2, "only the small save was counted");
}

#[tokio::test]
async fn pt21_every_name_is_the_applications_own() {
    let disk = Disk::new();
    let server = disk.server();
    let names = ["_data", "_id", "created_at", "id", "owner", "session_id"];
    let visit = server.visit("").await;
    for name in names {
        visit.session.insert(name, "mine").unwrap();
    }
    let cookie = visit.finish().await.unwrap().unwrap();
    let session = server.visit(&cookie).await.session;
    assert_eq!((session.keys(), session.owner()), (names.map(String::from).to_vec(), None));
    assert_eq!(session.get::<String>("id").unwrap().as_deref(), Some("mine"));
    assert!(session.contains("owner") && !session.contains("absent"));
    assert_eq!(session.get::<String>("absent").unwrap(), None);
}

#[tokio::test]
async fn pt22_a_store_answers_like_a_mapping() {
    let (disk, now) = (Disk::new(), SystemTime::now());
    let id = SessionId::random().unwrap();
    assert_eq!(load(&disk.store, id, now).await, None);
    let first = created(&disk.store, record(id, now)).await;
    let second = next(&first, "2");
    update(&disk.store, &second, first.version).await;
    assert_eq!(load(&disk.store, id, now).await, Some(second));
    for is_there in [true, false] {
        assert_eq!(disk.store.delete(id, Durability::Process).await.unwrap(), is_there);
    }
    let id = created(&disk.store, record(id, now)).await.id;
    let removed = disk.store.delete_expired(now + LONG, 10).await.unwrap().removed;
    assert_eq!(removed, [(id, None)]);
}

/// web.py's own example, through a real router.
#[cfg(feature = "axum")]
mod counter {
    use axum::Router;
    use axum::body::Body;
    use axum::response::Redirect;
    use axum::routing::get;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use sessile::{Session, Sessions};
    use tower::ServiceExt;

    use super::{Disk, count};
    use crate::engine::harness::pair_of;

    fn app(disk: &Disk) -> Router {
        Router::new()
            .route("/count", get(async |session: Session| count(&session).to_string()))
            .route("/reset", get(async |session: Session| session.clear()))
            .route("/moved", get(moved))
            .layer(Sessions::new(disk.store.clone()).layer())
    }

    async fn moved(session: Session) -> sessile::Result<Redirect> {
        session.insert("count", &41)?;
        Ok(Redirect::to("/count"))
    }

    struct Browser<'a> {
        app: &'a Router,
        cookie: String,
    }

    impl<'a> Browser<'a> {
        fn new(app: &'a Router) -> Self {
            Self { app, cookie: String::new() }
        }

        async fn get(&mut self, path: &str) -> (StatusCode, String) {
            let request = Request::get(path).header("cookie", &self.cookie);
            let request = request.body(Body::empty()).unwrap();
            let (head, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
            if let Some(set) = head.headers.get("set-cookie") {
                self.cookie = pair_of(set);
            }
            let body = body.collect().await.unwrap().to_bytes();
            (head.status, String::from_utf8(body.to_vec()).unwrap())
        }

        async fn counts(&mut self) -> String {
            self.get("/count").await.1
        }
    }

    #[tokio::test]
    async fn pt23_a_counter_counts_and_starts_anew_after_a_reset() {
        let disk = Disk::new();
        let app = app(&disk);
        let mut browser = Browser::new(&app);
        for n in ["1", "2", "3"] {
            assert_eq!(browser.counts().await, n);
        }
        browser.get("/reset").await;
        assert_eq!(browser.counts().await, "1");
    }

    #[tokio::test]
    async fn pt23_two_browsers_count_apart() {
        let disk = Disk::new();
        let app = app(&disk);
        let (mut one, mut two) = (Browser::new(&app), Browser::new(&app));
        assert_eq!((one.counts().await, one.counts().await), ("1".into(), "2".into()));
        assert_eq!((two.counts().await, one.counts().await), ("1".into(), "3".into()));
    }

    #[tokio::test]
    async fn pt23_a_malformed_cookie_begins_a_new_session() {
        let disk = Disk::new();
        let app = app(&disk);
        let mut browser = Browser::new(&app);
        browser.cookie = "__Host-session=no-hex!".into();
        assert_eq!((browser.counts().await, browser.counts().await), ("1".into(), "2".into()));
    }

    #[tokio::test]
    async fn pt23_what_was_set_before_a_redirect_survives_it() {
        let disk = Disk::new();
        let app = app(&disk);
        let mut browser = Browser::new(&app);
        assert_eq!(browser.get("/moved").await.0, StatusCode::SEE_OTHER);
        assert_eq!(browser.counts().await, "42");
    }
}

#[tokio::test]
async fn pt24_a_sweep_without_its_directory_returns_quietly() {
    let disk = Disk::new();
    let server = disk.server();
    server.write("", "key", "value").await;
    std::fs::remove_dir_all(disk.path()).unwrap();
    server.clock.advance(LONG);
    let swept = server.sessions.sweep(10).await.unwrap();
    assert_eq!((swept.removed, swept.more), (0, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn pt25_ten_writers_of_one_key_leave_a_reader_one_of_their_values() {
    let disk = Disk::new();
    let server = Arc::new(disk.server());
    let cookie = server.write("", "key", "0").await;
    let write = |n: usize| {
        let (server, cookie) = (Arc::clone(&server), cookie.clone());
        tokio::spawn(async move { server.write(&cookie, "key", &n.to_string().repeat(n)).await })
    };
    let writers: Vec<_> = (1..=10).map(write).collect();
    let (id, now, other) = (server.id(&cookie).await.unwrap(), server.clock.now(), disk.reopened());
    let values: Vec<_> = (0..=10).map(|n: usize| n.to_string().repeat(n.max(1))).collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let record = load(&other, id, now).await.unwrap();
        let value: String = serde_json::from_slice(record.data.get("key").unwrap()).unwrap();
        assert!(values.contains(&value), "{value}");
    }
}

// R14, R15
#[tokio::test]
async fn pt27_the_cookie_has_every_safe_attribute() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    let response = headers_of(visit).await;
    let (pair, attributes) = set_cookie(&response).split_once("; ").unwrap();
    assert!(pair.starts_with("__Host-session="));
    assert_eq!(attributes, "Path=/; HttpOnly; Secure; SameSite=Lax");
}

#[tokio::test]
async fn pt28_a_write_that_fails_is_told_and_sets_no_cookie() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    server.store.fail("create");
    let (committed, set) = visit.finish_with(http::StatusCode::OK).await;
    let error = committed.unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16(), set), (ErrorKind::Unavailable, 503, None));
    assert_eq!(server.events.take(), ["store_failed"]);
}

#[tokio::test]
async fn pt29_al14_a_damaged_record_is_told_once_and_a_fresh_session_follows() {
    let disk = Disk::new();
    let server = disk.server();
    let old = server.write("", "key", "value").await;
    disk.damage(server.id(&old).await.unwrap(), BODY_AT);
    server.events.take();
    let new = server.write(&old, "other", "value").await;
    assert_eq!(server.events.take(), ["corrupt", "created"]);
    assert_eq!(server.visit(&new).await.session.keys(), ["other"]);
    assert_eq!(server.id(&old).await, None);
    assert_eq!(server.events.take(), ["unknown"], "set aside, so that nothing loops");
}

// R63
#[tokio::test]
async fn pt30_a_value_put_into_two_sessions_is_shared_by_none() {
    let disk = Disk::new();
    let server = disk.server();
    let initial = json!({"cart": []});
    let mut cookies = Vec::new();
    for _ in 0..2 {
        let visit = server.visit("").await;
        visit.session.insert("initial", &initial).unwrap();
        cookies.push(visit.finish().await.unwrap().unwrap());
    }
    let visit = server.visit(&cookies[0]).await;
    visit.session.update("initial", |_: Option<Value>| json!({"cart": ["apple"]})).unwrap();
    visit.finish().await.unwrap();
    let other = server.visit(&cookies[1]).await.session;
    assert_eq!(other.get::<Value>("initial").unwrap(), Some(initial));
}

#[tokio::test]
async fn pt13_the_token_before_stops_at_the_end_of_its_grace() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.rotation_grace = secs(10));
    let old = server.write("", "key", "value").await;
    rotate(&server, &old).await;
    server.clock.advance(Duration::from_millis(9_999));
    assert!(server.id(&old).await.is_some());
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(server.id(&old).await, None);
}

#[tokio::test]
async fn pt3_a_forged_token_is_never_adopted() {
    let disk = Disk::new();
    let server = disk.server();
    let forged = foreign_cookie();
    let given = server.write(&forged, "key", "value").await;
    assert_ne!(given, forged);
    let exchange = server.begin(&given);
    exchange.finish(http::StatusCode::OK, &mut HeaderMap::new()).await.unwrap();
    assert_eq!((server.id(&forged).await, disk.records().len()), (None, 1));
}
