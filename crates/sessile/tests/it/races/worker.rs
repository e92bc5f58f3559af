//! What runs in the other processes: requests on command, all let go at once.

use std::io::stdin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use sessile::store::{self, Store};
use sessile::{Client, Config, Exchange, Keys, OnOwnerLimit, Session, SessionId, Sessions};
use tokio::sync::Barrier;

use crate::engine::harness::pair_of;

/// The variable that names the store, and makes this test the process of others.
pub(super) const STORE: &str = "SESSILE_RACES_STORE";
/// What begins the lines that are meant for whoever started it.
pub(super) const SAYS: &str = "races says: ";

/// How many sessions an owner may have, where there is a limit.
pub(super) const LIMIT: usize = 3;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Task {
    Request(Request),
    /// Ends all sessions of an owner but one.
    EndAll {
        owner: String,
        except: Option<SessionId>,
        delay: usize,
        tokens: Tokens,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) cookie: String,
    pub(super) start: Start,
    pub(super) delay: usize,
    pub(super) wishes: Vec<Wish>,
    pub(super) limit: Limit,
    pub(super) tokens: Tokens,
    /// Whose sessions to list once it is answered.
    pub(super) lists: Option<String>,
}

/// How far a request has come when all are let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Start {
    Loaded,
    Begun,
    Later,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wish {
    Insert(String),
    Count,
    Rotate,
    LogIn(String),
    LogOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Limit {
    None,
    EndsOldest,
    RefusesNew,
}

/// What new sessions get: tokens of ours, or keys that the application draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Tokens {
    Ours,
    Drawn,
}

/// Keys as an application might draw them.
pub(super) fn drawn_keys() -> Keys {
    let keys = Keys::new("races", "0123456789abcdef", 64..=64).unwrap();
    keys.drawn_by(|| Ok(format!("{}{}", SessionId::random()?, SessionId::random()?)))
}

/// What became of a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The kind of the error, if there was one.
    pub(super) failed: Option<String>,
    /// The cookie that was set.
    pub(super) cookie: Option<String>,
    /// Whose session the request found, and what was in it.
    pub(super) owner: Option<String>,
    pub(super) keys: Vec<String>,
    /// The session at the end of the request.
    pub(super) id: Option<SessionId>,
    pub(super) listed: Vec<SessionId>,
}

/// The process that the laws start. By itself it is told of no store, and ends at once.
#[test]
fn worker() {
    let Ok(url) = std::env::var(STORE) else { return };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let server = Arc::new(runtime.block_on(async { Elsewhere::open(&url) }));
    while let Some(line) = hear() {
        let tasks = serde_json::from_str(&line).unwrap();
        let answers = runtime.block_on(Arc::clone(&server).race(tasks));
        say(&serde_json::to_string(&answers).unwrap());
    }
}

/// The next command; none once whoever gave them is gone.
fn hear() -> Option<String> {
    let mut line = String::new();
    let read = stdin().read_line(&mut line).unwrap();
    (read > 0).then_some(line)
}

fn say(text: &str) {
    println!("\n{SAYS}{text}");
}

/// A server of this process: engines on one store that differ in their limits.
struct Elsewhere {
    store: Arc<dyn Store>,
}

impl Elsewhere {
    fn open(url: &str) -> Self {
        Self { store: store::open(url).unwrap() }
    }

    fn sessions(&self, limit: Limit, tokens: Tokens) -> Sessions {
        let mut config = Config::default();
        // The machine may be busy; a race is not to be lost to that.
        config.commit_deadline = Duration::from_secs(30);
        config.sessions_per_owner = (limit != Limit::None).then(|| LIMIT.try_into().unwrap());
        config.on_owner_limit = match limit {
            Limit::RefusesNew => OnOwnerLimit::RefuseNew,
            _ => OnOwnerLimit::EndOldest,
        };
        let builder = Sessions::builder(Arc::clone(&self.store)).config(config);
        match tokens {
            Tokens::Ours => builder.build().unwrap(),
            Tokens::Drawn => builder.keys(drawn_keys()).build().unwrap(),
        }
    }

    /// Prepares all, says so, waits to be let go, and gives what became of them.
    async fn race(self: Arc<Self>, tasks: Vec<Task>) -> Vec<Answer> {
        let gate = Arc::new(Barrier::new(tasks.len() + 1));
        let run = |task| tokio::spawn(Arc::clone(&self).run(task, Arc::clone(&gate)));
        let running: Vec<_> = tasks.into_iter().map(run).collect();
        gate.wait().await;
        say("ready");
        hear().expect("they are let go");
        gate.wait().await;
        let mut answers = Vec::new();
        for task in running {
            answers.push(task.await.unwrap());
        }
        answers
    }

    async fn run(self: Arc<Self>, task: Task, gate: Arc<Barrier>) -> Answer {
        match task {
            Task::Request(request) => {
                let sessions = self.sessions(request.limit, request.tokens);
                answer(&sessions, &request, &gate).await
            }
            Task::EndAll { owner, except, delay, tokens } => {
                let sessions = self.sessions(Limit::None, tokens);
                let_go(&gate, delay).await;
                let ended = sessions.revoke_all(owner, except).await;
                Answer { failed: kind(ended.err()), ..Answer::default() }
            }
        }
    }
}

/// Waits until all are let go, and a little on, without giving the processor away for long.
async fn let_go(gate: &Barrier, delay: usize) {
    gate.wait().await;
    gate.wait().await;
    for n in 0..delay {
        std::hint::spin_loop();
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn answer(sessions: &Sessions, request: &Request, gate: &Barrier) -> Answer {
    let begin = || sessions.begin(&headers(&request.cookie), Client::default());
    let early = (request.start != Start::Later).then(begin);
    if let Some(exchange) = early.as_ref().filter(|_| request.start == Start::Loaded) {
        exchange.handle().session().await.unwrap();
    }
    let_go(gate, request.delay).await;
    let exchange = early.unwrap_or_else(begin);
    let session = exchange.handle().session().await.unwrap();
    let owner = session.owner().map(String::from);
    let mut answer = Answer { owner, keys: session.keys(), ..Answer::default() };
    for wish in &request.wishes {
        grant(&session, wish).unwrap();
    }
    finish(exchange, &mut answer).await;
    answer.id = session.id();
    if let Some(owner) = &request.lists {
        let page = sessions.list(owner, None, None).await.unwrap();
        answer.listed = page.devices.iter().map(|device| device.session.id).collect();
    }
    answer
}

fn headers(cookie: &str) -> HeaderMap {
    let value = (!cookie.is_empty()).then(|| HeaderValue::from_str(cookie).unwrap());
    value.into_iter().map(|value| (COOKIE, value)).collect()
}

fn grant(session: &Session, wish: &Wish) -> sessile::Result<()> {
    match wish {
        Wish::Insert(key) => session.insert(key, "theirs"),
        Wish::Count => session.update("count", |n: Option<u64>| n.unwrap_or(0) + 1).map(|_| ()),
        Wish::Rotate => session.rotate(),
        Wish::LogIn(owner) => session.login(owner),
        Wish::LogOut => session.invalidate(),
    }
}

async fn finish(exchange: Exchange, answer: &mut Answer) {
    let mut headers = HeaderMap::new();
    let committed = exchange.finish(StatusCode::OK, &mut headers).await;
    answer.failed = kind(committed.err());
    answer.cookie = headers.get(SET_COOKIE).map(pair_of);
}

fn kind(error: Option<sessile::Error>) -> Option<String> {
    error.map(|error| format!("{:?}", error.kind()))
}
