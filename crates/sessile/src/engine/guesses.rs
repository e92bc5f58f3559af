//! Slowing down whoever guesses secrets.
//!
//! IDs are public, so a guess must not cost the session's owner anything: nothing is locked, ended or
//! written for it. The guesser waits instead: each further guess at one session within a minute is
//! answered later than the one before, up to a second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::token::SessionId;

/// The first guesses are answered at once: a browser with a stale cookie sends a few.
const FREE: u32 = 5;
const DELAY_STEP: Duration = Duration::from_millis(50);
const DELAY_MAX: Duration = Duration::from_secs(1);
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// More sessions than this under attack at once are not told apart.
const WATCHED_MAX: usize = 4_096;

/// The guesses of the last minute, by session.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<HashMap<SessionId, Watched>>);

#[derive(Debug)]
struct Watched {
    count: u32,
    last: Instant,
}

impl Guesses {
    /// Notes a guess at `id`; gives how long its answer is to wait.
    pub(super) fn note(&self, id: SessionId, now: Instant) -> Duration {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.len() >= WATCHED_MAX {
            watched.retain(|_, watched| now - watched.last < FORGOTTEN_AFTER);
            if watched.len() >= WATCHED_MAX {
                watched.clear();
            }
        }
        let entry = watched.entry(id).or_insert(Watched { count: 0, last: now });
        if now - entry.last >= FORGOTTEN_AFTER {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
        (DELAY_STEP * entry.count.saturating_sub(FREE).min(100)).min(DELAY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = SessionId::from_bytes([1; 16]);

    #[test]
    fn each_further_guess_waits_longer_up_to_a_second() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let waits: Vec<_> = (0..40).map(|_| guesses.note(ID, now).as_millis()).collect();
        assert_eq!(waits[..8], [0, 0, 0, 0, 0, 50, 100, 150]);
        assert_eq!(waits[39], 1_000);
        assert_eq!(guesses.note(SessionId::from_bytes([2; 16]), now), Duration::ZERO);
    }

    #[test]
    fn a_quiet_minute_is_forgiven() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..10 {
            guesses.note(ID, now);
        }
        assert!(guesses.note(ID, now + FORGOTTEN_AFTER / 2) > Duration::ZERO);
        assert_eq!(guesses.note(ID, now + FORGOTTEN_AFTER * 2), Duration::ZERO);
    }

    #[test]
    fn what_is_old_makes_room_before_what_is_new() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for n in 1..WATCHED_MAX as u128 - 1 {
            guesses.note(SessionId::from_bytes(n.to_le_bytes()), now);
        }
        let later = now + FORGOTTEN_AFTER;
        for _ in 0..10 {
            guesses.note(ID, later);
        }
        guesses.note(SessionId::from_bytes([2; 16]), later);
        assert_eq!(guesses.0.lock().unwrap().len(), WATCHED_MAX);
        guesses.note(SessionId::from_bytes([3; 16]), later);
        assert_eq!(guesses.0.lock().unwrap().len(), 3);
        assert!(guesses.note(ID, later) > Duration::ZERO);
    }

    #[test]
    fn guesses_at_many_sessions_take_no_more_memory_than_at_some() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for n in 0..3 * WATCHED_MAX as u128 {
            guesses.note(SessionId::from_bytes(n.to_le_bytes()), now);
        }
        assert!(guesses.0.lock().unwrap().len() <= WATCHED_MAX);
    }
}
