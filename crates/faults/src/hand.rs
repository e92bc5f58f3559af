//! A worker as its driver holds it: asked, listened to, killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::deed::{Answer, Order, Said};
use crate::history::Event;

/// No answer takes longer, on the slowest disk: the store itself gives up a lock after two seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What came back for an order.
#[derive(Debug)]
pub(crate) enum Reply {
    Answered(Event),
    /// The worker ended without an answer.
    Died(ExitStatus),
    /// It neither answered nor ended in time.
    Silent,
}

#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    said: Receiver<Said>,
    /// What was listened to already.
    heard: Vec<Said>,
    pub(crate) main: u32,
    pub(crate) pool: u32,
}

impl Worker {
    /// One that does what it is asked.
    pub(crate) fn serving(root: &Path) -> Result<Self, String> {
        Self::start(&["serve".into(), root.display().to_string()])
    }

    /// One that does as it likes, and tells of it.
    pub(crate) fn roaming(root: &Path, seed: u64, name: u64) -> Result<Self, String> {
        let root = root.display().to_string();
        Self::start(&["roam".into(), root, seed.to_string(), name.to_string()])
    }

    /// A file that grows beyond its limit raises a signal. Ignored, as only a parent can arrange
    /// for its child without unsafe code, it becomes an error of the write.
    fn start(words: &[String]) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|why| format!("who am I? {why}"))?;
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(own).arg("worker");
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|why| format!("no worker starts: {why}"))?;
        let orders = child.stdin.take();
        let said = listen(&mut child);
        match said.recv_timeout(PATIENCE) {
            Ok(Said::Hello { main, pool }) => {
                Ok(Self { child, orders, said, heard: Vec::new(), main, pool })
            }
            other => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("a worker did not say hello: {other:?}"))
            }
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn ask(&mut self, order: &Order) -> Reply {
        self.send(order);
        self.receive(order, PATIENCE)
    }

    /// Sends an order; a worker that is dead says so when it is listened to.
    pub(crate) fn send(&mut self, order: &Order) {
        let mut line = serde_json::to_string(order).expect("an order is plain data");
        line.push('\n');
        if let Some(orders) = &mut self.orders {
            let _ = orders.write_all(line.as_bytes());
        }
    }

    pub(crate) fn receive(&mut self, order: &Order, patience: Duration) -> Reply {
        match self.said.recv_timeout(patience) {
            Ok(Said::Answers { answer, begun_ns, at_ns }) => {
                let answer = Some((answer, at_ns));
                Reply::Answered(Event { order: order.clone(), begun_ns, answer })
            }
            Ok(other) => panic!("a serving worker says nothing but answers: {other:?}"),
            Err(RecvTimeoutError::Timeout) => Reply::Silent,
            Err(RecvTimeoutError::Disconnected) => {
                Reply::Died(self.child.wait().expect("a child can be waited for"))
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It fails for one that is gone alone.
        let _ = rustix::process::kill_process(self.pid(), signal);
    }

    /// Lets no file of its grow beyond so many bytes; `None` lifts that.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) -> Result<(), String> {
        // The hard limit stays, or it could not be lifted again.
        let limit = Rlimit { current: bytes, maximum: None };
        let limited = rustix::process::prlimit(Some(self.pid()), Resource::Fsize, limit);
        limited.map(drop).map_err(|why| format!("cannot limit the files of a worker: {why}"))
    }

    /// Kills it, and gives everything that it did and began: what it had said stays in the pipe.
    pub(crate) fn kill(mut self) -> Vec<Event> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let heard = std::mem::take(&mut self.heard);
        events(heard.into_iter().chain(self.said.iter()))
    }

    /// Waits until a roaming worker has been told of the end of a session, if that comes in time.
    pub(crate) fn wait_for_an_end(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        let left = || until.saturating_duration_since(Instant::now());
        while let Ok(said) = self.said.recv_timeout(left()) {
            let is_end = matches!(said, Said::Answers { answer: Answer::Ended, .. });
            self.heard.push(said);
            if is_end {
                return;
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(child: &mut Child) -> Receiver<Said> {
    let stdout = child.stdout.take().expect("standard output was asked for as a pipe");
    let (say, said) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // A long line can be cut off by a kill; it is the last one then.
            let Ok(line) = serde_json::from_str(&line) else { return };
            if say.send(line).is_err() {
                return;
            }
        }
    });
    said
}

/// The deeds of a roaming worker: each begun, and answered unless it was killed over it.
fn events(said: impl Iterator<Item = Said>) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for said in said {
        match said {
            Said::Begins { order, at_ns } => {
                events.push(Event { order, begun_ns: at_ns, answer: None });
            }
            Said::Answers { answer, at_ns, .. } => {
                let last = events.last_mut().expect("a roaming worker says what it begins");
                last.answer = Some((answer, at_ns));
            }
            Said::Hello { .. } => {}
        }
    }
    events
}

/// The event of an order that was never answered: nobody can tell when it was begun.
pub(crate) fn unanswered(order: &Order) -> Event {
    Event { order: order.clone(), begun_ns: 0, answer: None }
}

/// Whether an answer is an error, and which.
pub(crate) fn failure(event: &Event) -> Option<(&str, &str)> {
    match &event.answer {
        Some((Answer::Failed { kind, why }, _)) => Some((kind, why)),
        _ => None,
    }
}
