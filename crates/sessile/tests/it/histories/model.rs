//! A store as a plain map: what every operation must answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sessile::store::{Access, Created, Durability, Expired, Updated};
use sessile::{Data, ErrorKind, Owner, Record, SecretHash, SessionId};

use super::operation::{Began, Fill, Life, Operation};
use super::player::{Answer, Call, LOCK};

/// The clock stays within this of where it began. Owners without sessions are forgotten after a day
/// by stores that say so, and then their "not before" with them.
const CLOCK_RANGE: Duration = Duration::from_secs(20 * 60 * 60);

#[derive(Clone, Debug)]
pub(super) struct Model {
    start: SystemTime,
    now: SystemTime,
    records: BTreeMap<SessionId, Known>,
    not_before: BTreeMap<Owner, SystemTime>,
    /// Whose load each ticket came with, and whether it holds the lock.
    tickets: BTreeMap<u32, (SessionId, bool)>,
    /// How many IDs and tickets were drawn.
    drawn: u32,
    /// The last call, and what it must answer.
    call: Call,
    answer: Answer,
    /// What the last call finds that stores may treat in more than one way.
    doubtful: BTreeSet<SessionId>,
}

/// A record that was not deleted.
#[derive(Clone, Debug)]
struct Known {
    record: Record,
    /// What was loaded last, which is what a save begins with.
    loaded: Record,
    /// Whether a sweep may have removed it: stores may leave what expired recently. A clock that
    /// steps back brings it back, or does not.
    swept: bool,
}

impl Default for Model {
    /// From today on: a server that collects garbage by its own clock must find nothing expired.
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let start = UNIX_EPOCH + Duration::from_millis(since);
        Self {
            start,
            now: start,
            records: BTreeMap::new(),
            not_before: BTreeMap::new(),
            tickets: BTreeMap::new(),
            drawn: 0,
            call: Call::Nothing,
            answer: Answer::Done,
            doubtful: BTreeSet::new(),
        }
    }
}

impl Model {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    pub(super) fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Makes the operation a call, and says what it must answer.
    pub(super) fn go_on(&mut self, operation: &Operation) {
        self.call = self.call_of(operation);
        self.doubtful = self.records.iter().filter(|it| it.1.swept).map(|(id, _)| *id).collect();
        let call = self.call.clone();
        let answer = self.answer_to(&call);
        self.answer = self.normalised(answer);
    }

    /// An answer without what is left to each store:
    ///
    /// - which of the expired a sweep removes, and so whether the deletion of an expired session
    ///   finds one, and how many of an owner's it counts;
    /// - whether a session is back that a sweep may have removed, when the clock steps back behind
    ///   its deadline;
    /// - which of two reasons it gives: a create may find its ID taken and its login revoked, a
    ///   load for the lock the session ended and locked.
    pub(super) fn normalised(&self, answer: Answer) -> Answer {
        match (&self.call, answer) {
            (call, Answer::Failed(kind)) if !self.finds_ended_and_locked(call) => {
                Answer::Failed(kind)
            }
            (call, _) if self.is_doubtful(call) => Answer::Any,
            (Call::Load { .. }, Answer::Failed(_)) => Answer::Loaded(None),
            (Call::DeleteExpired { now, limit }, Answer::Expired(expired)) => {
                self.assert_expired(&expired, *now, *limit);
                Answer::Done
            }
            (Call::List { .. }, Answer::Listed(mut sessions)) => {
                sessions.retain(|session| !self.doubtful.contains(&session.id));
                Answer::Listed(sessions)
            }
            (Call::Create { .. }, Answer::Created(Created::Revoked)) => {
                Answer::Created(Created::Exists)
            }
            (_, answer) => answer,
        }
    }

    /// Whether the call asks for the lock of a session that ended, or may have been removed, while
    /// somebody holds it.
    fn finds_ended_and_locked(&self, call: &Call) -> bool {
        let Call::Load { id, now, access: Access::Exclusive { .. }, .. } = call else {
            return false;
        };
        let known = self.records.get(id);
        let ended = known.is_none_or(|known| known.record.is_expired(*now));
        (ended || self.doubtful.contains(id)) && self.is_locked(*id)
    }

    fn is_locked(&self, id: SessionId) -> bool {
        self.tickets.values().any(|held| *held == (id, true))
    }

    /// Whether the answer hangs on what a sweep has removed.
    fn is_doubtful(&self, call: &Call) -> bool {
        let back = |id, instant| {
            self.doubtful.contains(&id)
                && self.records.get(&id).is_some_and(|known| !known.record.is_expired(instant))
        };
        match call {
            Call::Load { id, now, .. } => back(*id, *now),
            Call::Touch { id, used_at, .. } => back(*id, *used_at),
            Call::Update { record, .. } => back(record.id, record.used_at),
            Call::Delete { id, .. } => self.doubtful.contains(id),
            Call::DeleteOwner { .. } => !self.doubtful.is_empty(),
            _ => false,
        }
    }

    #[track_caller]
    fn assert_expired(&self, expired: &Expired, now: SystemTime, limit: usize) {
        assert!(expired.removed.len() <= limit, "{} removed of {limit}", expired.removed.len());
        for (id, owner) in &expired.removed {
            let known = self.records.get(id).expect("what is removed was there");
            assert!(known.record.is_expired(now), "{id} was removed alive");
            assert_eq!(owner, &known.record.owner, "the owner of {id}");
        }
    }

    // From operations to calls

    fn call_of(&mut self, operation: &Operation) -> Call {
        let now = self.now;
        match *operation {
            Operation::Create { owner, began, life, fill, durability } => {
                let record = self.new_record(owner, began, life, fill);
                Call::Create { record, durability }
            }
            Operation::CreateAgain { which, owner } => match self.chosen(which) {
                Some(known) if !known.swept => {
                    let mut record = known.record.clone();
                    record.owner = owner.map(owner_of);
                    record.login_began_at = record.owner.is_some().then_some(now);
                    Call::Create { record, durability: Durability::Process }
                }
                _ => Call::Nothing,
            },
            Operation::Read { which } => self.load(which, Access::Read),
            Operation::Load { which } => self.load(which, Access::Write),
            Operation::Lock { which } => self.load(which, LOCK),
            Operation::Save { which, ticket, skip, fill, durability } => {
                let ticket = self.ticket_of(self.id(which), ticket);
                self.update(which, durability, ticket, |record| {
                    record.version = sessile::Version::new(record.version.get() + u64::from(skip));
                    record.data = data_of(fill);
                    record.touch(now);
                })
            }
            Operation::Disown { which } => {
                self.update(which, Durability::Process, None, |record| {
                    record.owner = None;
                    record.touch(now);
                })
            }
            Operation::Supersede { which } => {
                self.update(which, Durability::Final, None, |record| {
                    record.owner = None;
                    record.superseded = true;
                    record.idle_timeout = None;
                    record.data = Data::default();
                    record.touch(now);
                })
            }
            Operation::Repeat { which } => match self.chosen(which) {
                Some(Known { record, .. }) => {
                    let (record, expected) = (record.clone(), record.version);
                    Call::Update { record, expected, durability: Durability::Process, ticket: None }
                }
                None => Call::Nothing,
            },
            Operation::Touch { which, ticket } => {
                let id = self.id(which);
                let idle = self.records.get(&id).and_then(|known| known.record.idle_timeout);
                let idle_deadline = now + idle.unwrap_or_default();
                let ticket = self.ticket_of(id, ticket);
                Call::Touch { id, used_at: now, idle_deadline, ticket }
            }
            Operation::Delete { which, durability } => {
                Call::Delete { id: self.id(which), durability }
            }
            Operation::DeleteOwner { owner, except, ms_ago } => {
                let except = except.map(|which| self.id(which));
                let not_before = now - Duration::from_millis(ms_ago);
                Call::DeleteOwner { owner: owner_of(owner), except, not_before }
            }
            Operation::Sweep { limit } => Call::DeleteExpired { now, limit },
            Operation::List { owner, limit } => {
                Call::List { owner: owner.map(owner_of), now, limit }
            }
            Operation::Release { ticket } => {
                let at = usize::from(ticket) % self.tickets.len().max(1);
                Call::Release { ticket: self.tickets.keys().nth(at).copied() }
            }
            Operation::ToDeadline { which, before } => {
                let deadline = self.chosen(which).map_or(now, |known| known.record.deadline());
                self.step_to(deadline - Duration::from_millis(before.into()))
            }
            Operation::Forth { ms } => self.step_to(now + Duration::from_millis(ms)),
            Operation::Back { ms } => self.step_to(now - Duration::from_millis(ms)),
        }
    }

    fn step_to(&mut self, instant: SystemTime) -> Call {
        self.now = instant.clamp(self.start, self.start + CLOCK_RANGE);
        Call::Nothing
    }

    fn new_record(&mut self, owner: Option<u8>, began: Began, life: Life, fill: Fill) -> Record {
        self.drawn += 1;
        let minutes = |minutes| Duration::from_secs(60 * minutes);
        let (idle, absolute) = match life {
            Life::Idle { minutes: idle } => (Some(minutes(idle)), minutes(8 * 60)),
            Life::Absolute { minutes: absolute } => (None, minutes(absolute)),
        };
        let hash = SecretHash::from_bytes([self.drawn as u8; 32]);
        let mut record = Record::new(id_of(self.drawn), hash, self.now, idle, absolute);
        record.owner = owner.map(owner_of);
        record.login_began_at = record.owner.as_ref().and(match began {
            Began::Now => Some(self.now),
            Began::Ago { ms } => Some(self.now - Duration::from_millis(ms)),
            Began::Never => None,
        });
        record.data = data_of(fill);
        record
    }

    fn load(&mut self, which: u8, access: Access) -> Call {
        self.drawn += 1;
        Call::Load { id: self.id(which), now: self.now, access, ticket: self.drawn }
    }

    /// An update of what was loaded last, to the next version and what `change` makes of it.
    fn update(
        &self,
        which: u8,
        durability: Durability,
        ticket: Option<u32>,
        change: impl FnOnce(&mut Record),
    ) -> Call {
        let Some(known) = self.chosen(which) else { return Call::Nothing };
        let mut record = known.loaded.clone();
        record.version = record.version.next();
        change(&mut record);
        Call::Update { record, expected: known.loaded.version, durability, ticket }
    }

    fn chosen(&self, which: u8) -> Option<&Known> {
        self.records.get(&self.id(which))
    }

    /// One of the sessions there are, or one that never was.
    fn id(&self, which: u8) -> SessionId {
        let at = usize::from(which) % (self.records.len() + 1);
        self.records.keys().nth(at).copied().unwrap_or(id_of(0))
    }

    /// One of the tickets that came with this session. Another session's is none of its business.
    fn ticket_of(&self, id: SessionId, which: Option<u8>) -> Option<u32> {
        let tickets = self.tickets.iter().filter(|(_, (whose, _))| *whose == id);
        let tickets: Vec<u32> = tickets.map(|(ticket, _)| *ticket).collect();
        tickets.get(usize::from(which?) % tickets.len().max(1)).copied()
    }

    // From calls to answers

    fn answer_to(&mut self, call: &Call) -> Answer {
        match call {
            Call::Create { record, .. } => self.create(record),
            Call::Load { id, now, access, ticket } => self.loaded(*id, *now, *access, *ticket),
            Call::Update { record, expected, .. } if record.version <= *expected => {
                Answer::Failed(ErrorKind::Value)
            }
            Call::Update { record, .. } => self.updated(call, record),
            Call::Touch { id, used_at, .. } => self.touched(*id, *used_at),
            Call::Delete { id, .. } => Answer::Deleted(self.records.remove(id).is_some()),
            Call::DeleteOwner { owner, except, not_before } => {
                self.delete_owner(owner, *except, *not_before)
            }
            Call::DeleteExpired { now, .. } => {
                let expired = self.records.values_mut().filter(|it| it.record.is_expired(*now));
                expired.for_each(|known| known.swept = true);
                Answer::Done
            }
            Call::List { owner, now, .. } => self.list(owner.as_ref(), *now),
            Call::Release { ticket } => {
                ticket.and_then(|ticket| self.tickets.remove(&ticket));
                Answer::Done
            }
            Call::Nothing => Answer::Done,
        }
    }

    fn create(&mut self, record: &Record) -> Answer {
        if self.records.contains_key(&record.id) {
            return Answer::Created(Created::Exists);
        }
        let not_before = record.owner.as_ref().and_then(|owner| self.not_before.get(owner));
        if not_before.is_some_and(|instant| record.login_began_at.is_none_or(|at| at <= *instant)) {
            return Answer::Created(Created::Revoked);
        }
        let known = Known { record: record.clone(), loaded: record.clone(), swept: false };
        self.records.insert(record.id, known);
        Answer::Created(Created::New)
    }

    fn loaded(&mut self, id: SessionId, now: SystemTime, access: Access, ticket: u32) -> Answer {
        let Some(known) = self.records.get_mut(&id).filter(|it| !it.record.is_expired(now)) else {
            return Answer::Loaded(None);
        };
        let locks = access == LOCK;
        if locks && self.tickets.values().any(|held| *held == (id, true)) {
            return Answer::Failed(ErrorKind::LockTimeout);
        }
        known.loaded = known.record.clone();
        self.tickets.insert(ticket, (id, locks));
        Answer::Loaded(Some(Box::new(known.record.clone())))
    }

    fn updated(&mut self, call: &Call, record: &Record) -> Answer {
        let Call::Update { expected, .. } = call else { unreachable!("an update") };
        let known = self.records.get_mut(&record.id);
        let known = known.filter(|it| !it.record.is_expired(record.used_at));
        Answer::Updated(match known {
            None => Updated::Gone,
            Some(known) if known.record.version != *expected => {
                Updated::Conflict(Box::new(known.record.clone()))
            }
            Some(known) => {
                let used_at = known.record.used_at;
                known.record = record.clone();
                known.record.touch(used_at);
                Updated::Written
            }
        })
    }

    fn touched(&mut self, id: SessionId, used_at: SystemTime) -> Answer {
        let known = self.records.get_mut(&id).filter(|it| !it.record.is_expired(used_at));
        Answer::Touched(known.map(|known| known.record.touch(used_at)).is_some())
    }

    fn delete_owner(
        &mut self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
    ) -> Answer {
        let instant = self.not_before.entry(owner.clone()).or_insert(not_before);
        *instant = not_before.max(*instant);
        let before = self.records.len();
        let stays =
            |id, record: &Record| Some(id) == except || record.owner.as_ref() != Some(owner);
        self.records.retain(|id, known| stays(*id, &known.record));
        Answer::DeletedOwner((before - self.records.len()) as u64)
    }

    fn list(&self, owner: Option<&Owner>, now: SystemTime) -> Answer {
        let records = self.records.values().map(|known| &known.record);
        let live = records.filter(|record| !record.superseded && !record.is_expired(now));
        let theirs = live.filter(|record| owner.is_none() || record.owner.as_ref() == owner);
        Answer::Listed(theirs.map(Record::summary).collect())
    }
}

fn owner_of(number: u8) -> Owner {
    Owner::new(["ann", "bob", "zoë"][usize::from(number) % 3]).unwrap()
}

/// Files lie in a folder for each first byte: few bytes come first here, and in no order.
fn id_of(number: u32) -> SessionId {
    let mut bytes = [0xa5; 16];
    bytes[0] = (number.wrapping_mul(85) % 4) as u8 * 80;
    bytes[12..].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
    SessionId::from_bytes(bytes)
}

fn data_of(fill: Fill) -> Data {
    let mut data = Data::default();
    if let Fill::Bytes { count, letter } = fill {
        let text = String::from(letter).repeat(count);
        data.insert("fill", Bytes::from(format!("{text:?}")));
        data.insert("count", Bytes::from(count.to_string()));
    }
    data
}
