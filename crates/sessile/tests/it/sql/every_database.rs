//! What laws cannot ask, asked of every database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sessile::store::{Access, Created, Durability, Expired, Scope, Store, Ticket, Updated};
use sessile::{ErrorKind, Owner, Record, SecretHash, SessionId};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::places::Tables;

const IDLE: Duration = Duration::from_secs(60);
const ABSOLUTE: Duration = Duration::from_secs(3_600);

/// Stamps each of these as a test on every database.
macro_rules! on_every_database {
    ($($test:ident)*) => {
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&crate::sql::places::sqlite()).await;
            })*
        }

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

on_every_database! {
    many_processes_may_make_the_tables_at_once
    the_exported_sql_makes_the_tables_and_may_run_again
    the_exported_sql_is_the_one_in_the_docs
    a_store_without_tables_names_the_mend
    users_that_a_collation_would_confuse_are_different
    many_sweepers_remove_each_session_once
    what_was_used_is_put_back_in_line
    a_login_by_update_is_refused_after_the_end_of_all_sessions
    dropped_requests_leave_the_only_connection_usable
    a_damaged_record_is_set_aside_and_kept
}

pub(super) fn record(now: SystemTime) -> Record {
    let id = SessionId::random().unwrap();
    Record::new(id, SecretHash::from_bytes([7; 32]), now, Some(IDLE), ABSOLUTE)
}

fn record_of(owner: &Owner, now: SystemTime) -> Record {
    let mut record = record(now);
    (record.owner, record.login_began_at) = (Some(owner.clone()), Some(now));
    record
}

pub(super) async fn created(store: &dyn Store, record: Record) -> Record {
    let created = store.create(&record, Durability::Process).await.unwrap();
    assert_eq!(created, Created::New);
    store.load(record.id, record.used_at, Access::Read).await.unwrap().unwrap().record
}

async fn many_processes_may_make_the_tables_at_once(tables: &Tables) {
    let now = SystemTime::now();
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        let store = tables.store("shop");
        starts.spawn(async move { store.create(&record(now), Durability::Process).await });
    }
    for created in starts.join_all().await {
        assert_eq!(created.unwrap(), Created::New);
    }
    assert_eq!(
        tables.store("shop").list(Scope::All, now, None, 100).await.unwrap().sessions.len(),
        8
    );
    let versions = format!("SELECT COUNT(*) FROM {}_schema", tables.table);
    assert_eq!(tables.number(versions).await, 1);
}

async fn the_exported_sql_makes_the_tables_and_may_run_again(tables: &Tables) {
    let (store, sql) = tables.on_own_pool(2);
    tables.execute(sql.clone()).await;
    let record = created(&*store, record(SystemTime::now())).await;
    tables.execute(sql).await;
    // A store that makes its tables finds them.
    let again = tables.store("default").load(record.id, record.used_at, Access::Read).await;
    assert_eq!(again.unwrap().unwrap().record, record);
}

async fn the_exported_sql_is_the_one_in_the_docs(tables: &Tables) {
    let sql = tables.on_own_pool(1).1.replace(&tables.table, "sessile");
    let name = format!("{:?}.sql", tables.kind).to_lowercase();
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sql").join(name);
    assert_eq!(std::fs::read_to_string(&page).unwrap_or_default(), sql, "{}", page.display());
}

async fn a_store_without_tables_names_the_mend(tables: &Tables) {
    let (store, _) = tables.on_own_pool(2);
    let now = SystemTime::now();
    let refused = store.create(&record(now), Durability::Power).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.to_string().contains("migrate()"), "{refused}");
    for refused in [
        store.load(record(now).id, now, Access::Read).await.err(),
        store.delete(record(now).id, Durability::Power).await.err(),
        store.delete_expired(now, 10).await.err(),
        store.list(Scope::All, now, None, 10).await.err(),
    ] {
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Config));
    }
}

async fn users_that_a_collation_would_confuse_are_different(tables: &Tables) {
    let (store, now) = (tables.store("shop"), SystemTime::now());
    let names = ["ann", "Ann", "ANN", "änn", "a\u{308}nn", "ann ", "ann\0", "ánn", "ann%", "'ann"];
    for name in names {
        created(&*store, record_of(&Owner::new(name).unwrap(), now)).await;
    }
    for name in names {
        let owner = Owner::new(name).unwrap();
        let page = store.list(Scope::Owner(&owner), now, None, 100).await.unwrap();
        assert_eq!(page.sessions.len(), 1, "{name:?}");
        let ended = store.delete_owner(&owner, None, now, Durability::Power).await.unwrap();
        assert_eq!(ended, 1, "{name:?}");
    }
}

async fn many_sweepers_remove_each_session_once(tables: &Tables) {
    const SESSIONS: usize = 300;
    let (store, then) = (tables.store("shop"), SystemTime::now());
    for number in 0..SESSIONS {
        let owner = Owner::new(format!("user {}", number % 7)).unwrap();
        created(&*store, record_of(&owner, then)).await;
    }
    let mut sweepers = JoinSet::new();
    for _ in 0..4 {
        sweepers.spawn(sweep_all(tables.store("shop"), then + IDLE));
    }
    let mut removed = BTreeSet::new();
    for id in sweepers.join_all().await.into_iter().flatten() {
        assert!(removed.insert(id), "{id} was removed twice");
    }
    removed.extend(sweep_all(store, then + IDLE).await);
    assert_eq!(removed.len(), SESSIONS);
}

async fn sweep_all(store: Arc<dyn Store>, now: SystemTime) -> Vec<SessionId> {
    let mut ids = Vec::new();
    loop {
        let Expired { removed, more, .. } = store.delete_expired(now, 16).await.unwrap();
        ids.extend(removed.into_iter().map(|(id, _)| id));
        if !more {
            return ids;
        }
    }
}

async fn what_was_used_is_put_back_in_line(tables: &Tables) {
    let (store, then) = (tables.store("shop"), SystemTime::now());
    let record = created(&*store, record(then)).await;
    let used_at = then + IDLE / 2;
    assert!(store.touch(record.id, used_at, used_at + IDLE, &mut Ticket::none()).await.unwrap());
    let due = format!("SELECT sweep_at - absolute_deadline FROM {}", tables.table);
    let before = tables.number(due.clone()).await;
    assert_eq!(store.delete_expired(then + IDLE, 10).await.unwrap(), Expired::default());
    assert_eq!(tables.number(due).await - before, i64::try_from(IDLE.as_millis() / 2).unwrap());
    let swept = store.delete_expired(used_at + IDLE, 10).await.unwrap();
    assert_eq!(swept.removed, [(record.id, None)]);
}

async fn a_login_by_update_is_refused_after_the_end_of_all_sessions(tables: &Tables) {
    let (store, now) = (tables.store("shop"), SystemTime::now());
    let ann = Owner::new("ann").unwrap();
    store.delete_owner(&ann, None, now, Durability::Power).await.unwrap();
    let first = created(&*store, record(now)).await;
    let mut next = first.clone();
    (next.version, next.owner) = (first.version.next(), Some(ann.clone()));
    for (began_at, updated) in [
        (None, Updated::Gone),
        (Some(now), Updated::Gone),
        (Some(now + Duration::from_millis(1)), Updated::Written),
    ] {
        next.login_began_at = began_at;
        let none = &mut Ticket::none();
        let answer = store.update(&next, first.version, Durability::Process, none).await;
        assert_eq!(answer.unwrap(), updated, "{began_at:?}");
    }
    let page = store.list(Scope::Owner(&ann), now, None, 10).await.unwrap();
    assert_eq!(page.sessions.len(), 1);
}

async fn dropped_requests_leave_the_only_connection_usable(tables: &Tables) {
    let (store, sql) = tables.on_own_pool(1);
    tables.execute(sql).await;
    let now = SystemTime::now();
    let (ann, first) = (Owner::new("ann").unwrap(), created(&*store, record(now)).await);
    for micros in (0..2_000).step_by(50) {
        let patience = Duration::from_micros(micros);
        let late = record_of(&ann, now);
        let _ = timeout(patience, store.create(&late, Durability::Power)).await;
        let _ = timeout(patience, store.delete_expired(now + IDLE / 2, 10)).await;
        let _ = timeout(patience, store.delete_owner(&ann, None, now, Durability::Power)).await;
        let read = timeout(IDLE, store.load(first.id, now, Access::Read)).await.unwrap();
        assert_eq!(read.unwrap().unwrap().record, first, "after {patience:?}");
    }
}

async fn a_damaged_record_is_set_aside_and_kept(tables: &Tables) {
    let (store, now) = (tables.store("shop"), SystemTime::now());
    let damaged = created(&*store, record(now)).await;
    tables.execute(format!("UPDATE {} SET version = 7", tables.table)).await;
    let refused = store.load(damaged.id, now, Access::Read).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(store.load(damaged.id, now, Access::Read).await.unwrap().is_none());
    let aside = format!("SELECT version FROM {}", tables.table);
    assert_eq!(tables.number(aside).await, -1);
    let swept = store.delete_expired(now + IDLE, 10).await.unwrap();
    assert_eq!(swept.removed, [(damaged.id, None)]);
}
