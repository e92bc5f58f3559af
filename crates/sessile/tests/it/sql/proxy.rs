//! A network between a store and its server that can be told to fail.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the network does to every connection, old and new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// It carries everything.
    Works,
    /// It ends what is under way and what begins.
    Cut,
    /// It carries nothing and says nothing.
    Silent,
    /// It carries requests, and ends before the first answer.
    CutsAnswers,
}

/// The front of a server, as long as this lives.
pub(super) struct Proxy {
    pub(super) url: String,
    network: watch::Sender<Network>,
}

impl Proxy {
    /// Stands before the server of a URL `scheme://user:password@host:port/database`.
    pub(super) async fn before(url: &str) -> Self {
        let (front, rest) = url.split_once('@').unwrap();
        let (server, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{front}@{}/{path}", listener.local_addr().unwrap());
        let (network, watched) = watch::channel(Network::Works);
        tokio::spawn(accept(listener, server.parse().unwrap(), watched));
        Self { url, network }
    }

    pub(super) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, network: watch::Receiver<Network>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(server).await else { continue };
        tokio::spawn(carry(client, server, network.clone()));
    }
}

/// Ends when either side does, or the network is cut.
async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    mut network: watch::Receiver<Network>,
) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let now = *network.borrow_and_update();
        let carries = matches!(now, Network::Works | Network::CutsAnswers);
        if now == Network::Cut {
            return;
        }
        let sent = tokio::select! {
            changed = network.changed() => changed.is_ok(),
            read = client.read(&mut asked), if carries => pass(read, &asked, &mut server).await,
            read = server.read(&mut answered), if carries => {
                now == Network::Works && pass(read, &answered, &mut client).await
            }
        };
        if !sent {
            return;
        }
    }
}

async fn pass(read: std::io::Result<usize>, bytes: &[u8], to: &mut TcpStream) -> bool {
    match read {
        Ok(count) if count > 0 => to.write_all(&bytes[..count]).await.is_ok(),
        _ => false,
    }
}
