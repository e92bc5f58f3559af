//! What a line of the journal says.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sessile::SessionId;

/// One step of the history. Any prefix of the journal is a state that was true once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The session's record is now this one, as `Record::to_bytes` wrote it.
    Put(SessionId, Bytes),
    /// The session is over.
    End(SessionId),
    /// Logins of this owner that began at or before this instant are refused.
    NotBefore(SystemTime, String),
    /// Somebody holds the session alone, at most until this instant.
    Lock(SessionId, SystemTime),
    /// They hold it no longer: the lock that stands at this place of the journal is given back.
    Free(SessionId, u64),
}

impl Entry {
    /// The entry in a line, or `None` when the line is none of ours.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(' ').collect();
        Some(match words[..] {
            ["put", id, record] => Self::Put(id.parse().ok()?, hex(record)?.into()),
            ["end", id] => Self::End(id.parse().ok()?),
            ["not-before", at, owner] => {
                Self::NotBefore(instant(at)?, String::from_utf8(hex(owner)?).ok()?)
            }
            ["lock", id, until] => Self::Lock(id.parse().ok()?, instant(until)?),
            ["free", id, place] => Self::Free(id.parse().ok()?, place.parse().ok()?),
            _ => return None,
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(id, record) => write!(f, "put {id} {}", HEXLOWER.encode(record)),
            Self::End(id) => write!(f, "end {id}"),
            Self::NotBefore(at, owner) => {
                write!(f, "not-before {} {}", millis(*at), HEXLOWER.encode(owner.as_bytes()))
            }
            Self::Lock(id, until) => write!(f, "lock {id} {}", millis(*until)),
            Self::Free(id, place) => write!(f, "free {id} {place}"),
        }
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER.decode(text.as_bytes()).ok()
}

/// Sessile's instants are whole milliseconds.
fn millis(instant: SystemTime) -> u128 {
    instant.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

fn instant(millis: &str) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis.parse().ok()?))
}
