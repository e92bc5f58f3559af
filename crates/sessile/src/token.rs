//! What identifies a session: a public ID that opens nothing, and a secret that is never stored.
//!
//! A [`Token`] is what the cookie carries: 16 bytes of [`SessionId`] and 16 bytes of [`Secret`], in
//! 43 characters of unpadded base64url. A store keeps only the [`SecretHash`], so a stolen session
//! directory, dump or log holds nothing that can be presented as a cookie.
//!
//! A key that is not ours ([`Keys`](crate::Keys)) is wholly the secret, and its ID follows from it.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

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

    /// The ID of the session that a key of another system opens: the first 128 bits of SHA-256 over
    /// `sessile-foreign`, the kind and the key, with a zero byte before each of the last two.
    pub(crate) fn of_key(kind: &str, key: &str) -> Self {
        let digest = Sha256::new().chain_update("sessile-foreign\0").chain_update(kind);
        let digest = digest.chain_update([0]).chain_update(key).finalize();
        Self(digest[..16].try_into().expect("16 of 32 bytes"))
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
///
/// A key that is not ours is a secret as a whole.
#[derive(Clone)]
pub struct Secret(Form);

#[derive(Clone)]
enum Form {
    Drawn(Zeroizing<[u8; 16]>),
    Key(Zeroizing<String>),
}

impl Secret {
    /// Draws a new secret from the operating system.
    ///
    /// # Errors
    /// [`ErrorKind::Random`] when the system gives no randomness.
    pub fn random() -> Result<Self> {
        random_bytes().map(Self::drawn)
    }

    fn drawn(bytes: [u8; 16]) -> Self {
        Self(Form::Drawn(Zeroizing::new(bytes)))
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Drawn(bytes) => &**bytes,
            Form::Key(key) => key.as_bytes(),
        }
    }

    /// What a store keeps of it: SHA-256 of the namespace, a zero byte and the secret.
    pub fn hash(&self, namespace: &str) -> SecretHash {
        let digest = Sha256::new().chain_update(namespace).chain_update([0]);
        SecretHash(digest.chain_update(self.as_bytes()).finalize().into())
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

/// What the cookie carries: a session ID and its secret, 43 characters of base64url; or a key that is
/// not ours, as it is.
#[derive(Clone)]
pub struct Token {
    id: SessionId,
    secret: Secret,
}

impl Token {
    /// The length of the text of every token of ours, in bytes.
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

    /// A token whose text is this key of another system, which opens the session of `id`.
    pub(crate) fn of_key(id: SessionId, key: Zeroizing<String>) -> Self {
        Self { id, secret: Secret(Form::Key(key)) }
    }

    /// Reads a token from a cookie's value, or gives `None` for anything but its one exact spelling.
    ///
    /// Alphabet, length and unused bits are checked before anything else happens with the value.
    pub fn parse(text: &[u8]) -> Option<Self> {
        decode::<32>(text).map(|bytes| Self::from_bytes(&bytes))
    }

    /// As [`parse`](Self::parse), of a token that one of these keys must have signed.
    pub(crate) fn parse_signed(text: &[u8], keys: &[TokenKey]) -> Option<Self> {
        let bytes = decode::<40>(text)?;
        let (token, tag) = bytes.split_at(32);
        let token = token.try_into().expect("32 of 40 bytes");
        let fits = |key: &TokenKey| bool::from(key.tag(token).ct_eq(tag));
        keys.iter().any(fits).then(|| Self::from_bytes(token))
    }

    /// The text to send to the browser. Whoever holds it holds the session: never log it.
    pub fn reveal(&self) -> String {
        match &self.secret.0 {
            Form::Drawn(secret) => BASE64URL_NOPAD.encode(&*self.to_bytes(secret)),
            Form::Key(key) => key.to_string(),
        }
    }

    /// As [`reveal`](Self::reveal), signed by this key. What is not ours is not signed.
    pub(crate) fn reveal_signed(&self, key: &TokenKey) -> String {
        let Form::Drawn(secret) = &self.secret.0 else { return self.reveal() };
        let token = self.to_bytes(secret);
        let mut bytes = Zeroizing::new([0; 40]);
        bytes[..32].copy_from_slice(&*token);
        bytes[32..].copy_from_slice(&key.tag(&token));
        BASE64URL_NOPAD.encode(&*bytes)
    }

    fn to_bytes(&self, secret: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        bytes[..16].copy_from_slice(&self.id.0);
        bytes[16..].copy_from_slice(secret);
        bytes
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let (id, secret) = bytes.split_at(16);
        let id = SessionId(id.try_into().expect("half of 32 bytes"));
        Self { id, secret: Secret::drawn(secret.try_into().expect("half of 32 bytes")) }
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
        self.id == other.id && self.secret.as_bytes().ct_eq(other.secret.as_bytes()).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Bytes from their one exact spelling.
pub(crate) fn decode<const N: usize>(text: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    let fits = BASE64URL_NOPAD.encode_len(N) == text.len();
    let decoded = fits && BASE64URL_NOPAD.decode_mut(text, &mut *bytes).is_ok();
    decoded.then_some(bytes)
}

/// A key that signs tokens, so that a forged one is refused without a look-up.
///
/// It is a filter and never the authentication: a signed token still opens only what its secret
/// opens. 32 bytes, written as 43 characters of unpadded base64url.
///
/// ```
/// let mut config = sessile::Config::default();
/// config.token_keys = vec!["3q2-796tvu_erb7v3q2-796tvu_erb7v3q2-796tvu8".parse()?];
/// # Ok::<_, sessile::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenKey(Zeroizing<[u8; 32]>);

impl TokenKey {
    /// The first 64 bits of HMAC-SHA256 (RFC 2104) of a token: enough to make guessing pointless.
    fn tag(&self, token: &[u8; 32]) -> [u8; 8] {
        let mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        let tag = mac.chain_update(token).finalize().into_bytes();
        tag[..8].try_into().expect("8 of 32 bytes")
    }
}

impl FromStr for TokenKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let no_key = || Error::new(ErrorKind::Config, "a token key is 43 characters of base64url");
        decode(text.as_bytes()).map(Self).ok_or_else(no_key)
    }
}

impl TryFrom<String> for TokenKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// Bytes from the operating system, drawn anew each time: no generator state to copy by a fork.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
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
    fn tokens_are_equal_in_both_halves_alone() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(one, one.clone());
        assert_ne!(one, Token::for_session(one.id()).unwrap(), "another secret");
        assert_ne!(one, Token { id: other.id, secret: one.secret.clone() }, "another ID");
    }

    // R8, R9
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

    /// The bytes of a secret lie in types that promise to wipe them, and in no other. The compiler
    /// checks it: what is asked for here is `zeroize`'s own word.
    #[test]
    fn r75_secrets_are_wiped_when_they_are_dropped() {
        fn is_wiped(_: &impl zeroize::ZeroizeOnDrop) {}
        let Token { id: SessionId(_), secret: Secret(form) } = Token::random().unwrap();
        match &form {
            Form::Drawn(bytes) => is_wiped(bytes),
            Form::Key(key) => is_wiped(key),
        }
        let TokenKey(bytes) = key(1);
        is_wiped(&bytes);
        is_wiped(&Token::random().unwrap().to_bytes(&[0; 16]));
    }

    fn key(byte: u8) -> TokenKey {
        BASE64URL_NOPAD.encode(&[byte; 32]).parse().unwrap()
    }

    #[test]
    fn a_signed_token_is_read_with_any_of_the_keys() {
        let token = Token::random().unwrap();
        let text = token.reveal_signed(&key(2));
        assert_eq!(text.len(), 54);
        assert_eq!(Token::parse_signed(text.as_bytes(), &[key(1), key(2)]), Some(token.clone()));
        assert_eq!(Token::parse_signed(text.as_bytes(), &[key(1)]), None);
        assert_eq!(Token::parse_signed(token.reveal().as_bytes(), &[key(2)]), None);
        assert_eq!(Token::parse(text.as_bytes()), None);
    }

    #[test]
    fn a_signature_fits_its_token_alone() {
        let (one, two) = (Token::random().unwrap(), Token::random().unwrap());
        let (one, two) = (one.reveal_signed(&key(1)), two.reveal_signed(&key(1)));
        // 30 bytes are 40 characters: the first keep to the token, the last hold the signature.
        let mixed = format!("{}{}", &one[..40], &two[40..]);
        assert_eq!(Token::parse_signed(mixed.as_bytes(), &[key(1)]), None);
    }

    #[test]
    fn a_signature_is_the_front_of_hmac_sha256() {
        // RFC 2104 by hand: two hashes over the key, padded to a block of 64 bytes.
        let token = [9; 32];
        let pad = |byte: u8| [[1 ^ byte; 32].as_slice(), &[byte; 32]].concat();
        let inner = Sha256::digest([pad(0x36).as_slice(), &token].concat());
        let outer = Sha256::digest([pad(0x5c).as_slice(), inner.as_slice()].concat());
        assert_eq!(key(1).tag(&token), outer[..8]);
    }

    // R75
    #[test]
    fn a_token_key_is_never_printed_and_has_one_spelling() {
        assert_eq!(format!("{:?}", key(1)), "TokenKey(..)");
        assert_eq!("short".parse::<TokenKey>().unwrap_err().kind(), ErrorKind::Config);
    }

    // R9
    #[test]
    fn an_id_has_one_spelling() {
        let id = SessionId::from_bytes([0xab; 16]);
        let text = "ab".repeat(16);
        assert_eq!(format!("{id:?}"), format!("SessionId({text})"));
        assert_eq!(String::from(id), text);
        assert_eq!(text.parse::<SessionId>().unwrap(), id);
        for bad in ["", "ab", &"AB".repeat(16), &"ab".repeat(17), &"é".repeat(16)] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }

    // R75, R76
    #[test]
    fn nothing_secret_is_printed() {
        let token = Token::random().unwrap();
        let printed = format!("{token:?} {:?} {:?}", token.secret(), token.secret().hash("a"));
        assert_eq!(printed, "Token(..) Secret(..) SecretHash(..)");
    }

    // R3
    #[test]
    fn namespaces_give_one_secret_different_hashes() {
        let secret = Secret::random().unwrap();
        assert_ne!(secret.hash("a"), secret.hash("b"));
        assert_eq!(secret.hash("a"), secret.hash("a"));
    }

    #[test]
    fn the_hash_is_sha256_of_namespace_zero_secret() {
        let secret = Secret::drawn([7; 16]);
        let expected = Sha256::digest([b"shop\0".as_slice(), &[7; 16]].concat());
        assert_eq!(secret.hash("shop").as_bytes(), expected.as_slice());
    }
}
