//! Other processes on the same directory: this test binary once more, told by its environment what
//! to do. So a process can be killed, starved of disk, or run without a umask.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use sessile::store::{FileStore, Store};
use sessile::{Client, Session, Sessions};

use super::{Disk, LONG, count, headers, open};

const JOB: &str = "SESSILE_SEEDS_JOB";
const DIRECTORY: &str = "SESSILE_SEEDS_DIRECTORY";
const COOKIE: &str = "SESSILE_SEEDS_COOKIE";
const SAYS: &str = "seeds says: ";

/// How often the process counts.
pub(super) const COUNTS: u64 = 50;

/// A process at work, killed when dropped.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Counts in the session and writes keys of its own.
    pub(super) fn counts(disk: &Disk, cookie: &str) -> Self {
        Self::start("count", disk, cookie, "exec \"$0\" \"$@\"")
    }

    /// Holds the session exclusively, and says so, until it is killed.
    pub(super) fn holds(disk: &Disk, cookie: &str) -> Self {
        Self::start("hold", disk, cookie, "exec \"$0\" \"$@\"")
    }

    /// Lets a session outgrow the longest file it may write, and tells how that went.
    pub(super) fn grows_on_a_full_disk(disk: &Disk, cookie: &str) -> Self {
        // A write past the limit is cut short at it, and the next one fails: a disk that fills up.
        Self::start("grow", disk, cookie, "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"")
    }

    /// Makes sessions where no umask narrows what a file may be opened by.
    pub(super) fn makes_without_a_umask(disk: &Disk) -> Self {
        Self::start("make", disk, "", "umask 000; exec \"$0\" \"$@\"")
    }

    /// Sweeps one session after the other, and says so after the first, until it is killed.
    pub(super) fn sweeps(disk: &Disk) -> Self {
        Self::start("sweep", disk, "", "exec \"$0\" \"$@\"")
    }

    /// Opens files until no more may be open, reads and saves a session, and tells how that went.
    pub(super) fn runs_out_of_files(disk: &Disk, cookie: &str) -> Self {
        Self::start("files", disk, cookie, "ulimit -n 64; exec \"$0\" \"$@\"")
    }

    fn start(job: &str, disk: &Disk, cookie: &str, shell: &str) -> Self {
        let binary = std::env::current_exe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", shell]).arg(binary);
        command.args(["--exact", "seeds::process::at_work", "--nocapture"]);
        command.env(JOB, job).env(DIRECTORY, disk.path()).env(COOKIE, cookie);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        Self { child }
    }

    /// Waits for the first thing it says.
    pub(super) fn says(&mut self) -> String {
        let mut lines = BufReader::new(self.child.stdout.as_mut().unwrap()).lines();
        let said = lines.find_map(|line| line.unwrap().strip_prefix(SAYS).map(str::to_owned));
        said.expect("the process says something")
    }

    /// Waits for its end; gives all it said.
    pub(super) fn ends(mut self) -> Vec<String> {
        let mut output = String::new();
        self.child.stdout.as_mut().unwrap().read_to_string(&mut output).unwrap();
        assert!(self.child.wait().unwrap().success(), "{output}");
        output.lines().filter_map(|line| line.strip_prefix(SAYS)).map(str::to_owned).collect()
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it as `kill -9` does.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that other tests start. By itself it has no job, and ends at once.
#[tokio::test]
async fn at_work() {
    let Ok(job) = std::env::var(JOB) else { return };
    let directory = std::env::var(DIRECTORY).unwrap();
    let cookie = std::env::var(COOKIE).unwrap();
    let store = open(Path::new(&directory), "default");
    let sessions = Sessions::new(store.clone());
    match job.as_str() {
        "count" => count_and_write(&sessions, &cookie).await,
        "hold" => hold_until_killed(&sessions, &cookie).await,
        "grow" => grow(&sessions, &cookie).await,
        "make" => make(&sessions).await,
        "sweep" => sweep_until_killed(&store).await,
        "files" => run_out_of_files(&sessions, &cookie).await,
        _ => panic!("no such job: {job}"),
    }
}

fn say(text: &str) {
    println!("\n{SAYS}{text}");
}

async fn request(
    sessions: &Sessions,
    cookie: &str,
    wish: impl FnOnce(&Session),
) -> sessile::Result<()> {
    let exchange = sessions.begin(&headers(cookie), Client::default());
    wish(&exchange.handle().session().await?);
    exchange.finish(StatusCode::OK, &mut HeaderMap::new()).await
}

async fn count_and_write(sessions: &Sessions, cookie: &str) {
    for n in 0..COUNTS {
        let key = format!("{}-{n}", std::process::id());
        let counted = request(sessions, cookie, |session| {
            count(session);
            session.insert(&key, &n).unwrap();
        });
        counted.await.unwrap();
    }
}

async fn hold_until_killed(sessions: &Sessions, cookie: &str) {
    let exchange = sessions.begin(&headers(cookie), Client::default());
    let held = exchange.handle().exclusive().await.unwrap();
    held.insert("held", "and never saved").unwrap();
    say("holding");
    tokio::time::sleep(Duration::from_secs(60)).await;
}

async fn grow(sessions: &Sessions, cookie: &str) {
    let large = "x".repeat(100_000);
    let outcome = request(sessions, cookie, |session| session.insert("key", &large).unwrap());
    let error = outcome.await.unwrap_err();
    say(&format!("{:?}", error.kind()));
    say(&std::error::Error::source(&error).expect("the system's own error").to_string());
    let outcome = request(sessions, cookie, |session| session.insert("small", "fits").unwrap());
    say(if outcome.await.is_ok() { "saved" } else { "stuck" });
}

async fn make(sessions: &Sessions) {
    for n in 0..100 {
        let made = request(sessions, "", |session| {
            session.insert("large", &"x".repeat(n * 200)).unwrap();
            session.login("ann").unwrap();
        });
        made.await.unwrap();
    }
}

async fn sweep_until_killed(store: &FileStore) {
    while !store.delete_expired(SystemTime::now() + LONG, 1).await.unwrap().removed.is_empty() {
        say("sweeping");
    }
}

async fn run_out_of_files(sessions: &Sessions, cookie: &str) {
    let opened: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let outcome = request(sessions, cookie, |_| panic!("there was no file left to read by")).await;
    say(&format!("{:?}", outcome.unwrap_err().kind()));
    drop(opened);
    let outcome = request(sessions, cookie, |session| session.insert("key", "again").unwrap());
    say(if outcome.await.is_ok() { "saved" } else { "stuck" });
}
