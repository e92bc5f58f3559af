//! The secret of a session: what one is worth, how one takes another's place.

use std::time::{Duration, SystemTime};

use super::{Authority, without_data};
use crate::clock::{later, truncated};
use crate::config::Config;
use crate::record::{PreviousSecret, RETIRED_MAX, Record, RetiredSecret};
use crate::token::SecretHash;

/// What a secret presented for a record is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It opens the session.
    Current,
    /// It was rotated away moments ago: it reads and writes data, and may log out.
    Previous,
    /// A login or a step-up replaced it moments ago: late, not hostile.
    Superseded,
    /// It was the session's secret once: a stale copy, or a theft.
    Replayed,
    /// It never was: a guess.
    Refused,
}

/// Judges a presented secret against the record its ID names.
pub(crate) fn judge(record: &Record, presented: &SecretHash, now: SystemTime) -> Judgement {
    let current = record.secret_hash == *presented;
    let previous = record.previous.filter(|previous| previous.hash == *presented);
    match previous {
        _ if current && record.superseded => Judgement::Superseded,
        _ if current => Judgement::Current,
        Some(previous) if previous.accepted_until.is_some_and(|until| now >= until) => {
            Judgement::Replayed
        }
        Some(previous) if record.superseded || previous.auth_epoch != record.auth_epoch => {
            Judgement::Superseded
        }
        Some(_) => Judgement::Previous,
        None if record.retired.iter().any(|retired| retired.hash == *presented) => {
            Judgement::Replayed
        }
        None => Judgement::Refused,
    }
}

/// Replaces the secret; the one before reads and writes until its grace ends, or, without one, until
/// the new one was seen.
pub(crate) fn rotated(
    mut record: Record,
    hash: SecretHash,
    grace: Option<Duration>,
    now: SystemTime,
) -> Record {
    if let Some(older) = record.previous.take() {
        retire(&mut record, older.hash, now);
    }
    record.previous = Some(PreviousSecret {
        hash: record.secret_hash,
        replaced_at: truncated(now),
        accepted_until: grace.map(|grace| later(now, grace)),
        auth_epoch: record.auth_epoch,
    });
    record.secret_hash = hash;
    record
}

fn retire(record: &mut Record, hash: SecretHash, now: SystemTime) {
    record.retired.push(RetiredSecret { hash, retired_at: truncated(now) });
    let surplus = record.retired.len().saturating_sub(RETIRED_MAX);
    record.retired.drain(..surplus);
}

/// What the engine does to a session's secret without being asked, to keep it fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Upkeep {
    #[default]
    Nothing,
    /// The new secret was presented: the one before gets its grace, and no more.
    EndUnseen,
    /// The secret is as old as the configuration allows.
    Rotate,
    /// The answer that brought the new secret was lost: the browser still presents the one before.
    Reissue,
}

/// Decides what a request does to keep the secret fresh.
///
/// Only top-level navigations bring a new secret: their answers are the ones a browser waits for. One
/// that still comes with the old secret, long after, shows that an answer was lost.
pub(crate) fn upkeep(
    record: &Record,
    authority: Authority,
    navigates: bool,
    config: &Config,
    now: SystemTime,
) -> Upkeep {
    let unseen = record.previous.filter(|previous| previous.accepted_until.is_none());
    let age = |since| now.duration_since(since).unwrap_or_default();
    match (authority, unseen) {
        (Authority::Current, Some(_)) => Upkeep::EndUnseen,
        (Authority::Current, None) => {
            let due = config.rotate_every.is_some_and(|every| age(secret_since(record)) >= every);
            if due && navigates && record.owner.is_some() {
                Upkeep::Rotate
            } else {
                Upkeep::Nothing
            }
        }
        (Authority::Previous, Some(lost))
            if navigates && age(lost.replaced_at) >= config.rotation_grace =>
        {
            Upkeep::Reissue
        }
        _ => Upkeep::Nothing,
    }
}

/// When the current secret was drawn.
fn secret_since(record: &Record) -> SystemTime {
    record.previous.map_or(record.created_at, |previous| previous.replaced_at)
}

/// Lets the secret before go, now that the browser was seen to have the new one.
pub(crate) fn seen(mut record: Record, grace: Duration, now: SystemTime) -> Record {
    if let Some(previous) = &mut record.previous {
        previous.accepted_until.get_or_insert(later(now, grace));
    }
    record
}

/// Draws the secret anew that a lost answer should have brought.
pub(crate) fn reissued(mut record: Record, hash: SecretHash, now: SystemTime) -> Record {
    let lost = std::mem::replace(&mut record.secret_hash, hash);
    retire(&mut record, lost, now);
    if let Some(previous) = &mut record.previous {
        previous.replaced_at = truncated(now);
    }
    record
}

/// Notes a new proof of who the owner is. Earlier secrets lose all authority, deadlines start anew.
pub(crate) fn reauthenticated(
    mut record: Record,
    level: u8,
    config: &Config,
    now: SystemTime,
) -> Record {
    record.auth_epoch += 1;
    record.level = level;
    record.authenticated_at = Some(truncated(now));
    if !record.persistent {
        record.absolute_deadline = later(now, config.absolute_timeout);
    }
    record
}

/// Takes authority away: the level goes down, and earlier secrets open nothing any more.
pub(crate) fn lowered(mut record: Record, level: u8) -> Record {
    record.auth_epoch += 1;
    record.level = record.level.min(level);
    record
}

/// The mark that a login leaves in place of the session it replaced, until the grace ends.
///
/// It holds nothing and opens nothing. While it lasts, a late request with the old token is told
/// apart from a stranger: its writes are refused and its answer leaves the new cookie alone.
pub(crate) fn superseded(old: &Record, grace: Duration, now: SystemTime) -> Record {
    let mut mark = without_data(old);
    mark.version = old.version.next();
    mark.superseded = true;
    mark.owner = None;
    mark.client_address = None;
    mark.user_agent = None;
    mark.idle_timeout = None;
    mark.absolute_deadline = later(now, grace).min(old.absolute_deadline);
    mark
}

#[cfg(test)]
mod tests {
    use super::super::samples::{GRACE, at, hash, record, signed_in};
    use super::super::saved;
    use super::*;
    use crate::record::Data;

    #[test]
    fn secrets_are_judged_by_age() {
        let mut record = record();
        for n in 1..=6 {
            record = rotated(record, hash(n), Some(GRACE), at(2000));
        }
        let worth = |n, now| judge(&record, &hash(n), at(now));
        assert_eq!(worth(6, 2000), Judgement::Current);
        assert_eq!(worth(5, 2059), Judgement::Previous);
        assert_eq!(worth(5, 2060), Judgement::Replayed);
        assert_eq!([1, 2, 3, 4].map(|n| worth(n, 2000)), [Judgement::Replayed; 4]);
        assert_eq!(worth(0, 2000), Judgement::Refused, "only the last four are remembered");
        assert_eq!(worth(99, 2000), Judgement::Refused);
    }

    #[test]
    fn a_step_up_ends_the_grace_of_the_secret_before() {
        let record = reauthenticated(
            rotated(record(), hash(1), Some(GRACE), at(2000)),
            2,
            &Config::default(),
            at(2000),
        );
        assert_eq!(judge(&record, &hash(0), at(2001)), Judgement::Superseded);
        assert_eq!(judge(&record, &hash(0), at(2060)), Judgement::Replayed);
        assert_eq!(judge(&record, &hash(1), at(2001)), Judgement::Current);
    }

    #[test]
    fn a_superseded_record_opens_to_nobody() {
        let rotated = rotated(record(), hash(1), Some(GRACE), at(2000));
        let mark = superseded(&rotated, GRACE, at(2010));
        assert_eq!(judge(&mark, &hash(1), at(2011)), Judgement::Superseded);
        assert_eq!(judge(&mark, &hash(0), at(2011)), Judgement::Superseded);
        assert_eq!(judge(&mark, &hash(7), at(2011)), Judgement::Refused);
        assert!(mark.is_expired(at(2070)) && mark.data.is_empty() && mark.owner.is_none());
        assert_eq!(mark.version, rotated.version.next());
    }

    #[test]
    fn upkeep_is_for_signed_in_navigations_when_it_is_due() {
        let config = Config { rotate_every: Some(Duration::from_secs(100)), ..Config::default() };
        let decide = |record: &Record, navigates, now| {
            upkeep(record, Authority::Current, navigates, &config, at(now))
        };
        assert_eq!(decide(&signed_in(), true, 1099), Upkeep::Nothing);
        assert_eq!(decide(&signed_in(), true, 1100), Upkeep::Rotate);
        assert_eq!(decide(&signed_in(), false, 1100), Upkeep::Nothing);
        assert_eq!(decide(&record(), true, 1100), Upkeep::Nothing, "nobody is signed in");
        let never = Config::default();
        assert_eq!(
            upkeep(&signed_in(), Authority::Current, true, &never, at(9999)),
            Upkeep::Nothing
        );
        let asked = rotated(signed_in(), hash(1), Some(GRACE), at(1050));
        assert_eq!(decide(&asked, true, 1149), Upkeep::Nothing);
        assert_eq!(decide(&asked, true, 1150), Upkeep::Rotate);
    }

    #[test]
    fn an_unseen_secret_keeps_the_one_before_alive() {
        let config = Config::default();
        let record = rotated(signed_in(), hash(1), None, at(2000));
        let decide =
            |authority, navigates, now| upkeep(&record, authority, navigates, &config, at(now));
        assert_eq!(judge(&record, &hash(0), at(30_000)), Judgement::Previous);
        assert_eq!(decide(Authority::Current, false, 2001), Upkeep::EndUnseen);
        assert_eq!(
            decide(Authority::Previous, true, 2059),
            Upkeep::Nothing,
            "it may be on its way"
        );
        assert_eq!(decide(Authority::Previous, true, 2060), Upkeep::Reissue);
        assert_eq!(decide(Authority::Previous, false, 2060), Upkeep::Nothing);
        let seen = seen(record.clone(), GRACE, at(3000));
        assert_eq!(judge(&seen, &hash(0), at(3059)), Judgement::Previous);
        assert_eq!(judge(&seen, &hash(0), at(3060)), Judgement::Replayed);
        let again = reissued(record, hash(2), at(4000));
        assert_eq!(judge(&again, &hash(2), at(4000)), Judgement::Current);
        assert_eq!(judge(&again, &hash(1), at(4000)), Judgement::Replayed);
        assert_eq!(judge(&again, &hash(0), at(4000)), Judgement::Previous);
    }

    #[test]
    fn rotation_keeps_what_it_must() {
        let before = record();
        let after =
            rotated(saved(&before, Data::default(), at(1500)), hash(1), Some(GRACE), at(1500));
        assert_eq!(after.id, before.id);
        assert_eq!(after.created_at, before.created_at);
        assert_eq!(after.absolute_deadline, before.absolute_deadline);
        assert_eq!(after.version, before.version.next());
    }

    // R34
    #[test]
    fn a_step_up_starts_the_deadline_anew() {
        let after = reauthenticated(record(), 2, &Config::default(), at(5000));
        assert_eq!(after.absolute_deadline, at(5000) + Config::default().absolute_timeout);
        assert_eq!((after.level, after.authenticated_at), (2, Some(at(5000))));
    }

    // R44
    #[test]
    fn lowering_takes_levels_away_and_never_gives_one() {
        let base = Record { level: 2, ..record() };
        assert_eq!(lowered(base.clone(), 1).level, 1);
        assert_eq!(lowered(base.clone(), 3).level, 2);
        assert_eq!(lowered(base.clone(), 1).auth_epoch, base.auth_epoch + 1);
    }
}
