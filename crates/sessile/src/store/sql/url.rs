//! SQL stores by URL.

use percent_encoding::percent_decode_str;
use sqlx::pool::PoolOptions;
use sqlx::{Connection, Pool};

use super::core::Core;
use super::driver::Driver;
use super::parked::{ACQUIRE_MAX, PAUSE};
use crate::error::{Error, ErrorKind, Result};

/// The options that are ours. The others go to the driver, if it knows them.
const OURS: [&str; 3] = ["table", "namespace", "connections"];

/// A URL without our options, and these.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) url: String,
    table: Option<String>,
    namespace: Option<String>,
    connections: Option<u32>,
}

impl Parsed {
    /// Takes our options out of a URL; refuses those that neither we nor the driver know.
    pub(super) fn new(url: &str, drivers: &[&str]) -> Result<Self> {
        let (front, query) = url.split_once('?').unwrap_or((url, ""));
        let mut parsed = Self { url: front.to_owned(), ..Self::default() };
        let mut glue = '?';
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if parsed.take(&decoded(name), &decoded(value))? {
                continue;
            }
            refuse_unknown(&decoded(name), drivers)?;
            parsed.url.push(glue);
            parsed.url.push_str(pair);
            glue = '&';
        }
        Ok(parsed)
    }

    /// Whether the option is ours.
    fn take(&mut self, name: &str, value: &str) -> Result<bool> {
        match name {
            "table" => self.table = Some(value.to_owned()),
            "namespace" => self.namespace = Some(value.to_owned()),
            "connections" => self.connections = Some(number_of_connections(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A pool that connects when it is first used.
    pub(super) fn pool<D: Driver>(
        &self,
        options: <D::Connection as Connection>::Options,
    ) -> Result<Pool<D>> {
        if tokio::runtime::Handle::try_current().is_err() {
            let doing = "a database is opened inside a Tokio runtime";
            return Err(Error::new(ErrorKind::Config, doing));
        }
        let pool = PoolOptions::new().max_connections(self.connections());
        let pool = pool.acquire_timeout(ACQUIRE_MAX).test_before_acquire(false);
        // Not every time, as with those that are parked.
        let pool = pool.before_acquire(|connection: &mut D::Connection, known| {
            Box::pin(async move {
                if known.idle_for >= PAUSE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
        Ok(pool.connect_lazy_with(options))
    }

    fn connections(&self) -> u32 {
        self.connections.unwrap_or(CONNECTIONS)
    }

    /// The store that makes its tables before it does anything else.
    pub(super) fn core<D: Driver>(
        &self,
        options: <D::Connection as Connection>::Options,
    ) -> Result<Core<D>> {
        let core = Core::new(self.pool(options)?);
        let mut core = core.parking(self.connections()).migrating_first();
        if let Some(table) = &self.table {
            core = core.with_table(table)?;
        }
        if let Some(namespace) = &self.namespace {
            core = core.with_namespace(namespace)?;
        }
        Ok(core)
    }
}

const CONNECTIONS: u32 = 10;

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn number_of_connections(value: &str) -> Result<u32> {
    let number = value.parse().ok().filter(|number| (1..=10_000).contains(number));
    let doing = || format!("connections={value:?}: take a number from 1 to 10000");
    number.ok_or_else(|| Error::new(ErrorKind::Config, doing()))
}

fn refuse_unknown(name: &str, drivers: &[&str]) -> Result<()> {
    let is_known = |known: &&&str| {
        known.strip_suffix('*').map_or(name == **known, |front| name.starts_with(front))
    };
    if drivers.iter().any(|known| is_known(&known)) {
        return Ok(());
    }
    let known = OURS.iter().chain(drivers).copied().collect::<Vec<_>>().join(", ");
    let doing = format!("unknown option {name:?}; known are: {known}");
    Err(Error::new(ErrorKind::Config, doing))
}

/// What is wrong with a URL; it may hold a password and is not repeated.
pub(super) fn refused(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Config, "the database's URL is not valid").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_options_are_taken_out_and_the_drivers_stay() {
        let url = "postgres://a:b%40c@h/db?table=t&sslmode=require&namespace=shop&options%5Bx%5D=1";
        let parsed = Parsed::new(url, &["sslmode", "options[*"]).unwrap();
        assert_eq!(parsed.url, "postgres://a:b%40c@h/db?sslmode=require&options%5Bx%5D=1");
        assert_eq!(parsed.table.as_deref(), Some("t"));
        assert_eq!(parsed.namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn what_is_unknown_is_refused_with_what_is_known() {
        let refused = Parsed::new("mysql://h/db?colour=red", &["socket"]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config);
        assert!(refused.to_string().contains("table, namespace, connections, socket"));
        assert!(Parsed::new("mysql://h/db?connections=0", &[]).is_err());
    }
}
