//! The engine: a store and a configuration. It opens a session from a request's headers and commits
//! it into a response; it knows no framework.

mod behind;
mod commit;
mod everybody;
mod exchange;
mod guesses;
#[cfg(test)]
mod model;
mod open;
mod owners;
mod quota;
mod slot;
mod standing;
mod succession;
mod sweep;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use http::header::{HOST, USER_AGENT};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};

use crate::clock::{Clock, SystemClock, truncated};
use crate::config::{Config, Keep};
use crate::cookie;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Circumstances, Event, Subscriber, Subscribers};
use crate::keys::Keys;
use crate::plan::{Fresh, KeptClient};
use crate::store::Store;
use crate::token::{SessionId, Token};

pub use exchange::{Exchange, SessionHandle};
pub use owners::{Device, DevicePage};
pub use sweep::Swept;

#[cfg(feature = "tower")]
pub(crate) use behind::behind;
pub(crate) use slot::Slot;
pub(crate) use standing::Mode;

/// A store and its configuration: what a server makes once and hands to its layers.
///
/// Cheap to clone. Background clean-up starts with the first request and ends with the last clone.
///
/// ```
/// use sessile::{Sessions, store::MemoryStore};
/// let sessions = Sessions::new(MemoryStore::new());
/// ```
#[derive(Clone, Debug)]
pub struct Sessions {
    engine: Arc<Engine>,
}

/// What all clones of [`Sessions`] and all requests share.
#[derive(Debug)]
pub(crate) struct Engine {
    store: Arc<dyn Store>,
    config: Config,
    /// Keys that are not ours, where some are accepted.
    keys: Option<Keys>,
    cookie_names: Vec<String>,
    clock: Arc<dyn Clock>,
    subscribers: Subscribers,
    /// Committers of one session that keep meeting each other wait here for their turn.
    turns: Mutex<HashMap<SessionId, Weak<tokio::sync::Mutex<()>>>>,
    sweeper: sweep::Sweeper,
    guesses: guesses::Guesses,
    anonymous: quota::Quota,
    delivery: Delivery,
}

impl Sessions {
    /// Sessions in `store`, with the default configuration.
    pub fn new(store: impl Store) -> Self {
        Self::builder(store).build().expect("the default configuration is valid")
    }

    /// Sessions in `store`, with choices.
    pub fn builder(store: impl Store) -> SessionsBuilder {
        SessionsBuilder {
            store: Arc::new(store),
            config: Config::default(),
            keys: None,
            clock: Arc::new(SystemClock::default()),
            subscribers: Subscribers::default(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    /// Begins a request. Reads its headers, and nothing else until a handler asks for the session.
    pub fn begin(&self, headers: &HeaderMap, client: Client) -> Exchange {
        sweep::start_once(&self.engine);
        let Engine { config, cookie_names, keys, .. } = &*self.engine;
        let presented = cookie::read(headers, config, cookie_names, keys.as_ref());
        self.engine.delivery.note_presented(presented.any());
        let user_agent = headers.get(USER_AGENT).cloned();
        let is_overheard = client.tls == Some(false) && !asks_loopback(headers);
        let visitor = Visitor { client, user_agent, is_overheard, navigates: navigates(headers) };
        Exchange::new(Slot::new(Arc::clone(&self.engine), presented, visitor))
    }

    /// Whether `other` is a clone of this engine.
    #[cfg(feature = "tower")]
    pub(crate) fn is_same(&self, other: &Slot) -> bool {
        Arc::ptr_eq(&self.engine, other.engine())
    }
}

/// Makes [`Sessions`]. Get one by [`Sessions::builder`].
#[derive(Debug)]
#[must_use]
pub struct SessionsBuilder {
    store: Arc<dyn Store>,
    config: Config,
    keys: Option<Keys>,
    clock: Arc<dyn Clock>,
    subscribers: Subscribers,
}

impl SessionsBuilder {
    /// Takes another configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Accepts keys that are not ours, and draws them where they come with a generator.
    #[doc(alias = "generator")]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Takes time from `clock`.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Tells `subscriber` what happens.
    pub fn subscriber(mut self, subscriber: impl Subscriber) -> Self {
        self.subscribers.add(Arc::new(subscriber));
        self
    }

    /// The sessions.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the configuration contradicts itself.
    pub fn build(self) -> Result<Sessions> {
        self.config.validate()?;
        let are_drawn = self.keys.as_ref().is_some_and(Keys::are_drawn);
        if are_drawn && (self.config.rotate_every.is_some() || !self.config.token_keys.is_empty()) {
            return Err(Error::new(ErrorKind::Config, NEITHER_ROTATED_NOR_SIGNED));
        }
        let engine = Engine {
            store: self.store,
            keys: self.keys,
            cookie_names: self.config.cookie.names(),
            sweeper: sweep::Sweeper::default(),
            config: self.config,
            clock: self.clock,
            subscribers: self.subscribers,
            turns: Mutex::default(),
            guesses: guesses::Guesses::default(),
            anonymous: quota::Quota::default(),
            delivery: Delivery::default(),
        };
        Ok(Sessions { engine: Arc::new(engine) })
    }
}

const NEITHER_ROTATED_NOR_SIGNED: &str = "keys that are drawn by the application are neither signed \
     nor rotated by themselves: leave out `token_keys` and `rotate_every`";

/// Who sent a request, as far as the server knows. Never taken from a header by the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// The address at the other end of the connection, or what a trusted proxy says it is.
    pub address: Option<IpAddr>,
    /// Whether the client speaks TLS, to this server or to a trusted proxy that says so; `None` when
    /// nobody knows. A new `Secure` cookie is refused to a client that is known to speak plain HTTP,
    /// with [`ErrorKind::PlainHttp`](crate::ErrorKind::PlainHttp).
    pub tls: Option<bool>,
}

impl Client {
    /// A client at this address.
    pub fn at(address: impl Into<IpAddr>) -> Self {
        Self { address: Some(address.into()), tls: None }
    }

    /// The client, of which this is known about TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<bool>) -> Self {
        Self { tls, ..self }
    }
}

/// What the engine wants to know of a request besides its tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor {
    client: Client,
    user_agent: Option<HeaderValue>,
    /// Whether the connection is known to be plain HTTP, over a network.
    is_overheard: bool,
    /// Whether a person waits for the answer to be shown as a page.
    navigates: bool,
}

/// What browsers of the last years say of a top-level navigation (W3C Fetch Metadata).
fn navigates(headers: &HeaderMap) -> bool {
    let says = |name, value| headers.get(name).is_some_and(|said| said == value);
    says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document")
}

/// Whether the browser asked for a host of its own machine, to which it gives `Secure` cookies over
/// plain HTTP too (W3C Secure Contexts: potentially trustworthy origins).
fn asks_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(host) = host.parse::<Authority>() else { return false };
    let name = host.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let is_loopback = name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    is_loopback || name == "localhost" || name.ends_with(".localhost")
}

impl Engine {
    fn now(&self) -> SystemTime {
        truncated(self.clock.now())
    }

    fn notify(&self, event: &Event) {
        let address = behind::address();
        let client_address =
            address.and_then(|address| kept_address(address, self.config.client_address));
        self.subscribers.notify(event, &Circumstances { at: self.now(), client_address });
    }

    /// Draws a token for a new session: a key, where the application draws them.
    fn new_token(&self) -> Result<Token> {
        self.keys.as_ref().and_then(Keys::draw).unwrap_or_else(Token::random)
    }

    /// Whether a new secret means a new ID, because the ID follows from the secret.
    fn draws_keys(&self) -> bool {
        self.keys.as_ref().is_some_and(Keys::are_drawn)
    }

    fn with_hash(&self, token: Token) -> (Token, Fresh) {
        let hash = token.secret().hash(self.store.namespace());
        let fresh = Fresh { id: token.id(), hash };
        (token, fresh)
    }

    /// The queue of those who want to commit to `id` and were beaten to it several times.
    fn turn(&self, id: SessionId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&id).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(id, Arc::downgrade(&turn));
        turn
    }

    fn kept(&self, visitor: &Visitor) -> KeptClient {
        let (address, agent) = (visitor.client.address, visitor.user_agent.as_ref());
        let agent = agent.and_then(|value| value.to_str().ok());
        KeptClient {
            address: address.and_then(|address| kept_address(address, self.config.client_address)),
            user_agent: agent.and_then(|agent| kept_agent(agent, self.config.user_agent)),
        }
    }
}

fn kept_address(address: IpAddr, keep: Keep) -> Option<String> {
    match (keep, address.to_canonical()) {
        (Keep::Off, _) => None,
        (Keep::Full, address) => Some(address.to_string()),
        (Keep::Truncated, IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            Some(format!("{a}.{b}.{c}.0/24"))
        }
        (Keep::Truncated, IpAddr::V6(v6)) => {
            let network = std::net::Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64);
            Some(format!("{network}/64"))
        }
    }
}

/// Header values that read as text are ASCII, so any index is a character boundary.
fn kept_agent(agent: &str, keep: Keep) -> Option<String> {
    let bytes_max = match keep {
        Keep::Off => return None,
        Keep::Truncated => 160,
        Keep::Full => 512,
    };
    Some(agent[..agent.len().min(bytes_max)].to_owned())
}

/// Notices that no cookie we set ever comes back, which is what a `Secure` cookie over plain HTTP
/// looks like from here.
#[derive(Debug, Default)]
struct Delivery {
    /// Cookies set before the first came back; `SEEN` once one did.
    unanswered: AtomicU32,
}

const SEEN: u32 = u32::MAX;
const SUSPICIOUS: u32 = 20;

impl Delivery {
    fn note_presented(&self, any: bool) {
        if any && self.unanswered.load(Ordering::Relaxed) != SEEN {
            self.unanswered.store(SEEN, Ordering::Relaxed);
        }
    }

    /// Notes a new cookie; gives whether it is time to warn, which is once.
    fn note_set(&self) -> bool {
        let count = |n: u32| (n != SEEN).then(|| n + 1);
        let before = self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        before == Ok(SUSPICIOUS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_its_own_is_navigated_to() {
        for (mode, dest, is_page) in [
            ("navigate", "document", true),
            ("navigate", "iframe", false),
            ("cors", "document", false),
            ("cors", "empty", false),
        ] {
            let said = [("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            let headers = said.map(|(name, said)| {
                (http::HeaderName::from_static(name), HeaderValue::from_static(said))
            });
            assert_eq!(navigates(&HeaderMap::from_iter(headers)), is_page, "{mode} {dest}");
        }
        assert!(!navigates(&HeaderMap::new()));
    }

    #[test]
    fn keys_of_the_application_are_neither_signed_nor_rotated_by_themselves() {
        let build = |change: fn(&mut Config), is_drawn: bool| {
            let keys = Keys::new("own", "0123456789abcdef", 40..=40).unwrap();
            let keys = if is_drawn { keys.drawn_by(|| Ok("a".repeat(40))) } else { keys };
            let mut config = Config::default();
            change(&mut config);
            let asked = config.clone();
            let builder = Sessions::builder(crate::store::MemoryStore::new()).keys(keys);
            builder.config(config).build().map(|sessions| assert_eq!(sessions.config(), &asked))
        };
        let rotates: fn(&mut Config) = |config| config.rotate_every = Some(config.rotation_grace);
        let signs: fn(&mut Config) = |config| {
            config.token_keys =
                vec!["3q2-796tvu_erb7v3q2-796tvu_erb7v3q2-796tvu8".parse().unwrap()];
        };
        for change in [rotates, signs] {
            assert_eq!(build(change, true).unwrap_err().kind(), ErrorKind::Config);
            build(change, false).unwrap();
        }
        build(|_| {}, true).unwrap();
    }

    #[test]
    fn committers_of_one_session_share_a_queue_that_goes_with_the_last() {
        let sessions = Sessions::new(crate::store::MemoryStore::new());
        let turn = |byte| sessions.engine.turn(SessionId::from_bytes([byte; 16]));
        let (one, other) = (turn(1), turn(2));
        assert!(Arc::ptr_eq(&one, &turn(1)) && !Arc::ptr_eq(&one, &other));
        drop(one);
        let _third = turn(3);
        assert_eq!(sessions.engine.turns.lock().unwrap().len(), 2, "those that are waited in");
    }

    // R79
    #[test]
    fn addresses_are_kept_as_far_as_configured() {
        for (address, keep, kept) in [
            ("192.0.2.77", Keep::Off, None),
            ("192.0.2.77", Keep::Truncated, Some("192.0.2.0/24")),
            ("192.0.2.77", Keep::Full, Some("192.0.2.77")),
            ("::ffff:192.0.2.77", Keep::Truncated, Some("192.0.2.0/24")),
            ("2001:db8:1:2:3:4:5:6", Keep::Truncated, Some("2001:db8:1:2::/64")),
        ] {
            assert_eq!(kept_address(address.parse().unwrap(), keep).as_deref(), kept, "{address}");
        }
    }

    // R26
    #[test]
    fn only_the_browsers_own_machine_is_loopback() {
        for (host, is_loopback) in [
            ("localhost:3000", true),
            ("app.LOCALHOST", true),
            ("127.0.0.1:3000", true),
            ("[::1]:3000", true),
            ("shop.example", false),
            ("localhost.example", false),
            ("notlocalhost", false),
            ("192.168.0.7:3000", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
            assert_eq!(asks_loopback(&headers), is_loopback, "{host}");
        }
        assert!(!asks_loopback(&HeaderMap::new()));
    }

    // R26
    #[test]
    fn one_warning_when_no_cookie_comes_back() {
        let delivery = Delivery::default();
        let warnings = |cookies: u32| {
            let visits = (0..cookies).filter(|_| {
                delivery.note_presented(false);
                delivery.note_set()
            });
            visits.count()
        };
        assert_eq!((warnings(SUSPICIOUS - 1), warnings(1), warnings(100)), (0, 1, 0));
    }

    #[test]
    fn no_warning_once_a_cookie_came_back() {
        let delivery = Delivery::default();
        delivery.note_presented(true);
        assert!(!(0..100).any(|_| delivery.note_set()));
    }
}
