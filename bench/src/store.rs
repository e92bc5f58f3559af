//! A store through its public async face.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
#[cfg(feature = "stores")]
use sessile::Owner;
#[cfg(feature = "stores")]
use sessile::store::Scope;
use sessile::store::{Access, Created, Durability, FileStore, Store, Updated};
use sessile::{Record, SecretHash, SessionId};

use crate::Outcome;
use crate::rounds::{Coin, Op, an_id_per_folder, fresh_id};

const IDLE: Duration = Duration::from_secs(30 * 60);
const ABSOLUTE: Duration = Duration::from_secs(12 * 60 * 60);

/// A store with some hot records.
#[derive(Debug)]
pub(crate) struct StoreSide {
    store: Arc<dyn Store>,
    hot: Vec<SessionId>,
    spare: Vec<SessionId>,
    coin: Coin,
}

impl StoreSide {
    pub(crate) async fn open(dir: &Path) -> Outcome<Self> {
        Self::on(Arc::new(FileStore::open(dir)?)).await
    }

    pub(crate) async fn on(store: Arc<dyn Store>) -> Outcome<Self> {
        let coin = Coin::default();
        let mut side = Self { store, hot: Vec::new(), spare: Vec::new(), coin };
        for id in an_id_per_folder() {
            let record = record(id);
            side.create(&record).await?;
            side.hot.push(record.id);
        }
        Ok(side)
    }

    /// Runs one operation so many times, and adds how long each took.
    pub(crate) async fn batch(
        &mut self,
        op: Op,
        times: usize,
        took: &mut Vec<Duration>,
    ) -> Outcome {
        for _ in 0..times {
            took.push(self.run(op).await?);
        }
        Ok(())
    }

    /// What an operation needs is made ready before its time begins.
    async fn run(&mut self, op: Op) -> Outcome<Duration> {
        match op {
            Op::Load => self.timed_load().await,
            Op::LoadSave => self.timed_save(Durability::Process).await,
            Op::Rotate => self.timed_save(Durability::Final).await,
            Op::Create => self.timed_create().await,
            Op::Delete => self.timed_delete().await,
            Op::Miss => self.timed_miss().await,
        }
    }

    async fn timed_load(&mut self) -> Outcome<Duration> {
        let (id, now) = (self.hot(), SystemTime::now());
        let start = Instant::now();
        let loaded = self.store.load(id, now, Access::Read).await?.ok_or("a hot record is gone")?;
        self.store.release(loaded.ticket).await?;
        Ok(start.elapsed())
    }

    async fn timed_save(&mut self, durability: Durability) -> Outcome<Duration> {
        let (id, now) = (self.hot(), SystemTime::now());
        let start = Instant::now();
        let loaded =
            self.store.load(id, now, Access::Write).await?.ok_or("a hot record is gone")?;
        let (mut record, mut ticket) = (loaded.record, loaded.ticket);
        let expected = record.version;
        record.version = expected.next();
        if durability == Durability::Final {
            record.secret_hash = hash_of(fresh_id());
        } else {
            record.data.insert("visits", Bytes::from_static(b"1234567"));
        }
        let updated = self.store.update(&record, expected, durability, &mut ticket).await?;
        self.store.release(ticket).await?;
        let took = start.elapsed();
        if updated == Updated::Written { Ok(took) } else { Err("a save was refused".into()) }
    }

    async fn timed_create(&mut self) -> Outcome<Duration> {
        let record = record(fresh_id());
        let start = Instant::now();
        self.create(&record).await?;
        let took = start.elapsed();
        self.spare.push(record.id);
        Ok(took)
    }

    async fn timed_delete(&mut self) -> Outcome<Duration> {
        if self.spare.is_empty() {
            self.timed_create().await?;
        }
        let id = self.spare.pop().ok_or("there is nothing to delete")?;
        let start = Instant::now();
        self.store.delete(id, Durability::Process).await?;
        Ok(start.elapsed())
    }

    async fn timed_miss(&mut self) -> Outcome<Duration> {
        let (id, now) = (fresh_id(), SystemTime::now());
        let start = Instant::now();
        let found = self.store.load(id, now, Access::Write).await?;
        let took = start.elapsed();
        if found.is_none() { Ok(took) } else { Err("a fresh ID was there already".into()) }
    }

    /// Removes some sessions that ended hours ago; gives the time for each.
    #[cfg(feature = "stores")]
    pub(crate) async fn timed_sweep(&mut self) -> Outcome<Duration> {
        const EXPIRED: u32 = 32;
        for _ in 0..EXPIRED {
            let mut record = record(fresh_id());
            record.created_at -= 2 * IDLE;
            record.used_at = record.created_at;
            self.create(&record).await?;
        }
        let start = Instant::now();
        let swept = self.store.delete_expired(SystemTime::now(), 1_000).await?;
        let took = start.elapsed();
        if swept.removed.len() == EXPIRED as usize {
            Ok(took / EXPIRED)
        } else {
            Err(format!("{} of {EXPIRED} were swept", swept.removed.len()).into())
        }
    }

    /// A page of everything that a user has, a hundred sessions of so much data each: how long it takes.
    #[cfg(feature = "stores")]
    pub(crate) async fn timed_lists(&mut self, kib: usize, times: usize) -> Outcome<Vec<Duration>> {
        const SESSIONS: usize = 100;
        let owner = Owner::new(format!("{kib} {}", fresh_id()))?;
        for _ in 0..SESSIONS {
            let mut record = record(fresh_id());
            (record.owner, record.login_began_at) = (Some(owner.clone()), Some(record.created_at));
            record.data.insert("basket", Bytes::from(format!("\"{}\"", "item".repeat(kib * 256))));
            self.create(&record).await?;
        }
        let mut took = Vec::new();
        for _ in 0..times {
            let start = Instant::now();
            let page =
                self.store.list(Scope::Owner(&owner), SystemTime::now(), None, SESSIONS).await?;
            took.push(start.elapsed());
            if page.sessions.len() != SESSIONS {
                return Err(format!("{} of {SESSIONS} are listed", page.sessions.len()).into());
            }
        }
        self.store.delete_owner(&owner, None, SystemTime::now(), Durability::Process).await?;
        Ok(took)
    }

    /// Makes what `times` deletes will need.
    pub(crate) async fn prepare(&mut self, op: Op, times: usize) -> Outcome {
        while op == Op::Delete && self.spare.len() < times {
            self.timed_create().await?;
        }
        Ok(())
    }

    async fn create(&self, record: &Record) -> Outcome {
        match self.store.create(record, Durability::Process).await? {
            Created::New => Ok(()),
            other => Err(format!("a create was answered with {other:?}").into()),
        }
    }

    fn hot(&mut self) -> SessionId {
        self.hot[self.coin.below(self.hot.len())]
    }
}

/// A record of about 1 KiB: a user's name, a counter, a basket.
pub(crate) fn record(id: SessionId) -> Record {
    let now = SystemTime::now();
    let mut record = Record::new(id, hash_of(id), now, Some(IDLE), ABSOLUTE);
    record.data.insert("basket", Bytes::from(format!("\"{}\"", "item, ".repeat(130))));
    record.data.insert("name", Bytes::from_static(b"\"ann\""));
    record.data.insert("visits", Bytes::from_static(b"1234567"));
    record
}

/// The hash of a secret that nobody has.
fn hash_of(id: SessionId) -> SecretHash {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(id.as_bytes());
    SecretHash::from_bytes(bytes)
}
