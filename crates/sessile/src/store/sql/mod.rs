//! Sessions in SQLite, PostgreSQL, MySQL and MariaDB: one table, a few single statements.
//!
//! The three stores share one implementation and keep the same laws. A save is one `UPDATE` that
//! compares the version and the deadline and writes; only the end of a user's sessions, the sweep
//! and, on MySQL and MariaDB, logins take a transaction. What you hand in is your own pool; what it
//! lacks we do not change.
//!
//! # Dangers
//!
//! - **Call `migrate()` once**, or run [`migration_sql`] by hand. A store made by
//!   `connect(url)` or [`store::open`](crate::store::open) does that itself, and then needs the right
//!   to make tables.
//! - **Sessions of one application share one primary.** A read replica that lags shows sessions that
//!   have ended. Do not let a pool or a proxy send reads elsewhere.
//! - **Durability is the server's.** See each store.
//! - **The clocks of the machines count.** Expiry is judged by the clock of the machine that asks,
//!   which is `now` in every call; only locks are judged by the server's. No time zone has a say in
//!   either: every instant is a number of milliseconds since the epoch in a `bigint`.
//!
//! # What an operation costs
//!
//! One question to the server and its answer. A login takes five on MySQL and MariaDB; a save that
//! somebody else was faster than, a lock, and what works on many sessions take a few. The tests are
//! `an_operation_of_one_statement_asks_the_server_once` and `a_login_asks_the_server_few_times`.
//!
//! That is how it is for a store that a URL opened: nobody else uses its connections, and between
//! operations it does not give them back to their pool. A pool of your own gets its connection back
//! after every operation, and sqlx then asks the server whether the connection lives. That is a second
//! question; nobody waits for it, but meanwhile the next operation takes another connection.
//!
//! # What is where
//!
//! | table | what |
//! |---|---|
//! | `sessile` | a row per session: the record as bytes, and the columns that statements need |
//! | `sessile_owners` | since when the logins of a user count: a row per user, on SQLite only of those whose sessions were all ended |
//! | `sessile_schema` | the version of the tables |
//!
//! `used_at` is the truth about the last use: a touch writes that column and nothing else, and it is
//! in no index. `sweep_at` is when the sweeper looks at a row; whoever uses a session does not move
//! it, and the sweeper puts back in line what was used since. On PostgreSQL both touch and save are
//! therefore heap-only updates, which no index hears of. A damaged record gets version -1: it counts
//! as absent, and its row stays for you to look at until its deadline.
//!
//! Rows of `sessile_owners` may be deleted whenever their `not_before` lies longer ago than any
//! request takes.
//!
//! [`migration_sql`]: SqliteStore::migration_sql

mod columns;
mod core;
mod dialect;
mod driver;
mod face;
mod failure;
mod link;
#[cfg(feature = "mysql")]
mod mysql;
mod names;
mod parked;
#[cfg(test)]
mod plans;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
mod url;
mod work;

#[cfg(feature = "mysql")]
pub use self::mysql::MySqlStore;
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStore;

/// Stamps the type of one store: the same methods on another pool.
macro_rules! sql_store {
    ($(#[$docs:meta])* $Store:ident, $Pool:ty, $Db:ty, $example:literal) => {
        $(#[$docs])*
        #[derive(Clone)]
        pub struct $Store {
            core: ::std::sync::Arc<$crate::store::sql::core::Core<$Db>>,
        }

        impl $Store {
            /// A store in a database that the application has connected to. It makes no tables: see
            /// [`migrate`](Self::migrate).
            pub fn new(pool: $Pool) -> Self {
                Self { core: ::std::sync::Arc::new($crate::store::sql::core::Core::new(pool)) }
            }

            /// Connects to the database of a URL, and makes the tables if they are not there.
            ///
            #[doc = concat!("For example `", $example, "`. The options are those of [`store::open`].")]
            ///
            /// # Errors
            /// [`Config`](crate::ErrorKind::Config) for a URL or an option that is not understood, or
            /// a database that refuses the user; [`Unavailable`](crate::ErrorKind::Unavailable) when
            /// the database does not answer.
            ///
            /// [`store::open`]: crate::store::open
            pub async fn connect(url: &str) -> $crate::Result<Self> {
                let store = Self::open_lazily(url)?;
                store.core.ready().await?;
                Ok(store)
            }

            /// Makes the store of a URL, which connects when it is first used.
            pub(in crate::store) fn open_lazily(url: &str) -> $crate::Result<Self> {
                Self::parsed(url).map_err(|refusal| $crate::store::url::discreet(url, refusal))
            }

            /// Turns this handle to another table; the default is `sessile`.
            ///
            /// # Errors
            /// [`Config`](crate::ErrorKind::Config) for other names than 1 to 48 of `a-z`, `0-9` and
            /// `_` that begin with no digit. Where the database has schemas, one and a dot may stand
            /// in front.
            pub fn with_table(self, name: &str) -> $crate::Result<Self> {
                Ok(Self { core: ::std::sync::Arc::new(self.core.with_table(name)?) })
            }

            /// Turns this handle to another namespace of the same table; the default is `default`.
            ///
            /// # Errors
            /// [`Config`](crate::ErrorKind::Config) for other names than 1 to 64 of `a-z`, `0-9`, `_`
            /// and `-`.
            pub fn with_namespace(self, name: &str) -> $crate::Result<Self> {
                Ok(Self { core: ::std::sync::Arc::new(self.core.with_namespace(name)?) })
            }

            /// How long an operation may take, the wait for a free connection included; then it fails
            /// as [`Unavailable`](crate::ErrorKind::Unavailable) and its connection is closed. The
            /// default is 10 seconds.
            #[must_use]
            pub fn with_timeout(self, timeout: ::std::time::Duration) -> Self {
                Self { core: ::std::sync::Arc::new(self.core.with_patience(timeout)) }
            }

            /// Makes the tables, or brings them to the version of this release. It may be called at
            /// every start, by many processes at once.
            ///
            /// # Errors
            /// [`Config`](crate::ErrorKind::Config) when the user has no right to make tables,
            /// [`Unavailable`](crate::ErrorKind::Unavailable) when the database does not answer.
            pub async fn migrate(&self) -> $crate::Result<()> {
                self.core.migrate().await
            }

            /// The SQL that [`migrate`](Self::migrate) runs on an empty database, for whoever runs it
            /// by other means. Running it again changes nothing.
            pub fn migration_sql(&self) -> String {
                $crate::store::sql::schema::script(&self.core)
            }
        }

        impl ::std::fmt::Debug for $Store {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let mut debug = f.debug_struct(stringify!($Store));
                debug.field("table", &self.core.names.table());
                debug.field("namespace", &self.core.namespace).finish_non_exhaustive()
            }
        }

        $crate::store::sql::impl_store!($Store);
    };
}
use sql_store;

/// Hands every operation to the shared implementation.
macro_rules! impl_store {
    ($Store:ident) => {
        #[::async_trait::async_trait]
        impl $crate::store::Store for $Store {
            fn namespace(&self) -> &str {
                &self.core.namespace
            }

            async fn create(
                &self,
                record: &$crate::Record,
                durability: $crate::store::Durability,
            ) -> $crate::Result<$crate::store::Created> {
                self.core.create(record, durability).await
            }

            async fn load(
                &self,
                id: $crate::SessionId,
                now: ::std::time::SystemTime,
                access: $crate::store::Access,
            ) -> $crate::Result<Option<$crate::store::Loaded>> {
                self.core.load(id, now, access).await
            }

            async fn update(
                &self,
                record: &$crate::Record,
                expected: $crate::Version,
                durability: $crate::store::Durability,
                ticket: &mut $crate::store::Ticket,
            ) -> $crate::Result<$crate::store::Updated> {
                self.core.update(record, expected, durability, ticket).await
            }

            async fn touch(
                &self,
                id: $crate::SessionId,
                used_at: ::std::time::SystemTime,
                _idle_deadline: ::std::time::SystemTime,
                _ticket: &mut $crate::store::Ticket,
            ) -> $crate::Result<bool> {
                self.core.touch(id, used_at).await
            }

            async fn delete(
                &self,
                id: $crate::SessionId,
                durability: $crate::store::Durability,
            ) -> $crate::Result<bool> {
                self.core.delete(id, durability).await
            }

            async fn delete_owner(
                &self,
                owner: &$crate::Owner,
                except: Option<$crate::SessionId>,
                not_before: ::std::time::SystemTime,
                durability: $crate::store::Durability,
            ) -> $crate::Result<u64> {
                self.core.delete_owner(owner, except, not_before, durability).await
            }

            async fn delete_expired(
                &self,
                now: ::std::time::SystemTime,
                limit: usize,
            ) -> $crate::Result<$crate::store::Expired> {
                self.core.delete_expired(now, limit).await
            }

            async fn list(
                &self,
                scope: $crate::store::Scope<'_>,
                now: ::std::time::SystemTime,
                after: Option<$crate::SessionId>,
                limit: usize,
            ) -> $crate::Result<$crate::store::Page> {
                self.core.list(scope, now, after, limit).await
            }

            async fn release(&self, ticket: $crate::store::Ticket) -> $crate::Result<()> {
                self.core.release(ticket).await
            }
        }
    };
}
use impl_store;
