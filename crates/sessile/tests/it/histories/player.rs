//! Playing a history on a store.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use sessile::store::{Access, Created, Durability, Expired, Scope, Store, Ticket, Updated};
use sessile::{Error, ErrorKind, Owner, Record, SessionId, Summary, Version};
use tokio::runtime::Runtime;

use crate::engine::Place;

/// One call of a store, with all of its arguments.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Create {
        record: Record,
        durability: Durability,
    },
    /// The number is the name of the ticket that comes with the record.
    Load {
        id: SessionId,
        now: SystemTime,
        access: Access,
        ticket: u32,
    },
    Update {
        record: Record,
        expected: Version,
        durability: Durability,
        ticket: Option<u32>,
    },
    Touch {
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: Option<u32>,
    },
    Delete {
        id: SessionId,
        durability: Durability,
    },
    DeleteOwner {
        owner: Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
    },
    DeleteExpired {
        now: SystemTime,
        limit: usize,
    },
    List {
        owner: Option<Owner>,
        now: SystemTime,
        limit: usize,
    },
    Release {
        ticket: Option<u32>,
    },
    Nothing,
}

/// What a store said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Created(Created),
    Loaded(Option<Box<Record>>),
    Updated(Updated),
    Touched(bool),
    Deleted(bool),
    DeletedOwner(u64),
    Expired(Expired),
    /// Of all pages together.
    Listed(Vec<Summary>),
    Failed(ErrorKind),
    Done,
    /// What stores may answer in more than one way.
    Any,
}

/// Every kind of answer but the one to nothing.
pub(super) const KINDS: [&str; 18] = [
    "another version",
    "any",
    "deleted",
    "done",
    "ended",
    "ended all",
    "ended none",
    "listed none",
    "listed some",
    "loaded",
    "loaded nothing",
    "locked",
    "no such session to delete",
    "not touched",
    "taken or revoked",
    "touched",
    "version not raised",
    "written",
];

impl Answer {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Created(Created::New) | Self::Updated(Updated::Written) => "written",
            Self::Created(_) => "taken or revoked",
            Self::Loaded(Some(_)) => "loaded",
            Self::Loaded(None) => "loaded nothing",
            Self::Updated(Updated::Conflict(_)) => "another version",
            Self::Updated(_) => "ended",
            Self::Touched(true) => "touched",
            Self::Touched(false) => "not touched",
            Self::Deleted(true) => "deleted",
            Self::Deleted(false) => "no such session to delete",
            Self::DeletedOwner(0) => "ended none",
            Self::DeletedOwner(_) => "ended all",
            Self::Listed(sessions) if sessions.is_empty() => "listed none",
            Self::Listed(_) => "listed some",
            Self::Failed(ErrorKind::LockTimeout) => "locked",
            Self::Failed(_) => "version not raised",
            Self::Expired(_) | Self::Done => "done",
            Self::Any => "any",
        }
    }
}

/// Stores at play, side by side.
pub(super) struct Stage {
    players: Vec<Player>,
    runtime: Runtime,
}

/// A store, with the tickets that it gave.
struct Player {
    name: &'static str,
    tickets: Tickets,
    place: Place,
}

impl Stage {
    pub(super) fn new(places: impl FnOnce() -> Vec<(&'static str, Place)>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let places = runtime.block_on(async { places() });
        let player = |(name, place)| Player { name, tickets: Tickets::new(), place };
        Self { players: places.into_iter().map(player).collect(), runtime }
    }

    /// What each store answers.
    pub(super) fn play(&mut self, call: &Call) -> Vec<(&'static str, Answer)> {
        let played = self.players.iter_mut().map(|Player { name, tickets, place }| {
            let answer = self.runtime.block_on(play(&*place.store, tickets, call));
            (*name, answer.unwrap_or_else(|error| Answer::Failed(error.kind())))
        });
        played.collect()
    }
}

type Tickets = BTreeMap<u32, Ticket>;

async fn play(store: &dyn Store, tickets: &mut Tickets, call: &Call) -> Result<Answer, Error> {
    let mut none = Ticket::none();
    Ok(match call {
        Call::Create { record, durability } => {
            Answer::Created(store.create(record, *durability).await?)
        }
        Call::Load { id, now, access, ticket } => {
            let loaded = store.load(*id, *now, *access).await?;
            Answer::Loaded(loaded.map(|loaded| {
                tickets.insert(*ticket, loaded.ticket);
                Box::new(loaded.record)
            }))
        }
        Call::Update { record, expected, durability, ticket } => {
            let ticket = ticket.and_then(|ticket| tickets.get_mut(&ticket)).unwrap_or(&mut none);
            Answer::Updated(store.update(record, *expected, *durability, ticket).await?)
        }
        Call::Touch { id, used_at, idle_deadline, ticket } => {
            let ticket = ticket.and_then(|ticket| tickets.get_mut(&ticket)).unwrap_or(&mut none);
            Answer::Touched(store.touch(*id, *used_at, *idle_deadline, ticket).await?)
        }
        Call::Delete { id, durability } => Answer::Deleted(store.delete(*id, *durability).await?),
        Call::DeleteOwner { owner, except, not_before } => {
            let deleted = store.delete_owner(owner, *except, *not_before, Durability::Process);
            Answer::DeletedOwner(deleted.await?)
        }
        Call::DeleteExpired { now, limit } => {
            Answer::Expired(store.delete_expired(*now, *limit).await?)
        }
        Call::List { owner, now, limit } => {
            let scope = owner.as_ref().map_or(Scope::All, Scope::Owner);
            Answer::Listed(list(store, scope, *now, *limit).await?)
        }
        Call::Release { ticket } => {
            let ticket = ticket.and_then(|ticket| tickets.remove(&ticket)).unwrap_or_default();
            store.release(ticket).await?;
            Answer::Done
        }
        Call::Nothing => Answer::Done,
    })
}

async fn list(
    store: &dyn Store,
    scope: Scope<'_>,
    now: SystemTime,
    limit: usize,
) -> Result<Vec<Summary>, Error> {
    let (mut sessions, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(scope, now, after, limit).await?;
        assert!(page.sessions.len() <= limit, "a page of {limit} holds {}", page.sessions.len());
        sessions.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            return Ok(sessions);
        }
    }
}

/// A lock that is either free or not, and is not lost while a history lasts.
pub(super) const LOCK: Access =
    Access::Exclusive { wait: Duration::ZERO, hold: Duration::from_secs(600) };
