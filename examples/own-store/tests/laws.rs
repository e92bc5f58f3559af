//! The journal under every law, and what no law can ask of every store.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use own_store::JournalStore;
use sessile::conformance::Place;
use sessile::store::{Access, Created, Durability, Store};
use sessile::{Record, SecretHash, SessionId};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    fn open(&self, namespace: &str) -> JournalStore {
        JournalStore::open(&self.0, namespace).expect("the journal opens")
    }

    /// Adds bytes to a journal behind the store's back.
    fn scribble(&self, namespace: &str, text: &str) {
        let path = self.0.path().join(format!("{namespace}.journal"));
        let mut file = OpenOptions::new().append(true).open(path).expect("there is a journal");
        file.write_all(text.as_bytes()).expect("it can be written");
    }
}

#[async_trait]
impl Place for Folder {
    /// Each handle reads the file for itself, as a process of its own does.
    async fn open(&self, namespace: &str) -> Arc<dyn Store> {
        Arc::new(self.open(namespace))
    }

    async fn damage(&self, namespace: &str, id: SessionId) -> bool {
        self.scribble(namespace, &format!("put {id} 00ff\n"));
        true
    }
}

mod journal {
    use super::Folder;

    sessile::conformance_laws!(Folder::new());
}

fn record() -> Record {
    let (id, hash) = (SessionId::random().expect("randomness"), SecretHash::from_bytes([7; 32]));
    let hour = Duration::from_secs(3_600);
    Record::new(id, hash, SystemTime::now(), Some(hour), 8 * hour)
}

async fn create(store: &JournalStore, record: &Record) {
    let created = store.create(record, Durability::Power).await.expect("create fails");
    assert_eq!(created, Created::New);
}

async fn load(store: &JournalStore, record: &Record) -> Option<Record> {
    let loaded = store.load(record.id, record.created_at, Access::Read).await;
    loaded.expect("load fails").map(|loaded| loaded.record)
}

#[tokio::test]
async fn a_restart_finds_what_was_acknowledged() {
    let (folder, kept, ended) = (Folder::new(), record(), record());
    let before = folder.open("app");
    create(&before, &kept).await;
    create(&before, &ended).await;
    before.delete(ended.id, Durability::Power).await.expect("delete fails");
    drop(before);
    let after = folder.open("app");
    assert_eq!(load(&after, &kept).await, Some(kept));
    assert_eq!(load(&after, &ended).await, None);
}

#[tokio::test]
async fn half_a_line_is_nothing_and_the_next_writer_cuts_it_off() {
    let (folder, first, second) = (Folder::new(), record(), record());
    create(&folder.open("app"), &first).await;
    folder.scribble("app", &format!("end {}", first.id));
    let store = folder.open("app");
    assert_eq!(load(&store, &first).await.as_ref(), Some(&first));
    create(&store, &second).await;
    let after = folder.open("app");
    assert_eq!(load(&after, &first).await, Some(first));
    assert_eq!(load(&after, &second).await, Some(second));
}

#[tokio::test]
async fn a_journal_that_cannot_be_opened_is_an_error_and_not_an_empty_store() {
    let nowhere = JournalStore::open("/nonexistent", "app").expect_err("there is no such folder");
    assert_eq!(nowhere.kind(), sessile::ErrorKind::Unavailable);
    let outside = JournalStore::open("/tmp", "../app").expect_err("that is no name");
    assert_eq!(outside.kind(), sessile::ErrorKind::Config);
}
