//! The session as a handler holds it: plain calls that look and note; I/O happens before and after.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::{Mode, Slot};
use crate::error::{Error, ErrorKind, Result};
use crate::form;
use crate::plan::{Ends, Idle, Lifetime, Login};
use crate::record::{Data, Owner, Record};
use crate::token::SessionId;

/// A request's session: what was stored, and what the handler changed since.
///
/// Clones share it. Nothing is written before the response is ready, unless [`commit`](Self::commit)
/// is called; nothing is created before something is written. Once the request is over, clones in
/// tasks and streams still read, and refuse changes with [`ErrorKind::Closed`].
///
/// ```
/// # use sessile::{Client, Sessions, store::MemoryStore};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let sessions = Sessions::new(MemoryStore::new());
/// # let exchange = sessions.begin(&http::HeaderMap::new(), Client::default());
/// # let session = exchange.handle().session().await?;
/// session.insert("theme", "dark")?;
/// assert_eq!(session.get::<String>("theme")?.as_deref(), Some("dark"));
/// let visits: u64 = session.update("visits", |n: Option<u64>| n.unwrap_or(0) + 1)?;
/// assert_eq!(visits, 1);
/// # Ok::<_, sessile::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Session {
    slot: Arc<Slot>,
}

impl Session {
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { slot }
    }

    /// The public ID, or `None` while there is no session.
    pub fn id(&self) -> Option<SessionId> {
        self.slot.with_record(|record| record.id)
    }

    /// Who is logged in.
    pub fn owner(&self) -> Option<Owner> {
        self.slot.with_record(|record| record.owner.clone()).flatten()
    }

    /// Whether the request presented a token that opens nothing: what a page goes by that says
    /// "your session has ended". No longer so once a new session was committed.
    ///
    /// Why it opens nothing is not told: expired, ended, swept, or never a token of ours. A guess
    /// learns nothing from the answer. A token that a login replaced moments ago has not ended: the
    /// browser holds the newer one. Nor has one whose store could not be read.
    #[doc(alias = "expired")]
    pub fn has_ended(&self) -> bool {
        self.slot.has_ended()
    }

    /// The record as it was loaded or last committed; `None` while there is no session.
    pub fn record(&self) -> Option<Record> {
        self.slot.with_record(Clone::clone)
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] when what is stored is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl SessionKey<T>) -> Result<Option<T>> {
        let json = self.slot.with_data(|data| data.get(key.name()).cloned());
        json.map(|json| decode(key.name(), &json)).transpose()
    }

    /// Whether there is a value under `key`.
    pub fn contains(&self, key: &str) -> bool {
        self.slot.with_data(|data| data.get(key).is_some())
    }

    /// The keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.slot.with_data(|data| data.iter().map(|(key, _)| key.to_owned()).collect())
    }

    /// Puts a value under `key`. Of several requests that do so, the last to commit is kept.
    ///
    /// It comes back as it was put in, as far as JSON has a word for it: a float that is infinite or
    /// no number becomes `null`, which is read as an `Option` alone.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] when the key is not 1 to 255 bytes or the value cannot be written as JSON,
    /// [`ErrorKind::TooLarge`] when the session would outgrow its limit.
    pub fn insert<T: Serialize + ?Sized>(&self, key: impl SessionKey<T>, value: &T) -> Result<()> {
        self.slot.insert(checked(key.name())?, encode(key.name(), value)?)
    }

    /// Changes the value under `key` and gives what this request sees of it.
    ///
    /// No parallel request's update is lost: when another one committed first, `change` runs again
    /// on what that left. So let it depend on its argument alone: no randomness, no side effects.
    /// Who needs the committed value, or must know before a side effect, calls
    /// [`commit`](Self::commit) and then [`get`](Self::get).
    ///
    /// # Errors
    /// [`ErrorKind::Value`] when what is stored is no `T`, or what `change` gives cannot be written as
    /// JSON and read back; [`ErrorKind::TooLarge`] when the session would outgrow its limit;
    /// [`ErrorKind::Contended`] when `change` itself changes the value under `key`. Nothing is noted
    /// then.
    pub fn update<T, F>(&self, key: impl SessionKey<T>, change: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + 'static,
    {
        let name = checked(key.name())?;
        let named = name.to_owned();
        let closure = move |json: Option<&Bytes>| {
            let value = json.map(|json| decode(&named, json)).transpose()?;
            encode(&named, &change(value))
        };
        self.slot.update(name, Box::new(closure), |json| decode(name, json))
    }

    /// Removes `key`.
    pub fn remove(&self, key: &str) -> Result<()> {
        self.slot.remove(key)
    }

    /// Removes `key` and gives what was there.
    ///
    /// Of two parallel requests both may get it. Where only one may, as with a token that counts once,
    /// hold the session [exclusively](Self::exclusive).
    ///
    /// # Errors
    /// [`ErrorKind::Value`] when that is no `T`; it then stays.
    #[doc(alias = "pop")]
    pub fn take<T: DeserializeOwned>(&self, key: impl SessionKey<T>) -> Result<Option<T>> {
        let name = key.name().to_owned();
        let value = self.get(key)?;
        self.remove(&name)?;
        Ok(value)
    }

    /// Removes every key that is there at commit. The session itself goes on.
    pub fn clear(&self) -> Result<()> {
        self.slot.clear()
    }

    /// Notes a message for whoever looks next, in this request or the one after.
    pub fn flash(&self, text: &str) -> Result<()> {
        let text = text.to_owned();
        self.update(FLASHES, move |texts| {
            let mut texts = texts.unwrap_or_default();
            texts.push(text.clone());
            texts
        })?;
        Ok(())
    }

    /// Takes the messages noted by [`flash`](Self::flash); each is given once.
    ///
    /// One that a parallel request notes meanwhile stays for the next to look.
    pub fn flashes(&self) -> Result<Vec<String>> {
        let texts = self.get(FLASHES)?.unwrap_or_default();
        if !texts.is_empty() {
            let given = texts.clone();
            self.update(FLASHES, move |texts| without(texts.unwrap_or_default(), &given))?;
        }
        Ok(texts)
    }

    /// Logs an owner in: a new session ID, a new secret, new deadlines.
    ///
    /// The data comes along unless the [`Login`] says otherwise. Whoever held the token before,
    /// planted it, or still polls with it, gains nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] for an owner that is empty or over 255 bytes;
    /// [`ErrorKind::Superseded`] when the presented token was rotated away.
    pub fn login(&self, login: impl Into<Login>) -> Result<()> {
        self.slot.login(login.into())
    }

    /// Notes that the owner proved again who they are, at `level`; replaces the secret, and earlier
    /// secrets open nothing from then on, grace or not.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when nobody is logged in.
    pub fn reauthenticate(&self, level: u8) -> Result<()> {
        self.slot.reauthenticate(level)
    }

    /// Takes authority away: the session's level goes down to `level`, and earlier secrets open
    /// nothing from then on. Like a logout it is carried out whatever the response's status.
    pub fn lower(&self, level: u8) -> Result<()> {
        self.slot.lower(level)
    }

    /// Lets this session end `duration` after the commit, whatever its use.
    #[doc(alias = "set_expiry")]
    pub fn expire_in(&self, duration: Duration) -> Result<()> {
        self.slot.live(|lifetime| lifetime.ends = Some(Ends::In(duration)))
    }

    /// Lets this session end at `instant`, whatever its use. An instant that has passed ends it with
    /// the commit.
    pub fn expire_at(&self, instant: SystemTime) -> Result<()> {
        self.slot.live(|lifetime| lifetime.ends = Some(Ends::At(instant)))
    }

    /// Lets this session end when it was not used for `duration`; with `None` only its absolute
    /// deadline counts, so that a forgotten browser stays signed in until then.
    pub fn expire_when_idle_for(&self, duration: impl Into<Option<Duration>>) -> Result<()> {
        let idle = duration.into().map_or(Idle::Unchecked, Idle::For);
        self.slot.live(|lifetime| lifetime.idle = Some(idle))
    }

    /// Lets this session outlive the browser, used or not, for `duration`; replaces the secret,
    /// because the cookie is set anew. Browsers keep a cookie for at most 400 days.
    pub fn remember_for(&self, duration: Duration) -> Result<()> {
        self.slot.live(|lifetime| {
            let (idle, ends) = (Some(Idle::Unchecked), Some(Ends::In(duration)));
            *lifetime = Lifetime { idle, ends, persistent: Some(true) };
        })
    }

    /// Lets the browser forget this session when it closes; replaces the secret, because the cookie
    /// is set anew. Deadlines stay as they are.
    pub fn forget_with_browser(&self) -> Result<()> {
        self.slot.live(|lifetime| lifetime.persistent = Some(false))
    }

    /// Whether the owner proved who they are within the last `age`.
    pub fn authenticated_within(&self, age: Duration) -> bool {
        let authenticated_at = self.slot.with_record(|record| record.authenticated_at).flatten();
        let passed = |at| self.slot.now().duration_since(at).unwrap_or_default();
        authenticated_at.is_some_and(|at| passed(at) <= age)
    }

    /// Replaces the secret. The ID, the data and the deadlines stay; the previous secret reads and
    /// writes data for `rotation_grace`, so that parallel requests are not cut off.
    #[doc(alias = "renew")]
    #[doc(alias = "regenerate")]
    #[doc(alias = "cycle_key")]
    #[doc(alias = "cycle_id")]
    pub fn rotate(&self) -> Result<()> {
        self.slot.rotate()
    }

    /// Ends the session: durably before the response leaves, whatever its status, and finally. What
    /// the handler writes afterwards begins a new session.
    #[doc(alias = "logout")]
    #[doc(alias = "flush")]
    #[doc(alias = "destroy")]
    pub fn invalidate(&self) -> Result<()> {
        self.slot.invalidate()
    }

    /// Writes what was changed so far, now, and says how it went. Afterwards the session shows the
    /// committed values. A cookie that this calls for goes out whatever the response's status.
    ///
    /// A call that is dropped half-way has an unknown outcome; the session then refuses to go on.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] when the session ended elsewhere, [`ErrorKind::Contended`] when others
    /// kept winning, [`ErrorKind::Unavailable`] when the store fails. What was to be written is
    /// dropped.
    pub async fn commit(&self) -> Result<()> {
        self.slot.traced_commit().await
    }

    /// Holds the session so that no other request that asks for it this way runs until this one is
    /// over. Call it after the body was read: a slow client would hold up the others.
    ///
    /// # Errors
    /// [`ErrorKind::LockTimeout`] when it was not free within `lock_wait`; [`ErrorKind::Ended`] when it
    /// was found by its ID and has ended; what a closure given to [`update`](Self::update) fails with
    /// on what is there by now, and then nothing is written.
    pub async fn exclusive(self) -> Result<ExclusiveSession> {
        self.slot.open(Mode::Exclusive).await?;
        Ok(ExclusiveSession::new(self))
    }

    /// A token to put into a form as a hidden field; `None` while there is no session. Each call gives
    /// another one, and costs no store access.
    ///
    /// It belongs to the session as it was loaded or last committed: the login that this request
    /// still asks for is not in it. It survives one rotation, and no login, step-up or lowering; where
    /// the application draws the keys, no rotation either.
    #[doc(alias = "csrf_token")]
    pub fn form_token(&self) -> Result<Option<String>> {
        self.slot.with_record(form::token).transpose()
    }

    /// Checks that a form which came with this request is from a page of this session.
    ///
    /// A request without a session passes: it has no authority that another site could abuse.
    /// [`CrossSiteLayer`](crate::CrossSiteLayer) asks less of the application and covers what comes
    /// without a session, a login above all; this is for those who want both, or whose users have
    /// browsers that send neither `Sec-Fetch-Site` nor `Origin`.
    ///
    /// # Errors
    /// [`ErrorKind::Forged`], which answers 403.
    #[doc(alias = "csrf")]
    pub fn check_form_token(&self, token: &str) -> Result<()> {
        let fits = self.slot.with_record(|record| form::fits(record, token));
        if fits.unwrap_or(true) { Ok(()) } else { Err(forged()) }
    }

    /// Asks the store whether the session is still there: for sockets and streams, which outlive
    /// their request and would miss a logout.
    pub async fn is_live(&self) -> Result<bool> {
        self.slot.is_live().await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// A session that its handler only reads. It never writes; the use is noted.
#[derive(Clone, Debug)]
pub struct ReadSession(Session);

impl ReadSession {
    pub(crate) fn new(session: Session) -> Self {
        Self(session)
    }

    /// The public ID, or `None` while there is no session.
    pub fn id(&self) -> Option<SessionId> {
        self.0.id()
    }

    /// Who is logged in.
    pub fn owner(&self) -> Option<Owner> {
        self.0.owner()
    }

    /// Whether the request presented a token that opens nothing; see [`Session::has_ended`].
    pub fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// The record as it was loaded; `None` while there is no session.
    pub fn record(&self) -> Option<Record> {
        self.0.record()
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] when what is stored is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl SessionKey<T>) -> Result<Option<T>> {
        self.0.get(key)
    }

    /// Whether there is a value under `key`.
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains(key)
    }

    /// The keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.0.keys()
    }

    /// As [`Session::form_token`].
    pub fn form_token(&self) -> Result<Option<String>> {
        self.0.form_token()
    }

    /// As [`Session::check_form_token`].
    pub fn check_form_token(&self, token: &str) -> Result<()> {
        self.0.check_form_token(token)
    }
}

/// A session that its handler looks at without using it: for pages that ask again and again by
/// themselves. Neither its content nor its age changes.
#[derive(Clone, Debug)]
pub struct PeekSession(ReadSession);

impl PeekSession {
    pub(crate) fn new(session: Session) -> Self {
        Self(ReadSession::new(session))
    }
}

impl Deref for PeekSession {
    type Target = ReadSession;

    fn deref(&self) -> &ReadSession {
        &self.0
    }
}

/// A session that no other request holds exclusively meanwhile.
///
/// It excludes other exclusive sessions only: plain requests, logout and revocation pass, so its
/// commit merges like any other and may find that the session has ended.
#[derive(Debug)]
pub struct ExclusiveSession(Session);

impl ExclusiveSession {
    pub(crate) fn new(session: Session) -> Self {
        Self(session)
    }
}

impl Deref for ExclusiveSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

/// A key that knows the type of its value.
///
/// ```
/// use sessile::Key;
/// const CART: Key<Vec<String>> = Key::new("cart");
/// ```
pub struct Key<T: ?Sized> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T: ?Sized> Key<T> {
    /// The key of this name, 1 to 255 bytes.
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: PhantomData }
    }
}

impl<T: ?Sized> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Key<T> {}

impl<T: ?Sized> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// What can name a value of type `T`: text for any type, a [`Key`] for its own.
pub trait SessionKey<T: ?Sized>: sealed::Sealed {
    /// The name it is stored under.
    fn name(&self) -> &str;
}

impl<T: ?Sized> SessionKey<T> for &str {
    fn name(&self) -> &str {
        self
    }
}

impl<T: ?Sized> SessionKey<T> for &String {
    fn name(&self) -> &str {
        self
    }
}

impl<T: ?Sized> SessionKey<T> for Key<T> {
    fn name(&self) -> &str {
        self.name
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for &str {}
    impl Sealed for &String {}
    impl<T: ?Sized> Sealed for super::Key<T> {}
}

/// What is left of `texts` when each of `given` is taken out once.
fn without(mut texts: Vec<String>, given: &[String]) -> Vec<String> {
    for text in given {
        if let Some(at) = texts.iter().position(|have| have == text) {
            texts.remove(at);
        }
    }
    texts
}

fn forged() -> Error {
    Error::new(
        ErrorKind::Forged,
        "the form's token is not of this session: load the page anew and send it again",
    )
}

const FLASHES: Key<Vec<String>> = Key::new("sessile.flashes");

fn checked(key: &str) -> Result<&str> {
    if key.is_empty() || key.len() > Data::KEY_BYTES_MAX {
        return Err(Error::new(ErrorKind::Value, "a session key is 1 to 255 bytes of text"));
    }
    Ok(key)
}

fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Bytes> {
    let json = serde_json::to_vec(value);
    json.map(Bytes::from).map_err(|_| {
        let of = type_name::<T>();
        Error::new(ErrorKind::Value, format!("cannot write the {of} of key {key:?} as JSON"))
    })
}

/// Its error names the key, the type and the place in the text. What serde says of it may quote the
/// value, so that it is not even kept as the source.
fn decode<T: DeserializeOwned>(key: &str, json: &Bytes) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let (of, at) = (type_name::<T>(), error.column());
        let what =
            format!("cannot read the value of key {key:?} as {of}: it does not fit at byte {at}");
        Error::new(ErrorKind::Value, what)
    })
}
