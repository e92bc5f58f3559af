//! What a handler asks for besides changes of data.

use std::time::{Duration, SystemTime};

use super::Upkeep;
use crate::clock::{later, truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Owner, Record};

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
    /// What the engine adds by itself.
    pub(crate) upkeep: Upkeep,
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
        let asked = self.rotate || self.reauthenticate.is_some();
        asked || self.lifetime.persistent.is_some() || self.renews()
    }

    /// Whether the engine asks for a new secret by itself.
    fn renews(&self) -> bool {
        matches!(self.upkeep, Upkeep::Rotate | Upkeep::Reissue)
    }

    /// Whether it asks anything of a session that goes on.
    pub(crate) fn changes_record(&self) -> bool {
        let lives_otherwise = self.lifetime != Lifetime::default();
        self.is_final() || lives_otherwise || self.upkeep != Upkeep::Nothing
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
            return Err(rotated_away());
        }
        Ok(())
    }
}

/// Why the secret before may not do what needs the newest.
pub(crate) fn rotated_away() -> Error {
    Error::new(
        ErrorKind::Superseded,
        "only the newest token may log in, step up or set a lifetime; this one was rotated away",
    )
}

#[cfg(test)]
mod tests {
    use super::super::samples::{GRACE, at, record};
    use super::*;

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
    fn a_rotated_token_may_ask_for_data_alone() {
        let mut rotation = Wish { rotate: true, ..Wish::default() };
        assert!(rotation.without_authority().is_ok() && !rotation.rotates());
        let mut login = Wish { login: Some("ann".into()), ..Wish::default() };
        assert_eq!(login.without_authority().unwrap_err().kind(), ErrorKind::Superseded);
    }
}
