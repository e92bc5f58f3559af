//! The front page and its forms.

use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Form;
use axum::extract::State;
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use sessile::{Record, Session, SessionId};

use super::frame;
use crate::app::App;
use crate::basket::{Basket, Item};
use crate::burst::{self, Burst};
use crate::ending::End;
use crate::keys::{BASKET, NOTICE, VISITS};
use crate::pages::home::{Facts, Home, Notice};
use crate::pages::{Frame, Place};
use crate::simulation;

pub(super) async fn home(
    State(app): State<Arc<App>>,
    session: Session,
) -> sessile::Result<Response> {
    let frame = frame(&session, "Home", Place::Home)?;
    let notice = session.take(NOTICE)?;
    if frame.flashes.is_empty() && notice.is_none() {
        // Whoever comes back from a form has been here all along.
        session.update(VISITS, |visits: Option<u64>| visits.unwrap_or_default() + 1)?;
    }
    let began = Instant::now();
    match session.commit().await {
        Ok(()) => shown(&app, &session, frame, notice, Some(began.elapsed())).await,
        // What was stored before can still be shown, and so it is.
        Err(error) if error.status() == StatusCode::SERVICE_UNAVAILABLE => {
            let frame = Frame { flashes: Vec::new(), ..frame };
            shown(&app, &session, frame, None, None).await
        }
        Err(error) => Err(error),
    }
}

/// The page of what is stored; `save` is how long the save took, if there was one.
async fn shown(
    app: &App,
    session: &Session,
    frame: Frame,
    notice: Option<Notice>,
    save: Option<Duration>,
) -> sessile::Result<Response> {
    let facts = match session.record() {
        Some(record) => Some(facts(app, &record, save).await),
        None => None,
    };
    let home = Home {
        frame,
        visits: session.get(VISITS)?.unwrap_or_default(),
        basket: session.get(BASKET)?.unwrap_or_default(),
        facts,
        notice,
        trouble: save.is_none(),
        supervised: app.plug.is_some(),
        lasts: app.whereabouts.outlives_us(),
        process: process::id(),
    };
    let status = if home.trouble { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Ok((status, home.page()).into_response())
}

async fn facts(app: &App, record: &Record, save: Option<Duration>) -> Facts {
    let now = SystemTime::now();
    let left = |until: SystemTime| until.duration_since(now).unwrap_or_default();
    Facts {
        id: record.id,
        age: now.duration_since(record.created_at).unwrap_or_default(),
        idle_left: record.idle_timeout.map(|idle| left(record.used_at + idle)),
        absolute_left: left(record.absolute_deadline),
        place: app.whereabouts.in_short(record.id).await,
        save,
    }
}

/// Kills this process, once the answer has left. Its parent starts another.
pub(super) async fn plug(
    State(app): State<Arc<App>>,
    session: Session,
) -> sessile::Result<Response> {
    let Some(plug) = &app.plug else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    session.insert(NOTICE, &Notice::Killed(process::id()))?;
    session.commit().await?;
    plug.begin(End::Plug);
    Ok(home_again().into_response())
}

/// Sends this server forty requests with the cookie of this one.
pub(super) async fn at_once(
    State(app): State<Arc<App>>,
    session: Session,
    headers: HeaderMap,
) -> sessile::Result<Redirect> {
    if let (Some(id), Some(cookie)) = (session.id(), headers.get(COOKIE)) {
        let (visits, conflicts) = (stored_visits(&app, id).await?, app.events.conflicts_of(id));
        let answers = burst::send(&app.own_client, cookie).await;
        let burst = Burst {
            counted: stored_visits(&app, id).await?.saturating_sub(visits),
            conflicts: app.events.conflicts_of(id) - conflicts,
            ..burst::tally(&answers, simulation::run(burst::REQUESTS, burst::HOLD).await)
        };
        session.insert(NOTICE, &Notice::Burst(burst))?;
    }
    Ok(home_again())
}

/// How many visits are stored, whatever this request has loaded.
async fn stored_visits(app: &App, id: SessionId) -> sessile::Result<u64> {
    let session = app.sessions.find(id).await?;
    let visits = session.map(|session| session.get(VISITS)).transpose()?.flatten();
    Ok(visits.unwrap_or_default())
}

#[derive(Deserialize)]
pub(super) struct Add {
    item: Item,
}

pub(super) async fn add(
    session: Session,
    Form(Add { item }): Form<Add>,
) -> sessile::Result<Redirect> {
    session.update(BASKET, move |basket: Option<Basket>| basket.unwrap_or_default().with(item))?;
    session.flash(&format!("One more {} in your basket.", item.name().to_lowercase()))?;
    Ok(home_again())
}

pub(super) async fn empty(session: Session) -> sessile::Result<Redirect> {
    session.insert(BASKET, &Basket::default())?;
    session.flash("Your basket is empty.")?;
    Ok(home_again())
}

fn home_again() -> Redirect {
    Redirect::to("/")
}
