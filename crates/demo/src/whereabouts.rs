//! Where a record lies, in words and so that a curious person can go and look.

use sessile::SessionId;

use crate::disk::Disk;
use crate::options::StoreUrl;
use crate::pages::inside::Lies;
use crate::words;

/// What keeps the records.
#[derive(Clone, Debug)]
pub(crate) enum Whereabouts {
    /// Files, of the same store that serves requests.
    Files(Disk),
    /// This process.
    Memory,
    /// A database or its server.
    Database(Database),
}

/// A database, and how to ask it for one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Database {
    name: &'static str,
    /// What stands before and after an ID in hex; `None` for a store we do not know.
    question: Option<(String, &'static str)>,
}

impl Whereabouts {
    /// Where the store of a URL keeps its records, if that is not in files.
    pub(crate) fn of(url: &StoreUrl) -> Self {
        match url.scheme() {
            "memory" => Self::Memory,
            scheme => Self::Database(Database::of(scheme, url)),
        }
    }

    /// Whether sessions are still there when this process was killed.
    pub(crate) fn outlives_us(&self) -> bool {
        !matches!(self, Self::Memory)
    }

    /// In few words.
    pub(crate) async fn in_short(&self, id: SessionId) -> String {
        match self {
            Self::Files(disk) => match disk.bytes(id).await {
                Some(bytes) => format!("{} on disk", words::size(bytes)),
                None => "on disk".into(),
            },
            Self::Memory => "in memory".into(),
            Self::Database(database) => format!("in {}", database.name),
        }
    }

    /// Opened up. `None` where that cannot be read: the page goes on without it.
    pub(crate) async fn in_full(&self, id: SessionId) -> Option<Lies> {
        match self {
            Self::Files(disk) => disk.file(id).await.map(Lies::InFile),
            Self::Memory => Some(Lies::InMemory),
            Self::Database(Database { name, question }) => {
                let ask = |(front, back): &(String, &str)| format!("{front}{id}{back}");
                Some(Lies::In { name, question: question.as_ref().map(ask) })
            }
        }
    }
}

impl Database {
    fn of(scheme: &str, url: &StoreUrl) -> Self {
        let (name, question) = match scheme {
            "sqlite" => ("SQLite", row(url, "hex(record)", "x'")),
            "postgres" => ("PostgreSQL", row(url, "record", r"'\x")),
            "mysql" => ("MySQL or MariaDB", row(url, "hex(record)", "x'")),
            "redis" | "rediss" | "redis+unix" => ("Redis or Valkey", hash(url)),
            "redis+cluster" | "rediss+cluster" => ("a Redis or Valkey Cluster", hash(url)),
            _ => return Self { name: "the store", question: None },
        };
        Self { name, question: Some(question) }
    }
}

/// The row of a session, whose ID such a literal writes as bytes.
fn row(url: &StoreUrl, record: &str, literal: &str) -> (String, &'static str) {
    let table = url.option("table").unwrap_or_else(|| "sessile".into());
    (format!("SELECT version, used_at, {record} FROM {table} WHERE id = {literal}"), "'")
}

/// The hash of a session.
fn hash(url: &StoreUrl) -> (String, &'static str) {
    let prefix = url.option("prefix").unwrap_or_else(|| "sessile".into());
    let namespace = url.option("namespace").unwrap_or_else(|| "default".into());
    (format!("HGETALL {prefix}:{namespace}:s:{{"), "}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = SessionId::from_bytes([0xab; 16]);

    async fn shown(url: &str) -> (String, Option<Lies>) {
        let place = Whereabouts::of(&url.parse().unwrap());
        (place.in_short(ID).await, place.in_full(ID).await)
    }

    #[tokio::test]
    async fn a_database_is_named_with_the_question_that_shows_a_session() {
        let id = "ab".repeat(16);
        for (url, short, asked) in [
            (
                "postgres://u:p@h/db?table=app.s",
                "in PostgreSQL",
                format!(r"SELECT version, used_at, record FROM app.s WHERE id = '\x{id}'"),
            ),
            (
                "mysql://h/db",
                "in MySQL or MariaDB",
                format!("SELECT version, used_at, hex(record) FROM sessile WHERE id = x'{id}'"),
            ),
            ("redis://h", "in Redis or Valkey", format!("HGETALL sessile:default:s:{{{id}}}")),
            (
                "redis+cluster://h:1,h:2?prefix=shop&namespace=eu",
                "in a Redis or Valkey Cluster",
                format!("HGETALL shop:eu:s:{{{id}}}"),
            ),
        ] {
            let (said, lies) = shown(url).await;
            let Some(Lies::In { question, .. }) = lies else { panic!("{url}: {lies:?}") };
            assert_eq!((&*said, question), (short, Some(asked)), "{url}");
        }
    }

    #[tokio::test]
    async fn memory_is_said_to_end_with_the_process() {
        let (said, lies) = shown("memory:").await;
        assert!(said == "in memory" && matches!(lies, Some(Lies::InMemory)), "{lies:?}");
        assert!(!Whereabouts::of(&"memory:".parse().unwrap()).outlives_us());
        assert!(Whereabouts::of(&"sqlite:///x.db".parse().unwrap()).outlives_us());
    }

    #[tokio::test]
    async fn a_store_we_do_not_know_is_not_lied_about() {
        let (said, lies) = shown("novel://h").await;
        assert_eq!(said, "in the store");
        assert!(matches!(lies, Some(Lies::In { question: None, .. })), "{lies:?}");
    }
}
