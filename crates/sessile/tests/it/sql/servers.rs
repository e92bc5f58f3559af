//! What matters only where the database is a server: its time zone, its rights, its modes.

use std::time::{Duration, SystemTime};

use sessile::store::{self, Access, Durability, Expired, Store, Ticket};
use sessile::{ErrorKind, Record};

use super::every_database::{created, record};
use super::outage::on_every_server;
use super::places::{Kind, Pool, Tables};

on_every_server! {
    a_time_zone_has_no_say_in_expiry_and_locks
    a_server_that_refuses_the_user_is_a_mistake_to_mend
    a_server_that_takes_no_writes_is_unavailable
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// Three ways to set the time zone of a connection, far apart and one with summer time.
fn zones(kind: Kind) -> [&'static str; 3] {
    match kind {
        #[cfg(feature = "mysql")]
        Kind::MySql => {
            ["SET time_zone = '-09:30'", "SET time_zone = '+12:00'", "SET time_zone = 'SYSTEM'"]
        }
        _ => [
            "SET TIME ZONE 'America/New_York'",
            "SET TIME ZONE 'Asia/Tokyo'",
            "SET TIME ZONE 'Australia/Lord_Howe'",
        ],
    }
}

async fn a_time_zone_has_no_say_in_expiry_and_locks(tables: &Tables) {
    let stores = zones(tables.kind).map(|set| tables.on_pool(&Pool { set, ..Pool::of(tables) }));
    tables.execute(stores[0].1.clone()).await;
    let stores = stores.map(|(store, _)| store);
    for (turn, here) in stores.iter().enumerate() {
        let elsewhere = &stores[(turn + 1) % 3];
        let record = created(&**here, record(SystemTime::now())).await;
        for there in &stores {
            assert_ends_at_its_deadline(&**there, &record).await;
        }
        assert_locks(&**here, &**elsewhere, &record).await;
        let swept = |now| elsewhere.delete_expired(now, 10);
        let early = swept(record.deadline() - MILLISECOND).await.unwrap();
        assert_eq!(early, Expired::default());
        let removed = swept(record.deadline()).await.unwrap().removed;
        assert_eq!(removed, [(record.id, None)]);
    }
}

async fn assert_ends_at_its_deadline(store: &dyn Store, record: &Record) {
    let (deadline, none) = (record.deadline(), &mut Ticket::none());
    let load = |now| store.load(record.id, now, Access::Read);
    assert!(load(deadline - MILLISECOND).await.unwrap().is_some());
    assert!(load(deadline).await.unwrap().is_none());
    assert!(!store.touch(record.id, deadline, deadline, none).await.unwrap());
}

/// A lock excludes whoever lives elsewhere as long as it was asked for, and no longer.
async fn assert_locks(here: &dyn Store, elsewhere: &dyn Store, record: &Record) {
    let lock = |wait, hold| Access::Exclusive { wait, hold };
    let (long, short) = (Duration::from_secs(600), Duration::from_millis(50));
    let held = here.load(record.id, record.used_at, lock(short, long)).await.unwrap().unwrap();
    let refused = elsewhere.load(record.id, record.used_at, lock(short, long)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LockTimeout);
    here.release(held.ticket).await.unwrap();
    let held = here.load(record.id, record.used_at, lock(short, short)).await.unwrap().unwrap();
    let next = elsewhere.load(record.id, record.used_at, lock(long, long)).await.unwrap().unwrap();
    elsewhere.release(next.ticket).await.unwrap();
    drop(held);
}

async fn a_server_that_refuses_the_user_is_a_mistake_to_mend(tables: &Tables) {
    let url = tables.url("");
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, address) = rest.split_once('@').unwrap();
    let (server, _) = address.split_once('/').unwrap();
    for wrong in [
        format!("{scheme}://nobody:wrong@{address}"),
        format!("{scheme}://{}@{server}/none", rest.split_once('@').unwrap().0),
    ] {
        let store = store::open(&wrong).unwrap();
        let now = SystemTime::now();
        let refused = store.load(record(now).id, now, Access::Read).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config, "{refused:?}");
        assert!(refused.to_string().contains("refuses this user"), "{refused}");
        assert!(!format!("{refused:?}").contains("wrong"), "it tells the password: {refused:?}");
    }
}

async fn a_server_that_takes_no_writes_is_unavailable(tables: &Tables) {
    let set = match tables.kind {
        #[cfg(feature = "postgres")]
        Kind::Postgres => "SET default_transaction_read_only = on",
        _ => "SET SESSION TRANSACTION READ ONLY",
    };
    let (store, sql) = tables.on_pool(&Pool { set, ..Pool::of(tables) });
    tables.execute(sql).await;
    let now = SystemTime::now();
    let refused = store.create(&record(now), Durability::Process).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains("no writes"), "{refused}");
    assert!(store.load(record(now).id, now, Access::Read).await.unwrap().is_none());
}

/// PostgreSQL keeps a new row version out of every index when no indexed column changes and the page
/// has room.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn touches_and_saves_leave_the_indexes_alone() {
    const SESSIONS: usize = 200;
    let Some(tables) = super::places::postgres() else { return };
    let (store, now) = (tables.store("shop"), SystemTime::now());
    let mut records = Vec::new();
    for _ in 0..SESSIONS {
        let mut new = record(now);
        new.data.insert("fill", format!("{:?}", "x".repeat(900)).into());
        records.push(created(&*store, new).await);
    }
    for turn in 1..=4 {
        for record in &mut records {
            let used_at = now + Duration::from_secs(turn);
            store.touch(record.id, used_at, used_at, &mut Ticket::none()).await.unwrap();
            if turn % 2 == 0 {
                let expected = record.version;
                record.version = expected.next();
                record.touch(used_at);
                let none = &mut Ticket::none();
                store.update(record, expected, Durability::Process, none).await.unwrap();
            }
        }
    }
    // A connection tells what it counted when it ends.
    drop(store);
    let updates = 6 * i64::try_from(SESSIONS).unwrap();
    let hot = heap_only(&tables, updates).await;
    println!("{hot} of {updates} updates were heap-only");
    assert!(hot * 100 >= updates * 90, "{hot} of {updates} updates were heap-only");
}

/// How many updates were heap-only, once the server has counted all of them.
#[cfg(feature = "postgres")]
async fn heap_only(tables: &Tables, updates: i64) -> i64 {
    let counter = |name: &str| {
        let table = &tables.table;
        format!("SELECT {name} FROM pg_stat_user_tables WHERE relname = '{table}'")
    };
    for _ in 0..300 {
        if tables.number(counter("n_tup_upd")).await >= updates {
            return tables.number(counter("n_tup_hot_upd")).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the server never counted {updates} updates");
}

/// A save that need not wait for the disk says so for its own transaction only.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_save_without_a_sync_leaves_the_connection_as_it_was() {
    let Some(tables) = super::places::postgres() else { return };
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(&tables.url("")).await.unwrap();
    let store = store::PostgresStore::new(pool.clone()).with_table(&tables.table).unwrap();
    store.migrate().await.unwrap();
    let (now, none) = (SystemTime::now(), &mut Ticket::none());
    let record = created(&store, record(now)).await;
    assert!(store.touch(record.id, now, now, none).await.unwrap());
    let show = "SHOW synchronous_commit";
    let setting: String = sqlx::query_scalar(show).fetch_one(&pool).await.unwrap();
    assert_eq!(setting, "on");
}
