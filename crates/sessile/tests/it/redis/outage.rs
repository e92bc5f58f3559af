//! Servers that stop, hang, refuse, and come back; networks that cut and delay.

use std::time::{Duration, Instant, SystemTime};

use sessile::store::{Durability, RedisStore, Scope, Store, Updated};
use sessile::{Error, ErrorKind};

use super::own::{self, Own};
use super::proxy::{Mood, Proxy};
use super::records::{create, delete, load, next_of, record, record_of, update};

const TIMEOUT: Duration = Duration::from_millis(500);
/// A machine that is busy takes its time to notice that time is over.
const SLACK: Duration = Duration::from_secs(3);

fn store(url: &str) -> RedisStore {
    RedisStore::builder(url).timeout(TIMEOUT).open().unwrap()
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("the server is out").kind()
}

/// Calls everything that a store can be asked; each must fail in time, and as an outage.
async fn assert_out(store: &RedisStore) {
    let known = record_of("ann");
    let owner = known.owner.clone().unwrap();
    let now = SystemTime::now();
    let calls: Vec<(&str, futures_util::future::BoxFuture<'_, ErrorKind>)> = vec![
        ("create", Box::pin(async { kind(create(store, &known).await) })),
        ("load", Box::pin(async { kind(load(store, known.id).await) })),
        ("update", Box::pin(async { kind(update(store, &next_of(&known), &known).await) })),
        ("delete", Box::pin(async { kind(delete(store, known.id).await) })),
        ("list", Box::pin(async { kind(store.list(Scope::All, now, None, 10).await) })),
        ("sweep", Box::pin(async { kind(store.delete_expired(now, 10).await) })),
        (
            "delete_owner",
            Box::pin(async {
                kind(store.delete_owner(&owner, None, now, Durability::Power).await)
            }),
        ),
    ];
    for (name, call) in calls {
        let begun = Instant::now();
        assert_eq!(call.await, ErrorKind::Unavailable, "{name}");
        assert!(begun.elapsed() < 3 * TIMEOUT + SLACK, "{name} took {:?}", begun.elapsed());
    }
}

/// Waits until the store works again, without making it anew.
async fn assert_recovers(store: &RedisStore) {
    let begun = Instant::now();
    while let Err(error) = load(store, record().id).await {
        assert!(begun.elapsed() < Duration::from_secs(10), "no recovery: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_is_unavailable_and_comes_back_with_its_sessions() {
    let Some(mut server) = own::server(&[]) else { return };
    let store = store(&server.url());
    let (kept, ended) = (record_of("ann"), record_of("ann"));
    for record in [&kept, &ended] {
        create(&store, record).await.unwrap();
    }
    assert!(delete(&store, ended.id).await.unwrap());
    for _ in 0..2 {
        server.kill();
        assert_out(&store).await;
        assert!(server.start());
        assert_recovers(&store).await;
        assert_eq!(load(&store, kept.id).await.unwrap().as_ref(), Some(&kept));
        assert_eq!(load(&store, ended.id).await.unwrap(), None, "an acknowledged logout");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_opens_before_its_server_does() {
    let Some(mut server) = own::server(&[]) else { return };
    server.kill();
    let store = store(&server.url());
    assert_out(&store).await;
    assert_eq!(kind(RedisStore::connect(&server.url()).await), ErrorKind::Unavailable);
    assert!(server.start());
    assert_recovers(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_unavailable_in_time_and_is_asked_anew() {
    let Some(server) = own::server(&[]) else { return };
    let proxy = Proxy::before(server.port).await;
    let store = store(&proxy.url());
    let known = record();
    create(&store, &known).await.unwrap();
    proxy.set(Mood::Swallow);
    assert_out(&store).await;
    proxy.set(Mood::Pass);
    assert_recovers(&store).await;
    assert_eq!(load(&store, known.id).await.unwrap(), Some(known));
}

/// Whether the connection breaks before or within the answer, the outcome is told to be unknown, and
/// the server was asked once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_an_error_and_its_question_is_not_repeated() {
    let Some(server) = own::server(&[]) else { return };
    let proxy = Proxy::before(server.port).await;
    let store = store(&proxy.url());
    let mut known = record();
    create(&store, &known).await.unwrap();
    known = written(&store, &known).await;
    for mood in [Mood::Cut, Mood::Truncate] {
        server.ask::<String>("CONFIG RESETSTAT");
        proxy.set(mood);
        let next = next_of(&known);
        assert_eq!(kind(update(&store, &next, &known).await), ErrorKind::Unavailable);
        proxy.set(Mood::Pass);
        assert_recovers(&store).await;
        let stats: String = server.ask("INFO commandstats");
        assert!(stats.contains("cmdstat_evalsha:calls=1,"), "asked more than once: {stats}");
        known = load(&store, known.id).await.unwrap().unwrap();
        assert_eq!(known, next, "what the server did once");
    }
}

async fn written(store: &RedisStore, known: &sessile::Record) -> sessile::Record {
    let next = next_of(known);
    assert_eq!(update(store, &next, known).await.unwrap(), Updated::Written);
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_closed_while_idle_is_replaced_before_its_next_use() {
    let Some(server) = own::server(&[]) else { return };
    let store = store(&server.url());
    let known = record();
    create(&store, &known).await.unwrap();
    for _ in 0..5 {
        server.ask::<i64>("CLIENT KILL TYPE normal SKIPME yes");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(load(&store, known.id).await.unwrap().as_ref(), Some(&known));
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let Some(server) = own::server(&[]) else { return };
    let store = store(&server.url());
    let known = record();
    create(&store, &known).await.unwrap();
    server.ask::<String>("SCRIPT FLUSH");
    assert_eq!(update(&store, &next_of(&known), &known).await.unwrap(), Updated::Written);
    assert!(delete(&store, known.id).await.unwrap());
}

#[tokio::test]
async fn a_wrong_password_is_a_matter_of_configuration_and_heals_without_a_restart() {
    let Some(server) = own::server(&["--requirepass", "right"]) else { return };
    let url = format!("redis://:later@127.0.0.1:{}", server.port);
    let store = store(&url);
    let refused = load(&store, record().id).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config, "{refused:?}");
    assert!(refused.to_string().contains("password"), "{refused}");
    assert!(!format!("{refused:?}").contains("later"), "{refused:?}");
    let admin = redis::Client::open(format!("redis://:right@127.0.0.1:{}", server.port)).unwrap();
    let mut change = redis::cmd("CONFIG");
    change.arg("SET").arg("requirepass").arg("later");
    change.query::<()>(&mut admin.get_connection().unwrap()).unwrap();
    assert_eq!(load(&store, record().id).await.unwrap(), None);
}

#[tokio::test]
async fn a_user_without_permission_is_told_what_is_needed() {
    let Some(server) = own::server(&[]) else { return };
    server.ask::<String>("ACL SETUSER weak on >pw ~* +ping +hello +client +hmget");
    let store = store(&format!("redis://weak:pw@127.0.0.1:{}", server.port));
    assert_eq!(load(&store, record().id).await.unwrap(), None, "what it may do");
    let refused = create(&store, &record()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config, "{refused:?}");
}

/// The user that the documentation of the store describes.
#[tokio::test]
async fn a_user_with_the_documented_permissions_may_do_everything() {
    let Some(server) = own::server(&[]) else { return };
    server.ask::<String>(
        "ACL SETUSER shop on >secret ~sessile:* ~{sessile:* +eval +evalsha +@hash +@sortedset \
         +@keyspace +time +ping -@dangerous +hello +client",
    );
    let store = store(&format!("redis://shop:secret@127.0.0.1:{}", server.port));
    let known = record_of("ann");
    create(&store, &known).await.unwrap();
    assert_eq!(update(&store, &next_of(&known), &known).await.unwrap(), Updated::Written);
    let owner = known.owner.clone().unwrap();
    let page = store.list(Scope::Owner(&owner), SystemTime::now(), None, 10).await.unwrap();
    assert_eq!(page.sessions.len(), 1);
    let later = SystemTime::now() + Duration::from_secs(86_400);
    assert_eq!(store.delete_expired(later, 10).await.unwrap().removed.len(), 1);
}

#[tokio::test]
async fn a_read_only_replica_is_unavailable_for_writes() {
    let (Some(primary), Some(replica)) = (own::server(&[]), own::server(&[])) else { return };
    replica.ask::<String>(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let store = store(&replica.url());
    let refused = create(&store, &record()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains("replica"), "{refused}");
}

#[tokio::test]
async fn a_full_server_refuses_saves_and_still_carries_out_logouts() {
    let Some(server) = own::server(&[]) else { return };
    let store = store(&server.url());
    let known = record_of("ann");
    create(&store, &known).await.unwrap();
    server.ask::<String>("CONFIG SET maxmemory 1");
    for refused in [
        create(&store, &record()).await.unwrap_err(),
        update(&store, &next_of(&known), &known).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
        assert!(refused.to_string().contains("memory"), "{refused:?}");
    }
    assert_eq!(load(&store, known.id).await.unwrap().as_ref(), Some(&known));
    assert!(delete(&store, known.id).await.unwrap(), "a logout needs no memory");
    server.ask::<String>("CONFIG SET maxmemory 0");
    create(&store, &record()).await.unwrap();
}

#[tokio::test]
async fn a_node_of_a_cluster_asks_to_be_named_as_one() {
    let Some(node) = own::server(&["--cluster-enabled", "yes"]) else { return };
    let store = store(&node.url());
    let refused = load(&store, record().id).await.unwrap_err();
    // A node without slots knows of no other; one with neighbours answers MOVED.
    assert!(matches!(refused.kind(), ErrorKind::Unavailable | ErrorKind::Config), "{refused:?}");
}

/// A primary and its replica.
async fn replicated() -> Option<(Own, Own)> {
    let (primary, replica) = (own::server(&[])?, own::server(&[])?);
    replica.ask::<String>(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let begun = Instant::now();
    while !primary.ask::<String>("INFO replication").contains("state=online") {
        assert!(begun.elapsed() < Duration::from_secs(20), "the replica does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Some((primary, replica))
}

/// A store whose logouts a replica confirms in this time.
fn confirmed_store(primary: &Own, within: Duration) -> RedisStore {
    let builder = RedisStore::builder(&primary.url()).timeout(TIMEOUT);
    builder.wait_replicas(1, within).open().unwrap()
}

/// Long enough for a replica on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);
/// Much shorter than a replica sleeps that is to miss it.
const HASTY: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_logout_is_acknowledged_when_the_replicas_have_it() {
    let Some((primary, replica)) = replicated().await else { return };
    let store = confirmed_store(&primary, PATIENT);
    let (one, two) = (record_of("ann"), record_of("ann"));
    for record in [&one, &two] {
        create(&store, record).await.unwrap();
    }
    assert!(delete(&store, one.id).await.unwrap());
    assert_eq!(replica.ask::<i64>("DBSIZE"), 4, "one session and three indexes");
    let owner = two.owner.clone().unwrap();
    let now = SystemTime::now();
    assert_eq!(store.delete_owner(&owner, None, now, Durability::Power).await.unwrap(), 1);
    let key = format!("EXISTS sessile:default:s:{{{}}}", two.id);
    assert_eq!(replica.ask::<i64>(&key), 0);
}

/// The second call, by another process, finds nothing to delete and must still wait for the first
/// one's deletion.
#[tokio::test]
async fn a_logout_that_no_replica_confirms_fails_however_often_it_is_asked_for() {
    let Some((primary, replica)) = replicated().await else { return };
    let (store, other) = (confirmed_store(&primary, HASTY), confirmed_store(&primary, HASTY));
    let patient = confirmed_store(&primary, PATIENT);
    let (known, bens) = (record_of("ann"), record_of("ben"));
    for record in [&known, &bens] {
        create(&patient, record).await.unwrap();
    }
    let client = redis::Client::open(replica.url()).unwrap();
    let asleep = std::thread::spawn(move || {
        let mut sleep = redis::cmd("DEBUG");
        sleep.arg("SLEEP").arg(3);
        sleep.query::<()>(&mut client.get_connection().unwrap()).unwrap();
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for store in [&store, &other] {
        let refused = delete(store, known.id).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    }
    let ben = bens.owner.clone().unwrap();
    let all = store.delete_owner(&ben, None, SystemTime::now(), Durability::Power).await;
    assert_eq!(kind(all), ErrorKind::Unavailable);
    for record in [&known, &bens] {
        assert_eq!(load(&store, record.id).await.unwrap(), None, "it is gone here");
    }
    asleep.join().unwrap();
    assert!(!delete(&patient, known.id).await.unwrap(), "and now it is confirmed");
    assert_eq!(replica.ask::<i64>(&format!("EXISTS sessile:default:s:{{{}}}", known.id)), 0);
}
