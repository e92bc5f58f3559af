//! Where the server is: URLs, and the clients made of them.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::io::tcp::TcpSettings;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind as RedisErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisError, RedisResult,
};

use super::fault::fault;
use crate::error::{Error, ErrorKind, Result};

/// How long one attempt to connect may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long the kernel waits for a server that acknowledges nothing before it breaks a connection.
#[cfg(target_os = "linux")]
const SILENT_FOR: Duration = Duration::from_secs(5);

/// A server, or the nodes by which to find a Cluster.
#[derive(Clone)]
pub(super) struct Address {
    /// Invariant: at least one.
    nodes: Vec<ConnectionInfo>,
    is_cluster: bool,
}

/// A URL, and what its query says to this crate rather than to the client.
pub(super) struct Parsed {
    pub(super) address: Address,
    pub(super) options: Vec<(String, String)>,
}

impl Address {
    /// # Errors
    /// [`ErrorKind::Config`] for what is no URL of a Redis server or Cluster.
    pub(super) fn parse(url: &str) -> Result<Parsed> {
        let (location, query) = url.split_once('?').unwrap_or((url, ""));
        let (theirs, options): (Vec<_>, Vec<_>) = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .partition(|(name, _)| name == "protocol");
        let protocol = theirs.first().map(|(_, value)| value.as_str());
        let (scheme, rest) = location.split_once("://").ok_or_else(not_an_address)?;
        let address = match scheme.strip_suffix("+cluster") {
            Some(scheme) => Self::of_nodes(cluster_nodes(scheme, rest)?, protocol)?,
            None => Self { nodes: vec![node(location, protocol)?], is_cluster: false },
        };
        Ok(Parsed { address, options })
    }

    /// The Cluster that these nodes belong to.
    pub(super) fn cluster<'a>(nodes: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let named = |node: &str| {
            if node.contains("://") { node.to_owned() } else { format!("redis://{node}") }
        };
        Self::of_nodes(nodes.into_iter().map(named).collect(), None)
    }

    fn of_nodes(urls: Vec<String>, protocol: Option<&str>) -> Result<Self> {
        let nodes: Vec<_> = urls.iter().map(|url| node(url, protocol)).collect::<Result<_>>()?;
        let is_numbered = |info: &ConnectionInfo| info.redis_settings().db() != 0;
        if nodes.is_empty() || nodes.iter().any(is_numbered) {
            let mend = "name the nodes of a Redis Cluster as redis+cluster://host:port,host:port; \
                        a Cluster has no numbered databases";
            return Err(Error::new(ErrorKind::Config, mend));
        }
        Ok(Self { nodes, is_cluster: true })
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    pub(super) fn first(&self) -> ConnectionInfo {
        self.nodes[0].clone()
    }

    /// Another node of the same Cluster, with the same user and the same kind of connection.
    pub(super) fn node(&self, host_and_port: &str) -> RedisResult<ConnectionInfo> {
        let unknown =
            || RedisError::from((RedisErrorKind::Client, "a redirection to no host and port"));
        let (host, port) = host_and_port.rsplit_once(':').ok_or_else(unknown)?;
        let (host, port) = (host.to_owned(), port.parse().map_err(|_| unknown())?);
        let first = self.first();
        let addr = match first.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        Ok(first.set_addr(addr))
    }

    /// A connection that is made at first use and made anew when it breaks; one attempt each time,
    /// because somebody waits for it.
    pub(super) fn manager(info: ConnectionInfo) -> RedisResult<ConnectionManager> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(None);
        ConnectionManager::new_lazy_with_config(Client::open(info)?, config)
    }

    pub(super) fn cluster_client(&self, patience: Duration) -> RedisResult<ClusterClient> {
        ClusterClient::builder(self.nodes.clone())
            .retries(0)
            .connection_timeout(CONNECT_WITHIN)
            // Ours comes first.
            .response_timeout(2 * patience)
            .use_protocol(self.nodes[0].redis_settings().protocol())
            .tcp_settings(tcp_settings())
            .build()
    }
}

/// `user:password@host:port,host:port` as one URL for each node.
fn cluster_nodes(scheme: &str, rest: &str) -> Result<Vec<String>> {
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = hosts.rsplit_once('@').map_or(("", hosts), |(user, hosts)| (user, hosts));
    let at = if user.is_empty() { "" } else { "@" };
    if hosts.is_empty() {
        return Err(not_an_address());
    }
    Ok(hosts.split(',').map(|host| format!("{scheme}://{user}{at}{host}/{path}")).collect())
}

/// Reads the URL of one server. RESP3 is asked for unless the URL says otherwise: with it the client
/// hears of a closed connection at once, and not from the next command that fails on it.
fn node(url: &str, protocol: Option<&str>) -> Result<ConnectionInfo> {
    let protocol = match protocol {
        None | Some("resp3" | "3") => ProtocolVersion::RESP3,
        Some("resp2" | "2") => ProtocolVersion::RESP2,
        Some(_) => {
            return Err(Error::new(
                ErrorKind::Config,
                "a Redis protocol is \"resp2\" or \"resp3\"",
            ));
        }
    };
    let info = url.into_connection_info().map_err(fault)?;
    #[cfg(feature = "redis-tls")]
    choose_cryptography(info.addr());
    let settings = info.redis_settings().clone().set_protocol(protocol);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
}

/// Where an application links two implementations, the TLS library panics unless one was chosen: its
/// own choice stands, and ours is made where it made none.
#[cfg(feature = "redis-tls")]
fn choose_cryptography(addr: &ConnectionAddr) {
    if matches!(addr, ConnectionAddr::TcpTls { .. })
        && rustls::crypto::CryptoProvider::get_default().is_none()
    {
        // Somebody else may have chosen in between, which is as good.
        _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(SILENT_FOR);
    settings
}

fn not_an_address() -> Error {
    let mend = "a Redis store is named as redis://user:password@host:port/database, rediss://… for \
                TLS, or redis+cluster://host:port,host:port";
    Error::new(ErrorKind::Config, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Vec<String> {
        let parsed = Address::parse(url).unwrap();
        parsed.address.nodes.iter().map(|node| node.addr().to_string()).collect()
    }

    #[test]
    fn a_cluster_is_named_by_any_of_its_nodes() {
        let url = "redis+cluster://ann:s%40crt@one:7000,two:7001/?prefix=shop";
        assert_eq!(addresses(url), ["one:7000", "two:7001"]);
        let Parsed { address, options } = Address::parse(url).unwrap();
        assert!(address.is_cluster());
        assert_eq!(options, [("prefix".to_owned(), "shop".to_owned())]);
        for node in &address.nodes {
            assert_eq!(node.redis_settings().username(), Some("ann"));
            assert_eq!(node.redis_settings().password(), Some("s@crt"));
        }
    }

    #[test]
    fn a_server_is_named_by_a_url_without_our_options() {
        let parsed = Address::parse("redis://host:6380/3?namespace=shop&protocol=resp2").unwrap();
        let first = parsed.address.first();
        assert_eq!(
            (first.addr().to_string(), first.redis_settings().db()),
            ("host:6380".into(), 3)
        );
        assert_eq!(first.redis_settings().protocol(), ProtocolVersion::RESP2);
        assert_eq!(parsed.options.len(), 1);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "redis",
            "redis://",
            "http://host/",
            "redis+cluster://",
            "redis+cluster://host:7000/1",
            "redis://host/?protocol=resp9",
        ] {
            let error = Address::parse(url).err().unwrap_or_else(|| panic!("{url} is no address"));
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        }
    }

    #[test]
    fn a_node_that_takes_a_slot_over_is_reached_as_the_others_are() {
        let parsed = Address::parse("redis+cluster://ann:secret@[::1]:7000").unwrap();
        let node = parsed.address.node("10.0.0.9:7005").unwrap();
        assert_eq!(node.addr().to_string(), "10.0.0.9:7005");
        assert_eq!(node.redis_settings().password(), Some("secret"));
        assert!(parsed.address.node("nowhere").is_err());
    }
}
