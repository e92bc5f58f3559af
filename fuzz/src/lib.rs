//! What the fuzz targets share: a runtime that is there already, and instants that are the same in
//! every run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::SessionId;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().build().expect("a runtime starts");
}

/// Runs a future to its end.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// So many milliseconds after the beginning of 2026.
#[must_use]
pub fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_767_225_600_000 + ms)
}

/// One of few sessions.
#[must_use]
pub fn id(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}
