//! Operations whose calls to the two stores fall in every order.
//!
//! Each operation is a process of its own that stops before every call. A schedule says whose call is
//! next; all schedules are run, one after the other, each in a new house.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sessile::store::{Access, Durability, Loaded, Migrating, Scope, Store, Ticket, Updated};
use sessile::{Record, SessionId};

use super::gated::Gate;
use super::steps::{Schedules, Stepped};
use super::{DAY, House, IDLE, ann, next_of, read};

/// What one process does with the one session there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actor {
    /// Looks for the session, which carries it over.
    Looks,
    /// Looks twice.
    Reads,
    Writes,
    /// What ends in `Before` is done as by a process of the step before.
    WritesBefore,
    TouchesBefore,
    LogsOut,
    LogsOutBefore,
    RevokesAll,
    RevokesAllOthers,
    Lists,
    HoldsAlone,
    HoldsAloneBefore,
    /// Lets more time pass than any lock is held.
    TimePasses,
}

use Actor::*;

const EVERYBODY: [Actor; 11] = [
    Reads,
    Writes,
    WritesBefore,
    TouchesBefore,
    LogsOut,
    LogsOutBefore,
    RevokesAll,
    RevokesAllOthers,
    Lists,
    HoldsAlone,
    HoldsAloneBefore,
];

impl Actor {
    fn ends(self) -> bool {
        matches!(self, LogsOut | LogsOutBefore | RevokesAll)
    }

    fn is_before(self) -> bool {
        matches!(self, WritesBefore | TouchesBefore | LogsOutBefore | HoldsAloneBefore | TimePasses)
    }
}

/// What happened in one schedule, as far as the processes were told.
#[derive(Debug, Default)]
struct Story {
    ended: AtomicBool,
    written: AtomicUsize,
    touched: AtomicBool,
    unlisted: AtomicBool,
    refused: AtomicBool,
    held: AtomicBool,
}

struct Process {
    house: Arc<House>,
    story: Arc<Story>,
    store: Migrating,
    id: SessionId,
}

impl Process {
    async fn run(self, actor: Actor) {
        match actor {
            Looks => drop(self.look().await),
            Reads => self.read().await,
            Writes | WritesBefore => self.write().await,
            TouchesBefore => self.touch().await,
            LogsOut | LogsOutBefore => self.log_out().await,
            RevokesAll => self.revoke_all().await,
            RevokesAllOthers => self.revoke(Some(self.id)).await,
            Lists => self.list().await,
            HoldsAlone | HoldsAloneBefore => self.hold().await,
            TimePasses => self.let_time_pass().await,
        }
    }

    async fn look(&self) -> Option<Record> {
        let is_over = self.story.ended.load(Ordering::SeqCst);
        let seen = read(&self.store, self.id, self.house.now).await;
        assert!(!(is_over && seen.is_some()), "it was read after its ending was acknowledged");
        seen
    }

    async fn read(&self) {
        let (first, second) = (self.look().await, self.look().await);
        match (first, second) {
            (Some(first), Some(second)) => assert!(first.version <= second.version, "a step back"),
            (None, Some(_)) => panic!("it came back"),
            _ => {}
        }
    }

    async fn write(&self) {
        let loaded = self.store.load(self.id, self.house.now, Access::Write).await.unwrap();
        let Some(loaded) = loaded else { return self.is_refused() };
        let ticket = self.count_up(loaded).await;
        self.store.release(ticket).await.unwrap();
    }

    fn is_refused(&self) {
        self.story.refused.store(true, Ordering::SeqCst);
    }

    /// Adds one to the session's counter, over whatever others wrote.
    async fn count_up(&self, mut loaded: Loaded) -> Ticket {
        loop {
            let expected = loaded.record.version;
            let next = counted(&loaded.record);
            let is_over = self.story.ended.load(Ordering::SeqCst);
            let update =
                self.store.update(&next, expected, Durability::Process, &mut loaded.ticket);
            match update.await.unwrap() {
                Updated::Written => {
                    assert!(!is_over, "it was written after its ending was acknowledged");
                    self.story.written.fetch_add(1, Ordering::SeqCst);
                    return loaded.ticket;
                }
                Updated::Conflict(current) => {
                    assert!(current.version > expected, "a conflict with an older version");
                    loaded.record = *current;
                }
                Updated::Gone => {
                    self.is_refused();
                    return loaded.ticket;
                }
                other => panic!("a write: {other:?}"),
            }
        }
    }

    async fn touch(&self) {
        let used_at = self.house.now + IDLE / 2;
        let none = &mut Ticket::none();
        let touched = self.store.touch(self.id, used_at, used_at + IDLE, none).await.unwrap();
        self.story.touched.store(touched, Ordering::SeqCst);
    }

    async fn log_out(&self) {
        self.store.delete(self.id, Durability::Power).await.unwrap();
        self.is_over().await;
    }

    async fn revoke_all(&self) {
        self.revoke(None).await;
        self.is_over().await;
    }

    async fn revoke(&self, except: Option<SessionId>) {
        let owner = ann();
        let revoke = self.store.delete_owner(&owner, except, self.house.now, Durability::Power);
        revoke.await.unwrap();
    }

    async fn is_over(&self) {
        self.story.ended.store(true, Ordering::SeqCst);
        assert_eq!(self.look().await, None);
    }

    async fn list(&self) {
        for scope in [Scope::Owner(&ann()), Scope::All] {
            let page = self.store.list(scope, self.house.now, None, 9).await.unwrap();
            let listed: Vec<_> = page.sessions.iter().map(|session| session.id).collect();
            assert!(listed.is_empty() || listed == [self.id], "listed twice");
            self.story.unlisted.fetch_or(listed.is_empty(), Ordering::SeqCst);
        }
    }

    async fn let_time_pass(&self) {
        self.store.delete_expired(self.house.now, 0).await.unwrap();
        tokio::time::advance(LONGER_THAN_A_LOCK).await;
    }

    async fn hold(&self) {
        let access = Access::Exclusive { wait: DAY, hold: 2 * DAY };
        let held = self.store.load(self.id, self.house.now, access).await.unwrap();
        let Some(held) = held else { return self.is_refused() };
        assert!(!self.story.held.swap(true, Ordering::SeqCst), "two hold it alone");
        let ticket = self.count_up(held).await;
        self.story.held.store(false, Ordering::SeqCst);
        self.store.release(ticket).await.unwrap();
    }
}

/// Longer than a carrier may hold the old store's lock.
const LONGER_THAN_A_LOCK: Duration = Duration::from_secs(3_600);

fn count(record: &Record) -> usize {
    let json = record.data.get("count").and_then(|json| std::str::from_utf8(json).ok());
    json.map_or(0, |json| json.parse().unwrap())
}

fn counted(record: &Record) -> Record {
    let mut next = next_of(record);
    next.data.insert("count", Bytes::from((count(record) + 1).to_string()));
    next
}

/// Runs one schedule of these actors in a new house, and judges what is left; gives whether there is
/// another schedule.
async fn play(schedules: &mut Schedules, actors: &[Actor]) -> bool {
    let house = Arc::new(House::in_memory());
    let born = house.session(1).await;
    let story = Arc::new(Story::default());
    let processes = actors.iter().map(|actor| {
        let gate = Gate::stopping();
        let (old, new) = (gate.around(&house.old), gate.around(&house.new));
        let both = match actor.is_before() {
            true => Migrating::prepare(old, new),
            false => Migrating::new(old, new),
        };
        let (house, story) = (Arc::clone(&house), Arc::clone(&story));
        let process = Process { house, story, store: both.unwrap(), id: born.id };
        Stepped::new(gate, process.run(*actor))
    });
    let more = schedules.run(processes.collect()).await;
    judge(&house, &born, &story, actors).await;
    more
}

async fn judge(house: &House, born: &Record, story: &Story, actors: &[Actor]) {
    let seen = read(&house.carrying(), born.id, house.now).await;
    // Who runs on the new store alone sees the same.
    let afterwards = read(&*house.new, born.id, house.now).await;
    let opens = afterwards.filter(|record| record.secret_hash == born.secret_hash);
    assert_eq!(opens, seen, "what the new store alone says");
    if actors.iter().any(|actor| actor.ends()) {
        return assert_eq!(seen, None, "it ended");
    }
    assert!(!story.refused.load(Ordering::SeqCst), "a write to a live session was refused");
    assert!(!story.unlisted.load(Ordering::SeqCst), "a list missed it");
    let seen = seen.expect("nobody ended it");
    assert_eq!(count(&seen), story.written.load(Ordering::SeqCst), "acknowledged writes");
    assert!(seen.version >= born.version, "a step back");
    if story.touched.load(Ordering::SeqCst) {
        assert_eq!(seen.used_at, house.now + IDLE / 2, "an acknowledged use");
    }
    assert_eq!((seen.login_began_at, &seen.owner), (born.login_began_at, &born.owner));
    assert_eq!(seen.data.get("born"), born.data.get("born"));
    assert_eq!(read(&*house.old, born.id, house.now).await, None, "it is in one store");
}

/// Two operations, each of which may be stopped before any of its calls: all orders, but for pairs of
/// two that both carry, where at most four times somebody is stopped.
#[tokio::test(start_paused = true)]
async fn every_schedule_of_two_keeps_the_promises() {
    for (at, first) in EVERYBODY.into_iter().enumerate() {
        for second in EVERYBODY.into_iter().skip(at) {
            let is_short = [first, second].into_iter().any(Actor::ends);
            let mut schedules = match is_short {
                true => Schedules::default(),
                false => Schedules::with_at_most(4),
            };
            while play(&mut schedules, &[first, second]).await {}
            assert!(schedules.run > 1, "{first:?} and {second:?} never met");
        }
    }
}

/// A carrier that is stopped anywhere, while another carries and a third ends or writes.
#[tokio::test(start_paused = true)]
async fn schedules_of_three_keep_the_promises() {
    for third in EVERYBODY {
        let mut schedules = Schedules::with_at_most(if third.ends() { 3 } else { 2 });
        while play(&mut schedules, &[Reads, Writes, third]).await {}
        assert!(schedules.run > 100, "{} schedules", schedules.run);
    }
}

/// A carrier that loses its lock and goes on later, when another has carried the session and a third
/// has ended it.
#[tokio::test(start_paused = true)]
async fn a_carrier_that_wakes_up_late_brings_nothing_back() {
    let mut schedules = Schedules::with_at_most(3);
    while play(&mut schedules, &[Looks, TimePasses, Looks, LogsOut]).await {}
    assert!(schedules.run > 1_000, "{} schedules", schedules.run);
}
