//! The two marks of a session on its way, as records that open to nobody. Pure.
//!
//! Both bear a hash that is a sentence, which no secret is known to have. A store without
//! [`Migrating`](super::Migrating) around it serves them to nobody.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::clock::later;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Data, Record};
use crate::token::SecretHash;

const NO_SECRET: SecretHash = SecretHash::from_bytes(*b"sessile: on its way, no session!");

/// Under which key an arriving record keeps the session's.
const CARGO: &str = "session";

/// Whether this is either mark, and no session.
pub(super) fn is_mark(record: &Record) -> bool {
    record.secret_hash == NO_SECRET
}

/// Whether the session left for the new store.
pub(super) fn has_left(record: &Record) -> bool {
    is_mark(record) && !record.superseded
}

/// Whether the session is in the new store, and not known to have left the old one.
pub(super) fn is_arriving(record: &Record) -> bool {
    is_mark(record) && record.superseded
}

/// What the old store keeps of `record` once it left. It is listed as the session was, so that no list
/// misses a session on its way, and expires when the session does.
pub(super) fn left(record: &Record) -> Record {
    let data = Data::default();
    Record { version: record.version.next(), ..without_secrets(record, data) }
}

/// What the new store is given before `record` leaves the old one: the whole of it, in a wrapper that
/// no list shows.
///
/// Whether its owner's sessions were ended is judged where it is now, in the old store. The new one
/// must not judge once more: the session that a "log out everywhere else" spared began before it.
pub(super) fn arriving(record: &Record) -> Result<Record> {
    let mut data = Data::default();
    data.insert(CARGO, record.to_bytes()?);
    Ok(Record {
        superseded: true,
        // A use that the old store is told of meanwhile must find it here.
        idle_timeout: None,
        login_began_at: Some(later(record.created_at, Duration::MAX)),
        ..without_secrets(record, data)
    })
}

/// The session that an arriving record holds, one version later, last used at `used_at` or later.
pub(super) fn arrived(arriving: &Record, used_at: SystemTime) -> Result<Record> {
    let cargo = arriving.data.get(CARGO).ok_or_else(without_cargo)?;
    // A copy, or the session's values would keep the whole wrapper in memory.
    let mut record = Record::from_bytes(&Bytes::copy_from_slice(cargo))?;
    record.version = arriving.version.next();
    record.touch(used_at);
    Ok(record)
}

fn without_secrets(record: &Record, data: Data) -> Record {
    Record { secret_hash: NO_SECRET, previous: None, retired: Vec::new(), data, ..record.clone() }
}

fn without_cargo() -> Error {
    Error::new(ErrorKind::Corrupt, "an arriving session holds no record")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::record::{Owner, Version};
    use crate::token::SessionId;

    fn record() -> Record {
        let (id, hash) = (SessionId::from_bytes([1; 16]), SecretHash::from_bytes([2; 32]));
        let idle = Some(Duration::from_secs(10));
        let mut record = Record::new(id, hash, UNIX_EPOCH, idle, Duration::from_secs(60));
        record.owner = Some(Owner::new("ann").unwrap());
        record.login_began_at = Some(UNIX_EPOCH);
        record.data.insert("key", Bytes::from_static(b"1"));
        record
    }

    #[test]
    fn what_arrives_is_what_left_one_version_and_one_use_later() {
        let used_at = UNIX_EPOCH + Duration::from_secs(5);
        let arriving = arriving(&record()).unwrap();
        let expected = Record { version: Version::new(2), used_at, ..record() };
        assert_eq!(arrived(&arriving, used_at).unwrap(), expected);
    }

    #[test]
    fn no_mark_is_a_session_and_none_is_the_other() {
        let (arriving, left) = (arriving(&record()).unwrap(), left(&record()));
        assert!(is_arriving(&arriving) && !has_left(&arriving));
        assert!(has_left(&left) && !is_arriving(&left));
        assert!(!is_mark(&record()) && is_mark(&left) && is_mark(&arriving));
    }

    #[test]
    fn marks_hold_no_secret_and_what_left_holds_no_data() {
        let mut record = record();
        record.retired.push(crate::record::RetiredSecret {
            hash: record.secret_hash,
            retired_at: UNIX_EPOCH,
        });
        for mark in [arriving(&record).unwrap(), left(&record)] {
            assert_eq!((mark.secret_hash, mark.previous, mark.retired.len()), (NO_SECRET, None, 0));
        }
        assert!(left(&record).data.is_empty());
        assert_eq!(left(&record).deadline(), record.deadline());
    }
}
