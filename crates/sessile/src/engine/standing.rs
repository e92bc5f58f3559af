//! What a request's token turned out to be, and how the session is held.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::plan::Authority;
use crate::record::{Data, Record};
use crate::token::SecretHash;

/// How a session is held. It only goes up within one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// As `Read`, and the look does not count as use.
    Peek,
    Read,
    Write,
    Exclusive,
}

/// What the request's token turned out to be.
#[derive(Clone, Debug, Default)]
pub(crate) enum Standing {
    /// No token.
    #[default]
    Nobody,
    /// A token, or what was to pass for one, that opens nothing.
    Ended,
    /// A login or a step-up replaced it moments ago.
    Superseded,
    /// The store could not be read, and the configuration lets the request go on as nobody's.
    Unreadable,
    Live(Live),
}

impl Standing {
    /// What is stored of the session.
    pub(super) fn data(&self) -> &Data {
        static EMPTY: Data = Data::new();
        match self {
            Self::Live(live) => &live.record.data,
            _ => &EMPTY,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) record: Arc<Record>,
    pub(crate) authority: Authority,
    /// What was presented; none for the application itself.
    pub(crate) hash: Option<SecretHash>,
}

/// Why nothing is written for a request that goes on although its session could not be read.
pub(super) fn unreadable() -> Error {
    Error::new(ErrorKind::Unavailable, "the session could not be read, so nothing is written to it")
}
