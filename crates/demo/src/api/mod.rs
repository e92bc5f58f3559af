//! The same application as JSON, for scripts, load tools and tests.

mod asked;
mod failure;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sessile::{ExclusiveSession, ReadSession, Session, SessionId, SignedIn};

use asked::{Asked, Parameters};
use failure::Refusal;
pub(crate) use failure::in_json;

use crate::app::App;
use crate::keys::{self, USER, VISITS};

/// What a call answers, or why it could not.
type Answer = Result<Json<Value>, Refusal>;

/// The paths below `/api`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/none", get(none))
        .route("/read", get(read))
        .route("/count", post(count))
        .route("/exclusive", post(exclusive))
        .route("/set", post(set))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/rotate", post(rotate))
        .route("/sessions", get(sessions))
        .route("/revoke", post(revoke))
        .route("/revoke-others", post(revoke_others))
        .fallback(no_such_call)
}

/// Answers what none of them does.
pub(crate) async fn no_such_call() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// How long to hold the session between load and commit.
#[derive(Default, Deserialize)]
struct Hold {
    #[serde(default)]
    hold_ms: Milliseconds,
}

impl Parameters for Hold {
    const WANTED: &str = "hold_ms is a whole number of milliseconds, at most 60000";
}

impl Hold {
    async fn wait(&self) {
        tokio::time::sleep(Duration::from_millis(self.hold_ms.0)).await;
    }
}

#[derive(Default, Deserialize)]
#[serde(try_from = "u64")]
struct Milliseconds(u64);

impl TryFrom<u64> for Milliseconds {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, &'static str> {
        if number > 60_000 { Err("too long") } else { Ok(Self(number)) }
    }
}

async fn none() -> Json<Value> {
    Json(json!({}))
}

async fn read(session: ReadSession, Asked(hold): Asked<Hold>) -> Answer {
    hold.wait().await;
    let mut data = Map::new();
    for key in session.keys() {
        if let Some(value) = session.get(key.as_str())? {
            data.insert(key, value);
        }
    }
    Ok(Json(json!({ "data": data })))
}

async fn count(session: Session, Asked(hold): Asked<Hold>) -> Answer {
    hold.wait().await;
    count_one(&session).await
}

async fn exclusive(session: ExclusiveSession, Asked(hold): Asked<Hold>) -> Answer {
    hold.wait().await;
    count_one(&session).await
}

async fn count_one(session: &Session) -> Answer {
    session.update(VISITS, |visits: Option<u64>| visits.unwrap_or_default() + 1)?;
    // Others may count at the same time: only the commit knows the number.
    session.commit().await?;
    Ok(Json(json!({ "count": session.get(VISITS)? })))
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    value: String,
}

impl Parameters for Pair {
    const WANTED: &str = "POST /api/set?key=K&value=V, each of them once";
}

async fn set(session: Session, Asked(hold): Asked<Hold>, Asked(pair): Asked<Pair>) -> Answer {
    if keys::is_own(&pair.key) {
        return Err(Refusal::Asked("take another key: this one is the demo's own"));
    }
    hold.wait().await;
    session.insert(pair.key.as_str(), &pair.value)?;
    session.commit().await?;
    Ok(Json(json!({ "key": pair.key, "value": pair.value })))
}

#[derive(Deserialize)]
struct Who {
    user: String,
}

impl Parameters for Who {
    const WANTED: &str = "POST /api/login?user=U, with one user";
}

async fn login(session: Session, Asked(hold): Asked<Hold>, Asked(who): Asked<Who>) -> Answer {
    if who.user.chars().any(char::is_control) {
        return Err(Refusal::Asked("give a user without control characters"));
    }
    hold.wait().await;
    session.login(who.user.as_str())?;
    session.insert(USER, who.user.as_str())?;
    session.commit().await?;
    Ok(Json(json!({ "user": who.user })))
}

async fn logout(session: Session, Asked(hold): Asked<Hold>) -> Answer {
    hold.wait().await;
    session.invalidate()?;
    session.commit().await?;
    Ok(Json(json!({})))
}

async fn rotate(session: Session, Asked(hold): Asked<Hold>) -> Answer {
    hold.wait().await;
    session.rotate()?;
    session.commit().await?;
    Ok(Json(json!({})))
}

async fn sessions(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    session: ReadSession,
    Asked(hold): Asked<Hold>,
) -> Answer {
    hold.wait().await;
    let devices = app.devices(owner, session.id()).await?;
    let shown = devices.iter().map(|device| {
        json!({
            "id": device.id,
            "current": device.this,
            "device": crate::words::device(device.user_agent.as_deref()),
        })
    });
    Ok(Json(json!({ "sessions": shown.collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
struct Which {
    id: SessionId,
}

impl Parameters for Which {
    const WANTED: &str = "POST /api/revoke?id=ID, with one ID as GET /api/sessions shows it";
}

async fn revoke(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    Asked(hold): Asked<Hold>,
    Asked(which): Asked<Which>,
) -> Answer {
    hold.wait().await;
    let revoked = app.sessions.revoke(owner, which.id).await?;
    Ok(Json(json!({ "revoked": revoked })))
}

async fn revoke_others(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    session: ReadSession,
    Asked(hold): Asked<Hold>,
) -> Answer {
    hold.wait().await;
    let revoked = app.sessions.revoke_all(owner, session.id()).await?;
    Ok(Json(json!({ "revoked": revoked })))
}
