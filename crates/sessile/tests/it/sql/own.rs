//! Database servers that a test starts for itself, because it kills or configures them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::full::Disk;
use super::places::{Kind, execute};

/// A server with a directory of its own, killed when dropped.
pub(super) struct Own {
    pub(super) kind: Kind,
    pub(super) port: u16,
    /// Where the folder is a disk by itself; it goes before the folder does.
    disk: Option<Disk>,
    pub(super) folder: TempDir,
    program: PathBuf,
    words: Vec<String>,
    /// Whom it runs as; servers refuse to run as root.
    user: &'static str,
    process: Option<Child>,
}

/// A PostgreSQL server as it is by default, but for these settings; `None` where the test is skipped.
#[cfg(feature = "postgres")]
pub(super) async fn postgres(settings: &[&str]) -> Option<Own> {
    postgres_in(owned_by("postgres"), None, settings).await
}

/// A PostgreSQL server whose data lies on a disk of so many MiB.
#[cfg(feature = "postgres")]
pub(super) async fn postgres_on_a_small_disk(mib: u32) -> Option<Own> {
    let folder = owned_by("postgres");
    let disk = Disk::small(folder.path(), "postgres", mib)?;
    postgres_in(folder, Some(disk), &[]).await
}

#[cfg(feature = "postgres")]
async fn postgres_in(folder: TempDir, disk: Option<Disk>, settings: &[&str]) -> Option<Own> {
    let program = installed("postgres", "/usr/lib/postgresql/*/bin/postgres")?;
    let (user, port) = ("postgres", free_port());
    let data = format!("{}/data", folder.path().display());
    let mut make = as_user(user, &program.with_file_name("initdb"));
    make.args(["--auth=trust", "--username=sessile", "--encoding=UTF8", "--no-sync", "-D", &data]);
    succeed(&mut make);
    let mut words = vec!["-D".into(), data.clone(), "-k".into(), data, "-p".into()];
    words.extend([port.to_string(), "-h".into(), "127.0.0.1".into()]);
    words.extend(settings.iter().flat_map(|setting| ["-c".into(), (*setting).to_owned()]));
    let kind = Kind::Postgres;
    let own = Own { kind, port, disk, folder, program, words, user, process: None };
    Some(own.started().await)
}

/// A MariaDB server as it is by default, but for these options; `None` where the test is skipped.
#[cfg(feature = "mysql")]
pub(super) async fn mariadb(options: &[&str]) -> Option<Own> {
    mariadb_in(owned_by("mysql"), None, options).await
}

/// A MariaDB server whose data lies on a disk of so many MiB.
#[cfg(feature = "mysql")]
pub(super) async fn mariadb_on_a_small_disk(mib: u32) -> Option<Own> {
    let folder = owned_by("mysql");
    let disk = Disk::small(folder.path(), "mysql", mib)?;
    // By default it is 96 MiB, all of which is there from the start.
    mariadb_in(folder, Some(disk), &["--innodb-log-file-size=8M"]).await
}

#[cfg(feature = "mysql")]
async fn mariadb_in(folder: TempDir, disk: Option<Disk>, options: &[&str]) -> Option<Own> {
    let program = installed("mariadbd", "/usr/sbin/mariadbd")?;
    let (user, port) = ("mysql", free_port());
    let at = |name: &str| format!("{}/{name}", folder.path().display());
    let mut make = as_user(user, Path::new("mariadb-install-db"));
    let quiet = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"];
    make.args(quiet).arg(format!("--datadir={}", at("data")));
    make.args(options);
    succeed(&mut make);
    let first = "CREATE DATABASE IF NOT EXISTS sessile;\n\
        CREATE USER IF NOT EXISTS sessile@'127.0.0.1' IDENTIFIED BY 'sessile';\n\
        GRANT ALL ON sessile.* TO sessile@'127.0.0.1';\n";
    std::fs::write(at("first.sql"), first).unwrap();
    let mut words = vec!["--no-defaults".to_owned(), "--bind-address=127.0.0.1".into()];
    words.extend([format!("--port={port}"), format!("--datadir={}", at("data"))]);
    words.extend([format!("--socket={}", at("socket")), format!("--pid-file={}", at("pid"))]);
    words.extend(["--skip-name-resolve".into(), format!("--init-file={}", at("first.sql"))]);
    words.extend(options.iter().map(ToString::to_string));
    let kind = Kind::MySql;
    let own = Own { kind, port, disk, folder, program, words, user, process: None };
    Some(own.started().await)
}

impl Own {
    pub(super) fn url(&self) -> String {
        let port = self.port;
        match self.kind {
            #[cfg(feature = "mysql")]
            Kind::MySql => format!("mysql://sessile:sessile@127.0.0.1:{port}/sessile"),
            _ => format!("postgres://sessile@127.0.0.1:{port}/postgres"),
        }
    }

    async fn started(mut self) -> Self {
        self.start().await;
        self
    }

    /// Starts it, or starts it again on the same port and data, and waits until it answers.
    pub(super) async fn start(&mut self) {
        self.process = Some(self.spawned());
        let begun = Instant::now();
        while let Err(error) = execute(self.kind, &self.url(), "SELECT 1".into()).await {
            let log = || std::fs::read_to_string(self.log()).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "no start: {error}\n{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
            // PostgreSQL refuses to start while a process of the one before has not quite gone.
            if let Some(Ok(Some(_))) = self.process.as_mut().map(Child::try_wait) {
                self.process = Some(self.spawned());
            }
        }
    }

    fn spawned(&self) -> Child {
        let mut server = as_user(self.user, &self.program);
        let log = std::fs::File::create(self.log()).unwrap();
        server.args(&self.words).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Ends it and every process that it started at once, with no time to write anything.
    pub(super) fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let id = process.id();
        // Stopped first, or it would notice the death of the others and write what it still can.
        signal("-STOP", &[id.to_string()]);
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let all = children.split_whitespace().map(str::to_owned).chain([id.to_string()]);
        signal("-KILL", &all.collect::<Vec<_>>());
        process.wait().unwrap();
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.kill();
        drop(self.disk.take());
    }
}

fn signal(name: &str, processes: &[String]) {
    succeed(Command::new("kill").arg(name).args(processes));
}

pub(super) fn succeed(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The program on the path, or where this pattern finds it; the newest of several.
pub(super) fn installed(name: &str, elsewhere: &str) -> Option<PathBuf> {
    let find = format!("ls -v {elsewhere} 2>/dev/null | tail -n 1; command -v {name}");
    let found = Command::new("sh").args(["-c", &find]).output().unwrap().stdout;
    let found = String::from_utf8(found).unwrap();
    if found.is_empty() {
        println!("skipped: {name} is not installed");
        let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        assert!(!ci, "CI promises {name}");
    }
    found.lines().next().map(PathBuf::from)
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The program as this user if we are root, else as ourselves.
pub(super) fn as_user(user: &str, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(program);
    command.current_dir("/");
    command
}

/// A new folder of this user, in whose name we may write as well.
pub(super) fn owned_by(user: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if is_root() {
        succeed(Command::new("chown").arg(user).arg(folder.path()));
    }
    folder
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
