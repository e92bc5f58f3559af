//! The demo in numbers, for Prometheus to fetch at `/metrics`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sessile::metrics::count_live;
use sessile::store::Store;

use crate::Failure;
use crate::app::App;

/// Upper bounds in seconds: from a load of a cached file to a disk that is in trouble.
const BUCKETS: [f64; 14] =
    [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5, 2.5];

/// How often the recorder digests what was timed; until then it keeps every single value.
const UPKEEP: Duration = Duration::from_secs(5);

/// The shortest time from one count of live sessions to the next.
const COUNT_PAUSE: Duration = Duration::from_secs(10);

/// How much longer than the count itself that time is at least: counting opens every file.
const COUNT_PAUSE_FACTOR: u32 = 20;

/// Where the numbers of this process come together.
#[derive(Clone, Debug)]
pub(crate) struct Meter(PrometheusHandle);

impl Meter {
    /// Takes the numbers of this process from now on, which a process allows once.
    pub(crate) fn install() -> Result<Self, Failure> {
        Ok(Self(builder().install_recorder()?))
    }

    /// All numbers, as Prometheus reads them.
    fn text(&self) -> String {
        self.0.render()
    }

    /// Keeps the numbers small and fresh for as long as this process lives.
    pub(crate) async fn keep(self, store: impl Store) {
        tokio::join!(self.digest(), count(&store));
    }

    async fn digest(&self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }
}

async fn count(store: &impl Store) {
    loop {
        let began = Instant::now();
        // A store that fails now is asked again; the requests say that it does.
        let _ = count_live(store, SystemTime::now()).await;
        tokio::time::sleep(COUNT_PAUSE.max(began.elapsed() * COUNT_PAUSE_FACTOR)).await;
    }
}

fn builder() -> PrometheusBuilder {
    let store_seconds = Matcher::Full("sessile_store_seconds".into());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(store_seconds, &BUCKETS);
    builder.expect("there are buckets")
}

/// What `/metrics` answers. It touches no session.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, StatusCode> {
    let meter = app.meter.as_ref().ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], meter.text()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::http::header::SET_COOKIE;
    use http_body_util::BodyExt;
    use sessile::Config;
    use sessile::store::MemoryStore;
    use tower::ServiceExt;

    use super::*;
    use crate::app::router;

    async fn answer(app: &App, request: Request<Body>) -> (StatusCode, bool, String) {
        let response = router(app.clone()).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
        (head.status, head.headers.contains_key(SET_COOKIE), body)
    }

    #[tokio::test]
    async fn what_happened_and_how_long_it_took_is_told_without_saying_to_whom() {
        let recorder = builder().build_recorder();
        let _local = ::metrics::set_default_local_recorder(&recorder);
        let (store, address) = (MemoryStore::new(), ([127, 0, 0, 1], 9).into());
        let meter = Some(Meter(recorder.handle()));
        let app = App { meter, ..App::new(store.clone(), Config::default(), address).unwrap() };
        let login = Request::post("/api/login?user=annabella").body(Body::empty()).unwrap();
        answer(&app, login).await;
        count_live(&store, SystemTime::now()).await.unwrap();

        let metrics = Request::get("/metrics").body(Body::empty()).unwrap();
        let (status, sets_cookie, text) = answer(&app, metrics).await;
        assert_eq!((status, sets_cookie), (StatusCode::OK, false));
        for line in [
            "# TYPE sessile_events_total counter",
            "sessile_events_total{event=\"logged_in\"} 1",
            "# HELP sessile_store_seconds ",
            "sessile_store_seconds_bucket{operation=\"create\",outcome=\"new\",le=\"2.5\"} 1",
            "sessile_sessions_live 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("annabella"));
    }

    #[tokio::test]
    async fn where_nothing_is_measured_there_is_no_such_page() {
        let address = ([127, 0, 0, 1], 9).into();
        let app = App::new(MemoryStore::new(), Config::default(), address).unwrap();
        let metrics = Request::get("/metrics").body(Body::empty()).unwrap();
        assert_eq!(answer(&app, metrics).await.0, StatusCode::NOT_FOUND);
    }
}
