//! One owner: the sessions in the index, and since when logins count.

use std::time::{Duration, SystemTime};

use futures_util::future::{join, join_all};

use super::Shared;
use super::list::AT_ONCE;
use super::records::{best_effort, collected_at};
use super::scripts;
use crate::clock::{later, millis};
use crate::error::Result;
use crate::record::{Owner, Record};
use crate::store::Durability;
use crate::token::SessionId;

/// How much longer than its sessions an index is kept, and for how long after it an instant is
/// remembered up to which logins are refused: longer than any request takes.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The age from which an entry without a session is a ghost and no login in flight.
const GHOST_AFTER: Duration = Duration::from_secs(10 * 60);

impl Shared {
    /// Enters the session with its owner, if it has one; gives whether its login counts.
    pub(super) async fn join(&self, record: &Record) -> Result<bool> {
        let Some(owner) = &record.owner else { return Ok(true) };
        let began = record.login_began_at.map(|began| millis(began).to_string());
        self.server
            .run(
                &scripts::JOIN,
                &[&self.keys.owner(owner)],
                &[
                    record.id.to_string().as_bytes(),
                    began.unwrap_or_default().as_bytes(),
                    kept_until(record).as_bytes(),
                ],
            )
            .await
    }

    /// Has the owner's index outlive the session.
    pub(super) async fn keep(&self, record: &Record) -> Result<()> {
        let Some(owner) = &record.owner else { return Ok(()) };
        let (id, until) = (record.id.to_string(), kept_until(record));
        let key = self.keys.owner(owner);
        self.server.run(&scripts::KEEP, &[&key], &[id.as_bytes(), until.as_bytes()]).await
    }

    /// Removes the entry of a session that is gone. An entry that stays is a ghost, no more.
    pub(super) async fn leave(&self, owner: &Owner, id: SessionId) {
        let key = self.keys.owner(owner);
        let mut leave = redis::cmd("HDEL");
        leave.arg(&key).arg(id.to_string());
        let left = self.server.command::<i64>(&key, leave).await;
        best_effort("remove an ended session from its owner's list", left.map(drop));
    }

    /// The sessions in the owner's index, ghosts included, in order.
    pub(super) async fn entries(&self, owner: &Owner) -> Result<Vec<SessionId>> {
        let key = self.keys.owner(owner);
        let mut entries = redis::cmd("HKEYS");
        entries.arg(&key);
        Ok(in_order(self.server.command(&key, entries).await?))
    }

    /// Refuses logins up to `not_before`, then ends what is in the index.
    pub(super) async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
    ) -> Result<u64> {
        // Whatever fails, what can be ended is ended all the same: an instant that no replica
        // confirmed in time is no reason to let sessions live.
        let (mut ended, revoked) = match self.revoke(owner, not_before).await {
            Ok(ids) => (ids, Ok(0)),
            Err(error) => (self.entries(owner).await.unwrap_or_default(), Err(error)),
        };
        ended.retain(|id| Some(*id) != except);
        let mut deleted = Vec::new();
        for ids in ended.chunks(AT_ONCE) {
            deleted.extend(join_all(ids.iter().map(|id| self.delete_of(owner, *id))).await);
        }
        deleted.into_iter().fold(revoked, |count, deleted| Ok(count? + u64::from(deleted?)))
    }

    async fn revoke(&self, owner: &Owner, not_before: SystemTime) -> Result<Vec<SessionId>> {
        let not_before = millis(not_before).to_string();
        let remembered = REMEMBERED_FOR.as_millis().to_string();
        let arguments = [not_before.as_bytes(), remembered.as_bytes()];
        let key = self.keys.owner(owner);
        Ok(in_order(self.write(&scripts::REVOKE, &key, &arguments, Durability::Final).await?))
    }

    /// Ends one session of the owner. Where there is none the entry stays: a login that is on its way
    /// may have made it, and its record must be listed if it is let in.
    async fn delete_of(&self, owner: &Owner, id: SessionId) -> Result<bool> {
        let (was_there, _) = self.delete_if_owned_by(owner.as_str(), id).await?;
        if was_there {
            join(self.strike(id), self.leave(owner, id)).await;
        }
        Ok(was_there)
    }

    /// Removes entries that have been without a session for long. `absent` were not there when the
    /// list looked; they are looked for once more.
    pub(super) async fn heal(&self, owner: &Owner, absent: Vec<SessionId>) {
        let mut ghosts = vec![GHOST_AFTER.as_millis().to_string()];
        for id in absent {
            if matches!(self.read_raw(id).await, Ok((None, None))) {
                ghosts.push(id.to_string());
            }
        }
        if ghosts.len() > 1 {
            let arguments: Vec<_> = ghosts.iter().map(String::as_bytes).collect();
            let key = self.keys.owner(owner);
            let healed = self.server.run::<i64>(&scripts::HEAL, &[&key], &arguments).await;
            best_effort("heal an owner's list", healed.map(drop));
        }
    }
}

fn kept_until(record: &Record) -> String {
    millis(later(collected_at(record), REMEMBERED_FOR)).to_string()
}

/// The IDs among an index's fields, which also hold the "not before" instant.
fn in_order(fields: Vec<String>) -> Vec<SessionId> {
    let mut ids: Vec<SessionId> = fields.iter().filter_map(|field| field.parse().ok()).collect();
    ids.sort_unstable();
    ids
}
