//! Albatross' `SessionFileAppMixin`: texts under IDs, for one or several applications.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sessile::store::{Durability, MemoryStore, Store, Updated};
use sessile::{ErrorKind, SessionId};

use super::{
    BODY_AT, Disk, LONG, created, files_below, foreign_cookie, hold, holds, load, log_out, mode_of,
    names_in, next, open, record, rotate, set_mode, sweep, update,
};
use crate::engine::Place;
use crate::engine::harness::{Server, kind_of, secs};

fn random() -> SessionId {
    SessionId::random().unwrap()
}

#[tokio::test]
async fn al1_dj10_an_unknown_id_finds_nothing_and_makes_no_file() {
    let disk = Disk::new();
    let server = disk.server();
    assert!(server.sessions.find(random()).await.unwrap().is_none());
    let visit = server.visit(&foreign_cookie()).await;
    assert_eq!((visit.session.id(), visit.session.keys().len()), (None, 0));
    visit.finish().await.unwrap();
    assert!(disk.records().is_empty());
}

#[tokio::test]
async fn al2_ws22_the_directory_is_made_and_private_and_ids_are_new() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("not/there/yet");
    let store = open(&path, "default");
    assert_eq!(mode_of(&path), 0o700);
    let server = Server::new(&Place::of(store));
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(server.id(&server.write("", "key", "value").await).await.unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[tokio::test]
async fn al3_texts_come_back_exactly() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.data_bytes_max = 2 << 20);
    let large = "x".repeat(1 << 20);
    for text in ["", "\n\r\n", "a\0b", "Zoë \u{1f980}", "\"\\u0000\"", &large] {
        let cookie = server.write("", "text", text).await;
        assert!(server.read(&cookie, "text").await.as_deref() == Some(text), "{text:.20}");
    }
}

#[tokio::test]
async fn al4_nothing_is_put_under_an_id_that_was_never_issued() {
    let disk = Disk::new();
    let never = record(random(), SystemTime::now());
    assert_eq!(update(&disk.store, &next(&never, "1"), never.version).await, Updated::Gone);
    assert!(disk.records().is_empty());
}

#[tokio::test]
async fn al5_what_was_deleted_is_gone_and_deleting_again_is_harmless() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    assert!(server.sessions.revoke_any(id).await.unwrap());
    assert!(!server.sessions.revoke_any(id).await.unwrap());
    assert_eq!(server.read(&cookie, "key").await, None);
}

#[test]
fn al6_a_store_knows_the_namespace_it_was_opened_with() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("sessions"), "shop");
    assert_eq!(store.namespace(), "shop");
}

fn app(path: &Path, namespace: &str) -> Server {
    Server::new(&Place::of(open(path, namespace)))
}

#[tokio::test]
async fn al7_applications_share_sessions_by_namespace_and_else_never_meet() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sessions");
    let (shop, again, forum) = (app(&path, "shop"), app(&path, "shop"), app(&path, "forum"));
    let cookie = shop.write("", "key", "value").await;
    assert_eq!(again.read(&cookie, "key").await.as_deref(), Some("value"));
    assert_eq!(forum.id(&cookie).await, None);
    // Even the file itself, carried over, opens to nobody: secrets are hashed with the namespace.
    let id = shop.id(&cookie).await.unwrap().to_string();
    let [from, to] = ["shop", "forum"].map(|name| path.join(name).join("records").join(&id[..2]));
    std::fs::create_dir_all(&to).unwrap();
    std::fs::copy(from.join(&id), to.join(&id)).unwrap();
    assert_eq!(forum.id(&cookie).await, None);
}

#[tokio::test]
async fn al8_trouble_with_the_disk_is_one_kind_of_error() {
    let (disk, now) = (Disk::new(), SystemTime::now());
    let record = created(&disk.store, record(random(), now)).await;
    let shard = disk.file(record.id).parent().unwrap().to_owned();
    std::fs::remove_dir_all(&shard).unwrap();
    std::fs::write(&shard, "a file where a directory was").unwrap();
    let store = disk.reopened();
    let loading = store.load(record.id, now, sessile::store::Access::Read).await;
    let creating = store.create(&record, Durability::Process).await;
    let deleting = store.delete(record.id, Durability::Process).await;
    let kinds = [kind_of(loading), kind_of(creating), kind_of(deleting)];
    assert_eq!(kinds, [Some(ErrorKind::Unavailable); 3]);
}

#[tokio::test]
async fn al9_one_error_type_tells_the_same_on_every_store() {
    let disk = Disk::new();
    let stores: [&dyn Store; 2] = [&MemoryStore::new(), &disk.store];
    for store in stores {
        let id = created(store, record(random(), SystemTime::now())).await.id;
        let _held = hold(store, id, Duration::ZERO, LONG).await.unwrap();
        let refused = hold(store, id, Duration::ZERO, LONG).await;
        assert_eq!(refused.unwrap_err(), ErrorKind::LockTimeout);
    }
}

// R3, R5, R6, R59
#[tokio::test]
async fn al10_no_name_and_no_byte_of_the_directory_is_a_usable_cookie() {
    let disk = Disk::new();
    let server = disk.server();
    let first = server.signed_in("ann").await;
    let cookies = [rotate(&server, &first).await, first];
    for cookie in &cookies {
        let text = cookie.strip_prefix("__Host-session=").unwrap();
        let secret = &BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()[16..];
        for path in files_below(disk.path()) {
            let bytes = std::fs::read(&path).unwrap();
            let name = path.to_str().unwrap();
            assert!(!holds(&bytes, text.as_bytes()) && !holds(&bytes, secret), "{name}");
            assert!(!holds(&bytes, HEXLOWER.encode(secret).as_bytes()) && !name.contains(text));
        }
    }
    for path in disk.records() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(server.id(&format!("__Host-session={name}")).await, None);
    }
}

/// Others may list a root of mode 755, and then see the names of namespaces, and no further.
#[tokio::test]
async fn al11_what_lies_in_a_readable_directory_is_private() {
    let disk = Disk::new();
    let cookie = disk.server().write("", "key", "value").await;
    set_mode(disk.path(), 0o755);
    let again = Server::new(&Place::of(disk.reopened()));
    assert_eq!(again.read(&cookie, "key").await.as_deref(), Some("value"));
    assert_eq!(mode_of(&disk.path().join("default")), 0o700);
    assert_eq!(mode_of(&disk.path().join("sessile.key")), 0o600);
}

#[tokio::test]
async fn al12_a_live_session_holds_what_was_put_into_it_and_no_more() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "one", "1").await;
    server.write(&cookie, "two", "2").await;
    let session = server.visit(&cookie).await.session;
    assert_eq!(session.keys(), ["one", "two"]);
    assert_eq!(session.get::<String>("one").unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn al13_the_first_save_sends_a_cookie_of_the_configured_name() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.cookie.name = "shop".into());
    for cookie in ["", "__Host-shop=unknown"] {
        assert_eq!(server.visit(cookie).await.finish().await.unwrap(), None, "not before a save");
        assert!(server.write(cookie, "key", "value").await.starts_with("__Host-shop="));
    }
    assert_eq!(disk.records().len(), 2);
}

// R52
#[tokio::test]
async fn al14_a_damaged_file_is_kept_for_the_operator() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    disk.damage(id, BODY_AT);
    assert_eq!(server.id(&cookie).await, None);
    assert!(!disk.file(id).exists());
    assert_eq!(names_in(&disk.path().join("default/corrupt")), [id.to_string()]);
}

#[tokio::test]
async fn al16_a_default_counts_only_where_nothing_is() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "name", "ann").await;
    let visit = server.visit(&cookie).await;
    let or_nobody = |name: Option<String>| name.unwrap_or_else(|| "nobody".into());
    assert_eq!(visit.session.update("name", or_nobody).unwrap(), "ann");
    assert_eq!(visit.session.update("other", or_nobody).unwrap(), "nobody");
    assert_eq!(visit.session.keys(), ["name", "other"]);
    visit.session.remove("name").unwrap();
    visit.finish().await.unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["other"]);
}

#[tokio::test]
async fn al18_a_value_that_cannot_be_written_is_told_and_spares_the_others() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    visit.session.insert("before", "kept").unwrap();
    let keys_that_are_no_text = HashMap::from([((1, 2), 3)]);
    let refused = visit.session.insert("bad", &keys_that_are_no_text).unwrap_err();
    assert!(refused.kind() == ErrorKind::Value && refused.to_string().contains("bad"));
    visit.session.insert("after", "kept").unwrap();
    let cookie = visit.finish().await.unwrap().unwrap();
    assert_eq!(server.visit(&cookie).await.session.keys(), ["after", "before"]);
}

#[tokio::test]
async fn al19_a_request_that_is_dropped_leaves_the_content_as_it_was() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let before = server.visit(&cookie).await.session.record().unwrap();
    let visit = server.visit(&cookie).await;
    visit.session.insert("key", "dropped").unwrap();
    drop(visit);
    assert_eq!(server.visit(&cookie).await.session.record().unwrap(), before);
}

#[tokio::test]
async fn al19_a_request_that_peeks_leaves_content_and_age_as_they_were() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let before = std::fs::read(&disk.records()[0]).unwrap();
    server.clock.advance(LONG);
    assert_eq!(server.peek(&cookie).await.get::<String>("key").unwrap().as_deref(), Some("value"));
    assert_eq!(std::fs::read(&disk.records()[0]).unwrap(), before, "not a byte is written");
    server.clock.advance(LONG);
    assert_eq!(server.peek(&cookie).await.id(), None);
}

#[tokio::test]
async fn al20_a_logout_empties_deletes_and_clears_the_cookie_on_an_error_page_too() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    visit.session.invalidate().unwrap();
    assert!(visit.session.keys().is_empty());
    let (committed, set) = visit.finish_with(http::StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!((kind_of(committed), set.as_deref()), (None, Some("__Host-session=")));
    assert!(disk.records().is_empty());
}

// R57
#[tokio::test]
async fn al21_the_store_collects_what_nobody_uses_without_being_asked() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.sweep_interval = Duration::from_millis(10));
    server.write("", "key", "value").await;
    server.clock.advance(4 * LONG);
    let collected = async {
        while !disk.records().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(secs(20), collected).await.expect("the sweeper comes by");
}

#[tokio::test]
async fn al22_a_sweep_spares_what_a_running_request_will_save() {
    let disk = Disk::new();
    let server = disk.server_with(|config| config.idle_timeout = secs(100));
    let cookie = server.write("", "key", "value").await;
    server.clock.advance(secs(99));
    let running = server.visit(&cookie).await;
    running.session.insert("late", "kept").unwrap();
    server.clock.advance(secs(99));
    assert_eq!(sweep(&server).await, 0);
    running.finish().await.unwrap();
    assert_eq!(server.read(&cookie, "late").await.as_deref(), Some("kept"));
}

// R23
#[tokio::test]
async fn al23_an_expired_cookie_leads_to_a_working_session_and_no_loop() {
    let disk = Disk::new();
    let server = disk.server();
    let old = server.write("", "key", "value").await;
    server.clock.advance(4 * LONG);
    for _ in 0..3 {
        let visit = server.visit(&old).await;
        assert_eq!((visit.session.id(), visit.session.has_ended()), (None, true));
        assert_eq!(visit.finish().await.unwrap(), None);
    }
    let new = server.write(&old, "key", "fresh").await;
    assert_ne!(new, old);
    let visit = server.visit(&new).await;
    assert!(!visit.session.has_ended() && visit.session.contains("key"));
    assert!(!server.visit("").await.session.has_ended(), "no cookie is no ended session");
}

#[tokio::test]
async fn al27_a_store_never_looks_into_a_value() {
    let (disk, now) = (Disk::new(), SystemTime::now());
    let mut opaque = record(random(), now);
    opaque.data.insert("key", Bytes::from_static(b"\0\xff not JSON {"));
    let opaque = created(&disk.store, opaque).await;
    assert_eq!(load(&disk.store, opaque.id, now).await, Some(opaque));
}

#[tokio::test]
async fn al20_a_second_logout_finds_nothing_and_still_clears() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    log_out(&server, &cookie).await;
    let visit = server.visit(&cookie).await;
    visit.session.invalidate().unwrap();
    assert_eq!(visit.finish().await.unwrap().as_deref(), Some("__Host-session="));
}
