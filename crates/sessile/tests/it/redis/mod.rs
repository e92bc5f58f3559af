//! Redis or Valkey: one server at `SESSILE_TEST_REDIS` (a URL), a Cluster at
//! `SESSILE_TEST_REDIS_CLUSTER` (all its nodes, `host:port,host:port`).

mod laws;
pub(crate) mod servers;
