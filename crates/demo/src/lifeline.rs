//! What ties a serving process to the parent that supervises it.
//!
//! The parent binds the address and keeps the listening socket; a child inherits it as its standard
//! input. So a connection made while one child is dead waits for the next one instead of being
//! refused. The child's standard output is one end of a socket pair: through it the child says that
//! it is ready, or why it cannot be, and sees the end of file when its parent dies, however that
//! happens.

use std::env;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::{Child, Command};

use crate::Failure;

/// Says in the environment that this process was started to serve under a parent.
const MARK: &str = "SESSILE_DEMO_SUPERVISED_CHILD";

/// What a child tells its parent, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// It serves.
    Ready,
    /// It cannot serve, and ends.
    Failed(String),
}

impl Message {
    fn to_line(&self) -> String {
        match self {
            Self::Ready => "ready\n".into(),
            Self::Failed(why) => format!("failed {}\n", why.replace('\n', " ")),
        }
    }

    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let line = line.trim_end();
        if line == "ready" {
            return Some(Self::Ready);
        }
        line.strip_prefix("failed ").map(|why| Self::Failed(why.into()))
    }
}

/// Starts this program again, with the same arguments, as a child that serves on `listener`.
pub(crate) fn start_child(listener: &TcpListener) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(MARK, "")
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, ours))
}

/// The child's end of the pair.
#[derive(Clone, Debug)]
pub(crate) struct Lifeline(Arc<UnixStream>);

impl Lifeline {
    /// The lifeline and the listening socket that a parent handed to this process, if one did.
    pub(crate) fn inherited() -> Result<Option<(Self, TcpListener)>, Failure> {
        if env::var_os(MARK).is_none() {
            return Ok(None);
        }
        let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
        let stream = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Some((Self(stream.into()), listener)))
    }

    /// Tells the parent; a parent that is gone needs no telling.
    pub(crate) fn tell(&self, message: &Message) {
        let _ = (&*self.0).write_all(message.to_line().as_bytes());
    }

    /// Blocks until the parent is gone or has let go.
    pub(crate) fn wait(&self) {
        let mut nothing = [0; 16];
        while matches!((&*self.0).read(&mut nothing), Ok(1..)) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_its_line() {
        for message in [Message::Ready, Message::Failed("no such disk".into())] {
            assert_eq!(Message::from_line(&message.to_line()), Some(message));
        }
        assert_eq!(Message::Failed("two\nlines".into()).to_line(), "failed two lines\n");
        assert_eq!(Message::from_line("hello"), None);
    }

    #[test]
    fn a_child_sees_the_end_of_its_parent() {
        let (parent, child) = UnixStream::pair().unwrap();
        let waiting = std::thread::spawn(move || Lifeline(child.into()).wait());
        assert!(!waiting.is_finished());
        drop(parent);
        waiting.join().unwrap();
    }
}
