//! Tokens for forms: proof that a page of ours made the browser send a request.
//!
//! A token is the MAC of the session's ID and epoch under the hash of its secret, masked. The hash
//! never leaves the server and the secret's rotation replaces it, so there is nothing to store; the
//! mask is drawn for every page, so that compressed answers tell nothing of the token (BREACH,
//! CVE-2013-3587).

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::error::Result;
use crate::record::Record;
use crate::token::{SecretHash, decode, random_bytes};

const MAC_BYTES: usize = 32;
const TOKEN_BYTES: usize = 2 * MAC_BYTES;

/// A token for a page that is shown within this session.
///
/// # Errors
/// [`ErrorKind::Random`](crate::ErrorKind::Random) when the system gives no randomness.
pub(crate) fn token(record: &Record) -> Result<String> {
    random_bytes().map(|mask| masked(mac(record, &record.secret_hash), mask))
}

fn masked(mac: [u8; MAC_BYTES], mask: [u8; MAC_BYTES]) -> String {
    BASE64URL_NOPAD.encode(&[mask, xor(mac, mask)].concat())
}

/// Whether a page of this session was given this token.
///
/// One that was made under the secret before fits too, until the next rotation: a form may be open
/// meanwhile. After a change of authority none does.
pub(crate) fn fits(record: &Record, token: &str) -> bool {
    let Some(bytes) = decode::<TOKEN_BYTES>(token.as_bytes()) else { return false };
    let (mask, masked) = bytes.split_at(MAC_BYTES);
    let half = |bytes: &[u8]| bytes.try_into().expect("half of the token");
    let presented = xor(half(mask), half(masked));
    let hashes = [Some(record.secret_hash), record.previous.map(|previous| previous.hash)];
    let fits = |hash| bool::from(mac(record, &hash).ct_eq(&presented));
    hashes.into_iter().flatten().any(fits)
}

fn mac(record: &Record, hash: &SecretHash) -> [u8; MAC_BYTES] {
    let mac = Hmac::<Sha256>::new_from_slice(hash.as_bytes()).expect("HMAC takes any key");
    let mac = mac.chain_update(b"sessile form token").chain_update(record.id.as_bytes());
    let mac = mac.chain_update(record.auth_epoch.to_le_bytes());
    mac.finalize().into_bytes().into()
}

fn xor(a: [u8; MAC_BYTES], b: [u8; MAC_BYTES]) -> [u8; MAC_BYTES] {
    std::array::from_fn(|at| a[at] ^ b[at])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::token::SessionId;

    fn record(id: u8, hash: u8) -> Record {
        let (id, hash) = (SessionId::from_bytes([id; 16]), SecretHash::from_bytes([hash; 32]));
        Record::new(id, hash, UNIX_EPOCH, None, Duration::from_secs(60))
    }

    // R81
    #[test]
    fn a_form_token_fits_its_session_alone() {
        let own = token(&record(1, 1)).unwrap();
        assert!(fits(&record(1, 1), &own));
        for other in [record(2, 1), record(1, 2)] {
            assert!(!fits(&other, &own));
        }
    }

    // R81
    #[test]
    fn no_two_pages_show_the_same_form_token() {
        let record = record(1, 1);
        let tokens: Vec<_> = (0..100).map(|_| token(&record).unwrap()).collect();
        assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 100);
        // Nor the same second half, which alone depends on the session.
        assert_eq!(tokens.iter().map(|token| &token[44..]).collect::<BTreeSet<_>>().len(), 100);
        assert!(tokens.iter().all(|token| fits(&record, token)));
    }

    // R81
    #[test]
    fn a_form_token_with_any_one_bit_changed_fits_nothing() {
        let record = record(1, 1);
        let bytes = BASE64URL_NOPAD.decode(token(&record).unwrap().as_bytes()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!fits(&record, &BASE64URL_NOPAD.encode(&changed)), "bit {bit}");
        }
        for text in ["", "AAAA", &"A".repeat(86), &BASE64URL_NOPAD.encode(&bytes[..63])] {
            assert!(!fits(&record, text), "{text}");
        }
    }
}
