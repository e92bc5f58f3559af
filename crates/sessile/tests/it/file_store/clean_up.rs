//! What clean-up removes, and what it leaves.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::store::{Durability, Expired, Store, Ticket};

use super::{MINUTE, Root, ann, created, load, owned, patrol_at, record, start, tombstone};

/// The files of the expiry log.
fn logs(root: &Root) -> Vec<String> {
    let entries = fs::read_dir(root.path().join("default/expiry")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The file for what falls due at this instant.
fn log_of(instant: SystemTime) -> String {
    format!("{:016x}", instant.duration_since(UNIX_EPOCH).unwrap().as_secs() / 60)
}

#[tokio::test]
async fn clean_up_leaves_what_expired_within_five_minutes() {
    let root = Root::new();
    let record = owned(&ann(), start());
    root.store.create(&record, Durability::Process).await.unwrap();
    let ended_at = record.deadline();
    for (minutes, removed) in [(0, 0), (4, 0), (5, 0), (7, 1), (8, 0)] {
        let expired = root.store.delete_expired(ended_at + minutes * MINUTE, 10).await.unwrap();
        assert_eq!(expired.removed.len(), removed, "after {minutes} minutes");
        assert!(expired.removed.iter().all(|it| *it == (record.id, Some(ann()))));
    }
    assert!(!root.file(record.id).exists());
}

#[tokio::test]
async fn clean_up_leaves_a_recent_end_that_it_comes_across_early() {
    let root = Root::new();
    let mut record = record();
    record.idle_timeout = None;
    // Its entry is filed six hours ahead, and so read when the record has just expired.
    record.absolute_deadline = start() + 365 * MINUTE;
    root.store.create(&record, Durability::Process).await.unwrap();
    for (minutes, removed) in [(366, 0), (369, 0), (377, 1)] {
        let expired = root.store.delete_expired(start() + minutes * MINUTE, 10).await.unwrap();
        assert_eq!(expired.removed.len(), removed, "after {minutes} minutes");
    }
}

// R56
#[tokio::test]
async fn clean_up_never_removes_what_was_used_since() {
    let root = Root::new();
    let record = created(&root.store).await;
    let used_at = start() + 29 * MINUTE;
    root.store.touch(record.id, used_at, used_at, &mut Ticket::none()).await.unwrap();
    let now = start() + 45 * MINUTE;
    assert!(root.store.delete_expired(now, 10).await.unwrap().removed.is_empty());
    assert!(load(&root.store, record.id).await.is_some());
    // It was filed anew, under its new deadline.
    let now = used_at + 30 * MINUTE + 7 * MINUTE;
    assert_eq!(root.opened_again().delete_expired(now, 10).await.unwrap().removed.len(), 1);
}

#[tokio::test]
async fn clean_up_is_bounded_and_says_that_more_is_due() {
    let root = Root::new();
    for _ in 0..10 {
        created(&root.store).await;
    }
    let now = start() + 40 * MINUTE;
    let mut removed = Vec::new();
    for more in [true, true, false] {
        let expired = root.store.delete_expired(now, 4).await.unwrap();
        assert_eq!(expired.more, more, "after {}", removed.len());
        removed.push(expired.removed.len());
    }
    assert_eq!(removed, [4, 4, 2]);
    assert!(logs(&root).is_empty());
}

#[tokio::test]
async fn clean_up_that_comes_to_its_end_and_its_limit_at_once_has_no_more_to_do() {
    let root = Root::new();
    for _ in 0..4 {
        created(&root.store).await;
    }
    let expired = root.store.delete_expired(start() + 40 * MINUTE, 4).await.unwrap();
    assert_eq!((expired.removed.len(), expired.more), (4, false));
    assert!(logs(&root).is_empty());
}

#[tokio::test]
async fn clean_up_looks_at_so_many_sessions_at_a_time_even_if_it_removes_none() {
    let root = Root::new();
    for _ in 0..100 {
        let record = created(&root.store).await;
        let used_at = start() + 29 * MINUTE;
        root.store.touch(record.id, used_at, used_at, &mut Ticket::none()).await.unwrap();
    }
    for more in [true, false] {
        let expired = root.store.delete_expired(start() + 40 * MINUTE, 1).await.unwrap();
        assert_eq!((expired.removed.len(), expired.more), (0, more));
    }
}

#[tokio::test]
async fn an_entry_for_a_log_that_was_removed_goes_to_a_new_one() {
    let root = Root::new();
    created(&root.store).await;
    root.opened_again().delete_expired(start() + 40 * MINUTE, 10).await.unwrap();
    assert!(logs(&root).is_empty());
    // The first store still has the old file open.
    let late = created(&root.store).await;
    let expired = root.opened_again().delete_expired(start() + 40 * MINUTE, 10).await.unwrap();
    assert_eq!(expired.removed, [(late.id, None)]);
}

#[tokio::test]
async fn a_session_that_clean_up_cannot_read_comes_up_again_ten_minutes_later() {
    let root = Root::new();
    let record = created(&root.store).await;
    let mut bytes = fs::read(root.file(record.id)).unwrap();
    bytes[7] = 2; // a layout of a newer release
    fs::write(root.file(record.id), &bytes).unwrap();
    assert!(root.store.delete_expired(start() + 40 * MINUTE, 10).await.unwrap().removed.is_empty());
    assert_eq!(logs(&root), [log_of(start() + 50 * MINUTE)]);
    bytes[7] = 1;
    fs::write(root.file(record.id), &bytes).unwrap();
    let expired = root.store.delete_expired(start() + 60 * MINUTE, 10).await.unwrap();
    assert_eq!(expired.removed, [(record.id, None)]);
}

/// Lets the patrol of a store that knows of nothing come by, at this instant.
async fn patrol(root: &Root, now: SystemTime) -> Expired {
    root.opened_again().delete_expired(now, 10).await.unwrap()
}

#[tokio::test]
async fn the_patrol_leaves_an_empty_file_for_ten_minutes() {
    for (age, is_left) in [(9 * MINUTE, true), (10 * MINUTE, true), (11 * MINUTE, false)] {
        let root = Root::new();
        let record = created(&root.store).await;
        let file = fs::File::create(root.file(record.id)).unwrap();
        let now = patrol_at(record.id, start() + 24 * 60 * MINUTE);
        file.set_modified(now - age).unwrap();
        patrol(&root, now).await;
        assert_eq!(root.file(record.id).exists(), is_left, "{age:?}");
    }
}

#[tokio::test]
async fn the_patrol_leaves_what_expired_within_five_minutes_and_files_nothing() {
    let ms = Duration::from_millis(1);
    for (ago, is_left) in [(ms, true), (5 * MINUTE, true), (5 * MINUTE + ms, false)] {
        let root = Root::new();
        let mut record = record();
        record.idle_timeout = None;
        let now = patrol_at(record.id, start() + 24 * 60 * MINUTE);
        record.absolute_deadline = now - ago;
        root.store.create(&record, Durability::Process).await.unwrap();
        fs::remove_dir_all(root.path().join("default/expiry")).unwrap();
        let removed = patrol(&root, now).await.removed.len();
        assert_eq!((removed == 0, root.file(record.id).exists()), (is_left, is_left), "{ago:?}");
        assert!(logs(&root).is_empty(), "its entry is elsewhere, or comes too late");
    }
}

#[tokio::test]
async fn the_patrol_files_no_session_anew_that_it_cannot_read() {
    let root = Root::new();
    let record = created(&root.store).await;
    let mut bytes = fs::read(root.file(record.id)).unwrap();
    bytes[7] = 2;
    fs::write(root.file(record.id), &bytes).unwrap();
    fs::remove_dir_all(root.path().join("default/expiry")).unwrap();
    patrol(&root, patrol_at(record.id, start() + 24 * 60 * MINUTE)).await;
    assert!(logs(&root).is_empty());
    assert_eq!(fs::read(root.file(record.id)).unwrap(), bytes);
}

#[tokio::test]
async fn clean_up_goes_on_past_damaged_records_and_torn_entries() {
    let root = Root::new();
    let first = created(&root.store).await;
    let damaged = created(&root.store).await;
    root.change_byte(damaged.id, 64 + 60);
    let log = fs::read_dir(root.path().join("default/expiry")).unwrap().next().unwrap().unwrap();
    let mut entries = fs::read(log.path()).unwrap();
    entries.extend([7; 40]);
    fs::write(log.path(), entries).unwrap();
    let expired = root.store.delete_expired(start() + 40 * MINUTE, 10).await.unwrap();
    assert_eq!(expired.removed, [(first.id, None)]);
    assert!(root.path().join("default/corrupt").join(damaged.id.to_string()).exists());
}

#[tokio::test]
async fn a_session_far_from_its_deadline_is_looked_at_every_six_hours() {
    let root = Root::new();
    let mut record = record();
    record.idle_timeout = None;
    root.store.create(&record, Durability::Process).await.unwrap();
    let mut filed_under = logs(&root);
    for hour in 1..=24 {
        let now = start() + hour * 60 * MINUTE + 6 * MINUTE;
        let removed = root.store.delete_expired(now, 10).await.unwrap().removed.len();
        assert_eq!(removed, usize::from(hour == 24), "{hour}");
        assert!(logs(&root).len() <= 1);
        filed_under.extend(logs(&root));
    }
    filed_under.dedup();
    assert_eq!(filed_under.len(), 4);
}

#[tokio::test]
async fn a_day_of_patrol_finds_what_the_log_lost() {
    let root = Root::new();
    let lost = created(&root.store).await;
    let unfinished = created(&root.store).await;
    let buried = created(&root.store).await;
    fs::write(root.file(unfinished.id), "").unwrap();
    let mut bytes = fs::read(root.file(buried.id)).unwrap();
    bytes[2080..2136].copy_from_slice(&tombstone(buried.id, 2));
    fs::write(root.file(buried.id), &bytes).unwrap();
    fs::remove_dir_all(root.path().join("default/expiry")).unwrap();
    // Files have the real clock's times; by then every one of them is old.
    let begin = SystemTime::now() + 24 * 60 * MINUTE;
    let mut removed = Vec::new();
    let store = root.opened_again();
    for minute in 0..24 * 60 + 6 {
        removed.extend(store.delete_expired(begin + minute * MINUTE, 10).await.unwrap().removed);
    }
    assert_eq!(removed, [(lost.id, None)]);
    assert!(!root.file(unfinished.id).exists() && !root.file(buried.id).exists());
}
