//! What operators see of an engine, and what nobody may see of a session.

use std::io;
use std::sync::{Arc, Mutex};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::engine::harness::{Server, secs};
use crate::engine::memory;

const OWNER: &str = "ann@example.org";
const KEY: &str = "postbox";
const VALUE: &str = "a love letter";

/// Everything that was logged, at every level, spans' beginnings and ends included.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs what this thread does from now on, until the guard is dropped.
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What of a cookie nobody may see: the token, and its secret in every common spelling.
fn secrets_of(cookie: &str) -> Vec<String> {
    let token = cookie.split_once('=').unwrap().1;
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).unwrap();
    let secret = &bytes[16..];
    let spelled = [BASE64URL_NOPAD.encode(secret), HEXLOWER.encode(secret), format!("{secret:?}")];
    // 16 bytes end within a character of base64, which the secret's first bits share.
    [[token.into(), token[22..].into()].to_vec(), spelled.to_vec()].concat()
}

/// The cookie of a guess: the right ID and another secret.
fn guess(cookie: &str) -> String {
    let last = if cookie.ends_with('A') { 'E' } else { 'A' };
    format!("{}{last}", &cookie[..cookie.len() - 1])
}

#[tokio::test]
async fn what_is_traced_holds_no_token_no_secret_no_owner_and_no_value() {
    let (place, log) = (memory(), Log::default());
    let server = Server::new(&place);
    let logging = log.begin();

    let anonymous = server.write("", KEY, VALUE).await;
    let visit = server.visit(&anonymous).await;
    visit.session.login(OWNER).unwrap();
    let first = visit.finish().await.unwrap().unwrap();
    let visit = server.visit(&first).await;
    visit.session.rotate().unwrap();
    let second = visit.finish().await.unwrap().unwrap();
    assert_eq!(server.id(&anonymous).await, None, "a login replaced it");
    server.clock.advance(secs(61));
    for refused in [&first, &guess(&second)] {
        assert_eq!(server.id(refused).await, None);
    }
    let failing = server.visit(&second).await;
    failing.session.insert(KEY, &format!("{VALUE}, again")).unwrap();
    server.store.fail("update");
    failing.finish().await.unwrap_err();
    server.store.fail("load");
    assert!(server.try_visit(&second).await.is_err());
    server.store.mend();
    let id = server.id(&second).await.unwrap().to_string();
    server.sessions.revoke_all(OWNER, None).await.unwrap();

    drop(logging);
    let text = log.text();
    let secrets = [&anonymous, &first, &second].map(|cookie| secrets_of(cookie)).concat();
    for secret in secrets.iter().map(String::as_str).chain([OWNER, KEY, VALUE]) {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    let events = ["created", "logged_in", "rotated", "superseded", "replayed", "refused"];
    let more = ["store_failed", "owner_revoked", "sessile.load", "sessile.commit", &id];
    for said in events.into_iter().chain(more) {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_load_and_a_commit_are_spans_with_the_public_id() {
    let (place, log) = (memory(), Log::default());
    let server = Server::new(&place);
    let cookie = server.write("", "key", "value").await;
    let id = server.id(&cookie).await.unwrap();
    let logging = log.begin();
    server.write(&cookie, "key", "other").await;
    drop(logging);
    for span in ["sessile.load", "sessile.commit"] {
        let span = format!("DEBUG {span}{{session={id}}}: sessile: close");
        assert_eq!(log.text().matches(&span).count(), 1, "{span} is not once in\n{}", log.text());
    }
}
