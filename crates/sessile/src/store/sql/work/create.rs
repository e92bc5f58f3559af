//! New records.

use std::sync::Arc;

use super::owner::admits;
use crate::store::sql::columns::Columns;
use crate::store::sql::core::Work;
use crate::store::sql::driver::{Driver, Value, values};
use crate::store::sql::failure::Worked;
use crate::store::sql::link::Link;
use crate::store::{Created, Durability};

/// Writes a record that must not exist yet.
pub(in crate::store::sql) struct Create {
    pub(in crate::store::sql) columns: Columns,
    pub(in crate::store::sql) login_began_at: Option<i64>,
    pub(in crate::store::sql) durability: Durability,
}

impl<D: Driver> Work<D> for Create {
    type Output = Created;
    const DOING: &'static str = "cannot create a session";

    async fn run(&self, link: &mut Link<D>) -> Worked<Created> {
        link.keep(self.durability).await?;
        let at_once = link.sql().log_in.as_ref().map(|sql| sql.kept(self.durability));
        match (self.columns.owner(), at_once) {
            (None, _) => self.insert(link).await,
            (Some(_), Some(sql)) => self.log_in_at_once(link, sql).await,
            (Some(owner), None) => self.log_in(link, owner).await,
        }
    }
}

impl Create {
    /// The statement holds the lock of the owner's row until it commits, as [`admits`] does.
    async fn log_in_at_once<D: Driver>(
        &self,
        link: &mut Link<D>,
        sql: Arc<str>,
    ) -> Worked<Created> {
        let mut values = self.values(link.namespace());
        values.push(Value::from(self.login_began_at));
        written(link.execute(sql, values).await)
    }

    async fn log_in<D: Driver>(&self, link: &mut Link<D>, owner: &[u8]) -> Worked<Created> {
        link.begin().await?;
        if !admits(link, owner, self.login_began_at).await? {
            return Ok(Created::Revoked);
        }
        let created = self.insert(link).await?;
        if created == Created::New {
            link.commit().await?;
        }
        Ok(created)
    }

    async fn insert<D: Driver>(&self, link: &mut Link<D>) -> Worked<Created> {
        let (sql, values) =
            (link.sql().insert.kept(self.durability), self.values(link.namespace()));
        written(link.execute(sql, values).await)
    }

    fn values(&self, namespace: &[u8]) -> Vec<Value> {
        let it = &self.columns;
        values![
            namespace,
            &it.id.as_bytes()[..],
            it.version,
            it.used_at,
            it.idle_timeout,
            it.absolute_deadline,
            it.superseded,
            it.owner(),
            it.sweep_at,
            &it.record[..],
        ]
    }
}

/// What became of a record, by the rows that its insertion says it wrote.
fn written(rows: Worked<u64>) -> Worked<Created> {
    match rows {
        Err(failure) if failure.is_unique_violation() => Ok(Created::Exists),
        Ok(0) => Ok(Created::Revoked),
        rows => rows.map(|_| Created::New),
    }
}
