//! The process to which things happen: a real store, doing what it is told, or as it likes.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::PTracer;
use sessile::store::{
    Access, Created, Durability, FileStore, Loaded, Scope, Store, Ticket, Updated,
};
use sessile::{Error, ErrorKind, Owner, Record, Result, SessionId, Version};

use crate::deed::{Answer, Deed, Order, Said, Sight, Stamp, monotonic_ns, wall_ms};
use crate::records;
use crate::roam::Roamer;

/// More sessions than any part makes.
const MANY: usize = 100_000;

/// Longer than any other holds the lock, if only its death frees it.
const ALONE: Access =
    Access::Exclusive { wait: Duration::from_secs(20), hold: Duration::from_secs(60) };

/// How often a login tries again to mark a session that others write to.
const MARKS_MAX: usize = 100;

/// Does what it reads from standard input, until that ends.
pub(crate) fn serve(root: &Path) {
    let mut worker = Worker::new(root);
    worker.say_hello();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the driver holds the other end");
        let order = serde_json::from_str(&line).expect("the driver sends orders");
        worker.answer(&order);
    }
}

/// Does what a seed says until it is killed, and tells of everything before and after.
pub(crate) fn roam(root: &Path, seed: u64, name: u64) {
    let mut worker = Worker::new(root);
    worker.say_hello();
    let mut roamer = Roamer::new(seed, name);
    if worker.tell(&Order { now_ms: wall_ms(), deed: Deed::Open }) != Answer::Opened {
        return;
    }
    loop {
        roamer.meet(worker.ids());
        for _ in 0..50 {
            let order = roamer.choose();
            let answer = worker.tell(&order);
            roamer.learn(&order.deed, &answer);
        }
    }
}

/// One line, in one write: a kill leaves it whole in the pipe, or out of it.
fn say(said: &Said) {
    let mut line = serde_json::to_string(said).expect("what is said is plain data");
    line.push('\n');
    let said = std::io::stdout().lock().write_all(line.as_bytes());
    // Without a driver there is nobody to work for.
    if said.is_err() {
        std::process::exit(0);
    }
}

struct Worker {
    root: PathBuf,
    store: Option<FileStore>,
    runtime: tokio::runtime::Runtime,
}

impl Worker {
    /// With one thread for what may wait, calls are counted on two threads and no more.
    fn new(root: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .thread_keep_alive(Duration::from_secs(3600))
            .build()
            .expect("a process can have one more thread");
        Self { root: root.to_owned(), store: None, runtime }
    }

    fn say_hello(&self) {
        // Where only parents may trace, the driver's tracer is no parent of ours.
        let _ = rustix::process::set_ptracer(PTracer::Any);
        let pool = self.runtime.block_on(async { tokio::task::spawn_blocking(thread_id).await });
        let pool = pool.expect("looking up a number does not panic");
        say(&Said::Hello { main: thread_id(), pool });
    }

    /// Does something, and says so before and after.
    fn tell(&mut self, order: &Order) -> Answer {
        say(&Said::Begins { order: order.clone(), at_ns: monotonic_ns() });
        self.answer(order)
    }

    fn answer(&mut self, order: &Order) -> Answer {
        let begun_ns = monotonic_ns();
        let answer = self.perform(order);
        say(&Said::Answers { answer: answer.clone(), begun_ns, at_ns: monotonic_ns() });
        answer
    }

    fn perform(&mut self, order: &Order) -> Answer {
        let done = match &order.deed {
            Deed::Open => self.open(),
            _ => self.runtime.block_on(self.on_store(order)),
        };
        done.unwrap_or_else(|error| failed(&error))
    }

    fn open(&mut self) -> Result<Answer> {
        let builder = FileStore::builder(&self.root).allow_any_file_system(true);
        self.store = Some(builder.open()?);
        Ok(Answer::Opened)
    }

    async fn on_store(&self, order: &Order) -> Result<Answer> {
        let Some(store) = &self.store else {
            return Err(Error::new(ErrorKind::Closed, "the directory was not opened"));
        };
        perform(store, order).await
    }

    /// The sessions that are there, as far as the store can tell at the moment.
    fn ids(&self) -> Vec<SessionId> {
        let Some(store) = &self.store else { return vec![] };
        let now = records::at(wall_ms());
        let page = self.runtime.block_on(store.list(Scope::All, now, None, 60));
        page.map_or(vec![], |page| page.sessions.iter().map(|session| session.id).collect())
    }
}

/// The number of the thread that asks, as tracers know it.
fn thread_id() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let number = link.file_name().and_then(|name| name.to_str()?.parse().ok());
    number.unwrap_or_else(std::process::id)
}

fn failed(error: &Error) -> Answer {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    Answer::Failed { kind: format!("{:?}", error.kind()), why: format!("{error}: {source}") }
}

async fn perform(store: &FileStore, order: &Order) -> Result<Answer> {
    let now = records::at(order.now_ms);
    match order.deed.clone() {
        Deed::Open => Ok(Answer::Opened),
        Deed::Create { id, stamp, bytes, durability, owner, expired } => {
            let mut record = records::first(id, stamp, bytes, now, expired);
            belong(&mut record, owner);
            Ok(created(store.create(&record, durability).await?))
        }
        Deed::Save { id, stamp, bytes, durability, exclusive } => {
            let access = if exclusive { ALONE } else { Access::Write };
            let next = |record: &Record| records::next(record, stamp, bytes);
            save(store, id, order, access, durability, next).await
        }
        Deed::Touch { id } => touch(store, id, order).await,
        Deed::Login { old, new, stamp, mark, owner } => {
            let mut record = records::first(new, stamp, 700, now, false);
            belong(&mut record, Some(owner));
            let created = created(store.create(&record, Durability::Power).await?);
            let Answer::Wrote { .. } = created else { return Ok(created) };
            put_mark(store, old, order, mark).await
        }
        Deed::Delete { id } => store.delete(id, Durability::Power).await.map(|_| Answer::Ended),
        Deed::Revoke { owner } => {
            store.delete_owner(&owner, None, now, Durability::Power).await.map(|_| Answer::Ended)
        }
        Deed::Sweep => {
            let expired = store.delete_expired(now, MANY).await?;
            Ok(Answer::Swept { removed: expired.removed.into_iter().map(|(id, _)| id).collect() })
        }
        Deed::Look { id } => match store.load(id, now, Access::Read).await {
            Ok(Some(loaded)) => Ok(Answer::Saw(records::sight(&loaded.record))),
            Ok(None) => Ok(Answer::Saw(Sight::Absent)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Answer::Saw(Sight::Damaged)),
            Err(error) => Err(error),
        },
        Deed::List { owner } => {
            let page = store.list(Scope::Owner(&owner), now, None, MANY).await?;
            Ok(Answer::Listed { ids: page.sessions.iter().map(|it| it.id).collect() })
        }
    }
}

/// A login makes a record somebody's.
fn belong(record: &mut Record, owner: Option<Owner>) {
    if let Some(owner) = owner {
        record.owner = Some(owner);
        record.authenticated_at = Some(record.created_at);
        record.login_began_at = Some(record.created_at);
    }
}

fn created(created: Created) -> Answer {
    match created {
        Created::New => Answer::Wrote { version: Version::FIRST.get() },
        Created::Revoked => Answer::Revoked,
        _ => Answer::Refused,
    }
}

/// One load and one update, as one request makes them.
async fn save(
    store: &FileStore,
    id: SessionId,
    order: &Order,
    access: Access,
    durability: Durability,
    next: impl Fn(&Record) -> Record,
) -> Result<Answer> {
    let loaded = store.load(id, records::at(order.now_ms), access).await?;
    let Some(Loaded { record, mut ticket }) = loaded.filter(|it| !it.record.superseded) else {
        return Ok(Answer::Gone);
    };
    let next = next(&record);
    let version = next.version.get();
    match store.update(&next, record.version, durability, &mut ticket).await? {
        Updated::Written => Ok(Answer::Wrote { version }),
        Updated::Gone => Ok(Answer::Gone),
        _ => Ok(Answer::Refused),
    }
}

async fn touch(store: &FileStore, id: SessionId, order: &Order) -> Result<Answer> {
    let now = records::at(order.now_ms);
    let Some(loaded) = store.load(id, now, Access::Read).await? else { return Ok(Answer::Gone) };
    let deadline = now + loaded.record.idle_timeout.unwrap_or_default();
    let touched = store.touch(id, now, deadline, &mut Ticket::none()).await?;
    Ok(if touched { Answer::Touched } else { Answer::Gone })
}

async fn put_mark(
    store: &FileStore,
    old: SessionId,
    order: &Order,
    stamp: Stamp,
) -> Result<Answer> {
    let mark = |record: &Record| records::mark(record, stamp);
    for _ in 0..MARKS_MAX {
        match save(store, old, order, Access::Write, Durability::Final, mark).await? {
            Answer::Refused => {}
            Answer::Wrote { version } => return Ok(Answer::LoggedIn { marked: Some(version) }),
            _ => return Ok(Answer::LoggedIn { marked: None }),
        }
    }
    Err(Error::new(ErrorKind::Contended, "others kept writing to the session of a login"))
}
