//! The least that a store has to do: one way to its records and back.

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Connection, Executor};

use crate::Outcome;
use crate::floor::Floor;
use crate::rounds::Op;

/// A connection that is kept, and asked for next to nothing.
pub(crate) enum Trip {
    /// Memory is here.
    Nowhere,
    /// Opening, reading and closing one file.
    Calls(Floor),
    /// `SELECT 1`.
    Sql(Box<AnyConnection>),
    /// `PING`, for a Cluster at one of its nodes.
    Redis(redis::aio::MultiplexedConnection),
}

impl Trip {
    /// To what a URL of a store names.
    pub(crate) async fn to(url: &str) -> Outcome<Self> {
        if let Some(nodes) = url.strip_prefix("redis+cluster://") {
            let node = nodes.split([',', '?', '/']).next().unwrap_or(nodes);
            return Self::to_redis(&format!("redis://{node}")).await;
        }
        if url.starts_with("redis") {
            return Self::to_redis(url).await;
        }
        sqlx::any::install_default_drivers();
        Ok(Self::Sql(Box::new(AnyConnection::connect(url).await?)))
    }

    async fn to_redis(url: &str) -> Outcome<Self> {
        let client = redis::Client::open(url)?;
        Ok(Self::Redis(client.get_multiplexed_async_connection().await?))
    }

    /// So many round trips; adds how long each took.
    pub(crate) async fn batch(&mut self, times: usize, took: &mut Vec<Duration>) -> Outcome {
        if let Self::Calls(floor) = self {
            return floor.batch(Op::Load, times, took);
        }
        for _ in 0..times {
            let start = Instant::now();
            match self {
                Self::Nowhere | Self::Calls(_) => return Ok(()),
                Self::Sql(connection) => {
                    connection.execute(sqlx::query("SELECT 1")).await?;
                }
                Self::Redis(connection) => {
                    redis::cmd("PING").query_async::<String>(connection).await?;
                }
            }
            took.push(start.elapsed());
        }
        Ok(())
    }
}
