//! What the three drivers have in common, as far as the stores need it: statements go in with plain
//! values, rows come out as integers and bytes.
//!
//! A generic function over sqlx's own traits would have to repeat a dozen bounds that Rust does not
//! imply; [`statements!`] stamps the same few functions for each driver instead.

use std::sync::Arc;

use super::dialect::Dialect;

/// A value to bind. Everything the stores keep is one of the two, or absent.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(Some(int))
    }
}

impl From<Option<i64>> for Value {
    fn from(int: Option<i64>) -> Self {
        Self::Int(int)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<Option<&[u8]>> for Value {
    fn from(bytes: Option<&[u8]>) -> Self {
        Self::Bytes(bytes.map(<[u8]>::to_vec))
    }
}

/// The values of one statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::sql::driver::Value::from($value)),*] };
}
pub(super) use values;

/// A database that the stores speak to.
pub(super) trait Driver: sqlx::Database {
    const DIALECT: Dialect;

    /// Runs a statement and gives its rows.
    fn fetch(
        connection: &mut Self::Connection,
        sql: Arc<str>,
        values: Vec<Value>,
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Row>>> + Send;

    /// Runs a statement that gives no more than one row.
    fn fetch_first(
        connection: &mut Self::Connection,
        sql: Arc<str>,
        values: Vec<Value>,
    ) -> impl Future<Output = sqlx::Result<Option<Self::Row>>> + Send {
        async { Ok(Self::fetch(connection, sql, values).await?.into_iter().next()) }
    }

    /// Runs a statement and gives how many rows it concerned.
    fn execute(
        connection: &mut Self::Connection,
        sql: Arc<str>,
        values: Vec<Value>,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Runs statements that take no values, separated by semicolons.
    fn script(
        connection: &mut Self::Connection,
        sql: Arc<str>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    fn int(row: &Self::Row, at: usize) -> sqlx::Result<i64>;

    fn int_or_null(row: &Self::Row, at: usize) -> sqlx::Result<Option<i64>>;

    fn bytes(row: &Self::Row, at: usize) -> sqlx::Result<Vec<u8>>;

    fn bytes_or_null(row: &Self::Row, at: usize) -> sqlx::Result<Option<Vec<u8>>>;

    /// Lets this connection sync what it commits; gives what puts its setting back afterwards.
    fn sync_commits(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = sqlx::Result<Option<&'static str>>> + Send;
}

/// The methods of [`Driver`] that read alike for every driver and mean its own types.
macro_rules! statements {
    () => {
        async fn fetch(
            connection: &mut Self::Connection,
            sql: ::std::sync::Arc<str>,
            values: Vec<$crate::store::sql::driver::Value>,
        ) -> ::sqlx::Result<Vec<Self::Row>> {
            bound(sql, values).fetch_all(connection).await
        }

        async fn execute(
            connection: &mut Self::Connection,
            sql: ::std::sync::Arc<str>,
            values: Vec<$crate::store::sql::driver::Value>,
        ) -> ::sqlx::Result<u64> {
            bound(sql, values).execute(connection).await.map(|done| done.rows_affected())
        }

        async fn script(
            connection: &mut Self::Connection,
            sql: ::std::sync::Arc<str>,
        ) -> ::sqlx::Result<()> {
            let script = ::sqlx::raw_sql(::sqlx::AssertSqlSafe(sql));
            script.execute(connection).await.map(|_| ())
        }

        fn int(row: &Self::Row, at: usize) -> ::sqlx::Result<i64> {
            ::sqlx::Row::try_get(row, at)
        }

        fn int_or_null(row: &Self::Row, at: usize) -> ::sqlx::Result<Option<i64>> {
            ::sqlx::Row::try_get(row, at)
        }

        fn bytes(row: &Self::Row, at: usize) -> ::sqlx::Result<Vec<u8>> {
            ::sqlx::Row::try_get(row, at)
        }

        fn bytes_or_null(row: &Self::Row, at: usize) -> ::sqlx::Result<Option<Vec<u8>>> {
            ::sqlx::Row::try_get(row, at)
        }
    };
}
pub(super) use statements;

/// The function `bound` that [`statements!`] calls. The texts come from [`Dialect`] and a validated
/// table name; whatever a client can influence is bound.
macro_rules! binding {
    ($db:ty) => {
        fn bound(
            sql: ::std::sync::Arc<str>,
            values: Vec<$crate::store::sql::driver::Value>,
        ) -> ::sqlx::query::Query<'static, $db, <$db as ::sqlx::Database>::Arguments> {
            use $crate::store::sql::driver::Value;
            let query = ::sqlx::query::<$db>(::sqlx::AssertSqlSafe(sql));
            values.into_iter().fold(query, |query, value| match value {
                Value::Int(int) => query.bind(int),
                Value::Bytes(bytes) => query.bind(bytes),
            })
        }
    };
}
pub(super) use binding;
