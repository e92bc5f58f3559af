//! `docs/file_format.md` is enough to read a directory by.
//!
//! `reader.py` was written from the page alone and shares no code with the library. Whatever it makes
//! of a directory must be what the store makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use sessile::store::{Access, Durability, FileStore, Scope, Store, Ticket, Updated};
use sessile::{ErrorKind, Owner, PreviousSecret, Record, RetiredSecret, SecretHash, SessionId};
use xxhash_rust::xxh3::xxh3_64;

use crate::file_store::tombstone;

const MINUTE: Duration = Duration::from_secs(60);

fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// A directory, and both ways to read it.
struct Ground {
    dir: tempfile::TempDir,
    store: FileStore,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let store = FileStore::builder(root).allow_any_file_system(true).open().unwrap();
        Self { dir, store }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn file(&self, id: SessionId) -> PathBuf {
        let name = id.to_string();
        self.root().join("default/records").join(&name[..2]).join(&name)
    }

    fn change(&self, id: SessionId, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.file(id)).unwrap();
        change(&mut bytes);
        fs::write(self.file(id), bytes).unwrap();
    }

    async fn created(&self, record: Record) -> Record {
        self.store.create(&record, Durability::Process).await.unwrap();
        record
    }

    /// The next state, with a value of so many bytes.
    async fn grown(&self, record: &Record, bytes: usize, durability: Durability) -> Record {
        let mut next = record.clone();
        next.version = record.version.next();
        next.data.insert("n", text(bytes));
        let no_ticket = &mut Ticket::none();
        let updated = self.store.update(&next, record.version, durability, no_ticket).await;
        assert_eq!(updated.unwrap(), Updated::Written);
        next
    }

    /// What the library makes of the file of `id`, in the words of the other reader.
    async fn ours(&self, id: SessionId) -> Value {
        match self.store.load(id, start(), Access::Read).await {
            Ok(Some(loaded)) => shown(&loaded.record),
            Ok(None) => json!({"state": "absent"}),
            Err(error) if error.kind() == ErrorKind::Corrupt => json!({"state": "damaged"}),
            Err(error) if error.kind() == ErrorKind::NewerFormat => json!({"state": "newer"}),
            Err(error) => panic!("{error}"),
        }
    }
}

fn text(bytes: usize) -> Bytes {
    format!("\"{}\"", "ö".repeat(bytes / 2)).into()
}

fn hash(n: u8) -> SecretHash {
    SecretHash::from_bytes([n; 32])
}

fn record() -> Record {
    let id = SessionId::random().unwrap();
    Record::new(id, hash(5), start(), Some(30 * MINUTE), 24 * 60 * MINUTE)
}

/// A record with every field there is.
fn full(owner: &Owner) -> Record {
    let mut record = record();
    let accepted_until = Some(start() + MINUTE);
    let (hash_before, replaced_at, auth_epoch) = (hash(1), start(), 6);
    record.previous =
        Some(PreviousSecret { hash: hash_before, replaced_at, accepted_until, auth_epoch });
    record.retired = (2..6).map(|n| RetiredSecret { hash: hash(n), retired_at: start() }).collect();
    (record.auth_epoch, record.level) = (7, 2);
    record.used_at = start() + Duration::from_millis(2);
    record.authenticated_at = Some(start() + Duration::from_millis(1));
    record.login_began_at = Some(start());
    record.persistent = true;
    record.owner = Some(owner.clone());
    record.client_address = Some("2001:db8::1".into());
    record.user_agent = Some("Mozilla/5.0 (ünïcode)".into());
    for (key, json) in [("", "null"), ("größe", "\"XL\""), ("empty", ""), ("a", "[1,2]")] {
        record.data.insert(key, json.into());
    }
    record
}

fn shown(record: &Record) -> Value {
    let ms = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let hex = |hash: &SecretHash| data_encoding::HEXLOWER.encode(hash.as_bytes());
    let data: BTreeMap<_, _> =
        record.data.iter().map(|(key, json)| (key, std::str::from_utf8(json).unwrap())).collect();
    json!({
        "state": "live",
        "version": record.version.get(),
        "level": record.level,
        "auth_epoch": record.auth_epoch,
        "secret": hex(&record.secret_hash),
        "created_at": ms(record.created_at),
        "used_at": ms(record.used_at),
        "absolute_deadline": ms(record.absolute_deadline),
        "deadline": ms(record.deadline()),
        "authenticated_at": record.authenticated_at.map(ms),
        "login_began_at": record.login_began_at.map(ms),
        "idle_timeout": record.idle_timeout.map(|idle| idle.as_millis() as u64),
        "previous": record.previous.as_ref().map(|previous| json!({
            "hash": hex(&previous.hash),
            "replaced_at": ms(previous.replaced_at),
            "accepted_until": previous.accepted_until.map(ms),
            "auth_epoch": previous.auth_epoch,
        })),
        "retired": record.retired.iter()
            .map(|secret| json!([hex(&secret.hash), ms(secret.retired_at)])).collect::<Vec<_>>(),
        "owner": record.owner.as_ref().map(Owner::as_str),
        "client_address": record.client_address,
        "user_agent": record.user_agent,
        "superseded": record.superseded,
        "persistent": record.persistent,
        "data": data,
    })
}

/// What the other reader makes of a directory; `None` where there is no Python.
fn theirs(root: &Path) -> Option<Vec<Value>> {
    reader(root, &[])
}

fn reader(root: &Path, words: &[&str]) -> Option<Vec<Value>> {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/second_reader/reader.py");
    let mut python = Command::new("python3");
    let output = python.arg("-B").arg(reader).arg(root).arg("default").args(words).output();
    let Ok(output) = output else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has no python3");
        println!("skipped: python3 is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The session files among what the other reader found, by ID.
fn sessions(found: &[Value]) -> BTreeMap<SessionId, Value> {
    let session = |line: &Value| Some((line["id"].as_str()?.parse().unwrap(), line.clone()));
    found.iter().filter_map(session).collect()
}

/// Both readings of one file, without what only one of them tells.
fn compared(theirs: &Value, mut ours: Value) -> (Value, Value) {
    let mut theirs = theirs.clone();
    let told = theirs.as_object_mut().unwrap();
    for own in ["id", "where", "index", "why"] {
        told.remove(own);
    }
    // A session that ended is absent to whoever loads it.
    if told["state"] == "ended" {
        (theirs, ours) = (json!({"state": "absent"}), ours);
    }
    (theirs, ours)
}

async fn assert_same(ground: &Ground, states: &[(&str, usize)]) {
    let Some(found) = theirs(&ground.root()) else { return };
    let found = sessions(&found);
    for (state, count) in states {
        let of_it = |line: &&Value| line["state"] == *state || line["where"] == *state;
        assert_eq!(found.values().filter(of_it).count(), *count, "{state}");
    }
    for (id, line) in &found {
        let (theirs, ours) = compared(line, ground.ours(*id).await);
        assert_eq!(theirs, ours, "{id}");
    }
}

#[tokio::test]
async fn a_reader_made_from_the_page_alone_reads_every_record() {
    let ground = Ground::new();
    let ann = Owner::new("änn/../\u{1f600}").unwrap();
    let mut anonymous = record();
    anonymous.idle_timeout = None;
    anonymous.previous = Some(PreviousSecret {
        hash: hash(9),
        replaced_at: start(),
        accepted_until: None,
        auth_epoch: 0,
    });
    ground.created(anonymous).await;
    ground.created(full(&ann)).await;
    for bytes in (0..40).map(|n| n * 211) {
        let created = ground.created(record()).await;
        let grown = ground.grown(&created, bytes, Durability::Process).await;
        // The first of two states in a tail leaves the second no room at page 1.
        let shrunk = ground.grown(&grown, 8_000 - bytes.min(8_000), Durability::Process).await;
        ground.grown(&shrunk, bytes, Durability::Final).await;
    }
    let touched = ground.created(record()).await;
    let used_at = start() + Duration::from_millis(12_345);
    ground.store.touch(touched.id, used_at, used_at, &mut Ticket::none()).await.unwrap();
    assert_same(&ground, &[("live", 43), ("inline", 12), ("tail", 31)]).await;
}

#[tokio::test]
async fn a_reader_made_from_the_page_alone_judges_damage_alike() {
    let ground = Ground::new();
    let two_states = async || {
        let created = ground.created(record()).await;
        ground.grown(&created, 10, Durability::Process).await.id
    };
    let torn_newest = two_states().await;
    ground.change(torn_newest, |bytes| bytes[2080 + 56] ^= 1);
    let torn_older = two_states().await;
    ground.change(torn_older, |bytes| bytes[64 + 56] ^= 1);
    let torn_both = two_states().await;
    ground.change(torn_both, |bytes| (bytes[64 + 56], bytes[2080 + 56]) = (0xff, 0xff));
    let torn_head = two_states().await;
    ground.change(torn_head, |bytes| bytes[2080 + 7] ^= 1);
    let torn_word = two_states().await;
    ground.change(torn_word, |bytes| bytes[8..16].fill(0xa5));
    let final_and_torn = ground.created(record()).await;
    let final_and_torn = ground.grown(&final_and_torn, 10, Durability::Final).await;
    ground.change(final_and_torn.id, |bytes| bytes[64 + 60] ^= 1);
    let cut_tail = ground.created(record()).await;
    let cut_tail = ground.grown(&cut_tail, 9_000, Durability::Process).await;
    ground.change(cut_tail.id, |bytes| bytes.truncate(8_192));
    let ended = two_states().await;
    let bytes = fs::read(ground.file(ended)).unwrap();
    let foreign = SessionId::random().unwrap();
    fs::create_dir_all(ground.file(foreign).parent().unwrap()).unwrap();
    fs::write(ground.file(foreign), &bytes).unwrap();
    ground.change(ended, |bytes| bytes[64..120].copy_from_slice(&tombstone(ended, 3)));
    for (from, to) in [(64, 1), (2080, 2)] {
        let newer = two_states().await;
        ground.change(newer, |bytes| rewrite_head(&mut bytes[from..from + 56], to));
    }
    let newer_layout = two_states().await;
    ground.change(newer_layout, |bytes| bytes[7] = 2);
    for content in [&b""[..], &[0; 4096], &[0; 9000], &[0; 5], b"text"] {
        let husk = two_states().await;
        fs::write(ground.file(husk), content).unwrap();
    }
    let none_of_ours = two_states().await;
    ground.change(none_of_ours, |bytes| bytes[0] = b'S');
    let states = [("live", 6), ("ended", 1), ("absent", 5), ("damaged", 3), ("newer", 3)];
    assert_same(&ground, &states).await;
}

/// Turns a head into one of a newer format, where the version to claim decides nothing.
fn rewrite_head(head: &mut [u8], version: u64) {
    head[4] = 2;
    head[8..16].copy_from_slice(&version.to_le_bytes());
    let check = xxh3_64(&head[..48]);
    head[48..].copy_from_slice(&check.to_le_bytes());
}

#[tokio::test]
async fn a_reader_made_from_the_page_alone_finds_owners_and_what_falls_due() {
    let ground = Ground::new();
    let ann = Owner::new("ann").unwrap();
    let kept = ground.created(full(&ann)).await;
    let ended = ground.created(full(&ann)).await;
    ground.store.delete(ended.id, Durability::Process).await.unwrap();
    let not_before = start() - MINUTE;
    let revoked = ground.store.delete_owner(&ann, Some(kept.id), not_before, Durability::Process);
    assert_eq!(revoked.await.unwrap(), 0);
    let unwritten = format!("default/owners/{}", "0".repeat(64));
    fs::write(ground.root().join(&unwritten), "").unwrap();
    let Some(found) = theirs(&ground.root()) else { return };
    let session = sessions(&found).remove(&kept.id).unwrap();
    let with = |field: &str| found.iter().filter(|line| !line[field].is_null()).collect::<Vec<_>>();
    let [unwritten, index] = with("not_before")[..] else { panic!("one owner, and one to be") };
    assert_eq!(unwritten["not_before"], 0);
    assert_eq!(index["index"], session["index"], "the name follows from the owner");
    assert_eq!(index["not_before"].as_u64(), Some(1_767_225_540_000));
    assert_eq!(index["sessions"], json!([[kept.id.to_string(), 1_767_225_600_002_u64]]));
    let all = ground.store.list(Scope::Owner(&ann), start(), None, 10).await.unwrap().sessions;
    assert_eq!(all.len(), 1);
    let [log] = with("minute")[..] else { panic!("both fall due in one minute") };
    let due = kept.deadline().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    assert_eq!(log["minute"].as_u64(), Some(due / 60_000));
    assert_eq!(log["entries"], json!([[due, kept.id.to_string()], [due, ended.id.to_string()]]));
}

/// A value whose length tells the version it was written with: now in a slot, now in a tail.
fn payload(version: u64) -> usize {
    (version % 7) as usize * 1_900 + 2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_made_from_the_page_alone_sees_whole_states_while_others_write() {
    let ground = Arc::new(Ground::new());
    let mut written = ground.created(record()).await;
    written = ground.grown(&written, payload(2), Durability::Process).await;
    let (id, root) = (written.id.to_string(), ground.root());
    let reads = tokio::task::spawn_blocking(move || reader(&root, &[&id, "1500"]));
    while !reads.is_finished() {
        let bytes = payload(written.version.get() + 1);
        written = ground.grown(&written, bytes, Durability::Process).await;
        tokio::task::yield_now().await;
    }
    let Some(reads) = reads.await.unwrap() else { return };
    let version = |read: &Value| read["version"].as_u64().unwrap_or_else(|| panic!("{read}"));
    let versions: Vec<_> = reads.iter().map(version).collect();
    assert_eq!(versions.len(), 1_500);
    assert!(versions.is_sorted(), "a step back");
    assert!(versions[0] < versions[1_499], "nobody wrote meanwhile");
    for (read, version) in reads.iter().zip(versions) {
        let value = text(payload(version));
        assert_eq!(read["data"]["n"], std::str::from_utf8(&value).unwrap(), "{version}");
    }
}
