//! Records whose content follows from their stamp, so that a read tells a whole state from a
//! mixture.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sessile::{Record, SecretHash, SessionId};

use crate::deed::{Sight, Stamp};

const STAMP_KEY: &str = "stamp";
const TEXT_KEY: &str = "text";

const IDLE: Duration = Duration::from_secs(4 * 3600);
const ABSOLUTE: Duration = Duration::from_secs(12 * 3600);

/// How long ago an expired record was last used, and how long it then lived.
const LONG_AGO: Duration = Duration::from_secs(2 * 3600);
const SHORT_LIFE: Duration = Duration::from_secs(600);

/// The first state of a session.
pub(crate) fn first(
    id: SessionId,
    stamp: Stamp,
    bytes: usize,
    now: SystemTime,
    expired: bool,
) -> Record {
    let hash = SecretHash::from_bytes([stamp as u8; 32]);
    let (made_at, idle) = if expired { (now - LONG_AGO, SHORT_LIFE) } else { (now, IDLE) };
    let mut record = Record::new(id, hash, made_at, Some(idle), ABSOLUTE);
    fill(&mut record, stamp, bytes);
    record
}

/// The state after `record`.
pub(crate) fn next(record: &Record, stamp: Stamp, bytes: usize) -> Record {
    let mut next = record.clone();
    next.version = record.version.next();
    fill(&mut next, stamp, bytes);
    next
}

/// The mark of a login in the place of the session it replaced.
pub(crate) fn mark(record: &Record, stamp: Stamp) -> Record {
    let mut mark = next(record, stamp, 0);
    mark.superseded = true;
    mark.owner = None;
    mark
}

fn fill(record: &mut Record, stamp: Stamp, bytes: usize) {
    record.data.insert(STAMP_KEY, stamp.to_string().into());
    record.data.insert(TEXT_KEY, text(stamp, bytes));
}

/// No two stamps have much of their texts in common, however long these are.
fn text(stamp: Stamp, bytes: usize) -> Bytes {
    let mut digits = fastrand::Rng::with_seed(stamp);
    let digit = |_| char::from_digit(digits.u32(..16), 16).expect("less than 16 is a digit");
    let text: String = (0..bytes).map(digit).collect();
    format!("\"{text}\"").into()
}

/// What was read, judged by itself.
pub(crate) fn sight(record: &Record) -> Sight {
    let stamp = record.data.get(STAMP_KEY).and_then(|json| std::str::from_utf8(json).ok());
    let stamp = stamp.and_then(|stamp| stamp.parse::<Stamp>().ok());
    let found = record.data.get(TEXT_KEY);
    let is_whole = |stamp: &Stamp| found.is_some_and(|it| *it == text(*stamp, it.len() - 2));
    match stamp.filter(is_whole) {
        Some(stamp) => Sight::Live {
            version: record.version.get(),
            stamp,
            used_ms: millis(record.used_at),
            superseded: record.superseded,
        },
        None => Sight::Torn,
    }
}

pub(crate) fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

pub(crate) fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_of_two_states_is_seen() {
        let now = at(1_767_225_600_000);
        let id = SessionId::from_bytes([1; 16]);
        let one = first(id, 1, 2_000, now, false);
        let two = next(&one, 2, 2_000);
        let whole = Sight::Live { version: 2, stamp: 2, used_ms: millis(now), superseded: false };
        assert_eq!(sight(&two), whole);

        let mut torn = two.clone();
        let (left, right) = (one.data.get(TEXT_KEY).unwrap(), two.data.get(TEXT_KEY).unwrap());
        torn.data.insert(TEXT_KEY, [&left[..512], &right[512..]].concat().into());
        assert_eq!(sight(&torn), Sight::Torn);
    }

    #[test]
    fn an_expired_record_is_expired_for_longer_than_a_sweep_spares() {
        let now = at(1_767_225_600_000);
        let id = SessionId::from_bytes([1; 16]);
        assert!(first(id, 1, 10, now, true).is_expired(now - Duration::from_secs(3600)));
        assert!(!first(id, 1, 10, now, false).is_expired(now));
    }
}
