#![doc = include_str!("../README.md")]

mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod event;
mod expiry;
mod record;
pub mod store;
mod token;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, Subscriber};
pub use record::{
    Data, Owner, PreviousSecret, RETIRED_MAX, Record, RetiredSecret, Summary, Version,
};
pub use token::{Secret, SecretHash, SessionId, Token};
