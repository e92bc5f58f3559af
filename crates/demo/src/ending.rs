//! How a serving process ends: told to stop, or by its own hand.

use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::watch;

/// Why a process stops serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody asked it to.
    Stop,
    /// Somebody pulled the plug.
    Plug,
}

impl End {
    /// How long answers that are under way may take.
    pub(crate) fn patience(self) -> Duration {
        match self {
            Self::Stop => Duration::from_secs(3),
            // Long enough for the answer that tells the browser where to look.
            Self::Plug => Duration::from_millis(200),
        }
    }
}

/// The wish that this process ends. The first one counts.
#[derive(Clone, Debug)]
pub(crate) struct Ending(watch::Sender<Option<End>>);

impl Ending {
    /// Nobody wishes so yet.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Wishes it.
    pub(crate) fn begin(&self, end: End) {
        self.0.send_if_modified(|wish| {
            let first = wish.is_none();
            wish.get_or_insert(end);
            first
        });
    }

    /// Whether somebody pulled the plug, so that another process is to answer.
    pub(crate) fn is_pulled(&self) -> bool {
        *self.0.borrow() == Some(End::Plug)
    }

    /// Waits for the wish.
    pub(crate) async fn begun(&self) -> End {
        let mut wish = self.0.subscribe();
        loop {
            if let Some(end) = *wish.borrow_and_update() {
                return end;
            }
            wish.changed().await.expect("the sender is ours");
        }
    }

    /// Waits for the wish, and as long as answers that are under way may take.
    pub(crate) async fn over(&self) {
        let end = self.begun().await;
        tokio::time::sleep(end.patience()).await;
    }
}

/// Ends this process as `kill -9` does: nothing is flushed, nothing is said, nothing returns.
pub(crate) fn kill_myself() -> std::io::Result<()> {
    Ok(kill_process(getpid(), Signal::KILL)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_wish_counts() {
        let ending = Ending::new();
        let waiting = tokio::spawn({
            let ending = ending.clone();
            async move { ending.begun().await }
        });
        ending.begin(End::Plug);
        ending.begin(End::Stop);
        assert_eq!(waiting.await.unwrap(), End::Plug);
        assert_eq!(ending.begun().await, End::Plug);
    }
}
