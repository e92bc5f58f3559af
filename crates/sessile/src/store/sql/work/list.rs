//! Pages of sessions.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::record::{Owner, Summary};
use crate::store::Page;
use crate::store::sql::columns;
use crate::store::sql::core::Work;
use crate::store::sql::driver::{Driver, Value, values};
use crate::store::sql::failure::Worked;
use crate::store::sql::link::Link;
use crate::token::SessionId;

/// Lists what is live at an instant, by ID.
pub(in crate::store::sql) struct List {
    pub(in crate::store::sql) owner: Option<Owner>,
    pub(in crate::store::sql) now: i64,
    pub(in crate::store::sql) after: Option<SessionId>,
    /// At most [`ROWS_MAX`](super::ROWS_MAX).
    pub(in crate::store::sql) limit: usize,
}

impl<D: Driver> Work<D> for List {
    type Output = Page;
    const DOING: &'static str = "cannot list sessions";

    async fn run(&self, link: &mut Link<D>) -> Worked<Page> {
        let after = self.after.as_ref().map_or(&[][..], |id| id.as_bytes());
        let mut values = values![link.namespace(), after, self.now, self.now];
        let sql = match &self.owner {
            None => &link.sql().list,
            Some(owner) => {
                values.push(Value::from(owner.as_str().as_bytes()));
                &link.sql().list_owner
            }
        };
        values.push(Value::from(one_more(self.limit)));
        let rows = link.fetch(Arc::clone(sql), values).await?;
        self.page::<D>(&rows)
    }
}

impl List {
    /// One row more than the page takes says that there is another page.
    fn page<D: Driver>(&self, rows: &[D::Row]) -> Worked<Page> {
        let taken = &rows[..rows.len().min(self.limit)];
        let mut sessions = Vec::with_capacity(taken.len());
        for row in taken {
            sessions.extend(summary::<D>(row)?);
        }
        let last = taken.last().filter(|_| rows.len() > taken.len());
        let next = last.map(|row| id_of::<D>(row)).transpose()?;
        Ok(Page::new(sessions, next))
    }
}

/// How many rows to ask for.
pub(super) fn one_more(limit: usize) -> i64 {
    limit.cast_signed() as i64 + 1
}

/// What a list shows of a row: nothing, if it is damaged or of a newer release. One record's trouble
/// must not hide the others.
fn summary<D: Driver>(row: &D::Row) -> Worked<Option<Summary>> {
    let (id, record) = (id_of::<D>(row)?, Bytes::from(D::bytes(row, 1)?));
    match columns::read(id, &record, D::int(row, 2)?, D::int(row, 3)?) {
        Ok(record) => Ok(Some(record.summary())),
        Err(error) if is_one_records_trouble(error.kind()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_one_records_trouble(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::NewerFormat)
}

/// The ID in a row that begins with it.
pub(super) fn id_of<D: Driver>(row: &D::Row) -> Worked<SessionId> {
    let bytes = D::bytes(row, 0)?.try_into();
    let doing = "a row of the session table has no ID of 16 bytes";
    bytes.map(SessionId::from_bytes).map_err(|_| Error::new(ErrorKind::Config, doing).into())
}
