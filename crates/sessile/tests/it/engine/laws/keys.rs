//! Keys that are not ours: drawn by the application, or of another system's sessions.

use std::num::NonZeroU32;
use std::sync::Mutex;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sessile::store::Durability;
use sessile::{Client, Config, ErrorKind, Keys, Token};

use crate::engine::Place;
use crate::engine::harness::{Server, kind_of, secs};

const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

fn theirs() -> Keys {
    Keys::new("shop", ALPHABET, 32..=32).unwrap()
}

/// Keys that are drawn from these letters, one after the other; the last is drawn again and again.
fn drawn(letters: &'static str) -> Keys {
    let letters = Mutex::new(letters.chars().peekable());
    theirs().drawn_by(move || {
        let mut letters = letters.lock().unwrap();
        let letter = letters.next().unwrap();
        if letters.peek().is_none() {
            *letters = "z".chars().peekable();
        }
        Ok(key(letter))
    })
}

fn key(letter: char) -> String {
    letter.to_string().repeat(32)
}

fn cookie(letter: char) -> String {
    format!("__Host-session={}", key(letter))
}

async fn rotate(server: &Server, cookie: &str) -> String {
    let visit = server.visit(cookie).await;
    visit.session.rotate().unwrap();
    visit.finish().await.unwrap().expect("a rotation sets a cookie")
}

pub(crate) async fn a_key_of_the_application_opens_the_session_it_was_drawn_for(place: &Place) {
    let server = Server::with_keys(place, drawn("ab"));
    assert_eq!(server.write("", "key", "value").await, cookie('a'));
    assert_eq!(server.id(&cookie('a')).await, theirs().id_of(&key('a')));
    assert_eq!(server.read(&cookie('a'), "key").await.as_deref(), Some("value"));
    let visit = server.visit(&cookie('a')).await;
    visit.session.login("ann").unwrap();
    assert_eq!(visit.finish().await.unwrap(), Some(cookie('b')));
    assert_eq!(server.owner(&cookie('a')).await, None);
    assert_eq!(server.owner(&cookie('b')).await.as_deref(), Some("ann"));
    let leaving = server.visit(&cookie('b')).await;
    leaving.session.invalidate().unwrap();
    leaving.finish().await.unwrap();
    assert!(server.visit(&cookie('b')).await.session.has_ended());
}

pub(crate) async fn a_drawn_key_of_the_wrong_form_begins_no_session(place: &Place) {
    let server = Server::with_keys(place, theirs().drawn_by(|| Ok("hunter2".into())));
    let visit = server.visit("").await;
    visit.session.insert("key", "value").unwrap();
    let (committed, set) = visit.finish_with(StatusCode::OK).await;
    let error = committed.unwrap_err();
    assert_eq!((error.kind(), set), (ErrorKind::Key, None));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert_eq!(server.store.calls(), 0);
}

/// R10: a collision gives nobody another's session.
pub(crate) async fn a_taken_key_is_drawn_again_and_not_for_ever(place: &Place) {
    let server = Server::with_keys(place, drawn("aabz"));
    assert_eq!(server.write("", "key", "first").await, cookie('a'));
    assert_eq!(server.write("", "key", "second").await, cookie('b'), "the first key is taken");
    assert_eq!(server.write("", "key", "third").await, cookie('z'));
    let calls = server.store.calls();
    let visit = server.visit("").await;
    visit.session.login("eve").unwrap();
    visit.session.insert("key", "fourth").unwrap();
    let (committed, set) = visit.finish_with(StatusCode::OK).await;
    assert_eq!((kind_of(committed), set), (Some(ErrorKind::Key), None));
    assert_eq!(server.store.calls() - calls, 8, "it is drawn so often and no more");
    for (letter, value) in [('a', "first"), ('b', "second"), ('z', "third")] {
        assert_eq!(server.read(&cookie(letter), "key").await.as_deref(), Some(value));
    }
    assert!(server.sessions.list("eve", None, None).await.unwrap().devices.is_empty());
}

/// R8: form before any I/O.
pub(crate) async fn a_key_of_the_wrong_form_costs_no_look_up(place: &Place) {
    let server = Server::with_keys(place, theirs());
    for bad in ["", "a", &key('A'), &key('-'), &format!("{}a", key('a')), "../../../../etc/passwd"]
    {
        let visit = server.visit(&format!("__Host-session={bad}")).await;
        assert_eq!((visit.session.id(), visit.finish().await.unwrap()), (None, None), "{bad}");
        assert_eq!(kind_of(server.sessions.take_over(bad)), Some(ErrorKind::Key), "{bad}");
    }
    assert_eq!(server.store.calls(), 0);
    let keyless = Server::new(place);
    assert_eq!(kind_of(keyless.sessions.take_over(&key('a'))), Some(ErrorKind::Key));
    assert_eq!((keyless.id(&cookie('a')).await, keyless.store.calls()), (None, 0));
}

/// R10: nor is a key, however well formed.
pub(crate) async fn a_key_that_was_not_taken_over_is_never_adopted(place: &Place) {
    let server = Server::with_keys(place, theirs());
    let visit = server.visit(&cookie('a')).await;
    assert!(visit.session.has_ended() && visit.session.id().is_none());
    visit.session.insert("key", "value").unwrap();
    let given = visit.finish().await.unwrap().unwrap();
    assert_eq!(given.len(), 15 + Token::TEXT_LEN, "a token of ours");
    assert_eq!(server.id(&cookie('a')).await, None);
    assert_eq!(server.events.take(), ["unknown", "created", "unknown"]);
}

pub(crate) async fn the_session_of_another_system_is_taken_over_once(place: &Place) {
    let server = Server::with_keys(place, theirs());
    let ends_at = server.now() + secs(100);
    let session = server.sessions.take_over(&key('a')).unwrap();
    session.insert("basket", "apple").unwrap();
    session.login("ann").unwrap();
    session.expire_at(ends_at).unwrap();
    session.commit().await.unwrap();
    assert_eq!(session.id(), theirs().id_of(&key('a')));

    let visit = server.visit(&cookie('a')).await;
    assert_eq!(visit.session.owner().unwrap().as_str(), "ann");
    assert_eq!(visit.session.get::<String>("basket").unwrap().as_deref(), Some("apple"));
    visit.session.insert("basket", "pear").unwrap();
    assert_eq!(visit.finish().await.unwrap(), None, "the browser keeps its key");

    let again = server.sessions.take_over(&key('a')).unwrap();
    again.insert("basket", "stale").unwrap();
    assert_eq!(kind_of(again.commit().await), Some(ErrorKind::Key));
    assert_eq!(server.read(&cookie('a'), "basket").await.as_deref(), Some("pear"));

    server.sessions.take_over(&key('b')).unwrap().commit().await.unwrap();
    assert_eq!(server.id(&cookie('b')).await, None, "what holds nothing is not stored");
    server.clock.advance(secs(100));
    assert_eq!(server.id(&cookie('a')).await, None, "it ends when it would have");
}

pub(crate) async fn a_taken_over_session_rotates_to_a_token_with_a_grace(place: &Place) {
    let server = Server::with_keys(place, theirs());
    let session = server.sessions.take_over(&key('a')).unwrap();
    session.login("ann").unwrap();
    session.commit().await.unwrap();
    let token = rotate(&server, &cookie('a')).await;
    assert_eq!(token.len(), 15 + Token::TEXT_LEN, "a token of ours");
    assert_eq!(server.id(&token).await, server.id(&cookie('a')).await, "in the same session");
    let late = server.visit(&cookie('a')).await;
    late.session.insert("late", "too").unwrap();
    late.finish().await.unwrap();
    assert_eq!(server.read(&token, "late").await.as_deref(), Some("too"));
    server.clock.advance(secs(60));
    server.events.take();
    assert_eq!(server.id(&cookie('a')).await, None);
    assert_eq!(server.events.take(), ["replayed"]);
    assert_eq!(server.owner(&token).await.as_deref(), Some("ann"));
}

/// R30: as any rotation, it keeps what is not the key.
pub(crate) async fn a_rotation_of_a_drawn_key_moves_the_session(place: &Place) {
    let server = Server::with_keys(place, drawn("ab"));
    server.signed_in("ann").await;
    server.write(&cookie('a'), "key", "value").await;
    let before = server.visit(&cookie('a')).await.session.record().unwrap();
    server.clock.advance(secs(100));
    server.events.take();
    assert_eq!(rotate(&server, &cookie('a')).await, cookie('b'));
    assert_eq!(server.events.take(), ["rekeyed"]);
    let after = server.visit(&cookie('b')).await.session.record().unwrap();
    assert_eq!(Some(after.id), theirs().id_of(&key('b')));
    assert_eq!((after.data, after.owner, after.level), (before.data, before.owner, before.level));
    assert_eq!(
        (after.created_at, after.authenticated_at),
        (before.created_at, before.authenticated_at)
    );
    assert_eq!(after.absolute_deadline, before.absolute_deadline);
    assert_eq!(server.sessions.list("ann", None, None).await.unwrap().devices.len(), 1);

    let late = server.visit(&cookie('a')).await;
    assert!(late.session.owner().is_none() && !late.session.has_ended());
    late.session.insert("late", "refused").unwrap();
    let (committed, set) = late.finish_with(StatusCode::OK).await;
    assert_eq!((kind_of(committed), set), (Some(ErrorKind::Ended), None));
    server.clock.advance(secs(60));
    assert!(server.visit(&cookie('a')).await.session.has_ended());
    assert_eq!(server.owner(&cookie('b')).await.as_deref(), Some("ann"));
}

/// R60: the move of a session loses nobody's word.
pub(crate) async fn what_is_written_during_a_move_comes_along(place: &Place) {
    let server = Server::with_keys(place, drawn("ab"));
    server.signed_in("ann").await;
    let visit = server.visit(&cookie('a')).await;
    visit.session.rotate().unwrap();
    visit.session.insert("own", "pear").unwrap();
    let other = server.visit(&cookie('a')).await;
    other.session.insert("late", "plum").unwrap();
    other.session.lower(0).unwrap();
    other.finish().await.unwrap();
    assert_eq!(visit.finish().await.unwrap(), Some(cookie('b')));
    let session = server.visit(&cookie('b')).await.session;
    assert_eq!(session.keys(), ["late", "own"]);
    assert_eq!(session.record().unwrap().level, 0, "nor is authority won back");
}

pub(crate) async fn of_two_moves_of_one_session_one_succeeds(place: &Place) {
    let server = Server::with_keys(place, drawn("abcd"));
    server.signed_in("ann").await;
    let (one, two) = (server.visit(&cookie('a')).await, server.visit(&cookie('a')).await);
    one.session.rotate().unwrap();
    two.session.rotate().unwrap();
    assert_eq!(one.finish().await.unwrap(), Some(cookie('b')));
    let (committed, set) = two.finish_with(StatusCode::OK).await;
    assert_eq!((kind_of(committed), set), (Some(ErrorKind::Ended), None));
    assert_eq!(server.id(&cookie('c')).await, None, "the second leaves nothing behind");
    assert_eq!(server.sessions.list("ann", None, None).await.unwrap().devices.len(), 1);
    assert_eq!(server.owner(&cookie('b')).await.as_deref(), Some("ann"));
}

/// R38: a logout wins against a move as against any other write.
pub(crate) async fn a_session_that_ended_does_not_move(place: &Place) {
    let server = Server::with_keys(place, drawn("abz"));
    server.write("", "key", "value").await;
    let (moving, leaving) = (server.visit(&cookie('a')).await, server.visit(&cookie('a')).await);
    moving.session.rotate().unwrap();
    leaving.session.invalidate().unwrap();
    leaving.finish().await.unwrap();
    let (committed, set) = moving.finish_with(StatusCode::OK).await;
    assert_eq!((kind_of(committed), set), (Some(ErrorKind::Ended), None));
    assert_eq!((server.id(&cookie('a')).await, server.id(&cookie('b')).await), (None, None));
}

/// R40: a session that moves while all of its owner's end is no login, and ends with them.
pub(crate) async fn no_move_escapes_the_end_of_all_sessions(place: &Place) {
    let server = Server::with_keys(place, drawn("abcd"));
    server.signed_in("ann").await;
    server.clock.advance(secs(1));
    let id = server.id(&cookie('a')).await;
    // Whoever ends them has written the instant, and is yet to delete.
    let (owner, instant) = ("ann".try_into().unwrap(), server.now());
    place.store.delete_owner(&owner, id, instant, Durability::Process).await.unwrap();
    server.clock.advance(secs(1));
    let visit = server.visit(&cookie('a')).await;
    visit.session.rotate().unwrap();
    let (committed, set) = visit.finish_with(StatusCode::OK).await;
    assert_eq!((kind_of(committed), set), (Some(ErrorKind::Ended), None));
    assert_eq!(server.sessions.revoke_all("ann", None).await.unwrap(), 1);
    assert!(server.sessions.list("ann", None, None).await.unwrap().devices.is_empty());
}

/// R40: one that was spared by another end of all sessions may move, and is looked for again.
pub(crate) async fn a_move_past_the_list_is_found_by_the_next(place: &Place) {
    let server = Server::with_keys(place, drawn("ab"));
    server.signed_in("ann").await;
    let mut moved = server.visit(&cookie('a')).await.session.record().unwrap();
    moved.id = theirs().id_of(&key('c')).unwrap();
    moved.login_began_at = Some(server.now() + secs(1));
    server.store.appears_late(moved);
    assert_eq!(server.sessions.revoke_all("ann", None).await.unwrap(), 2);
    assert!(server.sessions.list("ann", None, None).await.unwrap().devices.is_empty());
}

pub(crate) async fn a_spared_session_may_still_move(place: &Place) {
    let server = Server::with_keys(place, drawn("abcd"));
    server.signed_in("ann").await;
    server.signed_in("ann").await;
    server.write(&cookie('b'), "key", "value").await;
    server.clock.advance(secs(1));
    let here = server.id(&cookie('b')).await;
    assert_eq!(server.sessions.revoke_all("ann", here).await.unwrap(), 1);
    assert_eq!(server.id(&cookie('a')).await, None);
    assert_eq!(rotate(&server, &cookie('b')).await, cookie('c'));
    assert_eq!(server.read(&cookie('c'), "key").await.as_deref(), Some("value"));
    let there = server.id(&cookie('c')).await;
    assert_eq!(server.sessions.revoke_all("bob", there).await.unwrap(), 0, "not bob's to spare");
    // A write comes between the look at the session that is spared and the note of it.
    let barrier = server.store.stop_after(1);
    let sessions = server.sessions.clone();
    let sparing = tokio::spawn(async move { sessions.revoke_all("ann", there).await });
    assert!(barrier.is_met_by(&sparing).await);
    server.write(&cookie('c'), "key", "new").await;
    barrier.lift();
    assert_eq!(sparing.await.unwrap().unwrap(), 0);
    assert_eq!(rotate(&server, &cookie('c')).await, cookie('d'));
    assert_eq!(server.read(&cookie('d'), "key").await.as_deref(), Some("new"));
    server.clock.advance(secs(1));
    assert_eq!(server.sessions.revoke_all("ann", None).await.unwrap(), 1);
    assert_eq!(server.id(&cookie('d')).await, None);
}

/// R28: a new identifier at a step-up, and the one before opens nothing from then on.
pub(crate) async fn a_step_up_with_a_drawn_key_moves_the_session(place: &Place) {
    let server = Server::with_keys(place, drawn("ab"));
    server.signed_in("ann").await;
    server.clock.advance(secs(100));
    let visit = server.visit(&cookie('a')).await;
    visit.session.reauthenticate(3).unwrap();
    assert_eq!(visit.finish().await.unwrap(), Some(cookie('b')));
    let session = server.visit(&cookie('b')).await.session;
    assert!(session.authenticated_within(secs(1)));
    assert_eq!(session.record().unwrap().level, 3);
    assert_eq!(server.owner(&cookie('a')).await, None);
}

// R26
pub(crate) async fn a_drawn_key_is_not_moved_over_plain_http(place: &Place) {
    let server = Server::with_keys(place, drawn("ab"));
    server.write("", "key", "value").await;
    let pairs = [("cookie", cookie('a')), ("host", "shop.example".to_owned())];
    let headers = pairs.map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap())
    });
    let client = Client::default().with_tls(Some(false));
    let exchange = server.sessions.begin(&HeaderMap::from_iter(headers), client);
    exchange.handle().session().await.unwrap().rotate().unwrap();
    let mut answer = HeaderMap::new();
    let committed = exchange.finish(StatusCode::OK, &mut answer).await;
    assert_eq!(kind_of(committed), Some(ErrorKind::PlainHttp));
    assert!(!answer.contains_key("set-cookie"));
    assert_eq!(server.read(&cookie('a'), "key").await.as_deref(), Some("value"));
}

// R67
pub(crate) async fn taking_sessions_over_is_no_flood(place: &Place) {
    let change = |config: &mut Config| config.anonymous_per_minute = NonZeroU32::new(1);
    let server = Server::built(place, change, |builder| builder.keys(theirs()));
    for letter in ['a', 'b', 'c'] {
        let session = server.sessions.take_over(&key(letter)).unwrap();
        session.insert("basket", "apple").unwrap();
        session.commit().await.unwrap();
    }
    server.write("", "basket", "the one of this minute").await;
}

// R40
pub(crate) async fn nothing_moved_or_taken_over_escapes_the_end_of_everybody(place: &Place) {
    let server = Server::with_keys(place, drawn("abcdef"));
    server.signed_in("ann").await;
    let rotation = server.visit(&cookie('a')).await;
    rotation.session.rotate().unwrap();
    let taken_over = server.sessions.take_over(&key('x')).unwrap();
    taken_over.login("bob").unwrap();
    server.clock.advance(secs(1));
    assert_eq!(server.sessions.revoke_everybody().await.unwrap(), 1);
    assert_eq!(kind_of(rotation.finish().await), Some(ErrorKind::Ended));
    assert_eq!(kind_of(taken_over.commit().await), Some(ErrorKind::Ended));
    for owner in ["ann", "bob"] {
        assert_eq!(server.sessions.list(owner, None, None).await.unwrap().devices, []);
    }
    server.clock.advance(secs(1));
    let again = server.sessions.take_over(&key('y')).unwrap();
    again.login("bob").unwrap();
    again.commit().await.unwrap();
    assert_eq!(server.owner(&cookie('y')).await.as_deref(), Some("bob"));
}
