//! What a handler does in a row: the same deeds in every framework.

use http::Response;
use sessile::{ExclusiveSession, Login, ReadSession, Session, SessionId};
use tokio::sync::Notify;

use crate::engine::harness::secs;

/// How a handler asks for its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Nothing,
    Session,
    Existing,
    Read,
    Exclusive,
    SignedIn,
}

impl Ask {
    /// The path whose handler asks this way.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Nothing => "/nothing",
            Self::Session => "/session",
            Self::Existing => "/existing",
            Self::Read => "/read",
            Self::Exclusive => "/exclusive",
            Self::SignedIn => "/signed-in",
        }
    }
}

/// One thing a handler does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Insert(&'static str, &'static str),
    /// Raises the number under a key by an `update`.
    Count(&'static str),
    Remove(&'static str),
    Clear,
    Login(&'static str),
    /// A login that leaves the data behind.
    LoginAfresh(&'static str),
    /// A login whose cookie lasts for so many days.
    Remember(&'static str, u64),
    Rotate,
    StepUp(u8),
    Lower(u8),
    Invalidate,
    Commit,
    /// Waits until the row goes on: other requests come first, or the client leaves.
    Wait,
    Panic,
    /// Answers this status instead of 200.
    Status(u16),
    /// Adds a header of the handler's own.
    Header(&'static str, &'static str),
}

/// What a handler is to do, in the extensions of its request.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) ask: Ask,
    pub(super) acts: Vec<Act>,
    /// The handler has come to [`Act::Wait`].
    pub(super) waits: Notify,
    /// It may go on.
    pub(super) goes_on: Notify,
}

impl Script {
    /// Does everything, and answers with what the session then looks like.
    pub(super) async fn play(&self, session: &Session) -> sessile::Result<Response<String>> {
        for act in &self.acts {
            self.act(session, *act).await?;
        }
        let value = |key: &str| session.get(key).unwrap().unwrap();
        Ok(self.page(&view(session.id(), session.owner(), &session.keys(), value)))
    }

    /// As [`play`](Self::play), under the session's lock.
    pub(super) async fn play_alone(
        &self,
        session: &ExclusiveSession,
    ) -> sessile::Result<Response<String>> {
        self.play(session).await
    }

    /// Answers with what the session looks like; there is nothing else one can do with it.
    pub(super) fn read(&self, session: &ReadSession) -> Response<String> {
        let value = |key: &str| session.get(key).unwrap().unwrap();
        self.page(&view(session.id(), session.owner(), &session.keys(), value))
    }

    /// An answer with this body, and the status and headers of the script.
    pub(super) fn page(&self, body: &str) -> Response<String> {
        let mut response = Response::builder();
        for act in &self.acts {
            response = match *act {
                Act::Status(status) => response.status(status),
                Act::Header(name, value) => response.header(name, value),
                _ => response,
            };
        }
        response.body(body.to_owned()).unwrap()
    }

    async fn act(&self, session: &Session, act: Act) -> sessile::Result<()> {
        match act {
            Act::Insert(key, value) => session.insert(key, value),
            Act::Count(key) => session.update(key, |n: Option<u64>| n.unwrap_or(0) + 1).map(|_| ()),
            Act::Remove(key) => session.remove(key),
            Act::Clear => session.clear(),
            Act::Login(owner) => session.login(owner),
            Act::LoginAfresh(owner) => session.login(Login::new(owner).drop_data()),
            Act::Remember(owner, days) => {
                session.login(Login::new(owner).remember_for(secs(days * 86_400)))
            }
            Act::Rotate => session.rotate(),
            Act::StepUp(level) => session.reauthenticate(level),
            Act::Lower(level) => session.lower(level),
            Act::Invalidate => session.invalidate(),
            Act::Commit => session.commit().await,
            Act::Wait => {
                self.waits.notify_one();
                self.goes_on.notified().await;
                Ok(())
            }
            Act::Panic => panic!("expected by this row"),
            Act::Status(_) | Act::Header(..) => Ok(()),
        }
    }
}

/// `#id @owner key=value key=value`, as far as there is any.
fn view(
    id: Option<SessionId>,
    owner: Option<sessile::Owner>,
    keys: &[String],
    value: impl Fn(&str) -> serde_json::Value,
) -> String {
    let id = id.map(|id| format!("#{id}"));
    let owner = owner.map(|owner| format!("@{owner}"));
    let pairs = keys.iter().map(|key| match value(key) {
        serde_json::Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    });
    let words: Vec<_> = id.into_iter().chain(owner).chain(pairs).collect();
    if words.is_empty() { NOBODY.to_owned() } else { words.join(" ") }
}

/// What an empty session of nobody looks like.
pub(super) const NOBODY: &str = "nobody";
