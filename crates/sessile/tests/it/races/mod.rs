//! Races between processes: two of them on one store, thousands of schedules, nothing lost.
//!
//! Each round makes a session, hands requests on it to two other processes, lets both go at once, and
//! judges what is left. Which request waits how long is drawn from the round's seed. A failing law
//! says which; `SESSILE_RACES_SEED` begins with that one, `SESSILE_RACES_SECONDS` sets how long a
//! law races (4 by default):
//!
//! ```text
//! SESSILE_RACES_SECONDS=600 cargo test -p sessile --all-features --test it races -- --nocapture
//! ```
//!
//! Every store takes part whose server is there. Memory cannot: processes do not share it.

mod devices;
mod login;
mod logout;
mod pair;
mod rotation;
mod worker;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sessile::store;

use self::pair::Pair;
use crate::engine::Place;

/// A store that several processes share.
pub(crate) struct Ground {
    url: String,
    place: Place,
}

impl Ground {
    /// The store at `url`, with what must live as long as it does.
    fn new(url: String, kept: impl std::any::Any + Send + Sync) -> Self {
        let place = Place::keeping(store::open(&url).unwrap(), kept);
        Self { url, place }
    }

    /// Two processes on this store, and rounds for as long as there is time.
    fn races(&self, law: &'static str) -> Races {
        let seconds = number("SESSILE_RACES_SECONDS").unwrap_or(4);
        let by_the_clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() << 20;
        Races {
            pair: Pair::start(&self.url),
            law,
            seed: number("SESSILE_RACES_SEED").unwrap_or_else(by_the_clock),
            run: 0,
            until: Instant::now() + Duration::from_secs(seconds),
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// The rounds of one law on one store.
struct Races {
    pair: Pair,
    law: &'static str,
    /// Of the round under way, or of the first.
    seed: u64,
    run: u64,
    until: Instant,
}

impl Races {
    /// The dice of the next round, while there is time for one.
    fn next(&mut self) -> Option<Dice> {
        if self.run > 0 && Instant::now() >= self.until {
            println!("races: {} schedules of {}", self.run, self.law);
            return None;
        }
        self.seed += u64::from(self.run > 0);
        self.run += 1;
        Some(Dice(self.seed))
    }
}

impl Drop for Races {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("races: {} fails in round {} with seed {}", self.law, self.run, self.seed);
        }
    }
}

/// `SplitMix64`: what a round does follows from its seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.throw() % limit as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn files() -> Ground {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sessions");
    Ground::new(format!("file://{}?fs=any&namespace=races", path.display()), root)
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
fn tables(tables: crate::sql::places::Tables) -> Ground {
    Ground::new(tables.store_url("races"), tables)
}

#[cfg(all(feature = "redis", feature = "conformance"))]
fn redis(corner: crate::redis::servers::Corner) -> Ground {
    Ground::new(corner.store_url("races"), corner)
}

/// Stamps every law into a named test per store.
macro_rules! races {
    ($($theme:ident::$law:ident)*) => {
        mod on_files {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$theme::$law(&super::files()).await;
            })*
        }

        #[cfg(feature = "sqlite")]
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$theme::$law(&super::tables(crate::sql::places::sqlite())).await;
            })*
        }

        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let Some(tables) = crate::sql::places::postgres() else { return };
                super::$theme::$law(&super::tables(tables)).await;
            })*
        }

        #[cfg(feature = "mysql")]
        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let Some(tables) = crate::sql::places::mysql() else { return };
                super::$theme::$law(&super::tables(tables)).await;
            })*
        }

        #[cfg(all(feature = "redis", feature = "conformance"))]
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let Some(corner) = crate::redis::servers::single() else { return };
                super::$theme::$law(&super::redis(corner)).await;
            })*
        }

        #[cfg(all(feature = "redis", feature = "conformance"))]
        mod on_redis_cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let Some(corner) = crate::redis::servers::cluster() else { return };
                super::$theme::$law(&super::redis(corner)).await;
            })*
        }
    };
}

races! {
    login::a_planted_cookie_gains_nothing_by_a_login_elsewhere
    rotation::requests_around_a_rotation_elsewhere_all_succeed
    logout::no_request_elsewhere_undoes_a_logout
    devices::no_login_elsewhere_escapes_the_end_of_all_sessions
    devices::logins_elsewhere_are_listed_and_held_to_their_limit
}
