//! PostgreSQL.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::dialect::Dialect;
use super::driver::{Driver, binding, statements};
use super::sql_store;
use super::url::{Parsed, refused};
use crate::error::Result;
#[cfg(doc)]
use crate::store::Durability;

sql_store! {
    /// A store in a PostgreSQL database, version 12 or later. Clones share their pool.
    ///
    /// # Poolers
    ///
    /// A pooler that gives a connection per session is like the server. One that gives a connection per
    /// transaction must keep track of prepared statements, as PgBouncer does from 1.21 on where
    /// `max_prepared_statements` is above 0. One that does not mixes up the statements of its clients,
    /// and the driver's `statement-cache-capacity=0` does not help. The store calls that a mistake of
    /// configuration as soon as the server complains; do not rely on its complaint. To a pool of your
    /// own say `extra_float_digits(None)` in its `PgConnectOptions`, or PgBouncer refuses it; a URL's
    /// store does that itself.
    ///
    /// # Durability
    ///
    /// What asks for [`Durability::Power`] or more is kept as the server is set: with
    /// `synchronous_commit = on`, its default, it survives the loss of power. [`Durability::Process`],
    /// touches and locks commit with `synchronous_commit = off`: they survive the death of your
    /// process, and a crash of the server may forget those of its last half second, all or none of
    /// each. A fail-over to a replica that is not synchronous may forget the last moments, logouts
    /// included.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(pool: sqlx::PgPool) -> sessile::Result<()> {
    /// use sessile::store::PostgresStore;
    /// let store = PostgresStore::new(pool).with_table("app.sessions")?;
    /// store.migrate().await?;
    /// # Ok(())
    /// # }
    /// ```
    PostgresStore, sqlx::PgPool, sqlx::Postgres, "postgres://shop:password@db/shop?table=sessions"
}

/// What the driver takes.
const OPTIONS: [&str; 20] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "options[*",
    "options%5B*",
];

impl PostgresStore {
    fn parsed(url: &str) -> Result<Self> {
        let parsed = Parsed::new(url, &OPTIONS)?;
        let options = PgConnectOptions::from_str(&parsed.url).map_err(refused)?;
        // No float is ever read, and PgBouncer refuses whoever asks for more of their digits.
        let options = options.extra_float_digits(None);
        Ok(Self { core: parsed.core(options)?.into() })
    }
}

binding!(sqlx::Postgres);

impl Driver for sqlx::Postgres {
    const DIALECT: Dialect = Dialect {
        quote: '"',
        numbers_placeholders: true,
        has_schemas: true,
        greatest: "GREATEST",
        least: "LEAST",
        now_ms: "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint)",
        // Every statement must see what was committed while it waited for a lock.
        begin: "BEGIN ISOLATION LEVEL READ COMMITTED",
        lock_rows: " FOR UPDATE SKIP LOCKED",
        // Takes effect for the transaction that this statement is part of, and costs no round trip.
        unsynced: " RETURNING set_config('synchronous_commit', 'off', true)",
        raise: "INSERT INTO {owners} AS known (namespace, owner, not_before) VALUES (?, ?, ?) \
            ON CONFLICT (namespace, owner) DO UPDATE \
            SET not_before = GREATEST(known.not_before, ?)",
        log_in: Some(
            "WITH locked AS (INSERT INTO {owners} AS known (namespace, owner, not_before) \
             VALUES ($1, $8, -1) ON CONFLICT (namespace, owner) DO UPDATE \
             SET not_before = known.not_before RETURNING not_before) \
             INSERT INTO {table} ({columns}) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 \
             FROM locked WHERE not_before < 0 OR not_before < $11",
        ),
        note_version: "INSERT INTO {schema} (version) VALUES ({version}) ON CONFLICT DO NOTHING",
        schema: &[include_str!("schema/postgres_1.sql")],
    };

    statements!();

    async fn sync_commits(_: &mut sqlx::PgConnection) -> sqlx::Result<Option<&'static str>> {
        Ok(None)
    }
}
