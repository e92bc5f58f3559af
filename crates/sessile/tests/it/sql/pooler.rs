//! PostgreSQL behind PgBouncer, from Debian's package `pgbouncer`.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sessile::store::{self, Access, Created, Durability, Scope, Store, Ticket, Updated};
use sessile::{Error, ErrorKind, Owner, Result};
use tokio::task::JoinSet;

use super::every_database::record;
use super::own::{as_user, free_port, installed, postgres};

/// A pooler in front of a server of its own; both end with it.
struct Pooler {
    process: Child,
    url: String,
    _server: super::own::Own,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A pooler with so many connections to the server; `None` where the test is skipped.
async fn pooler(mode: &str, connections: u32) -> Option<Pooler> {
    let program = installed("pgbouncer", "/usr/sbin/pgbouncer")?;
    let (server, port) = (postgres(&["fsync=off"]).await?, free_port());
    let settings = server.folder.path().join("pgbouncer.ini");
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={} user=sessile\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = {mode}\ndefault_pool_size = {connections}\n",
        server.port
    );
    std::fs::write(&settings, text).unwrap();
    let mut pooler = as_user("postgres", &program);
    let process = pooler.arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let url = format!("postgres://sessile@127.0.0.1:{port}/postgres");
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the pooler does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Some(Pooler { process: process.unwrap(), url, _server: server })
}

/// The second number of the version: 18 of 1.18.0.
fn minor_version() -> u32 {
    let said = Command::new("pgbouncer").arg("--version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    said.split('.').nth(1).and_then(|minor| minor.parse().ok()).expect("PgBouncer 1.x.y")
}

/// All that a session goes through, on one of several stores that do the same at once.
async fn live(store: Arc<dyn Store>, owner: Owner) -> Result<()> {
    let (now, none) = (SystemTime::now(), &mut Ticket::none());
    for _ in 0..10 {
        let mut login = record(now);
        (login.owner, login.login_began_at) = (Some(owner.clone()), Some(now));
        assert_eq!(store.create(&login, Durability::Power).await?, Created::New);
        let lock = Access::Exclusive { wait: Duration::ZERO, hold: Duration::from_secs(60) };
        let mut loaded = store.load(login.id, now, lock).await?.expect("it was created");
        let (mut next, expected) = (loaded.record.clone(), loaded.record.version);
        next.version = expected.next();
        let saved = store.update(&next, expected, Durability::Process, &mut loaded.ticket).await?;
        assert_eq!(saved, Updated::Written);
        store.release(loaded.ticket).await?;
        assert!(store.touch(login.id, now, now, none).await?);
        assert_eq!(store.list(Scope::Owner(&owner), now, None, 10).await?.sessions.len(), 1);
        assert!(store.delete(login.id, Durability::Power).await?);
        store.delete_expired(now, 10).await?;
    }
    Ok(())
}

/// What became of four stores that live at once.
async fn four_live(url: &str) -> Vec<Error> {
    store::open(url).unwrap().delete_expired(SystemTime::now(), 1).await.unwrap();
    let mut stores = JoinSet::new();
    for number in 0..4 {
        let owner = Owner::new(format!("user {number}")).unwrap();
        stores.spawn(live(store::open(url).unwrap(), owner));
    }
    stores.join_all().await.into_iter().filter_map(Result::err).collect()
}

mod postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_pooler_that_gives_a_connection_per_session_is_like_the_server() {
        let Some(pooler) = pooler("session", 60).await else { return };
        let errors = four_live(&pooler.url).await;
        assert!(errors.is_empty(), "{errors:?}");
    }

    /// Two clients take turns on one connection of the server, and both call their first statement by
    /// the same name. A pooler that keeps track of names is like the server; one that does not is a
    /// mistake of configuration.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_pooler_that_mixes_up_prepared_statements_is_refused_with_the_mend() {
        let Some(pooler) = pooler("transaction", 1).await else { return };
        let errors = match minor_version() {
            ..21 => four_live(&format!("{}?statement-cache-capacity=0", pooler.url)).await,
            _ => return assert!(four_live(&pooler.url).await.is_empty()),
        };
        assert!(!errors.is_empty(), "nobody noticed that statements are mixed up");
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
            assert!(error.to_string().contains("max_prepared_statements"), "{error}");
        }
    }
}
