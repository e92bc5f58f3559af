//! web.py's `FileHandler`: sessions as files that are stored, retrieved, removed and cleaned away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use sessile::store::{Access, Durability, FileStore, Store, Updated};
use sessile::{Clock, ErrorKind, Keep, SessionId, Token};
use tokio::time::sleep;

use super::process::{COUNTS, Process};
use super::{
    BODY_AT, Disk, LONG, count, created, everything_below, foreign_cookie, hold, load, log_out,
    mode_of, names_in, next, record, request_from, rotate, set_mode, sweep, sweep_for_a_day,
    update,
};
use crate::engine::harness::{Server, kind_of, secs};

const SOON: Duration = Duration::from_millis(50);

fn random() -> SessionId {
    SessionId::random().unwrap()
}

// R46
#[tokio::test]
async fn fh1_every_file_lies_in_the_directory_under_its_namespace() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.signed_in("ann").await;
    server.write(&cookie, "key", "value").await;
    server.sessions.revoke_all("ann", None).await.unwrap();
    assert_eq!(names_in(disk.root.path()), ["sessions"]);
    assert_eq!(names_in(disk.path()), ["default", "sessile.key"]);
}

#[tokio::test]
async fn fh2_what_is_stored_comes_back_whole() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.client_address = Keep::Full);
    let write = |session: &sessile::Session| session.insert("key", "value").unwrap();
    let cookie = request_from(&server, "", [192, 0, 2, 7], write).await;
    let (id, now) = (server.id(&cookie).await.unwrap(), server.clock.now());
    let record = load(&disk.reopened(), id, now).await.unwrap();
    assert_eq!((record.id, record.created_at, record.used_at), (id, now, now));
    assert_eq!(record.client_address.as_deref(), Some("192.0.2.7"));
    assert_eq!(record.data.get("key").unwrap(), "\"value\"");
}

#[tokio::test]
async fn fh3_an_unknown_id_is_absent_and_makes_no_file() {
    let disk = Disk::new();
    let server = disk.server();
    let before = everything_below(disk.path());
    assert_eq!(load(&disk.store, random(), server.clock.now()).await, None);
    assert_eq!(server.id(&foreign_cookie()).await, None);
    assert_eq!(everything_below(disk.path()), before);
}

#[tokio::test]
async fn fh4_a_read_leaves_no_lock() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let before = everything_below(disk.path());
    let reading = server.begin(&cookie);
    let session = reading.handle().read().await.unwrap();
    disk.commit_lock(session.id().unwrap());
    let held = hold(&disk.reopened(), session.id().unwrap(), Duration::ZERO, LONG).await;
    assert!(held.is_ok());
    assert_eq!(everything_below(disk.path()), before);
}

#[tokio::test]
async fn fh5_a_rotation_keeps_created() {
    let disk = Disk::new();
    let server = disk.server();
    let old = server.write("", "key", "value").await;
    let before = server.visit(&old).await.session.record().unwrap();
    server.clock.advance(secs(100));
    let new = rotate(&server, &old).await;
    server.clock.advance(secs(60));
    assert_eq!(server.id(&old).await, None, "the old token is gone once its grace is over");
    let after = server.visit(&new).await.session.record().unwrap();
    assert_eq!((after.created_at, after.data), (before.created_at, before.data));
}

#[tokio::test]
async fn fh5_a_login_moves_the_data_to_a_new_id_and_address() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.client_address = Keep::Full);
    let write = |session: &sessile::Session| session.insert("key", "value").unwrap();
    let old = request_from(&server, "", [192, 0, 2, 1], write).await;
    let old_id = server.id(&old).await.unwrap();
    let new =
        request_from(&server, &old, [198, 51, 100, 2], |session| session.login("ann").unwrap());
    let record = server.visit(&new.await).await.session.record().unwrap();
    assert!(record.id != old_id && server.id(&old).await.is_none());
    assert_eq!(record.data.get("key").unwrap(), "\"value\"");
    assert_eq!(record.client_address.as_deref(), Some("198.51.100.2"));
}

/// The new record comes first, so whatever fails in between, one of the two is there.
#[tokio::test]
async fn fh5_a_move_that_fails_leaves_the_old_session() {
    let disk = Disk::new();
    let server = disk.server();
    let old = server.write("", "key", "value").await;
    for step in ["create", "update"] {
        let visit = server.visit(&old).await;
        visit.session.login("ann").unwrap();
        server.store.fail(step);
        assert_eq!(kind_of(visit.finish().await), Some(ErrorKind::Unavailable), "{step}");
        server.store.mend();
        assert_eq!(server.read(&old, "key").await.as_deref(), Some("value"), "{step}");
    }
}

#[tokio::test]
async fn fh6_a_move_from_an_unknown_id_is_a_fresh_start() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit(&foreign_cookie()).await;
    visit.session.insert("key", "value").unwrap();
    visit.session.login("ann").unwrap();
    let new = visit.finish().await.unwrap().unwrap();
    let record = server.visit(&new).await.session.record().unwrap();
    assert_eq!((record.created_at, record.data.len()), (server.clock.now(), 1));
}

#[tokio::test]
async fn fh7_a_move_onto_its_own_id_waits_for_no_lock() {
    let disk = Disk::new();
    let server = disk.server();
    let old = server.write("", "key", "value").await;
    let before = server.visit(&old).await.session.record().unwrap();
    let exchange = server.begin(&old);
    let _held = exchange.handle().exclusive().await.unwrap();
    let new = tokio::time::timeout(secs(5), rotate(&server, &old)).await.expect("no deadlock");
    let after = server.visit(&new).await.session.record().unwrap();
    assert_eq!((after.id, after.created_at), (before.id, before.created_at));
}

#[tokio::test]
async fn fh8_a_save_keeps_created() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "one").await;
    let began = server.clock.now();
    server.clock.advance(secs(100));
    server.write(&cookie, "key", "two").await;
    assert_eq!(server.visit(&cookie).await.session.record().unwrap().created_at, began);
}

/// A text that tells by its letter how long it must be.
fn text(n: u32) -> String {
    let letter = char::from(b'a' + (n % 26) as u8);
    String::from(letter).repeat(1 + n as usize % 26 * 311)
}

fn assert_whole(json: &Bytes) {
    let text: String = serde_json::from_slice(json).unwrap();
    let letter = text.as_bytes()[0];
    assert!(text.bytes().all(|byte| byte == letter), "two writers in one text");
    assert_eq!(text.len(), 1 + usize::from(letter - b'a') * 311, "a part of a text");
}

/// Saves, and renews the token now and then.
async fn rewrite(server: Arc<Server>, mut cookie: String) {
    for n in 0..300 {
        server.write(&cookie, "key", &text(n)).await;
        if n % 30 == 0 {
            cookie = rotate(&server, &cookie).await;
        }
    }
}

/// Saves from outside of any request.
async fn rewrite_by_id(server: Arc<Server>, id: SessionId) {
    for n in 0..300 {
        let session = server.sessions.find(id).await.unwrap().unwrap();
        session.insert("key", &text(7 * n)).unwrap();
        session.commit().await.unwrap();
    }
}

// R54
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn fh9_al25_dj23_a_reader_sees_the_old_state_or_the_new() {
    let disk = Disk::new();
    let server = Arc::new(disk.server());
    let cookie = server.write("", "key", &text(0)).await;
    let (id, now) = (server.id(&cookie).await.unwrap(), server.clock.now());
    let one = tokio::spawn(rewrite(Arc::clone(&server), cookie));
    let two = tokio::spawn(rewrite_by_id(Arc::clone(&server), id));
    let (other, mut reads) = (disk.reopened(), 0);
    while !(one.is_finished() && two.is_finished()) {
        let record = load(&other, id, now).await.expect("never absent in between");
        assert_whole(record.data.get("key").unwrap());
        reads += 1;
    }
    tokio::try_join!(one, two).unwrap();
    assert!(reads > 10, "{reads} reads beside the writers");
}

#[tokio::test]
async fn fh10_two_processes_leave_one_complete_record() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let processes = [(); 2].map(|()| Process::counts(&disk, &cookie));
    for process in processes {
        process.ends();
    }
    let session = server.visit(&cookie).await.session;
    assert_eq!(session.get::<u64>("count").unwrap(), Some(2 * COUNTS));
    assert_eq!(session.keys().len() as u64, 2 + 2 * COUNTS);
}

#[tokio::test]
async fn fh11_dj20_removing_nobody_or_twice_is_fine() {
    let disk = Disk::new();
    let server = disk.server();
    assert!(!disk.store.delete(random(), Durability::Power).await.unwrap());
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    log_out(&server, &cookie).await;
    log_out(&server, &cookie).await;
    assert!(!disk.store.delete(id, Durability::Power).await.unwrap());
}

/// The lock that a removal waits for is held for microseconds; two seconds mean that its holder hangs.
#[tokio::test]
async fn fh12_a_removal_waits_for_the_lock_but_not_for_ever() {
    let disk = Disk::new();
    let id = created(&disk.store, record(random(), std::time::SystemTime::now())).await.id;
    let held = disk.commit_lock(id);
    let asked = Instant::now();
    let refused = disk.store.delete(id, Durability::Process).await;
    assert_eq!(kind_of(refused), Some(ErrorKind::Contended));
    assert!(asked.elapsed() < secs(10));
    let release = async {
        sleep(SOON).await;
        drop(held);
    };
    let (removed, ()) = tokio::join!(disk.store.delete(id, Durability::Process), release);
    assert!(removed.unwrap());
}

#[tokio::test]
async fn fh13_pt18_dj24_a_sweep_removes_exactly_what_was_not_used_for_so_long() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.idle_timeout = secs(30 * 60));
    for _ in 0..15 {
        server.write("", "key", "value").await;
    }
    let live = server.write("", "key", "value").await;
    server.clock.advance(secs(15 * 60));
    server.read(&live, "key").await;
    server.clock.advance(secs(25 * 60));
    assert_eq!(sweep(&server).await, 15);
    assert_eq!(disk.ids(server.clock.now()).await, [server.id(&live).await.unwrap()]);
    assert_eq!(disk.records().len(), 1);
}

/// The sweeper tries a lock that is held for microseconds for two seconds, and then goes on.
#[tokio::test]
async fn fh14_a_sweep_goes_past_a_locked_session() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    for _ in 0..3 {
        server.write("", "key", "value").await;
    }
    server.clock.advance(4 * LONG);
    let held = disk.commit_lock(id);
    assert_eq!(sweep(&server).await, 3);
    drop(held);
    server.clock.advance(LONG);
    assert_eq!(sweep(&server).await, 1);
}

/// Holding a session exclusively makes it no younger.
#[tokio::test]
async fn fh14_a_sweep_waits_for_no_exclusive_session() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let exchange = server.begin(&cookie);
    let _held = exchange.handle().exclusive().await.unwrap();
    server.clock.advance(4 * LONG);
    assert_eq!(sweep(&server).await, 1);
}

#[tokio::test]
async fn fh15_fh23_what_is_no_session_is_neither_listed_nor_swept() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    let shard = disk.file(id).parent().unwrap().to_owned();
    let names = ["notes.txt".into(), format!("{id}.lock"), format!("{id}.edit"), "F".repeat(32)];
    let foreign = names.map(|name| shard.join(name));
    for path in &foreign {
        std::fs::write(path, "not ours").unwrap();
    }
    assert_eq!(disk.ids(server.clock.now()).await, [id]);
    sweep_for_a_day(&server).await;
    assert!(foreign.iter().all(|path| path.is_file()) && !disk.file(id).exists());
}

// R57
#[tokio::test]
async fn fh16_a_sweep_goes_on_past_files_that_vanish() {
    let disk = Disk::new();
    let (server, other) = (disk.server(), disk.reopened());
    for _ in 0..30 {
        server.write("", "key", "value").await;
    }
    std::fs::remove_file(&disk.records()[7]).unwrap();
    server.clock.advance(4 * LONG);
    let now = server.clock.now();
    let both = tokio::join!(disk.store.delete_expired(now, 99), other.delete_expired(now, 99));
    assert_eq!(both.0.unwrap().removed.len() + both.1.unwrap().removed.len(), 29);
    assert_eq!(disk.records(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn fh17_ids_of_any_origin_are_swept() {
    let disk = Disk::new();
    let server = disk.server();
    for bytes in [[0; 16], [0xff; 16], *b"a caller's own..", *random().as_bytes()] {
        let record = record(SessionId::from_bytes(bytes), server.clock.now());
        created(&disk.store, record).await;
    }
    server.clock.advance(LONG);
    assert_eq!(sweep(&server).await, 4);
}

// R62
#[tokio::test]
async fn fh18_ws19_the_lock_of_a_killed_process_is_free_at_once() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.lock_wait = secs(2));
    let cookie = server.write("", "key", "value").await;
    let mut holder = Process::holds(&disk, &cookie);
    assert_eq!(holder.says(), "holding");
    let id = server.id(&cookie).await.unwrap();
    assert_eq!(
        hold(&disk.store, id, Duration::ZERO, LONG).await.unwrap_err(),
        ErrorKind::LockTimeout
    );
    holder.kill();
    let exchange = server.begin(&cookie);
    let session = exchange.handle().exclusive().await.unwrap();
    assert_eq!(session.keys(), ["key"], "what was last saved, and nothing of the dead request");
}

#[tokio::test]
async fn fh19_a_late_release_frees_nobody_elses_lock() {
    let (disk, now) = (Disk::new(), std::time::SystemTime::now());
    let old = created(&disk.store, record(random(), now)).await;
    let mut stalled = hold(&disk.store, old.id, Duration::ZERO, SOON).await.unwrap();
    let _next = hold(&disk.store, old.id, secs(5), LONG).await.unwrap();
    let state = next(&old, "1");
    let late = disk.store.update(&state, old.version, Durability::Process, &mut stalled.ticket);
    assert_eq!(late.await.unwrap(), Updated::LockLost);
    disk.store.release(stalled.ticket).await.unwrap();
    for store in [&disk.store, &disk.reopened()] {
        let third = hold(store, old.id, Duration::ZERO, LONG).await;
        assert_eq!(third.unwrap_err(), ErrorKind::LockTimeout);
    }
}

#[tokio::test]
async fn fh20_who_will_not_wait_is_told_at_once() {
    let (disk, now) = (Disk::new(), std::time::SystemTime::now());
    let id = created(&disk.store, record(random(), now)).await.id;
    let _held = hold(&disk.store, id, Duration::ZERO, LONG).await.unwrap();
    let asked = Instant::now();
    let other = hold(&disk.reopened(), id, Duration::ZERO, LONG).await;
    assert_eq!(other.unwrap_err(), ErrorKind::LockTimeout);
    assert!(asked.elapsed() < secs(1));
}

#[tokio::test]
async fn fh21_no_failure_leaves_a_lock() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.data_bytes_max = 1_000);
    let cookie = server.write("", "key", "value").await;
    let exchange = server.begin(&cookie);
    let session = exchange.handle().exclusive().await.unwrap();
    assert_eq!(kind_of(session.insert("key", &"x".repeat(2_000))), Some(ErrorKind::TooLarge));
    server.store.fail("update");
    session.insert("key", "fails").unwrap();
    let failed = exchange.finish(http::StatusCode::OK, &mut http::HeaderMap::new()).await;
    assert_eq!(kind_of(failed), Some(ErrorKind::Unavailable));
    let id = server.id(&cookie).await.unwrap();
    assert!(hold(&disk.reopened(), id, Duration::ZERO, LONG).await.is_ok());
    disk.commit_lock(id);
}

#[tokio::test]
async fn fh21_a_damaged_record_leaves_no_lock() {
    let (disk, now) = (Disk::new(), std::time::SystemTime::now());
    let id = created(&disk.store, record(random(), now)).await.id;
    disk.damage(id, BODY_AT);
    let held = hold(&disk.store, id, Duration::ZERO, LONG).await;
    assert_eq!(held.unwrap_err(), ErrorKind::Corrupt);
    created(&disk.store, record(id, now)).await;
    assert!(hold(&disk.store, id, Duration::ZERO, LONG).await.is_ok());
}

// R53
#[tokio::test]
async fn fh22_dj29_a_store_on_a_full_disk_keeps_the_session_before() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let said = Process::grows_on_a_full_disk(&disk, &cookie).ends();
    assert_eq!((said[0].as_str(), said[2].as_str()), ("Unavailable", "saved"));
    assert!(said[1].contains("File too large"), "the system's own words: {}", said[1]);
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("value"));
}

// R8, R46
#[tokio::test]
async fn fh24_al26_dj11_a_hostile_id_is_refused_before_the_disk() {
    let disk = Disk::new();
    let server = disk.server();
    let long = "a".repeat(4_000);
    let exact = "../".repeat(14) + "a";
    for id in ["", ".", "..", "/", "../../etc/passwd", "a/b", "a\\b", "C:\\x", "%2e%2e%2f", &long]
        .into_iter()
        .chain([exact.as_str()])
    {
        assert_eq!(server.id(&format!("__Host-session={id}")).await, None, "{id}");
        assert_eq!(kind_of(id.parse::<SessionId>()), Some(ErrorKind::Value), "{id}");
    }
    assert!(Token::parse(b"a\0b").is_none() && "a\0b".parse::<SessionId>().is_err());
    assert_eq!((server.store.calls(), server.events.take().len()), (0, 0));
}

// R49
#[tokio::test]
async fn fh25_what_the_store_makes_is_private_whatever_the_umask() {
    let disk = Disk::new();
    Process::makes_without_a_umask(&disk).ends();
    assert_eq!(disk.records().len(), 100);
    for path in everything_below(disk.path()) {
        let private = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode_of(&path), private, "{}", path.display());
    }
    assert_eq!(mode_of(disk.path()), 0o700);
}

// R71
#[tokio::test]
async fn fh26_a_pickle_is_only_bytes() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let before = server.visit(&cookie).await.session.record().unwrap();
    let pickle = Bytes::from_static(b"cos\nsystem\n(S'touch pwned'\ntR.");
    let after = next(&before, pickle);
    assert_eq!(update(&disk.store, &after, before.version).await, Updated::Written);
    let session = server.visit(&cookie).await.session;
    assert_eq!(kind_of(session.get::<Value>("key")), Some(ErrorKind::Value));
}

#[test]
fn fh27_dj27_a_directory_that_cannot_be_made_is_refused_at_start() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("sessions")] {
        let error = FileStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn fh28_every_use_moves_used_at_and_a_save_at_once() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.idle_timeout = secs(1_600));
    let cookie = server.write("", "key", "value").await;
    let used_at = async || server.visit(&cookie).await.session.record().unwrap().used_at;
    let began = server.clock.now();
    server.clock.advance(secs(1));
    assert_eq!(used_at().await, began, "a read so soon is not noted");
    server.write(&cookie, "key", "again").await;
    assert_eq!(used_at().await, began + secs(1));
    server.clock.advance(secs(100));
    assert_eq!(used_at().await, began + secs(101), "a read after a sixteenth is");
}

#[tokio::test]
async fn fh29_data_is_what_json_can_say() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    let value = json!({"t": [1, 2.5, null, true], "n": {"ü": "\u{0}\n"}});
    visit.session.insert("value", &value).unwrap();
    visit.session.insert("tuple", &(1, "two")).unwrap();
    let keys_that_are_no_text = std::collections::HashMap::from([((1, 2), 3)]);
    assert_eq!(
        kind_of(visit.session.insert("map", &keys_that_are_no_text)),
        Some(ErrorKind::Value)
    );
    let cookie = visit.finish().await.unwrap().unwrap();
    let session = server.visit(&cookie).await.session;
    assert_eq!(session.get::<Value>("value").unwrap(), Some(value));
    assert_eq!(session.get::<(u8, String)>("tuple").unwrap(), Some((1, "two".into())));
}

#[tokio::test]
async fn fh4_readers_and_writers_leave_no_names_behind() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let before = everything_below(disk.path());
    for _ in 0..3 {
        let visit = server.visit(&cookie).await;
        count(&visit.session);
        visit.finish().await.unwrap();
    }
    assert_eq!(everything_below(disk.path()), before);
    let access = Access::Exclusive { wait: Duration::ZERO, hold: LONG };
    let id = server.id(&cookie).await.unwrap();
    let _held = disk.store.load(id, server.clock.now(), access).await.unwrap();
    assert_eq!(everything_below(disk.path()), before, "a lock is no file");
}

// R48
#[test]
fn fh25_al11_a_directory_others_may_write_to_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sessions");
    std::fs::create_dir(&path).unwrap();
    for mode in [0o777, 0o770, 0o702, 0o1777] {
        set_mode(&path, mode);
        let error = FileStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }
}
