//! What the five historic designs promised, by the numbers of their assertions.
//!
//! `docs/seeds.md` says of each number whether it is kept or changed on purpose, and names its test.
//! All of it runs on the store of plain files, through the public interface; where a design says
//! "id", a test reads "token". `requirements` does the same for `docs/threat_model.md`.

mod albatross;
mod django;
mod filehandler;
mod process;
mod prototype;
mod requirements;
mod webstack;

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use rustix::fs::FlockOperation;
use sessile::store::{
    Access, Created, Durability, FileStore, Loaded, Scope, Store, Ticket, Updated,
};
use sessile::{Client, Config, ErrorKind, Record, SecretHash, Session, SessionId, Token, Version};
use tempfile::TempDir;

use crate::engine::Place;
use crate::engine::harness::{Server, Visit, pair_of, secs};

/// Longer than the sweeper lets lie what expired.
const LONG: Duration = secs(20 * 60);

/// A directory of sessions, and a store in it.
struct Disk {
    root: TempDir,
    store: FileStore,
    place: Place,
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = open(&root.path().join("sessions"), "default");
        let place = Place::of(store.clone());
        Self { root, store, place }
    }

    fn server(&self) -> Server {
        Server::new(&self.place)
    }

    fn server_with(&self, change: impl FnOnce(&mut Config)) -> Server {
        Server::with(&self.place, change)
    }

    /// The store as another process would open it: it shares nothing with the first but the files.
    fn reopened(&self) -> FileStore {
        open(self.path(), "default")
    }

    fn path(&self) -> &Path {
        self.store.path()
    }

    /// Where the file of `id` lies, if it is there.
    fn file(&self, id: SessionId) -> PathBuf {
        let name = id.to_string();
        self.path().join("default/records").join(&name[..2]).join(name)
    }

    /// The session files.
    fn records(&self) -> Vec<PathBuf> {
        files_below(&self.path().join("default/records"))
    }

    async fn ids(&self, now: SystemTime) -> Vec<SessionId> {
        let page = self.store.list(Scope::All, now, None, 1_000).await.unwrap();
        page.sessions.iter().map(|session| session.id).collect()
    }

    /// The commit lock, taken as another process would that is about to write.
    fn commit_lock(&self, id: SessionId) -> File {
        let file = File::options().read(true).write(true).open(self.file(id)).unwrap();
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        file
    }

    /// Changes one byte of the file of `id`.
    fn damage(&self, id: SessionId, at: usize) {
        let mut bytes = std::fs::read(self.file(id)).unwrap();
        bytes[at] ^= 0x55;
        std::fs::write(self.file(id), bytes).unwrap();
    }
}

/// Where the first byte of a new record's body lies: behind the page's head and the slot's.
const BODY_AT: usize = 64 + 56;

/// Opens a store wherever tests keep their temporary files.
fn open(path: &Path, namespace: &str) -> FileStore {
    let builder = FileStore::builder(path).namespace(namespace);
    builder.allow_any_file_system(true).open().unwrap()
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    everything_below(path).into_iter().filter(|path| path.is_file()).collect()
}

/// All files and directories below, by path. What vanishes meanwhile is left out.
fn everything_below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything_below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

fn names_in(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whether the bytes hold this part anywhere.
fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn mode_of(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// An anonymous record of this ID that lives for a minute without use.
fn record(id: SessionId, now: SystemTime) -> Record {
    Record::new(id, SecretHash::from_bytes([7; 32]), now, Some(secs(60)), secs(3_600))
}

async fn created(store: &dyn Store, record: Record) -> Record {
    assert_eq!(store.create(&record, Durability::Process).await.unwrap(), Created::New);
    record
}

async fn load(store: &dyn Store, id: SessionId, now: SystemTime) -> Option<Record> {
    store.load(id, now, Access::Read).await.unwrap().map(|loaded| loaded.record)
}

/// Takes the exclusive lock, or says why not.
async fn hold(
    store: &dyn Store,
    id: SessionId,
    wait: Duration,
    hold: Duration,
) -> Result<Loaded, ErrorKind> {
    let loaded = store.load(id, SystemTime::now(), Access::Exclusive { wait, hold }).await;
    loaded.map(|live| live.expect("a live session")).map_err(|error| error.kind())
}

async fn update(store: &dyn Store, record: &Record, expected: Version) -> Updated {
    let mut ticket = Ticket::none();
    store.update(record, expected, Durability::Process, &mut ticket).await.unwrap()
}

/// The next version of `record`, with this JSON under "key".
fn next(record: &Record, json: impl Into<Bytes>) -> Record {
    let mut next = record.clone();
    next.version = record.version.next();
    next.data.insert("key", json.into());
    next
}

/// Sweeps until nothing is due; gives how many sessions went.
async fn sweep(server: &Server) -> u64 {
    let mut removed = 0;
    for _ in 0..100 {
        let swept = server.sessions.sweep(10).await.unwrap();
        removed += swept.removed;
        if !swept.more {
            break;
        }
    }
    removed
}

/// Lets the sweeper look into every directory, which takes it a day: 256 in turn, so that steps of
/// more than five and a half minutes would leave some out.
async fn sweep_for_a_day(server: &Server) {
    for _ in 0..300 {
        server.clock.advance(secs(5 * 60));
        sweep(server).await;
    }
}

fn headers(cookie: &str) -> HeaderMap {
    let value = HeaderValue::from_str(cookie).unwrap();
    (!cookie.is_empty()).then_some((COOKIE, value)).into_iter().collect()
}

/// A request from `address`; gives the browser's cookie.
async fn request_from(
    server: &Server,
    cookie: &str,
    address: [u8; 4],
    wish: impl FnOnce(&Session),
) -> String {
    let exchange = server.sessions.begin(&headers(cookie), Client::at(address));
    wish(&exchange.handle().session().await.unwrap());
    let mut response = HeaderMap::new();
    exchange.finish(StatusCode::OK, &mut response).await.unwrap();
    response.get(SET_COOKIE).map_or_else(|| cookie.to_owned(), pair_of)
}

/// Answers 200; gives all of the response's headers.
async fn headers_of(visit: Visit) -> HeaderMap {
    let mut response = HeaderMap::new();
    visit.exchange.finish(StatusCode::OK, &mut response).await.unwrap();
    response
}

/// The Set-Cookie header, whole.
fn set_cookie(response: &HeaderMap) -> &str {
    response[SET_COOKIE].to_str().unwrap()
}

/// A well-formed token that was given to nobody.
fn foreign_cookie() -> String {
    format!("__Host-session={}", Token::random().unwrap().reveal())
}

async fn rotate(server: &Server, cookie: &str) -> String {
    let visit = server.visit(cookie).await;
    visit.session.rotate().unwrap();
    visit.finish().await.unwrap().expect("a rotation sets a cookie")
}

async fn log_out(server: &Server, cookie: &str) {
    let visit = server.visit(cookie).await;
    visit.session.invalidate().unwrap();
    visit.finish().await.unwrap();
}

fn count(session: &Session) -> u64 {
    session.update("count", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap()
}
