//! What the demo keeps in a session.

use sessile::Key;

use crate::basket::Basket;
use crate::pages::home::Notice;
use crate::pages::inside::Answer;

/// Whether a key is one of those below, or the engine's: a script may not set it to what it likes.
pub(crate) fn is_own(key: &str) -> bool {
    ["visits", "basket", "user", "notice", "thief"].contains(&key) || key.starts_with("sessile.")
}

/// How often this browser was here.
pub(crate) const VISITS: Key<u64> = Key::new("visits");

/// What it wants.
pub(crate) const BASKET: Key<Basket> = Key::new("basket");

/// Who is signed in, for scripts to see.
pub(crate) const USER: Key<str> = Key::new("user");

/// What one of the machines did, until the front page says it.
pub(crate) const NOTICE: Key<Notice> = Key::new("notice");

/// What the server answered a thief, until `/inside` says it.
pub(crate) const THIEF: Key<Vec<Answer>> = Key::new("thief");
