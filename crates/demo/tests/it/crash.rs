//! `kill -9` again and again, under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Browser, Server, signal};

const CLIENTS: usize = 8;
const KILLS: usize = 15;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_count_is_lost_when_the_server_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_supervised(&directory.path().join("sessions"));
    let browser = Browser::new();
    browser.post(&server, "/api/set?key=first&value=1").await;
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(count_until(Arc::clone(&over), browser.thief(), server.address.clone()));
    }
    for _ in 0..KILLS {
        sleep(Duration::from_millis(150)).await;
        signal(server.serving, Signal::KILL);
        server = tokio::task::spawn_blocking(|| next(server)).await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    let tallies = clients.join_all().await;
    let sent: u64 = tallies.iter().map(|tally| tally.sent).sum();
    let acknowledged: Vec<u64> = tallies.into_iter().flat_map(|tally| tally.acknowledged).collect();
    let distinct: BTreeSet<_> = acknowledged.iter().collect();
    let stored = browser.data(&server).await["visits"].as_u64().unwrap();
    assert_eq!(distinct.len(), acknowledged.len(), "a number was answered twice");
    assert!(acknowledged.len() > KILLS, "there was no load: {}", acknowledged.len());
    assert!(stored >= acknowledged.len() as u64, "{stored} < {}", acknowledged.len());
    assert!(stored <= sent, "{stored} stored of {sent} sent");
}

fn next(mut server: Server) -> Server {
    server.await_next();
    server
}

/// What one client did.
struct Tally {
    sent: u64,
    acknowledged: Vec<u64>,
}

/// Counts and counts. A connection that breaks tells nothing: the count may be stored or not.
async fn count_until(over: Arc<AtomicBool>, browser: Browser, address: String) -> Tally {
    let mut tally = Tally { sent: 0, acknowledged: Vec::new() };
    while !over.load(Ordering::Relaxed) {
        tally.sent += 1;
        match browser.send_to(&address, "POST", "/api/count", &[]).await {
            Ok(answer) => tally.acknowledged.push(answer.count()),
            Err(_) => sleep(Duration::from_millis(2)).await,
        }
    }
    tally
}
