//! Sessions in Redis or Valkey, one server or a Cluster.
//!
//! A session is one hash; every change to it is one script that runs inside the server, so nobody
//! sees it half done and a deletion wins every race. What a session is worth after a crash is for the
//! server's configuration to say:
//!
//! - **A restart or a power loss** keeps what the server had written to its append-only file:
//!   everything acknowledged with `appendfsync always`, all but the last second with `everysec`, and
//!   nothing since the last snapshot without `appendonly yes`. [`Durability`] changes none of that.
//! - **A failover** may lose what the primary had acknowledged and not yet copied, a logout included,
//!   unless [`wait_replicas`](RedisStoreBuilder::wait_replicas) asks for copies first.
//! - **Eviction** ends sessions, or lets them drop out of their owner's list: `maxmemory-policy` must
//!   be `noeviction`.
//!
//! The store looks at these settings when it first connects, and warns once of what they cannot keep.
//!
//! # Keys
//!
//! | key | holds | lives |
//! |---|---|---|
//! | `{prefix}:{namespace}:s:{id}` | one session | until it ends, at the latest a day after its absolute deadline |
//! | `{prefix}:{namespace}:o:{SHA-256 of the owner}` | an owner's sessions, and since when logins count | a day longer than its longest session |
//! | `{prefix:namespace}:due`, `{prefix:namespace}:all` | all sessions by deadline and by ID | while there are sessions |
//! | `{prefix}:{namespace}:damaged:{id}` | a session whose bytes were damaged, for the operator | as long as it would have lived |
//!
//! The braces around an ID, and around prefix and namespace, are written: they choose the slot in a
//! Cluster. Where the server has access lists, this user is enough:
//!
//! ```text
//! ACL SETUSER shop on >secret ~sessile:* ~{sessile:* +eval +evalsha +@hash +@sortedset +@keyspace +time +ping -@dangerous +hello +client
//! ```
//!
//! With `wait_replicas` it needs `+wait` too, and in a Cluster `+cluster|slots`, `+asking` and
//! `+readonly`. `INFO` and `CONFIG GET` are asked for once and may be refused.
//!
//! # Time
//!
//! Whether a session is live is judged by the caller's clock alone. The server's own clock collects
//! garbage (it must not be a day ahead of its clients'), tells the age of index entries, and ends
//! exclusive locks: a lock is a token and a lease in the session's hash, so that of a process that
//! died is free when the time it was taken for is over. The holder's save is refused from then on.
//! Who waits for a lock asks every 20 to 50 ms; there is no queue.
//!
//! # Costs
//!
//! Loads, touches and updates are one command on one key. A creation files the session in two sorted
//! sets first (some 250 bytes), and enters a signed-in one with its owner; a deletion strikes it out
//! behind. In a Cluster these two sets of a namespace lie on one node. Clean-up reads what is due from
//! the set, however much is stored. A page of a list reads its sessions' records whole; the list of one
//! owner reads the IDs of all of that owner's sessions for every page.

mod address;
mod check;
mod cluster;
mod due;
mod face;
mod fault;
mod keys;
mod list;
mod lock;
mod owners;
mod records;
mod scripts;
mod server;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use self::address::{Address, Parsed};
use self::keys::Keys;
use self::server::Server;
use crate::error::{Error, ErrorKind, Result};
#[cfg(doc)]
use crate::store::Durability;
use crate::store::url::discreet;

/// A store in Redis (6.0 or newer) or Valkey. Clones share their connection.
///
/// It connects at first use, comes back by itself when the server does, and answers
/// [`Unavailable`](ErrorKind::Unavailable) in bounded time while it does not. No command is ever sent
/// twice: whoever gets that error does not know whether the command was carried out.
///
/// ```no_run
/// # async fn f() -> sessile::Result<()> {
/// use sessile::store::RedisStore;
/// let store = RedisStore::connect("rediss://shop:secret@sessions.example:6380/").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<Shared>,
}

/// What all clones have in common.
struct Shared {
    namespace: String,
    keys: Keys,
    server: Server,
    /// Where commands wait for replicas: nothing else may stand behind them.
    patient: Server,
    wait_replicas: Option<(u32, Duration)>,
    checked: AtomicBool,
}

impl RedisStore {
    /// Connects to the server, or to the Cluster, of this URL, and looks at its settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a URL or an option that cannot be, [`ErrorKind::Unavailable`] when
    /// the server does not answer.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder(url).connect().await
    }

    /// Begins a store at this URL: `redis://user:password@host:port/database`, `rediss://…` for TLS
    /// (feature `redis-tls`), `unix:///path`, or `redis+cluster://user:password@host:port,host:port`
    /// with any nodes of a Cluster. The query may hold the options `prefix`, `namespace` and
    /// `wait_replicas`, and the client's `protocol`.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        let builder = RedisStoreBuilder::new(Address::parse(url));
        let address = builder.address.map_err(|refusal| discreet(url, refusal));
        RedisStoreBuilder { address, ..builder }
    }

    /// Begins a store in the Cluster that these nodes belong to, each `host:port` or a URL.
    ///
    /// ```
    /// # fn f() -> sessile::Result<()> {
    /// use sessile::store::RedisStore;
    /// let store = RedisStore::cluster(["10.0.0.1:7000", "10.0.0.2:7000"]).open()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cluster<'a>(nodes: impl IntoIterator<Item = &'a str>) -> RedisStoreBuilder {
        let address = Address::cluster(nodes);
        RedisStoreBuilder::new(address.map(|address| Parsed { address, options: Vec::new() }))
    }
}

impl fmt::Debug for RedisStore {
    /// Leaves the address out: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { namespace, keys, .. } = &*self.shared;
        f.debug_struct("RedisStore").field("namespace", namespace).field("keys", keys).finish()
    }
}

/// How a [`RedisStore`] is made.
#[must_use]
pub struct RedisStoreBuilder {
    /// What was wrong so far waits for `open`, so that the methods chain.
    address: Result<Address>,
    prefix: String,
    namespace: String,
    patience: Duration,
    wait_replicas: Option<(u32, Duration)>,
}

impl RedisStoreBuilder {
    /// The options that a URL may hold.
    pub(crate) const OPTIONS: [&str; 3] = ["namespace", "prefix", "wait_replicas"];

    fn new(parsed: Result<Parsed>) -> Self {
        let (address, options) = match parsed {
            Ok(Parsed { address, options }) => (Ok(address), options),
            Err(error) => (Err(error), Vec::new()),
        };
        let builder = Self {
            address,
            prefix: "sessile".to_owned(),
            namespace: "default".to_owned(),
            patience: Duration::from_secs(5),
            wait_replicas: None,
        };
        options.into_iter().fold(builder, |builder, (name, value)| builder.option(&name, &value))
    }

    fn option(self, name: &str, value: &str) -> Self {
        match (name, value.parse()) {
            ("prefix", _) => self.prefix(value),
            ("namespace", _) => self.namespace(value),
            ("wait_replicas", Ok(replicas)) => self.wait_replicas(replicas, Duration::from_secs(1)),
            ("wait_replicas", Err(_)) => self.refused("\"wait_replicas\" is a number of replicas"),
            _ => {
                let known = Self::OPTIONS.join(", ");
                self.refused(format!("unknown option {name:?}; known are: {known}, protocol"))
            }
        }
    }

    fn refused(mut self, why: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        self.address = self.address.and(Err(Error::new(ErrorKind::Config, why)));
        self
    }

    /// What all keys begin with, `sessile` by default: 1 to 64 of a-z, 0-9, `_` and `-`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The application whose sessions these are, `default` by default; letters as in the prefix.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The longest that one question to the server may take, connecting included; 5 seconds by
    /// default. A call of the store asks at most a few, and a list or the end of all sessions of an
    /// owner a few for each session.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience = timeout;
        self
    }

    /// Ends of sessions, and changes of authority ([`Durability::Final`]), are acknowledged only when
    /// so many replicas have them, and fail as [`Unavailable`](ErrorKind::Unavailable) when they do
    /// not within `timeout`. Then they are done here and may be undone by a failover: ask again.
    pub fn wait_replicas(mut self, replicas: u32, timeout: Duration) -> Self {
        self.wait_replicas = (replicas > 0).then_some((replicas, timeout));
        self
    }

    /// Makes the store without asking the server; it connects at first use.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a URL, an option or a name that cannot be.
    pub fn open(self) -> Result<RedisStore> {
        let address = self.address?;
        let keys = Keys::new(&self.prefix, &self.namespace)?;
        let waiting = self.wait_replicas.map_or(Duration::ZERO, |(_, timeout)| timeout);
        let shared = Shared {
            namespace: self.namespace,
            keys,
            server: Server::new(address.clone(), self.patience),
            patient: Server::new(address, self.patience + waiting),
            wait_replicas: self.wait_replicas,
            checked: AtomicBool::new(false),
        };
        Ok(RedisStore { shared: Arc::new(shared) })
    }

    /// Makes the store, connects, and looks at the server's settings.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`ErrorKind::Unavailable`] when the server does not answer.
    pub async fn connect(self) -> Result<RedisStore> {
        let store = self.open()?;
        store.shared.ping().await?;
        store.shared.check_once().await;
        Ok(store)
    }
}

impl fmt::Debug for RedisStoreBuilder {
    /// Leaves the address out: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("namespace", &self.namespace)
            .field("timeout", &self.patience)
            .field("wait_replicas", &self.wait_replicas)
            .finish_non_exhaustive()
    }
}
