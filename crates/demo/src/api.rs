//! The same application as JSON, for scripts, load tools and tests.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sessile::{ErrorKind, ExclusiveSession, ReadSession, Session, SessionId, SignedIn};

use crate::app::App;
use crate::keys::{self, USER, VISITS};

/// The longest a request may hold its session.
const HOLD_MAX: Duration = Duration::from_secs(10);

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
        .fallback(|| async { StatusCode::NOT_FOUND })
}

/// Gives a failure of any origin the body of all failures. It says no more than its status does.
pub(crate) async fn json_failures(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let error = status.canonical_reason().unwrap_or("failure").to_lowercase();
    crate::app::with_body(response, Json(json!({ "error": error })))
}

/// Why a call failed.
#[derive(Debug)]
enum Refusal {
    Session(sessile::Error),
    /// The key is the demo's own, or the engine's.
    OwnKey,
}

impl From<sessile::Error> for Refusal {
    fn from(error: sessile::Error) -> Self {
        Self::Session(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self::Session(error) = self else { return StatusCode::BAD_REQUEST.into_response() };
        match error.kind() {
            // What came in the request was no key, no owner, or too much.
            ErrorKind::Value => StatusCode::BAD_REQUEST.into_response(),
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
            _ => error.into_response(),
        }
    }
}

/// How long to hold the session between load and commit.
#[derive(Deserialize)]
struct Hold {
    #[serde(default)]
    hold_ms: u64,
}

impl Hold {
    async fn wait(&self) {
        tokio::time::sleep(Duration::from_millis(self.hold_ms).min(HOLD_MAX)).await;
    }
}

async fn none() -> Json<Value> {
    Json(json!({}))
}

async fn read(session: ReadSession, hold: Query<Hold>) -> Answer {
    hold.wait().await;
    let mut data = Map::new();
    for key in session.keys() {
        if let Some(value) = session.get(key.as_str())? {
            data.insert(key, value);
        }
    }
    Ok(Json(json!({ "data": data })))
}

async fn count(session: Session, hold: Query<Hold>) -> Answer {
    hold.wait().await;
    count_one(&session).await
}

async fn exclusive(session: ExclusiveSession, hold: Query<Hold>) -> Answer {
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

async fn set(session: Session, hold: Query<Hold>, Query(pair): Query<Pair>) -> Answer {
    if keys::is_own(&pair.key) {
        return Err(Refusal::OwnKey);
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

async fn login(session: Session, hold: Query<Hold>, Query(who): Query<Who>) -> Answer {
    hold.wait().await;
    session.login(who.user.as_str())?;
    session.insert(USER, who.user.as_str())?;
    session.commit().await?;
    Ok(Json(json!({ "user": who.user })))
}

async fn logout(session: Session, hold: Query<Hold>) -> Answer {
    hold.wait().await;
    session.invalidate()?;
    session.commit().await?;
    Ok(Json(json!({})))
}

async fn rotate(session: Session, hold: Query<Hold>) -> Answer {
    hold.wait().await;
    session.rotate()?;
    session.commit().await?;
    Ok(Json(json!({})))
}

async fn sessions(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    session: ReadSession,
    hold: Query<Hold>,
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

async fn revoke(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    hold: Query<Hold>,
    Query(which): Query<Which>,
) -> Answer {
    hold.wait().await;
    let revoked = app.sessions.revoke(owner, which.id).await?;
    Ok(Json(json!({ "revoked": revoked })))
}

async fn revoke_others(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    session: ReadSession,
    hold: Query<Hold>,
) -> Answer {
    hold.wait().await;
    let revoked = app.sessions.revoke_all(owner, session.id()).await?;
    Ok(Json(json!({ "revoked": revoked })))
}
