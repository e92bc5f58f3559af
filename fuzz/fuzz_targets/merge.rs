//! Requests side by side: some load the session, do this and that, and commit in any order. What
//! comes of it is what each did, done anew on what was there when it committed.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use libfuzzer_sys::fuzz_target;
use sessile::store::MemoryStore;
use sessile::{Client, Exchange, Session, Sessions};
use sessile_fuzz::wait;

#[derive(Arbitrary, Debug)]
enum Act {
    Insert(u8, u8),
    Append(u8, u8),
    Remove(u8),
    Clear,
}

#[derive(Arbitrary, Debug)]
struct Request {
    acts: Vec<Act>,
    /// How many of those that were begun before finish first, the oldest first.
    waits_for: u8,
    fails: bool,
}

type Model = BTreeMap<String, String>;

fuzz_target!(|requests: Vec<Request>| {
    wait(play(requests));
});

async fn play(requests: Vec<Request>) {
    let sessions = Sessions::new(MemoryStore::new());
    let (browser, mut model) = begun(&sessions).await;
    let mut open = Vec::new();
    for request in requests {
        for _ in 0..(usize::from(request.waits_for) % 4).min(open.len()) {
            finish(open.remove(0), &mut model).await;
        }
        let exchange = sessions.begin(&browser, Client::default());
        let session = exchange.handle().session().await.expect("it is live");
        request.acts.iter().for_each(|act| act.on_session(&session));
        let acts = noted(request.acts, model.clone());
        open.push((exchange, Request { acts, ..request }));
    }
    while let Some(last) = open.pop() {
        finish(last, &mut model).await;
    }
    assert_eq!(seen(&sessions, &browser).await, model);
}

/// A session that holds something, and the browser's headers.
async fn begun(sessions: &Sessions) -> (HeaderMap, Model) {
    let exchange = sessions.begin(&HeaderMap::new(), Client::default());
    let session = exchange.handle().session().await.expect("nothing is loaded");
    session.insert("0", "first").expect("a small value");
    let mut response = HeaderMap::new();
    exchange.finish(StatusCode::OK, &mut response).await.expect("it is created");
    let pair = response[SET_COOKIE].to_str().expect("text").split(';').next().expect("a pair");
    let browser = HeaderMap::from_iter([(COOKIE, pair.parse().expect("a header"))]);
    (browser, Model::from([("0".into(), "first".into())]))
}

async fn finish((exchange, request): (Exchange, Request), model: &mut Model) {
    let status = if request.fails { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
    exchange.finish(status, &mut HeaderMap::new()).await.expect("it commits");
    if !request.fails {
        request.acts.iter().for_each(|act| act.on_model(model));
    }
}

async fn seen(sessions: &Sessions, browser: &HeaderMap) -> Model {
    let exchange = sessions.begin(browser, Client::default());
    let session = exchange.handle().read().await.expect("it is live");
    let value = |key: &String| session.get(key.as_str()).expect("text").expect("it is there");
    session.keys().into_iter().map(|key| (key.clone(), value(&key))).collect()
}

/// The acts that count: to remove what a request does not see is none.
fn noted(acts: Vec<Act>, mut view: Model) -> Vec<Act> {
    let mut is_noted = |act: &Act| {
        let counts = !matches!(act, Act::Remove(key) if !view.contains_key(&name(*key)));
        act.on_model(&mut view);
        counts
    };
    acts.into_iter().filter(|act| is_noted(act)).collect()
}

impl Act {
    fn on_session(&self, session: &Session) {
        let done = match self {
            Self::Insert(key, value) => session.insert(name(*key).as_str(), &value.to_string()),
            Self::Append(key, value) => {
                let suffix = value.to_string();
                let append = move |old: Option<String>| old.unwrap_or_default() + "," + &suffix;
                session.update(name(*key).as_str(), append).map(|_| ())
            }
            Self::Remove(key) => session.remove(&name(*key)),
            Self::Clear => session.clear(),
        };
        done.expect("small values");
    }

    fn on_model(&self, model: &mut Model) {
        match self {
            Self::Insert(key, value) => _ = model.insert(name(*key), value.to_string()),
            Self::Append(key, value) => {
                let text = model.entry(name(*key)).or_default();
                *text = format!("{text},{value}");
            }
            Self::Remove(key) => _ = model.remove(&name(*key)),
            Self::Clear => model.clear(),
        }
    }
}

fn name(key: u8) -> String {
    (key % 4).to_string()
}
