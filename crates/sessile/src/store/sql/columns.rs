//! A record as columns, and back.

use std::time::SystemTime;

use bytes::Bytes;

use crate::clock::{from_millis, millis, truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Record, Version};
use crate::token::SessionId;

/// What the statements need of a record, beside its bytes. Instants are milliseconds since the epoch:
/// no time zone of a server or a connection can move them.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) id: SessionId,
    pub(super) version: i64,
    pub(super) used_at: i64,
    pub(super) idle_timeout: Option<i64>,
    pub(super) absolute_deadline: i64,
    pub(super) superseded: i64,
    pub(super) owner: Option<String>,
    /// When the sweeper looks at it: its deadline, unless that moves on afterwards.
    pub(super) sweep_at: i64,
    pub(super) record: Bytes,
}

impl Columns {
    pub(super) fn of(record: &Record) -> Result<Self> {
        Ok(Self {
            id: record.id,
            version: number(record.version)?,
            used_at: instant(record.used_at),
            idle_timeout: record.idle_timeout.map(|idle| bounded(idle.as_millis())),
            absolute_deadline: instant(record.absolute_deadline),
            superseded: record.superseded.into(),
            owner: record.owner.as_ref().map(|owner| owner.as_str().to_owned()),
            sweep_at: instant(record.deadline()),
            record: record.to_bytes()?,
        })
    }

    pub(super) fn owner(&self) -> Option<&[u8]> {
        self.owner.as_deref().map(str::as_bytes)
    }
}

/// The number of a version as databases count.
pub(super) fn number(version: Version) -> Result<i64> {
    let doing = "a version is less than 2 to the power of 63";
    i64::try_from(version.get()).map_err(|_| Error::new(ErrorKind::Value, doing))
}

/// Milliseconds since the epoch.
pub(super) fn instant(instant: SystemTime) -> i64 {
    millis(truncated(instant)).cast_signed()
}

/// Longer than any record lives, and far from where sums overflow.
fn bounded(ms: u128) -> i64 {
    const MAX: u128 = 1 << 48;
    ms.min(MAX) as i64
}

/// Reads a record back; the columns say how often it was saved and when it was last used.
pub(super) fn read(id: SessionId, record: &Bytes, version: i64, used_at: i64) -> Result<Record> {
    let mut record = Record::from_bytes(record)?;
    if record.id != id || number(record.version)? != version {
        return Err(Error::new(ErrorKind::Corrupt, "the record is another one than its row says"));
    }
    record.touch(from_millis(used_at.max(0).cast_unsigned()));
    Ok(record)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::token::SecretHash;

    fn record() -> Record {
        let id = SessionId::from_bytes([1; 16]);
        let hash = SecretHash::from_bytes([2; 32]);
        Record::new(id, hash, UNIX_EPOCH, Some(Duration::MAX), Duration::from_secs(60))
    }

    #[test]
    fn a_row_and_its_bytes_must_agree() {
        let record = record();
        let columns = Columns::of(&record).unwrap();
        assert_eq!(read(record.id, &columns.record, 1, 5).unwrap().used_at, from_millis(5));
        let other = SessionId::from_bytes([3; 16]);
        for (id, version) in [(other, 1), (record.id, 2)] {
            let refused = read(id, &columns.record, version, 0).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn no_sum_of_instants_overflows() {
        let columns = Columns::of(&record()).unwrap();
        assert_eq!(columns.idle_timeout, Some(1 << 48));
        assert_eq!(columns.sweep_at, columns.absolute_deadline);
        assert_eq!(number(Version::new(u64::MAX)).unwrap_err().kind(), ErrorKind::Value);
    }
}
