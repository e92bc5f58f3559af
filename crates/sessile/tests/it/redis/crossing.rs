//! Futures dropped at every moment, on connections that others use on: no answer reaches anybody but
//! who asked.

use std::sync::Arc;
use std::time::Duration;

use sessile::store::{RedisStore, Updated};
use sessile::{ErrorKind, Record, SessionId};
use tokio::task::JoinSet;

use super::own;
use super::proxy::{Mood, Proxy};
use super::records::{create, load, next_of, record, update};

const SESSIONS: usize = 32;
const READERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_crosses_to_another_request() {
    let Some(server) = own::server(&["--appendfsync", "no"]) else { return };
    let proxy = Proxy::before(server.port).await;
    let timeout = Duration::from_secs(2);
    let store = RedisStore::builder(&proxy.url()).timeout(timeout).open().unwrap();
    let sessions: Arc<[Record]> = (0..SESSIONS).map(|_| record()).collect();
    for session in &*sessions {
        create(&store, session).await.unwrap();
    }
    proxy.set(Mood::Delay);
    let mut tasks = JoinSet::new();
    for seed in 0..READERS {
        tasks.spawn(read_and_drop(store.clone(), Arc::clone(&sessions), seed));
    }
    for breach in [Mood::Cut, Mood::Truncate, Mood::Cut] {
        tokio::time::sleep(Duration::from_millis(150)).await;
        proxy.set(breach);
        tokio::time::sleep(Duration::from_millis(20)).await;
        proxy.set(Mood::Delay);
    }
    let read: usize = tasks.join_all().await.into_iter().sum();
    assert!(read > READERS * 50, "only {read} answers came");
    assert!(proxy.accepted() > 1, "no connection broke");
}

/// Reads and writes sessions by turns and drops some of the futures, each a little later than the
/// last; gives how many answers came, each of them checked.
async fn read_and_drop(store: RedisStore, sessions: Arc<[Record]>, seed: usize) -> usize {
    let mut answers = 0;
    for turn in 0..300 {
        let session = &sessions[(seed * 7 + turn) % SESSIONS];
        let patience = Duration::from_micros(200 * (turn as u64 % 40));
        let asked = async {
            if turn % 5 == 0 {
                write(&store, session.id).await
            } else {
                read(&store, session.id).await
            }
        };
        if turn % 3 == 0 {
            _ = tokio::time::timeout(patience, asked).await;
        } else {
            answers += usize::from(asked.await);
        }
    }
    answers
}

async fn read(store: &RedisStore, id: SessionId) -> bool {
    match load(store, id).await {
        Ok(seen) => assert_own(&seen.expect("the session is live"), id),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
    }
    true
}

async fn write(store: &RedisStore, id: SessionId) -> bool {
    let Ok(Some(seen)) = load(store, id).await else { return false };
    assert_own(&seen, id);
    match update(store, &next_of(&seen), &seen).await {
        Ok(Updated::Written) => {}
        Ok(Updated::Conflict(current)) => assert_own(&current, id),
        Ok(other) => panic!("a live session: {other:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
    }
    true
}

fn assert_own(record: &Record, id: SessionId) {
    let written = format!("\"{id}\"");
    assert_eq!(record.id, id, "another session's answer");
    assert_eq!(record.data.get("id").map(|json| &json[..]), Some(written.as_bytes()));
}
