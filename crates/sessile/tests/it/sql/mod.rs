//! The SQL stores: every law on SQLite always, and on the servers that the environment names.
//!
//! `SESSILE_TEST_POSTGRES` and `SESSILE_TEST_MYSQL` are URLs of databases in which tables may be made.
//! Each test makes its own and drops them. Without a server a test says that it was skipped, and
//! fails where CI promised one.

mod laws;
pub(crate) mod places;
