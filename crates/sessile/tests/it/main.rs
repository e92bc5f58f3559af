//! The tests of the library, one binary. Each is named as the sentence it proves.

#![allow(clippy::unwrap_used, reason = "a test that unwraps an error fails and shows it")]

#[cfg(feature = "conformance")]
mod broken;
#[cfg(feature = "axum")]
mod caching;
mod documents;
mod engine;
#[cfg(feature = "file")]
mod file_kill;
#[cfg(feature = "file")]
mod file_store;
mod format;
mod histories;
#[cfg(feature = "tower")]
mod http_laws;
mod moving;
mod observability;
#[cfg(any(feature = "redis-tls", feature = "sql-tls"))]
mod papers;
#[cfg(feature = "file")]
mod races;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis;
mod schedules;
#[cfg(feature = "file")]
mod second_reader;
#[cfg(feature = "file")]
mod seeds;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod sql;
#[cfg(feature = "conformance")]
mod stores;
mod stores_page;
mod tidy;
mod values;
#[cfg(feature = "axum")]
mod web;
