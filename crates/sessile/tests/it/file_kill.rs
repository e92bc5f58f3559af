//! What is left of the file store's promises when a process is killed: all of them.
//!
//! The test binary starts itself as the process to kill; [`child`] is what runs there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::store::{Access, Durability, FileStore, Loaded, Store, Updated};
use sessile::{Record, SecretHash, SessionId};

const ROOT: &str = "SESSILE_TEST_KILL_ROOT";
const ID: &str = "SESSILE_TEST_KILL_ID";
const ROLE: &str = "SESSILE_TEST_KILL_ROLE";

const MINUTE: Duration = Duration::from_secs(60);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn open(root: &Path) -> FileStore {
    FileStore::builder(root).allow_any_file_system(true).open().unwrap()
}

async fn create(store: &FileStore) -> SessionId {
    let id = SessionId::random().unwrap();
    let hash = SecretHash::from_bytes([5; 32]);
    let record = Record::new(id, hash, now(), None, MINUTE);
    store.create(&record, Durability::Process).await.unwrap();
    id
}

/// A payload whose every byte follows from its version, now in a slot, now in a tail.
fn payload(version: u64) -> Vec<u8> {
    vec![(version % 251) as u8; 1 + (version % 5) as usize * 1_500]
}

/// Starts this very binary in a role, and gives the lines it says.
fn start(role: &str, root: &Path, id: SessionId) -> (Child, impl Iterator<Item = String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "file_kill::child", "--nocapture"])
        .env(ROOT, root)
        .env(ID, id.to_string())
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.filter_map(|line| line.strip_prefix("child: ").map(str::to_owned));
    (child, said)
}

/// The process that other tests start and kill. By itself it has no role, and ends at once.
#[tokio::test]
async fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let id = std::env::var(ID).unwrap().parse().unwrap();
    let store = open(Path::new(&root));
    match std::env::var(ROLE).unwrap().as_str() {
        "save" => save_forever(&store, id).await,
        _ => hold_forever(&store, id).await,
    }
}

async fn save_forever(store: &FileStore, id: SessionId) {
    println!();
    loop {
        let Loaded { mut record, mut ticket } =
            store.load(id, now(), Access::Write).await.unwrap().unwrap();
        let expected = record.version;
        record.version = expected.next();
        record.data.insert("n", payload(record.version.get()).into());
        let updated = store.update(&record, expected, Durability::Process, &mut ticket).await;
        assert_eq!(updated.unwrap(), Updated::Written);
        println!("child: {}", record.version);
    }
}

async fn hold_forever(store: &FileStore, id: SessionId) {
    let access = Access::Exclusive { wait: MINUTE, hold: 60 * MINUTE };
    let held = store.load(id, now(), access).await.unwrap().unwrap();
    println!("\nchild: locked");
    std::future::pending::<()>().await;
    drop(held);
}

#[tokio::test]
async fn a_killed_writer_loses_no_acknowledged_save_and_tears_none() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("root"));
    let id = create(&store).await;
    for round in 0..10 {
        let (mut child, mut said) = start("save", store.path(), id);
        for _ in 0..50 + round * 7 {
            said.next().unwrap();
        }
        child.kill().unwrap();
        let acknowledged: u64 = said.last().map_or(0, |version| version.parse().unwrap());
        child.wait().unwrap();
        let left = store.load(id, now(), Access::Read).await.unwrap().unwrap().record;
        assert!(left.version.get() >= acknowledged);
        assert_eq!(left.data.get("n").unwrap()[..], payload(left.version.get()));
    }
}

#[tokio::test]
async fn the_exclusive_lock_is_free_once_its_holder_is_killed() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("root"));
    let id = create(&store).await;
    let (mut child, mut said) = start("hold", store.path(), id);
    assert_eq!(said.next().unwrap(), "locked");
    let at_once = Access::Exclusive { wait: Duration::ZERO, hold: MINUTE };
    assert!(store.load(id, now(), at_once).await.is_err());

    let patiently = Access::Exclusive { wait: MINUTE, hold: MINUTE };
    let waiter = store.clone();
    let waiter = tokio::spawn(async move { waiter.load(id, now(), patiently).await });
    tokio::task::yield_now().await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(waiter.await.unwrap().unwrap().is_some());
}
