//! The store: every call is one step under the journal's lock, decided by the table.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sessile::store::{
    Access, Created, Durability, Expired, Loaded, Page, Scope, Store, Ticket, Updated,
};
use sessile::{Error, ErrorKind, Owner, Record, Result, SessionId, Version};
use tokio::time::{Instant, sleep};

use crate::entry::Entry;
use crate::journal::Journal;
use crate::table::{Decided, Table};

/// Sessions in one append-only file, which any number of processes may share.
///
/// The file only grows, and every process keeps all sessions in memory: a tutorial, not for a busy
/// site. Clones share one view of the file.
#[derive(Clone, Debug)]
pub struct JournalStore {
    shared: Arc<Shared>,
}

impl JournalStore {
    /// Opens the journal of `namespace` in a folder that exists.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the namespace is no name of lower-case letters, digits and `-`;
    /// [`ErrorKind::Unavailable`] when the file cannot be opened.
    pub fn open(folder: impl AsRef<Path>, namespace: &str) -> Result<Self> {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if namespace.is_empty() || !namespace.bytes().all(is_part) {
            let mend = "a namespace is written with lower-case letters, digits and -";
            return Err(Error::new(ErrorKind::Config, mend));
        }
        let path = folder.as_ref().join(format!("{namespace}.journal"));
        let journal = Journal::open(&path).map_err(unavailable)?;
        let view = Mutex::new(View { journal, table: Table::default() });
        Ok(Self { shared: Arc::new(Shared { namespace: namespace.to_owned(), view }) })
    }

    /// Asks again every few milliseconds: nobody could wake us from another process.
    async fn load_alone(
        &self,
        id: SessionId,
        now: SystemTime,
        (wait, hold): (Duration, Duration),
    ) -> Result<Option<Loaded>> {
        let asked_until = Instant::now() + wait.min(A_DAY);
        loop {
            if self.live(id, now)?.is_none() {
                return Ok(None);
            }
            if let Some(guard) = self.shared.try_lock(id, hold)? {
                // It may have changed or ended since: what counts is read under the lock.
                let record = self.live(id, now)?;
                return Ok(record.map(|record| Loaded { record, ticket: Ticket::new(guard) }));
            }
            if Instant::now() >= asked_until {
                return Err(Error::new(ErrorKind::LockTimeout, "the session was not free in time"));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Reads without a lock. A damaged record is refused once: its bytes stay in the journal for the
    /// operator, and the session is over.
    fn live(&self, id: SessionId, now: SystemTime) -> Result<Option<Record>> {
        let live = self.shared.look(|table| table.live(id, now))?;
        if live.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
            self.shared.change(Durability::Process, |_| Ok(((), vec![Entry::End(id)])))?;
        }
        live
    }
}

const A_DAY: Duration = Duration::from_secs(86_400);

#[async_trait]
impl Store for JournalStore {
    fn namespace(&self) -> &str {
        &self.shared.namespace
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        self.shared.change(durability, |table| table.create(record))
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        if let Access::Exclusive { wait, hold } = access {
            return self.load_alone(id, now, (wait, hold)).await;
        }
        let record = self.live(id, now)?;
        Ok(record.map(|record| Loaded { record, ticket: Ticket::none() }))
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        let place = ticket.get_mut::<Guard>().map(|guard| guard.place);
        self.shared.change(durability, |table| {
            let decided = table.update(record, expected)?;
            let lost = |place| !table.is_held(record.id, place, SystemTime::now());
            // An ended session is `Gone` to a holder too.
            match place.is_some_and(lost) && decided.0 != Updated::Gone {
                true => Ok((Updated::LockLost, vec![])),
                false => Ok(decided),
            }
        })
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        _: SystemTime,
        _: &mut Ticket,
    ) -> Result<bool> {
        self.shared.change(Durability::Process, |table| table.touch(id, used_at))
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        self.shared.change(durability, |table| Ok(table.delete(id)))
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        self.shared.change(durability, |table| Ok(table.delete_owner(owner, except, not_before)))
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        self.shared.change(Durability::Process, |table| Ok(table.delete_expired(now, limit)))
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        self.shared.look(|table| table.list(scope, now, after, limit))
    }

    async fn release(&self, ticket: Ticket) -> Result<()> {
        drop(ticket);
        Ok(())
    }
}

/// What clones of a store and their tickets share.
#[derive(Debug)]
struct Shared {
    namespace: String,
    view: Mutex<View>,
}

/// The file, and what it comes to as far as it was read.
#[derive(Debug)]
struct View {
    journal: Journal,
    table: Table,
}

impl Shared {
    /// Reads what others wrote, and looks.
    fn look<T>(&self, look: impl FnOnce(&Table) -> T) -> Result<T> {
        let mut view = self.view();
        view.catch_up().map_err(unavailable)?;
        Ok(look(&view.table))
    }

    /// Decides and writes, in one step that nobody else can come between.
    fn change<T>(
        &self,
        durability: Durability,
        decide: impl FnOnce(&Table) -> Result<Decided<T>>,
    ) -> Result<T> {
        let mut view = self.view();
        view.journal.lock().map_err(unavailable)?;
        let changed = view.change(durability, decide);
        view.journal.unlock().map_err(unavailable)?;
        changed
    }

    /// The lock, if it is free. A lease is an agreement between those who hold it in turn, and the
    /// one thing here that is measured by a clock.
    fn try_lock(self: &Arc<Self>, id: SessionId, hold: Duration) -> Result<Option<Guard>> {
        let now = SystemTime::now();
        let until = now + hold.min(A_DAY);
        if !self.change(Durability::Process, |table| Ok(table.lock(id, now, until)))? {
            return Ok(None);
        }
        let place = self.look(|table| table.lock_place(id))?;
        Ok(place.map(|place| Guard { shared: Arc::clone(self), id, place }))
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn catch_up(&mut self) -> io::Result<()> {
        for (place, entry) in self.journal.unread()? {
            self.table.apply(place, entry);
        }
        Ok(())
    }

    fn change<T>(
        &mut self,
        durability: Durability,
        decide: impl FnOnce(&Table) -> Result<Decided<T>>,
    ) -> Result<T> {
        self.catch_up().map_err(unavailable)?;
        let (decided, entries) = decide(&self.table)?;
        if !entries.is_empty() {
            let through_power_loss = durability >= Durability::Power;
            self.journal.append(&entries, through_power_loss).map_err(unavailable)?;
            self.catch_up().map_err(unavailable)?;
        }
        Ok(decided)
    }
}

/// What the ticket of an exclusive load holds. Dropped, it gives the lock back.
#[derive(Debug)]
struct Guard {
    shared: Arc<Shared>,
    id: SessionId,
    place: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let freed = vec![Entry::Free(self.id, self.place)];
        // Best effort: what cannot be given back runs out by itself.
        _ = self.shared.change(Durability::Process, |_| Ok(((), freed)));
    }
}

fn unavailable(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "cannot read or write the journal").with_source(error)
}
