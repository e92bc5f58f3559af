//! What one statement changes of one record.

use std::sync::Arc;

use super::load::read;
use super::lock::LockToken;
use super::owner::admits;
use crate::record::{Owner, Record};
use crate::store::sql::columns::Columns;
use crate::store::sql::core::Work;
use crate::store::sql::driver::{Driver, Value, values};
use crate::store::sql::failure::Worked;
use crate::store::sql::link::Link;
use crate::store::{Durability, Updated};
use crate::token::SessionId;

/// Replaces the state of one version by another, in one statement that compares and writes.
pub(in crate::store::sql) struct Update {
    pub(in crate::store::sql) columns: Columns,
    pub(in crate::store::sql) expected: i64,
    pub(in crate::store::sql) login_began_at: Option<i64>,
    pub(in crate::store::sql) durability: Durability,
    /// The exclusive lock that this update relies on.
    pub(in crate::store::sql) lock: Option<LockToken>,
}

impl<D: Driver> Work<D> for Update {
    type Output = Updated;
    const DOING: &'static str = "cannot save a session";

    async fn run(&self, link: &mut Link<D>) -> Worked<Updated> {
        link.keep(self.durability).await?;
        if self.write(link, Owners::Same).await? {
            return Ok(Updated::Written);
        }
        match self.judge(link).await? {
            Updated::Conflict(current) if self.gives_an_owner(&current) => self.log_in(link).await,
            refused => Ok(refused),
        }
    }
}

/// Whose the session may have been before an update that says whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owners {
    Same,
    Any,
}

impl Update {
    async fn write<D: Driver>(&self, link: &mut Link<D>, owners: Owners) -> Worked<bool> {
        let (sql, mut values) = (link.sql(), self.values(link.namespace(), owners));
        let sql = match &self.lock {
            None => sql.update.kept(self.durability),
            Some(token) => {
                values.push(Value::from(&token[..]));
                sql.update_locked.kept(self.durability)
            }
        };
        Ok(link.execute(sql, values).await? > 0)
    }

    fn values(&self, namespace: &[u8], owners: Owners) -> Vec<Value> {
        let it = &self.columns;
        values![
            it.version,
            it.used_at,
            it.idle_timeout,
            it.absolute_deadline,
            it.superseded,
            it.owner(),
            it.sweep_at,
            &it.record[..],
            namespace,
            &it.id.as_bytes()[..],
            self.expected,
            it.used_at,
            it.used_at,
            it.owner().filter(|_| owners == Owners::Same),
            it.owner(),
        ]
    }

    /// Why nothing was written.
    async fn judge<D: Driver>(&self, link: &mut Link<D>) -> Worked<Updated> {
        let it = &self.columns;
        let values = values![link.namespace(), &it.id.as_bytes()[..], it.used_at, it.used_at];
        let row = link.fetch_first(Arc::clone(&link.sql().read_back), values).await?;
        let Some(row) = row else { return Ok(Updated::Gone) };
        if self.lost_its_lock::<D>(&row)? {
            return Ok(Updated::LockLost);
        }
        let current = read(link, it.id, &row).await?;
        Ok(Updated::Conflict(Box::new(current)))
    }

    fn lost_its_lock<D: Driver>(&self, row: &D::Row) -> Worked<bool> {
        let Some(token) = &self.lock else { return Ok(false) };
        let (holder, left_ms) = (D::bytes_or_null(row, 3)?, D::int(row, 4)?);
        Ok(holder.as_deref() != Some(token) || left_ms <= 0)
    }

    fn gives_an_owner(&self, current: &Record) -> bool {
        let is_expected = self.expected.cast_unsigned() == current.version.get();
        let owner = current.owner.as_ref().map(Owner::as_str);
        is_expected && self.columns.owner.is_some() && self.columns.owner.as_deref() != owner
    }

    /// Whoever gains an owner logs in by it, and a login that was revoked gains nothing. The engine
    /// creates a record for that; a store has to be right all the same.
    async fn log_in<D: Driver>(&self, link: &mut Link<D>) -> Worked<Updated> {
        let owner = self.columns.owner().unwrap_or_default();
        link.begin().await?;
        if !admits(link, owner, self.login_began_at).await? {
            return Ok(Updated::Gone);
        }
        if !self.write(link, Owners::Any).await? {
            return self.judge(link).await;
        }
        link.commit().await?;
        Ok(Updated::Written)
    }
}

/// Notes a use. The column is no part of an index, and no other is written.
pub(in crate::store::sql) struct Touch {
    pub(in crate::store::sql) id: SessionId,
    pub(in crate::store::sql) used_at: i64,
}

impl<D: Driver> Work<D> for Touch {
    type Output = bool;
    const DOING: &'static str = "cannot note the use of a session";

    async fn run(&self, link: &mut Link<D>) -> Worked<bool> {
        let (id, used_at) = (&self.id.as_bytes()[..], self.used_at);
        let values = values![used_at, link.namespace(), id, used_at, used_at];
        Ok(link.execute(Arc::clone(&link.sql().touch), values).await? > 0)
    }
}

/// Ends a session.
pub(in crate::store::sql) struct Delete {
    pub(in crate::store::sql) id: SessionId,
    pub(in crate::store::sql) durability: Durability,
}

impl<D: Driver> Work<D> for Delete {
    type Output = bool;
    const DOING: &'static str = "cannot end a session";

    async fn run(&self, link: &mut Link<D>) -> Worked<bool> {
        link.keep(self.durability).await?;
        let values = values![link.namespace(), &self.id.as_bytes()[..]];
        Ok(link.execute(Arc::clone(&link.sql().delete), values).await? > 0)
    }
}
