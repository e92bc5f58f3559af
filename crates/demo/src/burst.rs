//! 40 at once: many requests of one session at the same time, and what became of each.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::own_client::OwnClient;
use crate::simulation::Simulated;

/// How many requests are sent.
pub(crate) const REQUESTS: u64 = 40;

/// How long each one holds the session between load and save, so that all of them overlap.
pub(crate) const HOLD: Duration = Duration::from_millis(20);

/// What became of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Burst {
    pub(crate) sent: u64,
    /// How many were told that they counted.
    pub(crate) acknowledged: u64,
    /// How much the counter grew.
    pub(crate) counted: u64,
    /// How often a save was merged with another.
    pub(crate) conflicts: u64,
    /// How many different numbers were answered.
    pub(crate) distinct: u64,
    pub(crate) slowest: Duration,
    /// The same on a store that saves whole records.
    pub(crate) simulated: Simulated,
}

impl Burst {
    /// How many acknowledged counts are not in the counter.
    pub(crate) fn lost(&self) -> u64 {
        self.acknowledged.saturating_sub(self.counted)
    }

    /// How many requests were told that they did not count.
    pub(crate) fn refused(&self) -> u64 {
        self.sent.saturating_sub(self.acknowledged)
    }
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The number it counted; `None` when it did not.
    count: Option<u64>,
    took: Duration,
}

#[derive(Deserialize)]
struct Counted {
    count: u64,
}

/// Sends all requests at once, each with this cookie, and waits for their answers.
pub(crate) async fn send(client: &OwnClient, cookie: &HeaderValue) -> Vec<Answer> {
    let one = |_| ask(client.clone(), cookie.clone());
    (0..REQUESTS).map(one).collect::<JoinSet<_>>().join_all().await
}

async fn ask(client: OwnClient, cookie: HeaderValue) -> Answer {
    let path = format!("/api/count?hold_ms={}", HOLD.as_millis());
    let began = Instant::now();
    let count = match client.send(Method::POST, &path, cookie).await {
        Ok((StatusCode::OK, body)) => serde_json::from_slice(&body).ok(),
        _ => None,
    };
    Answer { count: count.map(|Counted { count }| count), took: began.elapsed() }
}

/// Adds up what the answers say, beside what the simulation counted.
pub(crate) fn tally(answers: &[Answer], simulated: Simulated) -> Burst {
    let numbers = || answers.iter().filter_map(|answer| answer.count);
    Burst {
        sent: answers.len() as u64,
        acknowledged: numbers().count() as u64,
        counted: 0,
        conflicts: 0,
        distinct: numbers().collect::<BTreeSet<_>>().len() as u64,
        slowest: answers.iter().map(|answer| answer.took).max().unwrap_or_default(),
        simulated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(count: Option<u64>, millis: u64) -> Answer {
        Answer { count, took: Duration::from_millis(millis) }
    }

    #[test]
    fn refused_is_not_lost_and_lost_is_what_was_acknowledged_and_is_not_there() {
        let answers = [answer(Some(8), 5), answer(Some(9), 9), answer(Some(9), 7), answer(None, 1)];
        let tally = tally(&answers, Simulated { sent: 4, counted: 1 });
        let burst = Burst { counted: 2, ..tally };
        assert_eq!((burst.sent, burst.acknowledged, burst.refused()), (4, 3, 1));
        assert_eq!((burst.counted, burst.lost(), burst.distinct), (2, 1, 2));
        assert_eq!(burst.slowest, Duration::from_millis(9));
    }
}
