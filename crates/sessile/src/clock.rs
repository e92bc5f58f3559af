//! Where the engine's time comes from, so that tests move it by hand.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time. The engine asks it once per step and hands `now` on: stores read no clock.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> SystemTime;

    /// Time since some fixed start that no wall-clock step moves.
    ///
    /// The sweeper compares its progress with [`now`](Clock::now) and pauses while they disagree.
    fn elapsed(&self) -> Duration;
}

/// The system's own clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is moved. Clones share the same time.
///
/// ```
/// # use std::time::Duration;
/// use sessile::{Clock, ManualClock};
/// let clock = ManualClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), start + Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    wall_ms: Arc<AtomicU64>,
    elapsed_ms: Arc<AtomicU64>,
}

impl ManualClock {
    /// Starts at 2026-01-01 00:00:00 UTC.
    pub fn new() -> Self {
        Self::starting_at(UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }

    /// Starts at `start`, truncated to whole milliseconds.
    pub fn starting_at(start: SystemTime) -> Self {
        Self { wall_ms: Arc::new(AtomicU64::new(millis(start))), elapsed_ms: Arc::default() }
    }

    /// Lets `duration` pass, in whole milliseconds.
    pub fn advance(&self, duration: Duration) {
        let step = whole_millis(duration);
        self.wall_ms.fetch_add(step, Ordering::SeqCst);
        self.elapsed_ms.fetch_add(step, Ordering::SeqCst);
    }

    /// Steps the wall clock to `instant`, forth or back, while no time passes.
    pub fn step_to(&self, instant: SystemTime) {
        self.wall_ms.store(millis(instant), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms.load(Ordering::SeqCst))
    }
}

/// Milliseconds since the Unix epoch; an instant before it counts as the epoch.
pub(crate) fn millis(instant: SystemTime) -> u64 {
    instant.duration_since(UNIX_EPOCH).map_or(0, whole_millis)
}

/// The instant that lies `ms` milliseconds after the Unix epoch.
pub(crate) fn from_millis(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.min(LATEST_MS))
}

/// The instant as every record keeps it: in whole milliseconds, so that all stores agree on it.
pub(crate) fn truncated(instant: SystemTime) -> SystemTime {
    from_millis(millis(instant))
}

/// `instant + duration`, stopping at the latest instant a record can hold (year 10889).
pub(crate) fn later(instant: SystemTime, duration: Duration) -> SystemTime {
    from_millis(millis(instant).saturating_add(whole_millis(duration)))
}

/// What does not fit is as good as for ever.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const LATEST_MS: u64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_keep_whole_milliseconds() {
        let fine = UNIX_EPOCH + Duration::from_nanos(1_234_567_891);
        assert_eq!(truncated(fine), UNIX_EPOCH + Duration::from_millis(1_234));
    }

    #[test]
    fn a_far_deadline_saturates() {
        assert_eq!(later(UNIX_EPOCH, Duration::MAX), from_millis(LATEST_MS));
        // Its milliseconds are one more than 64 bits hold.
        let far = UNIX_EPOCH + Duration::from_secs(u64::MAX / 1_000 + 1);
        assert_eq!(truncated(far), from_millis(LATEST_MS));
        assert_eq!(later(far, Duration::ZERO), from_millis(LATEST_MS));
    }

    #[test]
    fn the_systems_clock_passes() {
        let (clock, started) = (SystemClock::default(), Instant::now());
        while started.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        assert!(clock.elapsed() >= Duration::from_millis(2));
    }

    #[test]
    fn a_step_leaves_elapsed_time_alone() {
        let clock = ManualClock::new();
        clock.step_to(UNIX_EPOCH);
        assert_eq!((clock.now(), clock.elapsed()), (UNIX_EPOCH, Duration::ZERO));
    }
}
