//! How often each operation asks the server. What it asks on other connections, or behind the answer,
//! counts as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sessile::store::{self, Access, Created, Durability, Store, Ticket, Updated};
use sessile::{Owner, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::every_database::record;
use super::outage::on_every_server;
use super::places::Tables;

on_every_server! {
    an_operation_of_one_statement_asks_the_server_once
    a_login_asks_the_server_few_times
}

const SESSIONS: u64 = 25;

/// The front of a server, which counts the questions that pass.
struct Counter {
    url: String,
    questions: Arc<AtomicU64>,
}

impl Counter {
    async fn before(url: &str) -> Self {
        let (front, rest) = url.split_once('@').unwrap();
        let (server, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{front}@{}/{path}", listener.local_addr().unwrap());
        let (questions, server) = (Arc::<AtomicU64>::default(), server.to_owned());
        tokio::spawn(accept(listener, server, Arc::clone(&questions)));
        Self { url, questions }
    }

    /// How many questions each of so many calls costs, rounded up.
    async fn per_call<T>(&self, calls: impl Future<Output = T>) -> (u64, T) {
        let before = self.questions.load(Ordering::SeqCst);
        let done = calls.await;
        let asked = self.questions.load(Ordering::SeqCst) - before;
        (asked.div_ceil(SESSIONS), done)
    }
}

async fn accept(listener: TcpListener, server: String, questions: Arc<AtomicU64>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(&server).await.unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (asking, answered) = client.into_split();
        let (answering, asked) = server.into_split();
        tokio::spawn(carry(asking, asked, Arc::clone(&questions)));
        tokio::spawn(carry(answering, answered, Arc::default()));
    }
}

/// A client that waits for each answer sends a question in one piece, as long as it is short.
async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    pieces: Arc<AtomicU64>,
) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        pieces.fetch_add(1, Ordering::SeqCst);
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A store that has connected, made its tables and prepared every statement, behind a counter.
async fn counted(tables: &Tables) -> (Counter, Arc<dyn Store>) {
    let counter = Counter::before(&tables.url("")).await;
    let glue = if counter.url.contains('?') { '&' } else { '?' };
    let url = format!("{}{glue}table={}", counter.url, tables.table);
    let store = store::open(&url).unwrap();
    for owner in [None, Some("ann")] {
        let mut records = create(&*store, owner).await;
        save(&*store, &mut records).await;
        touch(&*store, &records).await;
        load(&*store, &records).await;
        delete(&*store, &records).await;
    }
    (counter, store)
}

async fn create(store: &dyn Store, owner: Option<&str>) -> Vec<Record> {
    let mut records = Vec::new();
    for _ in 0..SESSIONS {
        let mut record = record(SystemTime::now());
        record.owner = owner.map(|owner| Owner::new(owner).unwrap());
        record.login_began_at = owner.map(|_| record.created_at);
        assert_eq!(store.create(&record, Durability::Process).await.unwrap(), Created::New);
        records.push(record);
    }
    records
}

async fn load(store: &dyn Store, records: &[Record]) {
    for record in records {
        assert!(store.load(record.id, record.used_at, Access::Read).await.unwrap().is_some());
    }
}

async fn save(store: &dyn Store, records: &mut [Record]) {
    for record in records {
        let expected = record.version;
        record.version = expected.next();
        let none = &mut Ticket::none();
        let saved = store.update(record, expected, Durability::Process, none).await;
        assert_eq!(saved.unwrap(), Updated::Written);
    }
}

async fn touch(store: &dyn Store, records: &[Record]) {
    for record in records {
        let (used_at, none) = (record.used_at, &mut Ticket::none());
        assert!(store.touch(record.id, used_at, used_at, none).await.unwrap());
    }
}

async fn delete(store: &dyn Store, records: &[Record]) {
    for record in records {
        assert!(store.delete(record.id, Durability::Power).await.unwrap());
    }
}

async fn an_operation_of_one_statement_asks_the_server_once(tables: &Tables) {
    let (counter, store) = counted(tables).await;
    let (creates, mut records) = counter.per_call(create(&*store, None)).await;
    let (loads, ()) = counter.per_call(load(&*store, &records)).await;
    let (saves, ()) = counter.per_call(save(&*store, &mut records)).await;
    let (touches, ()) = counter.per_call(touch(&*store, &records)).await;
    let (deletes, ()) = counter.per_call(delete(&*store, &records)).await;
    let asked = [creates, loads, saves, touches, deletes];
    assert_eq!(asked, [1; 5], "of create, load, save, touch and delete");
}

async fn a_login_asks_the_server_few_times(tables: &Tables) {
    let (counter, store) = counted(tables).await;
    let (logins, _) = counter.per_call(create(&*store, Some("ann"))).await;
    let expected = match tables.kind {
        #[cfg(feature = "mysql")]
        super::places::Kind::MySql => 5,
        _ => 1,
    };
    assert_eq!(logins, expected);
}
