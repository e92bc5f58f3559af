//! Lists and clean-up over two stores.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Migrating, marks};
use crate::error::{ErrorKind, Result};
use crate::record::{Owner, Summary};
use crate::store::{Access, Expired, Page, Scope};
use crate::token::SessionId;

impl Migrating {
    /// Reads the old store first: what is carried meanwhile is in the new one by then.
    pub(super) async fn list_both(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        let old = self.old.list(scope, now, after, limit).await?;
        let new = self.new.list(scope, now, after, limit).await?;
        let (merged, next) = merged(old, new, limit);
        let mut sessions = Vec::with_capacity(merged.len());
        for (id, in_new) in merged {
            let session = match in_new {
                Some(session) => Some(session),
                None => self.confirmed(id, scope, now).await?,
            };
            sessions.extend(session);
        }
        Ok(Page::new(sessions, next))
    }

    /// A session that the old store lists and the new one does not: it may have left, or ended.
    async fn confirmed(
        &self,
        id: SessionId,
        scope: Scope<'_>,
        now: SystemTime,
    ) -> Result<Option<Summary>> {
        let record = match self.old.load(id, now, Access::Read).await {
            Ok(Some(there)) if !marks::is_mark(&there.record) => Some(there.record),
            Ok(_) => self.find(id, now, Access::Read).await?.map(|found| found.record),
            // Lists go on past damaged records.
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            Err(error) => return Err(error),
        };
        let is_of = |owner: Option<&Owner>| match scope {
            Scope::All => true,
            Scope::Owner(wanted) => owner == Some(wanted),
        };
        let listed = record.filter(|it| !it.superseded && is_of(it.owner.as_ref()));
        Ok(listed.map(|record| record.summary()))
    }

    pub(super) async fn sweep_both(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        let old = self.old.delete_expired(now, limit).await?;
        let left = limit - old.removed.len().min(limit);
        let new = match left {
            0 => Expired::new(Vec::new(), true),
            left => self.new.delete_expired(now, left).await?,
        };
        let mut removed = Vec::with_capacity(old.removed.len() + new.removed.len());
        for (id, owner) in old.removed {
            if !self.is_known_to_new(id).await {
                removed.push((id, owner));
            }
        }
        removed.extend(new.removed);
        Ok(Expired::new(removed, old.more || new.more))
    }

    /// Whether what the old store removed was the mark of a session that the new one has.
    ///
    /// It is removed already: when the new store does not answer, it is told as what it mostly is.
    async fn is_known_to_new(&self, id: SessionId) -> bool {
        // At the epoch nothing is expired yet.
        let there = self.new.load(id, UNIX_EPOCH, Access::Read).await;
        matches!(there, Ok(Some(there)) if !marks::is_mark(&there.record))
    }
}

/// The sessions of both pages, each with what the new store says of it, as far as both pages reach;
/// and where the next page begins.
fn merged(
    old: Page,
    new: Page,
    limit: usize,
) -> (Vec<(SessionId, Option<Summary>)>, Option<SessionId>) {
    let known_up_to = old.next.into_iter().chain(new.next).min();
    let mut merged: BTreeMap<_, _> = old.sessions.into_iter().map(|it| (it.id, None)).collect();
    merged.extend(new.sessions.into_iter().map(|session| (session.id, Some(session))));
    merged.retain(|id, _| known_up_to.is_none_or(|last| *id <= last));

    let more = merged.len() > limit;
    let merged: Vec<_> = merged.into_iter().take(limit).collect();
    let next = if more { merged.last().map(|(id, _)| *id) } else { known_up_to };
    (merged, next)
}
