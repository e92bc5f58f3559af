//! Clean-up in the background: bounded slices, never on a request, never while the clock is in doubt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Engine, Sessions};
use crate::clock::millis;
use crate::error::Result;
use crate::event::Event;

/// A step of the wall clock that makes the sweeper wait.
const STEP_MAX: Duration = Duration::from_secs(120);

/// How long the wall clock must run steadily after a step before anything is removed by it.
const STEADY_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// What one call of [`Sessions::sweep`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// How many expired sessions were removed.
    pub removed: u64,
    /// Whether it stopped at its limit with more to look at.
    pub more: bool,
}

#[derive(Debug, Default)]
pub(super) struct Sweeper {
    started: AtomicBool,
    task: Mutex<Option<JoinHandle<()>>>,
    /// One clean-up at a time: a second one would look at the same sessions.
    turn: tokio::sync::Mutex<()>,
}

impl Sweeper {
    fn task(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task, if it was started; it is not started again.
    fn take(&self) -> Option<JoinHandle<()>> {
        let mut task = self.task();
        self.started.store(true, Ordering::Relaxed);
        task.take()
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(task) = self.take() {
            task.abort();
        }
    }
}

impl Sessions {
    /// Removes at most `limit` expired sessions now, after any clean-up of this process that is under
    /// way.
    ///
    /// Not needed while the background sweeper runs; a session counts as absent from its exact
    /// deadline on, removed or not.
    pub async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.engine.sweep(limit).await
    }

    /// Stops the background sweeper for good, and waits until it has stopped. Requests go on.
    pub async fn shutdown(&self) {
        if let Some(task) = self.engine.sweeper.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Engine {
    async fn sweep(&self, limit: usize) -> Result<Swept> {
        let _turn = self.sweeper.turn.lock().await;
        let expired = self.store.delete_expired(self.now(), limit).await;
        let expired = expired.map_err(|error| self.failed(error))?;
        for (id, _) in &expired.removed {
            self.notify(&Event::Swept(*id));
        }
        Ok(Swept { removed: expired.removed.len() as u64, more: expired.more })
    }

    /// Sweeps slice by slice until nothing is due, one fails, or time is up; the next tick goes on.
    async fn sweep_all(&self) {
        let ends_at = Instant::now() + self.config.sweep_time;
        while let Ok(Swept { more: true, .. }) = self.sweep(self.config.sweep_limit).await {
            if Instant::now() >= ends_at {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Starts the sweeper with the first request: only then is there a runtime for sure.
pub(super) fn start_once(engine: &Arc<Engine>) {
    let (sweeper, interval) = (&engine.sweeper, engine.config.sweep_interval);
    if interval.is_zero() || sweeper.started.load(Ordering::Relaxed) {
        return;
    }
    let Ok(runtime) = Handle::try_current() else { return };
    // Held over both, so that a shutdown finds either no sweeper, for good, or its task.
    let mut task = sweeper.task();
    if !sweeper.started.swap(true, Ordering::Relaxed) {
        let watch = ClockWatch::new(engine.clock.now(), engine.clock.elapsed());
        *task = Some(runtime.spawn(run(Arc::downgrade(engine), interval, watch)));
    }
}

async fn run(engine: Weak<Engine>, interval: Duration, mut watch: ClockWatch) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(engine) = engine.upgrade() else { return };
        let (now, elapsed) = (engine.clock.now(), engine.clock.elapsed());
        match watch.judge(now, elapsed) {
            Steadiness::Steady => engine.sweep_all().await,
            Steadiness::Stepped => engine.notify(&Event::ClockStepped),
            Steadiness::Settling => {}
        }
    }
}

/// Compares the wall clock with the passage of time. Pure.
#[derive(Debug)]
struct ClockWatch {
    /// Wall time minus elapsed time, in milliseconds: constant while both agree.
    offset_ms: i128,
    trusted_from: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Steadiness {
    Steady,
    Stepped,
    Settling,
}

impl ClockWatch {
    fn new(now: SystemTime, elapsed: Duration) -> Self {
        Self { offset_ms: offset_ms(now, elapsed), trusted_from: elapsed }
    }

    fn judge(&mut self, now: SystemTime, elapsed: Duration) -> Steadiness {
        let offset_ms = offset_ms(now, elapsed);
        if (offset_ms - self.offset_ms).unsigned_abs() > STEP_MAX.as_millis() {
            *self = Self { offset_ms, trusted_from: elapsed + STEADY_AGAIN_AFTER };
            return Steadiness::Stepped;
        }
        if elapsed < self.trusted_from { Steadiness::Settling } else { Steadiness::Steady }
    }
}

fn offset_ms(now: SystemTime, elapsed: Duration) -> i128 {
    i128::from(millis(now)) - i128::try_from(elapsed.as_millis()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_sweeper_waits_until_a_stepped_clock_has_run_steadily() {
        let day = UNIX_EPOCH + secs(86_400);
        let mut watch = ClockWatch::new(day, secs(0));
        assert_eq!(watch.judge(day + secs(60), secs(60)), Steadiness::Steady);
        let next_year = day + secs(365 * 86_400);
        assert_eq!(watch.judge(next_year, secs(120)), Steadiness::Stepped);
        assert_eq!(watch.judge(next_year + secs(299), secs(419)), Steadiness::Settling);
        assert_eq!(watch.judge(next_year + secs(300), secs(420)), Steadiness::Steady);
        assert_eq!(watch.judge(day, secs(421)), Steadiness::Stepped);
    }

    #[test]
    fn a_small_correction_is_no_step() {
        let mut watch = ClockWatch::new(UNIX_EPOCH + secs(1_000), secs(0));
        assert_eq!(watch.judge(UNIX_EPOCH + secs(1_120), secs(0)), Steadiness::Steady);
        assert_eq!(watch.judge(UNIX_EPOCH + secs(1_121), secs(0)), Steadiness::Stepped);
    }
}
