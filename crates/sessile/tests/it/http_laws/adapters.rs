//! The frameworks: each an application whose handler carries out the script of its request.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use sessile::{Error, ErrorKind, SessionHandle, Sessions};
use tower::util::BoxCloneSyncService;
use tower::{Layer, service_fn};

use super::script::{Ask, NOBODY, Script};

/// An application as the rows see it: one that finds an [`Arc<Script>`](Script) in the extensions of
/// its request, asks for the session the way the script says, and answers what came of it.
pub(super) type App = BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

/// The layer around a plain service, which asks by the handle in its request's extensions.
pub(super) fn tower(sessions: &Sessions) -> App {
    let service = service_fn(async |request: Request<()>| Ok(by_hand(&request).await));
    BoxCloneSyncService::new(sessions.layer().layer(service))
}

async fn by_hand(request: &Request<()>) -> Response<String> {
    let script = request.extensions().get::<Arc<Script>>().expect("a row has a script");
    let handle = request.extensions().get::<SessionHandle>().expect("the layer adds a handle");
    ask_by_hand(script, handle).await.unwrap_or_else(|error| refused(&error))
}

async fn ask_by_hand(script: &Script, handle: &SessionHandle) -> sessile::Result<Response<String>> {
    match script.ask {
        Ask::Nothing => Ok(script.page("")),
        Ask::Session => script.play(&handle.session().await?).await,
        Ask::Existing => match handle.existing().await? {
            Some(session) => script.play(&session).await,
            None => Ok(script.page(NOBODY)),
        },
        Ask::Read => Ok(script.read(&handle.read().await?)),
        Ask::Exclusive => script.play_alone(&handle.exclusive().await?).await,
        Ask::SignedIn => {
            let nobody = || Error::new(ErrorKind::NotSignedIn, "nobody is signed in");
            let owner = handle.read().await?.owner().ok_or_else(nobody)?;
            Ok(script.page(owner.as_str()))
        }
    }
}

/// What the extractors of a framework do with an error, written by hand.
fn refused(error: &Error) -> Response<String> {
    let reason = error.status().canonical_reason().unwrap_or_default();
    let mut response = Response::builder().status(error.status());
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        response = response.header(RETRY_AFTER, "1");
    }
    response.body(reason.to_owned()).unwrap()
}

/// A router whose handlers ask by extractors, each way under a path of its own.
#[cfg(feature = "axum")]
pub(super) fn axum(sessions: &Sessions) -> App {
    use axum::body::Body;
    use axum::routing::get;
    use axum::{Extension, Router};
    use http_body_util::BodyExt;
    use sessile::{ExclusiveSession, ReadSession, Session, SignedIn};
    use tower::ServiceExt;

    type Script = Extension<Arc<super::script::Script>>;

    let nothing = async |script: Script| script.page("");
    let session = async |script: Script, session: Session| script.play(&session).await;
    let existing = async |script: Script, session: Option<Session>| match session {
        Some(session) => script.play(&session).await,
        None => Ok(script.page(NOBODY)),
    };
    let read = async |script: Script, session: ReadSession| script.read(&session);
    let exclusive =
        async |script: Script, session: ExclusiveSession| script.play_alone(&session).await;
    let signed_in = async |script: Script, SignedIn(owner): SignedIn| script.page(owner.as_str());

    let router = Router::new()
        .route(Ask::Nothing.path(), get(nothing))
        .route(Ask::Session.path(), get(session))
        .route(Ask::Existing.path(), get(existing))
        .route(Ask::Read.path(), get(read))
        .route(Ask::Exclusive.path(), get(exclusive))
        .route(Ask::SignedIn.path(), get(signed_in))
        .layer(sessions.layer());
    let with_body = |request: Request<()>| request.map(|()| Body::empty());
    let in_full = async |response: Response<Body>| {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Ok(Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap()))
    };
    BoxCloneSyncService::new(router.map_request(with_body).and_then(in_full))
}
