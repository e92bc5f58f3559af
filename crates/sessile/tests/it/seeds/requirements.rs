//! Requirements of `docs/threat_model.md` that nothing else proves, by their numbers.

use std::fmt::{Debug, Write};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::SystemTime;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sessile::store::Store;
use sessile::{SessionId, Token};
use tracing::field::Field;
use tracing::span;

use super::process::Process;
use super::{Disk, LONG, count, created, load, log_out, record, rotate};
use crate::engine::harness::{Server, secs};

#[tokio::test]
async fn r53_without_a_free_descriptor_a_request_is_told_so_and_nothing_is_lost() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    assert_eq!(Process::runs_out_of_files(&disk, &cookie).ends(), ["Unavailable", "saved"]);
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("again"));
}

#[tokio::test]
async fn r57_a_sweep_that_was_killed_is_taken_up_by_the_next() {
    let (disk, now) = (Disk::new(), SystemTime::now());
    for _ in 0..200 {
        created(&disk.store, record(SessionId::random().unwrap(), now)).await;
    }
    let mut lasting = record(SessionId::random().unwrap(), now);
    lasting.idle_timeout = None;
    let lasting = created(&disk.store, lasting).await;
    let mut sweeping = Process::sweeps(&disk);
    assert_eq!(sweeping.says(), "sweeping");
    sweeping.kill();
    while disk.store.delete_expired(now + LONG, 50).await.unwrap().more {}
    assert_eq!(disk.records(), [disk.file(lasting.id)]);
    assert_eq!(load(&disk.store, lasting.id, now + LONG).await, Some(lasting));
}

/// A visit that checks whose session it got, and writes to it.
async fn visit_of(server: &Server, cookie: &str, whose: &str) {
    let visit = server.visit(cookie).await;
    assert_eq!(visit.session.get::<String>("whose").unwrap().as_deref(), Some(whose));
    count(&visit.session);
    visit.finish().await.unwrap();
}

/// Runs a future until it was polled so often, and drops it there.
async fn cut_off_after(mut polls: usize, future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(());
        }
        polls -= 1;
        future.as_mut().poll(context)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r63_no_value_crosses_sessions_wherever_requests_are_cut_off() {
    let disk = Disk::new();
    let server = Arc::new(disk.server());
    let browse = |n: usize| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let whose = format!("browser {n}");
            let cookie = server.write("", "whose", &whose).await;
            for polls in (0..8).cycle().take(80) {
                Box::pin(cut_off_after(polls, visit_of(&server, &cookie, &whose))).await;
                visit_of(&server, &cookie, &whose).await;
            }
        })
    };
    for browser in (0..16).map(browse).collect::<Vec<_>>() {
        browser.await.unwrap();
    }
}

/// Writes down every field of every event, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn add(&self, what: impl Debug) {
        writeln!(self.0.lock().unwrap(), "{what:?}").unwrap();
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        self.add(span);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut |field: &Field, value: &dyn Debug| self.add((field.name(), value)));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Does all that may be logged, and prints what may be printed; gives the cookies.
async fn live(server: &Server, log: &Log) -> [String; 2] {
    let first = server.signed_in("ann").await;
    server.write(&first, "pin", "4711-secret").await;
    let second = rotate(server, &first).await;
    let guess = Token::for_session(server.id(&second).await.unwrap()).unwrap();
    server.clock.advance(secs(60));
    server.visit(&first).await;
    server.visit(&format!("__Host-session={}", guess.reveal())).await;
    let late = server.visit(&second).await;
    log.add((&late.session, &late.exchange, &late.session.record(), &guess, &server.sessions));
    late.session.insert("pin", "4711-secret").unwrap();
    log_out(server, &second).await;
    log.add(late.finish().await.unwrap_err());
    log.add(&server.events);
    [first, second]
}

#[tokio::test]
async fn r76_no_secret_and_no_value_is_logged_at_any_level() {
    let log = Log::default();
    // With one subscriber alone, `tracing` asks the thread that reaches a call site first whether
    // anybody listens there, and that may be another test's. With two it asks both of them.
    let _second = tracing::Dispatch::new(Log::default());
    let _logging = tracing::subscriber::set_default(log.clone());
    let disk = Disk::new();
    let cookies = live(&disk.server(), &log).await;
    let logged = log.0.lock().unwrap();
    assert!(logged.contains("replayed") && logged.contains("logged_out"), "{logged}");
    for cookie in cookies {
        let text = cookie.split('=').nth(1).unwrap();
        let secret = &BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()[16..];
        let spellings = [text.to_owned(), HEXLOWER.encode(secret), format!("{secret:?}")];
        assert!(!spellings.iter().any(|spelling| logged.contains(spelling)), "{logged}");
    }
    assert!(!logged.contains("4711-secret"), "{logged}");
}
