//! A server whose disk is full.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use sessile::store::{self, Access, Created, Durability, Store, Ticket, Updated};
use sessile::{ErrorKind, Record};

use super::every_database::record;
use super::own::{Own, succeed};

/// A disk in memory, mounted as long as this lives.
#[derive(Debug)]
pub(super) struct Disk {
    at: std::path::PathBuf,
}

impl Disk {
    /// Mounts a small disk in the place of a folder, as its owner's; `None` where that is forbidden,
    /// and then the test is skipped.
    pub(super) fn small(at: &Path, owner: &str, mib: u32) -> Option<Self> {
        let options = format!("size={mib}m,uid={owner},mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at);
        match mount.output() {
            Ok(done) if done.status.success() => Some(Self { at: at.to_owned() }),
            done => {
                println!("skipped: nothing can be mounted here: {done:?}");
                None
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: what a killed server leaves behind goes a moment later.
        succeed(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

/// A file that takes what the disk has left, but for so many bytes.
fn fill(server: &Own, left: u64) -> std::path::PathBuf {
    let ballast = server.folder.path().join("ballast");
    let words = ["--output=avail", "--block-size=1"];
    let said = Command::new("df").args(words).arg(server.folder.path()).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let free: u64 = said.lines().nth(1).unwrap().trim().parse().unwrap();
    let size = free.checked_sub(left).expect("the disk has room for the server itself");
    succeed(Command::new("fallocate").args(["--length", &size.to_string()]).arg(&ballast));
    ballast
}

/// Much more than what a server keeps free in its files, and random: nothing makes it smaller.
fn large() -> Record {
    let mut record = record(SystemTime::now());
    let mut text = String::from("\"");
    for _ in 0..1_000 {
        text.push_str(&sessile::SessionId::random().unwrap().to_string());
    }
    record.data.insert("basket", (text + "\"").into());
    record
}

async fn load(store: &dyn Store, known: &Record) -> sessile::Result<Option<Record>> {
    let loaded = store.load(known.id, known.used_at, Access::Read).await?;
    Ok(loaded.map(|loaded| loaded.record))
}

/// Saves until one is refused; gives what was acknowledged.
async fn fill_by_saves(store: &dyn Store) -> Vec<Record> {
    let mut stored = Vec::new();
    for _ in 0..3_000 {
        let record = large();
        match store.create(&record, Durability::Power).await {
            Ok(created) => assert_eq!(created, Created::New),
            Err(full) => {
                assert_eq!(full.kind(), ErrorKind::Unavailable, "{full:?}");
                println!("refused behind {} sessions: {full:?}", stored.len());
                return stored;
            }
        }
        stored.push(record);
    }
    panic!("the disk takes as much as one likes");
}

/// Waits for a server that comes back by itself, or starts it.
async fn back(server: &mut Own, store: &dyn Store, known: &Record) {
    if load(store, known).await.is_err() {
        server.kill();
        server.start().await;
    }
    for _ in 0..200 {
        if load(store, known).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no recovery");
}

async fn a_full_disk_refuses_saves_and_loses_nothing_acknowledged(mut server: Own) {
    let store = store::open(&server.url()).unwrap();
    let first = large();
    assert_eq!(store.create(&first, Durability::Power).await.unwrap(), Created::New);
    let ballast = fill(&server, 4 << 20);
    let mut stored = fill_by_saves(&*store).await;
    stored.push(first);
    // A logout is carried out, or an error that says so; it is never half of either.
    let ended = stored.split_off(stored.len() - 10);
    let (mut errors, mut acknowledged) = (Vec::new(), Vec::new());
    for record in &ended {
        if errors.len() == 2 {
            // Each of them may take as long as anyone waits for a server that is gone.
            break;
        }
        match store.delete(record.id, Durability::Power).await {
            Ok(was_there) => {
                assert!(was_there);
                acknowledged.push(record);
            }
            Err(error) => errors.push(error),
        }
    }
    println!("{} of {} logouts failed: {:?}", errors.len(), ended.len(), errors.first());
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Unavailable), "{errors:?}");
    std::fs::remove_file(ballast).unwrap();
    back(&mut server, &*store, &stored[0]).await;
    for record in acknowledged {
        assert_eq!(load(&*store, record).await.unwrap(), None, "an acknowledged logout");
    }
    for record in &ended {
        store.delete(record.id, Durability::Power).await.unwrap();
        assert_eq!(load(&*store, record).await.unwrap(), None, "once there is space");
    }
    for record in &stored {
        assert_eq!(load(&*store, record).await.unwrap().as_ref(), Some(record), "acknowledged");
        let (mut next, none) = (record.clone(), &mut Ticket::none());
        next.version = record.version.next();
        let saved = store.update(&next, record.version, Durability::Power, none).await;
        assert_eq!(saved.unwrap(), Updated::Written, "once there is space");
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_disk_refuses_saves_and_loses_nothing_acknowledged() {
        let Some(server) = crate::sql::own::postgres_on_a_small_disk(160).await else { return };
        super::a_full_disk_refuses_saves_and_loses_nothing_acknowledged(server).await;
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_disk_refuses_saves_and_loses_nothing_acknowledged() {
        let Some(server) = crate::sql::own::mariadb_on_a_small_disk(200).await else { return };
        super::a_full_disk_refuses_saves_and_loses_nothing_acknowledged(server).await;
    }
}
