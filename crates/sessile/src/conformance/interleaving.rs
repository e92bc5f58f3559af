//! Futures stopped half-way: the schedules that real threads meet once in a million runs.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::timeout;

use super::trial::SOON;

/// More await points than any store has in one operation.
pub(super) const POLLS_MAX: usize = 64;

/// How two operations went of which the second ran in a pause of the first.
pub(super) struct Interleaved<A, B> {
    pub(super) first: A,
    pub(super) second: B,
    /// Whether the first was over before its pause, so that longer pauses show nothing new.
    pub(super) exhausted: bool,
}

/// Polls `first` so many times, then runs `second`, then ends `first`.
///
/// A `second` that waits for the paused `first`, as it may, gets both of them running again.
pub(super) async fn interleaved<A, B>(
    polls: usize,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Interleaved<A, B> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    if let Some(first) = polled(polls, first.as_mut()).await {
        return Interleaved { first, second: second.await, exhausted: true };
    }
    let (first, second) = match timeout(SOON, second.as_mut()).await {
        Ok(second) => (first.await, second),
        Err(_) => both(first, second).await,
    };
    Interleaved { first, second, exhausted: false }
}

/// Polls `future` so many times and drops it, unless it is ready first.
pub(super) async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    polled(polls, pin!(future)).await
}

/// Polls `future` at most so many times, whenever it asks to be polled.
pub(super) async fn polled<T>(
    polls: usize,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn both<A, B>(
    mut first: Pin<&mut impl Future<Output = A>>,
    mut second: Pin<&mut impl Future<Output = B>>,
) -> (A, B) {
    let (mut a, mut b) = (None, None);
    poll_fn(|cx| {
        poll_into(&mut a, first.as_mut(), cx);
        poll_into(&mut b, second.as_mut(), cx);
        if a.is_some() && b.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (a.expect("polled until ready"), b.expect("polled until ready"))
}

fn poll_into<T>(
    slot: &mut Option<T>,
    future: Pin<&mut impl Future<Output = T>>,
    cx: &mut std::task::Context<'_>,
) {
    if slot.is_none()
        && let Poll::Ready(result) = future.poll(cx)
    {
        *slot = Some(result);
    }
}
