//! The exclusive lock.

use std::fs;
use std::time::Duration;

use sessile::ErrorKind;
use sessile::store::{Access, Created, Durability, Loaded, Store, Updated};

use super::{MINUTE, Root, created, exclusively, load, next, start, update};

#[tokio::test]
async fn the_exclusive_lock_excludes_across_processes_and_in_one() {
    let root = Root::new();
    let record = created(&root.store).await;
    let held = root.store.load(record.id, start(), exclusively(MINUTE)).await.unwrap().unwrap();
    for store in [&root.store, &root.opened_again()] {
        let refused = store.load(record.id, start(), exclusively(MINUTE)).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::LockTimeout);
        assert!(store.load(record.id, start(), Access::Write).await.unwrap().is_some());
    }
    root.store.release(held.ticket).await.unwrap();
    let held = root.opened_again().load(record.id, start(), exclusively(MINUTE)).await.unwrap();
    assert!(held.is_some());
}

#[tokio::test]
async fn who_waits_for_the_exclusive_lock_gets_it_when_the_holder_lets_go() {
    let root = Root::new();
    let record = created(&root.store).await;
    for store in [root.store.clone(), root.opened_again()] {
        let held = root.store.load(record.id, start(), exclusively(MINUTE)).await.unwrap().unwrap();
        let id = record.id;
        let waiter = tokio::spawn(async move {
            let access = Access::Exclusive { wait: MINUTE, hold: MINUTE };
            store.load(id, start(), access).await
        });
        tokio::task::yield_now().await;
        update(&root.store, &next(&load(&root.store, id).await.unwrap(), "2"), Durability::Process)
            .await;
        let before = load(&root.store, id).await;
        drop(held.ticket);
        // What it reads is no older than the moment it got the lock.
        let loaded = waiter.await.unwrap().unwrap().unwrap();
        assert_eq!(Some(loaded.record), before);
    }
}

#[tokio::test]
async fn the_exclusive_holder_commits_merges_and_keeps_the_lock() {
    let root = Root::new();
    let first = created(&root.store).await;
    let Loaded { record, mut ticket } =
        root.store.load(first.id, start(), exclusively(MINUTE)).await.unwrap().unwrap();
    // A plain commit passes the lock.
    assert_eq!(
        update(&root.opened_again(), &next(&record, "2"), Durability::Process).await,
        Updated::Written
    );
    let mine = next(&record, "3");
    for durability in [Durability::Process, Durability::Power] {
        let late = root.store.update(&mine, record.version, durability, &mut ticket).await.unwrap();
        assert!(matches!(late, Updated::Conflict(_)));
    }
    let current = load(&root.store, first.id).await.unwrap();
    for durability in [Durability::Process, Durability::Final] {
        let current = load(&root.store, current.id).await.unwrap();
        let merged = next(&current, "4");
        let written = root.store.update(&merged, current.version, durability, &mut ticket).await;
        assert_eq!(written.unwrap(), Updated::Written);
    }
    let refused = root.opened_again().load(first.id, start(), exclusively(MINUTE)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::LockTimeout);
}

#[tokio::test]
async fn a_logout_waits_for_no_exclusive_lock() {
    let root = Root::new();
    let first = created(&root.store).await;
    let Loaded { record, mut ticket } =
        root.store.load(first.id, start(), exclusively(MINUTE)).await.unwrap().unwrap();
    assert!(root.opened_again().delete(first.id, Durability::Power).await.unwrap());
    let second = next(&record, "2");
    let late = root.store.update(&second, record.version, Durability::Process, &mut ticket);
    assert_eq!(late.await.unwrap(), Updated::Gone);
}

// R62
#[tokio::test]
async fn a_lock_held_too_long_is_lost_and_its_commit_fails() {
    let root = Root::new();
    let first = created(&root.store).await;
    let Loaded { record, mut ticket } = root
        .store
        .load(first.id, start(), exclusively(Duration::from_millis(1)))
        .await
        .unwrap()
        .unwrap();
    // Whoever waits has it as soon as the time of the first is over.
    let access = Access::Exclusive { wait: MINUTE, hold: MINUTE };
    let other = root.opened_again();
    assert!(other.load(first.id, start(), access).await.unwrap().is_some());
    for durability in [Durability::Process, Durability::Power] {
        let second = next(&record, "2");
        let late = root.store.update(&second, record.version, durability, &mut ticket).await;
        assert_eq!(late.unwrap(), Updated::LockLost);
    }
    assert_eq!(load(&root.store, first.id).await, Some(record));
}

#[tokio::test]
async fn a_waiter_that_gives_up_leaves_the_queue() {
    let root = Root::new();
    let record = created(&root.store).await;
    let held = root.store.load(record.id, start(), exclusively(MINUTE)).await.unwrap();
    let patient = Access::Exclusive { wait: MINUTE, hold: MINUTE };
    let waiting = root.store.load(record.id, start(), patient);
    assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
    drop(held);
    assert!(root.store.load(record.id, start(), exclusively(MINUTE)).await.unwrap().is_some());
}

#[tokio::test]
async fn who_waited_for_the_lock_of_a_file_that_lost_its_name_goes_by_the_name() {
    for is_made_anew in [false, true] {
        let root = Root::new();
        let record = created(&root.store).await;
        let held = root.store.load(record.id, start(), exclusively(MINUTE)).await.unwrap();
        let (other, id) = (root.opened_again(), record.id);
        let waiter = tokio::spawn(async move {
            let access = Access::Exclusive { wait: MINUTE, hold: MINUTE };
            other.load(id, start(), access).await
        });
        tokio::task::yield_now().await;
        // What a deletion leaves where there was no room for a tombstone.
        fs::remove_file(root.file(id)).unwrap();
        let mut anew = record.clone();
        anew.data.clear();
        if is_made_anew {
            let made = root.store.create(&anew, Durability::Process).await.unwrap();
            assert_eq!(made, Created::New);
        }
        drop(held);
        let loaded = waiter.await.unwrap().unwrap().map(|loaded| loaded.record);
        assert_eq!(loaded, is_made_anew.then_some(anew));
    }
}

#[tokio::test]
async fn a_wait_and_a_hold_without_end_are_no_error() {
    let root = Root::new();
    let record = created(&root.store).await;
    let forever = Access::Exclusive { wait: Duration::MAX, hold: Duration::MAX };
    assert!(root.store.load(record.id, start(), forever).await.unwrap().is_some());
}

#[tokio::test]
async fn a_lock_that_was_let_go_leaves_nothing_beside_its_session() {
    let root = Root::new();
    let record = created(&root.store).await;
    let held = root.store.load(record.id, start(), exclusively(MINUTE)).await.unwrap().unwrap();
    root.store.release(held.ticket).await.unwrap();
    let directory = root.file(record.id).parent().unwrap().to_owned();
    assert_eq!(fs::read_dir(directory).unwrap().count(), 1);
}
