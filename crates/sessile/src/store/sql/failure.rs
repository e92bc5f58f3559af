//! What drivers report, in the words of this crate.

use crate::error::{Error, ErrorKind, Result};

/// Why a piece of work did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The driver or the database says so.
    Sql(sqlx::Error),
    /// We do.
    Ours(Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Failure {
    /// Whether the database took everything back and may do better if asked again. This is no
    /// unknown outcome: it chose this transaction to end a deadlock, or to keep its isolation.
    pub(super) fn was_undone(&self) -> bool {
        self.has_code(&["40001", "40P01"])
    }

    /// Whether SQLite could not begin because another connection was at work.
    pub(super) fn is_busy(&self) -> bool {
        self.has_code(&["5", "261"])
    }

    /// Whether the database answered with one of these codes.
    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| codes.contains(&&*code))
    }

    /// Whether somebody else made the same thing at the same moment.
    pub(super) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Whether the connection is as good as before: the database answered, with a refusal.
    pub(super) fn leaves_the_connection(&self) -> bool {
        matches!(self, Self::Ours(_) | Self::Sql(sqlx::Error::Database(_)))
    }

    pub(super) fn into_error(self, doing: &str) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Sql(error) => {
                let (kind, mend) = judged(&error);
                Error::new(kind, format!("{doing}{mend}")).with_source(error)
            }
        }
    }
}

const NO_TABLES: &str = ": the store's tables are missing or not its own; call migrate() once, or \
    run its SQL by hand";
const NO_ENTRY: &str =
    ": the database refuses this user; check name, password, database and rights";
const READ_ONLY: &str = ": the database takes no writes; is it a replica?";
const POOLED: &str = ": a pooler mixes up the prepared statements of its clients; let it keep track \
    of them (PgBouncer 1.21 or later, max_prepared_statements) or give a connection per session";
const POOLER: &str = ": the pooler refuses what the driver asks for at the start of a connection; \
    say extra_float_digits(None) in PgConnectOptions";
const STRANGER: &str = ": the server's certificate is by nobody whom this program trusts, or for \
    another name; name the authority's file by sslrootcert= (PostgreSQL) or ssl-ca= (MySQL)";
const SETTINGS: &str = ": check the connection's settings; TLS needs the feature `sql-tls`";

fn judged(error: &sqlx::Error) -> (ErrorKind, &'static str) {
    match error {
        sqlx::Error::Database(error) => judged_by_code(&**error),
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => (ErrorKind::Config, SETTINGS),
        sqlx::Error::Io(error) if is_certificate(error) => (ErrorKind::Config, STRANGER),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
            (ErrorKind::Config, NO_TABLES)
        }
        _ => (ErrorKind::Unavailable, ""),
    }
}

/// Whether the server showed a certificate that was not believed. The library for TLS tells it as bad
/// data, in words.
fn is_certificate(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData && error.to_string().contains("certificate")
}

/// SQLSTATE where the database has it; SQLite has numbers and messages of its own.
fn judged_by_code(error: &dyn sqlx::error::DatabaseError) -> (ErrorKind, &'static str) {
    let message = error.message();
    match error.code().as_deref() {
        Some("42P01" | "42703" | "3F000" | "42S02" | "42S22") => (ErrorKind::Config, NO_TABLES),
        Some("28000" | "28P01" | "3D000" | "42501" | "42000") => (ErrorKind::Config, NO_ENTRY),
        Some("26000" | "42P05") => (ErrorKind::Config, POOLED),
        Some("08P01") if message.contains("startup parameter") => (ErrorKind::Config, POOLER),
        Some("25006") => (ErrorKind::Unavailable, READ_ONLY),
        _ if message.starts_with("no such table") || message.starts_with("no such column") => {
            (ErrorKind::Config, NO_TABLES)
        }
        _ if message.contains("--read-only") || message.contains("readonly database") => {
            (ErrorKind::Unavailable, READ_ONLY)
        }
        _ => (ErrorKind::Unavailable, ""),
    }
}

/// A commit whose answer never came, or work that took longer than anyone waits.
pub(super) fn too_slow(doing: &str) -> Error {
    let doing = format!("{doing}: the database did not answer in time; the outcome is unknown");
    Error::new(ErrorKind::Unavailable, doing)
}

pub(super) type Worked<T> = Result<T, Failure>;
