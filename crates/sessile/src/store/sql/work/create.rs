//! New records.

use super::owner::admits;
use crate::store::sql::columns::Columns;
use crate::store::sql::core::Work;
use crate::store::sql::driver::{Driver, values};
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
        match self.columns.owner() {
            None => self.insert(link).await,
            Some(owner) => self.log_in(link, owner).await,
        }
    }
}

impl Create {
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
        let it = &self.columns;
        let values = values![
            link.namespace(),
            &it.id.as_bytes()[..],
            it.version,
            it.used_at,
            it.idle_timeout,
            it.absolute_deadline,
            it.superseded,
            it.owner(),
            it.sweep_at,
            &it.record[..],
        ];
        match link.execute(link.sql().insert.kept(self.durability), values).await {
            Err(failure) if failure.is_unique_violation() => Ok(Created::Exists),
            inserted => inserted.map(|_| Created::New),
        }
    }
}
