//! strace, attached to a thread that waits for its order: what it counts is that order's calls
//! alone.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The calls of the store that change a disk, read it, or can be refused by it. A question mark
/// makes strace forgive a name that this machine's kernel does not have.
pub(crate) const CALLS: [&str; 21] = [
    "openat",
    "openat2",
    "pread64",
    "preadv2",
    "pwrite64",
    "write",
    "fdatasync",
    "fsync",
    "flock",
    "fcntl",
    "unlinkat",
    "ftruncate",
    "renameat",
    "renameat2",
    "linkat",
    "mkdirat",
    "newfstatat",
    "fstat",
    "statx",
    "getdents64",
    "fstatfs",
];

/// No process takes longer to be attached to, or to be let go.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tracer at work.
#[derive(Debug)]
pub(crate) struct Strace {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Strace {
    /// Attaches to these threads, shows these calls, and does this to them.
    pub(crate) fn attach(
        threads: &[u32],
        calls: &[&str],
        inject: &[String],
    ) -> Result<Self, String> {
        let mut command = Command::new("strace");
        for thread in threads {
            command.args(["-p", &thread.to_string()]);
        }
        command.args(["-s", "0", "-e", "signal=all", "-e"]).arg(format!("trace={}", known(calls)));
        for inject in inject {
            command.arg("-e").arg(format!("inject={inject}"));
        }
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = quiet.spawn().map_err(|why| format!("strace does not start: {why}"))?;
        let lines = listen(child.stderr.take().expect("standard error was asked for as a pipe"));
        let mut strace = Self { child, lines, seen: Vec::new() };
        for _ in threads {
            strace.wait_for(" attached")?;
        }
        Ok(strace)
    }

    /// Reads until a line says this.
    pub(crate) fn wait_for(&mut self, what: &str) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(what) => return Ok(()),
                Ok(line) => self.seen.push(line),
                Err(_) => return Err(format!("strace said {:?}", self.seen.last())),
            }
        }
    }

    /// Lets the threads go, and gives the lines about their calls.
    pub(crate) fn detach(mut self) -> Vec<String> {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let mut lines = std::mem::take(&mut self.seen);
        lines.extend(self.lines.iter());
        let _ = self.child.wait();
        lines.retain(|line| !line.starts_with("strace: "));
        lines
    }
}

impl Drop for Strace {
    /// One that is killed lets go of its threads too.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn known(calls: &[&str]) -> String {
    calls.iter().map(|call| format!("?{call}")).collect::<Vec<_>>().join(",")
}

fn listen(stderr: ChildStderr) -> Receiver<String> {
    let (say, said) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if say.send(line).is_err() {
                return;
            }
        }
    });
    said
}

/// Which of a worker's threads makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thread {
    Main,
    Pool,
}

/// One call of a deed: the `nth` of its name on its thread, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) thread: Thread,
    pub(crate) name: String,
    pub(crate) nth: usize,
    pub(crate) arguments: String,
}

impl Call {
    /// Whether it can make a file or make one larger.
    pub(crate) fn takes_space(&self) -> bool {
        match self.name.as_str() {
            "mkdirat" | "linkat" | "renameat" | "renameat2" => true,
            // Space is taken late where blocks are allocated late.
            _ => self.writes() || self.syncs() || self.arguments.contains("O_CREAT"),
        }
    }

    /// The kernel reads directories without a break, and never waits over a descriptor's flags.
    pub(crate) fn may_be_interrupted(&self) -> bool {
        match self.name.as_str() {
            "getdents64" => false,
            "fcntl" => self.arguments.contains("SETLK"),
            _ => true,
        }
    }

    /// How an old kernel, a sandbox, or one that guards other people's files refuses what not every
    /// system can do.
    pub(crate) fn refusal_of_the_unknown(&self) -> Option<&'static str> {
        match self.name.as_str() {
            "openat2" => Some("ENOSYS"),
            "preadv2" => Some("EOPNOTSUPP"),
            _ => self.arguments.contains("O_NOATIME").then_some("EPERM"),
        }
    }

    pub(crate) fn opens(&self) -> bool {
        matches!(self.name.as_str(), "openat" | "openat2")
    }

    pub(crate) fn writes(&self) -> bool {
        matches!(self.name.as_str(), "pwrite64" | "write")
    }

    pub(crate) fn syncs(&self) -> bool {
        matches!(self.name.as_str(), "fdatasync" | "fsync")
    }

    /// Where a write at an offset begins, and how long it is.
    pub(crate) fn extent(&self) -> Option<(u64, u64)> {
        let numbers: Vec<&str> = self.arguments.rsplit(", ").take(2).collect();
        let [offset, bytes] = numbers[..] else { return None };
        let at = |text: &str| text.parse().ok();
        (self.name == "pwrite64").then_some((at(offset)?, at(bytes)?))
    }
}

/// The calls that a trace shows, up to the answer.
pub(crate) fn calls(lines: &[String], main: u32) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for line in lines {
        let Some((thread, name, arguments)) = entry(line, main) else { continue };
        // What a worker writes to its standard output is its answer.
        if name == "write" && arguments.starts_with("1,") {
            break;
        }
        let same = calls.iter().filter(|call| call.thread == thread && call.name == name);
        let nth = same.count() + 1;
        calls.push(Call { thread, name: name.into(), nth, arguments: arguments.into() });
    }
    calls
}

/// The thread, the name and the arguments in a line like `[pid 7] pwrite64(5, ""..., 55, 64) = 55`.
fn entry(line: &str, main: u32) -> Option<(Thread, &str, &str)> {
    let (pid, call) = match line.strip_prefix("[pid") {
        Some(rest) => rest.split_once("] ")?,
        None => ("", line),
    };
    let thread = match pid.trim().parse::<u32>() {
        Ok(pid) if pid != main => Thread::Pool,
        _ => Thread::Main,
    };
    let (name, rest) = call.split_once('(')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let end = rest.find(')').or_else(|| rest.find(" <unfinished")).unwrap_or(rest.len());
    is_name.then_some((thread, name, &rest[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(lines: &[&str]) -> Vec<Call> {
        calls(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), 7)
    }

    #[test]
    fn calls_are_counted_by_name_and_thread_up_to_the_answer() {
        let found = traced(&[
            "[pid     7] openat(5, \"\"..., O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 9",
            "[pid     8] flock(5, LOCK_EX|LOCK_NB <unfinished ...>",
            "[pid     7] openat(5, \"\"..., O_RDONLY) = 10 (flags)",
            "[pid     8] <... flock resumed>)        = 0",
            "[pid     8] openat(5, \"\"..., O_RDONLY) = 11",
            "--- SIGSTOP {si_signo=SIGSTOP} ---",
            "[pid     7] write(1, \"\"..., 80) = 80",
            "[pid     7] fsync(5) = 0",
        ]);
        let brief: Vec<_> = found.iter().map(|it| (it.thread, it.name.as_str(), it.nth)).collect();
        assert_eq!(
            brief,
            [
                (Thread::Main, "openat", 1),
                (Thread::Pool, "flock", 1),
                (Thread::Main, "openat", 2),
                (Thread::Pool, "openat", 1),
            ]
        );
        assert!(found[0].takes_space() && !found[2].takes_space());
    }

    #[test]
    fn a_write_tells_where_it_lies() {
        let call = &traced(&["pwrite64(9, \"\"..., 1600, 64) = 1600"])[0];
        assert_eq!(call.extent(), Some((64, 1600)));
        assert_eq!(traced(&["write(9, \"\"..., 32) = 32"])[0].extent(), None);
    }
}
