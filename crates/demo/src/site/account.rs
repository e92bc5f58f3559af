//! Signing in and out, and the devices of whoever is signed in.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Form;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use serde::Deserialize;
use sessile::{Login, Session, SessionHandle, SessionId, SignedIn};

use super::frame;
use crate::app::App;
use crate::keys::USER;
use crate::pages::sign_in::Why;
use crate::pages::{self, Place};

/// A cookie that opens nothing. It tells a browser that was signed in from one whose ended session
/// was nobody's, so that the former is told why it is asked to sign in again, once.
mod hint {
    use super::{COOKIE, HeaderMap, HeaderValue};

    const SET: &str = "sessile-demo-signed-in=1";

    pub(super) const ADD: HeaderValue =
        HeaderValue::from_static("sessile-demo-signed-in=1; Path=/; HttpOnly; SameSite=Lax");
    /// For as long as a browser is remembered, 30 days.
    pub(super) const ADD_REMEMBERED: HeaderValue = HeaderValue::from_static(
        "sessile-demo-signed-in=1; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax",
    );
    pub(super) const REMOVE: HeaderValue = HeaderValue::from_static(
        "sessile-demo-signed-in=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
    );

    pub(super) fn is_in(headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
        cookies.flat_map(|cookies| cookies.split(';')).any(|cookie| cookie.trim() == SET)
    }
}

/// Answers a browser that was signed in, and is no more, with the sign-in form and the reason.
pub(super) async fn ended_elsewhere(request: Request, next: Next) -> sessile::Result<Response> {
    let handle = request.extensions().get::<SessionHandle>().cloned();
    if let Some(handle) = handle.filter(|_| hint::is_in(request.headers()))
        && handle.read().await?.has_ended()
    {
        let page = pages::sign_in::page(Why::Ended);
        return Ok((StatusCode::UNAUTHORIZED, [(SET_COOKIE, hint::REMOVE)], page).into_response());
    }
    Ok(next.run(request).await)
}

/// How long a browser is remembered that asks for it, used or not.
const REMEMBERED_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A name somebody signs in by.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(typed: String) -> Result<Self, &'static str> {
        let name = typed.trim();
        let fits = (1..=pages::sign_in::NAME_CHARS_MAX).contains(&name.chars().count());
        // A form that is not UTF-8 arrives with the replacement character, which is nobody's name.
        let plain = !name.chars().any(|it| it.is_control() || it == char::REPLACEMENT_CHARACTER);
        (fits && plain).then(|| Self(name.into())).ok_or("a name is 1 to 60 characters")
    }
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    name: Name,
    /// There when the box is ticked; browsers send nothing for one that is not.
    remember: Option<String>,
}

pub(super) async fn sign_in(
    session: Session,
    Form(SignIn { name: Name(name), remember }): Form<SignIn>,
) -> sessile::Result<impl IntoResponse> {
    let login = Login::new(&name);
    let (login, hint) = match remember {
        Some(_) => (login.remember_for(REMEMBERED_FOR), hint::ADD_REMEMBERED),
        None => (login, hint::ADD),
    };
    session.login(login)?;
    session.insert(USER, &name)?;
    session.flash(&format!("You are signed in as {name}."))?;
    Ok(([(SET_COOKIE, hint)], Redirect::to("/")))
}

pub(super) async fn sign_out(session: Session) -> sessile::Result<impl IntoResponse> {
    session.invalidate()?;
    // Browsers keep whole pages for the back button, some even those marked `no-store`.
    let forget =
        (HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\""));
    Ok(([(SET_COOKIE, hint::REMOVE), forget], Redirect::to("/signed-out")))
}

pub(super) async fn signed_out() -> Markup {
    pages::sign_in::page(Why::Left)
}

pub(super) async fn devices(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    session: Session,
) -> sessile::Result<Markup> {
    let frame = frame(&session, "Devices", Place::Devices)?;
    let devices = app.devices(owner, session.id()).await?;
    Ok(pages::devices::page(&frame, &devices, SystemTime::now()))
}

#[derive(Deserialize)]
pub(super) struct Which {
    id: SessionId,
}

pub(super) async fn end(
    State(app): State<Arc<App>>,
    SignedIn(owner): SignedIn,
    session: Session,
    Form(Which { id }): Form<Which>,
) -> sessile::Result<Redirect> {
    let ended = app.sessions.revoke(owner, id).await?;
    session.flash(if ended { "That session is ended." } else { "It had ended already." })?;
    Ok(Redirect::to("/devices"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_of_a_sensible_length() {
        let name = |typed: &str| Name::try_from(typed.to_string()).map(|Name(name)| name);
        assert_eq!(name("  ann ").as_deref(), Ok("ann"));
        assert_eq!(name(&"é".repeat(60)).as_deref(), Ok(&*"é".repeat(60)));
        for bad in ["", "  ", "a\nb", "\u{fffd}", &"x".repeat(61)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_hint_is_found_among_other_cookies() {
        for (cookies, found) in [
            ("a=1; sessile-demo-signed-in=1; b=2", true),
            ("sessile-demo-signed-in=1", true),
            ("sessile-demo-signed-in=", false),
            ("not-sessile-demo-signed-in=1", false),
        ] {
            let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(cookies))]);
            assert_eq!(hint::is_in(&headers), found, "{cookies}");
        }
    }
}
