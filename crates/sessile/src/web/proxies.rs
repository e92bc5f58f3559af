//! Who sent a request that came through proxies.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::error::{Error, ErrorKind, Result};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies whose word about a client's address is taken.
///
/// Anybody can send a `Forwarded` or `X-Forwarded-For` header. What it says counts only as far as
/// the connection, and every hop after it, is one of these; the first address that is not, read from
/// the end, is the client's.
///
/// ```
/// use sessile::TrustedProxies;
/// let proxies = TrustedProxies::new(["10.0.0.0/8", "::1/128"])?;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-forwarded-for", "203.0.113.9, 10.1.2.3".parse().unwrap());
/// assert_eq!(proxies.client(&headers, [10, 0, 0, 1].into()).to_string(), "203.0.113.9");
/// assert_eq!(proxies.client(&headers, [198, 51, 100, 1].into()).to_string(), "198.51.100.1");
/// # Ok::<_, sessile::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks, each written as an address with a prefix length.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for one that is written otherwise.
    pub fn new<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        networks.into_iter().map(network).collect::<Result<_>>().map(Self)
    }

    /// The client's address, for a request whose connection comes from `peer`.
    ///
    /// `Forwarded` (RFC 7239) counts before `X-Forwarded-For`. A hop that hides its address, or whose
    /// entry is no address, ends the search: the hop after it is then the last that is known.
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut known = peer;
        for hop in hops(headers).into_iter().rev() {
            match hop {
                Some(address) if self.trusts(known) => known = address,
                _ => break,
            }
        }
        known
    }

    /// Whether the client speaks TLS to the first proxy, for a request whose connection comes from
    /// `peer`; `None` when that is no trusted proxy, or says nothing of it.
    ///
    /// The first `proto` of `Forwarded` (RFC 7239) counts before the first word of
    /// `X-Forwarded-Proto`. A client that sends such a header itself, through a proxy that lets it
    /// pass, deceives only itself.
    pub fn tls(&self, headers: &HeaderMap, peer: IpAddr) -> Option<bool> {
        if !self.trusts(peer) {
            return None;
        }
        let forwarded = entries(headers, &FORWARDED);
        let said = forwarded.into_iter().find_map(|element| value_of(element, "proto"));
        let said = said.or_else(|| entries(headers, &X_FORWARDED_PROTO).first().copied())?;
        match said.to_ascii_lowercase().as_str() {
            "https" => Some(true),
            "http" => Some(false),
            _ => None,
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet> {
    text.parse().map_err(|error: ipnet::AddrParseError| {
        let mend = format!("{text:?} is no network: write it as 10.0.0.0/8 or 2001:db8::/32");
        Error::new(ErrorKind::Config, mend).with_source(error)
    })
}

/// The addresses that the headers name, first hop first; `None` for one that cannot be read.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    if headers.contains_key(FORWARDED) {
        return entries(headers, &FORWARDED).into_iter().map(forwarded_for).collect();
    }
    entries(headers, &X_FORWARDED_FOR).into_iter().map(address).collect()
}

fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let text = |value: &'a HeaderValue| value.to_str().unwrap_or("unreadable");
    headers.get_all(name).iter().flat_map(|value| text(value).split(',')).map(str::trim).collect()
}

/// The `for` of one element: `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    address(value_of(element, "for")?)
}

fn value_of<'a>(element: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
    Some(value.trim_matches('"'))
}

/// An address with or without port, an IPv6 one with or without brackets.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node.trim_start_matches('[').trim_end_matches(']');
    let with_port = || node.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: &'static str, value: &str, peer: &str) -> String {
        let proxies = TrustedProxies::new(["10.0.0.0/8", "fd00::/8"]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header, value.parse().unwrap());
        proxies.client(&headers, peer.parse().unwrap()).to_string()
    }

    #[test]
    fn the_last_address_that_no_proxy_vouches_for_is_the_client() {
        for (value, peer, seen) in [
            ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
            ("203.0.113.9", "198.51.100.1", "198.51.100.1"),
            ("6.6.6.6, 203.0.113.9, 10.1.1.1", "10.0.0.1", "203.0.113.9"),
            ("10.9.9.9", "10.0.0.1", "10.9.9.9"),
            ("203.0.113.9, junk", "10.0.0.1", "10.0.0.1"),
            ("", "10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "::ffff:10.0.0.1", "2001:db8::1"),
            ("203.0.113.9:4711", "fd00::1", "203.0.113.9"),
        ] {
            assert_eq!(client("x-forwarded-for", value, peer), seen, "{value} by {peer}");
        }
    }

    #[test]
    fn the_standard_header_is_read_too() {
        for (value, seen) in [
            ("for=203.0.113.9;proto=https", "203.0.113.9"),
            ("for=6.6.6.6, For=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("proto=https;for=203.0.113.9, for=10.1.1.1", "203.0.113.9"),
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(client("forwarded", value, "10.0.0.1"), seen, "{value}");
        }
    }

    #[test]
    fn the_standard_header_counts_first() {
        let proxies = TrustedProxies::new(["10.0.0.0/8"]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED, "for=203.0.113.9".parse().unwrap());
        headers.insert(X_FORWARDED_FOR, "6.6.6.6".parse().unwrap());
        assert_eq!(proxies.client(&headers, [10, 0, 0, 1].into()).to_string(), "203.0.113.9");
    }

    // R26
    #[test]
    fn a_trusted_proxy_tells_whether_its_client_speaks_tls() {
        let proxies = TrustedProxies::new(["10.0.0.0/8"]).unwrap();
        for (header, value, peer, tls) in [
            ("x-forwarded-proto", "https", "10.0.0.1", Some(true)),
            ("x-forwarded-proto", "HTTP", "10.0.0.1", Some(false)),
            ("x-forwarded-proto", "https, http", "10.0.0.1", Some(true)),
            ("x-forwarded-proto", "https", "198.51.100.1", None),
            ("x-forwarded-proto", "http", "198.51.100.1", None),
            ("x-forwarded-proto", "gopher", "10.0.0.1", None),
            ("forwarded", "for=203.0.113.9;Proto=\"https\"", "10.0.0.1", Some(true)),
            ("forwarded", "for=203.0.113.9;proto=http, proto=https", "10.0.0.1", Some(false)),
            ("forwarded", "for=203.0.113.9", "10.0.0.1", None),
        ] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static(header),
                HeaderValue::from_static(value),
            )]);
            assert_eq!(proxies.tls(&headers, peer.parse().unwrap()), tls, "{header}: {value}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_mend() {
        let error = TrustedProxies::new(["10.0.0.1"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("10.0.0.0/8"));
    }
}
