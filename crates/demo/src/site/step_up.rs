//! What asks for more than being signed in: ending all other sessions.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use maud::Markup;
use serde::Deserialize;
use sessile::{Owner, Session, SignedIn};

use super::frame;
use crate::app::App;
use crate::pages::{self, Place};
use crate::words;

/// The level of somebody who signed in and confirmed it since. Signing in gives 1.
const CONFIRMED: u8 = 2;

/// How long a confirmation is good for.
const CONFIRMED_FOR: Duration = Duration::from_secs(5 * 60);

pub(super) async fn end_others(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    session: Session,
) -> sessile::Result<Redirect> {
    match is_confirmed(&session) {
        true => end_all_others(&app, owner, &session).await,
        false => Ok(Redirect::to("/devices/confirm")),
    }
}

fn is_confirmed(session: &Session) -> bool {
    let level = session.record().map_or(0, |record| record.level);
    level >= CONFIRMED && session.authenticated_within(CONFIRMED_FOR)
}

pub(super) async fn ask(_: SignedIn, session: Session) -> sessile::Result<Markup> {
    Ok(pages::step_up::page(&frame(&session, "Confirm", Place::Devices)?))
}

/// A password that was typed. A demo has nothing to compare it with, so it is dropped at once.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Typed;

impl TryFrom<String> for Typed {
    type Error = &'static str;

    fn try_from(password: String) -> Result<Self, &'static str> {
        if password.is_empty() { Err("no password was typed") } else { Ok(Self) }
    }
}

#[derive(Deserialize)]
pub(super) struct Proof {
    #[serde(rename = "password")]
    _password: Typed,
}

pub(super) async fn confirm(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    session: Session,
    Form(Proof { .. }): Form<Proof>,
) -> sessile::Result<Redirect> {
    session.reauthenticate(CONFIRMED)?;
    // Nobody else's session ends for a confirmation that could not be saved.
    session.commit().await?;
    end_all_others(&app, owner, &session).await
}

async fn end_all_others(app: &App, owner: Owner, session: &Session) -> sessile::Result<Redirect> {
    let ended = app.sessions.revoke_all(owner, session.id()).await?;
    session.flash(&format!("{} ended.", words::count(ended, "other session")))?;
    Ok(Redirect::to("/devices"))
}
