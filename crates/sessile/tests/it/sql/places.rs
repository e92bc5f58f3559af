//! Databases for one test each.

use std::sync::Arc;
use std::time::Duration;

use sessile::store::{self, Store};
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, Connection, query_scalar, raw_sql};

/// Tables of their own in some database; they go with this.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) kind: Kind,
    url: String,
    pub(crate) table: String,
    /// Where the database itself is a file that goes too.
    folder: Option<tempfile::TempDir>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    #[cfg(feature = "sqlite")]
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    MySql,
}

/// A SQLite database in a new file.
#[cfg(feature = "sqlite")]
pub(crate) fn sqlite() -> Tables {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    std::fs::File::create(&file).unwrap();
    let url = format!("sqlite://{}", file.display());
    Tables { kind: Kind::Sqlite, url, table: "sessile".into(), folder: Some(folder) }
}

/// New tables on the PostgreSQL server, if there is one.
#[cfg(feature = "postgres")]
pub(crate) fn postgres() -> Option<Tables> {
    server("SESSILE_TEST_POSTGRES", Kind::Postgres)
}

/// New tables on the MySQL or MariaDB server, if there is one.
#[cfg(feature = "mysql")]
pub(crate) fn mysql() -> Option<Tables> {
    server("SESSILE_TEST_MYSQL", Kind::MySql)
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn server(variable: &str, kind: Kind) -> Option<Tables> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let Ok(url) = std::env::var(variable) else {
        println!("skipped: {variable} names no server");
        let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        assert!(!ci, "CI promises a server in {variable}");
        return None;
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let table = format!("t{}_{number}", std::process::id());
    Some(Tables { kind, url, table, folder: None })
}

impl Tables {
    /// The database's URL with these options added.
    pub(crate) fn url(&self, options: &str) -> String {
        let glue = if self.url.contains('?') { "&" } else { "?" };
        format!("{}{}{options}", self.url, if options.is_empty() { "" } else { glue })
    }

    /// A store on these tables, as another process would have it.
    pub(crate) fn store(&self, namespace: &str) -> Arc<dyn Store> {
        store::open(&self.store_url(namespace)).unwrap()
    }

    /// What other processes open a store on these tables by.
    pub(crate) fn store_url(&self, namespace: &str) -> String {
        self.url(&format!("table={}&namespace={namespace}&connections=4", self.table))
    }

    /// A store on a pool of the application's own, with so many connections, and the SQL that makes
    /// its tables.
    pub(crate) fn on_own_pool(&self, connections: u32) -> (Arc<dyn Store>, String) {
        self.on_pool(&Pool { connections, ..Pool::of(self) })
    }

    pub(crate) fn on_pool(&self, pool: &Pool) -> (Arc<dyn Store>, String) {
        let (table, url, set) = (&self.table, &pool.url, pool.set);
        macro_rules! store {
            ($Store:ident, $db:ty) => {{
                let options = PoolOptions::<$db>::new().max_connections(pool.connections);
                let options = options.after_connect(move |connection, _| {
                    Box::pin(async move { raw_sql(set).execute(connection).await.map(|_| ()) })
                });
                let store = store::$Store::new(options.connect_lazy(url).unwrap());
                let store = store.with_table(table).unwrap().with_timeout(pool.timeout);
                let sql = store.migration_sql();
                (Arc::new(store), sql)
            }};
        }
        match self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => store!(SqliteStore, sqlx::Sqlite),
            #[cfg(feature = "postgres")]
            Kind::Postgres => store!(PostgresStore, sqlx::Postgres),
            #[cfg(feature = "mysql")]
            Kind::MySql => store!(MySqlStore, sqlx::MySql),
        }
    }

    /// Runs SQL past the store.
    pub(crate) async fn execute(&self, sql: String) {
        execute(self.kind, &self.url(""), sql).await.unwrap();
    }

    /// Runs SQL that begins a transaction, which ends when this is dropped.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(crate) async fn begin(&self, sql: String) -> Box<dyn std::any::Any + Send> {
        let (url, sql) = (self.url(""), raw_sql(AssertSqlSafe(sql)));
        macro_rules! begin {
            ($connection:ty) => {{
                let mut connection = <$connection>::connect(&url).await.unwrap();
                sql.execute(&mut connection).await.unwrap();
                Box::new(connection)
            }};
        }
        match self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => begin!(sqlx::SqliteConnection),
            #[cfg(feature = "postgres")]
            Kind::Postgres => begin!(sqlx::PgConnection),
            #[cfg(feature = "mysql")]
            Kind::MySql => begin!(sqlx::MySqlConnection),
        }
    }

    /// The number that a query gives.
    pub(crate) async fn number(&self, sql: String) -> i64 {
        let (url, sql) = (self.url(""), AssertSqlSafe(sql));
        macro_rules! number {
            ($connection:ty) => {{
                let mut connection = <$connection>::connect(&url).await.unwrap();
                query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }};
        }
        match self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => number!(sqlx::SqliteConnection),
            #[cfg(feature = "postgres")]
            Kind::Postgres => number!(sqlx::PgConnection),
            #[cfg(feature = "mysql")]
            Kind::MySql => number!(sqlx::MySqlConnection),
        }
    }
}

/// A pool of the application's own.
pub(crate) struct Pool {
    pub(crate) url: String,
    pub(crate) connections: u32,
    /// What every connection runs first.
    pub(crate) set: &'static str,
    /// How long the store waits.
    pub(crate) timeout: Duration,
}

impl Pool {
    pub(crate) fn of(tables: &Tables) -> Self {
        let (url, timeout) = (tables.url(""), Duration::from_secs(10));
        Self { url, connections: 4, set: "SELECT 1", timeout }
    }
}

pub(super) async fn execute(kind: Kind, url: &str, sql: String) -> sqlx::Result<()> {
    let sql = raw_sql(AssertSqlSafe(sql));
    match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => {
            sql.execute(&mut sqlx::SqliteConnection::connect(url).await?).await?;
        }
        #[cfg(feature = "postgres")]
        Kind::Postgres => {
            sql.execute(&mut sqlx::PgConnection::connect(url).await?).await?;
        }
        #[cfg(feature = "mysql")]
        Kind::MySql => {
            sql.execute(&mut sqlx::MySqlConnection::connect(url).await?).await?;
        }
    }
    Ok(())
}

impl Drop for Tables {
    /// On a thread of its own: a runtime must not be blocked by another.
    fn drop(&mut self) {
        if self.folder.is_some() {
            return;
        }
        let (kind, url, table) = (self.kind, self.url.clone(), self.table.clone());
        let drop = format!("DROP TABLE IF EXISTS {table}, {table}_owners, {table}_schema");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dropped =
            std::thread::spawn(move || runtime.block_on(execute(kind, &url, drop))).join();
        if !std::thread::panicking() {
            dropped.unwrap().unwrap();
        }
    }
}

#[cfg(feature = "conformance")]
#[async_trait::async_trait]
impl sessile::conformance::Place for Tables {
    async fn open(&self, namespace: &str) -> Arc<dyn Store> {
        self.store(namespace)
    }

    async fn damage(&self, namespace: &str, id: sessile::SessionId) -> bool {
        let quote = |bytes: String| match self.kind {
            #[cfg(feature = "postgres")]
            Kind::Postgres => format!("'\\x{bytes}'"),
            _ => format!("X'{bytes}'"),
        };
        let namespace = data_encoding::HEXLOWER.encode(namespace.as_bytes());
        self.execute(format!(
            "UPDATE {} SET record = {} WHERE namespace = {} AND id = {}",
            self.table,
            quote("73657373ffff".into()),
            quote(namespace),
            quote(id.to_string()),
        ))
        .await;
        true
    }
}
