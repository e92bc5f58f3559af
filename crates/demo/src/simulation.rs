//! What most session stores do, simulated: load the whole record, change it, save it whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

/// A whole session, as a store without merging sees it.
type Whole = HashMap<&'static str, u64>;

/// A store of one record whose last writer wins.
#[derive(Clone, Debug, Default)]
struct LastWriteWins(Arc<Mutex<Whole>>);

impl LastWriteWins {
    fn load(&self) -> Whole {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn save(&self, whole: Whole) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = whole;
    }
}

/// What the simulation counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Simulated {
    /// How many requests counted.
    pub(crate) sent: u64,
    /// What the record says afterwards.
    pub(crate) counted: u64,
}

impl Simulated {
    /// How many counts vanished.
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.counted)
    }
}

/// Lets `sent` tasks count at once, each of which keeps the record for `hold` before it saves.
pub(crate) async fn run(sent: u64, hold: Duration) -> Simulated {
    let store = LastWriteWins::default();
    let requests: JoinSet<()> = (0..sent).map(|_| request(store.clone(), hold)).collect();
    requests.join_all().await;
    Simulated { sent, counted: store.load().get("visits").copied().unwrap_or_default() }
}

async fn request(store: LastWriteWins, hold: Duration) {
    let mut session = store.load();
    *session.entry("visits").or_default() += 1;
    tokio::time::sleep(hold).await;
    store.save(session);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_at_once_lose_counts() {
        let simulated = run(40, Duration::from_millis(20)).await;
        assert!(simulated.lost() > 0 && simulated.counted > 0, "{simulated:?}");
        assert_eq!(simulated.sent, 40);
    }

    #[tokio::test]
    async fn one_request_loses_nothing() {
        assert_eq!(run(1, Duration::ZERO).await.lost(), 0);
    }
}
