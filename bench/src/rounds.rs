//! Rounds: the store and its floor take turns in random order, so that whatever else the machine
//! does falls on both alike. Medians, because the tail belongs to the machine.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessile::SessionId;

use crate::Outcome;
use crate::floor::Floor;
use crate::store::StoreSide;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Load,
    LoadSave,
    Create,
    Delete,
    Miss,
    Rotate,
}

impl Op {
    pub(crate) const ALL: [Self; 6] =
        [Self::Load, Self::LoadSave, Self::Create, Self::Delete, Self::Miss, Self::Rotate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::LoadSave => "load+save",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Miss => "miss",
            Self::Rotate => "rotate",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }

    /// How many run in a row. What waits for a disk twice takes hundreds of times as long as the rest.
    fn batch(self) -> usize {
        if self == Self::Rotate { 8 } else { 64 }
    }

    /// How far above its floor the design allows it, where it says.
    pub(crate) fn limit(self) -> Option<f64> {
        match self {
            Self::Load => Some(1.5),
            Self::LoadSave | Self::Create | Self::Miss => Some(1.4),
            Self::Delete | Self::Rotate => None,
        }
    }
}

/// The two medians of one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) op: Op,
    pub(crate) store: Duration,
    pub(crate) floor: Duration,
}

/// Measures every operation inside one task of a runtime with two workers.
pub(crate) fn measure(dir: &Path, rounds: usize) -> Outcome<Vec<Times>> {
    let dir = dir.to_owned();
    runtime()?.block_on(async move { tokio::spawn(all_rounds(dir, rounds)).await? })
}

pub(crate) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

async fn all_rounds(dir: PathBuf, rounds: usize) -> Outcome<Vec<Times>> {
    let mut store = StoreSide::open(&dir.join("store")).await?;
    let mut floor = Floor::open(&dir.join("floor"))?;
    let mut coin = Coin::default();
    let mut samples = Op::ALL.map(|op| (op, Vec::new(), Vec::new()));
    for _ in 0..rounds {
        coin.shuffle(&mut samples);
        for (op, of_store, of_floor) in &mut samples {
            let store_first = coin.flip();
            for turn in [store_first, !store_first] {
                if turn {
                    store.batch(*op, op.batch(), of_store).await?;
                } else {
                    floor.batch(*op, op.batch(), of_floor)?;
                }
            }
        }
    }
    samples.sort_by_key(|(op, ..)| Op::ALL.iter().position(|other| other == op));
    Ok(samples.map(|(op, s, f)| Times { op, store: median(s), floor: median(f) }).to_vec())
}

/// The middle one.
pub(crate) fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// A small generator for the order of things; nothing depends on its quality.
#[derive(Debug)]
pub(crate) struct Coin(u64);

impl Default for Coin {
    fn default() -> Self {
        Self(u64::from(std::process::id()) << 32 | 0x9e37_79b9)
    }
}

impl Coin {
    /// The next number below `bound` (xorshift64).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % bound
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// An ID that was not there before, without asking the system: only the store's calls are counted.
pub(crate) fn fresh_id() -> SessionId {
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(u64::from(std::process::id()) << 32));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mixed(number).to_be_bytes());
    bytes[8..].copy_from_slice(&mixed(!number).to_be_bytes());
    SessionId::from_bytes(bytes)
}

/// One for each of the 256 folders that files lie in, so that none is made while time is taken.
pub(crate) fn an_id_per_folder() -> impl Iterator<Item = SessionId> {
    (0..=u8::MAX).map(|folder| {
        let mut bytes = *fresh_id().as_bytes();
        bytes[0] = folder;
        SessionId::from_bytes(bytes)
    })
}

/// Spreads neighbouring numbers over all of 64 bits (the end of splitmix64).
fn mixed(number: u64) -> u64 {
    let n = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_the_tail() {
        let samples = [3, 1, 2, 900, 2].map(Duration::from_micros).to_vec();
        assert_eq!(median(samples), Duration::from_micros(2));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }

    #[test]
    fn every_operation_is_found_by_its_name() {
        for op in Op::ALL {
            assert_eq!(Op::named(op.name()), Some(op));
        }
        assert_eq!(Op::named("fly"), None);
    }

    #[test]
    fn fresh_ids_differ_and_spread_over_the_folders() {
        let ids: Vec<_> = (0..10_000).map(|_| fresh_id()).collect();
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        let folders: std::collections::BTreeSet<_> =
            ids.iter().map(|id| id.as_bytes()[0]).collect();
        assert_eq!((different.len(), folders.len()), (10_000, 256));
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut items = [1, 2, 3, 4, 5];
        Coin::default().shuffle(&mut items);
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3, 4, 5]);
    }
}
