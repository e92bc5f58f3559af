//! Files that are damaged, foreign, newer, unfinished or no files.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use sessile::ErrorKind;
use sessile::store::{Durability, Scope, Store, Ticket, Updated};
use xxhash_rust::xxh3::xxh3_64;

use super::{MINUTE, Root, ann, created, failure, load, next, owned, record, start, update};

// R51
#[tokio::test]
async fn a_file_under_another_sessions_name_opens_to_nobody() {
    let root = Root::new();
    let (first, second) = (created(&root.store).await, created(&root.store).await);
    fs::copy(root.file(first.id), root.file(second.id)).unwrap();
    assert_eq!(failure(&root.store, second.id).await, ErrorKind::Corrupt);
    assert_eq!(load(&root.store, first.id).await, Some(first));
}

#[tokio::test]
async fn a_damaged_record_is_refused_once_and_set_aside() {
    let root = Root::new();
    for at in [0, 64, 64 + 30, 64 + 56, 64 + 100] {
        let record = created(&root.store).await;
        root.change_byte(record.id, at);
        let damaged = fs::read(root.file(record.id)).unwrap();
        assert_eq!(failure(&root.store, record.id).await, ErrorKind::Corrupt, "byte {at}");
        let aside = root.path().join("default/corrupt").join(record.id.to_string());
        assert_eq!(fs::read(aside).unwrap(), damaged);
        assert_eq!(load(&root.store, record.id).await, None);
    }
}

#[tokio::test]
async fn a_damaged_record_can_be_ended() {
    let root = Root::new();
    let record = created(&root.store).await;
    root.change_byte(record.id, 64 + 60);
    assert!(root.store.delete(record.id, Durability::Power).await.unwrap());
    assert_eq!(load(&root.store, record.id).await, None);
}

// R72
#[tokio::test]
async fn a_record_of_a_newer_format_is_left_alone() {
    let root = Root::new();
    let record = created(&root.store).await;
    let mut bytes = fs::read(root.file(record.id)).unwrap();
    bytes[64 + 4] = 2;
    let check = xxh3_64(&bytes[64..64 + 48]);
    bytes[64 + 48..64 + 56].copy_from_slice(&check.to_le_bytes());
    fs::write(root.file(record.id), &bytes).unwrap();

    assert_eq!(failure(&root.store, record.id).await, ErrorKind::NewerFormat);
    let store = &root.store;
    let second = next(&record, "2");
    let refused =
        store.update(&second, record.version, Durability::Process, &mut Ticket::none()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NewerFormat);
    let refused = store.delete(record.id, Durability::Power).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NewerFormat);
    let now = start() + 7 * 24 * 60 * MINUTE;
    assert!(store.delete_expired(now, 10).await.unwrap().removed.is_empty());
    assert!(store.list(Scope::All, start(), None, 10).await.unwrap().sessions.is_empty());
    assert_eq!(fs::read(root.file(record.id)).unwrap(), bytes);
}

#[tokio::test]
async fn an_unfinished_create_is_absent() {
    let root = Root::new();
    for content in [vec![], vec![0; 4096], vec![0; 12_288], b"sess".to_vec()] {
        let record = created(&root.store).await;
        fs::write(root.file(record.id), content).unwrap();
        assert_eq!(load(&root.store, record.id).await, None);
        let late = update(&root.store, &next(&record, "2"), Durability::Process).await;
        assert_eq!(late, Updated::Gone);
        assert!(!root.store.delete(record.id, Durability::Power).await.unwrap());
    }
}

// R47, R50
#[tokio::test]
async fn nothing_but_a_regular_file_is_a_session() {
    let root = Root::new();
    let record = created(&root.store).await;
    let elsewhere = root.dir.path().join("elsewhere");
    fs::rename(root.file(record.id), &elsewhere).unwrap();
    symlink(&elsewhere, root.file(record.id)).unwrap();
    assert_eq!(failure(&root.store, record.id).await, ErrorKind::Corrupt);
    fs::remove_file(root.file(record.id)).unwrap();
    let made = Command::new("mkfifo").arg(root.file(record.id)).status().unwrap();
    assert!(made.success());
    assert_eq!(failure(&root.store, record.id).await, ErrorKind::Corrupt);
    let all = root.store.list(Scope::All, start(), None, 10).await.unwrap();
    assert!(all.sessions.is_empty(), "a list goes on past it");
    fs::remove_file(root.file(record.id)).unwrap();
    fs::create_dir(root.file(record.id)).unwrap();
    assert_eq!(failure(&root.store, record.id).await, ErrorKind::Corrupt);
    // It is no reason for clean-up to stop: what comes after it goes.
    let behind = created(&root.store).await;
    let late = behind.deadline() + 60 * MINUTE;
    let swept = root.store.delete_expired(late, 100).await.unwrap();
    assert_eq!(swept.removed, [(behind.id, None)]);
}

#[tokio::test]
async fn a_directory_removed_under_the_store_is_told_with_the_mend() {
    let root = Root::new();
    let before = created(&root.store).await;
    fs::remove_dir_all(root.path()).unwrap();
    for new in [record(), owned(&ann(), start())] {
        let error = root.store.create(&new, Durability::Process).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("restart"), "{error}");
    }
    assert!(load(&root.store, before.id).await.is_none());
    created(&root.opened_again()).await;
}
