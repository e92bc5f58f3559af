//! SQLite: one file, several processes of one machine.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use super::dialect::Dialect;
use super::driver::{Driver, Value, binding, statements};
use super::sql_store;
use super::url::{Parsed, refused};
use crate::error::{Error, ErrorKind, Result};
#[cfg(doc)]
use crate::store::Durability;

sql_store! {
    /// A store in a SQLite database. Clones share their pool.
    ///
    /// Several processes of one machine may share the file. [`connect`](Self::connect) opens it with a
    /// write-ahead log, in which readers never wait for writers; a pool of your own should be set to
    /// that (`SqliteJournalMode::Wal`) and to a busy time-out of some seconds. A database in memory
    /// must have a pool of one connection that is never closed.
    ///
    /// # Durability
    ///
    /// [`Durability::Process`] is kept by the log. What asks for [`Durability::Power`] or more is
    /// synced before it is acknowledged: the connection's `synchronous` is raised to `FULL` for that
    /// write if it is lower, whatever the pool. `connect` sets `NORMAL` for all others.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> sessile::Result<()> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let url = format!("sqlite://{}/app.db", directory.path().display());
    /// use sessile::store::{SqliteStore, Store};
    /// let store = SqliteStore::connect(&url).await?.with_namespace("shop")?;
    /// assert_eq!(store.namespace(), "shop");
    /// # Ok(())
    /// # }
    /// ```
    SqliteStore, sqlx::SqlitePool, sqlx::Sqlite, "sqlite:///var/lib/shop/app.db?namespace=shop"
}

impl SqliteStore {
    fn parsed(url: &str) -> Result<Self> {
        let path = url.strip_prefix("sqlite://").filter(|path| path.starts_with('/'));
        path.ok_or_else(relative)?;
        let parsed = Parsed::new(url, &["mode", "cache", "immutable", "vfs"])?;
        let mut options = SqliteConnectOptions::from_str(&parsed.url).map_err(refused)?;
        if !parsed.url.contains("mode=") {
            options = options.create_if_missing(true);
        }
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5));
        Ok(Self { core: parsed.core(options)?.into() })
    }
}

/// A path relative to wherever the service happened to start is how sessions get lost.
fn relative() -> Error {
    let mend = "a SQLite store is named by an absolute path, as in sqlite:///var/lib/app/app.db";
    Error::new(ErrorKind::Config, mend)
}

binding!(sqlx::Sqlite);

impl Driver for sqlx::Sqlite {
    const DIALECT: Dialect = Dialect {
        quote: '"',
        numbers_placeholders: false,
        has_schemas: false,
        greatest: "MAX",
        least: "MIN",
        // One machine, one clock. `unixepoch('subsec')` would need a newer SQLite.
        now_ms: "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
        // A transaction that reads first and writes later fails when another wrote in between, and
        // no busy time-out helps it.
        begin: "BEGIN IMMEDIATE",
        lock_rows: "",
        unsynced: "",
        raise: "INSERT INTO {owners} AS known (namespace, owner, not_before) VALUES (?, ?, ?) \
            ON CONFLICT (namespace, owner) DO UPDATE SET not_before = MAX(known.not_before, ?)",
        // Whoever writes is alone, and sees what was committed.
        log_in: Some(
            "INSERT INTO {table} ({columns}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 \
             WHERE NOT EXISTS (SELECT 1 FROM {owners} WHERE namespace = ?1 AND owner = ?8 \
             AND not_before >= 0 AND (?11 IS NULL OR not_before >= ?11))",
        ),
        note_version: "INSERT OR IGNORE INTO {schema} (version) VALUES ({version})",
        schema: &[include_str!("schema/sqlite_1.sql")],
    };

    statements!();

    /// The connection lives on a thread of its own, and every message from there costs a wake-up: the
    /// row is one, and that there are no more would be another.
    async fn fetch_first(
        connection: &mut sqlx::SqliteConnection,
        sql: Arc<str>,
        values: Vec<Value>,
    ) -> sqlx::Result<Option<Self::Row>> {
        bound(sql, values).fetch_optional(connection).await
    }

    async fn sync_commits(
        connection: &mut sqlx::SqliteConnection,
    ) -> sqlx::Result<Option<&'static str>> {
        let known: i64 =
            sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
        let restore = match known {
            0 => "PRAGMA synchronous = OFF",
            1 => "PRAGMA synchronous = NORMAL",
            _ => return Ok(None),
        };
        sqlx::raw_sql("PRAGMA synchronous = FULL").execute(connection).await?;
        Ok(Some(restore))
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn a_connection_syncs_its_commits_and_goes_back() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for (mode, is_raised) in [(0, true), (1, true), (2, false), (3, false)] {
            set(&mut connection, &format!("PRAGMA synchronous = {mode}")).await;
            let restore = sqlx::Sqlite::sync_commits(&mut connection).await.unwrap();
            assert!(synchronous(&mut connection).await >= 2, "{mode}");
            assert_eq!(restore.is_some(), is_raised, "{mode}");
            set(&mut connection, restore.unwrap_or("SELECT 1")).await;
            assert_eq!(synchronous(&mut connection).await, mode);
        }
    }

    async fn set(connection: &mut SqliteConnection, pragma: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(pragma)).execute(connection).await.unwrap();
    }

    async fn synchronous(connection: &mut SqliteConnection) -> i64 {
        sqlx::query_scalar("PRAGMA synchronous").fetch_one(connection).await.unwrap()
    }
}
