//! What every store does, on files that this store can look into.

use std::time::Duration;

use bytes::Bytes;
use sessile::ErrorKind;
use sessile::store::{Access, Created, Durability, Loaded, Store, Ticket, Updated};

use super::{
    MINUTE, Root, ann, builder, created, exclusively, load, load_to_write, next, owned, record,
    start, update,
};

#[tokio::test]
async fn what_was_created_is_loaded_by_any_process() {
    let root = Root::new();
    for durability in [Durability::Process, Durability::Power, Durability::Final] {
        let record = record();
        assert_eq!(root.store.create(&record, durability).await.unwrap(), Created::New);
        assert_eq!(load(&root.opened_again(), record.id).await, Some(record));
    }
}

#[tokio::test]
async fn create_never_replaces() {
    let root = Root::new();
    let first = created(&root.store).await;
    let mut second = first.clone();
    second.data.insert("n", Bytes::from_static(b"2"));
    let again = root.store.create(&second, Durability::Process).await.unwrap();
    assert_eq!(again, Created::Exists);
    assert_eq!(load(&root.store, first.id).await, Some(first));
}

#[tokio::test]
async fn update_writes_over_the_version_it_expected_and_no_other() {
    let root = Root::new();
    let first = created(&root.store).await;
    for durability in [Durability::Process, Durability::Power] {
        let Loaded { record, mut ticket } = load_to_write(&root.store, first.id).await;
        let second = next(&record, "2");
        let written = root.store.update(&second, record.version, durability, &mut ticket).await;
        assert_eq!(written.unwrap(), Updated::Written);
        let late = root.store.update(&second, record.version, durability, &mut ticket).await;
        assert_eq!(late.unwrap(), Updated::Conflict(Box::new(second)));
    }
}

#[tokio::test]
async fn a_ticket_survives_its_conflict() {
    let root = Root::new();
    let first = created(&root.store).await;
    let Loaded { record, mut ticket } = load_to_write(&root.store, first.id).await;
    assert_eq!(
        update(&root.store, &next(&record, "2"), Durability::Process).await,
        Updated::Written
    );
    let mine = next(&record, "3");
    let store = &root.store;
    let conflict = store.update(&mine, record.version, Durability::Process, &mut ticket).await;
    let Updated::Conflict(current) = conflict.unwrap() else { panic!("no conflict") };
    let merged = next(&current, "3");
    let written = store.update(&merged, current.version, Durability::Process, &mut ticket).await;
    assert_eq!(written.unwrap(), Updated::Written);
    assert_eq!(load(store, first.id).await, Some(merged));
}

#[tokio::test]
async fn update_refuses_a_version_that_does_not_grow() {
    let root = Root::new();
    let record = created(&root.store).await;
    let refused =
        root.store.update(&record, record.version, Durability::Process, &mut Ticket::none()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Value);
}

// R10
#[tokio::test]
async fn update_never_creates() {
    let root = Root::new();
    let record = next(&record(), "2");
    assert_eq!(update(&root.store, &record, Durability::Process).await, Updated::Gone);
    assert!(!root.file(record.id).exists());
}

// R38
#[tokio::test]
async fn update_never_revives() {
    let root = Root::new();
    for durability in [Durability::Process, Durability::Power] {
        let first = created(&root.store).await;
        let Loaded { record, mut ticket } = load_to_write(&root.store, first.id).await;
        assert!(root.opened_again().delete(first.id, durability).await.unwrap());
        let second = next(&record, "2");
        let late = root.store.update(&second, record.version, durability, &mut ticket).await;
        assert_eq!(late.unwrap(), Updated::Gone);
        assert_eq!(load(&root.store, first.id).await, None);
    }
}

#[tokio::test]
async fn delete_is_idempotent() {
    let root = Root::new();
    let record = created(&root.store).await;
    assert!(root.store.delete(record.id, Durability::Power).await.unwrap());
    assert!(!root.store.delete(record.id, Durability::Power).await.unwrap());
    assert!(!root.file(record.id).exists());
}

#[tokio::test]
async fn expired_is_absent_to_the_exact_millisecond() {
    let root = Root::new();
    let record = created(&root.store).await;
    let last = record.deadline() - Duration::from_millis(1);
    for access in [Access::Read, Access::Write, exclusively(MINUTE)] {
        assert!(root.store.load(record.id, last, access).await.unwrap().is_some());
        assert!(root.store.load(record.id, record.deadline(), access).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn namespaces_never_meet() {
    let root = Root::new();
    let other = builder(&root.path()).namespace("other").open().unwrap();
    let record = owned(&ann(), start());
    root.store.create(&record, Durability::Process).await.unwrap();
    assert_eq!(load(&other, record.id).await, None);
    assert!(!other.delete(record.id, Durability::Power).await.unwrap());
    let ended =
        other.delete_owner(&ann(), None, start() + MINUTE, Durability::Power).await.unwrap();
    assert_eq!(ended, 0);
    assert_eq!(load(&root.store, record.id).await, Some(record));
}
