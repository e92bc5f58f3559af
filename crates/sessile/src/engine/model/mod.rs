//! The protocols between requests of one browser, in every schedule, with a kill anywhere.
//!
//! The store is its contract: each call is one step, and an update is a compare-and-swap. What a
//! secret is worth and what becomes of a record is decided by the real functions of
//! [`plan`](crate::plan); the order of calls is modelled, and each model names the functions of
//! `open.rs` and `commit.rs` that it mirrors.

mod everybody;
mod login;
mod rotation;

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::plan::{Fresh, KeptClient, anonymous};
use crate::record::{Data, Record};
use crate::token::{SecretHash, SessionId};

/// A record as part of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept(Rc<Record>);

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Record { id, version, secret_hash, previous, superseded, .. } = &*self.0;
        (id, version, secret_hash.as_bytes(), superseded).hash(state);
        previous.map(|it| (*it.hash.as_bytes(), it.replaced_at, it.accepted_until)).hash(state);
    }
}

impl From<Record> for Kept {
    fn from(record: Record) -> Self {
        Self(Rc::new(record))
    }
}

impl Deref for Kept {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.0
    }
}

/// How a compare-and-swap went.
enum Swapped {
    Written,
    Conflict(Kept),
    Gone,
}

/// `Store::update`, in one step.
fn swap(stored: &mut Option<Kept>, expected: &Record, next: Record) -> Swapped {
    match stored {
        None => Swapped::Gone,
        Some(current) if current.version != expected.version => Swapped::Conflict(current.clone()),
        Some(current) => {
            *current = next.into();
            Swapped::Written
        }
    }
}

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000 + secs)
}

/// The hash of the token of this number.
fn hash(token: u8) -> SecretHash {
    SecretHash::from_bytes([token; 32])
}

/// A session that nobody is logged in to, opened by token 0.
fn nobodys(id: u8) -> Record {
    let fresh = Fresh { id: SessionId::from_bytes([id; 16]), hash: hash(0) };
    anonymous(fresh, Data::new(), KeptClient::default(), &Config::default(), at(0))
}
