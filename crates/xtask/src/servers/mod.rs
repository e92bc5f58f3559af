//! Database servers for one run of the tests: on loopback, on ports of their own, with their data in a
//! temporary folder that goes with them.

mod mariadb;
mod postgres;
mod redis;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::needs;
use crate::shell::{command, run};

/// A server that tests find by a variable.
pub(crate) struct Server {
    pub(crate) variable: &'static str,
    pub(crate) url: String,
    /// What stops it when this is dropped; none for a server that was there before.
    _running: Vec<Running>,
}

/// What is started, and how.
type Start = fn() -> Result<(String, Vec<Running>), String>;

/// The servers: the variable in which tests look for one, how it is started, and which tests those
/// are, by parts of their names.
const SERVERS: [(&str, Start, &[&str]); 5] = [
    ("SESSILE_TEST_POSTGRES", postgres::start, &["on_postgres::", "::postgres::"]),
    ("SESSILE_TEST_MYSQL", mariadb::start, &["on_mysql::", "::mysql::"]),
    (
        "SESSILE_TEST_REDIS",
        redis::start,
        &[
            "on_redis::",
            "laws::single::",
            "redis::indexes::",
            "redis::crossing::",
            "redis::outage::",
            "redis::killed::",
            "redis::tls::",
        ],
    ),
    (VALKEY, redis::start_valkey, &["on_valkey::", "laws::valkey::"]),
    (
        "SESSILE_TEST_REDIS_CLUSTER",
        redis::start_cluster,
        &["on_redis_cluster::", "laws::cluster::", "redis::cluster::"],
    ),
];

/// Where tests look for a Valkey server. Debian has one from release 13 on, and as a backport for 12.
const VALKEY: &str = "SESSILE_TEST_VALKEY";

/// Whether CI may do without this server.
pub(crate) fn is_optional(why: &str) -> bool {
    why.contains(VALKEY)
}

/// The tests that could only pass by doing nothing, because these servers are all there are.
pub(crate) fn tests_without(servers: &[Server]) -> Vec<&'static str> {
    let there = |variable| servers.iter().any(|server| server.variable == variable);
    let missing = SERVERS.iter().filter(|(variable, ..)| !there(*variable));
    missing.flat_map(|(_, _, tests)| *tests).copied().collect()
}

/// Starts what is not named by the environment already. Gives each server, or why it is missing.
pub(crate) fn start() -> Vec<Result<Server, String>> {
    SERVERS.map(|(variable, start, _)| server(variable, start)).into()
}

fn server(variable: &'static str, start: Start) -> Result<Server, String> {
    if let Ok(url) = std::env::var(variable) {
        return Ok(Server { variable, url, _running: Vec::new() });
    }
    let (url, running) = start().map_err(|why| format!("no server for {variable}: {why}"))?;
    eprintln!("{variable}={url}");
    Ok(Server { variable, url, _running: running })
}

/// Whom a server runs as. Those of databases refuse to run as root.
struct User(Option<(u32, u32)>);

impl User {
    /// Ourselves, or this user of the system if we are root.
    fn named(name: &str) -> Result<Self, String> {
        if !needs::is_root() {
            return Ok(Self(None));
        }
        let users = std::fs::read_to_string("/etc/passwd").map_err(|why| why.to_string())?;
        let ids = ids_of(&users, name).ok_or_else(|| format!("there is no user {name}"))?;
        Ok(Self(Some(ids)))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = command(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group).current_dir("/");
        }
        command
    }
}

/// The numbers of a user and of their group, out of `/etc/passwd`.
fn ids_of(users: &str, name: &str) -> Option<(u32, u32)> {
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.first() == Some(&name))?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// A folder that goes when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, user: &User) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("sessile-{name}-{}", std::process::id()));
        let made =
            std::fs::DirBuilder::new().mode(0o700).create(&path).and_then(|()| match user.0 {
                Some((user, group)) => chown(&path, Some(user), Some(group)),
                None => Ok(()),
            });
        made.map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(Self(path))
    }

    fn join(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server under way. Dropping it stops it, and then its folder goes.
struct Running {
    process: Child,
    /// The signal that ends it in order.
    signal: &'static str,
    _folder: Folder,
}

/// No server takes longer to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

impl Running {
    /// Starts a server and waits for the line of its log that says it is ready.
    fn start(
        server: &mut Command,
        ready: &'static str,
        signal: &'static str,
        folder: Folder,
    ) -> Result<Self, String> {
        let quiet = server.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = quiet.spawn().map_err(|why| why.to_string())?;
        let log = process.stderr.take().expect("standard error was asked for as a pipe");
        let running = Self { process, signal, _folder: folder };
        wait_for(ready, log)?;
        Ok(running)
    }
}

/// Reads a log until it says so; the rest is read too, or the server would wait for us.
fn wait_for(ready: &'static str, log: ChildStderr) -> Result<(), String> {
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            let _ = said.send(line);
        }
    });
    let until = Instant::now() + PATIENCE;
    let mut last = String::new();
    while let Ok(line) = heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if line.contains(ready) {
            return Ok(());
        }
        last = line;
    }
    Err(format!("it did not start; the last it said was {last:?}"))
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = run(command("kill").args(["-s", self.signal, &self.process.id().to_string()]));
        let until = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on. Somebody else may be faster; then the server does not start.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    listener.map(|address| address.port()).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tests_of_missing_servers_are_left_out() {
        let server = |variable| Server { variable, url: String::new(), _running: Vec::new() };
        let all = SERVERS.map(|(variable, ..)| server(variable));
        assert_eq!(tests_without(&all), Vec::<&str>::new());
        assert_eq!(tests_without(&all[1..]), ["on_postgres::", "::postgres::"]);
        assert!(tests_without(&[]).contains(&"on_redis_cluster::"));
    }

    #[test]
    fn a_users_numbers_are_read() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104::/:/bin/sh\nshort:x\n";
        assert_eq!(ids_of(users, "postgres"), Some((101, 104)));
        assert_eq!(ids_of(users, "short"), None);
        assert_eq!(ids_of(users, "mysql"), None);
    }

    #[test]
    fn a_server_that_ends_at_once_is_named_by_its_last_words() {
        let folder = Folder::new("test", &User(None)).unwrap();
        let path = folder.0.clone();
        let mut server = command("sh");
        server.args(["-c", "echo no such data >&2"]);
        let why = Running::start(&mut server, "ready", "TERM", folder).err().unwrap();
        assert!(why.contains("no such data"), "{why}");
        assert!(!path.exists());
    }

    #[test]
    fn a_server_is_stopped_and_its_folder_goes() {
        let folder = Folder::new("test-stop", &User(None)).unwrap();
        let path = folder.0.clone();
        let mut server = command("sh");
        server.args(["-c", "echo now ready >&2; exec sleep 600"]);
        let running = Running::start(&mut server, "ready", "TERM", folder).unwrap();
        let id = running.process.id();
        drop(running);
        assert!(!path.exists() && !Path::new(&format!("/proc/{id}")).exists());
    }
}
