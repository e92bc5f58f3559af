//! Servers as processes, and browsers that only speak JSON.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long anything may take that should be quick.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A demo that runs; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Child,
    /// What it says, as long as somebody reads it.
    pub(crate) output: Option<BufReader<ChildStdout>>,
    pub(crate) address: String,
    /// The process that serves.
    pub(crate) serving: u32,
}

impl Server {
    /// One process on a store of this directory.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    /// A parent and its child on a store of this directory.
    pub(crate) fn start_supervised(directory: &Path) -> Self {
        Self::start_with(directory, &["--supervised"])
    }

    fn start_with(directory: &Path, arguments: &[&str]) -> Self {
        let mut process =
            demo(directory).args(arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let said = lines_until(&mut output, "Ctrl-C");
        let after = |mark: &str| said.split(mark).nth(1).expect(mark).trim().to_owned();
        let address = after("http://").lines().next().unwrap().to_owned();
        let serving = number(&after("process"));
        Self { process, output: Some(output), address, serving }
    }

    /// Waits until the parent says that another child serves.
    pub(crate) fn await_next(&mut self) {
        let output = self.output.as_mut().expect("it is still read");
        let said = lines_until(output, "serves");
        self.serving = number(said.rsplit("process ").next().unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command that starts a demo on a store of this directory, on a free port.
pub(crate) fn demo(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile-demo"));
    command.args(["--listen", "127.0.0.1:0", "--store"]);
    command.arg(format!("file://{}", directory.display())).stdin(Stdio::null());
    command
}

fn lines_until(output: &mut impl BufRead, mark: &str) -> String {
    let mut said = String::new();
    while !said.lines().last().unwrap_or_default().contains(mark) {
        assert_ne!(output.read_line(&mut said).unwrap(), 0, "it ended after saying {said:?}");
    }
    said
}

fn number(text: &str) -> u32 {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}

/// Sends SIGKILL or SIGTERM to a process.
pub(crate) fn signal(process: u32, signal: rustix::process::Signal) {
    let process = rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Answer {
    /// The number it counted.
    pub(crate) fn count(&self) -> u64 {
        self.json["count"].as_u64().unwrap_or_else(|| panic!("no count: {self:?}"))
    }
}

/// Something with one cookie, as browsers have; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    client: Client<HttpConnector, Body>,
    cookie: Arc<Mutex<Option<String>>>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, cookie: Arc::default() }
    }

    /// A browser with a copy of this one's cookie.
    pub(crate) fn thief(&self) -> Self {
        let thief = Self::new();
        thief.plant(self.cookie());
        thief
    }

    /// The cookie, name and value.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookie.lock().unwrap().clone()
    }

    pub(crate) fn plant(&self, cookie: Option<String>) {
        *self.cookie.lock().unwrap() = cookie;
    }

    pub(crate) async fn get(&self, server: &Server, path: &str) -> Answer {
        self.send(server, "GET", path, &[]).await.expect("an answer")
    }

    pub(crate) async fn post(&self, server: &Server, path: &str) -> Answer {
        self.send(server, "POST", path, &[]).await.expect("an answer")
    }

    /// The data of its session.
    pub(crate) async fn data(&self, server: &Server) -> Value {
        let answer = self.get(server, "/api/read").await;
        assert_eq!(answer.status, 200);
        answer.json["data"].clone()
    }

    /// Sends a request, and keeps the cookie that comes back. Fails when the connection does.
    pub(crate) async fn send(
        &self,
        server: &Server,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        self.send_to(&server.address, method, path, headers).await
    }

    /// As [`send`](Self::send), to whoever listens at an address.
    pub(crate) async fn send_to(
        &self,
        address: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let uri = format!("http://{address}{path}");
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(cookie) = self.cookie() {
            request = request.header(COOKIE, cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = self.client.request(request.body(Body::empty())?).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        self.keep(&head.headers);
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Answer { status: head.status, headers: head.headers, json })
    }

    fn keep(&self, headers: &HeaderMap) {
        for set in headers.get_all(SET_COOKIE) {
            let set = set.to_str().unwrap();
            let pair = set.split(';').next().unwrap();
            self.plant((!set.contains("Max-Age=0")).then(|| pair.to_owned()));
        }
    }
}
