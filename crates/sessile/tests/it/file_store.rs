//! What the file store does beyond the laws of every store: slots, tails, damage, locks, the root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sessile::store::file::{FileStoreBuilder, SlotContent};
use sessile::store::{
    Access, Created, Durability, FileStore, Loaded, Scope, Store, Ticket, Updated,
};
use sessile::{ErrorKind, Owner, Record, SecretHash, SessionId, Version};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

const MINUTE: Duration = Duration::from_secs(60);
fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// A root of its own, gone with the test.
struct Root {
    dir: TempDir,
    store: FileStore,
}

impl Root {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = builder(&dir.path().join("root")).open().unwrap();
        Self { dir, store }
    }

    /// The same directory, opened as another process would.
    fn opened_again(&self) -> FileStore {
        builder(&self.path()).open().unwrap()
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn file(&self, id: SessionId) -> PathBuf {
        let name = id.to_string();
        self.path().join("default/records").join(&name[..2]).join(&name)
    }

    fn change_byte(&self, id: SessionId, at: usize) {
        let mut bytes = fs::read(self.file(id)).unwrap();
        bytes[at] ^= 0x10;
        fs::write(self.file(id), bytes).unwrap();
    }
}

fn builder(path: &Path) -> FileStoreBuilder {
    // Tests run wherever a developer's or a server's temporary directory happens to lie.
    FileStore::builder(path).allow_any_file_system(true)
}

fn record() -> Record {
    let hash = SecretHash::from_bytes([5; 32]);
    let id = SessionId::random().unwrap();
    let mut record = Record::new(id, hash, start(), Some(30 * MINUTE), 24 * 60 * MINUTE);
    record.data.insert("n", Bytes::from_static(b"1"));
    record
}

fn owned(owner: &Owner, began_at: SystemTime) -> Record {
    let mut record = record();
    record.owner = Some(owner.clone());
    record.login_began_at = Some(began_at);
    record
}

fn ann() -> Owner {
    Owner::new("ann").unwrap()
}

/// The state after this one, with `json` as its data.
fn next(record: &Record, json: impl Into<Bytes>) -> Record {
    let mut next = record.clone();
    next.version = record.version.next();
    next.data.insert("n", json.into());
    next
}

async fn created(store: &FileStore) -> Record {
    let record = record();
    assert_eq!(store.create(&record, Durability::Process).await.unwrap(), Created::New);
    record
}

async fn load(store: &FileStore, id: SessionId) -> Option<Record> {
    store.load(id, start(), Access::Read).await.unwrap().map(|loaded| loaded.record)
}

async fn load_to_write(store: &FileStore, id: SessionId) -> Loaded {
    store.load(id, start(), Access::Write).await.unwrap().unwrap()
}

async fn update(store: &FileStore, record: &Record, durability: Durability) -> Updated {
    let expected = Version::new(record.version.get() - 1);
    store.update(record, expected, durability, &mut Ticket::none()).await.unwrap()
}

async fn failure(store: &FileStore, id: SessionId) -> ErrorKind {
    store.load(id, start(), Access::Read).await.unwrap_err().kind()
}

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

#[tokio::test]
async fn update_never_creates() {
    let root = Root::new();
    let record = next(&record(), "2");
    assert_eq!(update(&root.store, &record, Durability::Process).await, Updated::Gone);
    assert!(!root.file(record.id).exists());
}

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

/// Built by the book, as `docs/file_format.md` describes it.
fn tombstone(id: SessionId, version: u64) -> [u8; 56] {
    let mut head = [0; 56];
    head[..8].copy_from_slice(b"sess\x01\0\x01\0");
    head[8..16].copy_from_slice(&version.to_le_bytes());
    head[16..32].copy_from_slice(id.as_bytes());
    head[40..48].copy_from_slice(&xxh3_64(b"").to_le_bytes());
    let check = xxh3_64(&head[..48]);
    head[48..].copy_from_slice(&check.to_le_bytes());
    head
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

#[tokio::test]
async fn nothing_but_a_regular_file_is_a_session() {
    let root = Root::new();
    let record = created(&root.store).await;
    let elsewhere = root.dir.path().join("elsewhere");
    fs::rename(root.file(record.id), &elsewhere).unwrap();
    symlink(&elsewhere, root.file(record.id)).unwrap();
    assert_eq!(failure(&root.store, record.id).await, ErrorKind::Unavailable);
    fs::remove_file(root.file(record.id)).unwrap();
    fs::create_dir(root.file(record.id)).unwrap();
    assert_eq!(failure(&root.store, record.id).await, ErrorKind::Unavailable);
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

fn refusal(builder: FileStoreBuilder) -> String {
    let error = builder.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn a_root_that_cannot_be_trusted_is_refused_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link, open) =
        (dir.path().join("file"), dir.path().join("link"), dir.path().join("open"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&open).unwrap();
    symlink(&open, &link).unwrap();
    assert!(refusal(builder(&file)).contains("not a directory"));
    assert!(refusal(builder(&link)).contains("symbolic link"));
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(&open, Permissions::from_mode(mode)).unwrap();
        assert!(refusal(builder(&open)).contains("chmod 700"), "{mode:o}");
    }
    assert!(refusal(builder(&open).allow_group(true)).contains("chmod 700"));
    fs::set_permissions(&open, Permissions::from_mode(0o770)).unwrap();
    builder(&open).allow_group(true).open().unwrap();
    assert!(refusal(builder(&file).namespace("../up")).contains("a-z"));
}

#[test]
fn what_the_store_makes_is_private() {
    let root = Root::new();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for dir in ["", "default", "default/records", "default/owners"] {
        assert_eq!(mode(root.path().join(dir)), 0o700, "{dir}");
    }
    assert_eq!(mode(root.path().join("sessile.key")), 0o600);
}

#[test]
fn a_damaged_key_is_refused_with_the_mend() {
    let root = Root::new();
    fs::write(root.path().join("sessile.key"), "short").unwrap();
    assert!(refusal(builder(&root.path())).contains("restore it"));
}

#[test]
fn stores_opened_at_once_agree_on_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root");
    std::thread::scope(|scope| {
        let opened: Vec<_> =
            (0..8).map(|_| scope.spawn(|| builder(&path).open().map(drop))).collect();
        assert!(opened.into_iter().all(|opened| opened.join().unwrap().is_ok()));
    });
    assert_eq!(fs::read(path.join("sessile.key")).unwrap().len(), 32);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
}

async fn ids_of(store: &FileStore, owner: &Owner, now: SystemTime) -> Vec<SessionId> {
    let page = store.list(Scope::Owner(owner), now, None, 100).await.unwrap();
    page.sessions.iter().map(|session| session.id).collect()
}

#[tokio::test]
async fn an_owner_sees_their_live_sessions_by_id() {
    let root = Root::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let record = owned(&ann(), start());
        root.store.create(&record, Durability::Power).await.unwrap();
        ids.push(record.id);
    }
    let mut replaced = owned(&ann(), start());
    replaced.superseded = true;
    root.store.create(&replaced, Durability::Process).await.unwrap();
    root.store
        .create(&owned(&Owner::new("bob").unwrap(), start()), Durability::Process)
        .await
        .unwrap();
    ids.sort_unstable();
    assert_eq!(ids_of(&root.store, &ann(), start()).await, ids);
    assert!(ids_of(&root.store, &ann(), start() + 30 * MINUTE).await.is_empty());

    let first = root.store.list(Scope::Owner(&ann()), start(), None, 2).await.unwrap();
    assert_eq!(first.next, Some(ids[1]));
    let second = root.store.list(Scope::Owner(&ann()), start(), first.next, 100).await.unwrap();
    assert_eq!(second.sessions.len(), 3);
    let all = root.store.list(Scope::All, start(), Some(ids[4]), 100).await.unwrap();
    assert!(all.sessions.iter().all(|session| session.id > ids[4]));
}

#[tokio::test]
async fn one_damaged_record_does_not_fail_a_list() {
    let root = Root::new();
    let (first, second) = (owned(&ann(), start()), owned(&ann(), start()));
    for record in [&first, &second] {
        root.store.create(record, Durability::Process).await.unwrap();
    }
    root.change_byte(first.id, 64 + 60);
    assert_eq!(ids_of(&root.store, &ann(), start()).await, [second.id]);
}

#[tokio::test]
async fn names_in_the_root_tell_nothing_of_owners() {
    let root = Root::new();
    root.store.create(&owned(&ann(), start()), Durability::Process).await.unwrap();
    for entry in fs::read_dir(root.path().join("default/owners")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.file_name().unwrap().len(), 64);
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(3).any(|window| window == b"ann"));
    }
}

#[tokio::test]
async fn ending_an_owners_sessions_spares_one_and_refuses_logins_begun_before() {
    let root = Root::new();
    let (first, second) = (owned(&ann(), start()), owned(&ann(), start()));
    for record in [&first, &second] {
        root.store.create(record, Durability::Process).await.unwrap();
    }
    let store = &root.store;
    let not_before = start() + MINUTE;
    let ended = store.delete_owner(&ann(), Some(second.id), not_before, Durability::Power).await;
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(ids_of(store, &ann(), start()).await, [second.id]);

    let mut nameless = owned(&ann(), start());
    nameless.login_began_at = None;
    for late in [owned(&ann(), start()), owned(&ann(), not_before), nameless] {
        let refused = root.opened_again().create(&late, Durability::Power).await.unwrap();
        assert_eq!(refused, Created::Revoked);
        assert_eq!(load(store, late.id).await, None);
    }
    let later = owned(&ann(), not_before + Duration::from_millis(1));
    assert_eq!(store.create(&later, Durability::Power).await.unwrap(), Created::New);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_login_escapes_a_revocation_that_runs_beside_it() {
    let root = Root::new();
    for round in 0..60 {
        let owner = Owner::new(format!("owner {round}")).unwrap();
        let record = owned(&owner, start());
        let (store, id) = (root.store.clone(), record.id);
        let login = tokio::spawn(async move { store.create(&record, Durability::Process).await });
        let (store, ended) = (root.opened_again(), owner.clone());
        let revocation = tokio::spawn(async move {
            store.delete_owner(&ended, None, start() + MINUTE, Durability::Process).await
        });
        let (created, ended) = (login.await.unwrap().unwrap(), revocation.await.unwrap().unwrap());
        assert_eq!(load(&root.store, id).await, None, "{created:?} {ended}");
    }
}

#[tokio::test]
async fn an_ended_session_leaves_its_owners_list() {
    let root = Root::new();
    let (first, second) = (owned(&ann(), start()), owned(&ann(), start()));
    for record in [&first, &second] {
        root.store.create(record, Durability::Process).await.unwrap();
    }
    root.store.delete(first.id, Durability::Power).await.unwrap();
    let mut replaced = next(&second, "null");
    replaced.owner = None;
    update(&root.store, &replaced, Durability::Final).await;
    let index = fs::read_dir(root.path().join("default/owners")).unwrap().next().unwrap().unwrap();
    let entries = fs::read(index.path()).unwrap().split_off(64);
    assert!(entries.iter().all(|byte| *byte == 0));
    // Nothing is left to say of this owner, a day after.
    assert!(ids_of(&root.store, &ann(), start() + 25 * 60 * MINUTE).await.is_empty());
    assert!(!index.path().exists());
}

#[tokio::test]
async fn only_old_ghosts_are_healed() {
    let root = Root::new();
    let record = owned(&ann(), start());
    root.store.create(&record, Durability::Process).await.unwrap();
    fs::remove_file(root.file(record.id)).unwrap();
    let index = fs::read_dir(root.path().join("default/owners")).unwrap().next().unwrap().unwrap();
    ids_of(&root.store, &ann(), start() + 9 * MINUTE).await;
    assert!(fs::read(index.path()).unwrap()[64..].starts_with(record.id.as_bytes()));
    ids_of(&root.store, &ann(), start() + 11 * MINUTE).await;
    assert!(!index.path().exists());
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
    assert_eq!(fs::read_dir(root.path().join("default/expiry")).unwrap().count(), 0);
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
    for hour in 1..=24 {
        let now = start() + hour * 60 * MINUTE + 6 * MINUTE;
        let removed = root.store.delete_expired(now, 10).await.unwrap().removed.len();
        assert_eq!(removed, usize::from(hour == 24), "{hour}");
        assert!(fs::read_dir(root.path().join("default/expiry")).unwrap().count() <= 1);
    }
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

fn exclusively(hold: Duration) -> Access {
    Access::Exclusive { wait: Duration::ZERO, hold }
}

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
