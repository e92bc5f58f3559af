//! Clean-up in the background. Time is tokio's own, paused and moved by hand.

use std::time::Duration;

use http::HeaderMap;
use sessile::{Client, Sessions};

use super::harness::Server;
use super::memory;

const INTERVAL: Duration = Duration::from_secs(60);

/// Lets `n` intervals pass, and everything that is due in them happen.
async fn pass(n: u32) {
    for _ in 0..n {
        tokio::time::advance(INTERVAL).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

async fn request(sessions: &Sessions) {
    drop(sessions.begin(&HeaderMap::new(), Client::default()));
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn it_starts_with_the_first_request_and_once() {
    let server = Server::new(&memory());
    pass(3).await;
    assert_eq!(server.store.calls(), 0, "no request, no sweeper");
    for _ in 0..3 {
        request(&server.sessions.clone()).await;
    }
    pass(3).await;
    assert_eq!(server.store.calls(), 3, "one sweep per interval");
}

#[tokio::test(start_paused = true)]
async fn it_survives_errors() {
    let server = Server::new(&memory());
    request(&server.sessions).await;
    server.store.fail("delete_expired");
    pass(2).await;
    server.store.mend();
    pass(2).await;
    assert_eq!(server.store.calls(), 4);
    assert_eq!(server.events.take(), ["store_failed", "store_failed"]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_last_clone() {
    let Server { sessions, store, .. } = Server::new(&memory());
    request(&sessions).await;
    let clone = sessions.clone();
    drop(sessions);
    pass(1).await;
    assert_eq!(store.calls(), 1);
    drop(clone);
    tokio::task::yield_now().await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, 0, "it does not wait for its next interval");
    pass(3).await;
    assert_eq!(store.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_a_shutdown() {
    let server = Server::new(&memory());
    request(&server.sessions).await;
    pass(1).await;
    server.sessions.shutdown().await;
    request(&server.sessions).await;
    pass(3).await;
    assert_eq!(server.store.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_does_not_start_after_a_shutdown() {
    let server = Server::new(&memory());
    server.sessions.shutdown().await;
    request(&server.sessions).await;
    pass(3).await;
    assert_eq!(server.store.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_can_be_turned_off() {
    let server = Server::with(&memory(), |config| config.sweep_interval = Duration::ZERO);
    request(&server.sessions).await;
    pass(3).await;
    assert_eq!(server.store.calls(), 0);
}

// R57
#[tokio::test(start_paused = true)]
async fn it_goes_on_in_slices_until_nothing_is_due() {
    let server = Server::with(&memory(), |config| config.sweep_limit = 2);
    for _ in 0..5 {
        server.write("", "key", "value").await;
    }
    let before = server.store.calls();
    tokio::task::yield_now().await;
    // An hour passes for the sessions before the sweeper's first look at the clock.
    server.clock.advance(Duration::from_secs(3_600));
    pass(1).await;
    assert_eq!(server.store.calls() - before, 3, "slices of 2, 2 and 1");
    assert_eq!(server.events.names().iter().filter(|name| **name == "swept").count(), 5);
}

// R35
#[tokio::test(start_paused = true)]
async fn it_waits_while_the_clock_is_in_doubt() {
    let server = Server::new(&memory());
    let cookie = server.write("", "key", "value").await;
    tokio::task::yield_now().await;
    server.events.take();
    let now = sessile::Clock::now(&server.clock);
    server.clock.step_to(now + Duration::from_secs(365 * 86_400));
    pass(1).await;
    server.clock.step_to(now);
    pass(1).await;
    assert_eq!(server.events.take(), ["clock_stepped", "clock_stepped"]);
    assert!(server.id(&cookie).await.is_some(), "nothing was removed by a wrong clock");
}

#[tokio::test(start_paused = true)]
async fn r57_it_stops_when_its_time_is_up_and_goes_on_the_next_time() {
    let server = Server::with(&memory(), |config| config.sweep_limit = 1);
    for _ in 0..5 {
        server.write("", "key", "value").await;
    }
    server.clock.advance(Duration::from_secs(3_600));
    server.store.slow_down("delete_expired", Duration::from_secs(4));
    let swept = || server.events.names().iter().filter(|name| **name == "swept").count();
    tokio::time::sleep(INTERVAL + Duration::from_secs(30)).await;
    assert_eq!(swept(), 3, "after 4, 8 and 12 seconds the 10 that it has are over");
    tokio::time::sleep(INTERVAL).await;
    assert_eq!(swept(), 5);
}

#[tokio::test(start_paused = true)]
async fn r57_clean_ups_of_one_process_take_turns() {
    let server = Server::new(&memory());
    for _ in 0..2 {
        server.write("", "key", "value").await;
    }
    server.clock.advance(Duration::from_secs(3_600));
    server.store.slow_down("delete_expired", Duration::from_secs(4));
    let began = tokio::time::Instant::now();
    let (first, second) = tokio::join!(server.sessions.sweep(1), server.sessions.sweep(1));
    assert_eq!((first.unwrap().removed, second.unwrap().removed), (1, 1));
    assert_eq!(began.elapsed(), Duration::from_secs(8), "one after the other");
}
