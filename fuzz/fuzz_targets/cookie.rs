//! The cookie on its way in and out. Whatever the headers of a request hold, at most two tokens come
//! of it, each of which stands in them; and a browser that reads our `Set-Cookie` sees what was
//! configured, and sends back what we then read.

#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use sessile::{Config, CookieConfig, Prefix, SameSite, Token, fuzzing};

#[derive(Arbitrary, Debug)]
struct Input {
    cookies: Vec<Vec<u8>>,
    bearer: Vec<u8>,
    name: String,
    prefix: u8,
    secure: bool,
    domain: Option<String>,
    path: String,
    same_site: u8,
    partitioned: bool,
    also_read: Vec<String>,
    lasts: Option<u32>,
    token: [u8; 32],
    keeps_defaults: bool,
}

fuzz_target!(|input: Input| {
    let mut config = Config::default();
    if !input.keeps_defaults {
        config.cookie = cookie(&input);
    }
    if config.validate().is_err() {
        return;
    }
    let request = request(&input);
    reads_what_is_there(&request, &config);
    comes_back(&input, &request, &config);
    is_removed(&request, &config);
});

fn cookie(input: &Input) -> CookieConfig {
    let mut cookie = CookieConfig::default();
    cookie.name.clone_from(&input.name);
    cookie.prefix = [Prefix::Host, Prefix::Secure, Prefix::None][usize::from(input.prefix % 3)];
    cookie.secure = input.secure;
    cookie.domain.clone_from(&input.domain);
    cookie.path.clone_from(&input.path);
    cookie.same_site =
        [SameSite::Strict, SameSite::Lax, SameSite::None][usize::from(input.same_site % 3)];
    cookie.partitioned = input.partitioned;
    cookie.also_read.clone_from(&input.also_read);
    cookie
}

fn request(input: &Input) -> HeaderMap {
    let cookies = input.cookies.iter().map(|value| (COOKIE, value));
    let all = cookies.chain([(AUTHORIZATION, &input.bearer)]);
    all.filter_map(|(name, value)| Some((name, HeaderValue::from_bytes(value).ok()?))).collect()
}

fn reads_what_is_there(request: &HeaderMap, config: &Config) {
    let tokens = fuzzing::read_tokens(request, config);
    assert!(tokens.len() <= 2);
    for token in tokens {
        let text = token.reveal();
        let stands = |value: &HeaderValue| {
            value.as_bytes().windows(text.len()).any(|window| window == text.as_bytes())
        };
        assert!(request.get_all(COOKIE).iter().any(stands), "a token from nowhere");
    }
}

fn comes_back(input: &Input, request: &HeaderMap, config: &Config) {
    let token = token(&input.token);
    let lasts = input.lasts.map(|seconds| Duration::from_secs(seconds.into()));
    let mut response = HeaderMap::new();
    fuzzing::write_token(config, request, Some((&token, lasts)), &mut response);
    assert_eq!(response.get_all(SET_COOKIE).iter().count(), 1);
    let seen = Seen::of(&response[SET_COOKIE]);
    assert_eq!(
        (seen.name.as_str(), seen.value.as_str()),
        (&*config.cookie.full_name(), &*token.reveal())
    );
    seen.has_the_attributes_of(&config.cookie);
    let max_age = lasts.map(|lasts| lasts.as_secs().min(400 * 86_400).to_string());
    assert_eq!(seen.attributes.get("max-age").cloned(), max_age);
    let back = HeaderValue::try_from(format!("a=b; {}={}", seen.name, seen.value));
    let back = HeaderMap::from_iter([(COOKIE, back.expect("a browser's header"))]);
    assert_eq!(fuzzing::read_tokens(&back, config), [token]);
}

fn is_removed(request: &HeaderMap, config: &Config) {
    let mut response = HeaderMap::new();
    fuzzing::write_token(config, request, None, &mut response);
    let mut names = Vec::new();
    for header in response.get_all(SET_COOKIE) {
        let seen = Seen::of(header);
        assert_eq!((seen.value.as_str(), &*seen.attributes["max-age"]), ("", "0"));
        seen.has_the_attributes_of(&config.cookie);
        assert!(!names.contains(&seen.name), "{} twice", seen.name);
        names.push(seen.name);
    }
}

fn token(bytes: &[u8; 32]) -> Token {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |n: usize| char::from(LETTERS[usize::from(bytes[n % 32]) % 64]);
    // The last of 43 letters carries four bits; the two others have to be zero.
    let last = char::from(LETTERS[usize::from(bytes[31]) % 16 * 4]);
    let text: String = (0..42).map(letter).chain([last]).collect();
    Token::parse(text.as_bytes()).expect("43 letters of base64url")
}

/// A `Set-Cookie` header as browsers read it (RFC 6265bis, 5.6).
struct Seen {
    name: String,
    value: String,
    attributes: BTreeMap<String, String>,
}

impl Seen {
    fn of(header: &HeaderValue) -> Self {
        let text = header.to_str().expect("visible ASCII");
        let mut parts = text.split(';');
        let (name, value) = split(parts.next().unwrap_or_default());
        let mut attributes = BTreeMap::new();
        for (name, value) in parts.map(split) {
            let before = attributes.insert(name.to_ascii_lowercase(), value);
            assert!(before.is_none(), "{name} twice in {text:?}");
        }
        Self { name, value, attributes }
    }

    fn has_the_attributes_of(&self, cookie: &CookieConfig) {
        let get = |name: &str| self.attributes.get(name).map(String::as_str);
        assert_eq!(get("httponly"), Some(""));
        assert_eq!(get("path"), Some(cookie.path.as_str()));
        assert_eq!(get("domain"), cookie.domain.as_deref());
        assert_eq!(get("secure").is_some(), cookie.secure);
        assert_eq!(get("partitioned").is_some(), cookie.partitioned);
        assert_eq!(get("samesite"), Some(&*format!("{:?}", cookie.same_site)));
    }
}

fn split(part: &str) -> (String, String) {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    (name.trim().to_owned(), value.trim().to_owned())
}
