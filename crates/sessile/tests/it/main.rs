//! The tests of the library, one binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[cfg(feature = "file")]
mod file_kill;
#[cfg(feature = "file")]
mod file_store;
mod format;
