//! Lists of sessions, by pages.

use std::time::SystemTime;

use futures_util::future::join_all;

use super::Shared;
use super::records::{Raw, decode};
use crate::error::Result;
use crate::record::{Owner, Record};
use crate::store::Page;
use crate::token::SessionId;

/// How many commands are under way at once on behalf of one call.
pub(super) const AT_ONCE: usize = 64;

impl Shared {
    /// Lists the namespace along the set of all IDs.
    pub(super) async fn list_all(
        &self,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        let mut page = Filling::new(now, limit, None);
        let mut after = after.map_or_else(|| "-".to_owned(), behind);
        let at_once = at_once(limit);
        loop {
            let ids = self.ids_from(&after, at_once).await?;
            let records = self.read_many(&known(&ids)).await?;
            for (_, raw) in &records {
                page.offer(raw);
            }
            match ids.last() {
                Some(last) if !page.is_full() && ids.len() == at_once => after = behind(last),
                _ => return Ok(page.done()),
            }
        }
    }

    async fn ids_from(&self, from: &str, count: usize) -> Result<Vec<String>> {
        let key = self.keys.all();
        let mut range = redis::cmd("ZRANGEBYLEX");
        range.arg(&key).arg(from).arg("+").arg("LIMIT").arg(0).arg(count);
        self.server.command(&key, range).await
    }

    /// Lists the owner's index, and heals it where it finds ghosts.
    pub(super) async fn list_owner(
        &self,
        owner: &Owner,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        let mut ids = self.entries(owner).await?;
        ids.retain(|id| Some(*id) > after);
        let mut page = Filling::new(now, limit, Some(owner));
        let mut absent = Vec::new();
        for ids in ids.chunks(at_once(limit)) {
            let records = self.read_many(ids).await?;
            for (id, raw) in &records {
                page.offer(raw);
                if matches!(raw, (None, None)) {
                    absent.push(*id);
                }
            }
            if page.is_full() {
                break;
            }
        }
        self.heal(owner, absent).await;
        Ok(page.done())
    }

    async fn read_many(&self, ids: &[SessionId]) -> Result<Vec<(SessionId, Raw)>> {
        let read = |id: SessionId| async move { Ok((id, self.read_raw(id).await?)) };
        join_all(ids.iter().map(|id| read(*id))).await.into_iter().collect()
    }
}

/// A page that takes what is to be listed until it is full.
struct Filling<'a> {
    now: SystemTime,
    limit: usize,
    owner: Option<&'a Owner>,
    records: Vec<Record>,
    /// Whether there was one more than the page holds.
    more: bool,
}

impl<'a> Filling<'a> {
    fn new(now: SystemTime, limit: usize, owner: Option<&'a Owner>) -> Self {
        Self { now, limit, owner, records: Vec::new(), more: false }
    }

    /// Takes a session that is live, readable, not replaced by a login, and of the right owner.
    fn offer(&mut self, raw: &Raw) {
        let Ok(Some(record)) = decode(raw) else { return };
        let is_listed = !record.superseded
            && !record.is_expired(self.now)
            && self.owner.is_none_or(|owner| record.owner.as_ref() == Some(owner));
        match is_listed {
            true if self.records.len() == self.limit => self.more = true,
            true => self.records.push(record),
            false => {}
        }
    }

    fn is_full(&self) -> bool {
        self.more
    }

    fn done(self) -> Page {
        let sessions: Vec<_> = self.records.iter().map(Record::summary).collect();
        let next = sessions.last().map(|last| last.id).filter(|_| self.more);
        Page::new(sessions, next)
    }
}

/// How many records to read for a page: those it holds, and one more to know whether there is one.
fn at_once(limit: usize) -> usize {
    limit.saturating_add(1).min(AT_ONCE)
}

/// The range that begins behind this member.
fn behind(id: impl std::fmt::Display) -> String {
    format!("({id}")
}

fn known(ids: &[String]) -> Vec<SessionId> {
    ids.iter().filter_map(|id| id.parse().ok()).collect()
}
