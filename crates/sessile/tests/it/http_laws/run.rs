//! Running a row: a browser, the server it talks to, and what both are expected to see.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use sessile::{Config, Sessions, Token};
use tokio::sync::Notify;
use tokio::task::JoinError;
use tower::ServiceExt;

use super::adapters::App;
use super::script::{Act, Ask, Script};
use crate::engine::harness::Server;
use crate::engine::memory;

/// One law: a configuration, and requests with the answers they must get.
pub(super) struct Row {
    configure: fn(&mut Config),
    steps: Vec<Step>,
}

/// These requests, one after the other, of one browser to a server with the default configuration.
pub(super) fn row<const N: usize>(steps: [Step; N]) -> Row {
    Row { configure: |_| {}, steps: steps.into() }
}

impl Row {
    /// Changes the server's configuration.
    pub(super) fn with(self, configure: fn(&mut Config)) -> Self {
        Self { configure, ..self }
    }

    /// Holds one framework to this row.
    pub(super) async fn hold(self, adapter: fn(&Sessions) -> App) {
        let server = Server::with(&memory(), self.configure);
        let app = adapter(&server.sessions);
        let mut run = Run { server, app, jar: BTreeMap::new(), tokens: vec![], ids: vec![] };
        run.take(self.steps, "request ").await;
    }
}

/// A request, what its handler does, and what comes of it.
pub(super) struct Step {
    later: Duration,
    headers: Vec<(&'static str, &'static str)>,
    ask: Ask,
    acts: Vec<Act>,
    outage: Option<&'static str>,
    meanwhile: Vec<Step>,
    outcome: Outcome,
    store_calls: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The row does not say what comes of a request, and so it fails.
    Unsaid,
    /// Status, body, and every header but those of the body.
    Answer(u16, String, Vec<String>),
    Panic,
    ClientLeft,
}

/// A request whose handler does this to its session.
pub(super) fn get<const N: usize>(acts: [Act; N]) -> Step {
    Step {
        later: Duration::ZERO,
        headers: vec![],
        ask: Ask::Session,
        acts: acts.into(),
        outage: None,
        meanwhile: vec![],
        outcome: Outcome::Unsaid,
        store_calls: None,
    }
}

impl Step {
    /// Asks for the session in another way.
    pub(super) fn by(self, ask: Ask) -> Self {
        Self { ask, ..self }
    }

    /// Comes this much later than the one before.
    pub(super) fn later(self, later: Duration) -> Self {
        Self { later, ..self }
    }

    /// Sends a header: `cookie` instead of what the browser holds, others besides. `<0>` stands for
    /// the first token that the row saw, `<unknown>` for one that nobody issued.
    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Lets this operation of the store fail while the request is answered.
    pub(super) fn without(self, operation: &'static str) -> Self {
        Self { outage: Some(operation), ..self }
    }

    /// What the same browser asks while this handler waits.
    pub(super) fn meanwhile<const N: usize>(self, steps: [Step; N]) -> Self {
        Self { meanwhile: steps.into(), ..self }
    }

    /// The answer: its status, its body, and every header but those of the body. `<new>` stands for
    /// a token that was not seen before.
    pub(super) fn gives(self, status: u16, body: &str, headers: &[&str]) -> Self {
        let headers = headers.iter().map(|line| (*line).to_owned()).collect();
        Self { outcome: answer(status, body.to_owned(), headers), ..self }
    }

    /// The handler panics, and the connection ends without an answer.
    pub(super) fn panics(self) -> Self {
        Self { outcome: Outcome::Panic, ..self }
    }

    /// The client leaves while the handler waits.
    pub(super) fn loses_its_client(self) -> Self {
        Self { outcome: Outcome::ClientLeft, ..self }
    }

    /// How many calls of the store that takes.
    pub(super) fn calls_the_store(self, times: usize) -> Self {
        Self { store_calls: Some(times), ..self }
    }

    fn script(&self) -> Arc<Script> {
        let (waits, goes_on) = (Notify::new(), Notify::new());
        Arc::new(Script { ask: self.ask, acts: self.acts.clone(), waits, goes_on })
    }

    fn waits(&self) -> bool {
        self.acts.iter().any(|act| matches!(act, Act::Wait))
    }
}

fn answer(status: u16, body: String, mut headers: Vec<String>) -> Outcome {
    headers.sort();
    Outcome::Answer(status, body, headers)
}

/// A row under way.
struct Run {
    server: Server,
    app: App,
    /// The browser's cookies.
    jar: BTreeMap<String, String>,
    /// Every token that was set, in order.
    tokens: Vec<String>,
    /// Every session ID that a page showed, in order.
    ids: Vec<String>,
}

impl Run {
    /// Takes the steps one after the other. Boxed, since steps may hold steps.
    fn take<'a>(
        &'a mut self,
        steps: Vec<Step>,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            for (number, mut step) in steps.into_iter().enumerate() {
                let name = format!("{name}{number}");
                self.server.clock.advance(step.later);
                let calls_before = self.server.store.calls();
                let seen = self.outcome(&mut step, &name).await;
                let calls = self.server.store.calls() - calls_before;
                assert_eq!(seen, step.outcome, "{name}");
                assert_eq!(calls, step.store_calls.unwrap_or(calls), "calls of {name}");
            }
        })
    }

    async fn outcome(&mut self, step: &mut Step, name: &str) -> Outcome {
        if let Some(operation) = step.outage {
            self.server.store.fail(operation);
        }
        let ended = self.send(step, name).await;
        self.server.store.mend();
        match ended {
            Ok(Ok(response)) => self.browse(response),
            Err(ended) if ended.is_panic() => Outcome::Panic,
            Err(_) => Outcome::ClientLeft,
        }
    }

    /// Sends the request, takes the steps that come while it waits, and lets it go on or leaves.
    async fn send(
        &mut self,
        step: &mut Step,
        name: &str,
    ) -> Result<Result<Response<String>, Infallible>, JoinError> {
        let script = step.script();
        let mut task = tokio::spawn(self.app.clone().oneshot(self.request(step, &script)));
        if step.waits() {
            tokio::select! {
                () = script.waits.notified() => {}
                early = &mut task => panic!("{name} did not wait: {early:?}"),
            }
            self.take(std::mem::take(&mut step.meanwhile), &format!("{name}.")).await;
            match step.outcome {
                Outcome::ClientLeft => task.abort(),
                _ => script.goes_on.notify_one(),
            }
        }
        assert!(step.meanwhile.is_empty(), "{name} waits for nothing");
        task.await
    }

    fn request(&self, step: &Step, script: &Arc<Script>) -> Request<()> {
        let mut request = Request::get(step.ask.path()).extension(Arc::clone(script));
        let pairs = self.jar.iter().map(|(name, value)| format!("{name}={value}"));
        let cookie = pairs.collect::<Vec<_>>().join("; ");
        if !cookie.is_empty() && !step.headers.iter().any(|(name, _)| *name == "cookie") {
            request = request.header("cookie", cookie);
        }
        for (name, template) in &step.headers {
            request = request.header(*name, self.filled(template));
        }
        request.body(()).unwrap()
    }

    fn filled(&self, template: &str) -> String {
        let unknown = Token::random().unwrap().reveal();
        let text = template.replace("<unknown>", &unknown);
        let tokens = self.tokens.iter().enumerate();
        tokens.fold(text, |text, (n, token)| text.replace(&format!("<{n}>"), token))
    }

    /// Takes the cookies of a response as a browser does, and gives what there was to see.
    fn browse(&mut self, response: Response<String>) -> Outcome {
        let (head, body) = response.into_parts();
        let lines = self.lines(&head.headers);
        let words: Vec<_> = body.split(' ').map(|word| self.numbered(word)).collect();
        answer(head.status.as_u16(), words.join(" "), lines)
    }

    fn lines(&mut self, headers: &HeaderMap) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, value) in headers {
            let value = value.to_str().unwrap();
            match name.as_str() {
                "content-type" | "content-length" => {}
                "set-cookie" => lines.push(format!("set-cookie: {}", self.set_cookie(value))),
                "session-token" => lines.push(format!("session-token: {}", self.named(value))),
                other => lines.push(format!("{other}: {value}")),
            }
        }
        lines
    }

    fn set_cookie(&mut self, line: &str) -> String {
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let (name, value) = pair.split_once('=').expect("a cookie has a name");
        if attributes.contains("Max-Age=0;") {
            self.jar.remove(name);
        } else {
            self.jar.insert(name.to_owned(), value.to_owned());
        }
        format!("{name}={};{attributes}", self.named(value))
    }

    /// What stands for a token in the rows.
    fn named(&mut self, token: &str) -> String {
        match self.tokens.iter().position(|known| known == token) {
            _ if token.len() < Token::TEXT_LEN => token.to_owned(),
            Some(number) => format!("<{number}>"),
            None => {
                self.tokens.push(token.to_owned());
                "<new>".to_owned()
            }
        }
    }

    /// A session ID as the number under which the row first saw it.
    fn numbered(&mut self, word: &str) -> String {
        let Some(id) = word.strip_prefix('#') else { return word.to_owned() };
        let known = self.ids.iter().position(|known| known == id);
        let number = known.unwrap_or_else(|| {
            self.ids.push(id.to_owned());
            self.ids.len() - 1
        });
        format!("#{number}")
    }
}
