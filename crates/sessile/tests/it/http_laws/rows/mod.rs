//! The table. A row is named as the sentence it proves.

mod cookies;
mod endings;
mod failures;
mod logins;
mod races;
mod reading;
mod rotations;
mod writing;

pub(super) use cookies::*;
pub(super) use endings::*;
pub(super) use failures::*;
pub(super) use logins::*;
pub(super) use races::*;
pub(super) use reading::*;
pub(super) use rotations::*;
pub(super) use writing::*;

/// What a response whose session was asked for says to caches.
const VARIES: &str = "vary: Cookie";
/// What it says to them beside: that it is private.
const NO_STORE: &str = "cache-control: no-store";
/// A new token, with the attributes of the default configuration.
const SETS: &str = "set-cookie: __Host-session=<new>; Path=/; HttpOnly; Secure; SameSite=Lax";
/// The cookie's removal, with the same attributes.
const REMOVES: &str =
    "set-cookie: __Host-session=; Path=/; HttpOnly; Max-Age=0; Secure; SameSite=Lax";
/// All that a response says which sets a new token.
const NEW: &[&str] = &[VARIES, SETS, NO_STORE];
/// All that a response says which removes the cookie.
const GONE: &[&str] = &[VARIES, REMOVES, NO_STORE];
/// All that a response says which asked for the session and leaves the cookie alone.
const KEPT: &[&str] = &[VARIES, NO_STORE];
/// All that a response says whose session could not be had, or committed.
const LATER: &[&str] = &[VARIES, NO_STORE, "retry-after: 1"];
