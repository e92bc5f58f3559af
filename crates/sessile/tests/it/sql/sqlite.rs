//! What is SQLite's own: several processes on one file, and what each write survives.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::store::{
    self, Access, Created, Durability, Loaded, Scope, SqliteStore, Store, Updated,
};
use sessile::{ErrorKind, Record, SessionId};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Connection, SqliteConnection};

use super::every_database::{created, record};
use super::places::{self, Pool, Tables};

const URL: &str = "SESSILE_TEST_SQLITE_URL";
const ID: &str = "SESSILE_TEST_SQLITE_ID";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// Starts this very binary as another process that counts.
fn start(tables: &Tables, id: SessionId) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sql::sqlite::child", "--nocapture"])
        .env(URL, tables.url(""))
        .env(ID, id.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("child: ").map(|count| count.parse().unwrap()))
}

/// The process that other tests start. By itself it has nothing to do, and ends at once.
#[tokio::test]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let id = std::env::var(ID).unwrap().parse().unwrap();
    let store = SqliteStore::connect(&url).await.unwrap();
    println!();
    for _ in 0..100 {
        println!("child: {}", count_up(&store, id).await);
    }
}

/// Adds one to the session's count, however often others are faster.
async fn count_up(store: &SqliteStore, id: SessionId) -> u64 {
    loop {
        let Loaded { mut record, mut ticket } =
            store.load(id, now(), Access::Write).await.unwrap().unwrap();
        let count = count_of(&record) + 1;
        let expected = record.version;
        record.version = expected.next();
        record.data.insert("count", count.to_string().into());
        match store.update(&record, expected, Durability::Process, &mut ticket).await.unwrap() {
            Updated::Written => return count,
            Updated::Conflict(_) => {}
            other => panic!("a count of a live session: {other:?}"),
        }
    }
}

fn count_of(record: &Record) -> u64 {
    let json = record.data.get("count").map(|json| std::str::from_utf8(json).unwrap());
    json.map_or(0, |json| json.parse().unwrap())
}

async fn count_in(store: &SqliteStore, id: SessionId) -> u64 {
    count_of(&store.load(id, now(), Access::Read).await.unwrap().unwrap().record)
}

#[tokio::test]
async fn processes_on_one_file_lose_no_update() {
    let tables = places::sqlite();
    let store = SqliteStore::connect(&tables.url("")).await.unwrap();
    let id = created(&store, record(now())).await.id;
    let children: Vec<_> = (0..3).map(|_| start(&tables, id)).collect();
    for mut child in children {
        let counted = said(&mut child).count();
        assert!(child.wait().unwrap().success(), "after {counted} counts");
    }
    assert_eq!(count_in(&store, id).await, 300);
}

#[tokio::test]
async fn a_killed_process_loses_no_acknowledged_save() {
    let tables = places::sqlite();
    let store = SqliteStore::connect(&tables.url("")).await.unwrap();
    let id = created(&store, record(now())).await.id;
    for rounds in [1, 10, 25, 40, 60] {
        let mut child = start(&tables, id);
        let mut counts = said(&mut child);
        for _ in 0..rounds {
            counts.next().unwrap();
        }
        child.kill().unwrap();
        let acknowledged = counts.last().unwrap_or(0);
        child.wait().unwrap();
        assert!(count_in(&store, id).await >= acknowledged);
        count_up(&store, id).await;
    }
}

#[tokio::test]
async fn a_write_that_must_survive_power_loss_leaves_a_pool_as_it_was() {
    let tables = places::sqlite();
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect(&tables.url("")).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    for mode in 0..=3_i64 {
        let set = sqlx::AssertSqlSafe(format!("PRAGMA synchronous = {mode}"));
        sqlx::raw_sql(set).execute(&pool).await.unwrap();
        let record = created(&store, record(now())).await;
        assert!(store.delete(record.id, Durability::Power).await.unwrap());
        let left: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&pool).await.unwrap();
        assert_eq!(left, mode);
    }
}

#[tokio::test]
async fn a_database_that_others_keep_locked_is_unavailable() {
    let tables = places::sqlite();
    let store = SqliteStore::connect(&tables.url("")).await.unwrap();
    let store = store.with_timeout(Duration::from_millis(300));
    let record = created(&store, record(now())).await;
    let others = SqlitePoolOptions::new().connect(&tables.url("")).await.unwrap();
    let mut other = others.acquire().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *other).await.unwrap();
    let refused = store.delete(record.id, Durability::Power).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    // Readers do not wait for whoever writes.
    assert!(store.load(record.id, now(), Access::Read).await.unwrap().is_some());
    sqlx::raw_sql("ROLLBACK").execute(&mut *other).await.unwrap();
    let store = store.with_timeout(Duration::from_secs(10));
    store.delete(record.id, Durability::Power).await.unwrap();
    assert!(store.load(record.id, now(), Access::Read).await.unwrap().is_none());
}

#[tokio::test]
async fn a_first_start_waits_for_another_process_at_work_on_the_file() {
    let tables = places::sqlite();
    let mut other = SqliteConnection::connect(&tables.url("")).await.unwrap();
    let work = "BEGIN IMMEDIATE; CREATE TABLE others (id INTEGER)";
    sqlx::raw_sql(work).execute(&mut other).await.unwrap();
    let store = tables.store("shop");
    let create = async { store.create(&record(now()), Durability::Process).await };
    tokio::pin!(create);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut create).await;
    assert!(early.is_err(), "it did not wait: {early:?}");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(create.await.unwrap(), Created::New);
}

#[tokio::test]
async fn a_full_database_refuses_saves_and_still_carries_out_logouts() {
    let tables = places::sqlite();
    let (store, _) =
        tables.on_pool(&Pool { set: "PRAGMA max_page_count = 200", ..Pool::of(&tables) });
    tables.store("shop").list(Scope::All, now(), None, 1).await.unwrap();
    let stored = filled(&*store, &tables).await;
    assert!(stored.len() > 10, "only {} fit", stored.len());
    for kept in &stored {
        let there = store.load(kept.id, now(), Access::Read).await.unwrap().unwrap().record;
        assert_eq!(there, *kept, "what was acknowledged");
    }
    for ended in &stored[..stored.len() / 2] {
        assert!(store.delete(ended.id, Durability::Final).await.unwrap());
    }
    created(&*store, large()).await;
}

/// What a power loss leaves of the log that was not synced: any part of it. Whatever is missing or torn
/// there, a save is there or a state before it, and what a logout has synced is there in any case.
#[tokio::test]
async fn a_log_that_is_cut_anywhere_leaves_a_save_or_a_state_before_it() {
    let tables = places::sqlite();
    let store = SqliteStore::connect(&tables.url("")).await.unwrap();
    let (id, other) =
        (created(&store, record(now())).await.id, created(&store, record(now())).await);
    let file = tables.url("").strip_prefix("sqlite://").unwrap().to_owned();
    let log = || std::fs::read(format!("{file}-wal")).unwrap();
    for _ in 0..5 {
        count_up(&store, id).await;
    }
    assert!(store.delete(other.id, Durability::Power).await.unwrap());
    let synced = log().len();
    for _ in 0..10 {
        count_up(&store, id).await;
    }
    let (database, log) = (std::fs::read(&file).unwrap(), log());
    let mut seen = BTreeSet::new();
    for cut in (synced..=log.len()).step_by(509).chain([log.len()]) {
        seen.insert(count_after(&database, &log[..cut], id).await);
        let mut torn = log.clone();
        torn[cut.min(log.len() - 4_096)..][..4_096].fill(0);
        seen.insert(count_after(&database, &torn, id).await);
    }
    assert_eq!(seen, (5..=15).collect(), "each save was the last one left by some loss");
}

/// The session's count in a copy of a database and of its log.
async fn count_after(database: &[u8], log: &[u8], id: SessionId) -> u64 {
    let copy = places::sqlite();
    let file = copy.url("").strip_prefix("sqlite://").unwrap().to_owned();
    std::fs::write(&file, database).unwrap();
    std::fs::write(format!("{file}-wal"), log).unwrap();
    let store = SqliteStore::connect(&copy.url("")).await.unwrap();
    count_in(&store, id).await
}

/// Fills a database that may not grow any more, and gives what was acknowledged.
async fn filled(store: &dyn Store, tables: &Tables) -> Vec<Record> {
    let mut stored = Vec::new();
    for _ in 0..200 {
        let record = large();
        match store.create(&record, Durability::Final).await {
            Ok(created) => assert_eq!(created, Created::New),
            Err(full) => {
                assert_eq!(full.kind(), ErrorKind::Unavailable, "{full}");
                return stored;
            }
        }
        stored.push(record);
    }
    panic!("{} takes as much as one likes", tables.url(""));
}

fn large() -> Record {
    let mut record = record(now());
    record.data.insert("basket", format!("{:?}", "x".repeat(8_000)).into());
    record
}

#[tokio::test]
async fn a_url_says_what_the_store_is() {
    let tables = places::sqlite();
    let store = store::open(&tables.url("table=visits&namespace=shop-2&connections=3")).unwrap();
    assert_eq!(store.namespace(), "shop-2");
    assert_eq!(format!("{store:?}"), r#"SqliteStore { table: "visits", namespace: "shop-2", .. }"#);
    created(&*store, record(now())).await;
    assert_eq!(tables.number("SELECT COUNT(*) FROM visits".into()).await, 1);
}

#[tokio::test]
async fn a_url_that_is_not_understood_is_refused() {
    for (url, part) in [
        ("sqlite://app.db", "absolute path"),
        ("sqlite::memory:", "absolute path"),
        ("sqlite:///tmp/x.db?colour=red", "table, namespace, connections, mode"),
        ("sqlite:///tmp/x.db?table=A-B", "no table name"),
        ("sqlite:///tmp/x.db?namespace=A", "no namespace"),
        ("sqlite:///tmp/x.db?connections=many", "1 to 10000"),
        ("sqlite:///tmp/x.db?mode=odd", "not valid"),
    ] {
        let refused = store::open(url).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config, "{url}");
        assert!(refused.to_string().contains(part), "{url}: {refused}");
    }
}

#[test]
fn outside_of_a_runtime_a_database_is_refused_rather_than_a_panic() {
    let refused = store::open("sqlite:///tmp/x.db").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.to_string().contains("runtime"), "{refused}");
}
