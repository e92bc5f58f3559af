//! Reading one record.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::record::Record;
use crate::store::sql::columns;
use crate::store::sql::core::Work;
use crate::store::sql::driver::{Driver, values};
use crate::store::sql::failure::{Failure, Worked};
use crate::store::sql::link::Link;
use crate::token::SessionId;

/// Reads the record that is live at an instant.
pub(in crate::store::sql) struct Load {
    pub(in crate::store::sql) id: SessionId,
    pub(in crate::store::sql) now: i64,
}

impl<D: Driver> Work<D> for Load {
    type Output = Option<Record>;
    const DOING: &'static str = "cannot load a session";

    async fn run(&self, link: &mut Link<D>) -> Worked<Option<Record>> {
        let values = values![link.namespace(), &self.id.as_bytes()[..], self.now, self.now];
        let row = link.fetch_first(Arc::clone(&link.sql().load), values).await?;
        match row {
            Some(row) => read(link, self.id, &row).await.map(Some),
            None => Ok(None),
        }
    }
}

/// The record of a row that begins with its bytes, its version and its last use.
pub(super) async fn read<D: Driver>(
    link: &mut Link<D>,
    id: SessionId,
    row: &D::Row,
) -> Worked<Record> {
    let (record, version) = (Bytes::from(D::bytes(row, 0)?), D::int(row, 1)?);
    match columns::read(id, &record, version, D::int(row, 2)?) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Err(set_aside(link, id, version, &record, error).await)
        }
        read => Ok(read?),
    }
}

/// Sets a damaged record aside: its row stays for the operator until its deadline, under version -1,
/// which counts as absent and which no update expects.
async fn set_aside<D: Driver>(
    link: &mut Link<D>,
    id: SessionId,
    version: i64,
    record: &Bytes,
    damaged: Error,
) -> Failure {
    let values = values![link.namespace(), &id.as_bytes()[..], version, &record[..]];
    match link.execute(Arc::clone(&link.sql().set_aside), values).await {
        Ok(_) => damaged.into(),
        Err(failure) => failure,
    }
}
