//! What the server's refusals mean for a caller, with the mend where there is one.

use std::time::Duration;

use redis::{RedisError, ServerErrorKind};

use crate::error::{Error, ErrorKind};

/// The error of this crate for one of the client or the server.
///
/// Whatever may pass by itself is [`ErrorKind::Unavailable`]; what needs an operator is
/// [`ErrorKind::Config`].
pub(super) fn fault(error: RedisError) -> Error {
    let (kind, doing) = meaning(&error);
    Error::new(kind, doing).with_source(error)
}

fn meaning(error: &RedisError) -> (ErrorKind, &'static str) {
    use ErrorKind::{Config, Unavailable};
    match error.kind() {
        redis::ErrorKind::AuthenticationFailed => (Config, CREDENTIALS),
        redis::ErrorKind::InvalidClientConfig => {
            (Config, "the Redis URL cannot be used; rediss:// needs the feature `redis-tls`")
        }
        redis::ErrorKind::RESP3NotSupported => {
            (Config, "the Redis server is older than 6.0: add protocol=resp2 to its URL")
        }
        redis::ErrorKind::Io if is_certificate(error) => (Config, STRANGER),
        redis::ErrorKind::Io => (Unavailable, "the Redis server cannot be reached"),
        redis::ErrorKind::ClusterConnectionNotFound => {
            (Unavailable, "no node of the Redis Cluster that holds this slot can be reached")
        }
        redis::ErrorKind::Server(kind) => meaning_of_server(kind),
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => (Config, CREDENTIALS),
            Some("OOM") => (
                Unavailable,
                "the Redis server is out of memory: raise maxmemory, or let it hold fewer sessions",
            ),
            Some("MISCONF") => (
                Unavailable,
                "the Redis server cannot write its snapshots and refuses writes: see its log",
            ),
            Some("NOREPLICAS") => (Unavailable, "the Redis server has too few replicas to write"),
            _ => (Unavailable, "the Redis server refused a command"),
        },
    }
}

const CREDENTIALS: &str =
    "the Redis server refuses the user or the password: correct them in the URL or on the server";

const STRANGER: &str = "the Redis server's certificate is by nobody whom this system trusts, or for \
    another name: add its authority to the system's roots, or name its file by SSL_CERT_FILE";

/// Whether the server showed a certificate that was not believed. The library for TLS tells it in
/// words, and the client's of a Cluster hands on nothing else.
fn is_certificate(error: &RedisError) -> bool {
    error.to_string().contains("invalid peer certificate")
}

fn meaning_of_server(kind: ServerErrorKind) -> (ErrorKind, &'static str) {
    use ErrorKind::{Config, Unavailable};
    match kind {
        ServerErrorKind::BusyLoading => (Unavailable, "the Redis server is loading its data"),
        ServerErrorKind::ReadOnly => (
            Unavailable,
            "the Redis server is a read-only replica: name its primary, or wait for the failover",
        ),
        ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown => {
            (Unavailable, "the Redis Cluster cannot serve this slot")
        }
        ServerErrorKind::TryAgain | ServerErrorKind::Ask => {
            (Unavailable, "the Redis Cluster moves this slot and did not end in time")
        }
        ServerErrorKind::Moved => (
            Config,
            "the Redis server is a node of a Cluster: name it as redis+cluster://host:port",
        ),
        ServerErrorKind::CrossSlot => {
            (Config, "a proxy or a Cluster splits keys that belong together")
        }
        ServerErrorKind::NoPerm => (
            Config,
            "the Redis user lacks a permission: it needs the keys and commands that the \
             documentation of sessile::store::redis lists",
        ),
        _ => (Unavailable, "the Redis server refused a command"),
    }
}

pub(super) fn no_answer(within: Duration) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("the Redis server did not answer within {within:?}; the outcome is unknown"),
    )
}

pub(super) fn too_few_replicas(wanted: u32, got: i64) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("{got} of {wanted} replicas confirmed the write in time; it may be undone"),
    )
}

pub(super) fn strange_reply() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the Redis server gave an answer that no script of ours gives",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_unavailable_and_what_does_not_is_configuration() {
        for (code, kind) in [
            ("LOADING", ErrorKind::Unavailable),
            ("READONLY", ErrorKind::Unavailable),
            ("CLUSTERDOWN", ErrorKind::Unavailable),
            ("MASTERDOWN", ErrorKind::Unavailable),
            ("OOM", ErrorKind::Unavailable),
            ("MISCONF", ErrorKind::Unavailable),
            ("ERR", ErrorKind::Unavailable),
            ("NOAUTH", ErrorKind::Config),
            ("WRONGPASS", ErrorKind::Config),
            ("NOPERM", ErrorKind::Config),
            ("MOVED", ErrorKind::Config),
        ] {
            let reply = redis::parse_redis_value(format!("-{code} for a test\r\n").as_bytes());
            let error = reply.and_then(redis::Value::extract_error).expect_err("an error");
            assert_eq!(fault(error).kind(), kind, "{code}");
        }
    }
}
