//! Django's file `SessionStore`, and the middleware around it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use sessile::store::{Created, Durability, Store};
use sessile::{Clock, ErrorKind, Session, SessionId};

use super::process::{COUNTS, Process};
use super::{
    BODY_AT, Disk, LONG, everything_below, files_below, headers_of, log_out, mode_of, open, record,
    rotate, set_cookie, sweep, sweep_for_a_day,
};
use crate::engine::Place;
use crate::engine::harness::{Server, kind_of, secs};

#[tokio::test]
async fn dj1_a_request_costs_nothing_until_its_session_is_asked_for() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let calls = server.store.calls();
    let exchange = server.begin(&cookie);
    let mut response = HeaderMap::new();
    exchange.finish(http::StatusCode::OK, &mut response).await.unwrap();
    assert_eq!((server.store.calls(), response.len()), (calls, 0));
}

#[tokio::test]
async fn dj2_what_has_not_a_tokens_length_is_no_token() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let calls = server.store.calls();
    for cut in ["__Host-session=", &cookie[..22], &cookie[..cookie.len() - 1]] {
        assert_eq!(server.id(cut).await, None);
    }
    assert_eq!(server.id(&format!("{cookie}A")).await, None);
    assert_eq!(server.store.calls(), calls);
}

#[tokio::test]
async fn dj3_an_id_is_32_lower_case_hex_digits() {
    let disk = Disk::new();
    let server = disk.server();
    let id = server.id(&server.write("", "key", "value").await).await.unwrap().to_string();
    assert_eq!(id.len(), 32);
    assert!(id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
}

type Deed = fn(&Session);

/// What a handler may do, and whether it writes.
const DEEDS: [(&str, bool, Deed); 9] = [
    ("get", false, |s| drop(s.get::<String>("key").unwrap())),
    ("keys", false, |s| drop(s.keys())),
    ("contains", false, |s| assert!(s.contains("key"))),
    ("remove what is absent", false, |s| s.remove("absent").unwrap()),
    ("take what is absent", false, |s| drop(s.take::<String>("absent").unwrap())),
    ("insert", true, |s| s.insert("key", "value").unwrap()),
    ("update", true, |s| assert_eq!(s.update("n", |n: Option<u8>| n.unwrap_or(1)).unwrap(), 1)),
    ("take", true, |s| drop(s.take::<String>("key").unwrap())),
    ("clear", true, |s| s.clear().unwrap()),
];

#[tokio::test]
async fn dj4_a_look_writes_nothing_and_a_change_does() {
    let disk = Disk::new();
    let server = disk.server();
    for (deed, writes, act) in DEEDS {
        let cookie = server.write("", "key", "value").await;
        let visit = server.visit(&cookie).await;
        act(&visit.session);
        let response = headers_of(visit).await;
        assert_eq!(response["vary"], "Cookie", "{deed}");
        let version = server.visit(&cookie).await.session.record().unwrap().version.get();
        assert_eq!(version, 1 + u64::from(writes), "{deed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dj6_dj7_of_many_creates_of_one_id_one_wins() {
    let disk = Disk::new();
    let record = record(SessionId::random().unwrap(), SystemTime::now());
    let create = |_| {
        let (store, record) = (disk.reopened(), record.clone());
        tokio::spawn(async move { store.create(&record, Durability::Process).await.unwrap() })
    };
    let mut created = Vec::new();
    for task in (0..16).map(create).collect::<Vec<_>>() {
        created.push(task.await.unwrap());
    }
    assert_eq!(created.iter().filter(|created| **created == Created::New).count(), 1);
    assert_eq!(created.iter().filter(|created| **created == Created::Exists).count(), 15);
}

#[tokio::test]
async fn dj8_a_save_of_a_deleted_session_is_refused_and_recreates_nothing() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let slow = server.visit(&cookie).await;
    slow.session.insert("key", "late").unwrap();
    log_out(&server, &cookie).await;
    assert_eq!(kind_of(slow.finish().await), Some(ErrorKind::Ended));
    assert!(disk.records().is_empty());
}

#[tokio::test]
async fn dj9_a_save_without_a_session_creates_one() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    visit.session.commit().await.unwrap();
    assert!(visit.session.id().is_some());
    assert_eq!(disk.records().len(), 1);
}

#[tokio::test]
async fn dj12_an_expired_session_loses_data_and_key_and_gets_no_new_file() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    server.clock.advance(4 * LONG);
    let visit = server.visit(&cookie).await;
    assert_eq!((visit.session.id(), visit.session.keys().len()), (None, 0));
    visit.finish().await.unwrap();
    sweep(&server).await;
    assert!(disk.records().is_empty());
}

#[tokio::test]
async fn dj13_a_session_lasts_from_its_last_save() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.idle_timeout = secs(100));
    let cookie = server.write("", "key", "value").await;
    server.clock.advance(secs(5));
    server.write(&cookie, "key", "again").await;
    let deadline = server.visit(&cookie).await.session.record().unwrap().deadline();
    assert_eq!(deadline, server.clock.now() + secs(100));
}

#[tokio::test]
async fn dj14_an_instant_ends_a_session_and_one_that_passed_ends_it_at_once() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    visit.session.expire_at(server.clock.now() + secs(50)).unwrap();
    visit.finish().await.unwrap();
    server.clock.advance(secs(49));
    let visit = server.visit(&cookie).await;
    visit.session.expire_at(server.clock.now() - secs(1)).unwrap();
    visit.finish().await.unwrap();
    assert_eq!(server.id(&cookie).await, None);
}

#[tokio::test]
async fn dj15_a_session_set_to_n_seconds_is_gone_n_seconds_after_its_last_save() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    visit.session.expire_when_idle_for(secs(60)).unwrap();
    visit.finish().await.unwrap();
    server.clock.advance(secs(50));
    server.write(&cookie, "key", "again").await;
    let id = server.id(&cookie).await.unwrap();
    server.clock.advance(Duration::from_millis(59_999));
    assert_eq!(disk.ids(server.clock.now()).await, [id]);
    server.clock.advance(Duration::from_millis(1));
    assert!(disk.ids(server.clock.now()).await.is_empty());
    assert_eq!(server.id(&cookie).await, None);
}

#[tokio::test]
async fn dj16_a_cookie_goes_with_the_browser_unless_it_is_to_be_remembered() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    let mut set = set_cookie(&headers_of(visit).await).to_owned();
    assert!(!set.contains("Max-Age"));
    let wishes: [(Deed, bool); 2] = [
        (|session| session.remember_for(secs(86_400)).unwrap(), true),
        (|session| session.forget_with_browser().unwrap(), false),
    ];
    for (wish, lasts) in wishes {
        let visit = server.visit(set.split(';').next().unwrap()).await;
        wish(&visit.session);
        set = set_cookie(&headers_of(visit).await).to_owned();
        assert_eq!(set.contains("; Max-Age=86400"), lasts);
    }
}

#[tokio::test]
async fn dj17_a_flush_removes_record_data_and_key() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    visit.session.invalidate().unwrap();
    visit.session.commit().await.unwrap();
    assert_eq!((visit.session.id(), visit.session.keys().len()), (None, 0));
    assert!(disk.records().is_empty());
    assert_eq!(visit.finish().await.unwrap().as_deref(), Some("__Host-session="));
}

#[tokio::test]
async fn dj18_a_cycled_key_opens_the_same_data_and_the_old_one_nothing() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.rotation_grace = Duration::ZERO);
    let old = server.write("", "key", "value").await;
    // Nothing was read before: a renewal needs no look at the data.
    let new = rotate(&server, &old).await;
    assert_eq!(server.read(&new, "key").await.as_deref(), Some("value"));
    assert_eq!(server.id(&old).await, None);
}

// R52
#[tokio::test]
async fn dj22_a_tampered_record_is_not_served_and_its_id_abandoned() {
    let disk = Disk::new();
    let server = disk.server();
    // In the head of the file, in that of the slot, and in the record itself.
    for at in [0, 64, 64 + 8, 64 + 40, BODY_AT, BODY_AT + 30] {
        let cookie = server.write("", "key", "value").await;
        let id = server.id(&cookie).await.unwrap();
        disk.damage(id, at);
        assert_eq!(server.id(&cookie).await, None, "byte {at}");
        assert!(!disk.file(id).exists(), "byte {at}");
    }
}

#[tokio::test]
async fn dj25_a_sweep_survives_whatever_lies_there_and_removes_what_is_stale() {
    let disk = Disk::new();
    let server = disk.server();
    let ids: Vec<_> = (0..3).map(|n| SessionId::from_bytes([n; 16])).collect();
    for id in &ids {
        super::created(&disk.store, record(*id, server.clock.now())).await;
    }
    let [damaged, vanished, empty] = [0, 1, 2].map(|n| disk.file(ids[n]));
    disk.damage(ids[0], BODY_AT);
    std::fs::remove_file(&vanished).unwrap();
    std::fs::write(&empty, "").unwrap();
    let live = lasting(&server).await;
    sweep_for_a_day(&server).await;
    assert!(!damaged.exists() && !empty.exists());
    assert_eq!(server.read(&live, "key").await.as_deref(), Some("value"));
}

/// A session that outlives a day without use.
async fn lasting(server: &Server) -> String {
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    visit.session.remember_for(secs(30 * 86_400)).unwrap();
    visit.finish().await.unwrap().unwrap()
}

#[tokio::test]
async fn dj26_a_sweep_touches_only_its_own_namespace() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sessions");
    let app = |namespace: &str| Server::new(&Place::of(open(&path, namespace)));
    let (shop, shop2) = (app("shop"), app("shop2"));
    for server in [&shop, &shop2] {
        server.write("", "key", "value").await;
    }
    shop.clock.advance(4 * LONG);
    assert_eq!(sweep(&shop).await, 1);
    assert_eq!(files_below(&path.join("shop2/records")).len(), 1);
}

// R49
#[tokio::test]
async fn dj28_no_instant_shows_a_file_to_others() {
    let disk = Disk::new();
    let mut making = Process::makes_without_a_umask(&disk);
    let mut seen = 0;
    while making.is_running() {
        for path in everything_below(&disk.path().join("default")) {
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o077, 0);
            seen += 1;
        }
    }
    assert!(seen > 0 && disk.records().len() == 100);
    assert!(disk.records().iter().all(|path| mode_of(path) == 0o600));
}

// R51
#[tokio::test]
async fn dj31_a_file_under_another_sessions_name_opens_to_nobody() {
    let disk = Disk::new();
    let server = disk.server();
    let (ann, bob) = (server.signed_in("ann").await, server.signed_in("bob").await);
    let of_ann = disk.file(server.id(&ann).await.unwrap());
    let of_bob = disk.file(server.id(&bob).await.unwrap());
    let kept = disk.root.path().join("kept");
    std::fs::rename(&of_ann, &kept).unwrap();
    std::fs::rename(&of_bob, &of_ann).unwrap();
    std::fs::rename(&kept, &of_bob).unwrap();
    for cookie in [&ann, &bob] {
        assert_eq!(server.owner(cookie).await, None);
    }
    // Not for want of the right secret alone: the files themselves are found out, and set aside.
    assert!(!of_ann.exists() && !of_bob.exists());
}

#[tokio::test]
async fn dj33_a_request_that_looks_at_nothing_adds_no_header() {
    let disk = Disk::new();
    let server = disk.server();
    for cookie in [String::new(), server.write("", "key", "value").await] {
        let mut response = HeaderMap::new();
        server.begin(&cookie).finish(http::StatusCode::OK, &mut response).await.unwrap();
        assert!(response.is_empty());
    }
}

#[tokio::test]
async fn dj34_a_new_session_sets_its_cookie_and_says_how_to_cache() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    let response = headers_of(visit).await;
    assert!(set_cookie(&response).ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax"));
    assert_eq!(response["vary"], "Cookie");
    assert_eq!(response["cache-control"], "no-store");
}

#[tokio::test]
async fn dj35_nothing_is_saved_with_an_error_page() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    for (cookie, status) in [("", 500), (&cookie, 503)] {
        let visit = server.visit(cookie).await;
        visit.session.insert("key", "lost").unwrap();
        let status = http::StatusCode::from_u16(status).unwrap();
        assert_eq!(visit.finish_with(status).await.1, None);
    }
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("value"));
    assert_eq!(disk.records().len(), 1);
}

#[tokio::test]
async fn dj37_a_session_that_was_emptied_goes_on() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await;
    let visit = server.visit(&cookie).await;
    visit.session.clear().unwrap();
    assert_eq!(visit.finish().await.unwrap(), None, "the cookie stays");
    let session = server.visit(&cookie).await.session;
    assert_eq!((session.id(), session.keys().len()), (id, 0));
}

#[tokio::test]
async fn dj38_every_use_renews_the_session_and_varies_by_cookie() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.idle_timeout = secs(100));
    let cookie = server.write("", "key", "value").await;
    for _ in 0..5 {
        server.clock.advance(secs(90));
        let visit = server.visit(&cookie).await;
        assert!(visit.session.contains("key"));
        assert_eq!(headers_of(visit).await["vary"], "Cookie");
    }
}

#[tokio::test]
async fn dj39_a_write_to_a_session_that_ended_answers_409() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let slow = server.visit(&cookie).await;
    slow.session.insert("key", "late").unwrap();
    log_out(&server, &cookie).await;
    assert_eq!(slow.finish().await.unwrap_err().status(), http::StatusCode::CONFLICT);
}

// R60
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dj40_writers_of_different_keys_lose_nothing() {
    let disk = Disk::new();
    let server = Arc::new(disk.server());
    let cookie = server.write("", "key", "value").await;
    let other = Process::counts(&disk, &cookie);
    let write = |n: u64| {
        let (server, cookie) = (Arc::clone(&server), cookie.clone());
        tokio::spawn(async move { server.write(&cookie, &format!("task{n}"), "value").await })
    };
    for task in (0..40).map(write).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    other.ends();
    let keys = server.visit(&cookie).await.session.keys();
    assert_eq!(keys.len() as u64, 1 + 40 + COUNTS + 1, "{keys:?}");
}
