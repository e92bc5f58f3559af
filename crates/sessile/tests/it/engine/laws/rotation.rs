//! Rotation is one atomic step with a grace.

use http::{HeaderMap, StatusCode};
use sessile::ErrorKind;

use crate::engine::Place;
use crate::engine::harness::{Server, kind_of, secs};

async fn rotate(server: &Server, cookie: &str) -> String {
    let visit = server.visit(cookie).await;
    visit.session.rotate().unwrap();
    visit.finish().await.unwrap().expect("a rotation sets a cookie")
}

// R30
pub(crate) async fn rotation_keeps_id_data_and_deadline(place: &Place) {
    let server = Server::new(place);
    let old = server.write("", "key", "value").await;
    let before = server.visit(&old).await.session.record().unwrap();
    server.clock.advance(secs(100));
    let new = rotate(&server, &old).await;
    assert_ne!(new, old);
    let after = server.visit(&new).await.session.record().unwrap();
    assert_eq!((after.id, after.data), (before.id, before.data));
    assert_eq!(after.created_at, before.created_at);
    assert_eq!(after.absolute_deadline, before.absolute_deadline);
}

pub(crate) async fn the_previous_secret_reads_and_writes_and_leaves_the_cookie_alone(
    place: &Place,
) {
    let server = Server::new(place);
    let old = server.write("", "key", "value").await;
    let new = rotate(&server, &old).await;
    server.clock.advance(secs(59));
    let late = server.visit(&old).await;
    late.session.insert("late", "too").unwrap();
    late.session.rotate().unwrap();
    assert_eq!(late.finish().await.unwrap(), None);
    assert_eq!(server.read(&new, "late").await.as_deref(), Some("too"));
    let leaving = server.visit(&old).await;
    leaving.session.invalidate().unwrap();
    leaving.finish().await.unwrap();
    assert_eq!(server.id(&new).await, None, "it may log out");
}

// R31, R44
pub(crate) async fn the_previous_secret_may_not_log_in_step_up_or_lock(place: &Place) {
    let server = Server::new(place);
    let old = server.signed_in("ann").await;
    rotate(&server, &old).await;
    let late = server.visit(&old).await;
    assert_eq!(kind_of(late.session.login("bob")), Some(ErrorKind::Superseded));
    assert_eq!(kind_of(late.session.reauthenticate(2)), Some(ErrorKind::Superseded));
    let exclusive = server.begin(&old).handle().exclusive().await;
    assert_eq!(kind_of(exclusive), Some(ErrorKind::Superseded));
}

// R31
pub(crate) async fn requests_around_a_rotation_all_succeed(place: &Place) {
    let server = Server::new(place);
    let old = server.write("", "key", "value").await;
    let mut visits = Vec::new();
    for n in 0..10 {
        let visit = server.visit(&old).await;
        visit.session.insert(&format!("before{n}"), &n).unwrap();
        visits.push(visit);
    }
    let new = rotate(&server, &old).await;
    for n in 0..10 {
        let visit = server.visit(&old).await;
        visit.session.insert(&format!("after{n}"), &n).unwrap();
        visits.push(visit);
    }
    for visit in visits {
        assert_eq!(visit.finish().await.unwrap(), None);
    }
    assert_eq!(server.visit(&new).await.session.keys().len(), 21);
}

pub(crate) async fn parallel_rotations_give_one_new_secret(place: &Place) {
    let server = Server::new(place);
    let old = server.write("", "key", "value").await;
    let (one, two) = (server.visit(&old).await, server.visit(&old).await);
    one.session.rotate().unwrap();
    two.session.rotate().unwrap();
    two.session.insert("two", "kept").unwrap();
    let new = one.finish().await.unwrap().expect("the first one rotates");
    assert_eq!(two.finish().await.unwrap(), None, "the second keeps what the first made");
    assert_eq!(server.read(&new, "two").await.as_deref(), Some("kept"));
    let (one, two) = (server.visit(&new).await, server.visit(&new).await);
    one.session.rotate().unwrap();
    two.session.rotate().unwrap();
    let newest = one.finish().await.unwrap().unwrap();
    let version = server.visit(&newest).await.session.record().unwrap().version;
    assert_eq!(two.finish().await.unwrap(), None);
    let after = server.visit(&newest).await.session.record().unwrap().version;
    assert_eq!(after, version, "who came second had nothing to write");
}

// R11, R31
pub(crate) async fn a_replay_after_the_grace_is_told_from_a_guess(place: &Place) {
    let server = Server::new(place);
    let old = server.write("", "key", "value").await;
    let new = rotate(&server, &old).await;
    server.clock.advance(secs(60));
    server.events.take();
    let replay = server.visit(&old).await;
    assert_eq!((replay.session.id(), replay.finish().await.unwrap()), (None, None));
    assert_eq!(server.events.take(), ["replayed"]);
    assert_eq!(server.read(&new, "key").await.as_deref(), Some("value"), "the session lives on");
}

// R28
pub(crate) async fn a_step_up_ends_earlier_secrets_at_once(place: &Place) {
    let server = Server::new(place);
    let old = server.signed_in("ann").await;
    server.clock.advance(secs(100));
    let visit = server.visit(&old).await;
    visit.session.reauthenticate(3).unwrap();
    let new = visit.finish().await.unwrap().unwrap();
    let late = server.visit(&old).await;
    assert_eq!((late.session.id(), late.session.owner()), (None, None));
    late.session.insert("key", "value").unwrap();
    assert_eq!(kind_of(late.finish().await), Some(ErrorKind::Ended));
    let session = server.visit(&new).await.session;
    assert!(session.authenticated_within(secs(1)));
    assert_eq!(session.record().unwrap().level, 3);
}

// R44
pub(crate) async fn a_step_up_needs_a_login(place: &Place) {
    let server = Server::new(place);
    let cookie = server.write("", "key", "value").await;
    let visit = server.visit(&cookie).await;
    assert_eq!(kind_of(visit.session.reauthenticate(2)), Some(ErrorKind::Config));
}

// R28
pub(crate) async fn lowering_is_carried_out_with_a_5xx_and_ends_earlier_secrets(place: &Place) {
    let server = Server::new(place);
    let old = server.signed_in("ann").await;
    let visit = server.visit(&old).await;
    visit.session.reauthenticate(5).unwrap();
    let new = visit.finish().await.unwrap().unwrap();
    let before = rotate(&server, &new).await;
    let visit = server.visit(&before).await;
    visit.session.insert("key", "dropped").unwrap();
    visit.session.lower(1).unwrap();
    visit.finish_with(StatusCode::INTERNAL_SERVER_ERROR).await.0.unwrap();
    assert_eq!(server.id(&new).await, None, "a secret in its grace lost its authority");
    let session = server.visit(&before).await.session;
    assert_eq!((session.record().unwrap().level, session.contains("key")), (1, false));
}

fn rotating(place: &Place) -> Server {
    Server::with(place, |config| {
        config.rotate_every = Some(secs(600));
        config.idle_timeout = secs(3_600);
    })
}

pub(crate) async fn a_due_secret_is_replaced_on_a_navigation_alone(place: &Place) {
    let server = rotating(place);
    let (old, anonymous) = (server.signed_in("ann").await, server.write("", "key", "value").await);
    assert_eq!(server.navigate(&old).await.finish().await.unwrap(), None, "not due yet");
    server.clock.advance(secs(600));
    assert_eq!(server.visit(&old).await.finish().await.unwrap(), None, "no navigation");
    assert_eq!(server.navigate(&anonymous).await.finish().await.unwrap(), None, "not signed in");
    let exchange = server.navigation(&old);
    exchange.handle().read().await.unwrap();
    let mut headers = HeaderMap::new();
    exchange.finish(StatusCode::OK, &mut headers).await.unwrap();
    assert!(!headers.contains_key("set-cookie"), "reading alone writes nothing");
    let new = server.navigate(&old).await.finish().await.unwrap().expect("due, and a navigation");
    assert_eq!(server.id(&new).await, server.id(&old).await);
    // The new secret is seen: from here on the old one has its grace.
    server.visit(&new).await.finish().await.unwrap();
    server.clock.advance(secs(59));
    assert!(server.id(&old).await.is_some());
    server.clock.advance(secs(1));
    assert_eq!(server.id(&old).await, None);
    assert!(server.id(&new).await.is_some());
}

pub(crate) async fn a_lost_answer_signs_nobody_out(place: &Place) {
    let server = rotating(place);
    let old = server.signed_in("ann").await;
    server.clock.advance(secs(600));
    let lost = server.navigate(&old).await.finish().await.unwrap().unwrap();
    server.clock.advance(secs(59));
    assert_eq!(server.navigate(&old).await.finish().await.unwrap(), None, "it may be on its way");
    server.clock.advance(secs(1));
    let new = server.navigate(&old).await.finish().await.unwrap().expect("drawn anew");
    assert!(server.id(&new).await.is_some() && server.id(&old).await.is_some());
    server.events.take();
    assert_eq!(server.id(&lost).await, None, "nobody was seen to have it");
    assert_eq!(server.events.take(), ["replayed"]);
    let visit = server.visit(&new).await;
    visit.session.rotate().unwrap();
    assert!(visit.finish().await.unwrap().is_some(), "and it has all authority");
}

// R31
pub(crate) async fn navigations_around_a_due_rotation_all_succeed(place: &Place) {
    let server = rotating(place);
    let old = server.signed_in("ann").await;
    server.clock.advance(secs(600));
    let mut visits = Vec::new();
    for n in 0..8 {
        let visit = server.navigate(&old).await;
        visit.session.insert(&format!("key{n}"), &n).unwrap();
        visits.push(visit);
    }
    let mut cookies = Vec::new();
    for visit in visits {
        cookies.extend(visit.finish().await.unwrap());
    }
    assert_eq!(cookies.len(), 1, "one of them rotates");
    assert_eq!(server.visit(&cookies[0]).await.session.keys().len(), 8);
    assert!(server.id(&old).await.is_some());
}

// R81
pub(crate) async fn a_form_token_goes_with_its_session_and_changes_with_a_login(place: &Place) {
    let server = Server::new(place);
    let nobody = server.visit("").await;
    assert_eq!(nobody.session.form_token().unwrap(), None);
    nobody.session.check_form_token("anything").unwrap();

    let (ann, bob) = (server.signed_in("ann").await, server.signed_in("bob").await);
    let (page, thief) = (server.visit(&ann).await.session, server.visit(&bob).await.session);
    let calls = server.store.calls();
    let token = page.form_token().unwrap().unwrap();
    page.check_form_token(&token).unwrap();
    for forged in [thief.form_token().unwrap().unwrap(), String::new()] {
        assert_eq!(kind_of(page.check_form_token(&forged)), Some(ErrorKind::Forged));
    }
    assert_eq!(server.store.calls(), calls, "form tokens cost no store access");

    let visit = server.visit(&ann).await;
    visit.session.login("ann").unwrap();
    let again = visit.finish().await.unwrap().unwrap();
    let after = server.visit(&again).await.session;
    assert_eq!(kind_of(after.check_form_token(&token)), Some(ErrorKind::Forged));
}

// R81
pub(crate) async fn a_form_that_was_open_survives_a_rotation_and_no_step_up(place: &Place) {
    type Wish = fn(&sessile::Session) -> sessile::Result<()>;
    let rotate: Wish = sessile::Session::rotate;
    let step_up: Wish = |session| session.reauthenticate(2);
    let lower: Wish = |session| session.lower(0);
    for (wishes, survives) in [
        (&[rotate] as &[Wish], true),
        (&[rotate, rotate], false),
        (&[step_up], false),
        (&[lower], false),
    ] {
        let server = Server::new(place);
        let mut cookie = server.signed_in("ann").await;
        let token = server.visit(&cookie).await.session.form_token().unwrap().unwrap();
        for wish in wishes {
            let visit = server.visit(&cookie).await;
            wish(&visit.session).unwrap();
            cookie = visit.finish().await.unwrap().unwrap_or(cookie);
            server.clock.advance(secs(600));
        }
        let session = server.visit(&cookie).await.session;
        assert!(session.id().is_some());
        assert_eq!(session.check_form_token(&token).is_ok(), survives, "{}", wishes.len());
    }
}
