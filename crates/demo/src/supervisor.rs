//! The parent process: it holds the listening socket and starts whoever serves on it, again and again.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::banner::Banner;
use crate::lifeline::{Message, start_child};
use crate::signals::Stop;
use crate::{Failure, say};

/// How often in a row a child may end before it serves.
const FAILURES_MAX: u32 = 3;

/// The pause after a child that ended before it served.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a child that was told to end may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps one child serving on `listener` until this process is told to stop.
pub(crate) async fn run(listener: TcpListener, banner: Banner) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let mut watch = Watch { banner, failures: 0, served_before: false };
    loop {
        let mut serving = Serving::start(&listener)?;
        tokio::select! {
            // A terminal interrupts parent and child at once: that child is not to be replaced.
            biased;
            () = stop.asked() => return serving.stop().await,
            end = serving.end(&mut watch) => watch.judge(end?).await?,
        }
    }
}

/// How a child ended.
struct End {
    /// Whether it had served.
    served: bool,
    /// What it said of its failure.
    why: Option<String>,
    /// Its exit status, in words.
    status: String,
}

/// What the parent remembers from child to child.
struct Watch {
    banner: Banner,
    failures: u32,
    served_before: bool,
}

impl Watch {
    /// Tells the terminal that a child serves.
    fn serves(&mut self, child: u32) {
        if self.served_before {
            say(format_args!("process {child} serves"));
        } else {
            self.banner.print(child);
        }
        self.served_before = true;
    }

    /// Gives up after too many children that never served.
    async fn judge(&mut self, end: End) -> Result<(), Failure> {
        if end.served {
            self.failures = 0;
            return Ok(());
        }
        self.failures += 1;
        if self.failures < FAILURES_MAX {
            sleep(PAUSE).await;
            return Ok(());
        }
        let why = end.why.unwrap_or(end.status);
        Err(format!("the serving process ended at once, {FAILURES_MAX} times: {why}").into())
    }
}

/// A child and its messages.
struct Serving {
    child: Child,
    id: u32,
    messages: Lines<BufReader<UnixStream>>,
}

impl Serving {
    fn start(listener: &TcpListener) -> io::Result<Self> {
        let (child, lifeline) = start_child(listener)?;
        lifeline.set_nonblocking(true)?;
        let messages = BufReader::new(UnixStream::from_std(lifeline)?).lines();
        Ok(Self { id: child.id().unwrap_or_default(), child, messages })
    }

    /// Listens to the child until it ends.
    async fn end(&mut self, watch: &mut Watch) -> Result<End, Failure> {
        let mut why = None;
        let mut served = false;
        while let Ok(Some(line)) = self.messages.next_line().await {
            match Message::from_line(&line) {
                Some(Message::Ready) => {
                    served = true;
                    watch.serves(self.id);
                }
                Some(Message::Failed(reason)) => why = Some(reason),
                None => {}
            }
        }
        let status = self.child.wait().await?.to_string();
        if served {
            say(format_args!("process {} ended ({status})", self.id));
        }
        Ok(End { served, why, status })
    }

    /// Lets the child finish what it does, and ends it where it does not.
    async fn stop(self) -> Result<(), Failure> {
        let Self { mut child, messages, .. } = self;
        drop(messages);
        if timeout(PATIENCE, child.wait()).await.is_err() {
            child.kill().await?;
        }
        Ok(())
    }
}
