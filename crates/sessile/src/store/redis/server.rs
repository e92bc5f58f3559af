//! One question and its answer: connections that come back by themselves, within bounded time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, ConnectionInfo, FromRedisValue, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use super::address::Address;
use super::fault::{fault, no_answer, strange_reply};
use super::scripts::Text;
use crate::error::Result;

/// How long to wait before a command follows a slot that moves.
const FOLLOW_AFTER: Duration = Duration::from_millis(20);

/// A server, or a Cluster of them, with one connection that all tasks share.
///
/// Commands of many tasks go through it side by side. A dropped future leaves its answer to nobody:
/// answers are matched to questions by the connection's own task, which no caller can stop.
pub(super) struct Server {
    address: Address,
    /// The longest that one question may take, connecting and following moved slots included.
    patience: Duration,
    /// Made at first use, inside a runtime; forgotten when it hangs.
    single: Mutex<Option<ConnectionManager>>,
    cluster: OnceCell<ClusterConnection>,
    /// Nodes that take over slots, by address.
    asked: Mutex<HashMap<String, ConnectionManager>>,
}

impl Server {
    pub(super) fn new(address: Address, patience: Duration) -> Self {
        Self {
            address,
            patience,
            single: Mutex::default(),
            cluster: OnceCell::new(),
            asked: Mutex::default(),
        }
    }

    /// Runs a script on the slot of its first key.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &'static Text,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<T> {
        let by_digest = script_call("EVALSHA", script.digest(), keys, arguments);
        let answer = match self.ask(keys[0], vec![by_digest]).await {
            // The server has never seen it, or has forgotten it: it did not run.
            Err(Unanswered::Refused(refusal)) if is_unknown_script(&refusal) => {
                let by_text = script_call("EVAL", script.code, keys, arguments);
                self.ask(keys[0], vec![by_text]).await
            }
            answer => answer,
        };
        parsed(answer.map_err(|unanswered| self.error_of(unanswered))?)
    }

    /// Runs a command on the slot of `key`.
    pub(super) async fn command<T: FromRedisValue>(&self, key: &str, command: Cmd) -> Result<T> {
        let answer = self.ask(key, vec![command]).await;
        parsed(answer.map_err(|unanswered| self.error_of(unanswered))?)
    }

    /// Runs a script, and has this connection wait until so many replicas have what it wrote; gives
    /// how many have it in time.
    pub(super) async fn run_and_wait<T: FromRedisValue>(
        &self,
        script: &'static Text,
        keys: &[&str],
        arguments: &[&[u8]],
        replicas: (u32, Duration),
    ) -> Result<(T, i64)> {
        let by_text = script_call("EVAL", script.code, keys, arguments);
        let mut wait = redis::cmd("WAIT");
        wait.arg(replicas.0).arg(replicas.1.as_millis() as u64);
        let answers = self.ask(keys[0], vec![by_text, wait]).await;
        let mut answers = answers.map_err(|unanswered| self.error_of(unanswered))?;
        let confirmed = parsed(answers.split_off(1))?;
        Ok((parsed(answers)?, confirmed))
    }

    async fn ask(&self, key: &str, commands: Vec<Cmd>) -> Result<Vec<Value>, Unanswered> {
        let mut question = Pipeline::with_capacity(commands.len());
        for command in commands {
            question.add_command(command);
        }
        let answers = if self.address.is_cluster() {
            self.ask_cluster(key, question).await
        } else {
            self.ask_single(question).await
        };
        // A refusal inside the answer is a refusal of the question.
        let answers = answers?.into_iter().map(Value::extract_error);
        answers.collect::<RedisResult<_>>().map_err(Unanswered::Refused)
    }

    async fn ask_single(&self, question: Pipeline) -> Result<Vec<Value>, Unanswered> {
        let mut manager = self.manager()?;
        let asked = manager.send_packed_commands(&question, 0, question.len());
        let answer = timeout(self.patience, asked).await;
        match &answer {
            // It may hang for good: whoever asks next connects anew, and those who wait go on waiting.
            Err(_) => self.forget_manager(),
            // The manager comes back by itself from broken connections, and from nothing else.
            Ok(Err(error)) if !error.is_io_error() => self.forget_manager(),
            Ok(_) => {}
        }
        Ok(answer.map_err(|_| Unanswered::Late)??)
    }

    fn manager(&self) -> RedisResult<ConnectionManager> {
        let mut known = locked(&self.single);
        match &*known {
            Some(manager) => Ok(manager.clone()),
            None => Ok(known.insert(Address::manager(self.address.first())?).clone()),
        }
    }

    fn forget_manager(&self) {
        locked(&self.single).take();
    }

    async fn ask_cluster(&self, key: &str, question: Pipeline) -> Result<Vec<Value>, Unanswered> {
        let asked = async {
            let connect = || async { self.connect_cluster().await };
            let mut cluster = self.cluster.get_or_try_init(connect).await?.clone();
            self.follow(&mut cluster, key, &question).await
        };
        Ok(timeout(self.patience, asked).await.map_err(|_| Unanswered::Late)??)
    }

    async fn connect_cluster(&self) -> RedisResult<ClusterConnection> {
        let client: ClusterClient = self.address.cluster_client(self.patience)?;
        client.get_async_connection().await
    }

    /// Asks the node that holds the slot, and follows the slot when it moves. The client's own
    /// retries are off: they would also repeat what may have been carried out.
    async fn follow(
        &self,
        cluster: &mut ClusterConnection,
        key: &str,
        question: &Pipeline,
    ) -> RedisResult<Vec<Value>> {
        let slot = Route::with_key(key, SlotAddr::Master);
        loop {
            let node = SingleNodeRoutingInfo::SpecificNode(slot);
            let answer = cluster.route_pipeline(question.clone(), 0, question.len(), node).await;
            let refusal = match answer.map(refusal_in) {
                Err(refusal) | Ok(Err(refusal)) => refusal,
                Ok(Ok(answers)) => return Ok(answers),
            };
            match refusal.kind() {
                redis::ErrorKind::Server(redis::ServerErrorKind::Ask) => {
                    match self.ask_node(&refusal, question).await.and_then(refusal_in) {
                        Err(again) if is_on_the_move(&again) => sleep(FOLLOW_AFTER).await,
                        answer => return answer,
                    }
                }
                _ if is_on_the_move(&refusal) => sleep(FOLLOW_AFTER).await,
                _ => return Err(refusal),
            }
        }
    }

    /// Asks the node that takes the slot over and may not be known to the client yet.
    async fn ask_node(&self, refusal: &RedisError, question: &Pipeline) -> RedisResult<Vec<Value>> {
        let (node, _) = refusal.redirect_node().ok_or_else(|| refusal.clone())?;
        let mut manager = self.manager_of(node)?;
        let mut asking = Pipeline::with_capacity(question.len() + 1);
        asking.cmd("ASKING");
        for command in question.cmd_iter() {
            asking.add_command(command.clone());
        }
        manager.send_packed_commands(&asking, 1, question.len()).await
    }

    fn manager_of(&self, node: &str) -> RedisResult<ConnectionManager> {
        let mut asked = locked(&self.asked);
        if let Some(manager) = asked.get(node) {
            return Ok(manager.clone());
        }
        let info: ConnectionInfo = self.address.node(node)?;
        let manager = Address::manager(info)?;
        Ok(asked.entry(node.to_owned()).or_insert(manager).clone())
    }

    fn error_of(&self, unanswered: Unanswered) -> crate::Error {
        match unanswered {
            Unanswered::Late => no_answer(self.patience),
            Unanswered::Refused(error) => fault(error),
        }
    }
}

/// Why there is no answer.
enum Unanswered {
    /// Nobody knows whether it was carried out.
    Late,
    Refused(RedisError),
}

impl From<RedisError> for Unanswered {
    fn from(refusal: RedisError) -> Self {
        Self::Refused(refusal)
    }
}

fn script_call(command: &str, script: &str, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
    let mut call = redis::cmd(command);
    call.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    call
}

fn is_unknown_script(refusal: &RedisError) -> bool {
    refusal.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
}

/// Whether the node did nothing because the slot is, or will soon be, another's.
fn is_on_the_move(refusal: &RedisError) -> bool {
    use redis::ServerErrorKind::{Ask, Moved, ReadOnly, TryAgain};
    matches!(refusal.kind(), redis::ErrorKind::Server(Ask | Moved | ReadOnly | TryAgain))
}

fn refusal_in(answers: Vec<Value>) -> RedisResult<Vec<Value>> {
    answers.into_iter().map(Value::extract_error).collect()
}

fn parsed<T: FromRedisValue>(answers: Vec<Value>) -> Result<T> {
    let answer = answers.into_iter().next().ok_or_else(strange_reply)?;
    T::from_redis_value(answer).map_err(|error| strange_reply().with_source(error))
}

/// Locks a mutex whose guarded steps cannot panic half-way, so that poison means nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
