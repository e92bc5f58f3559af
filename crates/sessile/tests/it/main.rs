//! The tests of the library, one binary. Each is named as the sentence it proves.

#![allow(clippy::unwrap_used, reason = "a test that unwraps an error fails and shows it")]

#[cfg(feature = "conformance")]
mod broken;
mod documents;
mod engine;
#[cfg(feature = "file")]
mod file_kill;
#[cfg(feature = "file")]
mod file_store;
mod format;
mod histories;
mod observability;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis;
mod schedules;
#[cfg(feature = "file")]
mod seeds;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod sql;
#[cfg(feature = "conformance")]
mod stores;
mod tidy;
#[cfg(feature = "axum")]
mod web;
