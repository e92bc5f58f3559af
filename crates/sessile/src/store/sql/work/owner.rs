//! The end of all sessions of one owner.

use std::sync::Arc;

use crate::record::Owner;
use crate::store::Durability;
use crate::store::sql::core::Work;
use crate::store::sql::driver::{Driver, values};
use crate::store::sql::failure::Worked;
use crate::store::sql::link::Link;
use crate::token::SessionId;

/// Ends all sessions of an owner but one, and refuses the logins that began before.
pub(in crate::store::sql) struct DeleteOwner {
    pub(in crate::store::sql) owner: Owner,
    pub(in crate::store::sql) except: Option<SessionId>,
    pub(in crate::store::sql) not_before: i64,
    pub(in crate::store::sql) durability: Durability,
}

impl<D: Driver> Work<D> for DeleteOwner {
    type Output = u64;
    const DOING: &'static str = "cannot end a user's sessions";

    async fn run(&self, link: &mut Link<D>) -> Worked<u64> {
        let owner = self.owner.as_str().as_bytes();
        let except = self.except.as_ref().map_or(&[][..], |id| id.as_bytes());
        link.keep(self.durability).await?;
        link.begin().await?;
        raise(link, owner, self.not_before).await?;
        let values = values![link.namespace(), owner, except];
        let ended = link.execute(Arc::clone(&link.sql().delete_owner), values).await?;
        link.commit().await?;
        Ok(ended)
    }
}

/// Whether a login that began then still counts; the owner's row is locked from here on.
///
/// Logins of an owner and the end of all of their sessions run one after the other: both hold that
/// lock until they commit. So one look at the instant is enough: whoever comes second finds it, or
/// deletes the record.
pub(super) async fn admits<D: Driver>(
    link: &mut Link<D>,
    owner: &[u8],
    began_at: Option<i64>,
) -> Worked<bool> {
    raise(link, owner, NEVER).await?;
    let values = values![link.namespace(), owner];
    let row = link.fetch_first(Arc::clone(&link.sql().not_before), values).await?;
    let not_before = row.map_or(Ok(NEVER), |row| D::int(&row, 0))?;
    Ok(not_before == NEVER || began_at.is_some_and(|began_at| began_at > not_before))
}

/// The instant of an owner whose sessions were never ended.
const NEVER: i64 = -1;

/// Raises the instant of an owner, and holds the lock of their row until the transaction ends.
async fn raise<D: Driver>(link: &mut Link<D>, owner: &[u8], at_least: i64) -> Worked<()> {
    let values = values![link.namespace(), owner, at_least, at_least];
    link.execute(Arc::clone(&link.sql().raise), values).await?;
    Ok(())
}
