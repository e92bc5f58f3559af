//! What a server that was killed still has when it is started again.

use std::time::{Duration, SystemTime};

use sessile::store::{self, Access, Created, Durability, Store, Ticket, Updated};
use sessile::{Owner, Record};

use super::every_database::{created, record};
use super::own::Own;

/// Stamps each of these as a test on a server of its own.
macro_rules! on_own_servers {
    ($($test:ident)*) => {
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(server) = crate::sql::own::postgres(&[]).await else { return };
                super::$test(server).await;
            })*
        }

        #[cfg(feature = "mysql")]
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(server) = crate::sql::own::mariadb(&[]).await else { return };
                super::$test(server).await;
            })*
        }
    };
}

on_own_servers! {
    a_killed_server_keeps_every_acknowledged_login_and_logout
    a_killed_server_keeps_what_was_saved_before_a_logout_and_tears_nothing
}

const ROUNDS: u32 = 3;

/// Kills the server and starts it; the store goes on as it is.
async fn kill_and_start(server: &mut Own) {
    server.kill();
    server.start().await;
}

/// The first work after an outage meets connections that are gone.
async fn load(store: &dyn Store, record: &Record) -> Option<Record> {
    for _ in 0..100 {
        match store.load(record.id, record.created_at, Access::Read).await {
            Ok(loaded) => return loaded.map(|loaded| loaded.record),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    panic!("no recovery");
}

fn login_of(owner: &str, began_at: SystemTime) -> Record {
    let mut login = record(began_at);
    (login.owner, login.login_began_at) = (Some(Owner::new(owner).unwrap()), Some(began_at));
    login
}

async fn a_killed_server_keeps_every_acknowledged_login_and_logout(mut server: Own) {
    let store = store::open(&server.url()).unwrap();
    let (now, power) = (SystemTime::now(), Durability::Power);
    for round in 0..ROUNDS {
        let (ann, ben) = (format!("ann {round}"), format!("ben {round}"));
        let (stays, ends, bens) = (login_of(&ann, now), login_of(&ann, now), login_of(&ben, now));
        for login in [&stays, &ends, &bens] {
            assert_eq!(store.create(login, power).await.unwrap(), Created::New);
        }
        let stays = load(&*store, &stays).await.unwrap();
        let owner = bens.owner.clone().unwrap();
        assert_eq!(store.delete_owner(&owner, None, now, power).await.unwrap(), 1);
        assert!(store.delete(ends.id, power).await.unwrap());
        kill_and_start(&mut server).await;
        assert_eq!(load(&*store, &stays).await, Some(stays), "an acknowledged login");
        assert_eq!(load(&*store, &ends).await, None, "an acknowledged logout");
        assert_eq!(load(&*store, &bens).await, None, "an acknowledged end of all sessions");
        let late = store.create(&login_of(&ben, now), power).await.unwrap();
        assert_eq!(late, Created::Revoked, "a login that began before that end");
    }
}

const SAVES: u64 = 20;

/// Saves `SAVES` times without a sync; gives the last state.
async fn save(store: &dyn Store, mut known: Record) -> Record {
    for _ in 0..SAVES {
        let expected = known.version;
        known.version = expected.next();
        known.data.insert("state", state_of(&known).into());
        let none = &mut Ticket::none();
        let saved = store.update(&known, expected, Durability::Process, none).await;
        assert_eq!(saved.unwrap(), Updated::Written);
    }
    known
}

/// A long value that follows from the version.
fn state_of(record: &Record) -> String {
    format!("\"{}\"", record.version.get().to_string().repeat(500))
}

/// A logout's sync carries along what was saved before it. What came after it is kept by MariaDB,
/// whose every commit is synced; PostgreSQL, told that it need not, may go back to a state before.
async fn a_killed_server_keeps_what_was_saved_before_a_logout_and_tears_nothing(mut server: Own) {
    let store = store::open(&server.url()).unwrap();
    let now = SystemTime::now();
    let mut lost = 0;
    for _ in 0..ROUNDS {
        let (other, first) = (created(&*store, record(now)).await, record(now));
        let synced = save(&*store, created(&*store, first).await).await;
        assert!(store.delete(other.id, Durability::Power).await.unwrap());
        let unsynced = save(&*store, synced.clone()).await;
        kill_and_start(&mut server).await;
        let there = load(&*store, &unsynced).await.expect("what was saved before the logout");
        assert!(there.version >= synced.version, "{:?} < {:?}", there.version, synced.version);
        let state = there.data.get("state").map(|state| state.to_vec());
        assert_eq!(state, Some(state_of(&there).into_bytes()), "a torn state");
        lost += unsynced.version.get() - there.version.get();
    }
    println!("{lost} of {} saves behind the last sync were lost", SAVES * u64::from(ROUNDS));
    #[cfg(feature = "mysql")]
    assert!(server.kind != super::places::Kind::MySql || lost == 0, "MariaDB lost {lost} saves");
}
