//! What happened to a session, for whoever wants to count, log or alarm.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::ErrorKind;
use crate::record::Owner;
use crate::token::SessionId;

/// Something that happened. Only the public session ID is ever in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session began.
    Created(SessionId),
    /// An owner logged in; the session has a new ID.
    LoggedIn {
        /// The new session.
        id: SessionId,
        /// The session it replaced, if there was one.
        replaced: Option<SessionId>,
        /// Who logged in.
        owner: Owner,
    },
    /// The owner proved again who they are.
    Reauthenticated(SessionId),
    /// The session's secret was replaced.
    Rotated(SessionId),
    /// The session's key was replaced, and with it its ID, which follows from a key that is not ours.
    Rekeyed {
        /// The session from now on.
        id: SessionId,
        /// What it was before.
        replaced: SessionId,
    },
    /// A handler ended its own session.
    LoggedOut(SessionId),
    /// The session was ended from outside.
    Revoked(SessionId),
    /// All sessions of an owner were ended.
    OwnerRevoked {
        /// Whose.
        owner: Owner,
        /// How many there were.
        sessions: u64,
    },
    /// The sessions of everybody were ended.
    EverybodyRevoked {
        /// How many there were.
        sessions: u64,
    },
    /// Somebody listed where an owner is signed in: the owner themself, or an administrator.
    Listed {
        /// Whose sessions.
        owner: Owner,
        /// How many they were given, on this page.
        sessions: usize,
    },
    /// The sweeper removed the record of an expired session.
    Swept(SessionId),
    /// A well-formed token named no live session.
    Unknown(SessionId),
    /// A token that a login replaced was presented.
    Superseded(SessionId),
    /// A secret that was replaced longer ago than the grace was presented: a stale copy, or a theft.
    Replayed(SessionId),
    /// A secret that never belonged to the session was presented: a guess.
    Refused(SessionId),
    /// A session was used from another address than it began at.
    OtherAddress(SessionId),
    /// A session was used by another user agent than it began with.
    OtherUserAgent(SessionId),
    /// A save had to be repeated on a newer version.
    Conflict {
        /// Which session.
        id: SessionId,
        /// How many times so far, in this commit.
        attempts: u32,
    },
    /// An insert replaced bytes that another request wrote after this one had read.
    Overwrote {
        /// Which session.
        id: SessionId,
        /// Which key.
        key: String,
    },
    /// A write found that the session had ended, and was refused.
    WriteRefused(SessionId),
    /// A damaged record was refused and set aside.
    Corrupt(SessionId),
    /// An anonymous session was refused, since so many began lately.
    AnonymousLimit,
    /// An operation of the store failed.
    StoreFailed(ErrorKind),
    /// Twenty cookies were set and none came back; the browsers refuse them, or nobody returns.
    CookiesNotReturned,
    /// The wall clock and the passage of time disagree; the sweeper waits until they agree again.
    ClockStepped,
}

impl Event {
    /// The session it happened to, where it happened to one.
    pub fn session(&self) -> Option<SessionId> {
        match *self {
            Self::Created(id)
            | Self::LoggedIn { id, .. }
            | Self::Reauthenticated(id)
            | Self::Rotated(id)
            | Self::Rekeyed { id, .. }
            | Self::LoggedOut(id)
            | Self::Revoked(id)
            | Self::Swept(id)
            | Self::Unknown(id)
            | Self::Superseded(id)
            | Self::Replayed(id)
            | Self::Refused(id)
            | Self::OtherAddress(id)
            | Self::OtherUserAgent(id)
            | Self::Conflict { id, .. }
            | Self::Overwrote { id, .. }
            | Self::WriteRefused(id)
            | Self::Corrupt(id) => Some(id),
            Self::OwnerRevoked { .. }
            | Self::EverybodyRevoked { .. }
            | Self::Listed { .. }
            | Self::AnonymousLimit
            | Self::StoreFailed(_)
            | Self::CookiesNotReturned
            | Self::ClockStepped => None,
        }
    }

    /// Its name in logs: lower case, words joined by underscores.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::LoggedIn { .. } => "logged_in",
            Self::Reauthenticated(_) => "reauthenticated",
            Self::Rotated(_) => "rotated",
            Self::Rekeyed { .. } => "rekeyed",
            Self::LoggedOut(_) => "logged_out",
            Self::Revoked(_) => "revoked",
            Self::OwnerRevoked { .. } => "owner_revoked",
            Self::EverybodyRevoked { .. } => "everybody_revoked",
            Self::Listed { .. } => "listed",
            Self::Swept(_) => "swept",
            Self::Unknown(_) => "unknown",
            Self::Superseded(_) => "superseded",
            Self::Replayed(_) => "replayed",
            Self::Refused(_) => "refused",
            Self::OtherAddress(_) => "other_address",
            Self::OtherUserAgent(_) => "other_user_agent",
            Self::Conflict { .. } => "conflict",
            Self::Overwrote { .. } => "overwrote",
            Self::WriteRefused(_) => "write_refused",
            Self::Corrupt(_) => "corrupt",
            Self::AnonymousLimit => "anonymous_limit",
            Self::StoreFailed(_) => "store_failed",
            Self::CookiesNotReturned => "cookies_not_returned",
            Self::ClockStepped => "clock_stepped",
        }
    }
}

/// When something happened, and who sent the request that made it happen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Circumstances {
    /// When, by the engine's clock.
    pub at: SystemTime,
    /// The client's address, as far as `Config::client_address` keeps it and the server told it.
    /// `None` where no request is behind it, as with the sweeper, and in tasks that a handler spawned.
    pub client_address: Option<String>,
}

/// Whoever wants to know. Called on the request's own thread: be quick, hand long work on.
///
/// A subscriber that panics is ignored: it stops neither a request nor an invalidation.
pub trait Subscriber: Debug + Send + Sync + 'static {
    /// Something happened.
    fn notify(&self, event: &Event);

    /// As [`notify`](Self::notify), with when and from where: for logs that have to say so. The engine
    /// calls this one; unless you write it, it hands the event on.
    fn notify_with(&self, event: &Event, circumstances: &Circumstances) {
        let _ = circumstances;
        self.notify(event);
    }
}

/// The subscribers of one engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscribers(Vec<Arc<dyn Subscriber>>);

impl Subscribers {
    pub(crate) fn add(&mut self, subscriber: Arc<dyn Subscriber>) {
        self.0.push(subscriber);
    }

    pub(crate) fn notify(&self, event: &Event, circumstances: &Circumstances) {
        tracing::debug!(
            target: "sessile",
            event = event.name(),
            session = event.session().map(tracing::field::display),
            client = circumstances.client_address,
        );
        for subscriber in &self.0 {
            let notify = || subscriber.notify_with(event, circumstances);
            let _ = catch_unwind(AssertUnwindSafe(notify));
        }
    }
}
