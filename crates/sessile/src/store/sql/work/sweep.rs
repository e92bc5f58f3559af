//! Removing what is expired.

use std::sync::Arc;

use super::list::{id_of, one_more};
use crate::error::{Error, ErrorKind};
use crate::record::Owner;
use crate::store::Expired;
use crate::store::sql::core::Work;
use crate::store::sql::dialect::IDS_PER_STATEMENT;
use crate::store::sql::driver::{Driver, Value, values};
use crate::store::sql::failure::Worked;
use crate::store::sql::link::Link;
use crate::token::SessionId;

/// Looks at no more than so many rows that were to be looked at by now, in that order.
///
/// A touch leaves the time of the look alone, so that it changes no index; rows that were used since
/// are therefore put back in line here. Whatever this looks at is locked until it commits, and what
/// others have locked it leaves to them: many nodes may sweep at once, and none waits for another.
pub(in crate::store::sql) struct Sweep {
    pub(in crate::store::sql) now: i64,
    /// At most [`ROWS_MAX`](super::ROWS_MAX).
    pub(in crate::store::sql) limit: usize,
}

/// A row that is due.
struct Due {
    id: SessionId,
    owner: Option<Owner>,
    deadline: i64,
}

impl<D: Driver> Work<D> for Sweep {
    type Output = Expired;
    const DOING: &'static str = "cannot remove expired sessions";

    async fn run(&self, link: &mut Link<D>) -> Worked<Expired> {
        // Mostly there is nothing to do, and then nothing is locked either.
        let values = values![link.namespace(), self.now];
        if link.fetch_first(Arc::clone(&link.sql().any_due), values).await?.is_none() {
            return Ok(Expired::default());
        }
        link.begin().await?;
        let mut due = self.due(link).await?;
        let more = due.len() > self.limit;
        due.truncate(self.limit);
        let (expired, live): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|due| due.deadline <= self.now);
        remove(link, &expired).await?;
        for due in live {
            refile(link, &due).await?;
        }
        link.commit().await?;
        Ok(Expired::new(expired.into_iter().map(|due| (due.id, due.owner)).collect(), more))
    }
}

impl Sweep {
    async fn due<D: Driver>(&self, link: &mut Link<D>) -> Worked<Vec<Due>> {
        let values = values![link.namespace(), self.now, one_more(self.limit)];
        let rows = link.fetch(Arc::clone(&link.sql().due), values).await?;
        rows.iter().map(Due::of::<D>).collect()
    }
}

impl Due {
    fn of<D: Driver>(row: &D::Row) -> Worked<Self> {
        let (used_at, absolute) = (D::int(row, 2)?, D::int(row, 4)?);
        let idle = D::int_or_null(row, 3)?;
        let deadline = idle.map_or(absolute, |idle| absolute.min(used_at.saturating_add(idle)));
        Ok(Self { id: id_of::<D>(row)?, owner: owner_of::<D>(row)?, deadline })
    }
}

fn owner_of<D: Driver>(row: &D::Row) -> Worked<Option<Owner>> {
    let Some(bytes) = D::bytes_or_null(row, 1)? else { return Ok(None) };
    let doing = "a row of the session table has an owner that is no text";
    let text = String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::Config, doing))?;
    Ok(Some(Owner::new(text)?))
}

async fn remove<D: Driver>(link: &mut Link<D>, expired: &[Due]) -> Worked<()> {
    for due in expired.chunks(IDS_PER_STATEMENT) {
        let mut values = values![link.namespace()];
        // A chunk that is not full names its last one more than once.
        let ids = due.iter().chain(due.last().into_iter().cycle());
        values.extend(ids.take(IDS_PER_STATEMENT).map(|due| Value::from(&due.id.as_bytes()[..])));
        link.execute(Arc::clone(&link.sql().remove), values).await?;
    }
    Ok(())
}

async fn refile<D: Driver>(link: &mut Link<D>, due: &Due) -> Worked<()> {
    let values = values![due.deadline, link.namespace(), &due.id.as_bytes()[..]];
    link.execute(Arc::clone(&link.sql().refile), values).await?;
    Ok(())
}
