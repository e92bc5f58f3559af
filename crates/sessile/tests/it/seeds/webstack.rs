//! `WebStack`'s `SessionStore`: a session asked for, held, closed and expired in one transaction.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use sessile::{Clock, ErrorKind, Session, SessionId};
use tokio::time::{sleep, timeout};

use super::{
    Disk, LONG, count, created, everything_below, foreign_cookie, headers_of, hold, load, log_out,
    record, set_cookie,
};
use crate::engine::harness::{kind_of, secs};

const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn ws1_ws4_dj19_asking_for_an_existing_session_makes_none() {
    let disk = Disk::new();
    let server = disk.server();
    for cookie in ["", "__Host-session=", &foreign_cookie()] {
        let exchange = server.begin(cookie);
        assert!(exchange.handle().existing().await.unwrap().is_none());
        let mut response = HeaderMap::new();
        exchange.finish(StatusCode::OK, &mut response).await.unwrap();
        assert!(!response.contains_key("set-cookie"));
    }
    assert!(disk.records().is_empty());
}

#[tokio::test]
async fn ws2_a_first_write_begins_a_session_and_sets_its_cookie() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    assert!(visit.session.keys().is_empty());
    visit.session.insert("key", "value").unwrap();
    let cookie = visit.finish().await.unwrap().expect("a cookie");
    assert_eq!(disk.records(), [disk.file(server.id(&cookie).await.unwrap())]);
}

#[tokio::test]
async fn ws3_ws6_what_was_set_is_there_again_under_the_same_cookie() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "one").await;
    let visit = server.visit(&cookie).await;
    assert_eq!(visit.session.get::<String>("key").unwrap().as_deref(), Some("one"));
    visit.session.insert("key", "two").unwrap();
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("one"), "not before its close");
    assert_eq!(visit.finish().await.unwrap(), None, "the cookie stays as it is");
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("two"));
}

#[tokio::test]
async fn ws7_keys_of_every_alphabet_come_back_as_text() {
    let disk = Disk::new();
    let server = disk.server();
    let keys = ["Zoë", "ключ", "\u{1f980}", "鍵"];
    let visit = server.visit("").await;
    for key in keys {
        visit.session.insert(key, key).unwrap();
    }
    let cookie = visit.finish().await.unwrap().unwrap();
    let session = server.visit(&cookie).await.session;
    assert_eq!(session.keys().len(), 4);
    for key in keys {
        assert_eq!(session.get::<String>(key).unwrap().as_deref(), Some(key));
    }
}

#[tokio::test]
async fn ws8_a_missing_key_is_none_and_a_removed_one_is_missing() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    assert_eq!(visit.session.get::<String>("absent").unwrap(), None);
    visit.session.remove("key").unwrap();
    assert!(!visit.session.contains("key"));
    visit.finish().await.unwrap();
    assert_eq!(server.read(&cookie, "key").await, None);
}

#[tokio::test]
async fn ws9_who_asks_twice_gets_the_same_session() {
    let disk = Disk::new();
    let server = disk.server();
    let exchange = server.begin("");
    let one = exchange.handle().session().await.unwrap();
    one.insert("key", "value").unwrap();
    let two = exchange.handle().session().await.unwrap();
    assert_eq!(two.get::<String>("key").unwrap().as_deref(), Some("value"));
    let held = exchange.handle().exclusive().await.unwrap();
    assert!(held.contains("key"), "nor does it wait for itself");
}

#[tokio::test]
async fn ws10_a_second_request_waits_for_the_first_and_sees_what_it_wrote() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let (first, second) = (server.begin(&cookie), server.begin(&cookie));
    let held = first.handle().exclusive().await.unwrap();
    let finish = async {
        sleep(SOON).await;
        held.insert("first", "wrote").unwrap();
        first.finish(StatusCode::OK, &mut HeaderMap::new()).await.unwrap();
    };
    let handle = second.handle();
    let (next, ()) = tokio::join!(handle.exclusive(), finish);
    assert_eq!(next.unwrap().keys(), ["first", "key"]);
}

#[tokio::test]
async fn ws11_another_users_session_is_never_waited_for() {
    let disk = Disk::new();
    let server = disk.server();
    let (ann, bob) = (server.signed_in("ann").await, server.signed_in("bob").await);
    let (first, second) = (server.begin(&ann), server.begin(&bob));
    let _held = first.handle().exclusive().await.unwrap();
    let other = timeout(secs(2), second.handle().exclusive()).await.expect("no wait");
    assert_eq!(other.unwrap().owner().unwrap().as_str(), "bob");
}

#[tokio::test]
async fn ws12_who_waits_is_woken_or_told_that_the_time_is_up() {
    let disk = Disk::new();
    let id = created(&disk.store, record(SessionId::random().unwrap(), SystemTime::now())).await.id;
    let held = hold(&disk.store, id, Duration::ZERO, LONG).await.unwrap();
    let other = disk.reopened();
    assert_eq!(hold(&other, id, SOON, LONG).await.unwrap_err(), ErrorKind::LockTimeout);
    let release = async {
        sleep(SOON).await;
        drop(held);
    };
    let (woken, ()) = tokio::join!(hold(&other, id, secs(60), LONG), release);
    assert!(woken.is_ok());
}

#[tokio::test]
async fn ws13_ws23_plain_requests_and_readers_wait_for_no_holder_and_leave_no_names() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let before = everything_below(disk.path());
    let exchange = server.begin(&cookie);
    let _held = exchange.handle().exclusive().await.unwrap();
    let others = async {
        let reading = server.begin(&cookie);
        assert!(reading.handle().read().await.unwrap().contains("key"));
        server.write(&cookie, "other", "value").await;
    };
    timeout(secs(2), others).await.expect("no wait");
    assert_eq!(everything_below(disk.path()), before);
}

// R37
#[tokio::test]
async fn ws14_a_logout_is_carried_out_when_the_response_leaves() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let leaving = server.visit(&cookie).await;
    leaving.session.invalidate().unwrap();
    assert!(server.id(&cookie).await.is_some(), "not before the close");
    assert_eq!(leaving.finish().await.unwrap().as_deref(), Some("__Host-session="));
    assert_eq!((server.id(&cookie).await, disk.records().len()), (None, 0));
}

#[tokio::test]
async fn ws15_a_logout_passes_another_editor_whose_save_is_refused() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let exchange = server.begin(&cookie);
    let held = exchange.handle().exclusive().await.unwrap();
    held.insert("late", "write").unwrap();
    timeout(secs(2), log_out(&server, &cookie)).await.expect("no wait");
    let late = exchange.finish(StatusCode::OK, &mut HeaderMap::new()).await;
    assert_eq!((kind_of(late), disk.records().len()), (Some(ErrorKind::Ended), 0));
}

#[tokio::test]
async fn ws16_a_logout_of_an_unknown_id_returns_at_once_and_removes_the_cookie() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit(&foreign_cookie()).await;
    visit.session.invalidate().unwrap();
    let set = timeout(secs(2), visit.finish()).await.expect("no wait").unwrap();
    assert_eq!(set.as_deref(), Some("__Host-session="));
}

#[tokio::test]
async fn ws17_a_logout_without_a_cookie_does_nothing() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    visit.session.insert("key", "never stored").unwrap();
    visit.session.invalidate().unwrap();
    assert_eq!(visit.finish().await.unwrap(), None);
    assert_eq!((server.store.calls(), disk.records().len()), (0, 0));
}

#[tokio::test]
async fn ws17_a_session_that_began_in_this_request_ends_too() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    visit.session.commit().await.unwrap();
    visit.session.invalidate().unwrap();
    visit.finish().await.unwrap();
    assert_eq!(disk.records().len(), 0);
}

#[tokio::test]
async fn ws18_a_request_that_is_dropped_lets_go() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    let exchange = server.begin(&cookie);
    let held = exchange.handle().exclusive().await.unwrap();
    let clone = Session::clone(&held);
    let panicking = tokio::spawn(async move {
        held.insert("key", "lost").unwrap();
        let _exchange = exchange;
        panic!("expected by this test");
    });
    assert!(panicking.await.unwrap_err().is_panic());
    assert!(hold(&disk.reopened(), id, secs(2), LONG).await.is_ok());
    assert_eq!(kind_of(clone.insert("key", "late")), Some(ErrorKind::Closed));
    assert_eq!(server.read(&cookie, "key").await.as_deref(), Some("value"));
}

/// An ID has one length, so none is the beginning of another; what is shorter names nothing.
#[tokio::test]
async fn ws20_the_beginning_of_an_id_names_nothing() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    for odd in [&cookie[..cookie.len() - 1], "__Host-session=*", "__Host-session=?", &cookie[..16]]
    {
        assert_eq!(timeout(secs(2), server.id(odd)).await.expect("no wait"), None, "{odd}");
    }
    let id = server.id(&cookie).await.unwrap().to_string();
    assert!(["", "*", &id[..31]].iter().all(|part| part.parse::<SessionId>().is_err()));
}

#[tokio::test]
async fn ws24_a_session_that_nobody_uses_ages_out() {
    let disk = Disk::new();
    let server = disk.server();
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    server.clock.advance(server.sessions.config().idle_timeout);
    assert_eq!(load(&disk.store, id, server.clock.now()).await, None);
}

// R22
#[tokio::test]
async fn ws25_dj36_a_removal_repeats_path_domain_and_attributes() {
    let disk = Disk::new();
    let server = disk.server_with(|config| {
        config.cookie.prefix = sessile::Prefix::Secure;
        config.cookie.domain = Some("example.org".into());
        config.cookie.path = "/app".into();
        config.cookie.same_site = sessile::SameSite::Strict;
    });
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    let set = set_cookie(&headers_of(visit).await).to_owned();
    let (pair, attributes) = set.split_once("; ").unwrap();
    let visit = server.visit(pair).await;
    visit.session.invalidate().unwrap();
    let response = headers_of(visit).await;
    let (removed, rest) = set_cookie(&response).split_once("; ").unwrap();
    assert_eq!((removed, response["vary"].as_bytes()), ("__Secure-session=", &b"Cookie"[..]));
    assert_eq!(rest.replace("Max-Age=0; ", ""), attributes);
}

#[tokio::test]
async fn ws26_al17_a_changed_copy_is_not_stored() {
    let disk = Disk::new();
    let server = disk.server();
    let visit = server.visit("").await;
    visit.session.insert("list", &["a"]).unwrap();
    let cookie = visit.finish().await.unwrap().unwrap();
    let visit = server.visit(&cookie).await;
    let mut list: Vec<String> = visit.session.get("list").unwrap().unwrap();
    list.push("b".into());
    visit.finish().await.unwrap();
    let visit = server.visit(&cookie).await;
    assert_eq!(visit.session.get::<Vec<String>>("list").unwrap().unwrap(), ["a"]);
    assert_eq!(count(&visit.session), 1, "what is given to `insert` or `update` is");
}
