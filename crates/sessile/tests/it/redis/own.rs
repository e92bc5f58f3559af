//! Servers that a test starts for itself, because it stops, fills or misconfigures them.

use std::io;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::Client;
use tempfile::TempDir;

/// A server with a directory of its own, stopped when dropped.
pub(crate) struct Own {
    pub(crate) port: u16,
    dir: TempDir,
    options: Vec<String>,
    process: Option<Child>,
}

/// Starts a server that syncs every write; `None` where the test is skipped.
pub(crate) fn server(options: &[&str]) -> Option<Own> {
    let synced = ["--appendonly", "yes", "--appendfsync", "always"];
    start(free_port(), &[&synced[..], options].concat())
}

pub(crate) fn start(port: u16, options: &[&str]) -> Option<Own> {
    let options = options.iter().map(ToString::to_string).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut own = Own { port, dir, options, process: None };
    own.start().then_some(own)
}

/// A port that nobody has, and whose cluster port, 10,000 above, nobody has either.
pub(crate) fn free_port() -> u16 {
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let drawn = || {
        let id = sessile::SessionId::random().unwrap();
        20_000 + u16::from_be_bytes([id.as_bytes()[0], id.as_bytes()[1]]) % 20_000
    };
    std::iter::repeat_with(drawn).find(|port| free(*port) && free(port + 10_000)).unwrap()
}

impl Own {
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its name in a Cluster.
    pub(crate) fn node_id(&self) -> String {
        self.ask("CLUSTER MYID")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it, or starts it again on the same port and data.
    pub(crate) fn start(&mut self) -> bool {
        let started = ["redis-server", "valkey-server"].iter().find_map(|it| self.spawn(it).ok());
        if started.is_none() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has no redis-server");
            println!("skipped: neither redis-server nor valkey-server is installed");
        }
        self.process = started;
        self.process.is_some() && self.answers()
    }

    fn spawn(&self, program: &str) -> io::Result<Child> {
        Command::new(program)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--enable-debug-command", "local"])
            .args(&self.options)
            .arg("--dir")
            .arg(self.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }

    fn answers(&self) -> bool {
        let begun = Instant::now();
        while self.try_ask(&redis::cmd("PING")).is_err_and(|error| error.is_io_error()) {
            assert!(begun.elapsed() < Duration::from_secs(20), "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Sends a signal to it, as `kill` names it.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("it runs");
        let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn try_ask(&self, command: &redis::Cmd) -> redis::RedisResult<redis::Value> {
        command.query(&mut Client::open(self.url())?.get_connection()?)
    }

    /// Asks it past every store: `ask("CONFIG SET maxmemory 1")`.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut asked = redis::cmd(words.next().unwrap());
        asked.arg(words.collect::<Vec<_>>());
        T::from_redis_value(self.try_ask(&asked).unwrap()).unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.kill();
    }
}
