//! Limits, lifetimes and the cookie. The defaults are the safe ones.
//!
//! Everything can be loaded with serde; a duration is written `"30m"`, `"12h"`, `"60s"`, `"250ms"`,
//! `"7d"`, or as a whole number of seconds. Unknown names are refused.

mod duration;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::store::Durability;
use crate::token::TokenKey;

/// How sessions live and what they may grow to.
///
/// ```
/// use std::time::Duration;
/// let mut config = sessile::Config::default();
/// config.idle_timeout = Duration::from_secs(15 * 60);
/// # assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// A session unused for this long has ended. Default 30 minutes (OWASP Session Management Cheat
    /// Sheet: 15 to 30 minutes for low-risk applications).
    #[serde(with = "duration")]
    #[doc(alias = "ttl")]
    pub idle_timeout: Duration,
    /// A session this old has ended, whatever its use. Default 12 hours (NIST SP 800-63B, AAL3).
    #[serde(with = "duration")]
    #[doc(alias = "max_age")]
    pub absolute_timeout: Duration,
    /// As `idle_timeout`, for sessions nobody is logged in to. Default the same.
    #[serde(with = "duration::optional")]
    pub anonymous_idle_timeout: Option<Duration>,
    /// As `absolute_timeout`, for sessions nobody is logged in to. Default the same.
    #[serde(with = "duration::optional")]
    pub anonymous_absolute_timeout: Option<Duration>,
    /// The most sessions of nobody that one process begins in a minute; one more is refused with
    /// `AnonymousLimit`, which answers 503. Sessions that live, and logins, are left alone. Default
    /// no limit.
    ///
    /// This bounds how many there are at once, without counting them: no more than this, times the
    /// number of processes, times the minutes of their absolute timeout and one.
    pub anonymous_per_minute: Option<NonZeroU32>,
    /// How long the secret before a rotation still reads and writes. Default 60 seconds.
    #[serde(with = "duration")]
    pub rotation_grace: Duration,
    /// Replaces the secret of a signed-in session that has had it for this long, on the next top-level
    /// navigation (`Sec-Fetch-Mode: navigate`; W3C Fetch Metadata). The secret before is accepted
    /// until the browser was seen to have the new one, and for `rotation_grace` after: a lost answer
    /// signs nobody out. Default never.
    #[serde(with = "duration::optional")]
    pub rotate_every: Option<Duration>,
    /// Use is noted once this share of the idle timeout has passed since the last note: 16 means
    /// one sixteenth. A session may end that much earlier than its idle timeout. Default 16.
    pub touch_share: u32,
    /// How long a commit competes with others before it fails as `Contended`. At most a day. Default
    /// 2 seconds.
    #[serde(with = "duration")]
    pub commit_deadline: Duration,
    /// How long an exclusive session waits for its lock; zero takes one that is free, or none. At most
    /// a day. Default 5 seconds.
    #[serde(with = "duration")]
    pub lock_wait: Duration,
    /// How long an exclusive session may hold its lock. At most a day. Default 30 seconds.
    #[serde(with = "duration")]
    pub lock_hold: Duration,
    /// The most bytes of data (keys and values) in one session. Default 256 KiB.
    pub data_bytes_max: usize,
    /// The most keys in one session. Default 1,000.
    pub keys_max: usize,
    /// How deep arrays and objects may lie in each other in one value. Default 64.
    pub nesting_max: usize,
    /// What a save of data survives. Default [`Durability::Process`].
    pub data_durability: Durability,
    /// What a login, a rotation and every kind of logout survive. Default [`Durability::Power`].
    pub security_durability: Durability,
    /// Whether an insert over bytes that changed since this request read them is refused with
    /// `Overwrote`, rather than told by an event. Default no.
    pub refuse_overwrites: bool,
    /// What the use of a secret past its grace does to the session. Default [`OnReplay::Tell`].
    pub on_replay: OnReplay,
    /// What a request from another address does to a session that keeps one; compared as far as
    /// `client_address` keeps it. Default [`OnOtherClient::Allow`]: people roam.
    pub on_other_address: OnOtherClient,
    /// As `on_other_address`, for a request of another user agent than the session began with.
    /// Default [`OnOtherClient::Allow`]: a browser that was updated has another name.
    pub on_other_user_agent: OnOtherClient,
    /// The most live sessions of one owner. Default no limit.
    pub sessions_per_owner: Option<NonZeroUsize>,
    /// What happens at a login over that limit. Default [`OnOwnerLimit::EndOldest`].
    pub on_owner_limit: OnOwnerLimit,
    /// What a request gets while the store cannot be read. Default [`OnOutage::Refuse`].
    pub on_outage: OnOutage,
    /// How often expired sessions are removed in the background; zero turns it off. At most a year.
    /// Default 60 seconds.
    #[serde(with = "duration")]
    pub sweep_interval: Duration,
    /// The most sessions removed in one slice of background work. Default 1,000.
    pub sweep_limit: usize,
    /// How long removing may take each time, in slices of `sweep_limit`; what is left waits for the
    /// next time. At most a year. Default 10 seconds.
    #[serde(with = "duration")]
    pub sweep_time: Duration,
    /// What is kept of the client's address, for the list of devices. Default truncated.
    pub client_address: Keep,
    /// What is kept of the client's user agent, for the list of devices. Default truncated.
    pub user_agent: Keep,
    /// How the token travels. Default [`Transport::Cookie`].
    pub transport: Transport,
    /// Keys that sign tokens, so that a forged one costs no look-up: the first signs, all are
    /// accepted, so a new one goes first and the old one goes away once its tokens have expired.
    /// Tokens without a signature are then refused: the first key signs everybody out. Default none.
    #[serde(skip_serializing)]
    pub token_keys: Vec<TokenKey>,
    /// The cookie.
    pub cookie: CookieConfig,
    /// Whether responses of requests that asked for their session may be stored. Default
    /// [`Caching::Forbid`].
    pub caching: Caching,
    /// Whether a logout also tells the browser to forget what it stored of this site
    /// (`Clear-Site-Data`; W3C, over TLS only). Default no.
    pub clear_site_data: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30 * 60),
            absolute_timeout: Duration::from_secs(12 * 60 * 60),
            anonymous_idle_timeout: None,
            anonymous_absolute_timeout: None,
            anonymous_per_minute: None,
            rotation_grace: Duration::from_secs(60),
            rotate_every: None,
            touch_share: 16,
            commit_deadline: Duration::from_secs(2),
            lock_wait: Duration::from_secs(5),
            lock_hold: Duration::from_secs(30),
            data_bytes_max: 256 * 1024,
            keys_max: 1_000,
            nesting_max: 64,
            data_durability: Durability::Process,
            security_durability: Durability::Power,
            refuse_overwrites: false,
            on_replay: OnReplay::Tell,
            on_other_address: OnOtherClient::Allow,
            on_other_user_agent: OnOtherClient::Allow,
            sessions_per_owner: None,
            on_owner_limit: OnOwnerLimit::EndOldest,
            on_outage: OnOutage::Refuse,
            sweep_interval: Duration::from_secs(60),
            sweep_limit: 1_000,
            sweep_time: Duration::from_secs(10),
            client_address: Keep::Truncated,
            user_agent: Keep::Truncated,
            transport: Transport::Cookie,
            token_keys: Vec::new(),
            cookie: CookieConfig::default(),
            caching: Caching::Forbid,
            clear_site_data: false,
        }
    }
}

impl Config {
    /// Checks that the parts fit together; the engine refuses to start otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the field and the mend.
    pub fn validate(&self) -> Result<()> {
        refuse(is_zero(self.idle_timeout), "`idle_timeout` is zero: every session would be over")?;
        refuse(self.absolute_timeout < self.idle_timeout, ABSOLUTE_FIRST)?;
        let anonymous = [self.anonymous_idle_timeout, self.anonymous_absolute_timeout];
        let is_over = anonymous.into_iter().flatten().any(is_zero);
        refuse(is_over, "an anonymous timeout is zero: every anonymous session would be over")?;
        let rotates_always = self.rotate_every.is_some_and(|every| every < self.rotation_grace);
        refuse(rotates_always, "`rotate_every` is shorter than `rotation_grace`: raise it")?;
        refuse(
            is_zero(self.commit_deadline),
            "`commit_deadline` is zero: no save could be repeated",
        )?;
        refuse(is_zero(self.lock_hold), "`lock_hold` is zero: every lock would be lost at once")?;
        let waits = [self.commit_deadline, self.lock_wait, self.lock_hold];
        refuse(waits.iter().any(|wait| *wait > WAIT_MAX), TOO_PATIENT)?;
        let sweeps = [self.sweep_interval, self.sweep_time];
        refuse(sweeps.iter().any(|time| *time > SWEEP_MAX), TOO_RARE)?;
        refuse(self.touch_share == 0, "`touch_share` is zero: take 1 or more")?;
        refuse(self.sweep_limit == 0, "`sweep_limit` is zero: take 1 or more")?;
        refuse(self.data_bytes_max > DATA_BYTES_MAX, "`data_bytes_max` is over 16 MiB")?;
        refuse(self.keys_max == 0, "`keys_max` is zero: nothing could be kept")?;
        refuse(
            self.nesting_max > 100,
            "`nesting_max` is over 100, more than values are read with",
        )?;
        let bound = self.on_other_address != OnOtherClient::Allow;
        refuse(bound && self.client_address == Keep::Off, BOUND_TO_NOTHING)?;
        let bound = self.on_other_user_agent != OnOtherClient::Allow;
        refuse(bound && self.user_agent == Keep::Off, BOUND_TO_NO_AGENT)?;
        self.cookie.validate()
    }

    /// The durability of changes after which no earlier state may be read again.
    pub(crate) fn final_durability(&self) -> Durability {
        match self.security_durability {
            Durability::Process => Durability::Process,
            _ => Durability::Final,
        }
    }
}

/// Records keep whole milliseconds: less is nothing.
fn is_zero(duration: Duration) -> bool {
    duration.as_millis() == 0
}

/// More than any request waits. Without a bound the deadline could lie where no clock gets to.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const TOO_PATIENT: &str =
    "`commit_deadline`, `lock_wait` or `lock_hold` is over a day: no request waits so long";
const SWEEP_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const TOO_RARE: &str =
    "`sweep_interval` or `sweep_time` is over a year: `sweep_interval = 0` turns the sweeper off";

const DATA_BYTES_MAX: usize = 16 * 1024 * 1024;
const ABSOLUTE_FIRST: &str = "`absolute_timeout` is shorter than `idle_timeout`: lower the latter";

const BOUND_TO_NOTHING: &str =
    "`on_other_address` compares what `client_address = off` does not keep";

const BOUND_TO_NO_AGENT: &str =
    "`on_other_user_agent` compares what `user_agent = off` does not keep";

fn refuse(wrong: bool, why: &'static str) -> Result<()> {
    if wrong { Err(Error::new(ErrorKind::Config, why)) } else { Ok(()) }
}

/// How much of a client's trait is kept in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Keep {
    /// Nothing.
    Off,
    /// An address without its last part (IPv4 /24, IPv6 /64); the first 160 bytes of a user agent,
    /// in which today's browsers have said their name.
    Truncated,
    /// All of an address; the first 512 bytes of a user agent.
    Full,
}

/// What becomes of a session whose replaced secret is presented after its grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnReplay {
    /// It lives on; the event tells.
    Tell,
    /// It ends: either the owner or a thief held a stale copy, and nobody can say which. A browser
    /// restored from a backup ends its session too.
    End,
}

/// What becomes of a request whose client differs from the one the session began with: whoever stole
/// a cookie is elsewhere, mostly. So is whoever roams, and a thief can imitate a browser: never take
/// this for the only defence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnOtherClient {
    /// It is answered as any other.
    Allow,
    /// It is answered as any other; the event tells.
    Tell,
    /// It is answered as nobody's. The session lives on where it began.
    Refuse,
    /// It is answered as nobody's, and the session ends.
    End,
}

/// What happens at a login when the owner has as many sessions as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnOwnerLimit {
    /// The owner's oldest sessions end.
    EndOldest,
    /// The login is refused with `OwnerLimit`. Several at once for the last place may all be.
    RefuseNew,
}

/// What a request gets while the store cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnOutage {
    /// The error, which answers 503.
    Refuse,
    /// An empty session that reads as nobody's. Whatever would be written is refused.
    ReadAsNobody,
}

/// What a response that depends on a session says of caching (RFC 9111). It always varies by the
/// cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Caching {
    /// `Cache-Control: no-store`, whatever the handler said. Browsers then load a page anew when
    /// their user goes back to it.
    Forbid,
    /// What the handler said, and `no-store` where it said nothing. A response that sets or removes
    /// the cookie is never stored: who gets it from a cache gets the session with it.
    ByHandler,
}

/// How the token travels. There is one way per engine: a token found elsewhere is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transport {
    /// In the cookie, which browsers keep away from scripts and send by themselves.
    Cookie,
    /// For clients that are no browsers: they present `Authorization: Bearer <token>`, and find a
    /// new token in the response's `Session-Token` header; an empty one tells them to forget theirs.
    Header,
}

/// The session cookie. `HttpOnly` always; the rest by configuration that cannot contradict itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CookieConfig {
    /// The name after its prefix. Default `session`.
    pub name: String,
    /// The prefix by which browsers enforce attributes. Default [`Prefix::Host`].
    pub prefix: Prefix,
    /// Whether it travels over TLS only (browsers make an exception for loopback). Default yes.
    pub secure: bool,
    /// The domain whose subdomains see it; not with [`Prefix::Host`]. Default none.
    pub domain: Option<String>,
    /// The path below which it is sent; `/` with [`Prefix::Host`]. Default `/`.
    pub path: String,
    /// What requests of other sites carry it. Default [`SameSite::Lax`].
    pub same_site: SameSite,
    /// Whether each site that embeds this one gets a cookie of its own (CHIPS); needs `secure`.
    /// Default no.
    pub partitioned: bool,
    /// Other full names that are read as well, each once and at most 7: those of the cookie before it
    /// was renamed, or of another system whose sessions were taken over.
    /// A new token is set under the new name alone; a logout removes all. Default none.
    pub also_read: Vec<String>,
}

impl Default for CookieConfig {
    fn default() -> Self {
        Self {
            name: "session".into(),
            prefix: Prefix::Host,
            secure: true,
            domain: None,
            path: "/".into(),
            same_site: SameSite::Lax,
            partitioned: false,
            also_read: Vec::new(),
        }
    }
}

impl CookieConfig {
    /// A cookie for development over plain HTTP on a host that is not loopback.
    ///
    /// Whoever listens on the network can take over its sessions.
    pub fn plain_http(name: impl Into<String>) -> Self {
        Self { name: name.into(), prefix: Prefix::None, secure: false, ..Self::default() }
    }

    /// The name as it travels: prefix and name.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.prefix.as_str(), self.name)
    }

    /// Every name that is read, the current one first.
    pub(crate) fn names(&self) -> Vec<String> {
        [self.full_name()].into_iter().chain(self.also_read.iter().cloned()).collect()
    }

    fn validate(&self) -> Result<()> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = |name: &String| !name.is_empty() && name.bytes().all(token);
        refuse(!self.also_read.iter().all(is_name), "`cookie.also_read` has a name that is none")?;
        refuse(self.also_read.len() > 7, "`cookie.also_read` has more than 7 names")?;
        let mut names = self.names();
        names.sort_unstable();
        let doubled = names.windows(2).any(|pair| pair[0] == pair[1]);
        refuse(doubled, "`cookie.also_read` has a name twice, or the one that is set")?;
        refuse(self.partitioned && !self.secure, "`cookie.partitioned` needs `secure`")?;
        // Browsers cut spaces off, and the cookie would belong elsewhere.
        let attribute = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b';');
        let is_token =
            !self.name.is_empty() && self.name.len() <= 64 && self.name.bytes().all(token);
        refuse(!is_token, "`cookie.name` is not 1 to 64 letters, digits or -_.")?;
        refuse(self.name.starts_with("__"), "`cookie.name` begins with __: set `prefix` instead")?;
        refuse(self.prefix != Prefix::None && !self.secure, "`cookie.prefix` needs `secure`")?;
        let host = matches!(self.prefix, Prefix::Host | Prefix::HostHttp);
        refuse(host && self.domain.is_some(), "the __Host- prefix allows no `cookie.domain`")?;
        refuse(host && self.path != "/", "the __Host- prefix needs `cookie.path` to be /")?;
        refuse(
            self.same_site == SameSite::None && !self.secure,
            "`same_site = none` needs `secure`",
        )?;
        refuse(!self.path.starts_with('/') || !attribute(&self.path), "`cookie.path` is no path")?;
        let lengths = [self.path.len(), self.domain.as_deref().map_or(0, str::len)];
        refuse(
            lengths.iter().any(|length| *length > 1_024),
            "`cookie.path` or `cookie.domain` is \
            over 1,024 bytes, which browsers ignore (RFC 6265bis, 5.6)",
        )?;
        let domain = self.domain.as_deref().is_none_or(|name| !name.is_empty() && attribute(name));
        refuse(!domain, "`cookie.domain` is no domain name")
    }
}

/// The prefix of the cookie's name, which browsers hold to its promise (RFC 6265bis, 4.1.3; those with
/// `Http` draft-ietf-httpbis-layered-cookies). Browsers that do not know one take it for a mere name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Prefix {
    /// `__Host-`: secure, this host only, all paths. No other host can plant it.
    Host,
    /// `__Host-Http-`: as `__Host-`, and set by a server, never by a script: no script of this host
    /// can plant it either.
    HostHttp,
    /// `__Secure-`: set over TLS only.
    Secure,
    /// `__Http-`: as `__Secure-`, and set by a server, never by a script.
    Http,
    /// None.
    None,
}

impl Prefix {
    fn as_str(self) -> &'static str {
        match self {
            Self::Host => "__Host-",
            Self::HostHttp => "__Host-Http-",
            Self::Secure => "__Secure-",
            Self::Http => "__Http-",
            Self::None => "",
        }
    }
}

/// What requests that other sites cause carry the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SameSite {
    /// None of them.
    Strict,
    /// Top-level navigations by link.
    Lax,
    /// All of them; needs `secure`.
    None,
}

impl SameSite {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R13, R42
    #[test]
    fn the_default_is_valid_and_is_owasps_advice() {
        let config = Config::default();
        config.validate().unwrap();
        assert_eq!(config.cookie.full_name(), "__Host-session");
        assert!(config.cookie.secure && config.cookie.same_site == SameSite::Lax);
    }

    #[test]
    fn a_configuration_survives_its_text() {
        let mut config = Config { idle_timeout: Duration::from_millis(1_500), ..Config::default() };
        config.cookie.domain = Some("example.org".into());
        config.anonymous_idle_timeout = Some(Duration::from_secs(600));
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("\"30m\"", 1_800_000),
            ("\"12h\"", 43_200_000),
            ("\"7d\"", 604_800_000),
            ("\"250ms\"", 250),
            ("90", 90_000),
        ] {
            let config: Config = toml::from_str(&format!("idle_timeout = {text}")).unwrap();
            assert_eq!(config.idle_timeout, Duration::from_millis(ms), "{text}");
        }
        for bad in
            ["\"\"", "\"m\"", "\"30 m\"", "\"-3s\"", "-3", "\"99999999999999999999s\"", "true"]
        {
            assert!(toml::from_str::<Config>(&format!("idle_timeout = {bad}")).is_err(), "{bad}");
        }
        let wrong = toml::from_str::<Config>("idle_timeout = true").unwrap_err();
        assert!(wrong.to_string().contains("\"30m\""), "{wrong}");
        let config: Config = serde_json::from_str(r#"{"idle_timeout": 90}"#).unwrap();
        assert_eq!(config.idle_timeout, Duration::from_secs(90));
    }

    #[test]
    fn an_unknown_option_is_refused() {
        let error = toml::from_str::<Config>("idle_timout = 3").unwrap_err().to_string();
        assert!(error.contains("idle_timout") && error.contains("idle_timeout"), "{error}");
    }

    // R13, R15, R16, R18
    #[test]
    fn contradictions_are_refused() {
        let wrong: [fn(&mut Config); 37] = [
            |c| c.cookie.also_read = (0..8).map(|n| format!("old{n}")).collect(),
            |c| c.cookie.name = String::new(),
            |c| c.cookie.name = "n".repeat(65),
            |c| c.commit_deadline = Duration::MAX,
            |c| c.commit_deadline = Duration::ZERO,
            |c| c.lock_wait = Duration::MAX,
            |c| c.lock_hold = Duration::MAX,
            |c| c.lock_hold = Duration::ZERO,
            |c| c.sweep_interval = Duration::MAX,
            |c| c.sweep_time = Duration::MAX,
            |c| c.idle_timeout = Duration::from_micros(999),
            |c| c.anonymous_absolute_timeout = Some(Duration::from_nanos(1)),
            |c| c.cookie.also_read = vec!["old".into(), "older".into(), "old".into()],
            |c| c.cookie.also_read = vec!["__Host-session".into()],
            |c| {
                c.cookie = CookieConfig::plain_http("a");
                c.cookie.path = "/app ".into();
            },
            |c| {
                c.cookie = CookieConfig::plain_http("a");
                c.cookie.domain = Some(" example.org".into());
            },
            |c| {
                c.cookie = CookieConfig::plain_http("a");
                c.cookie.path = format!("/{}", "a".repeat(1_024));
            },
            |c| c.rotate_every = Some(Duration::from_secs(59)),
            |c| c.keys_max = 0,
            |c| c.nesting_max = 101,
            |c| c.cookie.also_read = vec!["a b".into()],
            |c| c.cookie.also_read = vec!["a".into(); 8],
            |c| {
                c.cookie = CookieConfig::plain_http("a");
                c.cookie.partitioned = true;
            },
            |c| {
                c.client_address = Keep::Off;
                c.on_other_address = OnOtherClient::Refuse;
            },
            |c| {
                c.user_agent = Keep::Off;
                c.on_other_user_agent = OnOtherClient::Tell;
            },
            |c| c.anonymous_idle_timeout = Some(Duration::ZERO),
            |c| c.idle_timeout = Duration::ZERO,
            |c| c.absolute_timeout = Duration::from_secs(1),
            |c| c.touch_share = 0,
            |c| c.sweep_limit = 0,
            |c| c.data_bytes_max = usize::MAX,
            |c| c.cookie.secure = false,
            |c| c.cookie.domain = Some("example.org".into()),
            |c| c.cookie.path = "/app".into(),
            |c| c.cookie.name = "a;b".into(),
            |c| c.cookie.name = "__Host-a".into(),
            |c| {
                c.cookie = CookieConfig::plain_http("a");
                c.cookie.same_site = SameSite::None;
            },
        ];
        for (row, change) in wrong.iter().enumerate() {
            let mut config = Config::default();
            change(&mut config);
            assert_eq!(config.validate().unwrap_err().kind(), ErrorKind::Config, "row {row}");
        }
    }

    #[test]
    fn what_must_not_come_back_is_kept_as_well_as_logins_are() {
        for (security_durability, is_final) in [
            (Durability::Process, Durability::Process),
            (Durability::Power, Durability::Final),
            (Durability::Final, Durability::Final),
        ] {
            let config = Config { security_durability, ..Config::default() };
            assert_eq!(config.final_durability(), is_final);
        }
    }

    #[test]
    fn what_is_bounded_may_be_as_large_as_its_bound() {
        let config = Config {
            idle_timeout: Duration::from_millis(1),
            absolute_timeout: Duration::MAX,
            rotation_grace: Duration::MAX,
            commit_deadline: WAIT_MAX,
            lock_wait: Duration::ZERO,
            lock_hold: WAIT_MAX,
            sweep_interval: SWEEP_MAX,
            sweep_time: SWEEP_MAX,
            data_bytes_max: DATA_BYTES_MAX,
            nesting_max: 100,
            ..Config::default()
        };
        config.validate().unwrap();
        let mut wide = config.clone();
        wide.cookie = CookieConfig::plain_http("n".repeat(64));
        wide.cookie.path = format!("/{}", "a".repeat(1_023));
        wide.cookie.also_read = (0..7).map(|n| format!("old{n}")).collect();
        wide.validate().unwrap();
        let equal = Config { absolute_timeout: config.idle_timeout, ..config };
        equal.validate().unwrap();
        let grace = equal.rotation_grace;
        Config { rotate_every: Some(grace), ..equal }.validate().unwrap();
    }

    // R17
    #[test]
    fn a_prefix_promises_only_what_the_cookie_keeps() {
        type Change = fn(&mut CookieConfig);
        let change: [(&str, Change); 4] = [
            ("as it is", |_| {}),
            ("without TLS", |cookie| cookie.secure = false),
            ("with a domain", |cookie| cookie.domain = Some("example.org".into())),
            ("below a path", |cookie| cookie.path = "/app".into()),
        ];
        for (prefix, name, allowed) in [
            (Prefix::Host, "__Host-session", [true, false, false, false]),
            (Prefix::HostHttp, "__Host-Http-session", [true, false, false, false]),
            (Prefix::Secure, "__Secure-session", [true, false, true, true]),
            (Prefix::Http, "__Http-session", [true, false, true, true]),
            (Prefix::None, "session", [true, true, true, true]),
        ] {
            for ((what, change), allowed) in change.iter().zip(allowed) {
                let mut cookie = CookieConfig { prefix, ..CookieConfig::default() };
                change(&mut cookie);
                assert_eq!(cookie.full_name(), name);
                assert_eq!(cookie.validate().is_ok(), allowed, "{name} {what}");
            }
        }
    }
}
