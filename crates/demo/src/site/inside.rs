//! One's own record as it is stored, and what a thief could make of it.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::{HeaderValue, Method};
use axum::response::Redirect;
use data_encoding::BASE64URL_NOPAD;
use maud::Markup;
use sessile::{Record, Session};

use super::frame;
use crate::app::App;
use crate::keys::THIEF;
use crate::pages::Place;
use crate::pages::inside::{Answer, Attempt, Inside, Stored};

pub(super) async fn inside(
    State(app): State<Arc<App>>,
    session: Session,
) -> sessile::Result<Markup> {
    let frame = frame(&session, "Inside", Place::Inside)?;
    let answers = session.take(THIEF)?.unwrap_or_default();
    session.commit().await?;
    let record = match session.record() {
        Some(record) => Some(stored(&app, &record, answers).await),
        None => None,
    };
    let events = session.id().map(|id| app.events.of(id)).unwrap_or_default();
    Ok(Inside { frame, record, events, now: SystemTime::now() }.page())
}

async fn stored(app: &App, record: &Record, answers: Vec<Answer>) -> Stored {
    let mut answers = answers.into_iter();
    let attempts = loot(record).map(|(made_of, token)| Attempt {
        made_of,
        cookie: format!("{}={token}", app.cookie_name()),
        answer: answers.next(),
    });
    Stored {
        lies: app.whereabouts.in_full(record.id).await,
        keys: record.data.iter().map(|(key, json)| (key.to_owned(), json.len())).collect(),
        thief: attempts.into(),
    }
}

/// What looks like a token and can be made of a record: its public ID, and either half of the
/// secret's hash in the secret's place.
fn loot(record: &Record) -> [(&'static str, String); 2] {
    let (first, second) = record.secret_hash.as_bytes().split_at(16);
    let token = |secret: &[u8]| BASE64URL_NOPAD.encode(&[record.id.as_bytes(), secret].concat());
    [
        ("Public ID and the first half of the hash", token(first)),
        ("Public ID and the second half of the hash", token(second)),
    ]
}

/// Presents the loot to this server, as anybody could.
pub(super) async fn thief(
    State(app): State<Arc<App>>,
    session: Session,
) -> sessile::Result<Redirect> {
    if let Some(record) = session.record() {
        let mut answers = Vec::new();
        for (_, token) in loot(&record) {
            answers.push(present(&app, &token).await);
        }
        session.insert(THIEF, &answers)?;
    }
    Ok(Redirect::to("/inside#thief"))
}

async fn present(app: &App, token: &str) -> Answer {
    let cookie = HeaderValue::from_str(&format!("{}={token}", app.cookie_name()));
    let cookie = cookie.expect("a cookie's name and base64url are visible ASCII");
    match app.own_client.send(Method::GET, "/api/read", cookie).await {
        Ok((status, body)) => Answer::new(status, &body),
        Err(_) => Answer::none(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use sessile::{SecretHash, SessionId, Token};

    use super::*;

    #[test]
    fn the_loot_has_the_form_of_a_token() {
        let id = SessionId::from_bytes([1; 16]);
        let hash = SecretHash::from_bytes([2; 32]);
        let record = Record::new(id, hash, UNIX_EPOCH, None, Duration::from_secs(1));
        for (_, text) in loot(&record) {
            assert_eq!(Token::parse(text.as_bytes()).map(|token| token.id()), Some(id));
        }
    }
}
