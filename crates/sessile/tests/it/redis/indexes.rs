//! The indexes: what is left behind by a crash is a ghost, healed late and never too early.

use std::time::{Duration, SystemTime};

use redis::Cmd;
use sessile::store::{Durability, Expired, RedisStore, Scope, Store, Updated};
use sessile::{Owner, SessionId};

use super::records::{create, delete, load, next_of, record, record_of, update};
use super::servers::{self, Corner};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn owner_key(corner: &Corner) -> String {
    let found = corner.keys().into_iter().find(|key| key.contains(":o:"));
    found.expect("the owner has an index")
}

fn hash_command(name: &str, key: &str, field: impl ToString, value: Option<&str>) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(key).arg(field.to_string()).arg(value);
    command
}

/// An entry's value.
fn entered_at(instant: SystemTime) -> String {
    let since = instant.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis().to_string()
}

async fn listed(store: &RedisStore, owner: &Owner) -> Vec<SessionId> {
    let page = store.list(Scope::Owner(owner), SystemTime::now(), None, 100).await.unwrap();
    page.sessions.iter().map(|session| session.id).collect()
}

#[tokio::test]
async fn ghosts_are_healed_by_a_list_when_they_are_old_and_not_before() {
    let Some(corner) = servers::single() else { return };
    let store = corner.store("ghosts");
    let live = record_of("ann");
    create(&store, &live).await.unwrap();
    let key = owner_key(&corner);
    let (old, young) = (record().id, record().id);
    let now = SystemTime::now();
    let aged = |minutes: u64| entered_at(now - Duration::from_secs(60 * minutes));
    for (id, entered) in [(old, aged(11)), (young, aged(9)), (live.id, aged(1_000))] {
        corner.command(&hash_command("HSET", &key, id, Some(&entered)));
    }
    for _ in 0..2 {
        assert_eq!(listed(&store, live.owner.as_ref().unwrap()).await, [live.id]);
    }
    for (id, is_there) in [(old, false), (young, true), (live.id, true)] {
        let there = corner.command(&hash_command("HEXISTS", &key, id, None));
        assert_eq!(there, redis::Value::Int(i64::from(is_there)), "the entry of {id}");
    }
}

#[tokio::test]
async fn an_index_outlives_the_longest_of_its_sessions() {
    let Some(corner) = servers::single() else { return };
    let store = corner.store("longest");
    let mut known = record_of("ann");
    create(&store, &known).await.unwrap();
    for _ in 0..2 {
        let mut next = next_of(&known);
        next.absolute_deadline += 10 * DAY;
        assert_eq!(update(&store, &next, &known).await.unwrap(), Updated::Written);
        known = next;
        let left = remaining(&corner, &owner_key(&corner));
        let session = remaining(&corner, &corner.key("longest", known.id));
        assert!(left > session && session > 10 * DAY, "{left:?} and {session:?}");
    }
}

/// How much longer the server keeps a key.
fn remaining(corner: &Corner, key: &str) -> Duration {
    let mut ask = redis::cmd("PTTL");
    ask.arg(key);
    match corner.command(&ask) {
        redis::Value::Int(ms) => Duration::from_millis(u64::try_from(ms).expect("it expires")),
        other => panic!("PTTL gave {other:?}"),
    }
}

#[tokio::test]
async fn every_key_goes_with_the_last_session_or_expires_by_itself() {
    let Some(corner) = servers::single() else { return };
    let store = corner.store("left");
    let sessions = [record_of("ann"), record_of("ben"), record()];
    for session in &sessions {
        create(&store, session).await.unwrap();
    }
    let without_end = corner.keys().into_iter().filter(|key| {
        let mut ask = redis::cmd("PTTL");
        ask.arg(key);
        corner.command(&ask) == redis::Value::Int(-1)
    });
    assert_eq!(without_end.count(), 2, "the sets of all sessions");
    for session in &sessions {
        assert!(delete(&store, session.id).await.unwrap());
    }
    assert_eq!(corner.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn what_the_server_collected_by_itself_is_struck_out_by_the_sweeper() {
    let Some(corner) = servers::single() else { return };
    let store = corner.store("collected");
    let (collected, mut kept) = (record(), record());
    kept.idle_timeout = None;
    for session in [&collected, &kept] {
        create(&store, session).await.unwrap();
    }
    let mut remove = redis::cmd("DEL");
    remove.arg(corner.key("collected", collected.id));
    corner.command(&remove);
    let later = SystemTime::now() + Duration::from_secs(3_600);
    let nothing = store.delete_expired(later, 100).await.unwrap();
    assert_eq!(nothing, Expired::default());
    let mut count = redis::cmd("ZCARD");
    count.arg(corner.keys().into_iter().find(|key| key.ends_with(":all")));
    assert_eq!(corner.command(&count), redis::Value::Int(1), "the session that is kept");
}

/// A mark that a login left lives for a minute and must not wait for the idle timeout it had before.
#[tokio::test]
async fn a_session_that_ends_earlier_is_swept_earlier() {
    let Some(corner) = servers::single() else { return };
    let store = corner.store("earlier");
    let known = record();
    create(&store, &known).await.unwrap();
    let mut next = next_of(&known);
    next.absolute_deadline = known.created_at + Duration::from_secs(60);
    assert_eq!(update(&store, &next, &known).await.unwrap(), Updated::Written);
    let swept = store.delete_expired(next.absolute_deadline, 100).await.unwrap();
    assert_eq!(swept.removed, [(known.id, None)]);
}

/// The entry may belong to a login whose record is about to be written.
#[tokio::test]
async fn delete_owner_leaves_the_entry_of_a_login_that_is_on_its_way() {
    let Some(corner) = servers::single() else { return };
    let store = corner.store("on-its-way");
    let known = record_of("ann");
    create(&store, &known).await.unwrap();
    let (key, on_its_way) = (owner_key(&corner), record().id);
    let entered = entered_at(SystemTime::now());
    corner.command(&hash_command("HSET", &key, on_its_way, Some(&entered)));
    let owner = known.owner.clone().unwrap();
    let ended = store.delete_owner(&owner, None, SystemTime::now(), Durability::Power).await;
    assert_eq!(ended.unwrap(), 1);
    let there = corner.command(&hash_command("HEXISTS", &key, on_its_way, None));
    assert_eq!(there, redis::Value::Int(1));
}

#[tokio::test]
async fn a_damaged_session_is_set_aside_for_the_operator() {
    let Some(corner) = servers::single() else { return };
    let store = corner.store("damaged");
    for field in ["r", "u", "a"] {
        let known = record();
        create(&store, &known).await.unwrap();
        let key = corner.key("damaged", known.id);
        corner.command(&hash_command("HSET", &key, field, Some("garbage")));
        let later = SystemTime::now() + Duration::from_secs(60);
        let refused = load(&store, known.id).await;
        let swept = store.delete_expired(later + DAY, 100).await.unwrap();
        let aside = corner
            .keys()
            .into_iter()
            .any(|key| key.contains(":damaged:{") && key.contains(&known.id.to_string()));
        assert!(aside, "damage to {field} was seen as {refused:?} and {swept:?}");
        assert_eq!(load(&store, known.id).await.unwrap(), None);
    }
}
