//! Redis or Valkey: one server at `SESSILE_TEST_REDIS` (a URL), a Valkey server at
//! `SESSILE_TEST_VALKEY`, a Cluster at `SESSILE_TEST_REDIS_CLUSTER` (all its nodes,
//! `host:port,host:port`). What stops or fills a server
//! starts its own from `redis-server` or `valkey-server`.

mod cluster;
mod crossing;
mod indexes;
mod killed;
mod laws;
mod outage;
mod own;
mod proxy;
mod records;
pub(crate) mod servers;
#[cfg(feature = "redis-tls")]
mod tls;
