//! Keys that are not ours: those of another system's sessions, and those an application draws itself.
//!
//! Such a key is wholly the secret. The ID of its session follows from it, so the key has to be as
//! hard to guess as a token: who sees an ID in a list or a log can try keys against it at leisure.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::token::{SessionId, Token};

type Draw = dyn Fn() -> Result<String> + Send + Sync;

/// The form of keys that are accepted besides tokens, and perhaps where new ones come from.
///
/// Without [`drawn_by`](Self::drawn_by) they are those of another system, whose sessions
/// [`Sessions::take_over`](crate::Sessions::take_over) puts in place; every new session, login and
/// rotation gives a token of ours. A key that was not taken over opens nothing and is never adopted.
///
/// ```
/// use sessile::{Keys, Sessions, store::MemoryStore};
/// let keys = Keys::new("django", "abcdefghijklmnopqrstuvwxyz0123456789", 32..=32)?;
/// let sessions = Sessions::builder(MemoryStore::new()).keys(keys).build()?;
/// # Ok::<_, sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct Keys {
    kind: String,
    /// Bit `n` is set for the character of number `n`.
    alphabet: u128,
    lengths: RangeInclusive<usize>,
    draw: Option<Arc<Draw>>,
}

impl Keys {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Keys of this kind: so many characters, each of `alphabet`.
    ///
    /// The kind is 1 to 64 of `a-z 0-9 _ -`. It is part of every ID, so it never changes again.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the kind is none, when a cookie's value cannot hold the alphabet
    /// (RFC 6265, 4.1.1), when a key could be longer than [`BYTES_MAX`](Self::BYTES_MAX), or when the
    /// shortest has no room for 128 random bits (OWASP ASVS 5.0, 7.2.3).
    pub fn new(kind: &str, alphabet: &str, lengths: RangeInclusive<usize>) -> Result<Self> {
        refuse(!is_kind(kind), "the kind of keys is not 1 to 64 of a-z 0-9 _ -")?;
        refuse(!alphabet.bytes().all(fits_a_cookie), "the alphabet of keys fits no cookie")?;
        refuse(lengths.is_empty() || *lengths.end() > Self::BYTES_MAX, TOO_LONG)?;
        let alphabet = alphabet.bytes().fold(0, |all, byte| all | bit(byte));
        refuse(bits_of(alphabet, *lengths.start()) < BITS_MIN, TOO_EASY)?;
        Ok(Self { kind: kind.into(), alphabet, lengths, draw: None })
    }

    /// Draws the keys of new sessions by `draw`, from as good a source of randomness as ours.
    ///
    /// Because the ID follows from the key, a rotation then gives a new ID: the session moves, as by
    /// a login, and requests that are under way with the key before find nothing. `rotate_every` and
    /// `token_keys` are refused. Sessions that began with a token go on.
    #[must_use]
    pub fn drawn_by<F>(mut self, draw: F) -> Self
    where
        F: Fn() -> Result<String> + Send + Sync + 'static,
    {
        self.draw = Some(Arc::new(draw));
        self
    }

    /// The public ID of the session that `key` opens, if there is one; `None` for what is no key.
    pub fn id_of(&self, key: &str) -> Option<SessionId> {
        self.accepts(key.as_bytes()).then(|| SessionId::of_key(&self.kind, key))
    }

    /// Reads a key. Length and alphabet are checked before anything else happens with it.
    pub(crate) fn parse(&self, text: &[u8]) -> Option<Token> {
        let key = std::str::from_utf8(text).ok().filter(|_| self.accepts(text))?;
        Some(self.token(Zeroizing::new(key.to_owned())))
    }

    /// Whether new sessions get keys rather than tokens.
    pub(crate) fn are_drawn(&self) -> bool {
        self.draw.is_some()
    }

    /// A new key, where the application draws them.
    ///
    /// # Errors
    /// What its generator gives; [`ErrorKind::Key`] when that is not of the promised form.
    pub(crate) fn draw(&self) -> Option<Result<Token>> {
        self.draw.as_ref().map(|draw| {
            let key = Zeroizing::new(draw()?);
            if self.accepts(key.as_bytes()) { Ok(self.token(key)) } else { Err(malformed()) }
        })
    }

    fn accepts(&self, text: &[u8]) -> bool {
        self.lengths.contains(&text.len())
            && text.iter().all(|byte| self.alphabet & bit(*byte) != 0)
    }

    fn token(&self, key: Zeroizing<String>) -> Token {
        Token::of_key(SessionId::of_key(&self.kind, &key), key)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Keys");
        debug.field("kind", &self.kind).field("lengths", &self.lengths);
        debug.field("drawn", &self.are_drawn()).finish_non_exhaustive()
    }
}

/// What is said of a key that is none. The key itself is never said.
pub(crate) fn malformed() -> Error {
    Error::new(ErrorKind::Key, "a key has not the length or the alphabet that `Keys` was made with")
}

const BITS_MIN: f64 = 128.0;
const TOO_EASY: &str =
    "the shortest key has no room for 128 random bits: longer keys, more letters";
const TOO_LONG: &str = "keys have no length, or one over 256 bytes";

fn refuse(wrong: bool, why: &'static str) -> Result<()> {
    if wrong { Err(Error::new(ErrorKind::Config, why)) } else { Ok(()) }
}

fn is_kind(kind: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    (1..=64).contains(&kind.len()) && kind.bytes().all(plain)
}

/// What the value of a cookie may hold.
fn fits_a_cookie(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

fn bit(byte: u8) -> u128 {
    if byte.is_ascii() { 1 << byte } else { 0 }
}

/// The most randomness that so many characters of the alphabet can hold.
fn bits_of(alphabet: u128, length: usize) -> f64 {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    f64::from(alphabet.count_ones().max(1)).log2() * f64::from(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef";
    const ALPHANUMERIC: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

    fn keys() -> Keys {
        Keys::new("django", ALPHANUMERIC, 32..=32).unwrap()
    }

    #[test]
    fn the_id_of_a_key_follows_from_kind_and_key_as_documented() {
        let (key, id) = ("0123456789abcdefghijklmnopqrstuv", "b44bf92a464dae62f4b41dd406721908");
        assert_eq!(keys().id_of(key).unwrap().to_string(), id);
        assert!(include_str!("../docs/file_format.md").contains(id), "the documented vector");
        let other = Keys::new("shop", ALPHANUMERIC, 32..=32).unwrap();
        assert_ne!(other.id_of(key), keys().id_of(key));
        let token = keys().parse(key.as_bytes()).unwrap();
        assert_eq!((token.reveal().as_str(), token.id().to_string().as_str()), (key, id));
    }

    #[test]
    fn only_the_exact_form_is_a_key() {
        let key = "a".repeat(32);
        assert!(keys().parse(key.as_bytes()).is_some());
        for bad in ["", &key[1..], &format!("{key}a"), &key.to_uppercase(), "../../../etc/passwd"] {
            assert!(keys().parse(bad.as_bytes()).is_none(), "{bad}");
        }
        for byte in [b'\0', b';', b'-', 0x80, 0xff] {
            assert!(keys().parse(&[&[byte], &key.as_bytes()[1..]].concat()).is_none(), "{byte}");
        }
    }

    #[test]
    fn a_form_that_is_easy_to_guess_or_fits_no_cookie_is_refused() {
        assert!(Keys::new("web-py", HEX, 32..=128).is_ok());
        for (kind, alphabet, lengths) in [
            ("", HEX, 40..=40),
            ("Django", HEX, 40..=40),
            ("a\0b", HEX, 40..=40),
            ("albatross", HEX, 16..=16),
            ("short", HEX, 31..=40),
            ("one", "1111", 200..=200),
            ("none", "", 200..=200),
            ("long", HEX, 40..=257),
            ("quoted", "0123456789abcdef\"", 40..=40),
            ("listed", "0123456789abcdef;", 40..=40),
            ("spaced", "0123456789abcdef ", 40..=40),
            ("accented", "0123456789abcdefé", 40..=40),
        ] {
            let refused = Keys::new(kind, alphabet, lengths).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Config, "{kind}");
        }
        #[expect(clippy::reversed_empty_ranges, reason = "it is to be refused")]
        let backwards = Keys::new("backwards", HEX, 40..=39);
        assert_eq!(backwards.unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn what_is_drawn_is_held_to_the_form_and_never_printed() {
        let drawn = |key: &'static str| keys().drawn_by(move || Ok(key.into())).draw().unwrap();
        assert_eq!(drawn("abcdefghijklmnopqrstuvwxyz012345").unwrap().reveal().len(), 32);
        let error = drawn("hunter2").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(keys().draw().is_none());
        let token = keys().parse(&[b'a'; 32]).unwrap();
        let printed = format!("{token:?} {:?} {:?}", token.secret(), keys());
        assert_eq!(
            printed,
            "Token(..) Secret(..) Keys { kind: \"django\", lengths: 32..=32, drawn: false, .. }"
        );
    }
}
