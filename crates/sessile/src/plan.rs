//! What a request's wishes do to a record: every decision about authority, version, deadline and
//! secret. Pure; the engine carries it out.

use std::time::{Duration, SystemTime};

use crate::clock::{later, truncated};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Data, Owner, PreviousSecret, RETIRED_MAX, Record, RetiredSecret, Version};
use crate::token::{SecretHash, SessionId};

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
        Some(previous) if now >= previous.accepted_until => Judgement::Replayed,
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

/// A login: who, how well proven, what happens to the anonymous session's data, how long it lasts.
///
/// ```
/// # use std::time::Duration;
/// use sessile::Login;
/// let plain: Login = "ann".into();
/// let rich = Login::new("ann").level(2).drop_data().remember_for(Duration::from_secs(30 * 86_400));
/// ```
#[derive(Clone, Debug)]
pub struct Login {
    owner: String,
    pub(crate) level: u8,
    pub(crate) keeps_data: bool,
    pub(crate) remember_for: Option<Duration>,
}

impl Login {
    /// A login of `owner` at level 1 that keeps the data and lasts as the configuration says.
    pub fn new(owner: impl ToString) -> Self {
        Self { owner: owner.to_string(), level: 1, keeps_data: true, remember_for: None }
    }

    /// How well the owner proved who they are, as the application counts.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// Leaves behind what the session held before the login.
    #[must_use]
    pub fn drop_data(mut self) -> Self {
        self.keeps_data = false;
        self
    }

    /// Lets the session outlive the browser, used or not, for `duration` ("remember me").
    ///
    /// Browsers keep a cookie for at most 400 days.
    #[must_use]
    pub fn remember_for(mut self, duration: Duration) -> Self {
        self.remember_for = Some(duration);
        self
    }

    /// The owner.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] when it is empty or longer than 255 bytes.
    pub(crate) fn owner(&self) -> Result<Owner> {
        Owner::new(self.owner.as_str())
    }
}

impl<T: ToString> From<T> for Login {
    fn from(owner: T) -> Self {
        Self::new(owner)
    }
}

/// What a handler asked for besides changes of data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) login: Option<Login>,
    pub(crate) rotate: bool,
    pub(crate) reauthenticate: Option<u8>,
    /// The level to go down to. Like a logout it is carried out whatever becomes of the response.
    pub(crate) lower: Option<u8>,
    pub(crate) lifetime: Lifetime,
}

/// How long this one session is to live, where that differs from the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) idle: Option<Idle>,
    pub(crate) ends: Option<Ends>,
    /// Whether the cookie is to outlive the browser; a change needs a new cookie.
    pub(crate) persistent: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    Unchecked,
    For(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    In(Duration),
    At(SystemTime),
}

impl Lifetime {
    /// `record` with this lifetime, counted from `now`.
    pub(crate) fn given_to(self, mut record: Record, now: SystemTime) -> Record {
        match self.idle {
            Some(Idle::Unchecked) => record.idle_timeout = None,
            Some(Idle::For(duration)) => record.idle_timeout = Some(duration),
            None => {}
        }
        match self.ends {
            Some(Ends::In(duration)) => record.absolute_deadline = later(now, duration),
            Some(Ends::At(instant)) => record.absolute_deadline = truncated(instant),
            None => {}
        }
        record.persistent = self.persistent.unwrap_or(record.persistent);
        record
    }
}

impl Wish {
    /// Whether it asks for a new secret.
    pub(crate) fn rotates(&self) -> bool {
        self.rotate || self.reauthenticate.is_some() || self.lifetime.persistent.is_some()
    }

    /// Whether it asks anything of a session that goes on.
    pub(crate) fn changes_record(&self) -> bool {
        self.rotates() || self.lower.is_some() || self.lifetime != Lifetime::default()
    }

    /// Whether no earlier state may be read again once it is granted.
    pub(crate) fn is_final(&self) -> bool {
        self.rotates() || self.lower.is_some()
    }

    /// Drops all but what must happen whatever becomes of the response.
    pub(crate) fn drop_but_lowering(&mut self) {
        *self = Self { lower: self.lower, ..Self::default() };
    }

    /// Drops what only the current secret may ask for, and a mere rotation along with it.
    ///
    /// # Errors
    /// [`ErrorKind::Superseded`] when there was more to it than a rotation.
    pub(crate) fn without_authority(&mut self) -> Result<()> {
        // Another request rotated first; its answer carries the new cookie, so the wish is granted.
        self.rotate = false;
        let extends = self.lifetime != Lifetime::default();
        if self.login.is_some() || self.reauthenticate.is_some() || extends {
            return Err(Error::new(
                ErrorKind::Superseded,
                "only the newest token may log in, step up or set a lifetime; this one was rotated away",
            ));
        }
        Ok(())
    }
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

/// Replaces the secret; the one before reads and writes until the grace ends.
pub(crate) fn rotated(
    mut record: Record,
    hash: SecretHash,
    grace: Duration,
    now: SystemTime,
) -> Record {
    let auth_epoch = record.auth_epoch;
    if let Some(older) = record.previous.take() {
        record.retired.push(RetiredSecret { hash: older.hash, retired_at: now });
        let surplus = record.retired.len().saturating_sub(RETIRED_MAX);
        record.retired.drain(..surplus);
    }
    let accepted_until = later(now, grace);
    record.previous = Some(PreviousSecret { hash: record.secret_hash, accepted_until, auth_epoch });
    record.secret_hash = hash;
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

/// The same state under the next number, with other data.
pub(crate) fn with_data(record: &Record, version: Version, data: Data) -> Record {
    Record { version, data, ..without_data(record) }
}

/// How long the cookie of `record` lasts: as long as the browser runs, unless it is to be remembered.
pub(crate) fn cookie_life(record: &Record, now: SystemTime) -> Option<Duration> {
    let left = record.absolute_deadline.duration_since(now).unwrap_or_default();
    record.persistent.then_some(left)
}

/// Refuses data that is larger than the configuration allows.
///
/// # Errors
/// [`ErrorKind::TooLarge`].
pub(crate) fn check_size(data: &Data, config: &Config) -> Result<()> {
    let bytes: usize = data.iter().map(|(key, json)| key.len() + json.len()).sum();
    within("bytes", bytes, "data_bytes_max", config.data_bytes_max)?;
    within("keys", data.len(), "keys_max", config.keys_max)
}

/// Refuses a value that is nested deeper than the configuration allows.
///
/// # Errors
/// [`ErrorKind::TooLarge`].
pub(crate) fn check_nesting(json: &[u8], config: &Config) -> Result<()> {
    within("levels of nesting", nesting(json), "nesting_max", config.nesting_max)
}

fn within(what: &str, wanted: usize, limit: &str, allowed: usize) -> Result<()> {
    if wanted <= allowed {
        return Ok(());
    }
    let refusal = format!("the session would hold {wanted} {what}; `{limit}` is {allowed}");
    Err(Error::new(ErrorKind::TooLarge, refusal))
}

/// How deep arrays and objects lie in each other in valid JSON.
fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth -= 1,
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn hash(n: u8) -> SecretHash {
        SecretHash::from_bytes([n; 32])
    }

    fn record() -> Record {
        let fresh = Fresh { id: SessionId::from_bytes([1; 16]), hash: hash(0) };
        anonymous(fresh, Data::default(), KeptClient::default(), &Config::default(), at(1000))
    }

    #[test]
    fn secrets_are_judged_by_age() {
        let mut record = record();
        for n in 1..=6 {
            record = rotated(record, hash(n), GRACE, at(2000));
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
            rotated(record(), hash(1), GRACE, at(2000)),
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
        let rotated = rotated(record(), hash(1), GRACE, at(2000));
        let mark = superseded(&rotated, GRACE, at(2010));
        assert_eq!(judge(&mark, &hash(1), at(2011)), Judgement::Superseded);
        assert_eq!(judge(&mark, &hash(0), at(2011)), Judgement::Superseded);
        assert_eq!(judge(&mark, &hash(7), at(2011)), Judgement::Refused);
        assert!(mark.is_expired(at(2070)) && mark.data.is_empty() && mark.owner.is_none());
        assert_eq!(mark.version, rotated.version.next());
    }

    #[test]
    fn rotation_keeps_what_it_must() {
        let before = record();
        let after = rotated(saved(&before, Data::default(), at(1500)), hash(1), GRACE, at(1500));
        assert_eq!(after.id, before.id);
        assert_eq!(after.created_at, before.created_at);
        assert_eq!(after.absolute_deadline, before.absolute_deadline);
        assert_eq!(after.version, before.version.next());
    }

    #[test]
    fn a_step_up_starts_the_deadline_anew() {
        let after = reauthenticated(record(), 2, &Config::default(), at(5000));
        assert_eq!(after.absolute_deadline, at(5000) + Config::default().absolute_timeout);
        assert_eq!((after.level, after.authenticated_at), (2, Some(at(5000))));
    }

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
    fn anonymous_sessions_may_live_shorter() {
        let anonymous_idle_timeout = Some(Duration::from_secs(10));
        let anonymous_absolute_timeout = Some(Duration::from_secs(20));
        let config =
            Config { anonymous_idle_timeout, anonymous_absolute_timeout, ..Config::default() };
        let fresh = Fresh { id: SessionId::from_bytes([1; 16]), hash: hash(0) };
        let before = anonymous(fresh, Data::new(), KeptClient::default(), &config, at(1000));
        assert_eq!((before.deadline(), before.absolute_deadline), (at(1010), at(1020)));
        let after = logged_in(&"ann".into(), at(1000), before, &config, at(1000)).unwrap();
        assert_eq!(after.deadline(), at(1000) + config.idle_timeout);
        assert_eq!(after.absolute_deadline, at(1000) + config.absolute_timeout);
    }

    #[test]
    fn a_lifetime_replaces_what_it_names_and_nothing_else() {
        let (before, now) = (record(), at(2000));
        assert_eq!(Lifetime::default().given_to(before.clone(), now), before);
        let idle = Lifetime { idle: Some(Idle::For(GRACE)), ..Lifetime::default() };
        assert_eq!(idle.given_to(before.clone(), now).idle_timeout, Some(GRACE));
        let ends = Lifetime { ends: Some(Ends::In(GRACE)), ..Lifetime::default() };
        assert_eq!(ends.given_to(before.clone(), now).absolute_deadline, at(2060));
        let until = Lifetime {
            idle: Some(Idle::Unchecked),
            ends: Some(Ends::At(at(9000))),
            persistent: Some(true),
        };
        let lasting = until.given_to(before, now);
        assert_eq!((lasting.deadline(), lasting.persistent), (at(9000), true));
    }

    #[test]
    fn lowering_takes_levels_away_and_never_gives_one() {
        let base = Record { level: 2, ..record() };
        assert_eq!(lowered(base.clone(), 1).level, 1);
        assert_eq!(lowered(base.clone(), 3).level, 2);
        assert_eq!(lowered(base.clone(), 1).auth_epoch, base.auth_epoch + 1);
    }

    #[test]
    fn a_login_needs_a_name() {
        assert_eq!(
            logged_in(&"".into(), at(1), record(), &Config::default(), at(2)).unwrap_err().kind(),
            ErrorKind::Value
        );
    }

    #[test]
    fn a_rotated_token_may_ask_for_data_alone() {
        let mut rotation = Wish { rotate: true, ..Wish::default() };
        assert!(rotation.without_authority().is_ok() && !rotation.rotates());
        let mut login = Wish { login: Some("ann".into()), ..Wish::default() };
        assert_eq!(login.without_authority().unwrap_err().kind(), ErrorKind::Superseded);
    }

    #[test]
    fn too_much_data_is_refused_at_the_exact_limit() {
        let mut data = Data::default();
        data.insert("k", "12345".into());
        let limit = |data_bytes_max| Config { data_bytes_max, ..Config::default() };
        assert!(check_size(&data, &limit(6)).is_ok());
        assert_eq!(check_size(&data, &limit(5)).unwrap_err().kind(), ErrorKind::TooLarge);
        let limit = |keys_max| Config { keys_max, ..Config::default() };
        assert!(check_size(&data, &limit(1)).is_ok());
        assert_eq!(check_size(&data, &limit(0)).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn nesting_is_counted_outside_of_texts() {
        for (json, depth) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[1,[2]],"b":[]}"#, 3),
            (r#"["[[[["]"#, 1),
            (r#"["\\","\"[["]"#, 1),
            ("[[],[],[]]", 2),
        ] {
            assert_eq!(nesting(json.as_bytes()), depth, "{json}");
        }
        let limit = |nesting_max| Config { nesting_max, ..Config::default() };
        assert!(check_nesting(b"[[1]]", &limit(2)).is_ok());
        assert_eq!(check_nesting(b"[[1]]", &limit(1)).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
