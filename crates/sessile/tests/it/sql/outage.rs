//! What a store says while its server cannot be reached, and how it comes back.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sessile::store::{Access, Durability, Scope, Store, Ticket, Updated};
use sessile::{ErrorKind, Owner, Record, Result};

use super::every_database::{created, record};
use super::places::{Pool, Tables};
use super::proxy::{Network, Proxy};

/// Stamps each of these as a test on every server.
macro_rules! on_every_server {
    ($($test:ident)*) => {
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(tables) = crate::sql::places::postgres() else { return };
                super::$test(&tables).await;
            })*
        }

        #[cfg(feature = "mysql")]
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(tables) = crate::sql::places::mysql() else { return };
                super::$test(&tables).await;
            })*
        }
    };
}
pub(super) use on_every_server;

on_every_server! {
    an_outage_is_unavailable_and_ends_without_a_restart
    a_server_that_says_nothing_is_unavailable_in_time
    an_answer_that_is_lost_is_an_error_and_nothing_is_torn
    an_exhausted_pool_is_unavailable
    work_that_takes_too_long_leaves_no_transaction_open
}

const TIMEOUT: Duration = Duration::from_millis(400);

/// A store behind a network that can fail, and a session that was there before.
async fn behind_a_proxy(tables: &Tables, connections: u32) -> (Proxy, Arc<dyn Store>, Record) {
    let proxy = Proxy::before(&tables.url("")).await;
    let pool = Pool { url: proxy.url.clone(), connections, timeout: TIMEOUT, ..Pool::of(tables) };
    let (store, sql) = tables.on_pool(&pool);
    tables.execute(sql).await;
    let record = created(&*store, record(SystemTime::now())).await;
    (proxy, store, record)
}

fn next_of(record: &Record) -> Record {
    let mut next = record.clone();
    next.version = record.version.next();
    next.data.insert("saved", "true".into());
    next
}

/// Every operation, each with its own name.
async fn all_operations(store: &dyn Store, known: &Record) -> Vec<(&'static str, Result<()>)> {
    let (now, none) = (known.used_at, &mut Ticket::none());
    let (id, ann) = (known.id, Owner::new("ann").unwrap());
    let exclusive = Access::Exclusive { wait: Duration::ZERO, hold: TIMEOUT };
    let power = Durability::Power;
    vec![
        ("create", store.create(&record(now), power).await.map(drop)),
        ("load", store.load(id, now, Access::Read).await.map(drop)),
        ("lock", store.load(id, now, exclusive).await.map(drop)),
        ("update", store.update(&next_of(known), known.version, power, none).await.map(drop)),
        ("touch", store.touch(id, now, now, none).await.map(drop)),
        ("delete", store.delete(record(now).id, power).await.map(drop)),
        ("delete_owner", store.delete_owner(&ann, None, now, power).await.map(drop)),
        ("delete_expired", store.delete_expired(now, 10).await.map(drop)),
        ("list", store.list(Scope::All, now, None, 10).await.map(drop)),
    ]
}

async fn an_outage_is_unavailable_and_ends_without_a_restart(tables: &Tables) {
    let (proxy, store, record) = behind_a_proxy(tables, 2).await;
    for _ in 0..3 {
        proxy.set(Network::Cut);
        for (name, done) in all_operations(&*store, &record).await {
            let kind = done.err().map(|error| error.kind());
            assert_eq!(kind, Some(ErrorKind::Unavailable), "{name} during an outage");
        }
        proxy.set(Network::Works);
        let seen = store.load(record.id, record.used_at, Access::Read).await.unwrap();
        assert_eq!(seen.unwrap().record, record, "after the outage");
    }
}

async fn a_server_that_says_nothing_is_unavailable_in_time(tables: &Tables) {
    let (proxy, store, record) = behind_a_proxy(tables, 1).await;
    proxy.set(Network::Silent);
    for (name, done) in all_operations(&*store, &record).await {
        let kind = done.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::Unavailable), "{name} during the silence");
    }
    let asked = Instant::now();
    assert!(store.load(record.id, record.used_at, Access::Read).await.is_err());
    assert!(asked.elapsed() < 4 * TIMEOUT, "it waited for {:?}", asked.elapsed());
    proxy.set(Network::Works);
    let seen = store.load(record.id, record.used_at, Access::Read).await.unwrap();
    assert_eq!(seen.unwrap().record.id, record.id, "after the silence");
}

async fn an_answer_that_is_lost_is_an_error_and_nothing_is_torn(tables: &Tables) {
    let (proxy, store, mut record) = behind_a_proxy(tables, 1).await;
    for round in 0..5 {
        let next = next_of(&record);
        proxy.set(Network::CutsAnswers);
        let none = &mut Ticket::none();
        let lost = store.update(&next, record.version, Durability::Power, none).await;
        assert_eq!(lost.unwrap_err().kind(), ErrorKind::Unavailable, "round {round}");
        proxy.set(Network::Works);
        let seen = store.load(record.id, record.used_at, Access::Read).await.unwrap();
        let seen = seen.unwrap().record;
        assert!(seen == record || seen == next, "neither the old state nor the new one: {seen:?}");
        let next = next_of(&seen);
        let none = &mut Ticket::none();
        let saved = store.update(&next, seen.version, Durability::Process, none);
        assert_eq!(saved.await.unwrap(), Updated::Written);
        record = next;
    }
}

async fn an_exhausted_pool_is_unavailable(tables: &Tables) {
    let (proxy, store, record) = behind_a_proxy(tables, 1).await;
    // The only connection hangs in a request of somebody else.
    proxy.set(Network::Silent);
    let (busy, id, now) = (Arc::clone(&store), record.id, record.used_at);
    let hanging = tokio::spawn(async move { busy.load(id, now, Access::Read).await });
    let waiting = store.load(id, now, Access::Read).await.unwrap_err();
    assert_eq!(waiting.kind(), ErrorKind::Unavailable);
    assert!(hanging.await.unwrap().is_err());
    proxy.set(Network::Works);
    assert!(store.load(id, now, Access::Read).await.unwrap().is_some());
}

async fn work_that_takes_too_long_leaves_no_transaction_open(tables: &Tables) {
    let pool = Pool { connections: 1, timeout: TIMEOUT, ..Pool::of(tables) };
    let (store, sql) = tables.on_pool(&pool);
    tables.execute(sql).await;
    let now = SystemTime::now();
    let mut login = record(now);
    (login.owner, login.login_began_at) = (Some(Owner::new("ann").unwrap()), Some(now));
    let login = created(&*store, login).await;
    let other = format!("BEGIN; UPDATE {}_owners SET not_before = -1", tables.table);
    let other = tables.begin(other).await;
    let mut late = login.clone();
    late.id = record(now).id;
    let refused = store.create(&late, Durability::Power).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    drop(other);
    // Within a transaction that nobody ends, this would be seen by nobody else.
    let (next, none) = (next_of(&login), &mut Ticket::none());
    let saved = store.update(&next, login.version, Durability::Process, none).await;
    assert_eq!(saved.unwrap(), Updated::Written);
    let seen = tables.store("default").load(login.id, now, Access::Read).await.unwrap();
    assert_eq!(seen.unwrap().record, next);
}
