//! What a server that was killed, or that evicts, still has.

use std::time::{Duration, Instant, SystemTime};

use sessile::Record;
use sessile::store::{RedisStore, Store, Updated};

use super::own::{self, Own};
use super::records::{create, delete, load, next_of, record_of, update};

const SESSIONS: usize = 100;

/// Sessions that were saved once each, and as many that were ended.
async fn fill(store: &RedisStore) -> (Vec<Record>, Vec<Record>) {
    let (mut saved, mut ended) = (Vec::new(), Vec::new());
    for _ in 0..SESSIONS {
        let (first, other) = (record_of("ann"), record_of("ann"));
        for record in [&first, &other] {
            create(store, record).await.unwrap();
        }
        let next = next_of(&first);
        assert_eq!(update(store, &next, &first).await.unwrap(), Updated::Written);
        assert!(delete(store, other.id).await.unwrap());
        saved.push(next);
        ended.push(other);
    }
    (saved, ended)
}

/// Kills the server, starts it again, and waits until the store has found it.
async fn kill_and_start(server: &mut Own, store: &RedisStore) {
    server.kill();
    assert!(server.start());
    let begun = Instant::now();
    while let Err(error) = load(store, record_of("ann").id).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "no recovery: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn assert_all_there(store: &RedisStore, saved: &[Record], ended: &[Record]) {
    for record in saved {
        assert_eq!(load(store, record.id).await.unwrap().as_ref(), Some(record));
    }
    for record in ended {
        assert_eq!(load(store, record.id).await.unwrap(), None, "an acknowledged logout");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_that_syncs_always_keeps_everything_acknowledged() {
    let Some(mut server) = own::server(&[]) else { return };
    let store = RedisStore::builder(&server.url()).open().unwrap();
    let (saved, ended) = fill(&store).await;
    kill_and_start(&mut server, &store).await;
    assert_all_there(&store, &saved, &ended).await;
}

/// The second that `everysec` may lose is lost with the machine. The process has handed to the kernel
/// what it answered for, unless the disk is so busy that it waits; that it did not is asked here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_that_syncs_every_second_keeps_what_it_has_handed_to_the_kernel() {
    let log = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let Some(mut server) = own::start(own::free_port(), &log) else { return };
    let store = RedisStore::builder(&server.url()).open().unwrap();
    let (saved, ended) = fill(&store).await;
    let begun = Instant::now();
    while !server.ask::<String>("INFO persistence").contains("aof_buffer_length:0") {
        assert!(begun.elapsed() < Duration::from_secs(20), "the disk never took it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kill_and_start(&mut server, &store).await;
    assert_all_there(&store, &saved, &ended).await;
}

/// Its users are signed out: the sessions are absent, and their next write is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_without_an_append_only_file_has_forgotten_everything() {
    let Some(mut server) = own::start(own::free_port(), &["--appendonly", "no"]) else { return };
    let store = RedisStore::builder(&server.url()).open().unwrap();
    let (saved, _) = fill(&store).await;
    kill_and_start(&mut server, &store).await;
    for record in &saved {
        assert_eq!(load(&store, record.id).await.unwrap(), None);
        assert_eq!(update(&store, &next_of(record), record).await.unwrap(), Updated::Gone);
    }
}

/// A snapshot that is older than a logout brings the session back: why `appendonly yes` is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_older_than_a_logout_undoes_it() {
    let Some(mut server) = own::start(own::free_port(), &["--appendonly", "no"]) else { return };
    let store = RedisStore::builder(&server.url()).open().unwrap();
    let known = record_of("ann");
    create(&store, &known).await.unwrap();
    server.ask::<String>("SAVE");
    assert!(delete(&store, known.id).await.unwrap());
    kill_and_start(&mut server, &store).await;
    assert_eq!(load(&store, known.id).await.unwrap(), Some(known));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicted_session_is_absent_and_its_next_write_refused() {
    let Some(server) = own::server(&["--maxmemory-policy", "allkeys-random"]) else { return };
    let store = RedisStore::builder(&server.url()).open().unwrap();
    let (saved, _) = fill(&store).await;
    server.ask::<String>("CONFIG SET maxmemory 1");
    // A save makes room first, as far as there is anything to drop.
    let _ = create(&store, &record_of("ben")).await;
    server.ask::<String>("CONFIG SET maxmemory 0");
    let mut evicted = 0;
    for record in &saved {
        if load(&store, record.id).await.unwrap().is_none() {
            evicted += 1;
            assert_eq!(update(&store, &next_of(record), record).await.unwrap(), Updated::Gone);
        }
    }
    assert!(evicted > 0, "nothing was evicted");
}

/// How many commands the server ran for this.
async fn commands_of<T>(server: &Own, asked: impl Future<Output = sessile::Result<T>>) -> (u64, T) {
    server.ask::<String>("CONFIG RESETSTAT");
    let answer = asked.await.unwrap();
    let stats: String = server.ask("INFO commandstats");
    let ours = stats.lines().filter(|line| !line.starts_with("cmdstat_config"));
    let calls = ours.filter_map(|line| line.split("calls=").nth(1)?.split(',').next());
    (calls.map(|calls| calls.parse::<u64>().unwrap()).sum(), answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_up_and_the_list_of_a_user_cost_what_they_concern_and_not_what_is_stored() {
    let Some(server) = own::server(&[]) else { return };
    let store = RedisStore::builder(&server.url()).open().unwrap();
    fill(&store).await;
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3_600));
    let few: Vec<_> = (0..5).map(|_| record_of("ben")).collect();
    for record in &few {
        create(&store, record).await.unwrap();
    }
    let ben = few[0].owner.clone().unwrap();
    let list = store.list(sessile::store::Scope::Owner(&ben), now, None, 100);
    let (calls, page) = commands_of(&server, list).await;
    assert_eq!(page.sessions.len(), few.len());
    assert!(calls < 10 * few.len() as u64, "{calls} commands for 5 sessions of {SESSIONS}");
    let (calls, swept) = commands_of(&server, store.delete_expired(now, 100)).await;
    assert!(swept.removed.is_empty() && calls < 10, "{calls} commands where nothing was due");
    let (calls, swept) = commands_of(&server, store.delete_expired(now + hour, 5)).await;
    assert_eq!(swept.removed.len(), 5);
    assert!(calls < 100, "{calls} commands for 5 sessions of {SESSIONS}");
}
