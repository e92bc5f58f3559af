//! A network that fails on command, between a store and its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What happens to answers on their way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    Pass,
    /// Each comes a little later than the one before it would.
    Delay,
    /// They never come, and the connection stays.
    Swallow,
    /// The connection breaks where the next answer should come.
    Cut,
    /// The connection breaks in the middle of the next answer.
    Truncate,
}

const MOODS: [Mood; 5] = [Mood::Pass, Mood::Delay, Mood::Swallow, Mood::Cut, Mood::Truncate];

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    mood: Arc<AtomicU8>,
    accepted: Arc<AtomicU64>,
}

impl Proxy {
    /// Listens in front of the server, until the runtime ends.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, mood: Arc::default(), accepted: Arc::default() };
        tokio::spawn(proxy.clone().serve(listener, server));
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    fn mood(&self) -> Mood {
        MOODS[usize::from(self.mood.load(Ordering::SeqCst))]
    }

    /// How many connections were made through it.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    async fn serve(self, listener: TcpListener, server: u16) {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            self.accepted.fetch_add(1, Ordering::SeqCst);
            connections.spawn(self.clone().carry(client, server));
        }
    }

    async fn carry(self, client: TcpStream, server: u16) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
        let (mut from_client, to_client) = client.into_split();
        let (from_server, mut to_server) = server.into_split();
        tokio::select! {
            _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
            () = self.carry_answers(from_server, to_client) => {}
        }
    }

    async fn carry_answers(
        &self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
    ) {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let passed = match self.mood() {
                Mood::Pass => to.write_all(&bytes[..length]).await,
                Mood::Delay => {
                    sleep(Duration::from_millis(3)).await;
                    to.write_all(&bytes[..length]).await
                }
                Mood::Swallow => Ok(()),
                Mood::Cut => return,
                Mood::Truncate => {
                    _ = to.write_all(&bytes[..length / 2]).await;
                    return;
                }
            };
            if passed.is_err() {
                return;
            }
        }
    }
}
