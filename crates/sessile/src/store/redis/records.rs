//! One session: the scripts on its slot, and what goes before and behind them on other slots.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::{OptionFuture, join};
use redis::FromRedisValue;
use tracing::{debug, error};

use super::Shared;
use super::fault::strange_reply;
use super::lock::Opened;
use super::scripts::{self, Text};
use crate::clock::{from_millis, later, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Owner, Record, Version};
use crate::store::{Created, Durability, Updated};
use crate::token::SessionId;

/// How long after the absolute deadline the server may collect a session by its own clock, which may
/// be ahead of ours by as much.
const COLLECT_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The bytes and the last use of a session, as its hash holds them.
pub(super) type Raw = (Option<Vec<u8>>, Option<Vec<u8>>);

/// What a script deleted: whether it was there, and its owner.
type Deleted = (bool, Option<String>);

impl Shared {
    /// Files the session, enters it with its owner, and only then writes it: who can see it finds it
    /// in every list.
    pub(super) async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        let (filed, joined) =
            join(self.file(record.id, record.deadline()), self.join(record)).await;
        filed?;
        if !joined? {
            return Ok(Created::Revoked);
        }
        if let Some(owner) = self.write_new(record, durability).await? {
            self.leave_unless_owned_by(owner, record).await;
            return Ok(Created::Exists);
        }
        // The owner's sessions may have been ended after the entry and before the record.
        if self.join(record).await? {
            return Ok(Created::New);
        }
        self.delete(record.id, durability).await?;
        Ok(Created::Revoked)
    }

    /// Gives the owner of the record that is there already.
    async fn write_new(&self, record: &Record, durability: Durability) -> Result<Option<String>> {
        let fields = Fields::of(record)?;
        let key = self.keys.session(record.id);
        let (is_new, owner): (bool, Option<String>) =
            self.write(&scripts::CREATE, &key, &fields.arguments(), durability).await?;
        Ok(if is_new { None } else { Some(owner.unwrap_or_default()) })
    }

    /// Takes the entry of a creation back that met a record of somebody else.
    async fn leave_unless_owned_by(&self, there: String, record: &Record) {
        if let Some(owner) = record.owner.as_ref().filter(|owner| owner.as_str() != there) {
            self.leave(owner, record.id).await;
        }
    }

    pub(super) async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        opened: Option<&mut Opened>,
    ) -> Result<Updated> {
        if record.version <= expected {
            return Err(Error::new(ErrorKind::Value, "an update must raise the version"));
        }
        if opened.as_ref().is_none_or(|opened| record.absolute_deadline > opened.lives_until) {
            // The owner's index must not be collected before this session.
            self.keep(record).await?;
        }
        let fields = Fields::of(record)?;
        let expected = expected.to_string();
        let token = opened.as_ref().and_then(|opened| opened.token()).unwrap_or_default();
        let mut arguments = fields.arguments();
        arguments.extend([expected.as_bytes(), token.as_bytes(), b""]);
        let answer = match self.write_over(record.id, &arguments, durability).await? {
            // Whoever gains an owner logs in by it: the index is told first, and may refuse.
            (4, ..) if !self.join(record).await? => return Ok(Updated::Gone),
            (4, ..) => {
                arguments[9] = b"1";
                self.write_over(record.id, &arguments, durability).await?
            }
            answer => answer,
        };
        self.updated(record, answer).await
    }

    async fn write_over(
        &self,
        id: SessionId,
        arguments: &[&[u8]],
        durability: Durability,
    ) -> Result<(u8, Option<Vec<u8>>, Option<Vec<u8>>)> {
        self.write(&scripts::UPDATE, &self.keys.session(id), arguments, durability).await
    }

    async fn updated(
        &self,
        record: &Record,
        (answer, bytes, instant): (u8, Option<Vec<u8>>, Option<Vec<u8>>),
    ) -> Result<Updated> {
        match answer {
            0 => Ok(Updated::Gone),
            1 => {
                self.follow_up(record, bytes, instant).await;
                Ok(Updated::Written)
            }
            2 => {
                let current = self.decoded(record.id, (bytes, instant)).await?;
                Ok(current.map_or(Updated::Gone, |current| Updated::Conflict(Box::new(current))))
            }
            3 => Ok(Updated::LockLost),
            _ => Err(strange_reply()),
        }
    }

    /// Has the indexes follow an update that was written. They may lag behind: lists read the record,
    /// and the sweeper files anew what it finds alive.
    async fn follow_up(&self, record: &Record, owner: Option<Vec<u8>>, ended: Option<Vec<u8>>) {
        let owner = owner.as_deref().and_then(owner_of);
        if let Some(owner) = owner.filter(|owner| record.owner.as_ref() != Some(owner)) {
            self.leave(&owner, record.id).await;
        }
        let ended = ended.as_deref().and_then(number).map(from_millis);
        if ended.is_some_and(|ended| record.deadline() < ended) {
            let filed = self.file(record.id, record.deadline()).await;
            best_effort("file a session that ends earlier now", filed);
        }
    }

    pub(super) async fn touch(&self, id: SessionId, used_at: SystemTime) -> Result<bool> {
        let key = self.keys.session(id);
        let used_at = millis(used_at).to_string();
        self.server.run(&scripts::TOUCH, &[&key], &[used_at.as_bytes()]).await
    }

    /// Ends the session, and strikes it out of the indexes behind.
    pub(super) async fn delete(&self, id: SessionId, _: Durability) -> Result<bool> {
        let (was_there, owner) = self.delete_if_owned_by("", id).await?;
        if was_there {
            let owner = owner.as_deref().map(str::as_bytes).and_then(owner_of);
            let left = OptionFuture::from(owner.as_ref().map(|owner| self.leave(owner, id)));
            join(self.strike(id), left).await;
        }
        Ok(was_there)
    }

    /// Ends the session if it belongs to this owner, or to anybody when there is no name.
    pub(super) async fn delete_if_owned_by(&self, owner: &str, id: SessionId) -> Result<Deleted> {
        let key = self.keys.session(id);
        self.write(&scripts::DELETE, &key, &[owner.as_bytes()], Durability::Final).await
    }

    /// Runs a script that writes, and waits for the replicas where that was asked for. A script that
    /// found nothing to do waits too, and for all that others wrote before it: what it found may be
    /// the work of a call whose confirmation did not come.
    pub(super) async fn write<T: FromRedisValue>(
        &self,
        script: &'static Text,
        key: &str,
        arguments: &[&[u8]],
        durability: Durability,
    ) -> Result<T> {
        match self.wait_replicas.filter(|_| durability >= Durability::Final) {
            None => self.server.run(script, &[key], arguments).await,
            Some(replicas) => {
                let (answer, confirmed) =
                    self.patient.run_and_wait(script, &[key], arguments, replicas).await?;
                if confirmed < i64::from(replicas.0) {
                    return Err(super::fault::too_few_replicas(replicas.0, confirmed));
                }
                Ok(answer)
            }
        }
    }

    /// Reads the live session.
    pub(super) async fn read(&self, id: SessionId, now: SystemTime) -> Result<Option<Record>> {
        let raw = self.read_raw(id).await?;
        let record = self.decoded(id, raw).await?;
        Ok(record.filter(|record| !record.is_expired(now)))
    }

    pub(super) async fn read_raw(&self, id: SessionId) -> Result<Raw> {
        let key = self.keys.session(id);
        let mut read = redis::cmd("HMGET");
        read.arg(&key).arg("r").arg("u");
        self.server.command(&key, read).await
    }

    /// The record of what was read; a damaged one is set aside for the operator.
    pub(super) async fn decoded(&self, id: SessionId, raw: Raw) -> Result<Option<Record>> {
        let decoded = decode(&raw);
        if decoded.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
            self.set_aside(id, raw.0.as_deref().unwrap_or_default()).await;
        }
        decoded
    }

    pub(super) async fn set_aside(&self, id: SessionId, damaged: &[u8]) {
        let (key, aside) = (self.keys.session(id), self.keys.set_aside(id));
        error!(session = %id, "a damaged session is set aside as the key {aside}");
        let moved = self.server.run::<i64>(&scripts::SET_ASIDE, &[&key, &aside], &[damaged]).await;
        best_effort("set a damaged session aside", moved.map(drop));
    }
}

/// Reads what a session's hash holds, if there is one.
pub(super) fn decode(raw: &Raw) -> Result<Option<Record>> {
    let (bytes, used_at) = match raw {
        (None, None) => return Ok(None),
        (bytes, used_at) => (bytes.as_deref(), used_at.as_deref().and_then(number)),
    };
    let damaged = || Error::new(ErrorKind::Corrupt, "the session's fields are damaged");
    let (bytes, used_at) = bytes.zip(used_at).ok_or_else(damaged)?;
    let mut record = Record::from_bytes(&Bytes::copy_from_slice(bytes))?;
    record.touch(from_millis(used_at));
    Ok(Some(record))
}

/// What the hash of a session holds, and when the server may collect it, as arguments of scripts.
struct Fields {
    bytes: Bytes,
    texts: [String; 6],
}

impl Fields {
    fn of(record: &Record) -> Result<Self> {
        let idle = record.idle_timeout.map(|idle| {
            // Whatever is longer than instants go ends at the absolute deadline all the same.
            millis(later(SystemTime::UNIX_EPOCH, idle)).to_string()
        });
        let texts = [
            record.version.to_string(),
            millis(record.used_at).to_string(),
            idle.unwrap_or_default(),
            millis(record.absolute_deadline).to_string(),
            record.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
            millis(collected_at(record)).to_string(),
        ];
        Ok(Self { bytes: record.to_bytes()?, texts })
    }

    fn arguments(&self) -> Vec<&[u8]> {
        let texts = self.texts.iter().map(String::as_bytes);
        std::iter::once(&self.bytes[..]).chain(texts).collect()
    }
}

/// When the server may collect a session by its own clock.
pub(super) fn collected_at(record: &Record) -> SystemTime {
    later(record.absolute_deadline, COLLECT_AFTER)
}

pub(super) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn owner_of(name: &[u8]) -> Option<Owner> {
    Owner::new(std::str::from_utf8(name).ok()?).ok()
}

/// For what is done behind an acknowledged write and may be left to the sweeper.
pub(super) fn best_effort(what: &str, done: Result<()>) {
    if let Err(error) = done {
        debug!(%error, "could not {what}; the sweeper or the next list does it");
    }
}

/// What a script gives as an ID is one that we gave it.
pub(super) fn id_of(text: &str) -> Result<SessionId> {
    text.parse().map_err(|error: Error| strange_reply().with_source(error))
}
