//! The serving process: one store, one engine, one listener.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use sessile::store::{Access, FileStore, Store};
use sessile::{Config, CookieConfig, SessionId};

use crate::Failure;
use crate::app::{self, App};
use crate::disk::Disk;
use crate::ending::{End, Ending, kill_myself};
use crate::lifeline::Lifeline;
use crate::meter::Meter;
use crate::options::{Options, StoreUrl};
use crate::signals::Stop;
use crate::whereabouts::Whereabouts;

/// Serves on `listener` until this process is told to stop; calls `ready` once it answers.
pub(crate) async fn run(
    listener: TcpListener,
    options: &Options,
    parent: Option<Lifeline>,
    ready: impl FnOnce(),
) -> Result<(), Failure> {
    let ending = Ending::new();
    let app = open(options, listener.local_addr()?).await?;
    let app = App { plug: parent.is_some().then(|| ending.clone()), ..app };
    let sessions = app.sessions.clone();
    watch(&ending, parent)?;
    ready();
    answer(listener, app, &ending).await?;
    if ending.begun().await == End::Plug {
        kill_myself()?;
    }
    sessions.shutdown().await;
    Ok(())
}

async fn open(options: &Options, address: SocketAddr) -> Result<App, Failure> {
    let meter = Meter::install()?;
    let (store, whereabouts) = open_store(&options.store()?)?;
    ask(&*store).await?;
    tokio::spawn(meter.clone().keep(Arc::clone(&store)));
    Ok(App { whereabouts, meter: Some(meter), ..App::new(store, config(options), address)? })
}

fn open_store(url: &StoreUrl) -> sessile::Result<(Arc<dyn Store>, Whereabouts)> {
    if url.directory().is_none() {
        return Ok((sessile::store::open(url.as_str())?, Whereabouts::of(url)));
    }
    let files = FileStore::open_url(url.as_str())?;
    Ok((Arc::new(files.clone()), Whereabouts::Files(Disk::of(files))))
}

/// Asks for a session that is not there: a server that does not answer is said on the terminal now,
/// rather than on every page later.
async fn ask(store: &dyn Store) -> sessile::Result<()> {
    store.load(SessionId::random()?, SystemTime::now(), Access::Read).await.map(drop)
}

/// Answers requests until the end is wished, and those under way a little longer.
async fn answer(listener: TcpListener, app: App, ending: &Ending) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let wish = ending.clone();
    let server = axum::serve(listener, app::router(app))
        .with_graceful_shutdown(async move { _ = wish.begun().await });
    tokio::select! {
        outcome = server => outcome,
        () = ending.over() => Ok(()),
    }
}

/// Ends this process when a signal asks for it, or when its parent is gone.
fn watch(ending: &Ending, parent: Option<Lifeline>) -> io::Result<()> {
    let mut stop = Stop::listen()?;
    let on_signal = ending.clone();
    tokio::spawn(async move {
        stop.asked().await;
        on_signal.begin(End::Stop);
    });
    if let Some(parent) = parent {
        follow(parent, ending.clone())?;
    }
    Ok(())
}

/// A thread of its own, so that even a stuck runtime does not outlive the parent.
fn follow(parent: Lifeline, ending: Ending) -> io::Result<()> {
    let follow = move || {
        parent.wait();
        ending.begin(End::Stop);
        thread::sleep(End::Stop.patience() * 2);
        std::process::exit(1);
    };
    thread::Builder::new().name("lifeline".into()).spawn(follow)?;
    Ok(())
}

fn config(options: &Options) -> Config {
    let mut config = Config::default();
    config.idle_timeout = options.idle_timeout();
    config.absolute_timeout = options.absolute_timeout;
    config.rotation_grace = options.rotation_grace;
    if options.insecure_http {
        config.cookie = CookieConfig::plain_http("session");
    }
    config
}
