//! The command line of the demo.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::Failure;

/// What `sessile-demo` and `sessile demo` can be told.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where to listen; beyond loopback only with --insecure-http
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_parser = address)]
    pub listen: SocketAddr,

    /// Serve plain HTTP beyond loopback, where cookies travel in clear text
    #[arg(long)]
    pub insecure_http: bool,

    /// Where sessions live, as a URL: a directory, `memory:`, or (with the feature `all-stores`) a
    /// database [default: the directory ./sessions]
    #[arg(long, value_name = "URL")]
    pub store: Option<StoreUrl>,

    /// How long a session lives without use [default: 30m, or as long as it lives at all]
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub idle_timeout: Option<Duration>,

    /// How long a session lives at all
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = lifetime)]
    pub absolute_timeout: Duration,

    /// How long a replaced cookie still opens its session
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub rotation_grace: Duration,

    /// Let a parent process restart the serving one; always so on a terminal
    #[arg(long)]
    pub supervised: bool,
}

impl Options {
    /// Binds the address, unless that would send cookies in clear text without consent.
    pub(crate) fn bind(&self) -> Result<TcpListener, Failure> {
        if !self.listen.ip().is_loopback() && !self.insecure_http {
            return Err(clear_text(self.listen).into());
        }
        TcpListener::bind(self.listen).map_err(|error| cannot_listen(self.listen, &error).into())
    }

    /// How long a session lives without use: no longer than at all, unless that was asked for, which
    /// is then refused.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.idle_timeout.unwrap_or(IDLE_TIMEOUT.min(self.absolute_timeout))
    }

    /// The store's URL.
    pub(crate) fn store(&self) -> Result<StoreUrl, Failure> {
        match &self.store {
            Some(url) => Ok(url.clone()),
            None => Ok(StoreUrl::of_directory(&env::current_dir()?.join("sessions"))),
        }
    }

    /// Whether a parent process restarts the serving one.
    pub(crate) fn is_supervised(&self) -> bool {
        self.supervised || io::stdout().is_terminal()
    }
}

/// How long a session lives without use, unless something else is said.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, as in 127.0.0.1:3000".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 90s, 30m or 12h"))
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("every session would be over; write 90s, 30m or 12h".into()),
        lifetime => Ok(lifetime),
    }
}

fn cannot_listen(listen: SocketAddr, error: &io::Error) -> String {
    let mend = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                ": another program does; --listen {} takes a free port",
                SocketAddr::new(listen.ip(), 0)
            )
        }
        _ => String::new(),
    };
    format!("cannot listen on {listen}{mend}: {error}")
}

fn clear_text(listen: SocketAddr) -> String {
    format!(
        "{listen} can be reached from other machines, and this demo speaks plain HTTP: session \
         cookies would travel in clear text. Listen on 127.0.0.1, or accept that with \
         --insecure-http"
    )
}

/// The URL of a store, such as `file:///var/lib/shop/sessions` or `memory:`.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// What a path may hold in a `file:` URL as it is.
    const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'?');

    /// The URL of the file store in an absolute directory.
    fn of_directory(path: &Path) -> Self {
        let path = path.to_string_lossy();
        Self(format!("file://{}", utf8_percent_encode(&path, Self::ESCAPED)))
    }

    /// The directory a `file:` URL names; `None` for stores that are none.
    pub fn directory(&self) -> Option<PathBuf> {
        self.path_after("file://")
    }

    fn path_after(&self, front: &str) -> Option<PathBuf> {
        let path = self.0.strip_prefix(front)?.split('?').next()?;
        let path = percent_decode_str(path).decode_utf8().ok()?;
        Some(PathBuf::from(&*path))
    }

    /// What begins the URL: `file`, `postgres`.
    pub(crate) fn scheme(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The value of an option behind the question mark.
    pub(crate) fn option(&self, name: &str) -> Option<String> {
        let (_, query) = self.0.split_once('?')?;
        let mut options = query.split('&').filter_map(|option| option.split_once('='));
        let (_, value) = options.find(|(known, _)| *known == name)?;
        percent_decode_str(value).decode_utf8().ok().map(Into::into)
    }

    /// What the URL names on this machine: a directory, or a database file.
    pub fn path(&self) -> Option<PathBuf> {
        self.directory().or_else(|| self.path_after("sqlite://"))
    }

    /// What the URL names on this machine and is not there.
    pub fn missing(&self) -> Option<String> {
        let path = self.path().filter(|path| !path.exists())?;
        let what = if self.directory().is_some() { "directory" } else { "database" };
        Some(format!("{what} {}", path.display()))
    }

    /// The URL without its password, for eyes and logs.
    fn without_password(&self) -> String {
        let (front, query) = self.0.split_once('?').unwrap_or((&self.0, ""));
        let mut shown = match front.rsplit_once('@') {
            Some((user, place)) => format!("{}@{place}", without_its_password(user)),
            None => front.to_owned(),
        };
        let options = query.split('&').filter(|option| !option.is_empty());
        for (glue, option) in std::iter::once('?').chain(std::iter::repeat('&')).zip(options) {
            let name = option.split('=').next().unwrap_or_default();
            let is_secret = ["password", "pass"].contains(&name);
            let option = if is_secret { format!("{name}={HIDDEN}") } else { option.to_owned() };
            shown.push(glue);
            shown.push_str(&option);
        }
        shown
    }

    /// The URL's text, password and all.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_password())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// What stands for a password.
const HIDDEN: &str = "***";

/// `postgres://user:password` without the last of the three.
fn without_its_password(front: &str) -> String {
    match front.split_once("://").and_then(|(scheme, user)| Some((scheme, user.split_once(':')?))) {
        Some((scheme, (user, _))) => format!("{scheme}://{user}:{HIDDEN}"),
        None => front.to_owned(),
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    /// Refuses a plain path, and says how to write it as a URL.
    fn from_str(text: &str) -> Result<Self, String> {
        let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| !scheme.contains('/'));
        if has_scheme {
            return Ok(Self(text.into()));
        }
        let path = env::current_dir().unwrap_or_else(|_| PathBuf::from("/")).join(text);
        // Through its components, `./x` loses its dot.
        let url = Self::of_directory(&path.components().collect::<PathBuf>());
        Err(format!("a store is named by a URL; write {url}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        let arguments = [&["demo"], arguments].concat();
        Command::try_parse_from(arguments).map(|command| command.options)
    }

    #[test]
    fn the_defaults_are_half_an_hour_half_a_day_and_a_minute() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.idle_timeout(), Duration::from_secs(30 * 60));
        assert_eq!(options.absolute_timeout, Duration::from_secs(12 * 3600));
        assert_eq!(options.rotation_grace, Duration::from_secs(60));
        assert_eq!(options.listen.to_string(), "127.0.0.1:3000");
    }

    #[test]
    fn the_default_store_is_the_directory_sessions() {
        let url = parse(&[]).unwrap().store().unwrap();
        assert!(
            url.as_str().starts_with("file:///") && url.as_str().ends_with("/sessions"),
            "{url}"
        );
    }

    #[test]
    fn a_plain_path_is_refused_with_the_url_to_write() {
        let message = parse(&["--store", "/var/my sessions"]).unwrap_err().to_string();
        assert!(message.contains("write file:///var/my%20sessions"), "{message}");
    }

    #[test]
    fn a_relative_path_is_refused_with_the_absolute_url() {
        let here = StoreUrl::of_directory(&env::current_dir().unwrap());
        let message = parse(&["--store", "./x"]).unwrap_err().to_string();
        assert!(message.contains(&format!("write {here}/x")), "{message}");
    }

    #[test]
    fn a_url_is_taken_as_it_is() {
        for url in ["file:///tmp/s?option=1", "memory:"] {
            assert_eq!(parse(&["--store", url]).unwrap().store().unwrap().as_str(), url);
        }
    }

    #[test]
    fn only_a_file_url_names_a_directory() {
        let directory = |url: &str| url.parse::<StoreUrl>().unwrap().directory();
        assert_eq!(directory("file:///srv/my%20shop?a=b"), Some("/srv/my shop".into()));
        assert_eq!(directory("memory:"), None);
        let odd = Path::new("/srv/50% off? #1");
        assert_eq!(StoreUrl::of_directory(odd).directory().as_deref(), Some(odd));
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://ann:s3:cr@t@h/db?table=t", "postgres://ann:***@h/db?table=t"),
            (
                "postgres://h/db?user=ann&password=s3&a=b",
                "postgres://h/db?user=ann&password=***&a=b",
            ),
            ("redis+cluster://:s3@h:1,h:2", "redis+cluster://:***@h:1,h:2"),
            ("redis://ann@h", "redis://ann@h"),
            ("file:///srv/a@b:c", "file:///srv/a@b:c"),
        ] {
            let parsed: StoreUrl = url.parse().unwrap();
            assert_eq!((parsed.to_string(), parsed.as_str()), (shown.into(), url));
            assert_eq!(format!("{parsed:?}"), format!("StoreUrl({shown})"));
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let missing = |url: &str| url.parse::<StoreUrl>().unwrap().missing();
        assert_eq!(missing("file:///no/such?sync=data").as_deref(), Some("directory /no/such"));
        assert_eq!(
            missing("sqlite:///no/such.db?table=t").as_deref(),
            Some("database /no/such.db")
        );
        for url in ["file:///tmp", "sqlite:///etc/passwd", "memory:", "postgres://h/db"] {
            assert_eq!(missing(url), None, "{url}");
        }
    }

    #[test]
    fn beyond_loopback_needs_consent_and_says_why() {
        let refused = parse(&["--listen", "0.0.0.0:0"]).unwrap().bind().unwrap_err().to_string();
        assert!(refused.contains("clear text") && refused.contains("--insecure-http"), "{refused}");
        parse(&["--listen", "0.0.0.0:0", "--insecure-http"]).unwrap().bind().unwrap();
        parse(&["--listen", "[::1]:0"]).unwrap().bind().unwrap();
    }

    #[test]
    fn durations_are_written_in_words() {
        let options = parse(&["--idle-timeout", "90s", "--absolute-timeout", "1h 30m"]).unwrap();
        assert_eq!(options.idle_timeout(), Duration::from_secs(90));
        assert_eq!(options.absolute_timeout, Duration::from_secs(5400));
    }

    #[test]
    fn a_short_life_needs_no_second_option() {
        let options = parse(&["--absolute-timeout", "5s"]).unwrap();
        assert_eq!(options.idle_timeout(), Duration::from_secs(5));
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_with_one_that_does() {
        for (option, value, mend) in [
            ("--listen", "localhost:3000", "127.0.0.1:3000"),
            ("--listen", "3000", "127.0.0.1:3000"),
            ("--idle-timeout", "0s", "30m"),
            ("--absolute-timeout", "0s", "12h"),
            ("--rotation-grace", "60", "90s"),
            ("--rotation-grace", "soon", "90s"),
        ] {
            let said = parse(&[option, value]).unwrap_err().to_string();
            assert!(said.contains(option) && said.contains(mend), "{said}");
        }
        assert!(parse(&["--rotation-grace", "0s"]).is_ok());
    }
}
