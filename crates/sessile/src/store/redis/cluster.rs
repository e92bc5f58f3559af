//! A Cluster: which node to ask, also while slots move and nodes die.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::sleep;

use super::address::Address;
use super::server::locked;

/// How long to wait before a command follows a slot that moves.
const FOLLOW_AFTER: Duration = Duration::from_millis(20);

/// Connections to the nodes of a Cluster, and what is known of their slots.
pub(super) struct Cluster {
    address: Address,
    patience: Duration,
    connection: Mutex<Option<ClusterConnection>>,
    /// Whoever comes first connects; the others wait for that, each as long as it is willing to.
    connecting: tokio::sync::Mutex<()>,
    renewing: AtomicBool,
    /// Nodes that take over slots, by address.
    asked: Mutex<HashMap<String, ConnectionManager>>,
}

impl Cluster {
    pub(super) fn new(address: Address, patience: Duration) -> Self {
        Self {
            address,
            patience,
            connection: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            renewing: AtomicBool::default(),
            asked: Mutex::default(),
        }
    }

    /// Asks the node that holds the slot of `key`, and follows the slot when it moves. The client's
    /// own retries are off: they would also repeat what may have been carried out.
    pub(super) async fn ask(&self, key: &str, question: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut connection = self.connection().await?;
        let slot = Route::with_key(key, SlotAddr::Master);
        loop {
            let node = SingleNodeRoutingInfo::SpecificNode(slot);
            let asked = connection.route_pipeline(question.clone(), 0, question.len(), node);
            let answer = match asked.await.and_then(or_refusal) {
                Err(refusal) if is(&refusal, ServerErrorKind::Ask) => {
                    self.ask_newcomer(&refusal, question).await.and_then(or_refusal)
                }
                answer => answer,
            };
            match answer {
                Err(refusal) if is_on_the_move(&refusal) => sleep(FOLLOW_AFTER).await,
                answer => return answer,
            }
        }
    }

    /// Makes the connection anew behind the scenes, and lets the old one serve until then.
    pub(super) fn renew(self: &Arc<Self>) {
        if !self.renewing.swap(true, Ordering::Relaxed) {
            let cluster = Arc::clone(self);
            tokio::spawn(async move {
                if let Ok(fresh) = cluster.connect().await {
                    *locked(&cluster.connection) = Some(fresh);
                }
                cluster.renewing.store(false, Ordering::Relaxed);
            });
        }
    }

    async fn connection(&self) -> RedisResult<ClusterConnection> {
        if let Some(connection) = self.known_connection() {
            return Ok(connection);
        }
        let _turn = self.connecting.lock().await;
        if let Some(connection) = self.known_connection() {
            return Ok(connection);
        }
        let fresh = self.connect().await?;
        Ok(locked(&self.connection).insert(fresh).clone())
    }

    fn known_connection(&self) -> Option<ClusterConnection> {
        locked(&self.connection).clone()
    }

    async fn connect(&self) -> RedisResult<ClusterConnection> {
        self.address.cluster_client(self.patience)?.get_async_connection().await
    }

    /// Asks the node that takes the slot over, which the client need not know yet.
    async fn ask_newcomer(
        &self,
        refusal: &RedisError,
        question: &Pipeline,
    ) -> RedisResult<Vec<Value>> {
        let (node, _) = refusal.redirect_node().ok_or_else(|| refusal.clone())?;
        let mut manager = self.newcomer(node)?;
        let mut asking = Pipeline::with_capacity(question.len() + 1);
        asking.cmd("ASKING");
        for command in question.cmd_iter() {
            asking.add_command(command.clone());
        }
        manager.send_packed_commands(&asking, 1, question.len()).await
    }

    fn newcomer(&self, node: &str) -> RedisResult<ConnectionManager> {
        let mut asked = locked(&self.asked);
        if let Some(manager) = asked.get(node) {
            return Ok(manager.clone());
        }
        let manager = Address::manager(self.address.node(node)?)?;
        Ok(asked.entry(node.to_owned()).or_insert(manager).clone())
    }
}

/// A refusal inside an answer is a refusal of the question.
pub(super) fn or_refusal(answers: Vec<Value>) -> RedisResult<Vec<Value>> {
    answers.into_iter().map(Value::extract_error).collect()
}

/// Whether the node did nothing because the slot is, or will soon be, another's.
fn is_on_the_move(refusal: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, ReadOnly, TryAgain};
    [Ask, Moved, ReadOnly, TryAgain].iter().any(|kind| is(refusal, *kind))
}

fn is(refusal: &RedisError, kind: ServerErrorKind) -> bool {
    refusal.kind() == redis::ErrorKind::Server(kind)
}
