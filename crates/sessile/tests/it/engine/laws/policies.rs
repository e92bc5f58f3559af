//! What a configuration may choose between.

use std::num::{NonZeroU32, NonZeroUsize};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sessile::{
    Client, Config, CookieConfig, ErrorKind, Exchange, OnOtherClient, OnOutage, OnOwnerLimit,
    OnReplay, SessionId, Transport,
};

use crate::engine::Place;
use crate::engine::harness::{Server, kind_of, pair_of, secs};

/// Signs in `n` times, a second apart.
async fn sign_in(server: &Server, n: usize) -> Vec<String> {
    let mut cookies = Vec::new();
    for _ in 0..n {
        cookies.push(server.signed_in("ann").await);
        server.clock.advance(secs(1));
    }
    cookies
}

// R41, R68
pub(crate) async fn logins_over_the_limit_end_the_oldest(place: &Place) {
    let server = Server::with(place, |config| config.sessions_per_owner = NonZeroUsize::new(2));
    let cookies = sign_in(&server, 4).await;
    let mut live = Vec::new();
    for cookie in &cookies {
        live.push(server.id(cookie).await.is_some());
    }
    assert_eq!(live, [false, false, true, true]);
    let bob = server.signed_in("bob").await;
    assert!(server.id(&bob).await.is_some(), "owners are counted apart");
}

// R41
pub(crate) async fn logins_over_the_limit_are_refused_when_asked(place: &Place) {
    let server = Server::with(place, |config| {
        config.sessions_per_owner = NonZeroUsize::new(2);
        config.on_owner_limit = OnOwnerLimit::RefuseNew;
    });
    let cookies = sign_in(&server, 2).await;
    let anonymous = server.write("", "basket", "apple").await;
    let third = server.visit(&anonymous).await;
    third.session.login("ann").unwrap();
    let (committed, set) = third.finish_with(StatusCode::OK).await;
    assert_eq!((kind_of(committed), set), (Some(ErrorKind::OwnerLimit), None));
    assert_eq!(server.read(&anonymous, "basket").await.as_deref(), Some("apple"));
    // Logging in again in the same browser replaces a session, and is none too many.
    let again = server.visit(&cookies[0]).await;
    again.session.login("ann").unwrap();
    again.finish().await.unwrap().expect("a new cookie");
    assert_eq!(server.sessions.list("ann", None, None).await.unwrap().devices.len(), 2);
}

// R31
pub(crate) async fn a_replay_ends_the_session_when_asked(place: &Place) {
    let server = Server::with(place, |config| config.on_replay = OnReplay::End);
    let old = server.signed_in("ann").await;
    let visit = server.visit(&old).await;
    visit.session.rotate().unwrap();
    let new = visit.finish().await.unwrap().unwrap();
    let guess = sessile::Token::for_session(server.id(&new).await.unwrap()).unwrap();
    server.clock.advance(secs(60));
    server.visit(&format!("__Host-session={}", guess.reveal())).await;
    assert!(server.id(&new).await.is_some(), "a guess never ends a session");
    assert_eq!(server.id(&old).await, None);
    assert_eq!(server.id(&new).await, None);
    let names = server.events.take();
    assert!(names.contains(&"replayed") && names.contains(&"revoked"), "{names:?}");
}

// R67, R68
pub(crate) async fn anonymous_sessions_over_the_limit_are_refused_and_nobody_else(place: &Place) {
    let server = Server::with(place, |config| config.anonymous_per_minute = NonZeroU32::new(2));
    let (first, second) = (server.write("", "n", "1").await, server.write("", "n", "2").await);
    server.events.take();
    let third = server.visit("").await;
    third.session.insert("n", "3").unwrap();
    let (committed, set) = third.finish_with(StatusCode::OK).await;
    assert_eq!((kind_of(committed), set), (Some(ErrorKind::AnonymousLimit), None));
    assert_eq!(server.events.take(), ["anonymous_limit"]);
    for (cookie, value) in [(first, "1"), (second, "2")] {
        assert_eq!(server.read(&cookie, "n").await.as_deref(), Some(value), "none was evicted");
        server.write(&cookie, "n", "4").await;
    }
    let ann = server.signed_in("ann").await;
    assert!(server.id(&ann).await.is_some(), "a login is no session of nobody");
    server.clock.advance(secs(30));
    let again = server.write("", "n", "5").await;
    assert_eq!(server.read(&again, "n").await.as_deref(), Some("5"));
}

async fn id_at(server: &Server, cookie: &str, address: [u8; 4]) -> Option<SessionId> {
    let headers =
        HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::from_str(cookie).unwrap())]);
    let exchange = server.sessions.begin(&headers, Client::at(address));
    exchange.handle().session().await.unwrap().id()
}

async fn signed_in_at(server: &Server, address: [u8; 4]) -> String {
    let exchange = server.sessions.begin(&HeaderMap::new(), Client::at(address));
    exchange.handle().session().await.unwrap().login("ann").unwrap();
    let mut headers = HeaderMap::new();
    exchange.finish(StatusCode::OK, &mut headers).await.unwrap();
    pair_of(&headers["set-cookie"])
}

// R80
pub(crate) async fn another_address_is_refused_or_told_or_ends_as_asked(place: &Place) {
    for (choice, elsewhere, afterwards, told) in [
        (OnOtherClient::Allow, true, true, false),
        (OnOtherClient::Tell, true, true, true),
        (OnOtherClient::Refuse, false, true, true),
        (OnOtherClient::End, false, false, true),
    ] {
        let server = Server::with(place, |config| config.on_other_address = choice);
        let cookie = signed_in_at(&server, [192, 0, 2, 1]).await;
        assert!(id_at(&server, &cookie, [192, 0, 2, 99]).await.is_some(), "the same network");
        assert_eq!(
            id_at(&server, &cookie, [198, 51, 100, 1]).await.is_some(),
            elsewhere,
            "{choice:?}"
        );
        assert_eq!(
            id_at(&server, &cookie, [192, 0, 2, 1]).await.is_some(),
            afterwards,
            "{choice:?}"
        );
        assert_eq!(server.events.names().contains(&"other_address"), told, "{choice:?}");
    }
}

/// A navigation to `host` by this user agent, over a connection of which `tls` is known.
fn request(server: &Server, cookie: &str, agent: &str, host: &str, tls: Option<bool>) -> Exchange {
    let navigates = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let pairs = [("cookie", cookie), ("user-agent", agent), ("host", host)].into_iter();
    let pairs = pairs.chain(navigates).filter(|(_, value)| !value.is_empty());
    let pairs = pairs.map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    });
    server.sessions.begin(&pairs.collect(), Client::default().with_tls(tls))
}

async fn id_by(server: &Server, cookie: &str, agent: &str) -> Option<SessionId> {
    let exchange = request(server, cookie, agent, "", None);
    exchange.handle().session().await.unwrap().id()
}

// R80
pub(crate) async fn another_user_agent_is_refused_or_told_or_ends_as_asked(place: &Place) {
    for (choice, elsewhere, afterwards, told) in [
        (OnOtherClient::Allow, true, true, false),
        (OnOtherClient::Tell, true, true, true),
        (OnOtherClient::Refuse, false, true, true),
        (OnOtherClient::End, false, false, true),
    ] {
        let server = Server::with(place, |config| config.on_other_user_agent = choice);
        for other in ["Thief/1.0", ""] {
            let exchange = request(&server, "", "Browser/1.0", "", None);
            exchange.handle().session().await.unwrap().login("ann").unwrap();
            let mut headers = HeaderMap::new();
            exchange.finish(StatusCode::OK, &mut headers).await.unwrap();
            let cookie = pair_of(&headers["set-cookie"]);
            server.events.take();
            assert!(id_by(&server, &cookie, "Browser/1.0").await.is_some(), "the same browser");
            assert_eq!(id_by(&server, &cookie, other).await.is_some(), elsewhere, "{choice:?}");
            let still = id_by(&server, &cookie, "Browser/1.0").await.is_some();
            assert_eq!(still, afterwards, "{choice:?}");
            assert_eq!(server.events.take().contains(&"other_user_agent"), told, "{choice:?}");
        }
    }
}

// R26
pub(crate) async fn no_secure_cookie_goes_out_over_plain_http(place: &Place) {
    let server = Server::new(place);
    let wishes: [fn(&sessile::Session) -> sessile::Result<()>; 2] =
        [|session| session.insert("key", "value"), |session| session.login("ann")];
    for (host, tls, is_sent) in [
        ("shop.example", Some(true), true),
        ("shop.example", None, true),
        ("shop.example", Some(false), false),
        ("localhost:3000", Some(false), true),
        ("127.0.0.1:3000", Some(false), true),
    ] {
        for wish in wishes {
            let exchange = request(&server, "", "", host, tls);
            wish(&exchange.handle().session().await.unwrap()).unwrap();
            let calls = server.store.calls();
            let mut headers = HeaderMap::new();
            let committed = exchange.finish(StatusCode::OK, &mut headers).await;
            assert_eq!(headers.contains_key("set-cookie"), is_sent, "{host} {tls:?}");
            let refused = (!is_sent).then_some(ErrorKind::PlainHttp);
            assert_eq!(kind_of(committed), refused, "{host} {tls:?}");
            assert_eq!(server.store.calls() > calls, is_sent, "nothing is written in vain");
        }
    }
}

// R26
pub(crate) async fn what_is_no_secure_cookie_goes_out_over_plain_http(place: &Place) {
    let choices: [fn(&mut Config); 2] = [
        |config| config.cookie = CookieConfig::plain_http("id"),
        |config| config.transport = Transport::Header,
    ];
    for (choice, header) in choices.into_iter().zip(["set-cookie", "session-token"]) {
        let server = Server::with(place, choice);
        let exchange = request(&server, "", "", "shop.example", Some(false));
        exchange.handle().session().await.unwrap().insert("key", "value").unwrap();
        let mut headers = HeaderMap::new();
        exchange.finish(StatusCode::OK, &mut headers).await.unwrap();
        assert!(headers.contains_key(header), "{headers:?}");
    }
}

// R26
pub(crate) async fn a_session_over_plain_http_goes_on_without_a_new_cookie(place: &Place) {
    let server = Server::with(place, |config| config.rotate_every = Some(secs(3_600)));
    let cookie = server.signed_in("ann").await;
    server.clock.advance(secs(1_700));
    server.visit(&cookie).await;
    server.clock.advance(secs(1_700));
    server.visit(&cookie).await;
    server.clock.advance(secs(1_000));
    for (wish, refused) in [
        ((|session| session.rotate()) as fn(&sessile::Session) -> _, Some(ErrorKind::PlainHttp)),
        (|session| session.insert("key", "value"), None),
        (sessile::Session::invalidate, None),
    ] {
        let exchange = request(&server, &cookie, "", "shop.example", Some(false));
        wish(&exchange.handle().session().await.unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        let committed = exchange.finish(StatusCode::OK, &mut headers).await;
        assert_eq!(kind_of(committed), refused);
        let token = headers.get("set-cookie").map(pair_of);
        assert!(token.is_none_or(|pair| pair.ends_with('=')), "a token goes out");
    }
    assert_eq!(server.id(&cookie).await, None, "a logout is a logout");
}

// R65
pub(crate) async fn an_outage_reads_as_nobody_when_asked_and_writes_nothing(place: &Place) {
    let server = Server::with(place, |config| config.on_outage = OnOutage::ReadAsNobody);
    let cookie = server.signed_in("ann").await;
    server.store.fail("load");
    let visit = server.visit(&cookie).await;
    assert_eq!((visit.session.id(), visit.session.keys().len()), (None, 0));
    assert_eq!(kind_of(visit.session.invalidate()), Some(ErrorKind::Unavailable));
    assert_eq!(visit.finish().await.unwrap(), None, "reading goes on");
    let wishes: [fn(&sessile::Session) -> sessile::Result<()>; 5] = [
        |session| session.insert("key", "value"),
        |session| session.login("bob"),
        |session| session.lower(0),
        |session| session.rotate(),
        |session| session.expire_in(secs(1)),
    ];
    for wish in wishes {
        let visit = server.visit(&cookie).await;
        wish(&visit.session).unwrap();
        let (committed, set) = visit.finish_with(StatusCode::OK).await;
        assert_eq!((kind_of(committed), set), (Some(ErrorKind::Unavailable), None));
    }
    server.store.mend();
    assert_eq!(server.owner(&cookie).await.as_deref(), Some("ann"));
}
