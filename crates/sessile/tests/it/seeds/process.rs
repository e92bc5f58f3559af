//! Other processes on the same directory: this test binary once more, told by its environment what
//! to do. So a process can be killed, starved of disk, or run without a umask.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use sessile::store::FileStore;
use sessile::{Client, Session, Sessions};

use super::{Disk, count, headers};

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

    fn start(job: &str, disk: &Disk, cookie: &str, shell: &str) -> Self {
        let binary = std::env::current_exe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", shell]).arg(binary);
        command.args(["--exact", "seeds::process::at_work", "--ignored", "--nocapture"]);
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

#[tokio::test]
#[ignore = "the process that other tests start"]
async fn at_work() {
    let Ok(job) = std::env::var(JOB) else { return };
    let directory = std::env::var(DIRECTORY).unwrap();
    let cookie = std::env::var(COOKIE).unwrap();
    let sessions = Sessions::new(FileStore::open(Path::new(&directory)).unwrap());
    match job.as_str() {
        "count" => count_and_write(&sessions, &cookie).await,
        "hold" => hold_until_killed(&sessions, &cookie).await,
        "grow" => grow(&sessions, &cookie).await,
        "make" => make(&sessions).await,
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
