//! Every store through its public async face, beside one round trip to where its records live.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sessile::store::{FileStore, MemoryStore, Store, open};

use crate::Outcome;
use crate::floor::Floor;
use crate::rounds::{Coin, Op, median, runtime};
use crate::store::StoreSide;
use crate::trip::Trip;

/// How many of each operation run in a row.
const BATCH: usize = 8;

/// What is measured of every store, in the order of the table's columns.
const OPS: [Op; 4] = [Op::Load, Op::LoadSave, Op::Create, Op::Delete];

/// The servers: what the table calls them, the variable that names one, and whether it names the nodes
/// of a Cluster.
const SERVERS: [(&str, &str); 4] = [
    ("PostgreSQL", "SESSILE_TEST_POSTGRES"),
    ("MySQL or MariaDB", "SESSILE_TEST_MYSQL"),
    ("Redis or Valkey", "SESSILE_TEST_REDIS"),
    ("Redis Cluster", "SESSILE_TEST_REDIS_CLUSTER"),
];

/// One store, and all the times that were taken.
struct Side {
    name: &'static str,
    store: StoreSide,
    trip: Trip,
    /// One list for each of [`OPS`], then the sweeps, then the round trips.
    took: [Vec<Duration>; OPS.len() + 2],
}

const SWEEP: usize = OPS.len();
const TRIP: usize = OPS.len() + 1;

/// Measures every store that is there, and prints the table.
pub(crate) fn table(dir: &Path, rounds: usize) -> Outcome<String> {
    let dir = dir.to_owned();
    let (sides, lists) = runtime()?.block_on(async move {
        tokio::spawn(async move {
            let mut sides = all_rounds(all_sides(&dir).await?, rounds).await?;
            let lists = lists(&mut sides, rounds.div_ceil(5)).await?;
            Outcome::Ok((sides, lists))
        })
        .await?
    })?;
    let mut text = String::from(
        "| store | one round trip | load | load+save | create | delete | sweep, for each session |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    for side in &sides {
        let _ = writeln!(text, "{}", side.row());
    }
    Ok(format!("{text}\n{lists}"))
}

/// What a page of a hundred sessions costs, small ones and large ones.
async fn lists(sides: &mut [Side], times: usize) -> Outcome<String> {
    let mut text = String::from(
        "| store | a list of 100 sessions of 1 KiB | of 64 KiB |\n\
         |---|--:|--:|\n",
    );
    for side in sides {
        let small = median(side.store.timed_lists(1, times).await?);
        let large = median(side.store.timed_lists(64, times).await?);
        let _ = writeln!(text, "| {} | {} | {} |", side.name, micros(small), micros(large));
    }
    Ok(text)
}

async fn all_sides(dir: &Path) -> Outcome<Vec<Side>> {
    let memory = Side::new("memory", Arc::new(MemoryStore::new()), Trip::Nowhere);
    let files = FileStore::open(dir.join("stores"))?;
    let calls = Trip::Calls(Floor::open(&dir.join("stores-floor"))?);
    let mut sides = vec![memory.await?, Side::new("files", Arc::new(files), calls).await?];

    let database = dir.join("app.db");
    std::fs::File::create(&database)?;
    let url = format!("sqlite://{}", database.display());
    sides.push(Side::new("SQLite", open(&url)?, Trip::to(&url).await?).await?);
    for (name, variable) in SERVERS {
        match std::env::var(variable) {
            Ok(named) => sides.push(Side::on_server(name, &named).await?),
            Err(_) => eprintln!("skipped: {variable} names no server for {name}"),
        }
    }
    Ok(sides)
}

impl Side {
    async fn new(name: &'static str, store: Arc<dyn Store>, trip: Trip) -> Outcome<Self> {
        Ok(Self { name, store: StoreSide::on(store).await?, trip, took: Default::default() })
    }

    /// A namespace of its own, which expires with its sessions: the server is not ours.
    async fn on_server(name: &'static str, named: &str) -> Outcome<Self> {
        let url = if named.contains("://") {
            named.to_owned()
        } else {
            format!("redis+cluster://{named}")
        };
        let glue = if url.contains('?') { '&' } else { '?' };
        let own = format!("{url}{glue}namespace=bench-{}", std::process::id());
        let trip = Trip::to(&url).await?;
        Self::new(name, open(&own)?, trip).await
    }

    async fn take(&mut self, what: usize) -> Outcome {
        match what {
            SWEEP => self.took[SWEEP].push(self.store.timed_sweep().await?),
            TRIP => self.trip.batch(BATCH, &mut self.took[TRIP]).await?,
            op => self.store.batch(OPS[op], BATCH, &mut self.took[op]).await?,
        }
        Ok(())
    }

    fn row(&self) -> String {
        let medians = self.took.each_ref().map(|took| median(took.clone()));
        let trip = medians[TRIP];
        let mut row = match trip {
            Duration::ZERO => format!("| {} | - |", self.name),
            trip => format!("| {} | {} |", self.name, micros(trip)),
        };
        for took in &medians[..=SWEEP] {
            let _ = match trip {
                Duration::ZERO => write!(row, " {} |", micros(*took)),
                trip => write!(row, " {} ({}) |", micros(*took), ratio(*took, trip)),
            };
        }
        row
    }
}

/// Within a round every operation of every store comes in random order.
async fn all_rounds(mut sides: Vec<Side>, rounds: usize) -> Outcome<Vec<Side>> {
    let mut coin = Coin::default();
    let mut turns: Vec<_> =
        (0..sides.len()).flat_map(|side| (0..=TRIP).map(move |what| (side, what))).collect();
    for _ in 0..rounds {
        coin.shuffle(&mut turns);
        for (side, what) in &turns {
            sides[*side].take(*what).await?;
        }
    }
    Ok(sides)
}

fn micros(duration: Duration) -> String {
    format!("{:.1} us", duration.as_secs_f64() * 1e6)
}

fn ratio(took: Duration, trip: Duration) -> String {
    format!("{:.1}", took.as_secs_f64() / trip.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_of_this_machine_make_a_table() {
        let dir = std::env::temp_dir().join(format!("bench-stores-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let text = table(&dir, 2);
        let _ = std::fs::remove_dir_all(&dir);
        let text = text.unwrap();
        assert!(text.contains("| memory | - |") && text.contains("| SQLite | "), "{text}");
        let (prices, lists) = text.split_once("\n\n").unwrap();
        assert!(prices.lines().all(|line| line.matches('|').count() == 8), "{text}");
        assert!(lists.lines().all(|line| line.matches('|').count() == 4), "{text}");
    }

    #[test]
    fn a_ratio_is_over_one_round_trip() {
        assert_eq!(ratio(Duration::from_micros(30), Duration::from_micros(20)), "1.5");
    }
}
