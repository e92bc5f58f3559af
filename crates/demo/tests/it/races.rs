//! Two server processes on one directory, and requests that meet each other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Answer, Browser, Server};

/// Two servers, one store.
struct Pair {
    servers: [Arc<Server>; 2],
    _directory: TempDir,
}

impl Pair {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sessions");
        let servers = [0, 1].map(|_| Arc::new(Server::start(&path)));
        Self { servers, _directory: directory }
    }

    /// Sends this request to either server by turns, all at once.
    async fn at_once(&self, browser: &Browser, paths: Vec<String>) -> Vec<Answer> {
        let mut requests = JoinSet::new();
        for (turn, path) in paths.into_iter().enumerate() {
            let (browser, server) = (browser.clone(), Arc::clone(&self.servers[turn % 2]));
            requests.spawn(async move { browser.post(&server, &path).await });
        }
        requests.join_all().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn different_keys_written_at_once_all_survive() {
    let pair = Pair::start();
    let browser = Browser::new();
    browser.post(&pair.servers[0], "/api/set?key=first&value=1").await;
    let write = |key: char| format!("/api/set?key={key}&value={key}{key}&hold_ms=50");
    let answers = pair.at_once(&browser, ('a'..='z').map(write).collect()).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let data = browser.data(&pair.servers[0]).await;
    for key in 'a'..='z' {
        assert_eq!(data[key.to_string()], format!("{key}{key}"));
    }
    assert_eq!(data["first"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_at_once_are_all_different() {
    let pair = Pair::start();
    let browser = Browser::new();
    browser.post(&pair.servers[0], "/api/set?key=first&value=1").await;
    let answers = pair.at_once(&browser, vec!["/api/count?hold_ms=5".into(); 400]).await;
    let numbers: BTreeSet<_> = answers.iter().map(Answer::count).collect();
    assert_eq!(numbers, (1..=400).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn exclusive_counts_wait_for_each_other() {
    let pair = Pair::start();
    let browser = Browser::new();
    browser.post(&pair.servers[0], "/api/set?key=first&value=1").await;
    let began = std::time::Instant::now();
    let answers = pair.at_once(&browser, vec!["/api/exclusive?hold_ms=30".into(); 10]).await;
    let numbers: BTreeSet<_> = answers.iter().map(Answer::count).collect();
    assert_eq!(numbers, (1..=10).collect());
    assert!(began.elapsed() >= Duration::from_millis(300), "two held it at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_beats_every_request_in_flight() {
    let pair = Pair::start();
    let mut rounds = JoinSet::new();
    for path in ["set?key=a&value=b&", "count?", "exclusive?", "rotate?"].repeat(8) {
        rounds.spawn(log_out_under(path, pair.servers.clone()));
    }
    rounds.join_all().await;
}

/// Logs out while a request of the same session is between its load and its commit. On a machine with
/// much else to do that request may load only after the logout, and is then anybody's: it is given
/// longer the next time.
async fn log_out_under(path: &str, servers: [Arc<Server>; 2]) {
    for wait_ms in [200, 800, 3_200] {
        if was_in_flight_and_beaten(path, &servers, wait_ms).await {
            return;
        }
    }
    panic!("{path} was never in flight, or never refused");
}

async fn was_in_flight_and_beaten(
    path: &str,
    [here, there]: &[Arc<Server>; 2],
    wait_ms: u64,
) -> bool {
    let browser = Browser::new();
    browser.post(here, "/api/login?user=ann").await;
    let (in_flight, thief) = (browser.thief(), browser.thief());
    let late = tokio::spawn({
        let (in_flight, there) = (in_flight.clone(), Arc::clone(there));
        let path = format!("/api/{path}hold_ms={}", 5 * wait_ms);
        async move { in_flight.post(&there, &path).await }
    });
    sleep(Duration::from_millis(wait_ms)).await;
    assert_eq!(browser.post(here, "/api/logout").await.status, 200);
    let in_time = !late.is_finished();
    let late = late.await.unwrap();
    assert_eq!(thief.data(there).await, json!({}), "{path}: the logout was undone");
    if late.status != 409 || !in_time {
        return false;
    }
    assert_eq!(in_flight.data(there).await, json!({}), "{path}");
    true
}

/// Somebody who signs in anew is signed in, with nothing of the session that was ended meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_in_flight_brings_nothing_back_of_what_was_logged_out() {
    let pair = Pair::start();
    let [here, there] = &pair.servers;
    let browser = Browser::new();
    browser.post(here, "/api/set?key=private&value=1").await;
    browser.post(here, "/api/login?user=ann").await;
    let (in_flight, stolen) = (browser.thief(), browser.thief());
    let late = tokio::spawn({
        let (in_flight, there) = (in_flight.clone(), Arc::clone(there));
        async move { in_flight.post(&there, "/api/login?user=ann&hold_ms=100").await }
    });
    sleep(Duration::from_millis(30)).await;
    browser.post(here, "/api/logout").await;
    late.await.unwrap();
    assert_eq!(stolen.data(there).await, json!({}));
    assert_eq!(in_flight.data(there).await.get("private"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_cookie_gains_nothing_by_a_login() {
    let pair = Pair::start();
    let [here, there] = &pair.servers;
    for _ in 0..5 {
        let thief = Browser::new();
        thief.post(here, "/api/set?key=planted&value=1").await;
        let victim = thief.thief();
        let poll = tokio::spawn(poll(thief.clone(), Arc::clone(there)));
        let write = tokio::spawn(write(thief.clone(), Arc::clone(here)));
        sleep(Duration::from_millis(10)).await;
        assert_eq!(victim.post(here, "/api/login?user=ann&hold_ms=20").await.status, 200);
        poll.await.unwrap();
        write.await.unwrap();
        assert_ne!(victim.cookie(), thief.cookie());
        assert_eq!(thief.data(there).await, json!({}));
        assert_eq!(thief.get(there, "/api/sessions").await.status, 401);
        let before = victim.data(here).await;
        assert_eq!(before["user"], "ann");
        assert_eq!(thief.post(there, "/api/set?key=late&value=1").await.status, 409);
        assert_eq!(victim.data(here).await, before);
    }
}

/// Looks again and again at the session of a planted cookie.
async fn poll(thief: Browser, server: Arc<Server>) {
    for _ in 0..40 {
        let data = thief.data(&server).await;
        assert_eq!(data.get("user"), None, "the thief saw {data}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Writes again and again into the session of a planted cookie.
async fn write(thief: Browser, server: Arc<Server>) {
    let cookie = thief.cookie();
    for n in 0..40 {
        let answer = thief.post(&server, &format!("/api/set?key=planted&value={n}")).await;
        assert!([200, 409].contains(&answer.status.as_u16()), "{answer:?}");
        assert_eq!(thief.cookie(), cookie, "the thief was given a cookie");
        sleep(Duration::from_millis(2)).await;
    }
}
