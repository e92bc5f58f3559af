//! How many times something may happen in a minute, in one number (GCRA, ITU-T I.371).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MINUTE_US: u64 = 60_000_000;

/// What is left of a quota that fills up within a minute.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// When it will be full again, in microseconds of the clock's passage.
    full_at_us: AtomicU64,
}

impl Quota {
    /// Takes one, if there is one left; a quota that was left alone for a minute is full.
    pub(super) fn take(&self, per_minute: NonZeroU32, now: Duration) -> bool {
        let now_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let each_us = (MINUTE_US / u64::from(per_minute.get())).max(1);
        let take = |full_at_us: u64| {
            let full_at_us = full_at_us.max(now_us).saturating_add(each_us);
            (full_at_us - now_us <= MINUTE_US).then_some(full_at_us)
        };
        self.full_at_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(quota: &Quota, per_minute: u32, now: Duration) -> usize {
        let per_minute = NonZeroU32::new(per_minute).unwrap();
        (0..10_000).take_while(|_| quota.take(per_minute, now)).count()
    }

    #[test]
    fn a_quota_gives_what_it_has_and_fills_up_within_a_minute() {
        for per_minute in [1, 7, 60, 1_000] {
            let (quota, all) = (Quota::default(), per_minute as usize);
            let at = Duration::from_secs;
            assert_eq!(taken(&quota, per_minute, at(0)), all);
            assert_eq!(taken(&quota, per_minute, at(0)), 0);
            assert_eq!(taken(&quota, per_minute, at(30)), all / 2, "half a minute later");
            assert!(taken(&quota, per_minute, at(1_000)) >= all, "and no more than a minute's");
            assert_eq!(taken(&quota, per_minute, at(1_000)), 0);
        }
    }

    // R67
    #[test]
    fn no_hour_gives_more_than_61_minutes_worth() {
        let quota = Quota::default();
        let given: usize =
            (0..3_600).map(|second| taken(&quota, 100, Duration::from_secs(second))).sum();
        assert!((5_900..=6_100).contains(&given), "{given}");
    }
}
