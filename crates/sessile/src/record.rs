//! What a store keeps of one session.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::{later, truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::expiry;
use crate::token::{SecretHash, SessionId};

/// How many retired secrets a record remembers, to tell a replay from a guess.
pub const RETIRED_MAX: usize = 4;

/// The number of a committed state of a record. It starts at 1 and only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// The version of a record that was just created.
    pub const FIRST: Self = Self(1);

    /// The version with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The user a session belongs to after login: 1 to 255 bytes of text that the application chooses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner(Arc<str>);

impl Owner {
    /// The longest owner, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// The owner with this name.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] when the name is empty or longer than 255 bytes.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::BYTES_MAX {
            return Err(Error::new(ErrorKind::Value, "an owner is 1 to 255 bytes of text"));
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Owner {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Owner {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<&String> for Owner {
    type Error = Error;

    fn try_from(name: &String) -> Result<Self> {
        Self::new(name.as_str())
    }
}

impl From<&Owner> for Owner {
    fn from(owner: &Owner) -> Self {
        owner.clone()
    }
}

impl TryFrom<String> for Owner {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.0.as_ref().into()
    }
}

/// The secret before the current one: it reads and writes data until its grace ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviousSecret {
    /// What the store keeps of it.
    pub hash: SecretHash,
    /// When it was replaced.
    pub replaced_at: SystemTime,
    /// The first instant at which it is no longer accepted; `None` until the browser was seen to have
    /// the secret that replaced it.
    pub accepted_until: Option<SystemTime>,
    /// The record's `auth_epoch` when it was replaced; once the two differ it opens nothing.
    pub auth_epoch: u32,
}

/// A secret past its grace. Its use is a replay, not a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetiredSecret {
    /// What the store keeps of it.
    pub hash: SecretHash,
    /// When it was replaced.
    pub retired_at: SystemTime,
}

/// One session as a store keeps it. Instants are whole milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The public handle. It lives for one authentication context: a login makes a new one.
    pub id: SessionId,
    /// The number of this state.
    pub version: Version,
    /// The hash of the secret that opens the session.
    pub secret_hash: SecretHash,
    /// The secret before, while its grace lasts.
    pub previous: Option<PreviousSecret>,
    /// The last secrets before that, oldest first; at most [`RETIRED_MAX`].
    pub retired: Vec<RetiredSecret>,
    /// Moves with every change of authority inside the session, which ends the previous secret.
    pub auth_epoch: u32,
    /// When the session began.
    pub created_at: SystemTime,
    /// When its owner last proved who they are.
    pub authenticated_at: Option<SystemTime>,
    /// When the request that logged in began; compared with its owner's "not before" instant.
    pub login_began_at: Option<SystemTime>,
    /// The level of the last authentication, as the application counts them; 0 when anonymous.
    pub level: u8,
    /// The last use a store was told of.
    pub used_at: SystemTime,
    /// How long the session lives without use; `None` when only the absolute deadline counts.
    pub idle_timeout: Option<Duration>,
    /// The instant it ends whatever its use.
    pub absolute_deadline: SystemTime,
    /// A login replaced this record. It holds no data, opens nothing, and is no live session: until
    /// its deadline it lets late requests be told apart from strangers.
    pub superseded: bool,
    /// Whether the cookie outlives the browser ("remember me").
    pub persistent: bool,
    /// The user it belongs to.
    pub owner: Option<Owner>,
    /// The client's address at creation, as far as the configuration keeps it.
    pub client_address: Option<String>,
    /// The client's user agent at creation, as far as the configuration keeps it.
    pub user_agent: Option<String>,
    /// What the application put into it.
    pub data: Data,
}

impl Record {
    /// An anonymous record of version 1 without data.
    pub fn new(
        id: SessionId,
        secret_hash: SecretHash,
        created_at: SystemTime,
        idle_timeout: Option<Duration>,
        absolute_timeout: Duration,
    ) -> Self {
        let created_at = truncated(created_at);
        Self {
            id,
            version: Version::FIRST,
            secret_hash,
            previous: None,
            retired: Vec::new(),
            auth_epoch: 0,
            created_at,
            authenticated_at: None,
            login_began_at: None,
            level: 0,
            used_at: created_at,
            idle_timeout,
            absolute_deadline: later(created_at, absolute_timeout),
            superseded: false,
            persistent: false,
            owner: None,
            client_address: None,
            user_agent: None,
            data: Data::default(),
        }
    }

    /// The instant it ends if nobody uses it again. At that instant it counts as absent.
    pub fn deadline(&self) -> SystemTime {
        expiry::deadline(self.used_at, self.idle_timeout, self.absolute_deadline)
    }

    /// Whether it counts as absent at `now`.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        now >= self.deadline()
    }

    /// Notes a use at `used_at`, unless a later one is known.
    pub fn touch(&mut self, used_at: SystemTime) {
        self.used_at = self.used_at.max(truncated(used_at));
    }

    /// What lists show of it.
    pub fn summary(&self) -> Summary {
        Summary {
            id: self.id,
            version: self.version,
            owner: self.owner.clone(),
            level: self.level,
            created_at: self.created_at,
            authenticated_at: self.authenticated_at,
            used_at: self.used_at,
            idle_timeout: self.idle_timeout,
            absolute_deadline: self.absolute_deadline,
            persistent: self.persistent,
            client_address: self.client_address.clone(),
            user_agent: self.user_agent.clone(),
        }
    }
}

/// A session as lists show it: neither data nor hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The public handle.
    pub id: SessionId,
    /// The number of its state.
    pub version: Version,
    /// The user it belongs to.
    pub owner: Option<Owner>,
    /// The level of the last authentication.
    pub level: u8,
    /// When the session began.
    pub created_at: SystemTime,
    /// When its owner last proved who they are.
    pub authenticated_at: Option<SystemTime>,
    /// The last use the store was told of.
    pub used_at: SystemTime,
    /// How long it lives without use.
    pub idle_timeout: Option<Duration>,
    /// The instant it ends whatever its use.
    pub absolute_deadline: SystemTime,
    /// Whether its cookie outlives the browser.
    pub persistent: bool,
    /// The client's address at creation.
    pub client_address: Option<String>,
    /// The client's user agent at creation.
    pub user_agent: Option<String>,
}

impl Summary {
    /// The instant it ends if nobody uses it again.
    pub fn deadline(&self) -> SystemTime {
        expiry::deadline(self.used_at, self.idle_timeout, self.absolute_deadline)
    }
}

/// The data of a session: a sorted map from key to the JSON text of a value.
///
/// The key is the unit of merge and of decoding: values nobody asks for are copied, never parsed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data {
    /// Invariant: strictly ascending by key.
    entries: Vec<(Arc<str>, Bytes)>,
}

impl Data {
    /// The longest key, in bytes.
    pub const KEY_BYTES_MAX: usize = 255;

    /// No data.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The JSON text under `key`.
    pub fn get(&self, key: &str) -> Option<&Bytes> {
        self.position(key).ok().map(|at| &self.entries[at].1)
    }

    /// Puts JSON text under `key`, and gives back what was there.
    pub fn insert(&mut self, key: &str, json: Bytes) -> Option<Bytes> {
        match self.position(key) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at].1, json)),
            Err(at) => {
                self.entries.insert(at, (key.into(), json));
                None
            }
        }
    }

    /// Removes `key`, and gives back what was there.
    pub fn remove(&mut self, key: &str) -> Option<Bytes> {
        self.position(key).ok().map(|at| self.entries.remove(at).1)
    }

    /// Removes every key.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The keys and values, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Bytes)> {
        self.entries.iter().map(|(key, json)| (&**key, json))
    }

    /// Makes room for `count` more keys.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.entries.reserve(count);
    }

    /// Adds a key that sorts after all others; gives `false`, and adds nothing, for any other.
    pub(crate) fn push_sorted(&mut self, key: &str, json: Bytes) -> bool {
        let sorted = self.entries.last().is_none_or(|(last, _)| **last < *key);
        if sorted {
            self.entries.push((key.into(), json));
        }
        sorted
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(have, _)| (**have).cmp(key))
    }
}

impl fmt::Debug for Data {
    /// Shows keys and sizes; values may be private and stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self.iter().map(|(key, json)| (key, format!("{} bytes", json.len())));
        f.debug_map().entries(sizes).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn record() -> Record {
        let id = SessionId::from_bytes([1; 16]);
        let hash = SecretHash::from_bytes([2; 32]);
        Record::new(id, hash, UNIX_EPOCH, Some(Duration::from_secs(10)), Duration::from_secs(60))
    }

    #[test]
    fn a_record_is_absent_at_its_exact_deadline() {
        let record = record();
        let ends = UNIX_EPOCH + Duration::from_secs(10);
        assert!(!record.is_expired(ends - Duration::from_millis(1)));
        assert!(record.is_expired(ends));
    }

    #[test]
    fn an_older_use_never_moves_the_record_back() {
        let mut record = record();
        record.touch(UNIX_EPOCH + Duration::from_secs(5));
        record.touch(UNIX_EPOCH + Duration::from_secs(3));
        assert_eq!(record.used_at, UNIX_EPOCH + Duration::from_secs(5));
    }

    #[test]
    fn a_version_is_shown_as_its_number() {
        assert_eq!(Version::FIRST.next().to_string(), "2");
    }

    #[test]
    fn data_stays_sorted() {
        let mut data = Data::default();
        for key in ["b", "a", "c", "b"] {
            data.insert(key, Bytes::from(key.to_uppercase()));
        }
        data.remove("c");
        assert_eq!(data.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(data.get("b").map(|json| &json[..]), Some(&b"B"[..]));
        assert!(!data.push_sorted("b", Bytes::new()) && data.push_sorted("ba", Bytes::new()));
    }

    // R76
    #[test]
    fn debug_shows_sizes_and_no_values() {
        let mut data = Data::default();
        data.insert("card", Bytes::from_static(b"\"4111\""));
        assert_eq!(format!("{data:?}"), r#"{"card": "6 bytes"}"#);
    }

    #[test]
    fn an_owner_is_1_to_255_bytes() {
        assert!(Owner::new("").is_err());
        assert!(Owner::new("x".repeat(256)).is_err());
        assert_eq!(Owner::new("x".repeat(255)).unwrap().as_str().len(), 255);
        let ann = Owner::new("ann").unwrap();
        assert_eq!((Borrow::<str>::borrow(&ann), String::from(ann.clone())), ("ann", "ann".into()));
    }
}
