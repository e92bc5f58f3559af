//! Moving house while people live in it: from one store to the next, by rolling deploys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use sessile::store::{MemoryStore, Migrating, Scope, Store, move_all};
use sessile::{Client, Sessions, SystemClock};
use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;

use crate::engine::harness::Visit;

const PROCESSES: usize = 3;
const VISITORS: usize = 8;
const SLEEPERS: usize = 40;

/// How many visits there are between two steps of a deploy.
const VISITS_PER_STEP: usize = 40;

type Shared = Arc<dyn Store>;

/// An application of several processes, deployed one after the other.
struct Application {
    /// A deploy waits for the requests that are under way, as a process does before it stops.
    processes: [RwLock<Sessions>; PROCESSES],
    visits: watch::Sender<usize>,
    stops: AtomicBool,
}

impl Application {
    fn on(store: &Shared) -> Arc<Self> {
        let processes = std::array::from_fn(|_| RwLock::new(Sessions::new(Arc::clone(store))));
        Arc::new(Self { processes, visits: watch::Sender::new(0), stops: AtomicBool::new(false) })
    }

    /// Deploys every process anew, with visits in between.
    async fn deploy(&self, store: impl Fn() -> Shared) {
        for process in &self.processes {
            *process.write().await = Sessions::new(store());
            self.some_visits().await;
        }
    }

    async fn some_visits(&self) {
        let enough = *self.visits.borrow() + VISITS_PER_STEP;
        let mut visits = self.visits.subscribe();
        visits.wait_for(|visits| *visits >= enough).await.unwrap();
    }

    /// The three deploys from one store to another.
    async fn move_house(&self, old: &Shared, new: &Shared) {
        let pair = || (Arc::clone(old), Arc::clone(new));
        self.deploy(|| Arc::new(Migrating::prepare(pair().0, pair().1).unwrap())).await;
        self.deploy(|| Arc::new(Migrating::new(pair().0, pair().1).unwrap())).await;
        while !self.everything_moved(old, new).await {}
        self.deploy(|| Arc::clone(new)).await;
        let left = old.list(Scope::All, SystemTime::now(), None, 9).await.unwrap();
        assert_eq!(left.sessions, [], "left in the old store");
    }

    async fn everything_moved(&self, old: &Shared, new: &Shared) -> bool {
        let clock = SystemClock::default();
        let moved = move_all(Arc::clone(old), Arc::clone(new), clock).unwrap().run().await.unwrap();
        assert_eq!(moved.unreadable, 0);
        moved.is_complete()
    }
}

/// A browser, and what it was told.
struct Browser {
    application: Arc<Application>,
    name: String,
    cookie: String,
    /// How often its session was counted up, as far as answers said.
    counted: u64,
    signed_in: bool,
    /// The cookies of the sessions it ended.
    dead: Vec<String>,
    turn: usize,
}

impl Browser {
    fn new(application: &Arc<Application>, name: String) -> Self {
        let application = Arc::clone(application);
        let (cookie, dead) = Default::default();
        Self { application, name, cookie, counted: 0, signed_in: false, dead, turn: 0 }
    }

    /// One request, to whichever process comes next.
    async fn visit(&mut self, does: impl AsyncFnOnce(&mut Self, Visit)) {
        self.turn += 1;
        let application = Arc::clone(&self.application);
        let process = application.processes[self.turn % PROCESSES].read().await;
        let visit = begin(&process, &self.cookie).await;
        does(self, visit).await;
        drop(process);
        application.visits.send_modify(|visits| *visits += 1);
    }

    async fn lives(mut self) -> Self {
        while !self.application.stops.load(Ordering::SeqCst) {
            self.count().await;
            match self.turn % 12 {
                3 => self.log_in().await,
                5 | 8 => self.rotate().await,
                7 => Box::pin(self.count_twice_at_once()).await,
                11 => self.log_out().await,
                _ => {}
            }
        }
        self
    }

    async fn count(&mut self) {
        self.visit(async |this, visit| {
            this.check(&visit);
            count_up(&visit);
            this.receive(visit).await;
            this.counted += 1;
        })
        .await;
    }

    /// Two requests of one browser, each in a process of its own.
    async fn count_twice_at_once(&mut self) {
        self.count().await;
        let application = Arc::clone(&self.application);
        let (one, two) = tokio::join!(
            count_at(&application, self.turn, &self.cookie),
            count_at(&application, self.turn + 1, &self.cookie),
        );
        assert_eq!((one, two), (None, None), "a save sets no cookie");
        self.counted += 2;
    }

    async fn log_in(&mut self) {
        self.visit(async |this, visit| {
            visit.session.login(this.name.as_str()).unwrap();
            this.receive(visit).await;
            this.signed_in = true;
        })
        .await;
    }

    async fn rotate(&mut self) {
        self.visit(async |this, visit| {
            visit.session.rotate().unwrap();
            this.receive(visit).await;
        })
        .await;
    }

    async fn log_out(&mut self) {
        self.visit(async |this, visit| {
            visit.session.invalidate().unwrap();
            visit.finish().await.unwrap();
            this.dead.push(std::mem::take(&mut this.cookie));
            (this.counted, this.signed_in) = (0, false);
        })
        .await;
        // Every process agrees, at once.
        for process in &self.application.processes {
            let process = process.read().await;
            assert_eq!(begin(&process, &self.dead[self.dead.len() - 1]).await.session.id(), None);
        }
    }

    fn check(&self, visit: &Visit) {
        let counted = visit.session.get::<u64>("count").unwrap().unwrap_or_default();
        assert_eq!(counted, self.counted, "{}: what was acknowledged", self.name);
        assert_eq!(visit.session.owner().is_some(), self.signed_in, "{}", self.name);
    }

    async fn receive(&mut self, visit: Visit) {
        if let Some(cookie) = visit.finish().await.unwrap() {
            self.cookie = cookie;
        }
    }

    /// What the last store says of all that happened.
    async fn assert_kept(&self, sessions: &Sessions) {
        self.check(&begin(sessions, &self.cookie).await);
        for dead in &self.dead {
            assert_eq!(begin(sessions, dead).await.session.id(), None, "a logout was undone");
        }
    }
}

async fn count_at(application: &Application, turn: usize, cookie: &str) -> Option<String> {
    let process = application.processes[turn % PROCESSES].read().await;
    let visit = begin(&process, cookie).await;
    count_up(&visit);
    visit.finish().await.unwrap()
}

fn count_up(visit: &Visit) {
    let up = |count: Option<u64>| count.unwrap_or_default() + 1;
    visit.session.update("count", up).unwrap();
}

async fn begin(sessions: &Sessions, cookie: &str) -> Visit {
    let mut headers = HeaderMap::new();
    if !cookie.is_empty() {
        headers.insert(COOKIE, HeaderValue::from_str(cookie).unwrap());
    }
    let exchange = sessions.begin(&headers, Client::default());
    let session = exchange.handle().session().await.unwrap();
    Visit { exchange, session }
}

/// Lets an application live on each of these stores after the other.
async fn moves_through(stores: &[Shared]) {
    let application = Application::on(&stores[0]);
    let mut sleepers = Vec::new();
    for number in 0..SLEEPERS {
        let mut sleeper = Browser::new(&application, format!("sleeper {number}"));
        sleeper.count().await;
        sleeper.log_in().await;
        sleepers.push(sleeper);
    }
    let mut visitors = JoinSet::new();
    for number in 0..VISITORS {
        visitors.spawn(Browser::new(&application, format!("visitor {number}")).lives());
    }
    application.some_visits().await;
    for pair in stores.windows(2) {
        // A visitor that fails stops its visits: that must not be waited for.
        tokio::select! {
            () = application.move_house(&pair[0], &pair[1]) => {}
            Some(failed) = visitors.join_next() => {
                failed.unwrap();
                panic!("a visitor left early");
            }
        }
    }
    application.stops.store(true, Ordering::SeqCst);
    let last = Sessions::new(Arc::clone(&stores[stores.len() - 1]));
    let visitors = visitors.join_all().await;
    assert!(visitors.iter().any(|visitor| !visitor.dead.is_empty()), "somebody logged out");
    for browser in visitors.iter().chain(&sleepers) {
        browser.assert_kept(&last).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_moves_from_memory_to_memory_and_loses_nothing() {
    let stores: [Shared; 3] = std::array::from_fn(|_| Arc::new(MemoryStore::new()) as Shared);
    moves_through(&stores).await;
}

#[cfg(feature = "file")]
fn files(folder: &tempfile::TempDir) -> Shared {
    let builder = sessile::store::FileStore::builder(folder.path().join("sessions"));
    Arc::new(builder.namespace("engine").open().unwrap())
}

#[cfg(feature = "file")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_moves_from_files_to_memory_and_back_and_loses_nothing() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let memory = Arc::new(MemoryStore::new().with_namespace("engine"));
    moves_through(&[files(&one), memory, files(&two)]).await;
}

#[cfg(all(feature = "file", feature = "sqlite"))]
mod on_sqlite {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_application_moves_from_files_to_sqlite_and_back_and_loses_nothing() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tables = crate::sql::places::sqlite();
        moves_through(&[files(&one), tables.store("engine"), files(&two)]).await;
    }
}

/// The test's path names both servers: without either it is left out.
#[cfg(all(feature = "file", feature = "postgres", feature = "redis", feature = "conformance"))]
mod on_postgres {
    mod on_redis_cluster {
        use std::sync::Arc;

        use super::super::{files, moves_through};

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn an_application_moves_from_files_to_postgres_to_a_cluster_and_loses_nothing() {
            let folder = tempfile::tempdir().unwrap();
            let Some(tables) = crate::sql::places::postgres() else { return };
            let Some(corner) = crate::redis::servers::cluster() else { return };
            let cluster = Arc::new(corner.store("engine"));
            moves_through(&[files(&folder), tables.store("engine"), cluster]).await;
        }
    }
}
