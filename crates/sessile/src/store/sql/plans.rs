//! Which way each database goes for what must not cost what is stored, told by its own plans.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Pool, Row, raw_sql};

use super::core::Core;
use super::driver::{Driver, Value, values};
use crate::store::Durability;
use crate::{Owner, Record, SecretHash, SessionId};

/// Enough for a planner to care, five to a user.
const SESSIONS: usize = 250;

/// How a database is asked for a plan.
struct Asked {
    url: String,
    explain: &'static str,
    analyze: &'static str,
    /// The name of the index of a primary key, as plans tell it.
    primary: &'static str,
    /// What stands before an index that is searched rather than read whole, where plans tell.
    searched: &'static str,
}

#[cfg(feature = "sqlite")]
mod sqlite {
    #[tokio::test]
    async fn clean_up_and_lists_go_by_their_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.db");
        std::fs::File::create(&file).unwrap();
        let url = format!("sqlite://{}", file.display());
        let (explain, analyze, primary) = ("EXPLAIN QUERY PLAN", "ANALYZE", "sqlite_autoindex");
        let asked = super::Asked { url, explain, analyze, primary, searched: "" };
        super::assert_plans::<sqlx::Sqlite>(asked, super::text).await;
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    #[tokio::test]
    async fn clean_up_and_lists_go_by_their_indexes() {
        let Some(url) = super::named("SESSILE_TEST_POSTGRES") else { return };
        let (explain, analyze, primary) = ("EXPLAIN", "ANALYZE {table}", "_pkey");
        let asked = super::Asked { url, explain, analyze, primary, searched: "" };
        super::assert_plans::<sqlx::Postgres>(asked, super::text).await;
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    #[tokio::test]
    async fn clean_up_and_lists_go_by_their_indexes() {
        let Some(url) = super::named("SESSILE_TEST_MYSQL") else { return };
        let (explain, analyze, primary) = ("EXPLAIN", "ANALYZE TABLE {table}", "PRIMARY");
        let asked = super::Asked { url, explain, analyze, primary, searched: "range " };
        super::assert_plans::<sqlx::MySql>(asked, way_and_index).await;
    }

    /// Not the indexes that were merely thought of.
    fn way_and_index(row: &sqlx::mysql::MySqlRow) -> String {
        let text = |column| sqlx::Row::try_get_unchecked::<String, _>(row, column);
        format!("{} {}", text("type").unwrap_or_default(), text("key").unwrap_or_default())
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn named(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok();
    if url.is_none() {
        println!("skipped: {variable} names no server");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI promises {variable}");
    }
    url
}

/// Whatever text is in a row.
fn text<R>(row: &R) -> String
where
    R: Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> String: sqlx::Decode<'r, R::Database>,
{
    let columns = 0..row.len();
    columns
        .filter_map(|at| row.try_get_unchecked::<String, _>(at).ok())
        .collect::<Vec<_>>()
        .join(" ")
}

async fn assert_plans<D: Driver>(asked: Asked, text: fn(&D::Row) -> String)
where
    for<'c> &'c Pool<D>: sqlx::Executor<'c, Database = D>,
{
    let table = format!("plans_{}", std::process::id());
    let pool = Pool::<D>::connect(&asked.url).await.unwrap();
    let core = Arc::new(Core::new(pool.clone()).with_table(&table).unwrap());
    core.migrate().await.unwrap();
    fill(&core).await;
    run(&pool, &asked.analyze.replace("{table}", &table)).await;
    let (sql, space) = (&core.statements, &b"default"[..]);
    let all = values![space, &[][..], 0, 0, 10];
    let mut owned = all.clone();
    owned.insert(4, Value::from(&b"user 7"[..]));
    for (statement, values, index) in [
        (&sql.any_due, values![space, 1], format!("{table}_sweep")),
        (&sql.due, values![space, 1, 10], format!("{table}_sweep")),
        (&sql.list_owner, owned, format!("{table}_by_owner")),
        (&sql.list, all, asked.primary.to_owned()),
    ] {
        let mut connection = pool.acquire().await.unwrap();
        let question = format!("{} {statement}", asked.explain);
        let rows = D::fetch(&mut connection, question.into(), values).await.unwrap();
        let plan = rows.iter().map(text).collect::<Vec<_>>().join("\n");
        let way = format!("{}{index}", asked.searched);
        assert!(plan.contains(&way), "{statement}\ngoes by no {way}:\n{plan}");
    }
    run(&pool, &format!("DROP TABLE {table}")).await;
    run(&pool, &format!("DROP TABLE {table}_owners")).await;
    run(&pool, &format!("DROP TABLE {table}_schema")).await;
}

async fn fill<D: Driver>(core: &Arc<Core<D>>) {
    let (now, hour) = (UNIX_EPOCH + Duration::from_secs(1_767_225_600), Duration::from_secs(3_600));
    for number in 0..SESSIONS {
        let id = SessionId::random().unwrap();
        let mut record =
            Record::new(id, SecretHash::from_bytes([7; 32]), now, Some(hour), 2 * hour);
        record.owner = Some(Owner::new(format!("user {}", number / 5)).unwrap());
        record.login_began_at = Some(now);
        core.create(&record, Durability::Process).await.unwrap();
    }
}

async fn run<D: Driver>(pool: &Pool<D>, sql: &str)
where
    for<'c> &'c Pool<D>: sqlx::Executor<'c, Database = D>,
{
    raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}
