//! Reading the Cookie header and writing Set-Cookie. Pure.

use std::fmt::Write;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::config::CookieConfig;
use crate::token::Token;

/// The most tokens of one request that are looked up: the browser's own, and one planted beside it.
const CANDIDATES_MAX: usize = 2;

/// The longest life a browser grants a cookie (RFC 6265bis, 5.5).
const LIFE_MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// What the Cookie headers of a request hold of ours.
#[derive(Debug, Default)]
pub(crate) struct Presented {
    /// The distinct well-formed tokens, in order; at most two.
    pub(crate) tokens: Vec<Token>,
    /// Whether a cookie of our name was there at all, well-formed or not.
    pub(crate) any: bool,
}

/// Reads every Cookie header. Anything but an exact token is as good as nothing.
pub(crate) fn read(headers: &HeaderMap, name: &str) -> Presented {
    let mut presented = Presented::default();
    for header in headers.get_all(COOKIE) {
        for pair in header.as_bytes().split(|byte| *byte == b';') {
            if let Some(value) = value_of(pair.trim_ascii(), name) {
                presented.add(value);
            }
        }
    }
    presented
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

impl Presented {
    fn add(&mut self, value: &[u8]) {
        self.any = true;
        if self.tokens.len() < CANDIDATES_MAX
            && let Some(token) = Token::parse(value).filter(|token| !self.tokens.contains(token))
        {
            self.tokens.push(token);
        }
    }
}

/// What a response does to the browser's cookie.
#[derive(Clone, Debug)]
pub(crate) enum CookieChange {
    /// The browser gets this token; for as long as it runs, or for `lasts`.
    Set { token: Token, lasts: Option<Duration> },
    /// The browser forgets its token.
    Remove,
}

/// The value of the Set-Cookie header for `change`.
pub(crate) fn write(config: &CookieConfig, change: &CookieChange) -> HeaderValue {
    let (value, lasts) = match change {
        CookieChange::Set { token, lasts } => (token.reveal(), *lasts),
        CookieChange::Remove => (String::new(), Some(Duration::ZERO)),
    };
    let mut text = format!("{}={value}; Path={}; HttpOnly", config.full_name(), config.path);
    if let Some(domain) = &config.domain {
        let _ = write!(text, "; Domain={domain}");
    }
    if let Some(lasts) = lasts {
        let _ = write!(text, "; Max-Age={}", lasts.min(LIFE_MAX).as_secs());
    }
    if config.secure {
        text.push_str("; Secure");
    }
    let _ = write!(text, "; SameSite={}", config.same_site.as_str());
    let mut header = HeaderValue::try_from(text).expect("validated names, base64url and digits");
    header.set_sensitive(true);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_bytes(value).unwrap());
        values.map(|value| (COOKIE, value)).collect()
    }

    fn tokens(values: &[&[u8]]) -> Vec<String> {
        read(&headers(values), "session").tokens.iter().map(Token::reveal).collect()
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let text = Token::random().unwrap().reveal();
        let pair = format!("session={text}");
        for value in
            [pair.clone(), format!("a=b; {pair}"), format!("{pair};c=d"), format!(" {pair} ")]
        {
            assert_eq!(tokens(&[value.as_bytes()]), std::slice::from_ref(&text), "{value}");
        }
        assert_eq!(tokens(&[b"a=b", pair.as_bytes()]), [text]);
    }

    #[test]
    fn nothing_else_is_taken_for_a_token() {
        let text = Token::random().unwrap().reveal();
        for value in [
            format!("session2={text}"),
            format!("xsession={text}"),
            format!("Session={text}"),
            format!("session=\"{text}\""),
            format!("session={text}A"),
            format!("session = {text}"),
            "session=".into(),
            "session".into(),
        ] {
            assert_eq!(tokens(&[value.as_bytes()]), Vec::<String>::new(), "{value}");
        }
        assert_eq!(tokens(&[b"session=\xff\xfe"]), Vec::<String>::new());
    }

    #[test]
    fn a_malformed_cookie_is_still_seen() {
        assert!(read(&headers(&[b"session=junk"]), "session").any);
        assert!(!read(&headers(&[b"other=junk"]), "session").any);
    }

    #[test]
    fn at_most_two_distinct_candidates_are_looked_at() {
        let texts: Vec<_> = (0..3).map(|_| Token::random().unwrap().reveal()).collect();
        let value = format!(
            "session={0}; session={0}; session={1}; session={2}",
            texts[0], texts[1], texts[2]
        );
        assert_eq!(tokens(&[value.as_bytes()]), texts[..2]);
    }

    #[test]
    fn a_new_cookie_has_every_safe_attribute() {
        let token = Token::random().unwrap();
        let config = CookieConfig::default();
        let header = write(&config, &CookieChange::Set { token: token.clone(), lasts: None });
        let expected =
            format!("__Host-session={}; Path=/; HttpOnly; Secure; SameSite=Lax", token.reveal());
        assert_eq!(header.to_str().unwrap(), expected);
        assert!(header.is_sensitive());
    }

    #[test]
    fn a_lasting_cookie_is_capped_at_400_days() {
        let token = Token::random().unwrap();
        let lasts = Some(Duration::from_secs(500 * 86_400));
        let header = write(&CookieConfig::default(), &CookieChange::Set { token, lasts });
        assert!(header.to_str().unwrap().contains("; Max-Age=34560000;"));
    }

    #[test]
    fn removal_repeats_the_attributes() {
        let mut config = CookieConfig::plain_http("s");
        config.domain = Some("example.org".into());
        config.path = "/app".into();
        let header = write(&config, &CookieChange::Remove);
        let expected = "s=; Path=/app; HttpOnly; Domain=example.org; Max-Age=0; SameSite=Lax";
        assert_eq!(header.to_str().unwrap(), expected);
    }
}
