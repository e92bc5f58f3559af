//! What a request does.

use sessile::{ErrorKind, Result};

use crate::engine::harness::{Server, Visit};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// Writes two keys of its own.
    Write,
    /// Writes them as well, and counts one up.
    Count,
    /// As `Count`, holding the session alone.
    Hold,
    /// As `Count`, by a commit of the handler, which writes one more key afterwards.
    Commit,
    Rotate,
    StepUp,
    /// Logs Ann in.
    Login,
    Logout,
    /// Ends all of Ann's sessions.
    RevokeAll,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It was answered, perhaps with a cookie.
    Answered(Option<String>),
    Failed(ErrorKind),
    /// Nobody knows what it did.
    Dropped,
}

/// The keys that the request of this number writes, both or neither.
pub(super) fn keys(who: usize) -> [String; 2] {
    [format!("x{who}"), format!("y{who}")]
}

impl Deed {
    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Write) || self.counts()
    }

    pub(super) const fn counts(self) -> bool {
        matches!(self, Self::Count | Self::Hold | Self::Commit)
    }

    pub(super) const fn ends(self) -> bool {
        matches!(self, Self::Logout | Self::RevokeAll)
    }

    /// Whether the token that came with the others opens nothing any more.
    pub(super) const fn replaces_the_token(self) -> bool {
        matches!(self, Self::Login | Self::StepUp)
    }

    /// Whether it takes the newest token.
    pub(super) const fn needs_authority(self) -> bool {
        matches!(self, Self::Hold | Self::Login | Self::StepUp)
    }

    /// All keys that the request of this number has written once it is answered.
    pub(super) fn keys(self, who: usize) -> Vec<String> {
        let mut all = keys(who).to_vec();
        if self == Self::Commit {
            all.push(format!("z{who}"));
        }
        all
    }

    /// The whole request, to the cookie that its answer sets.
    pub(super) async fn perform(
        self,
        who: usize,
        server: &Server,
        cookie: &str,
    ) -> Result<Option<String>> {
        if self == Self::RevokeAll {
            return server.sessions.revoke_all("ann", None).await.map(|_| None);
        }
        let exchange = server.begin(cookie);
        let session = match self {
            Self::Hold => (*exchange.handle().exclusive().await?).clone(),
            _ => exchange.handle().session().await?,
        };
        let visit = Visit { exchange, session };
        self.handle(who, &visit)?;
        if self == Self::Commit {
            visit.session.commit().await?;
            visit.session.insert(format!("z{who}").as_str(), &who)?;
        }
        visit.finish().await
    }

    fn handle(self, who: usize, visit: &Visit) -> Result<()> {
        let session = &visit.session;
        if self.writes() {
            keys(who).iter().try_for_each(|key| session.insert(key.as_str(), &who))?;
        }
        if self.counts() {
            session.update("count", |count: Option<usize>| count.unwrap_or(0) + 1)?;
        }
        match self {
            Self::Rotate => session.rotate(),
            Self::StepUp => session.reauthenticate(2),
            Self::Login => session.login("ann"),
            Self::Logout => session.invalidate(),
            _ => Ok(()),
        }
    }
}
