//! What the file store does beyond the laws of every store: slots, tails, damage, locks, the root.

mod clean_up;
mod contract;
mod damage;
mod exclusive;
mod mend;
mod owners;
mod root;
mod slots;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sessile::store::file::FileStoreBuilder;
use sessile::store::{Access, Created, Durability, FileStore, Loaded, Store, Ticket, Updated};
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

/// A whole second, this one or later, at which the patrol comes to the directory of `id`.
fn patrol_at(id: SessionId, from: SystemTime) -> SystemTime {
    const WATCH: u64 = 24 * 60 * 60 * 1000 / 256;
    let from_ms = from.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    // Each round of 256 begins one directory earlier than the one before.
    let turn = |watch: &u64| (*watch - *watch / 256) as u8 == id.as_bytes()[0];
    let first = from_ms.div_ceil(WATCH);
    let watch = (first..first + 2 * 256).find(turn).unwrap();
    UNIX_EPOCH + Duration::from_secs((watch * WATCH).div_ceil(1000))
}

fn exclusively(hold: Duration) -> Access {
    Access::Exclusive { wait: Duration::ZERO, hold }
}

/// Built by the book, as `docs/file_format.md` describes it.
pub(crate) fn tombstone(id: SessionId, version: u64) -> [u8; 56] {
    let mut head = [0; 56];
    head[..8].copy_from_slice(b"sess\x01\0\x01\0");
    head[8..16].copy_from_slice(&version.to_le_bytes());
    head[16..32].copy_from_slice(id.as_bytes());
    head[40..48].copy_from_slice(&xxh3_64(b"").to_le_bytes());
    let check = xxh3_64(&head[..48]);
    head[48..].copy_from_slice(&check.to_le_bytes());
    head
}
