//! What was carried is a session of its new store like any other: listed, swept, locked and ended there.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::store::{Access, Durability, MemoryStore, Scope, Store, Updated};
use sessile::{ErrorKind, Record, SessionId};

use super::{DAY, House, IDLE, ann, next_of, read, save};

/// Sessions of ann's, carried from a memory into `new`, which is empty.
async fn moved_into(new: Arc<dyn Store>) -> (House, Vec<Record>) {
    let old = Arc::new(MemoryStore::new().with_namespace(new.namespace()));
    // Today, to the millisecond: a server that collects by its own clock must find nothing expired.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let house = House { old, new, now: UNIX_EPOCH + Duration::from_secs(since) };
    let mut moved = Vec::new();
    for number in 1..=6 {
        let mut expected = house.session(number).await;
        expected.version = expected.version.next().next();
        let seen = read(&house.carrying(), expected.id, house.now).await;
        assert_eq!(seen.as_ref(), Some(&expected));
        moved.push(expected);
    }
    (house, moved)
}

async fn listed(house: &House, scope: Scope<'_>, now: SystemTime) -> Vec<SessionId> {
    let page = house.new.list(scope, now, None, 100).await.unwrap();
    page.sessions.iter().map(|session| session.id).collect()
}

async fn is_a_session_like_any_other(new: Arc<dyn Store>) {
    let (house, moved) = moved_into(new).await;
    let ids: Vec<_> = moved.iter().map(|record| record.id).collect();
    for scope in [Scope::All, Scope::Owner(&ann())] {
        assert_eq!(listed(&house, scope, house.now).await, ids, "{scope:?}");
        let late = moved[0].deadline();
        assert_eq!(listed(&house, scope, late).await, [], "at their exact deadline: {scope:?}");
    }
    let saved = next_of(&moved[0]);
    assert_eq!(save(&*house.new, &saved, moved[0].version).await, Updated::Written);
    let stale = save(&*house.new, &saved, moved[0].version).await;
    assert_eq!(stale, Updated::Conflict(Box::new(saved)));
    is_locked_there(&house, ids[0]).await;

    assert!(house.new.delete(ids[0], Durability::Power).await.unwrap());
    assert_eq!(listed(&house, Scope::Owner(&ann()), house.now).await, ids[1..]);
    let except = Some(ids[1]);
    let revoked = house.new.delete_owner(&ann(), except, house.now, Durability::Power).await;
    assert_eq!(revoked.unwrap(), 4);
    assert_eq!(listed(&house, Scope::All, house.now).await, [ids[1]]);
    is_swept_there(&house, ids[1]).await;
}

async fn is_locked_there(house: &House, id: SessionId) {
    let lock = |wait| Access::Exclusive { wait, hold: DAY };
    let held = house.carrying().load(id, house.now, lock(IDLE)).await.unwrap().unwrap();
    let refused = house.new.load(id, house.now, lock(Duration::ZERO)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::LockTimeout);
    house.carrying().release(held.ticket).await.unwrap();
}

/// And by nobody before: what is left of the way there is nothing.
async fn is_swept_there(house: &House, id: SessionId) {
    let mut removed = Vec::new();
    for now in [house.now, house.now + 30 * DAY] {
        loop {
            let expired = house.carrying().delete_expired(now, 100).await.unwrap();
            removed.extend(expired.removed);
            if !expired.more {
                break;
            }
        }
        let is_due = now > house.now;
        assert_eq!(removed.len(), usize::from(is_due), "swept at {now:?}: {removed:?}");
    }
    assert_eq!(removed, [(id, Some(ann()))]);
}

#[tokio::test]
async fn a_carried_session_of_a_memory_is_like_any_other() {
    is_a_session_like_any_other(Arc::new(MemoryStore::new())).await;
}

#[cfg(feature = "file")]
#[tokio::test]
async fn a_carried_session_of_files_is_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = sessile::store::FileStore::open(folder.path().join("sessions")).unwrap();
    is_a_session_like_any_other(Arc::new(store)).await;
}

/// One test for each store, in a module by which it is left out where its server is missing.
#[allow(unused_macros, reason = "which features are on decides")]
macro_rules! on {
    ($store:ident, $tables:expr) => {
        mod $store {
            #[tokio::test]
            async fn a_carried_session_is_like_any_other() {
                let Some(place) = $tables else { return };
                let store = place.store("carried");
                super::is_a_session_like_any_other(std::sync::Arc::new(store)).await;
            }
        }
    };
}

#[cfg(feature = "sqlite")]
on!(on_sqlite, Some(crate::sql::places::sqlite()));
#[cfg(feature = "postgres")]
on!(on_postgres, crate::sql::places::postgres());
#[cfg(feature = "mysql")]
on!(on_mysql, crate::sql::places::mysql());
#[cfg(all(feature = "redis", feature = "conformance"))]
on!(on_redis, crate::redis::servers::single());
#[cfg(all(feature = "redis", feature = "conformance"))]
on!(on_redis_cluster, crate::redis::servers::cluster());
