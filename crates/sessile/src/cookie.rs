//! The token on its way: read from a request's headers, written into a response's. Pure.

use std::fmt::Write;
use std::time::Duration;

use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HeaderName, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderValue};

use crate::config::{Caching, Config, CookieConfig, Transport};
use crate::keys::Keys;
use crate::token::Token;

/// The most values of one request that are looked up: the browser's own, and one planted beside it.
const CANDIDATES_MAX: usize = 2;

/// The longest life a browser grants a cookie (RFC 6265bis, 5.5).
const LIFE_MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);

const SESSION_TOKEN: HeaderName = HeaderName::from_static("session-token");
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What the headers of a request hold of ours.
#[derive(Debug, Default)]
pub(crate) struct Presented {
    /// The distinct well-formed tokens, in order: those of at most two values.
    pub(crate) tokens: Vec<Token>,
    candidates: usize,
    /// Which of our names were there at all, well-formed or not: bit `n` for the name numbered `n`.
    seen: u8,
}

impl Presented {
    /// Whether the client presented anything under one of our names.
    pub(crate) fn any(&self) -> bool {
        self.seen != 0
    }

    /// Notes a value, and what it may be: a text can have the form of a token and of a key.
    fn add(&mut self, name: usize, value: &[u8], config: &Config, keys: Option<&Keys>) {
        self.seen |= 1 << name;
        let ours = match &config.token_keys[..] {
            [] => Token::parse(value),
            signing => Token::parse_signed(value, signing),
        };
        let theirs = keys.and_then(|keys| keys.parse(value));
        let readings = ours.into_iter().chain(theirs);
        let new: Vec<_> = readings.filter(|token| !self.tokens.contains(token)).collect();
        if self.candidates < CANDIDATES_MAX && !new.is_empty() {
            self.candidates += 1;
            self.tokens.extend(new);
        }
    }
}

/// Reads what a request presents. Anything but an exact token, or key, is as good as nothing.
pub(crate) fn read(
    headers: &HeaderMap,
    config: &Config,
    names: &[String],
    keys: Option<&Keys>,
) -> Presented {
    let mut presented = Presented::default();
    let mut add = |name, value: &[u8]| presented.add(name, value, config, keys);
    match config.transport {
        Transport::Header => bearer_of(headers).into_iter().for_each(|value| add(0, value)),
        Transport::Cookie => {
            for (number, name) in names.iter().enumerate() {
                values_of(headers, name).for_each(|value| add(number, value));
            }
        }
    }
    presented
}

fn bearer_of(headers: &HeaderMap) -> Option<&[u8]> {
    let credentials = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    let (scheme, token) = credentials.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// What every cookie of this name holds.
fn values_of<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers
        .get_all(COOKIE)
        .into_iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii));
    pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// What a response does to the client's token.
#[derive(Clone, Debug)]
pub(crate) enum CookieChange {
    /// The client gets this token; for as long as it runs, or for `lasts`.
    Set { token: Token, lasts: Option<Duration> },
    /// The client forgets its token.
    Remove,
}

/// Writes the headers of a response whose session was asked for.
pub(crate) fn write(
    config: &Config,
    presented: &Presented,
    change: Option<&CookieChange>,
    headers: &mut HeaderMap,
) {
    headers.append(VARY, HeaderValue::from_static(varies_by(config.transport)));
    if change.is_some() || config.caching == Caching::Forbid || !headers.contains_key(CACHE_CONTROL)
    {
        headers.insert(CACHE_CONTROL, NO_STORE);
    }
    let Some(change) = change else { return };
    match config.transport {
        Transport::Header => write_token(config, change, headers),
        Transport::Cookie => write_cookies(config, presented, change, headers),
    }
    if config.clear_site_data && matches!(change, CookieChange::Remove) {
        let all = HeaderValue::from_static(r#""cache", "cookies", "storage""#);
        headers.insert(CLEAR_SITE_DATA, all);
    }
}

fn varies_by(transport: Transport) -> &'static str {
    match transport {
        Transport::Cookie => "Cookie",
        Transport::Header => "Authorization",
    }
}

/// The token as it travels.
fn text_of(token: &Token, config: &Config) -> String {
    match config.token_keys.first() {
        Some(key) => token.reveal_signed(key),
        None => token.reveal(),
    }
}

fn write_token(config: &Config, change: &CookieChange, headers: &mut HeaderMap) {
    let text = match change {
        CookieChange::Set { token, .. } => text_of(token, config),
        CookieChange::Remove => String::new(),
    };
    headers.insert(SESSION_TOKEN, sensitive(text));
}

/// One header at most for each name.
fn write_cookies(
    config: &Config,
    presented: &Presented,
    change: &CookieChange,
    headers: &mut HeaderMap,
) {
    let mut add = |name: &str, value: &str, lasts| {
        headers.append(SET_COOKIE, set_cookie(&config.cookie, name, value, lasts));
    };
    if let CookieChange::Set { token, lasts } = change {
        return add(&config.cookie.full_name(), &text_of(token, config), *lasts);
    }
    for (number, name) in config.cookie.names().iter().enumerate() {
        if presented.seen & 1 << number != 0 {
            add(name, "", Some(Duration::ZERO));
        }
    }
}

fn set_cookie(
    config: &CookieConfig,
    name: &str,
    value: &str,
    lasts: Option<Duration>,
) -> HeaderValue {
    let mut text = format!("{name}={value}; Path={}; HttpOnly", config.path);
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
    if config.partitioned {
        text.push_str("; Partitioned");
    }
    sensitive(text)
}

fn sensitive(text: String) -> HeaderValue {
    let mut value = HeaderValue::try_from(text).expect("validated names, base64url and digits");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_bytes(value).unwrap());
        values.map(|value| (COOKIE, value)).collect()
    }

    fn presented(values: &[&[u8]]) -> Presented {
        read(&headers(values), &Config::default(), &["session".into(), "old".into()], None)
    }

    fn tokens(values: &[&[u8]]) -> Vec<String> {
        presented(values).tokens.iter().map(Token::reveal).collect()
    }

    fn written(config: &Config, presented: &Presented, change: &CookieChange) -> Vec<String> {
        let mut headers = HeaderMap::new();
        write(config, presented, Some(change), &mut headers);
        assert!(headers.get_all(SET_COOKIE).iter().all(HeaderValue::is_sensitive));
        let lines = headers.get_all(SET_COOKIE).iter();
        lines.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    fn with_cookie(cookie: CookieConfig) -> Config {
        Config { cookie, ..Config::default() }
    }

    // R20
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

    // R12
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
        assert!(presented(&[b"session=junk"]).any());
        assert!(!presented(&[b"other=junk"]).any());
    }

    // R20, R69
    #[test]
    fn at_most_two_distinct_candidates_are_looked_at() {
        let texts: Vec<_> = (0..3).map(|_| Token::random().unwrap().reveal()).collect();
        let [a, b, c] = &texts[..] else { unreachable!() };
        let value = format!("session={a}; session={a}; session={b}; session={c}");
        assert_eq!(tokens(&[value.as_bytes()]), texts[..2]);
    }

    #[test]
    fn a_value_is_read_as_a_token_and_as_a_key_where_it_can_be_both() {
        let all = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
        let keys = Keys::new("python", all, 43..=43).unwrap();
        let texts: Vec<_> = (0..3).map(|_| Token::random().unwrap().reveal()).collect();
        let [a, b, c] = &texts[..] else { unreachable!() };
        let value = format!("session={a}; session={a}; session={b}; session={c}");
        let sent = headers(&[value.as_bytes()]);
        let found = read(&sent, &Config::default(), &["session".into()], Some(&keys)).tokens;
        assert_eq!(
            found.iter().map(Token::reveal).collect::<Vec<_>>(),
            [a, a, b, b].map(String::clone)
        );
        assert_ne!(found[0].id(), found[1].id(), "the key's ID is not in its text");
        let new = CookieChange::Set { token: found[1].clone(), lasts: None };
        let key = BASE64URL_NOPAD.encode(&[1; 32]).parse().unwrap();
        let signing = Config { token_keys: vec![key], ..Config::default() };
        let written = written(&signing, &Presented::default(), &new);
        assert!(written[0].contains(&format!("={a};")), "a key travels as it is");
    }

    #[test]
    fn the_current_name_comes_before_an_earlier_one() {
        let (new, old) = (Token::random().unwrap().reveal(), Token::random().unwrap().reveal());
        let both = format!("old={old}; session={new}");
        assert_eq!(tokens(&[both.as_bytes()]), [new, old.clone()]);
        assert_eq!(tokens(&[format!("old={old}").as_bytes()]), [old]);
    }

    // R12
    #[test]
    fn a_bearer_token_is_read_only_where_that_is_the_transport() {
        let token = Token::random().unwrap();
        for scheme in ["Bearer", "bearer"] {
            let value = HeaderValue::try_from(format!("{scheme} {}", token.reveal())).unwrap();
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            let read = |transport| {
                let config = Config { transport, ..Config::default() };
                read(&headers, &config, &["session".into()], None).tokens
            };
            assert_eq!(
                (read(Transport::Header), read(Transport::Cookie)),
                (vec![token.clone()], vec![])
            );
        }
        for wrong in ["Basic abc", "Bearer", "", "Bearer  x"] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(wrong))]);
            let config = Config { transport: Transport::Header, ..Config::default() };
            assert!(read(&headers, &config, &[], None).tokens.is_empty(), "{wrong}");
        }
    }

    #[test]
    fn a_new_token_goes_out_by_its_transport_alone() {
        let token = Token::random().unwrap();
        let change = CookieChange::Set { token: token.clone(), lasts: None };
        let config = Config { transport: Transport::Header, ..Config::default() };
        let mut headers = HeaderMap::new();
        write(&config, &Presented::default(), Some(&change), &mut headers);
        assert_eq!(headers[SESSION_TOKEN], token.reveal());
        assert_eq!(headers[VARY], "Authorization");
        assert!(headers[SESSION_TOKEN].is_sensitive() && !headers.contains_key(SET_COOKIE));
    }

    // R69
    #[test]
    fn with_keys_only_signed_tokens_travel() {
        let key = |byte: u8| BASE64URL_NOPAD.encode(&[byte; 32]).parse().unwrap();
        let old = Config { token_keys: vec![key(1)], ..Config::default() };
        let new = Config { token_keys: vec![key(2), key(1)], ..Config::default() };
        let token = Token::random().unwrap();
        let change = CookieChange::Set { token: token.clone(), lasts: None };
        let cookie = written(&old, &Presented::default(), &change).remove(0);
        let sent = headers(&[cookie.split(';').next().unwrap().as_bytes()]);
        let names = ["__Host-session".to_owned()];
        assert!(read(&sent, &old, &names, None).tokens.contains(&token));
        assert!(read(&sent, &new, &names, None).tokens.contains(&token));
        let plain = headers(&[format!("__Host-session={}", token.reveal()).as_bytes()]);
        assert!(
            read(&plain, &new, &names, None).tokens.is_empty()
                && read(&plain, &new, &names, None).any()
        );
        assert!(read(&sent, &Config::default(), &names, None).tokens.is_empty());
    }

    // R13, R18
    #[test]
    fn a_new_cookie_has_every_safe_attribute() {
        let token = Token::random().unwrap();
        let change = CookieChange::Set { token: token.clone(), lasts: None };
        let lines = written(&Config::default(), &Presented::default(), &change);
        let expected =
            format!("__Host-session={}; Path=/; HttpOnly; Secure; SameSite=Lax", token.reveal());
        assert_eq!(lines, [expected]);
    }

    // R21
    #[test]
    fn a_lasting_cookie_is_capped_at_400_days() {
        let lasts = Some(Duration::from_secs(500 * 86_400));
        let change = CookieChange::Set { token: Token::random().unwrap(), lasts };
        let lines = written(&Config::default(), &Presented::default(), &change);
        assert!(lines[0].contains("; Max-Age=34560000;"));
    }

    // R16
    #[test]
    fn a_partitioned_cookie_says_so() {
        let cookie = CookieConfig { partitioned: true, ..CookieConfig::default() };
        let change = CookieChange::Set { token: Token::random().unwrap(), lasts: None };
        let lines = written(&with_cookie(cookie), &Presented::default(), &change);
        assert!(lines[0].ends_with("; Secure; SameSite=Lax; Partitioned"));
    }

    // R22
    #[test]
    fn removal_repeats_the_attributes_for_every_name_that_was_seen() {
        let mut cookie = CookieConfig::plain_http("session");
        cookie.domain = Some("example.org".into());
        cookie.path = "/app".into();
        cookie.also_read = vec!["old".into(), "older".into()];
        let lines = written(
            &with_cookie(cookie),
            &presented(&[b"session=x; old=y"]),
            &CookieChange::Remove,
        );
        let rest = "=; Path=/app; HttpOnly; Domain=example.org; Max-Age=0; SameSite=Lax";
        assert_eq!(lines, [format!("session{rest}"), format!("old{rest}")]);
    }

    // R27
    #[test]
    fn a_logout_clears_the_sites_data_when_asked() {
        let config = Config { clear_site_data: true, ..Config::default() };
        let mut headers = HeaderMap::new();
        write(&config, &presented(&[b"session=x"]), Some(&CookieChange::Remove), &mut headers);
        assert_eq!(headers[CLEAR_SITE_DATA], r#""cache", "cookies", "storage""#);
    }
}
