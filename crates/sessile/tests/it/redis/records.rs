//! Records for tests of outages: each tells whose it is and how often it was written.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sessile::store::{Access, Durability, RedisStore, Store, Ticket, Updated};
use sessile::{Owner, Record, Result, SecretHash, SessionId};

pub(crate) fn record() -> Record {
    let (id, hash) = (SessionId::random().unwrap(), SecretHash::from_bytes([7; 32]));
    let (idle, absolute) = (Duration::from_secs(1_800), Duration::from_secs(28_800));
    let mut record = Record::new(id, hash, SystemTime::now(), Some(idle), absolute);
    record.data.insert("id", Bytes::from(format!("\"{id}\"")));
    record
}

pub(crate) fn record_of(owner: &str) -> Record {
    let mut record = record();
    record.owner = Some(Owner::new(owner).unwrap());
    record.login_began_at = Some(record.created_at);
    record
}

pub(crate) fn next_of(record: &Record) -> Record {
    let mut next = record.clone();
    next.version = record.version.next();
    next.data.insert("version", Bytes::from(next.version.to_string()));
    next
}

pub(crate) async fn load(store: &RedisStore, id: SessionId) -> Result<Option<Record>> {
    let loaded = store.load(id, SystemTime::now(), Access::Read).await?;
    Ok(loaded.map(|loaded| loaded.record))
}

pub(crate) async fn create(store: &RedisStore, record: &Record) -> Result<()> {
    store.create(record, Durability::Process).await.map(drop)
}

pub(crate) async fn update(store: &RedisStore, next: &Record, over: &Record) -> Result<Updated> {
    store.update(next, over.version, Durability::Process, &mut Ticket::none()).await
}

pub(crate) async fn delete(store: &RedisStore, id: SessionId) -> Result<bool> {
    store.delete(id, Durability::Power).await
}
