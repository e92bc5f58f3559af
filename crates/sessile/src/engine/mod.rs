//! The engine: a store and a configuration. It opens a session from a request's headers and commits
//! it into a response; it knows no framework.

mod commit;
mod exchange;
mod guesses;
#[cfg(test)]
mod model;
mod open;
mod owners;
mod slot;
mod standing;
mod sweep;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};

use crate::clock::{Clock, SystemClock, truncated};
use crate::config::{Config, Keep};
use crate::cookie;
use crate::error::Result;
use crate::event::{Event, Subscriber, Subscribers};
use crate::plan::{Fresh, KeptClient};
use crate::store::Store;
use crate::token::{SessionId, Token};

pub use exchange::{Exchange, SessionHandle};
pub use owners::{Device, DevicePage};
pub use sweep::Swept;

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
    cookie_names: Vec<String>,
    clock: Arc<dyn Clock>,
    subscribers: Subscribers,
    /// Committers of one session that keep meeting each other wait here for their turn.
    turns: Mutex<HashMap<SessionId, Weak<tokio::sync::Mutex<()>>>>,
    sweeper: sweep::Sweeper,
    guesses: guesses::Guesses,
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
        let presented = cookie::read(headers, &self.engine.config, &self.engine.cookie_names);
        self.engine.delivery.note_presented(presented.any());
        let user_agent = headers.get(USER_AGENT).cloned();
        let visitor = Visitor { client, user_agent, navigates: navigates(headers) };
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
    clock: Arc<dyn Clock>,
    subscribers: Subscribers,
}

impl SessionsBuilder {
    /// Takes another configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
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
        let engine = Engine {
            store: self.store,
            cookie_names: self.config.cookie.names(),
            sweeper: sweep::Sweeper::default(),
            config: self.config,
            clock: self.clock,
            subscribers: self.subscribers,
            turns: Mutex::default(),
            guesses: guesses::Guesses::default(),
            delivery: Delivery::default(),
        };
        Ok(Sessions { engine: Arc::new(engine) })
    }
}

/// Who sent a request, as far as the server knows. Never taken from a header by the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// The address at the other end of the connection, or what a trusted proxy says it is.
    pub address: Option<IpAddr>,
}

impl Client {
    /// A client at this address.
    pub fn at(address: impl Into<IpAddr>) -> Self {
        Self { address: Some(address.into()) }
    }
}

/// What the engine wants to know of a request besides its tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor {
    client: Client,
    user_agent: Option<HeaderValue>,
    /// Whether a person waits for the answer to be shown as a page.
    navigates: bool,
}

/// What browsers of the last years say of a top-level navigation (W3C Fetch Metadata).
fn navigates(headers: &HeaderMap) -> bool {
    let says = |name, value| headers.get(name).is_some_and(|said| said == value);
    says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document")
}

impl Engine {
    fn now(&self) -> SystemTime {
        truncated(self.clock.now())
    }

    fn notify(&self, event: &Event) {
        self.subscribers.notify(event);
    }

    /// Draws a token for a new session.
    fn new_token(&self) -> Result<(Token, Fresh)> {
        Token::random().map(|token| self.with_hash(token))
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
    /// Cookies set before the first came back; `SEEN` once one did or the warning was given.
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
        let count = |n: u32| match n {
            SEEN => None,
            n if n + 1 >= SUSPICIOUS => Some(SEEN),
            n => Some(n + 1),
        };
        let before = self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        before == Ok(SUSPICIOUS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn one_warning_when_no_cookie_comes_back() {
        let delivery = Delivery::default();
        let warnings = (0..100).filter(|_| delivery.note_set()).count();
        assert_eq!(warnings, 1);
    }

    #[test]
    fn no_warning_once_a_cookie_came_back() {
        let delivery = Delivery::default();
        delivery.note_presented(true);
        assert!(!(0..100).any(|_| delivery.note_set()));
    }
}
