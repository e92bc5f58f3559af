//! All sessions of the namespace, filed by deadline and by ID: what is due, and its removal.
//!
//! A session is filed before it is written and struck out after it is gone, under the deadline it
//! had when it was filed. The sweeper files anew what was used since; an entry that is lost leaves
//! garbage that the server collects by itself.

use std::time::SystemTime;

use futures_util::future::{join, join_all};

use super::Shared;
use super::list::AT_ONCE;
use super::records::{best_effort, id_of, owner_of};
use super::scripts;
use crate::clock::millis;
use crate::error::Result;
use crate::record::Owner;
use crate::store::Expired;
use crate::token::SessionId;

/// A session, and what it is filed under.
struct Entry {
    id: SessionId,
    filed: String,
}

/// What became of a session that was due.
enum Outcome {
    Absent,
    Removed(Option<Owner>),
    /// It was used, or extended: until then.
    Live(String),
}

impl Shared {
    /// Files a session under its deadline.
    pub(super) async fn file(&self, id: SessionId, deadline: SystemTime) -> Result<()> {
        self.file_all(&[id.to_string(), String::new(), millis(deadline).to_string()]).await
    }

    /// Strikes a session out that is gone.
    pub(super) async fn strike(&self, id: SessionId) {
        let struck = self.file_all(&[id.to_string(), String::new(), String::new()]).await;
        best_effort("strike an ended session out", struck);
    }

    /// Each session takes three: its ID, what it must be filed under, what to file it under.
    async fn file_all(&self, filings: &[String]) -> Result<()> {
        let arguments: Vec<_> = filings.iter().map(String::as_bytes).collect();
        let (due, all) = (self.keys.due(), self.keys.all());
        self.server.run(&scripts::FILE, &[&due, &all], &arguments).await
    }

    pub(super) async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        let mut due = self.due(now, limit.saturating_add(1)).await?;
        let more = due.len() > limit;
        due.truncate(limit);
        let (mut removed, mut failure) = (Vec::new(), None);
        for entries in due.chunks(AT_ONCE) {
            let outcomes = join_all(entries.iter().map(|entry| self.expire(entry.id, now))).await;
            failure = self.settle(entries, outcomes, &mut removed).await.err();
            if failure.is_some() {
                break;
            }
        }
        match failure {
            // What was removed is told, and what fails is left to the next call.
            Some(error) if removed.is_empty() => Err(error),
            Some(_) => Ok(Expired::new(removed, false)),
            None => Ok(Expired::new(removed, more)),
        }
    }

    async fn due(&self, now: SystemTime, limit: usize) -> Result<Vec<Entry>> {
        let (now, limit) = (millis(now).to_string(), limit.min(i32::MAX as usize).to_string());
        let arguments = [now.as_bytes(), limit.as_bytes()];
        let entries: Vec<String> =
            self.server.run(&scripts::DUE, &[&self.keys.due()], &arguments).await?;
        let entry = |pair: &[String]| Ok(Entry { id: id_of(&pair[0])?, filed: pair[1].clone() });
        entries.chunks_exact(2).map(entry).collect()
    }

    /// Removes the session if it is expired, judging by its own fields in the same step.
    async fn expire(&self, id: SessionId, now: SystemTime) -> Result<Outcome> {
        let key = self.keys.session(id);
        let now = millis(now).to_string();
        let (outcome, text): (u8, Option<String>) =
            self.server.run(&scripts::EXPIRE, &[&key], &[now.as_bytes()]).await?;
        Ok(match (outcome, text) {
            (1, owner) => Outcome::Removed(owner.as_deref().map(str::as_bytes).and_then(owner_of)),
            (2, Some(deadline)) => Outcome::Live(deadline),
            (3, _) => {
                self.set_aside(id, &[]).await;
                Outcome::Absent
            }
            _ => Outcome::Absent,
        })
    }

    /// Has the indexes follow what was done.
    async fn settle(
        &self,
        entries: &[Entry],
        outcomes: Vec<Result<Outcome>>,
        removed: &mut Vec<(SessionId, Option<Owner>)>,
    ) -> Result<()> {
        let (mut filings, mut ended, mut failed) = (Vec::new(), Vec::new(), Ok(()));
        for (entry, outcome) in entries.iter().zip(outcomes) {
            let file_under = match outcome {
                Ok(Outcome::Live(deadline)) => deadline,
                Ok(Outcome::Absent) => String::new(),
                Ok(Outcome::Removed(owner)) => {
                    ended.push((entry.id, owner));
                    String::new()
                }
                Err(error) => {
                    failed = Err(error);
                    continue;
                }
            };
            filings.extend([entry.id.to_string(), entry.filed.clone(), file_under]);
        }
        let owned = ended.iter().filter_map(|(id, owner)| Some((owner.as_ref()?, *id)));
        let left = join_all(owned.map(|(owner, id)| self.leave(owner, id)));
        let (followed, _) = join(self.file_all(&filings), left).await;
        removed.append(&mut ended);
        failed.and(followed)
    }
}
