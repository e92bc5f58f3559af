//! Running processes call by call, in every order or in some.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::gated::Gate;

/// An operation that stops at its gate before every call.
pub(crate) struct Stepped {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    gate: Arc<Gate>,
}

impl Stepped {
    pub(crate) fn new(gate: Arc<Gate>, run: impl Future<Output = ()> + 'static) -> Self {
        // Without tokio's budget: a schedule has more steps than one task may take in a row.
        let mut stepped = Self { future: Some(Box::pin(tokio::task::unconstrained(run))), gate };
        stepped.step();
        stepped
    }

    fn is_done(&self) -> bool {
        self.future.is_none()
    }

    /// Whether its next call is ready to begin; else it waits for a lock within one.
    fn is_ready(&self) -> bool {
        !self.is_done() && self.gate.is_waiting()
    }

    /// Runs to the next call, or to the end.
    fn step(&mut self) {
        let Some(future) = &mut self.future else { return };
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            self.future = None;
        }
    }
}

/// Goes through schedules by depth: each time the last choice that can still be another is.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    /// The choices of the next schedule, each with how many there were.
    choices: Vec<(usize, usize)>,
    /// How often one may be stopped while it could go on.
    stops_max: Option<usize>,
    pub(crate) run: usize,
}

impl Schedules {
    /// Those in which at most so many processes are stopped while they could go on.
    pub(crate) fn with_at_most(stops: usize) -> Self {
        Self { stops_max: Some(stops), ..Self::default() }
    }

    /// Runs one schedule to its end; gives whether there is another.
    pub(crate) async fn run(&mut self, mut processes: Vec<Stepped>) -> bool {
        let (mut depth, mut last, mut stops) = (0, None, 0);
        while processes.iter().any(|process| !process.is_done()) {
            let mut ready: Vec<_> =
                (0..processes.len()).filter(|at| processes[*at].is_ready()).collect();
            if ready.is_empty() {
                // All wait for locks: those that wake by time alone are woken.
                tokio::time::advance(Duration::from_millis(5)).await;
                processes.iter_mut().for_each(Stepped::step);
                continue;
            }
            let goes_on = last.filter(|last| ready.contains(last));
            if goes_on.is_some() && self.stops_max.is_some_and(|max| stops >= max) {
                ready.retain(|at| Some(*at) == goes_on);
            }
            let chosen = ready[self.choice(depth, ready.len())];
            stops += usize::from(goes_on.is_some_and(|last| last != chosen));
            (depth, last) = (depth + 1, Some(chosen));
            processes[chosen].step();
            // Whoever waited for a lock may have it now.
            processes
                .iter_mut()
                .filter(|it| !it.is_done() && !it.is_ready())
                .for_each(Stepped::step);
        }
        self.run += 1;
        tokio::task::yield_now().await;
        self.next()
    }

    fn choice(&mut self, depth: usize, of: usize) -> usize {
        if depth == self.choices.len() {
            self.choices.push((0, of));
        }
        assert_eq!(self.choices[depth].1, of, "a schedule that is run again goes another way");
        self.choices[depth].0
    }

    fn next(&mut self) -> bool {
        while let Some((chosen, of)) = self.choices.pop() {
            if chosen + 1 < of {
                self.choices.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}
