//! One question and its answer: connections that come back by themselves, within bounded time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Value};
use tokio::time::timeout;

use super::address::Address;
use super::cluster::{Cluster, or_refusal};
use super::fault::{fault, no_answer, strange_reply};
use super::scripts::Text;
use crate::error::Result;

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
    cluster: Arc<Cluster>,
}

impl Server {
    pub(super) fn new(address: Address, patience: Duration) -> Self {
        let cluster = Arc::new(Cluster::new(address.clone(), patience));
        Self { address, patience, single: Mutex::default(), cluster }
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
        Ok(or_refusal(answers?)?)
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
        let answer = timeout(self.patience, self.cluster.ask(key, &question)).await;
        if answer.as_ref().map_or(true, |answer| answer.as_ref().is_err_and(RedisError::is_timeout))
        {
            // A node that hangs tells nobody that another has taken its slots over.
            self.cluster.renew();
        }
        Ok(answer.map_err(|_| Unanswered::Late)??)
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

fn parsed<T: FromRedisValue>(answers: Vec<Value>) -> Result<T> {
    let answer = answers.into_iter().next().ok_or_else(strange_reply)?;
    T::from_redis_value(answer).map_err(|error| strange_reply().with_source(error))
}

/// Locks a mutex whose guarded steps cannot panic half-way, so that poison means nothing.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
