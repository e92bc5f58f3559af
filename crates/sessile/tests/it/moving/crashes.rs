//! Processes that die before or after any of their calls, and stores that fail at any.

use std::sync::Arc;

use bytes::Bytes;
use sessile::store::{Access, Durability, Migrating, Store, Updated};
use sessile::{ErrorKind, Record, Result};

use super::gated::{Gate, Gated};
use super::{DAY, House, ann, next_of, read};

/// More calls than any operation makes.
const CALLS_MAX: usize = 40;

/// Which store no longer answers once the process is dead to it.
#[derive(Clone, Copy, Debug)]
enum Fails {
    Both,
    Old,
    New,
}

/// A process that is to die at a call.
#[derive(Clone, Copy, Debug)]
struct Death {
    at: usize,
    takes_effect: bool,
    fails: Fails,
}

impl Death {
    fn all() -> impl Iterator<Item = Self> {
        let kinds = [Fails::Both, Fails::Old, Fails::New];
        let kinds = kinds.into_iter().flat_map(|fails| [(fails, false), (fails, true)]);
        kinds.flat_map(|(fails, takes_effect)| {
            (0..CALLS_MAX).map(move |at| Self { at, takes_effect, fails })
        })
    }

    fn stores(self, house: &House) -> (Arc<Gate>, Arc<dyn Store>, Arc<dyn Store>) {
        let gate = Gate::dying_at(self.at, self.takes_effect);
        let around = |store| -> Arc<dyn Store> { Arc::<Gated>::new(gate.around(store)) };
        let (old, new) = match self.fails {
            Fails::Both => (around(&house.old), around(&house.new)),
            Fails::Old => (around(&house.old), Arc::clone(&house.new)),
            Fails::New => (Arc::clone(&house.old), around(&house.new)),
        };
        (gate, old, new)
    }
}

/// What the process was told before it died, if it was told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Read,
    Written,
    Ended,
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Reads,
    Writes,
    HoldsAlone,
    LogsOut,
    RevokesAll,
}

const DEEDS: [Deed; 5] =
    [Deed::Reads, Deed::Writes, Deed::HoldsAlone, Deed::LogsOut, Deed::RevokesAll];

impl Deed {
    fn ends(self) -> bool {
        matches!(self, Self::LogsOut | Self::RevokesAll)
    }

    async fn of(self, store: &Migrating, born: &Record, house: &House) -> Result<Told> {
        match self {
            Self::Reads => {
                let loaded = store.load(born.id, house.now, Access::Read).await?;
                Ok(if loaded.is_some() { Told::Read } else { Told::Nothing })
            }
            Self::Writes => write(store, born, house, Access::Write).await,
            Self::HoldsAlone => {
                let access = Access::Exclusive { wait: DAY, hold: DAY };
                write(store, born, house, access).await
            }
            Self::LogsOut => {
                store.delete(born.id, Durability::Power).await?;
                Ok(Told::Ended)
            }
            Self::RevokesAll => {
                store.delete_owner(&ann(), None, house.now, Durability::Power).await?;
                Ok(Told::Ended)
            }
        }
    }
}

async fn write(store: &Migrating, born: &Record, house: &House, access: Access) -> Result<Told> {
    let Some(mut loaded) = store.load(born.id, house.now, access).await? else {
        return Ok(Told::Nothing);
    };
    let mut next = next_of(&loaded.record);
    next.data.insert("written", Bytes::from_static(b"1"));
    let expected = loaded.record.version;
    let updated = store.update(&next, expected, Durability::Process, &mut loaded.ticket).await?;
    Ok(if updated == Updated::Written { Told::Written } else { Told::Nothing })
}

/// Does a deed that dies, and gives what was told; `None` when it was over before its death.
async fn dies(death: Death, deed: Deed, born: &Record, house: &House) -> Option<Told> {
    let (gate, old, new) = death.stores(house);
    let store = Migrating::new(old, new).unwrap();
    let told = match deed.of(&store, born, house).await {
        Ok(told) => told,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{death:?}, {deed:?}");
            Told::Nothing
        }
    };
    gate.has_died().then_some(told)
}

/// Whatever a process was doing when it died, who comes after it finds the session with all that was
/// acknowledged, or gone when its end was.
async fn assert_kept(told: &[Told], deeds: &[Deed], born: &Record, house: &House, what: &str) {
    let found = read(&house.carrying(), born.id, house.now).await;
    if told.contains(&Told::Ended) {
        return assert_eq!(found, None, "{what}: a logout was undone");
    }
    let Some(found) = found else {
        assert!(deeds.iter().any(|deed| deed.ends()), "{what}: the session is lost");
        return;
    };
    assert_eq!(found.data.get("born"), born.data.get("born"), "{what}");
    let is_written = found.data.get("written").is_some();
    assert!(is_written || !told.contains(&Told::Written), "{what}: a write is lost");
    assert!(found.version >= born.version, "{what}");
    // And it is whole: it can be written, and ended.
    let survivor = house.carrying();
    assert_eq!(
        write(&survivor, born, house, Access::Write).await.unwrap(),
        Told::Written,
        "{what}"
    );
    assert!(survivor.delete(born.id, Durability::Power).await.unwrap(), "{what}");
    assert_eq!(read(&survivor, born.id, house.now).await, None, "{what}");
}

#[tokio::test]
async fn a_crash_at_any_call_loses_no_session_and_undoes_no_logout() {
    for deed in DEEDS {
        let mut deaths = 0;
        for death in Death::all() {
            let house = House::in_memory();
            let born = house.session(1).await;
            if let Some(told) = dies(death, deed, &born, &house).await {
                deaths += 1;
                assert_kept(&[told], &[deed], &born, &house, &format!("{deed:?}, {death:?}")).await;
            }
        }
        assert!(deaths >= 6, "{deed:?} died {deaths} times");
    }
}

/// The first dies at any call while it carries, the second at any call of what it does then.
#[tokio::test]
async fn two_crashes_lose_no_session_and_undo_no_logout() {
    let mut deaths = 0;
    for first in Death::all().filter(|death| matches!(death.fails, Fails::Both)) {
        for deed in DEEDS {
            for second in Death::all() {
                let house = House::in_memory();
                let born = house.session(1).await;
                let Some(read) = dies(first, Deed::Reads, &born, &house).await else { break };
                let Some(told) = dies(second, deed, &born, &house).await else { continue };
                deaths += 1;
                let what = format!("{first:?}, then {deed:?}, {second:?}");
                assert_kept(&[read, told], &[deed], &born, &house, &what).await;
            }
        }
    }
    assert!(deaths > 1_000, "{deaths} times both died");
}

/// A failure is told, and is never taken for "nobody".
#[tokio::test]
async fn a_store_that_fails_is_an_error_and_no_absence() {
    for death in Death::all() {
        let house = House::in_memory();
        let born = house.session(1).await;
        let (gate, old, new) = death.stores(&house);
        let store = Migrating::new(old, new).unwrap();
        let told = Deed::Reads.of(&store, &born, &house).await;
        // The mark of a session that left may stay behind: that alone is no failure.
        assert!(!matches!(told, Ok(Told::Nothing)), "{death:?}");
        assert!(gate.has_died() || told.is_ok(), "{death:?}: an error without a failure");
    }
}
