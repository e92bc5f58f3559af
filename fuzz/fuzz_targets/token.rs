//! Everything that is read out of a token's text: there is one spelling of each, and what signs.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sessile::{SessionId, Token, TokenKey, fuzzing};

fuzz_target!(|input: &[u8]| {
    let keys: Vec<TokenKey> =
        ["A", "Q"].map(|letter| letter.repeat(43)).map(|text| key(&text)).into();
    if let Some(token) = Token::parse(input) {
        assert_eq!(token.reveal().as_bytes(), input);
        let signed = fuzzing::reveal_signed(&token, &keys[1]);
        assert_eq!(fuzzing::parse_signed(signed.as_bytes(), &keys).as_ref(), Some(&token));
        assert_eq!(fuzzing::parse_signed(signed.as_bytes(), &keys[..1]), None);
        assert_eq!(fuzzing::parse_signed(input, &keys), None);
        assert!(!format!("{token:?}").contains(&token.reveal()[22..]));
    }
    if let Some(token) = fuzzing::parse_signed(input, &keys) {
        let spellings = keys.iter().map(|key| fuzzing::reveal_signed(&token, key));
        assert!(spellings.into_iter().any(|text| text.as_bytes() == input));
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(id) = text.parse::<SessionId>() {
            assert_eq!(id.to_string(), text);
        }
        if let Ok(key) = text.parse::<TokenKey>() {
            assert_eq!(format!("{key:?}"), "TokenKey(..)");
        }
    }
});

fn key(text: &str) -> TokenKey {
    text.parse().expect("43 characters of base64url")
}
