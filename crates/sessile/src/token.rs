//! What identifies a session: a public ID that opens nothing, and a secret that is never stored.
//!
//! A [`Token`] is what the cookie carries: 16 bytes of [`SessionId`] and 16 bytes of [`Secret`], in
//! 43 characters of unpadded base64url. A store keeps only the [`SecretHash`], so a stolen session
//! directory, dump or log holds nothing that can be presented as a cookie.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::error::{Error, ErrorKind, Result};

/// The public handle of a session: 128 random bits, written as 32 lower-case hex digits.
///
/// It names files, log lines and rows of admin pages. It opens, ends and locks nothing.
#[doc(alias = "session_key")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Draws a new ID from the operating system.
    ///
    /// # Errors
    /// [`ErrorKind::Random`] when the system gives no randomness.
    pub fn random() -> Result<Self> {
        random_bytes().map(Self)
    }

    /// The ID with exactly these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 32];
        HEXLOWER.encode_mut(&self.0, &mut hex);
        f.write_str(std::str::from_utf8(&hex).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = Error;

    /// Accepts exactly 32 lower-case hex digits, so that no two spellings name one session.
    fn from_str(text: &str) -> Result<Self> {
        let mut bytes = [0; 16];
        let decoded = text.len() == 32 && HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok();
        if decoded { Ok(Self(bytes)) } else { Err(not_an_id()) }
    }
}

fn not_an_id() -> Error {
    Error::new(ErrorKind::Value, "not a session ID: 32 lower-case hex digits are expected")
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SessionId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// The secret half of a token: 128 random bits, wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Draws a new secret from the operating system.
    ///
    /// # Errors
    /// [`ErrorKind::Random`] when the system gives no randomness.
    pub fn random() -> Result<Self> {
        random_bytes().map(Self)
    }

    /// What a store keeps of it: SHA-256 of the namespace, a zero byte and the secret.
    pub fn hash(&self, namespace: &str) -> SecretHash {
        let digest = Sha256::new().chain_update(namespace).chain_update([0]).chain_update(self.0);
        SecretHash(digest.finalize().into())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The one-way image of a [`Secret`]. Comparison takes the same time wherever two hashes differ.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash with exactly these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// What the cookie carries: a session ID and its secret, 43 characters of base64url.
#[derive(Clone)]
pub struct Token {
    id: SessionId,
    secret: Secret,
}

impl Token {
    /// The length of every token's text, in bytes.
    pub const TEXT_LEN: usize = 43;

    /// Draws a token with a new ID and a new secret.
    ///
    /// # Errors
    /// [`ErrorKind::Random`] when the system gives no randomness.
    pub fn random() -> Result<Self> {
        Self::for_session(SessionId::random()?)
    }

    /// Draws a new secret for a session that keeps its ID.
    ///
    /// # Errors
    /// [`ErrorKind::Random`] when the system gives no randomness.
    pub fn for_session(id: SessionId) -> Result<Self> {
        Ok(Self { id, secret: Secret::random()? })
    }

    /// Reads a token from a cookie's value, or gives `None` for anything but its one exact spelling.
    ///
    /// Alphabet, length and unused bits are checked before anything else happens with the value.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::TEXT_LEN {
            return None;
        }
        let mut bytes = [0; 32];
        BASE64URL_NOPAD.decode_mut(text, &mut bytes).ok()?;
        let (id, secret) = bytes.split_at(16);
        let id = SessionId(id.try_into().expect("half of 32 bytes"));
        let secret = Secret(secret.try_into().expect("half of 32 bytes"));
        bytes.zeroize();
        Some(Self { id, secret })
    }

    /// The text to send to the browser. Whoever holds it holds the session: never log it.
    pub fn reveal(&self) -> String {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.id.0);
        bytes[16..].copy_from_slice(&self.secret.0);
        let text = BASE64URL_NOPAD.encode(&bytes);
        bytes.zeroize();
        text
    }

    /// The public half.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The secret half.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.secret.0.ct_eq(&other.secret.0).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// 128 bits from the operating system, drawn anew each time: no generator state to copy by a fork.
fn random_bytes() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(no_randomness)?;
    Ok(bytes)
}

fn no_randomness(error: getrandom::Error) -> Error {
    Error::new(ErrorKind::Random, "the operating system gave no randomness").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text() {
        let token = Token::random().unwrap();
        let again = Token::parse(token.reveal().as_bytes()).unwrap();
        assert_eq!(token.reveal().len(), Token::TEXT_LEN);
        assert_eq!(again.id(), token.id());
        assert_eq!(again.secret().hash("a"), token.secret().hash("a"));
    }

    #[test]
    fn only_the_one_exact_spelling_is_a_token() {
        let text = Token::random().unwrap().reveal();
        // 43 characters carry 258 bits. The two unused ones are zero, so the character after is no token.
        let mut unused_bits_set = text.clone().into_bytes();
        *unused_bits_set.last_mut().unwrap() += 1;
        for bad in [
            b"".to_vec(),
            text.as_bytes()[1..].to_vec(),
            format!("{text}A").into_bytes(),
            format!("{text}=").into_bytes(),
            text.replacen(&text[..1], "+", 1).into_bytes(),
            text.replacen(&text[..1], "/", 1).into_bytes(),
            [&[0xff], &text.as_bytes()[1..]].concat(),
            unused_bits_set,
        ] {
            assert!(Token::parse(&bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = SessionId::from_bytes([0xab; 16]);
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
        for bad in ["", "ab", &"AB".repeat(16), &"ab".repeat(17), &"é".repeat(16)] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let token = Token::random().unwrap();
        let printed = format!("{token:?} {:?} {:?}", token.secret(), token.secret().hash("a"));
        assert_eq!(printed, "Token(..) Secret(..) SecretHash(..)");
    }

    #[test]
    fn namespaces_give_one_secret_different_hashes() {
        let secret = Secret::random().unwrap();
        assert_ne!(secret.hash("a"), secret.hash("b"));
        assert_eq!(secret.hash("a"), secret.hash("a"));
    }

    #[test]
    fn the_hash_is_sha256_of_namespace_zero_secret() {
        let secret = Secret([7; 16]);
        let expected = Sha256::digest([b"shop\0".as_slice(), &[7; 16]].concat());
        assert_eq!(secret.hash("shop").as_bytes(), expected.as_slice());
    }
}
