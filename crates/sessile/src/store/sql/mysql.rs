//! MySQL and MariaDB.

use std::str::FromStr;

use sqlx::mysql::MySqlConnectOptions;

use super::dialect::Dialect;
use super::driver::{Driver, binding, statements};
use super::sql_store;
use super::url::{Parsed, refused};
use crate::error::Result;
#[cfg(doc)]
use crate::store::Durability;

sql_store! {
    /// A store in a MySQL (8.0 or later) or MariaDB (10.6 or later) database, on InnoDB. Clones share
    /// their pool.
    ///
    /// Names are kept as bytes: no collation of the server takes two users for one.
    ///
    /// # Durability
    ///
    /// Every class is kept as the server is set: with `innodb_flush_log_at_trx_commit = 1`, its
    /// default, all that is acknowledged survives the loss of power, [`Durability::Power`] or not. A
    /// fail-over to an asynchronous replica may forget the last moments, logouts included.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(pool: sqlx::MySqlPool) -> sessile::Result<()> {
    /// use sessile::store::MySqlStore;
    /// let store = MySqlStore::new(pool).with_table("sessions")?;
    /// store.migrate().await?;
    /// # Ok(())
    /// # }
    /// ```
    MySqlStore, sqlx::MySqlPool, sqlx::MySql, "mysql://shop:password@db/shop?table=sessions"
}

/// What the driver takes.
const OPTIONS: [&str; 13] = [
    "sslmode",
    "ssl-mode",
    "sslca",
    "ssl-ca",
    "charset",
    "collation",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "socket",
    "time*",
];

impl MySqlStore {
    fn parsed(url: &str) -> Result<Self> {
        let parsed = Parsed::new(url, &OPTIONS)?;
        let options = MySqlConnectOptions::from_str(&parsed.url).map_err(refused)?;
        Ok(Self { core: parsed.core(options)?.into() })
    }
}

binding!(sqlx::MySql);

impl Driver for sqlx::MySql {
    const DIALECT: Dialect = Dialect {
        quote: '`',
        numbers_placeholders: false,
        has_schemas: true,
        greatest: "GREATEST",
        least: "LEAST",
        // `UNIX_TIMESTAMP(NOW())` would go through the time zone of the connection, and twice over
        // the same hour each autumn.
        now_ms: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) DIV 1000",
        // Repeatable reads would lock the gaps between rows, and sweeps would stop logins.
        begin: "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION",
        lock_rows: " FOR UPDATE SKIP LOCKED",
        unsynced: "",
        raise: "INSERT INTO {owners} (namespace, owner, not_before) VALUES (?, ?, ?) \
            ON DUPLICATE KEY UPDATE not_before = GREATEST(not_before, ?)",
        log_in: None,
        note_version: "INSERT IGNORE INTO {schema} (version) VALUES ({version})",
        schema: &[include_str!("schema/mysql_1.sql")],
    };

    statements!();

    async fn sync_commits(_: &mut sqlx::MySqlConnection) -> sqlx::Result<Option<&'static str>> {
        Ok(None)
    }
}
