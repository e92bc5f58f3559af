//! One error for the whole crate: a kind to branch on, what we were doing, the source to follow.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached, or its disk refuses (full, failing, out of descriptors).
    /// Whether the operation took effect is unknown unless the store says otherwise.
    Unavailable,
    /// The exclusive lock was not free within the time the caller was willing to wait.
    LockTimeout,
    /// The exclusive lock was lost before the commit: its holder kept it past its deadline.
    LockLost,
    /// Other writers kept winning until the commit deadline passed.
    Contended,
    /// The record was written by a newer release; it is neither read nor overwritten.
    NewerFormat,
    /// The record is damaged. It was refused and set aside for the operator.
    Corrupt,
    /// The session ended elsewhere (logout, revocation, expiry); nothing was written.
    Ended,
    /// The presented token was replaced by a rotation; only the newest may do this.
    Superseded,
    /// Nobody is signed in.
    NotSignedIn,
    /// The token of a form does not belong to the session: perhaps another site made the browser send
    /// it.
    Forged,
    /// The request came over plain HTTP, where a `Secure` cookie must not travel; nothing was written.
    PlainHttp,
    /// The owner already has as many sessions as the configuration allows.
    OwnerLimit,
    /// So many anonymous sessions began lately that the configuration allows no more for now.
    AnonymousLimit,
    /// The key changed since this request read it, and the configuration asks to refuse that.
    Overwrote,
    /// The request this handle belongs to is over; write through `Sessions::find` instead.
    Closed,
    /// The record would grow past a configured limit; nothing was written.
    TooLarge,
    /// A value could not be encoded, or what is stored is not of the type asked for.
    Value,
    /// A closure given to `update` panicked at commit; nothing was written.
    Panicked,
    /// A key that is not ours has not the form it was promised to have, or is taken.
    Key,
    /// The operating system gave no randomness.
    Random,
    /// The configuration or the environment is wrong; the message names the mend.
    Config,
}

/// An error of the session engine or of a store.
///
/// `Display` is one lower-case fragment that never contains a token, a secret or a session's data;
/// the cause is in [`source`](StdError::source).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    doing: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of `kind`; `doing` says what could not be done, and the mend where there is one.
    pub fn new(kind: ErrorKind, doing: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, doing: doing.into(), source: None }))
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind to branch on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.doing)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind).field("doing", &self.0.doing);
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// For conversions that cannot fail, where one that can is accepted.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_leaves_the_source_to_the_chain() {
        let error = Error::new(ErrorKind::Unavailable, "cannot save").with_source("disk on fire");
        assert_eq!(error.to_string(), "cannot save");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("disk on fire"));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let shown = format!("{error:?}");
        assert!(shown.contains("Unavailable") && shown.contains("disk on fire"), "{shown}");
    }
}
