//! A Cluster of six nodes of the test's own: slots that move under load, and a primary that dies.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sessile::store::{RedisStore, Updated};
use sessile::{Error, ErrorKind, Record, SessionId};
use tokio::task::JoinSet;

use super::own::{self, Own};
use super::records::{create, delete, load, next_of, record_of, update};

const NODE: [&str; 4] = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
const WORKERS: usize = 4;

/// Three primaries, then their three replicas.
struct Nodes(Vec<Own>);

/// Starts a Cluster; `None` where the test is skipped.
fn cluster() -> Option<Nodes> {
    let nodes: Option<Vec<_>> = (0..6).map(|_| own::start(own::free_port(), &NODE)).collect();
    let nodes = Nodes(nodes?);
    let all: Vec<_> = nodes.0.iter().map(Own::address).collect();
    cli(&[&["create"], &strs(&all)[..], &["--cluster-replicas", "1", "--cluster-yes"]].concat());
    nodes.await_all_good();
    Some(nodes)
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Runs `redis-cli --cluster`.
fn cli(words: &[&str]) {
    let ran = Command::new("redis-cli").arg("--cluster").args(words).output();
    let ran = ran.expect("redis-cli comes with redis-server");
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "redis-cli --cluster {words:?}: {told}");
}

impl Nodes {
    fn store(&self) -> sessile::store::redis::RedisStoreBuilder {
        let nodes: Vec<_> = self.0.iter().map(Own::address).collect();
        RedisStore::cluster(nodes.iter().map(String::as_str)).timeout(Duration::from_secs(3))
    }

    /// Waits until every node knows of all slots, and every primary has its replica.
    fn await_all_good(&self) {
        let begun = Instant::now();
        let good = |node: &Own| {
            let roles: String = node.ask("INFO replication");
            node.ask::<String>("CLUSTER INFO").contains("cluster_state:ok")
                && (roles.contains("state=online") || roles.contains("master_link_status:up"))
        };
        while !self.0.iter().all(good) {
            assert!(begun.elapsed() < Duration::from_secs(30), "the Cluster does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What one worker did, as it was told.
#[derive(Default)]
struct Told {
    ended: Vec<SessionId>,
    /// The newest state that was acknowledged.
    live: Vec<Record>,
    errors: Vec<(Instant, Error)>,
    calls: usize,
}

impl Told {
    /// The answer, or `None` and a note of the error.
    fn noted<T>(&mut self, answer: Result<T, Error>) -> Option<T> {
        self.calls += 1;
        answer.map_err(|error| self.errors.push((Instant::now(), error))).ok()
    }
}

/// Signs in, saves three times, and signs every other session out again, until told to stop.
async fn work(store: RedisStore, stop: Arc<AtomicBool>, owner: String) -> Told {
    let mut told = Told::default();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut record = record_of(&owner);
        if told.noted(create(&store, &record).await).is_none() {
            continue;
        }
        let mut is_certain = true;
        for _ in 0..3 {
            let next = next_of(&record);
            match told.noted(update(&store, &next, &record).await) {
                Some(Updated::Written) => record = next,
                _ => is_certain = false,
            }
        }
        if turn % 2 == 0 {
            if told.noted(delete(&store, record.id).await).is_some() {
                told.ended.push(record.id);
            }
        } else if is_certain {
            told.live.push(record);
        }
    }
    told
}

/// Lets workers work while `meanwhile` happens on a thread of its own.
async fn under_load<T: Send + 'static>(
    store: &RedisStore,
    meanwhile: impl FnOnce() -> T + Send + 'static,
) -> (Vec<Told>, T) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let owner = format!("worker {worker}");
        workers.spawn(work(store.clone(), Arc::clone(&stop), owner));
    }
    let happened = tokio::task::spawn_blocking(meanwhile).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    (workers.join_all().await, happened)
}

async fn assert_ended(store: &RedisStore, told: &[Told]) {
    for id in told.iter().flat_map(|told| &told.ended) {
        assert_eq!(load(store, *id).await.unwrap(), None, "an acknowledged logout was undone");
    }
}

/// All slots of one primary, the namespace's own among them, move to a node that nobody knew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_under_load_and_nobody_notices() {
    let Some(nodes) = cluster() else { return };
    let Some(newcomer) = own::start(own::free_port(), &NODE) else { return };
    let store = nodes.store().namespace(namespace_on(&nodes.0[0])).open().unwrap();
    let (from, to) = (nodes.0[0].node_id(), newcomer.node_id());
    let (known, new) = (nodes.0[0].address(), newcomer.address());
    let (told, ()) = under_load(&store, move || {
        cli(&["add-node", &new, &known]);
        std::thread::sleep(Duration::from_secs(2));
        let (from, to) = (["--cluster-from", &from], ["--cluster-to", &to]);
        let how = ["--cluster-slots", "5461", "--cluster-yes"];
        cli(&[&["reshard", &known], &from[..], &to, &how].concat());
    })
    .await;
    let calls: usize = told.iter().map(|told| told.calls).sum();
    let errors: Vec<_> = told.iter().flat_map(|told| &told.errors).collect();
    assert!(errors.is_empty(), "{} of {calls} calls failed: {:?}", errors.len(), &errors[0]);
    assert!(newcomer.ask::<i64>("DBSIZE") > 0, "the newcomer holds nothing");
    assert_ended(&store, &told).await;
    for record in told.iter().flat_map(|told| &told.live) {
        assert_eq!(load(&store, record.id).await.unwrap().as_ref(), Some(record));
    }
    println!("{calls} calls while 5,461 slots moved");
}

/// A slot may stay half moved for long: what is still at the old node is found there, and the rest at
/// the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_moved_slot_serves_what_moved_and_what_did_not() {
    let Some(nodes) = cluster() else { return };
    let store = nodes.store().open().unwrap();
    let (moved, new) = (record_of("ann"), record_of("ann"));
    create(&store, &moved).await.unwrap();
    for record in [&moved, &new] {
        begin_to_move(&nodes, record.id);
        if record.id == moved.id {
            finish_key(&nodes, &key_of(record.id));
        } else {
            create(&store, record).await.unwrap();
        }
        let next = next_of(record);
        assert_eq!(update(&store, &next, record).await.unwrap(), Updated::Written);
        assert_eq!(load(&store, record.id).await.unwrap(), Some(next));
        assert!(delete(&store, record.id).await.unwrap());
        assert_eq!(load(&store, record.id).await.unwrap(), None);
    }
    let stays = record_of("ben");
    create(&store, &stays).await.unwrap();
    begin_to_move(&nodes, stays.id);
    assert_eq!(load(&store, stays.id).await.unwrap(), Some(stays));
}

fn key_of(id: SessionId) -> String {
    format!("sessile:default:s:{{{id}}}")
}

/// Where the slot of a session is, and where it is to go.
fn way_of(nodes: &Nodes, slot: i64) -> (&Own, &Own) {
    let at = [5_460, 10_922, 16_383].iter().position(|last| slot <= *last).unwrap();
    (&nodes.0[at], &nodes.0[(at + 1) % 3])
}

fn begin_to_move(nodes: &Nodes, id: SessionId) {
    let slot = nodes.0[0].ask(&format!("CLUSTER KEYSLOT {id}"));
    let (from, to) = way_of(nodes, slot);
    to.ask::<String>(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", from.node_id()));
    from.ask::<String>(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", to.node_id()));
}

fn finish_key(nodes: &Nodes, key: &str) {
    let (from, to) = way_of(nodes, nodes.0[0].ask(&format!("CLUSTER KEYSLOT {key}")));
    let moved: String = from.ask(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", to.port));
    assert_eq!(moved, "OK");
}

/// A primary that hangs breaks no connection: the others elect its replica, and the store finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_given_up_for_its_replica() {
    let Some(nodes) = cluster() else { return };
    let store = nodes.store().timeout(Duration::from_secs(1)).open().unwrap();
    let records: Vec<_> = (0..12).map(|_| record_of("ann")).collect();
    for record in &records {
        create(&store, record).await.unwrap();
    }
    nodes.0[0].signal("-STOP");
    let begun = Instant::now();
    for record in &records {
        while let Err(error) = load(&store, record.id).await {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(begun.elapsed() < Duration::from_secs(30), "no recovery: {error:?}");
        }
        assert!(delete(&store, record.id).await.unwrap());
    }
    println!("all slots were served again {:?} after a primary hung", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_nodes_refuse_saves_and_still_carry_out_logouts() {
    let Some(nodes) = cluster() else { return };
    let store = nodes.store().open().unwrap();
    let known: Vec<_> = (0..12).map(|_| record_of("ann")).collect();
    for record in &known {
        create(&store, record).await.unwrap();
    }
    let limit = |bytes| {
        for node in &nodes.0 {
            node.ask::<String>(&format!("CONFIG SET maxmemory {bytes}"));
        }
    };
    limit(1);
    for record in &known {
        for refused in [
            create(&store, &record_of("ben")).await.unwrap_err(),
            update(&store, &next_of(record), record).await.unwrap_err(),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
            assert!(refused.to_string().contains("memory"), "{refused:?}");
        }
        assert_eq!(load(&store, record.id).await.unwrap().as_ref(), Some(record));
        assert!(delete(&store, record.id).await.unwrap(), "a logout needs no memory");
        assert_eq!(load(&store, record.id).await.unwrap(), None);
    }
    limit(0);
    create(&store, &record_of("ben")).await.unwrap();
}

/// A namespace whose own slot lies on this node.
fn namespace_on(node: &Own) -> String {
    let is_here = |name: &String| {
        let slot: i64 = node.ask(&format!("CLUSTER KEYSLOT {{sessile:{name}}}:due"));
        (0..5461).contains(&slot)
    };
    (0..1_000).map(|number| format!("shop{number}")).find(is_here).unwrap()
}

/// Logouts that one replica confirmed stay, sessions of other nodes go on, and all is well again
/// without a restart of the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_dies_under_load_and_no_confirmed_logout_is_undone() {
    let Some(mut nodes) = cluster() else { return };
    let store = nodes.store().wait_replicas(1, Duration::from_millis(500)).open().unwrap();
    let (told, (mut nodes, died, back)) = under_load(&store, move || {
        std::thread::sleep(Duration::from_secs(1));
        nodes.0[0].kill();
        let died = Instant::now();
        std::thread::sleep(Duration::from_secs(8));
        assert!(nodes.0[0].start());
        nodes.await_all_good();
        let back = Instant::now();
        std::thread::sleep(Duration::from_secs(2));
        (nodes, died, back)
    })
    .await;
    let errors: Vec<_> = told.iter().flat_map(|told| &told.errors).collect();
    for (at, error) in &errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        let late = at.saturating_duration_since(back);
        assert!(late < Duration::from_secs(1), "{late:?} after the recovery: {error:?}");
    }
    assert!(!errors.is_empty(), "nobody noticed that a primary died");
    assert_ended(&store, &told).await;
    let (calls, ended) = told
        .iter()
        .fold((0, 0), |(calls, ended), told| (calls + told.calls, ended + told.ended.len()));
    assert!(ended > 100, "only {ended} logouts");
    let last = errors.iter().map(|(at, _)| *at - died).max();
    println!(
        "{calls} calls, {} errors, the last {last:?} after the death; {ended} logouts",
        errors.len()
    );
    nodes.0.clear();
}
