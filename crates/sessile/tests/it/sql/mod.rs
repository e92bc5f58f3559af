//! The SQL stores: every law on SQLite always, and on the servers that the environment names.
//!
//! `SESSILE_TEST_POSTGRES` and `SESSILE_TEST_MYSQL` are URLs of databases in which tables may be made.
//! Each test makes its own and drops them. Without a server a test says that it was skipped, and
//! fails where CI promised one.

mod every_database;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod full;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod killed;
mod laws;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod outage;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod own;
pub(crate) mod places;
#[cfg(feature = "postgres")]
mod pooler;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod proxy;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod servers;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(all(feature = "sql-tls", any(feature = "postgres", feature = "mysql")))]
mod tls;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod trips;
