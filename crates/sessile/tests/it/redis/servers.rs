//! Servers that were started for the tests, and a corner of them for each test.

use std::sync::Arc;

use async_trait::async_trait;
use redis::{Client, Connection};
use sessile::SessionId;
use sessile::conformance::Place;
use sessile::store::redis::RedisStoreBuilder;
use sessile::store::{RedisStore, Store};

/// A prefix of its own on real servers, cleared away when dropped.
pub(crate) struct Corner {
    /// Invariant: one URL for a server, `host:port` of every node for a Cluster.
    nodes: Vec<String>,
    is_cluster: bool,
    prefix: String,
}

/// A corner of the single server, or `None` where the test is skipped.
pub(crate) fn single() -> Option<Corner> {
    let url = named("SESSILE_TEST_REDIS")?;
    Some(Corner { nodes: vec![url], is_cluster: false, prefix: drawn_prefix() })
}

/// A corner of the Valkey server, or `None` where the test is skipped. Not every release of Debian has
/// one, so CI promises none.
pub(crate) fn valkey() -> Option<Corner> {
    let Ok(url) = std::env::var("SESSILE_TEST_VALKEY") else {
        println!("skipped: SESSILE_TEST_VALKEY names no server");
        return None;
    };
    Some(Corner { nodes: vec![url], is_cluster: false, prefix: drawn_prefix() })
}

/// A corner of the Cluster, or `None` where the test is skipped.
pub(crate) fn cluster() -> Option<Corner> {
    let nodes = named("SESSILE_TEST_REDIS_CLUSTER")?;
    let nodes = nodes.split(',').map(str::to_owned).collect();
    Some(Corner { nodes, is_cluster: true, prefix: drawn_prefix() })
}

/// What the environment names. Where CI promised a server, its lack fails the test.
fn named(variable: &str) -> Option<String> {
    let named = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if named.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{variable} is not set in CI");
        println!("skipped: {variable} names no server");
    }
    named
}

fn drawn_prefix() -> String {
    format!("test-{}", SessionId::random().unwrap())
}

impl Corner {
    pub(crate) fn url(&self) -> &str {
        &self.nodes[0]
    }

    pub(crate) fn builder(&self, namespace: &str) -> RedisStoreBuilder {
        let builder = if self.is_cluster {
            RedisStore::cluster(self.nodes.iter().map(String::as_str))
        } else {
            RedisStore::builder(self.url())
        };
        builder.prefix(&self.prefix).namespace(namespace)
    }

    pub(crate) fn store(&self, namespace: &str) -> RedisStore {
        self.builder(namespace).open().unwrap()
    }

    /// What other processes open a store in this corner by.
    pub(crate) fn store_url(&self, namespace: &str) -> String {
        let options = format!("prefix={}&namespace={namespace}", self.prefix);
        match self.is_cluster {
            true => format!("redis+cluster://{}?{options}", self.nodes.join(",")),
            false => format!("{}?{options}", self.url()),
        }
    }

    /// The key of a session's hash.
    pub(crate) fn key(&self, namespace: &str, id: SessionId) -> String {
        format!("{}:{namespace}:s:{{{id}}}", self.prefix)
    }

    /// Connections to every node, past the store.
    pub(crate) fn connections(&self) -> impl Iterator<Item = Connection> {
        let urls = self.nodes.iter().map(|node| match node.contains("://") {
            true => node.clone(),
            false => format!("redis://{node}"),
        });
        urls.filter_map(|url| Client::open(url).ok()?.get_connection().ok())
    }

    /// Runs a command on the node that holds its key; the others refuse it.
    pub(crate) fn command(&self, command: &redis::Cmd) -> redis::Value {
        let mut answers = self.connections().map(|mut node| command.query(&mut node));
        answers.find_map(Result::ok).expect("one node answers")
    }

    /// All keys of this corner.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.connections().flat_map(|node| self.keys_of(node)).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    fn keys_of(&self, mut node: Connection) -> Vec<String> {
        let pattern = format!("*{}*", self.prefix);
        let found = redis::Commands::scan_match::<_, String>(&mut node, pattern);
        found.map(|keys| keys.filter_map(Result::ok).collect()).unwrap_or_default()
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        for key in self.keys() {
            let mut unlink = redis::cmd("UNLINK");
            unlink.arg(key);
            for mut node in self.connections() {
                _ = unlink.query::<i64>(&mut node);
            }
        }
    }
}

#[async_trait]
impl Place for Corner {
    async fn open(&self, namespace: &str) -> Arc<dyn Store> {
        Arc::new(self.store(namespace))
    }

    /// Overwrites the record's bytes.
    async fn damage(&self, namespace: &str, id: SessionId) -> bool {
        let mut overwrite = redis::cmd("HSET");
        overwrite.arg(self.key(namespace, id)).arg("r").arg(&[0xff_u8; 300][..]);
        self.command(&overwrite);
        true
    }
}
