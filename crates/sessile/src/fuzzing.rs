//! The door for the programs in `fuzz/`: parsers that no user of the library calls by themselves.
//!
//! It is there under `--cfg fuzzing` alone, and no part of the public interface.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::codec::{Head, Place};
use crate::config::Config;
use crate::cookie::{self, CookieChange};
use crate::record::Version;
use crate::token::{SessionId, Token, TokenKey};

#[cfg(feature = "file")]
pub use crate::store::file::fuzzing::{Page, bucket_of, log_entry};

/// Reads a file store's URL, without its scheme, and opens nothing.
///
/// # Errors
/// As opening it.
#[cfg(feature = "file")]
pub fn check_file_url(rest: &str) -> crate::Result<()> {
    crate::store::check_file_url(rest)
}

/// A record around any body, with checksums that hold: what lies behind them is reached.
pub fn sealed_record(id: SessionId, version: u64, body: &[u8]) -> Bytes {
    let head = Head::new(id, Version::new(version), body, Place::Inline);
    [&head.encode()[..], body].concat().into()
}

/// Signs a token.
pub fn reveal_signed(token: &Token, key: &TokenKey) -> String {
    token.reveal_signed(key)
}

/// Reads a signed token.
pub fn parse_signed(text: &[u8], keys: &[TokenKey]) -> Option<Token> {
    Token::parse_signed(text, keys)
}

/// The tokens that a request presents.
pub fn read_tokens(headers: &HeaderMap, config: &Config) -> Vec<Token> {
    cookie::read(headers, config, &config.cookie.names(), None).tokens
}

/// Writes a new token into the headers of a response, or its removal.
pub fn write_token(
    config: &Config,
    request: &HeaderMap,
    token: Option<(&Token, Option<Duration>)>,
    response: &mut HeaderMap,
) {
    let presented = cookie::read(request, config, &config.cookie.names(), None);
    let change = match token {
        Some((token, lasts)) => CookieChange::Set { token: token.clone(), lasts },
        None => CookieChange::Remove,
    };
    cookie::write(config, &presented, Some(&change), response);
}
