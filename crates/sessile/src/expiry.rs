//! When a session ends by itself: an idle and an absolute limit, one deadline. Pure.

use std::time::{Duration, SystemTime};

use crate::clock::later;

/// The instant a session counts as absent: the earlier of its idle and absolute deadlines.
pub(crate) fn deadline(
    used_at: SystemTime,
    idle_timeout: Option<Duration>,
    absolute_deadline: SystemTime,
) -> SystemTime {
    match idle_timeout {
        Some(idle) => later(used_at, idle).min(absolute_deadline),
        None => absolute_deadline,
    }
}

/// Whether use at `now` is worth a touch: a set share of the idle timeout has passed since the last.
///
/// A session may therefore end that share earlier than its idle timeout after its last use.
pub(crate) fn touch_is_due(
    used_at: SystemTime,
    idle_timeout: Option<Duration>,
    now: SystemTime,
    share: u32,
) -> bool {
    let passed = now.duration_since(used_at).unwrap_or_default();
    idle_timeout.is_some_and(|idle| passed >= idle / share.max(1))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn at(n: u64) -> SystemTime {
        UNIX_EPOCH + secs(n)
    }

    #[test]
    fn the_earlier_limit_wins() {
        for (used, idle, absolute, ends) in [
            (100, Some(secs(10)), 1000, 110),
            (995, Some(secs(10)), 1000, 1000),
            (100, None, 1000, 1000),
            (100, Some(Duration::MAX), 1000, 1000),
        ] {
            assert_eq!(deadline(at(used), idle, at(absolute)), at(ends));
        }
    }

    #[test]
    fn a_touch_is_due_after_its_share_of_the_idle_timeout() {
        for (now, due) in [(100, false), (109, false), (110, true), (500, true), (50, false)] {
            assert_eq!(touch_is_due(at(100), Some(secs(160)), at(now), 16), due, "{now}");
        }
        assert!(!touch_is_due(at(100), None, at(10_000), 16));
    }
}
