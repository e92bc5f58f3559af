//! Files that are damaged, foreign, newer, unfinished or no files.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sessile::ErrorKind;
use sessile::store::{Access, Created, Durability, Scope, Store, Ticket, Updated};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    MINUTE, Root, ann, created, exclusively, failure, load, next, owned, patrol_at, record, start,
    update,
};

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
async fn no_damaged_file_takes_the_place_of_an_earlier_one() {
    let root = Root::new();
    let record = created(&root.store).await;
    for aside in ["", ".1", ".2"].map(|end| format!("{}{end}", record.id)) {
        root.change_byte(record.id, 64 + 60);
        let damaged = fs::read(root.file(record.id)).unwrap();
        assert_eq!(failure(&root.store, record.id).await, ErrorKind::Corrupt);
        let aside = root.path().join("default/corrupt").join(aside);
        assert_eq!(fs::read(aside).unwrap(), damaged);
        let again = root.store.create(&record, Durability::Process).await.unwrap();
        assert_eq!(again, Created::New);
    }
    assert_eq!(fs::read_dir(root.path().join("default/corrupt")).unwrap().count(), 3);
}

/// As a disk does that fails: the system gives an error, and not that there is nothing.
#[tokio::test]
async fn a_directory_that_cannot_be_opened_is_an_outage_and_no_absence() {
    let root = Root::new();
    let record = owned(&ann(), start());
    root.store.create(&record, Durability::Process).await.unwrap();
    let directory = root.file(record.id).parent().unwrap().to_owned();
    fs::rename(&directory, root.dir.path().join("elsewhere")).unwrap();
    fs::write(&directory, "").unwrap();
    let store = root.opened_again();
    let (id, durability) = (record.id, Durability::Process);
    let mut none = Ticket::none();
    let used_at = start() + MINUTE;
    let outcomes = [
        store.create(&record, durability).await.map(drop),
        store.load(id, start(), Access::Read).await.map(drop),
        store.load(id, start(), Access::Write).await.map(drop),
        store.load(id, start(), exclusively(MINUTE)).await.map(drop),
        store.update(&next(&record, "2"), record.version, durability, &mut none).await.map(drop),
        store.touch(id, used_at, used_at, &mut none).await.map(drop),
        store.delete(id, durability).await.map(drop),
        store.delete_owner(&ann(), None, start(), durability).await.map(drop),
        store.list(Scope::All, start(), None, 10).await.map(drop),
        store.list(Scope::Owner(&ann()), start(), None, 10).await.map(drop),
        store.delete_expired(start() + 60 * MINUTE, 10).await.map(drop),
        store.inspect(id).map(drop),
        store.mend(start()).map(drop),
    ];
    let kinds: Vec<_> = outcomes.map(|it| it.map_err(|error| error.kind())).into();
    assert_eq!(kinds, vec![Err(ErrorKind::Unavailable); kinds.len()]);
    fs::remove_dir_all(root.path().join("default/expiry")).unwrap();
    let now = patrol_at(id, start() + 24 * 60 * MINUTE);
    let patrolled = root.opened_again().delete_expired(now, 10).await;
    assert_eq!(patrolled.unwrap_err().kind(), ErrorKind::Unavailable);
    fs::remove_file(&directory).unwrap();
    fs::rename(root.dir.path().join("elsewhere"), &directory).unwrap();
    assert_eq!(load(&store, id).await, Some(record));
}

#[tokio::test]
async fn an_index_that_is_no_file_is_an_error_and_not_an_empty_one() {
    let root = Root::new();
    root.store.create(&owned(&ann(), start()), Durability::Process).await.unwrap();
    let index = fs::read_dir(root.path().join("default/owners")).unwrap().next().unwrap().unwrap();
    fs::remove_file(index.path()).unwrap();
    fs::create_dir(index.path()).unwrap();
    let listed = root.store.list(Scope::Owner(&ann()), start(), None, 10).await.map(drop);
    for outcome in [listed, root.store.mend(start()).map(drop)] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Corrupt);
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
    let (fifo, mode) = (FileType::Fifo, Mode::RUSR | Mode::WUSR);
    mknodat(CWD, root.file(record.id), fifo, mode, 0).unwrap();
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
