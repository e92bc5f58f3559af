#![doc = include_str!("../README.md")]

mod changes;
mod clock;
mod codec;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod cookie;
#[cfg(all(any(doc, doctest), feature = "axum", feature = "file"))]
pub mod docs;
mod engine;
mod error;
mod event;
mod expiry;
#[cfg(test)]
mod explore;
mod form;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod keys;
#[cfg(feature = "metrics")]
pub mod metrics;
mod plan;
mod record;
mod session;
pub mod store;
mod token;
mod web;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{
    Caching, Config, CookieConfig, Keep, OnOtherClient, OnOutage, OnOwnerLimit, OnReplay, Prefix,
    SameSite, Transport,
};
pub use engine::{
    Client, Device, DevicePage, Exchange, SessionHandle, Sessions, SessionsBuilder, Swept,
};
pub use error::{Error, ErrorKind, Result};
pub use event::{Circumstances, Event, Subscriber};
pub use keys::Keys;
pub use plan::Login;
pub use record::{
    Data, Owner, PreviousSecret, RETIRED_MAX, Record, RetiredSecret, Summary, Version,
};
pub use session::{ExclusiveSession, Key, PeekSession, ReadSession, Session, SessionKey};
pub use token::{Secret, SecretHash, SessionId, Token, TokenKey};
#[cfg(feature = "axum")]
pub use web::SignedIn;
#[cfg(feature = "tower")]
pub use web::{
    CrossSiteLayer, CrossSiteService, Failure, SessionLayer, SessionService, TrustedProxies,
    Verdict,
};
