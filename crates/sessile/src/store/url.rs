//! Which store, chosen at deploy time by a URL.

use std::sync::Arc;

#[cfg(feature = "mysql")]
use super::MySqlStore;
#[cfg(feature = "postgres")]
use super::PostgresStore;
#[cfg(feature = "redis")]
use super::RedisStore;
#[cfg(feature = "sqlite")]
use super::SqliteStore;
use super::{MemoryStore, Store};
use crate::error::{Error, ErrorKind, Result};

/// Opens the store that `url` names.
///
/// - `memory:`: a [`MemoryStore`]; it dies with the process.
/// - `file:///var/lib/shop/sessions?namespace=shop&sync=data`: a `FileStore`. The path is absolute
///   and percent-encoded. `namespace` keeps applications apart, `sync=data` syncs every save,
///   `group=allow` admits a directory its group may write to, `fs=any` admits any file system.
/// - `sqlite:///var/lib/shop/app.db`: a `SqliteStore`; the path as above.
/// - `postgres://shop:password@db/shop`: a `PostgresStore`.
/// - `mysql://shop:password@db/shop`: a `MySqlStore`, for MariaDB as well.
///
/// The three of them take `table=sessions`, `namespace=shop` and `connections=20` (at most, of this
/// store) and hand the rest of the query on to their driver, as `sslmode=verify-full`. They are
/// opened inside a Tokio runtime, connect when they are first used, and make their tables then.
/// - `redis://user:password@host:port/database`, `rediss://…` for TLS (feature `redis-tls`),
///   `redis+unix:///run/redis.sock`, `redis+cluster://user:password@host:port,host:port`: a
///   `RedisStore`, which connects when it is first used. `prefix` and `namespace` name its keys,
///   `wait_replicas=1` has one replica confirm a logout first, `protocol=resp2` is for old servers.
///
/// # Errors
/// [`ErrorKind::Config`] for an unknown scheme, option or value; the message names those that are
/// known, or for a scheme whose feature is not compiled in, which it names. What else opening the
/// store gives.
pub fn open(url: &str) -> Result<Arc<dyn Store>> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    let known = SCHEMES.iter().find(|(name, _)| *name == scheme);
    let (_, open) = known.ok_or_else(|| unknown("store", scheme, SCHEMES.iter().map(|it| it.0)))?;
    open(rest)
}

/// What may be told of a URL that was refused. A password with a bare `?` in it ends the URL in a
/// parser's eyes, and what stands behind is refused as an option, by its name.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite", feature = "redis"))]
pub(super) fn discreet(url: &str, refusal: Error) -> Error {
    match url.split_once('?') {
        Some((_, query)) if query.contains('@') => {
            let mend = "the store's URL is not understood; in a user's name and a password \
                write \"?\" as %3F";
            Error::new(ErrorKind::Config, mend)
        }
        _ => refusal,
    }
}

type Open = fn(&str) -> Result<Arc<dyn Store>>;

const SCHEMES: &[(&str, Open)] = &[
    #[cfg(feature = "file")]
    ("file", file::open),
    #[cfg(not(feature = "file"))]
    ("file", |_| lacks("file")),
    ("memory", memory),
    #[cfg(feature = "mysql")]
    ("mysql", |rest| Ok(Arc::new(MySqlStore::open_lazily(&format!("mysql:{rest}"))?))),
    #[cfg(not(feature = "mysql"))]
    ("mysql", |_| lacks("mysql")),
    #[cfg(feature = "postgres")]
    ("postgres", |rest| Ok(Arc::new(PostgresStore::open_lazily(&format!("postgres:{rest}"))?))),
    #[cfg(not(feature = "postgres"))]
    ("postgres", |_| lacks("postgres")),
    #[cfg(feature = "sqlite")]
    ("sqlite", |rest| Ok(Arc::new(SqliteStore::open_lazily(&format!("sqlite:{rest}"))?))),
    #[cfg(not(feature = "sqlite"))]
    ("sqlite", |_| lacks("sqlite")),
    #[cfg(feature = "redis")]
    ("redis", |rest| redis("redis", rest)),
    #[cfg(not(feature = "redis"))]
    ("redis", |_| lacks("redis")),
    #[cfg(feature = "redis")]
    ("redis+cluster", |rest| redis("redis+cluster", rest)),
    #[cfg(not(feature = "redis"))]
    ("redis+cluster", |_| lacks("redis")),
    #[cfg(feature = "redis")]
    ("redis+unix", |rest| redis("redis+unix", rest)),
    #[cfg(not(feature = "redis"))]
    ("redis+unix", |_| lacks("redis")),
    #[cfg(feature = "redis-tls")]
    ("rediss", |rest| redis("rediss", rest)),
    #[cfg(not(feature = "redis-tls"))]
    ("rediss", |_| lacks("redis-tls")),
    #[cfg(feature = "redis-tls")]
    ("rediss+cluster", |rest| redis("rediss+cluster", rest)),
    #[cfg(not(feature = "redis-tls"))]
    ("rediss+cluster", |_| lacks("redis-tls")),
];

#[cfg(feature = "redis")]
fn redis(scheme: &str, rest: &str) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(RedisStore::builder(&format!("{scheme}:{rest}")).open()?))
}

/// Unused where every store is compiled in.
#[allow(dead_code, reason = "which features are on decides")]
fn lacks(feature: &str) -> Result<Arc<dyn Store>> {
    let doing = format!(
        "this program was built without the feature `{feature}` of sessile; build it with \
         --features sessile/{feature}"
    );
    Err(Error::new(ErrorKind::Config, doing))
}

fn memory(rest: &str) -> Result<Arc<dyn Store>> {
    match rest {
        "" => Ok(Arc::new(MemoryStore::new())),
        _ => {
            Err(Error::new(ErrorKind::Config, "a memory store has no name and no options: memory:"))
        }
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known = known.collect::<Vec<_>>().join(", ");
    Error::new(ErrorKind::Config, format!("unknown {what} {name:?}; known are: {known}"))
}

#[cfg(feature = "file")]
mod file {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::{Arc, Error, ErrorKind, Result, Store, unknown};
    use crate::store::FileStore;
    use crate::store::file::FileStoreBuilder;

    const OPTIONS: [&str; 4] = ["namespace", "sync", "group", "fs"];

    pub(super) fn open(rest: &str) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(builder(rest)?.open()?))
    }

    impl FileStore {
        /// Opens the directory that a `file:` URL names, as [`open`](crate::store::open) does, for
        /// whoever needs this store's own methods.
        ///
        /// # Errors
        /// As [`open`](crate::store::open).
        pub fn open_url(url: &str) -> Result<Self> {
            let mend = "a file store's URL begins with file:///";
            let no_url = || Error::new(ErrorKind::Config, mend);
            builder(url.strip_prefix("file:").ok_or_else(no_url)?)?.open()
        }
    }

    pub(super) fn builder(rest: &str) -> Result<FileStoreBuilder> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix("//").filter(|path| path.starts_with('/'));
        let path = path.ok_or_else(relative)?;
        let path: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
        let mut builder = FileStore::builder(OsStr::from_bytes(&path));
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            builder = with_option(builder, &name, &value)?;
        }
        Ok(builder)
    }

    /// A path relative to wherever the service happened to start is how sessions get lost.
    fn relative() -> Error {
        let mend = "a file store is named by an absolute path, as in file:///var/lib/app/sessions";
        Error::new(ErrorKind::Config, mend)
    }

    fn with_option(builder: FileStoreBuilder, name: &str, value: &str) -> Result<FileStoreBuilder> {
        match (name, value) {
            ("namespace", _) => Ok(builder.namespace(value)),
            ("sync", "data") => Ok(builder.sync_data(true)),
            ("group", "allow") => Ok(builder.allow_group(true)),
            ("fs", "any") => Ok(builder.allow_any_file_system(true)),
            ("sync", _) => Err(unknown("value of \"sync\"", value, ["data"].into_iter())),
            ("group", _) => Err(unknown("value of \"group\"", value, ["allow"].into_iter())),
            ("fs", _) => Err(unknown("value of \"fs\"", value, ["any"].into_iter())),
            _ => Err(unknown("option", name, OPTIONS.into_iter())),
        }
    }
}

#[cfg(all(fuzzing, feature = "file"))]
pub(crate) fn check_file_url(rest: &str) -> Result<()> {
    file::builder(rest).map(|_| ())
}

#[cfg(all(test, feature = "file"))]
mod tests {
    use super::*;
    use crate::store::FileStore;

    fn refusal(url: &str) -> String {
        let error = open(url).expect_err("the URL is refused");
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        error.to_string()
    }

    #[test]
    fn a_file_store_opens_by_its_url() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a b");
        let encoded = path.display().to_string().replace(' ', "%20");
        let url = format!("file://{encoded}?namespace=shop&sync=data&fs=any&group=allow");
        assert_eq!(open(&url).unwrap().namespace(), "shop");
        assert!(path.join("shop").is_dir());
        assert_eq!(FileStore::open_url(&url).unwrap().path(), path);
        assert!(FileStore::open_url("memory:").is_err());
    }

    #[test]
    fn what_is_unknown_is_refused_with_what_is_known() {
        assert!(refusal("ftp://host/").contains("known are: "));
        assert!(refusal("file:///tmp/x?colour=red").contains("namespace, sync, group, fs"));
        assert!(refusal("file:///tmp/x?sync=always").contains("data"));
        assert!(refusal("").contains("unknown store"));
    }

    #[test]
    #[cfg(not(feature = "redis"))]
    fn a_redis_store_that_is_not_compiled_in_names_its_feature() {
        for url in ["redis://host/", "redis+cluster://host:7000", "redis+unix:///run/redis.sock"] {
            assert!(refusal(url).contains("feature `redis`"), "{url}");
        }
    }

    #[test]
    #[cfg(feature = "redis")]
    fn a_redis_store_opens_by_its_url_without_asking_the_server() {
        for scheme in ["redis", "redis+cluster"] {
            let url = format!("{scheme}://ann:secret@192.0.2.1:1/?namespace=shop&wait_replicas=1");
            let store = open(&url).unwrap();
            assert_eq!(store.namespace(), "shop");
            assert!(!format!("{store:?}").contains("secret"), "{store:?}");
        }
        assert!(refusal("redis://host/?colour=red").contains("namespace, prefix, wait_replicas"));
        assert!(refusal("redis://host/?wait_replicas=all").contains("number"));
        assert!(refusal("redis://host/?namespace=a:b").contains("namespace"));
        assert!(refusal("redis:host").contains("redis://"));
        assert!(open("redis+unix:///run/redis.sock?prefix=shop").is_ok());
    }

    #[tokio::test]
    #[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
    async fn a_password_with_a_bare_question_mark_is_not_repeated() {
        for scheme in ["postgres", "mysql", "redis", "redis+cluster"] {
            let Err(refused) = open(&format!("{scheme}://ann:one?two@host/1")) else {
                panic!("{scheme}: it is understood");
            };
            let told = format!("{refused:?}");
            assert!(!told.contains("two"), "{told}");
            assert!(told.contains("%3F") || told.contains("feature"), "{told}");
        }
    }

    #[test]
    #[cfg(not(feature = "redis-tls"))]
    fn tls_that_is_not_compiled_in_names_its_feature() {
        for url in ["rediss://host/", "rediss+cluster://host:7000"] {
            assert!(refusal(url).contains("feature `redis-tls`"), "{url}");
        }
    }

    #[test]
    fn a_memory_store_has_neither_name_nor_options() {
        assert_eq!(open("memory:").unwrap().namespace(), "default");
        assert!(refusal("memory:shop").contains("memory:"));
    }

    #[test]
    fn a_relative_path_is_refused_with_the_mend() {
        for url in ["file:sessions", "file://sessions", "file:", "file:/sessions"] {
            assert!(refusal(url).contains("file:///var/lib"), "{url}");
        }
    }
}
