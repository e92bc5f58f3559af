//! What a request's wishes do to a record: every decision about authority, version, deadline and
//! secret. Pure; the engine carries it out.

mod limits;
mod secrets;
mod wish;

use std::time::{Duration, SystemTime};

use crate::clock::{later, truncated};
use crate::config::Config;
use crate::error::Result;
use crate::record::{Data, Record, Version};
use crate::token::{SecretHash, SessionId};

pub(crate) use limits::{check_nesting, check_size};
pub(crate) use secrets::{
    Judgement, Upkeep, judge, lowered, reauthenticated, reissued, rotated, seen, superseded, upkeep,
};
pub use wish::Login;
pub(crate) use wish::{Ends, Idle, Lifetime, Wish, rotated_away};

/// In whose name a record is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Whoever holds the current secret.
    Current,
    /// Whoever holds the one before, within its grace.
    Previous,
    /// The application itself, by session ID.
    Server,
}

/// The client's traits as a record keeps them.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptClient {
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
}

/// The ID and hash of a token that was just drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh {
    pub(crate) id: SessionId,
    pub(crate) hash: SecretHash,
}

/// The first state of a session nobody is logged in to.
pub(crate) fn anonymous(
    fresh: Fresh,
    data: Data,
    client: KeptClient,
    config: &Config,
    now: SystemTime,
) -> Record {
    let idle = config.anonymous_idle_timeout.unwrap_or(config.idle_timeout);
    let absolute = config.anonymous_absolute_timeout.unwrap_or(config.absolute_timeout);
    let mut record = Record::new(fresh.id, fresh.hash, now, Some(idle), absolute);
    record.client_address = client.address;
    record.user_agent = client.user_agent;
    record.data = data;
    record
}

/// The first state of the session that a login makes.
///
/// # Errors
/// [`ErrorKind::Value`] when the owner's name is none.
pub(crate) fn logged_in(
    login: &Login,
    began_at: SystemTime,
    mut record: Record,
    config: &Config,
    now: SystemTime,
) -> Result<Record> {
    record.idle_timeout = Some(config.idle_timeout);
    record.absolute_deadline = later(now, config.absolute_timeout);
    record.owner = Some(login.owner()?);
    record.level = login.level;
    record.authenticated_at = Some(record.created_at);
    record.login_began_at = Some(began_at);
    if let Some(duration) = login.remember_for {
        record.persistent = true;
        record.idle_timeout = None;
        record.absolute_deadline = later(now, duration);
    }
    Ok(record)
}

/// The next state of a session whose data changed.
pub(crate) fn saved(base: &Record, data: Data, now: SystemTime) -> Record {
    let mut record = Record { data, ..without_data(base) };
    record.version = base.version.next();
    record.touch(now);
    record
}

/// The first state of the record that goes on in place of `base`, under another key.
///
/// It began with the same login, so that whoever ends all of the owner's sessions ends it too, unless
/// the owner proved again at `proved_at` who they are.
pub(crate) fn moved(base: Record, fresh: Fresh, proved_at: Option<SystemTime>) -> Record {
    let login_began_at = proved_at.or(base.login_began_at);
    Record {
        id: fresh.id,
        version: Version::FIRST,
        secret_hash: fresh.hash,
        previous: None,
        retired: Vec::new(),
        login_began_at,
        ..base
    }
}

/// The next state of a session that outlives all others of its owner, which end at `not_before`: as
/// if its login had begun right after, so that it may move.
pub(crate) fn spared(base: &Record, not_before: SystemTime) -> Record {
    let mut record = with_data(base, base.version.next(), base.data.clone());
    record.login_began_at = Some(later(truncated(not_before), Duration::from_millis(1)));
    record
}

/// As `base`, without paying for a copy of its data.
fn without_data(base: &Record) -> Record {
    Record {
        id: base.id,
        version: base.version,
        secret_hash: base.secret_hash,
        previous: base.previous,
        retired: base.retired.clone(),
        auth_epoch: base.auth_epoch,
        created_at: base.created_at,
        authenticated_at: base.authenticated_at,
        login_began_at: base.login_began_at,
        level: base.level,
        used_at: base.used_at,
        idle_timeout: base.idle_timeout,
        absolute_deadline: base.absolute_deadline,
        superseded: base.superseded,
        persistent: base.persistent,
        owner: base.owner.clone(),
        client_address: base.client_address.clone(),
        user_agent: base.user_agent.clone(),
        data: Data::default(),
    }
}

/// The same state under the next number, with other data.
pub(crate) fn with_data(record: &Record, version: Version, data: Data) -> Record {
    Record { version, data, ..without_data(record) }
}

/// How long the cookie of `record` lasts: as long as the browser runs, unless it is to be remembered.
pub(crate) fn cookie_life(record: &Record, now: SystemTime) -> Option<Duration> {
    let left = record.absolute_deadline.duration_since(now).unwrap_or_default();
    record.persistent.then_some(left)
}

/// Records for the tests of this module.
#[cfg(test)]
mod samples {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::{Fresh, KeptClient, anonymous, logged_in};
    use crate::config::Config;
    use crate::record::{Data, Record};
    use crate::token::{SecretHash, SessionId};

    pub(super) const GRACE: Duration = Duration::from_secs(60);

    pub(super) fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    pub(super) fn hash(n: u8) -> SecretHash {
        SecretHash::from_bytes([n; 32])
    }

    pub(super) fn fresh() -> Fresh {
        Fresh { id: SessionId::from_bytes([1; 16]), hash: hash(0) }
    }

    /// Nobody's, begun at second 1000.
    pub(super) fn record() -> Record {
        anonymous(fresh(), Data::default(), KeptClient::default(), &Config::default(), at(1000))
    }

    /// Ann's, begun at second 1000.
    pub(super) fn signed_in() -> Record {
        logged_in(&"ann".into(), at(999), record(), &Config::default(), at(1000)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{at, fresh, record};
    use super::*;
    use crate::error::ErrorKind;
    use crate::record::{PreviousSecret, RetiredSecret};

    #[test]
    fn remember_me_lasts_as_asked_and_is_explicit() {
        let plain =
            logged_in(&"ann".into(), at(999), record(), &Config::default(), at(1000)).unwrap();
        assert_eq!(cookie_life(&plain, at(1000)), None);
        let login = Login::new("ann").remember_for(Duration::from_secs(500));
        let lasting = logged_in(&login, at(999), record(), &Config::default(), at(1000)).unwrap();
        assert_eq!(cookie_life(&lasting, at(1100)), Some(Duration::from_secs(400)));
        assert_eq!(lasting.deadline(), at(1500));
    }

    #[test]
    fn what_moves_begins_anew_but_for_its_login() {
        let (began_at, proved_at) = (Some(at(5)), Some(at(9)));
        let mut base = record();
        (base.version, base.login_began_at) = (Version::new(7), began_at);
        base.retired.push(RetiredSecret { hash: base.secret_hash, retired_at: at(3) });
        base.previous = Some(PreviousSecret {
            hash: base.secret_hash,
            replaced_at: at(4),
            accepted_until: None,
            auth_epoch: 0,
        });
        let new = moved(base.clone(), fresh(), None);
        assert_eq!((new.version, new.previous, new.retired.len()), (Version::FIRST, None, 0));
        assert_eq!(new.login_began_at, began_at);
        assert_eq!(moved(base, fresh(), proved_at).login_began_at, proved_at);
    }

    // R67
    #[test]
    fn anonymous_sessions_may_live_shorter() {
        let anonymous_idle_timeout = Some(Duration::from_secs(10));
        let anonymous_absolute_timeout = Some(Duration::from_secs(20));
        let config =
            Config { anonymous_idle_timeout, anonymous_absolute_timeout, ..Config::default() };
        let before = anonymous(fresh(), Data::new(), KeptClient::default(), &config, at(1000));
        assert_eq!((before.deadline(), before.absolute_deadline), (at(1010), at(1020)));
        let after = logged_in(&"ann".into(), at(1000), before, &config, at(1000)).unwrap();
        assert_eq!(after.deadline(), at(1000) + config.idle_timeout);
        assert_eq!(after.absolute_deadline, at(1000) + config.absolute_timeout);
    }

    #[test]
    fn a_login_needs_a_name() {
        assert_eq!(
            logged_in(&"".into(), at(1), record(), &Config::default(), at(2)).unwrap_err().kind(),
            ErrorKind::Value
        );
    }
}
