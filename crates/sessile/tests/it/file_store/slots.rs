//! Two slots, a tail and a touch word: which state counts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sessile::store::file::SlotContent;
use sessile::store::{Access, Durability, Loaded, Store, Ticket, Updated};
use sessile::{Record, SessionId, Version};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    MINUTE, Root, ann, created, load, load_to_write, next, owned, record, start, tombstone, update,
};

#[tokio::test]
async fn a_deletion_on_a_full_disk_leaves_holders_of_the_file_nothing() {
    let root = Root::new();
    let first = created(&root.store).await;
    let Loaded { record, mut ticket } = load_to_write(&root.store, first.id).await;
    // What is left when no tombstone could be written: a file without a name.
    fs::remove_file(root.file(first.id)).unwrap();
    let second = next(&record, "2");
    let late =
        root.store.update(&second, record.version, Durability::Process, &mut ticket).await.unwrap();
    assert_eq!(late, Updated::Gone);
    let touched = root.store.touch(first.id, start() + MINUTE, start(), &mut ticket).await.unwrap();
    assert!(!touched);
}

#[tokio::test]
async fn a_record_grows_into_a_tail_and_back_in_one_file() {
    let root = Root::new();
    let mut record = created(&root.store).await;
    let inode = fs::metadata(root.file(record.id)).unwrap().ino();
    for size in [10, 3_000, 200_000, 1_900, 90_000, 100_000, 10, 10] {
        record = next(&record, vec![b'x'; size]);
        assert_eq!(update(&root.store, &record, Durability::Process).await, Updated::Written);
        assert_eq!(load(&root.store, record.id).await.as_ref(), Some(&record), "{size}");
    }
    let file = fs::metadata(root.file(record.id)).unwrap();
    assert_eq!((file.ino(), file.len()), (inode, 4096));
}

#[tokio::test]
async fn space_behind_a_record_is_given_back_once_it_is_64_kib() {
    for (tail, is_given_back) in [(61_000, false), (68_000, true)] {
        let root = Root::new();
        let mut record = created(&root.store).await;
        for size in [tail, 10, 10] {
            record = next(&record, vec![b'x'; size]);
            assert_eq!(update(&root.store, &record, Durability::Process).await, Updated::Written);
        }
        let bytes = fs::metadata(root.file(record.id)).unwrap().len();
        assert_eq!(bytes == 4096, is_given_back, "{bytes} bytes after {tail}");
    }
}

#[tokio::test]
async fn a_large_record_is_created_and_ended_like_any_other() {
    let root = Root::new();
    let mut record = record();
    record.data.insert("n", vec![b'x'; 100_000].into());
    root.store.create(&record, Durability::Power).await.unwrap();
    assert_eq!(load(&root.store, record.id).await, Some(record.clone()));
    assert!(root.store.delete(record.id, Durability::Power).await.unwrap());
}

#[tokio::test]
async fn a_crash_that_tore_the_newest_slot_leaves_the_one_before() {
    let root = Root::new();
    let first = created(&root.store).await;
    update(&root.store, &next(&first, "2"), Durability::Process).await;
    root.change_byte(first.id, 2080 + 56 + 10);
    assert_eq!(load(&root.store, first.id).await, Some(first.clone()));
    let second = next(&first, "3");
    assert_eq!(update(&root.store, &second, Durability::Process).await, Updated::Written);
    assert_eq!(load(&root.store, first.id).await, Some(second));
}

// R39
#[tokio::test]
async fn a_tombstone_beats_the_older_slot() {
    let root = Root::new();
    let first = created(&root.store).await;
    // A crash between the two tombstones of a deletion.
    let mut bytes = fs::read(root.file(first.id)).unwrap();
    bytes[2080..2136].copy_from_slice(&tombstone(first.id, 2));
    fs::write(root.file(first.id), &bytes).unwrap();
    assert_eq!(load(&root.store, first.id).await, None);
    assert_eq!(update(&root.store, &next(&first, "2"), Durability::Process).await, Updated::Gone);
    let touched = root.store.touch(first.id, start(), start(), &mut Ticket::none()).await.unwrap();
    assert!(!touched);
    assert!(!root.store.delete(first.id, Durability::Power).await.unwrap());
    assert!(!root.file(first.id).exists());
}

#[tokio::test]
async fn a_final_update_stands_in_both_slots() {
    let root = Root::new();
    let first = created(&root.store).await;
    let second = next(&first, vec![b'x'; 5_000]);
    assert_eq!(update(&root.store, &second, Durability::Final).await, Updated::Written);
    let slots = root.store.inspect(first.id).unwrap().unwrap().slots;
    assert_eq!(slots[0].content, slots[1].content);
    for slot in [64, 2080] {
        root.change_byte(first.id, slot + 20);
        assert_eq!(load(&root.store, first.id).await, Some(second.clone()));
        root.change_byte(first.id, slot + 20);
    }
}

#[tokio::test]
async fn an_inspection_shows_slots_and_no_data() {
    let root = Root::new();
    let first = created(&root.store).await;
    let shown = root.store.inspect(first.id).unwrap().unwrap();
    assert_eq!(shown.path, root.file(first.id));
    assert_eq!((shown.bytes, shown.slots[1].content), (4096, SlotContent::Free));
    let SlotContent::State { version, tail_offset: None, .. } = shown.slots[0].content else {
        panic!("slot A holds the first state");
    };
    assert_eq!(version, Version::FIRST);
    assert_eq!(root.store.inspect(SessionId::random().unwrap()).unwrap(), None);
}

#[tokio::test]
async fn an_inspection_tells_tails_tombstones_damage_and_newer_releases() {
    let root = Root::new();
    let first = created(&root.store).await;
    update(&root.store, &next(&first, vec![b'x'; 5_000]), Durability::Process).await;
    let slot_b = || root.store.inspect(first.id).unwrap().unwrap().slots[1].content;
    let SlotContent::State { version, body_bytes, tail_offset } = slot_b() else {
        panic!("slot B holds the second state");
    };
    assert_eq!((version, tail_offset), (Version::new(2), Some(4096)));
    assert!((5_000..5_200).contains(&body_bytes));
    let bytes = fs::read(root.file(first.id)).unwrap();
    let with = |head: [u8; 56]| {
        let mut bytes = bytes.clone();
        bytes[2080..2136].copy_from_slice(&head);
        fs::write(root.file(first.id), bytes).unwrap();
        slot_b()
    };
    let end = tombstone(first.id, 3);
    assert_eq!(with(end), SlotContent::Tombstone { version: Version::new(3) });
    let mut damaged = end;
    damaged[50] ^= 1;
    assert_eq!(with(damaged), SlotContent::Damaged);
    assert_eq!(with(tombstone(SessionId::random().unwrap(), 3)), SlotContent::Damaged);
    let mut newer = end;
    newer[4] = 2;
    let check = xxh3_64(&newer[..48]);
    newer[48..].copy_from_slice(&check.to_le_bytes());
    assert_eq!(with(newer), SlotContent::Newer);
}

#[tokio::test]
async fn a_stale_update_of_a_large_record_is_a_conflict() {
    let root = Root::new();
    let mut first = owned(&ann(), start());
    first.data.insert("n", vec![b'x'; 5_000].into());
    root.store.create(&first, Durability::Process).await.unwrap();
    let second = next(&first, vec![b'y'; 5_000]);
    assert_eq!(update(&root.store, &second, Durability::Process).await, Updated::Written);
    let stale = next(&first, vec![b'z'; 5_000]);
    let conflict = update(&root.store, &stale, Durability::Process).await;
    assert_eq!(conflict, Updated::Conflict(Box::new(second.clone())));
    assert_eq!(load(&root.store, first.id).await, Some(second));
}

#[tokio::test]
async fn a_ticket_is_for_its_own_session_alone() {
    let root = Root::new();
    let (one, other) = (created(&root.store).await, created(&root.store).await);
    let mut ticket = load_to_write(&root.store, one.id).await.ticket;
    let used_at = start() + MINUTE;
    assert!(root.store.touch(other.id, used_at, used_at, &mut ticket).await.unwrap());
    let second = next(&other, "2");
    let written = root.store.update(&second, other.version, Durability::Process, &mut ticket).await;
    assert_eq!(written.unwrap(), Updated::Written);
    let mut expected = second;
    expected.used_at = used_at;
    assert_eq!(load(&root.store, other.id).await, Some(expected));
    assert_eq!(load(&root.store, one.id).await, Some(one));
}

#[tokio::test]
async fn a_ticket_that_is_kept_keeps_nobody_else_from_writing() {
    let root = Root::new();
    let first = created(&root.store).await;
    let Loaded { record, mut ticket } = load_to_write(&root.store, first.id).await;
    let other = root.opened_again();
    root.store.touch(first.id, start(), start(), &mut ticket).await.unwrap();
    let second = next(&record, "2");
    assert_eq!(update(&other, &second, Durability::Process).await, Updated::Written);
    let store = &root.store;
    let late = store.update(&second, record.version, Durability::Process, &mut ticket).await;
    assert!(matches!(late.unwrap(), Updated::Conflict(_)));
    let third = next(&second, "3");
    assert_eq!(update(&other, &third, Durability::Process).await, Updated::Written);
}

#[tokio::test]
async fn touch_keeps_the_latest_use_and_changes_nothing_else() {
    let root = Root::new();
    let first = created(&root.store).await;
    let Loaded { mut ticket, .. } = load_to_write(&root.store, first.id).await;
    for (minute, latest) in [(5, 5), (3, 5), (7, 7)] {
        let used_at = start() + minute * MINUTE;
        assert!(root.store.touch(first.id, used_at, used_at, &mut ticket).await.unwrap());
        let mut expected = first.clone();
        expected.used_at = start() + latest * MINUTE;
        assert_eq!(load(&root.store, first.id).await, Some(expected));
    }
}

#[tokio::test]
async fn an_update_keeps_a_later_use() {
    let root = Root::new();
    let first = created(&root.store).await;
    let used_at = start() + 5 * MINUTE;
    root.store.touch(first.id, used_at, used_at, &mut Ticket::none()).await.unwrap();
    update(&root.store, &next(&first, "2"), Durability::Process).await;
    root.change_byte(first.id, 9);
    assert_eq!(load(&root.store, first.id).await.unwrap().used_at, used_at);
}

#[tokio::test]
async fn a_conflict_tells_of_the_latest_use() {
    let root = Root::new();
    let first = created(&root.store).await;
    let second = next(&first, "2");
    update(&root.store, &second, Durability::Process).await;
    let used_at = start() + 5 * MINUTE;
    root.store.touch(first.id, used_at, used_at, &mut Ticket::none()).await.unwrap();
    let Updated::Conflict(current) = update(&root.store, &second, Durability::Process).await else {
        panic!("no conflict");
    };
    assert_eq!(current.used_at, used_at);
}

#[tokio::test]
async fn a_damaged_touch_word_falls_back_to_the_slot() {
    let root = Root::new();
    let first = created(&root.store).await;
    let used_at = start() + MINUTE;
    root.store.touch(first.id, used_at, used_at, &mut Ticket::none()).await.unwrap();
    root.change_byte(first.id, 12);
    assert_eq!(load(&root.store, first.id).await, Some(first));
}

// R38
#[tokio::test]
async fn touch_never_revives() {
    let root = Root::new();
    let first = created(&root.store).await;
    let too_late = start() + 30 * MINUTE;
    let touched = root.store.touch(first.id, too_late, too_late, &mut Ticket::none()).await;
    assert!(!touched.unwrap());
    let live = root.store.load(first.id, too_late, Access::Write).await.unwrap();
    assert!(live.is_none());
}

/// Bytes that tell their own length and seed, in and out of the slot.
fn self_verifying(seed: u64) -> Vec<u8> {
    let len = 16 + (seed % 7) as usize * 700;
    let mut bytes = vec![(seed % 251) as u8; len];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

fn verify(record: &Record) -> u64 {
    let bytes = record.data.get("n").unwrap();
    let seed = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes[..], self_verifying(seed), "a torn payload was accepted");
    seed
}

// R54
#[test]
fn writers_and_readers_of_one_record_see_whole_states_that_only_grow() {
    let root = Root::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let id = runtime.block_on(async {
        let mut record = record();
        record.data.insert("n", self_verifying(0).into());
        root.store.create(&record, Durability::Process).await.unwrap();
        record.id
    });
    let done = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for writer in 0..2 {
        let (store, done, written) = (root.opened_again(), done.clone(), written.clone());
        tasks.push(runtime.spawn(async move {
            for round in 0_u64.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let Loaded { record, mut ticket } = load_to_write(&store, id).await;
                verify(&record);
                let second = next(&record, self_verifying(round * 2 + writer));
                let updated =
                    store.update(&second, record.version, Durability::Process, &mut ticket).await;
                match updated.unwrap() {
                    Updated::Written => drop(written.fetch_add(1, Ordering::Relaxed)),
                    Updated::Conflict(current) => assert!(current.version > record.version),
                    other => panic!("{other:?}"),
                }
            }
        }));
    }
    for _ in 0..2 {
        let (store, done) = (root.opened_again(), done.clone());
        tasks.push(runtime.spawn(async move {
            let mut newest = Version::FIRST;
            while !done.load(Ordering::Relaxed) {
                let record = load(&store, id).await.unwrap();
                verify(&record);
                assert!(record.version >= newest, "a reader stepped back");
                newest = record.version;
                tokio::task::yield_now().await;
            }
        }));
    }
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(50));
    }
    done.store(true, Ordering::Relaxed);
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    let newest = runtime.block_on(load(&root.store, id)).unwrap().version.get();
    assert_eq!(newest, 1 + written.load(Ordering::Relaxed), "an acknowledged save was lost");
}

// R50
#[tokio::test]
async fn a_session_file_with_a_second_name_goes_on_and_its_end_is_final() {
    let root = Root::new();
    let record = created(&root.store).await;
    let twin = root.dir.path().join("copy made by cp -al");
    fs::hard_link(root.file(record.id), &twin).unwrap();
    let saved = next(&record, "2");
    assert_eq!(update(&root.store, &saved, Durability::Process).await, Updated::Written);
    assert_eq!(load(&root.store, record.id).await, Some(saved));
    assert!(root.store.delete(record.id, Durability::Power).await.unwrap());
    fs::hard_link(&twin, root.file(record.id)).unwrap();
    assert_eq!(load(&root.opened_again(), record.id).await, None, "a copy brings nothing back");
}
