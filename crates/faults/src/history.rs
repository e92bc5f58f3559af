//! What the callers were told, and what may therefore be read. Pure.
//!
//! Every state bears a stamp that no other attempt to write has, so that a read names the attempt
//! it came from. An attempt without an answer may have been carried out or not; an answered one
//! binds.

use std::collections::{BTreeMap, BTreeSet};

use sessile::store::Durability;
use sessile::{Owner, SessionId};

use crate::deed::{Answer, Deed, Order, Sight, Stamp};

/// How long before its order an expired session's login began.
const LONG_AGO_MS: u64 = 2 * 3600 * 1000;

/// One deed that was begun, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) order: Order,
    pub(crate) begun_ns: u64,
    /// The answer, and when it was given; none when its worker died over it.
    pub(crate) answer: Option<(Answer, u64)>,
}

/// What is held against a read: answers given before an instant, to deeds that survive what
/// happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) least: Durability,
    pub(crate) before_ns: u64,
    /// Deeds that were begun later cannot show.
    pub(crate) until_ns: u64,
}

impl Promise {
    /// Everything that was answered binds: processes died, the machine did not.
    pub(crate) const KILL: Self =
        Self { least: Durability::Process, before_ns: u64::MAX, until_ns: u64::MAX };

    /// The power went at this instant, when nobody was at work.
    pub(crate) const fn power(at_ns: u64) -> Self {
        Self { least: Durability::Power, before_ns: at_ns, until_ns: at_ns }
    }

    /// A read among others that were at work.
    const fn between(begun_ns: u64, at_ns: u64) -> Self {
        Self { least: Durability::Process, before_ns: begun_ns, until_ns: at_ns }
    }
}

/// Everything that was asked of one directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    events: Vec<Event>,
    by_id: BTreeMap<SessionId, Vec<usize>>,
    revocations: Vec<usize>,
    judged: usize,
}

impl History {
    pub(crate) fn note(&mut self, event: Event) {
        let at = self.events.len();
        for id in subjects(&event.order.deed) {
            self.by_id.entry(id).or_default().push(at);
        }
        if matches!(event.order.deed, Deed::Revoke { .. }) {
            self.revocations.push(at);
        }
        self.events.push(event);
    }

    /// The sessions that anybody was told of.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.by_id.keys().copied()
    }

    /// What is wrong with this sight of a session.
    pub(crate) fn judge(&self, id: SessionId, sight: &Sight, promise: Promise) -> Option<String> {
        let wrong = self.expected(id, promise).judge(sight)?;
        Some(format!("{id} {wrong} ({sight:?})"))
    }

    /// Whose login made this session.
    pub(crate) fn owner(&self, id: SessionId) -> Option<&Owner> {
        self.login(id).map(|(owner, _)| owner)
    }

    /// What is wrong with this list of an owner's sessions.
    pub(crate) fn judge_list(
        &self,
        owner: &Owner,
        ids: &[SessionId],
        promise: Promise,
    ) -> Vec<String> {
        let listed: BTreeSet<_> = ids.iter().copied().collect();
        let of_owner = self.ids().filter(|id| self.login(*id).is_some_and(|it| it.0 == owner));
        let wrong = of_owner.filter_map(|id| {
            let expected = self.expected(id, promise);
            match listed.contains(&id) {
                false if expected.is_surely_live() => {
                    Some(format!("{id} is missing in the list of {owner}"))
                }
                true if expected.is_surely_ended() => {
                    Some(format!("{id}, which ended, is in the list of {owner}"))
                }
                _ => None,
            }
        });
        wrong.collect()
    }

    /// How many answers there are that were not judged before, and what is wrong with them.
    pub(crate) fn judge_answers(&mut self) -> (u64, Vec<String>) {
        let new = &self.events[self.judged..];
        let answered = new.iter().filter(|event| event.answer.is_some()).count() as u64;
        let wrong = new.iter().flat_map(|event| self.judge_answer(event)).collect();
        self.judged = self.events.len();
        (answered, wrong)
    }

    fn judge_answer(&self, event: &Event) -> Vec<String> {
        let Some((answer, at_ns)) = &event.answer else { return vec![] };
        let promise = Promise::between(event.begun_ns, *at_ns);
        match (&event.order.deed, answer) {
            (Deed::Look { id }, Answer::Saw(sight)) => {
                self.judge(*id, sight, promise).into_iter().collect()
            }
            (Deed::List { owner }, Answer::Listed { ids }) => self.judge_list(owner, ids, promise),
            (Deed::Sweep, Answer::Swept { removed }) => self.judge_swept(removed),
            (deed, answer) => self.judge_write(deed, answer, promise).into_iter().collect(),
        }
    }

    fn judge_swept(&self, removed: &[SessionId]) -> Vec<String> {
        let live = removed.iter().filter(|id| !self.expected(**id, Promise::KILL).is_expired);
        live.map(|id| format!("{id} was swept, and had not expired")).collect()
    }

    /// What is wrong with the answer to a write, given what others had been told before it began.
    fn judge_write(&self, deed: &Deed, answer: &Answer, promise: Promise) -> Option<String> {
        if let Answer::Failed { kind, why } = answer {
            let is_wrong = kind != "Contended";
            return is_wrong.then(|| format!("{deed:?} failed: {kind}: {why}"));
        }
        let id = *subjects(deed).first()?;
        let expected = self.expected(id, promise);
        match (deed, answer) {
            (Deed::Save { .. }, Answer::Wrote { version })
                if expected.floor().is_some_and(|(floor, _)| *version <= floor) =>
            {
                Some(format!("{id} was written as version {version}, which was there"))
            }
            (Deed::Save { .. }, Answer::Wrote { .. }) | (Deed::Touch { .. }, Answer::Touched)
                if expected.is_surely_ended() =>
            {
                Some(format!("{id} was written to after its end"))
            }
            (Deed::Save { .. } | Deed::Touch { .. }, Answer::Gone) if expected.is_surely_live() => {
                Some(format!("{id} is called gone, and nobody ended it"))
            }
            (Deed::Create { .. } | Deed::Login { .. }, Answer::Revoked)
                if !self.is_revoked(deed) =>
            {
                Some(format!("the login of {id} was refused, and nobody revoked it"))
            }
            _ => None,
        }
    }

    fn is_revoked(&self, deed: &Deed) -> bool {
        let id = subjects(deed).last().copied();
        id.is_some_and(|id| self.revoked(id, Promise::KILL) > End::Far)
    }

    fn events_of(&self, id: SessionId) -> impl Iterator<Item = &Event> {
        self.by_id.get(&id).into_iter().flatten().map(|at| &self.events[*at])
    }

    /// Whose login made this session, and when it began.
    fn login(&self, id: SessionId) -> Option<(&Owner, u64)> {
        self.events_of(id).find_map(|event| match &event.order.deed {
            Deed::Create { owner: Some(owner), expired, .. } => {
                let began_ms = event.order.now_ms - if *expired { LONG_AGO_MS } else { 0 };
                Some((owner, began_ms))
            }
            Deed::Login { new, owner, .. } if *new == id => Some((owner, event.order.now_ms)),
            _ => None,
        })
    }

    /// How far the end of all sessions of its owner has come for this one.
    fn revoked(&self, id: SessionId, promise: Promise) -> End {
        let Some((of, began_ms)) = self.login(id) else { return End::Far };
        let all = self.revocations.iter().map(|at| &self.events[*at]);
        let catching = all.filter(|event| {
            let is_theirs = matches!(&event.order.deed, Deed::Revoke { owner } if owner == of);
            is_theirs && began_ms <= event.order.now_ms
        });
        // Whoever was told that the login succeeded was told before or after its end, and then it
        // is ended. One that nobody was told of opens nothing to anybody.
        let is_told = self.events_of(id).any(|event| is_birth(event, id));
        let there_ns = if is_told { 0 } else { self.there_ns(id) };
        catching.map(|event| End::of(event, promise, there_ns)).max().unwrap_or(End::Far)
    }

    /// The first instant at which the session was surely there: who ended it before then ended
    /// nothing.
    fn there_ns(&self, id: SessionId) -> u64 {
        let shows = self.events_of(id).filter(|event| is_birth(event, id) || shows_life(event));
        let told = shows.filter_map(|event| event.answer.as_ref().map(|(_, at_ns)| *at_ns));
        told.min().unwrap_or(u64::MAX)
    }

    fn expected(&self, id: SessionId, promise: Promise) -> Expected {
        let mut expected = Expected::nothing(promise.least);
        expected.revoked = self.revoked(id, promise);
        let there_ns = self.there_ns(id);
        for event in self.events_of(id).filter(|event| event.begun_ns <= promise.until_ns) {
            expected.expect(id, event, promise, there_ns);
        }
        expected
    }
}

/// The sessions that a deed writes to, or reads.
fn subjects(deed: &Deed) -> Vec<SessionId> {
    match deed {
        Deed::Create { id, .. }
        | Deed::Save { id, .. }
        | Deed::Touch { id }
        | Deed::Delete { id }
        | Deed::Look { id } => vec![*id],
        Deed::Login { old, new, .. } => vec![*old, *new],
        Deed::Open | Deed::Revoke { .. } | Deed::Sweep | Deed::List { .. } => vec![],
    }
}

/// How far the end of a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Far,
    Begun,
    Promised,
}

impl End {
    /// What an attempt to end a session, which was surely there at this instant, has come to.
    fn of(event: &Event, promise: Promise, there_ns: u64) -> Self {
        let is_late = event.begun_ns >= there_ns;
        match &event.answer {
            _ if event.begun_ns > promise.until_ns => Self::Far,
            Some((Answer::Ended, at_ns)) if is_late && *at_ns <= promise.before_ns => {
                Self::Promised
            }
            _ => Self::Begun,
        }
    }
}

/// What an attempt to write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Unknown,
    Refused,
    Wrote(u64),
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    outcome: Outcome,
    is_mark: bool,
    durability: Durability,
    /// Whether its answer came in time.
    binds: bool,
}

/// What may be read of one session.
#[derive(Debug)]
struct Expected {
    least: Durability,
    attempts: BTreeMap<Stamp, Attempt>,
    used_at_least_ms: u64,
    deleted: End,
    revoked: End,
    is_expired: bool,
}

impl Expected {
    fn nothing(least: Durability) -> Self {
        Self {
            least,
            attempts: BTreeMap::new(),
            used_at_least_ms: 0,
            deleted: End::Far,
            revoked: End::Far,
            is_expired: false,
        }
    }

    fn expect(&mut self, id: SessionId, event: &Event, promise: Promise, there_ns: u64) {
        let binds = event.answer.as_ref().is_some_and(|(_, at_ns)| *at_ns <= promise.before_ns);
        let answer = event.answer.as_ref().map(|(answer, _)| answer);
        let attempt = |outcome, durability| Attempt { outcome, is_mark: false, durability, binds };
        match &event.order.deed {
            Deed::Create { stamp, durability, expired, .. } => {
                self.is_expired |= expired;
                self.attempts.insert(*stamp, attempt(written(answer), *durability));
            }
            Deed::Save { stamp, durability, .. } => {
                self.attempts.insert(*stamp, attempt(written(answer), *durability));
            }
            Deed::Login { new, stamp, .. } if *new == id => {
                self.attempts.insert(*stamp, attempt(logged_in(answer), Durability::Power));
            }
            Deed::Login { mark, .. } => {
                let mut attempt = attempt(marked(answer), Durability::Final);
                attempt.is_mark = true;
                self.attempts.insert(*mark, attempt);
            }
            Deed::Delete { .. } => {
                self.deleted = self.deleted.max(End::of(event, promise, there_ns));
            }
            // A use that the loss of power takes along ends the session early at most.
            Deed::Touch { .. } if promise.least == Durability::Process => {
                let is_told = answer == Some(&Answer::Touched) && binds;
                let used_ms = if is_told { event.order.now_ms } else { 0 };
                self.used_at_least_ms = self.used_at_least_ms.max(used_ms);
            }
            _ => {}
        }
    }

    /// The newest version that binds, and its stamp.
    fn floor(&self) -> Option<(u64, Stamp)> {
        self.newest(if self.is_at_risk() { Durability::Final } else { self.least })
    }

    fn newest(&self, least: Durability) -> Option<(u64, Stamp)> {
        let binding = self.attempts.iter().filter(|(_, it)| it.binds && it.durability >= least);
        let versions = binding.filter_map(|(stamp, it)| match it.outcome {
            Outcome::Wrote(version) => Some((version, *stamp)),
            _ => None,
        });
        versions.max()
    }

    /// Whether saves without a sync may have filled both slots of its file. That is a limit of the
    /// store, and documented: the loss of power may then damage the record, or give an older state,
    /// though none from before a final one.
    fn is_at_risk(&self) -> bool {
        if self.least < Durability::Power {
            return false;
        }
        let synced = self.newest(Durability::Power).map_or(0, |(version, _)| version);
        let is_unsynced = |attempt: &&Attempt| match attempt.outcome {
            Outcome::Wrote(version) => version > synced,
            Outcome::Unknown => true,
            Outcome::Refused => false,
        };
        self.attempts.values().filter(is_unsynced).count() > 1
    }

    fn may_be_marked(&self) -> bool {
        self.attempts.values().any(|it| it.is_mark && it.outcome != Outcome::Refused)
    }

    fn is_surely_live(&self) -> bool {
        let ends = self.deleted.max(self.revoked);
        let may_change = self.is_expired || self.may_be_marked() || self.is_at_risk();
        self.floor().is_some() && ends == End::Far && !may_change
    }

    /// A mark has no owner, and stays when all sessions of an owner end.
    fn is_surely_ended(&self) -> bool {
        let revoked = self.revoked == End::Promised && !self.may_be_marked();
        self.deleted == End::Promised || revoked || self.is_expired
    }

    fn judge(&self, sight: &Sight) -> Option<&'static str> {
        match sight {
            Sight::Torn => Some("is a mixture of states"),
            Sight::Damaged => self.judge_damage(),
            Sight::Absent => self.judge_absence(),
            Sight::Live { version, stamp, used_ms, superseded } => {
                self.judge_live(*version, *stamp, *used_ms, *superseded)
            }
        }
    }

    fn judge_absence(&self) -> Option<&'static str> {
        let is_ending = self.deleted.max(self.revoked) > End::Far || self.is_expired;
        (self.floor().is_some() && !is_ending).then_some("is gone")
    }

    fn judge_damage(&self) -> Option<&'static str> {
        let may_be_torn = self.least >= Durability::Power
            && (self.is_at_risk() || self.floor().is_none())
            && !self.is_surely_ended();
        (!may_be_torn).then_some("is damaged")
    }

    fn judge_live(
        &self,
        version: u64,
        stamp: Stamp,
        used_ms: u64,
        superseded: bool,
    ) -> Option<&'static str> {
        let Some(attempt) = self.attempts.get(&stamp) else {
            return Some("is a state that nobody wrote");
        };
        let floor = self.floor().unwrap_or_default();
        match attempt.outcome {
            _ if self.is_expired => Some("expired, and is served"),
            _ if self.deleted == End::Promised => Some("came back after its end"),
            _ if self.revoked == End::Promised && !superseded => Some("came back after all ended"),
            Outcome::Refused => Some("is a state whose writing was refused"),
            Outcome::Wrote(told) if told != version => Some("has another version than was told"),
            _ if attempt.is_mark != superseded => Some("is superseded, or not, against its state"),
            _ if version < floor.0 => Some("is older than what was acknowledged"),
            _ if version == floor.0 && stamp != floor.1 => {
                Some("is another state than the one acknowledged under its version")
            }
            _ if used_ms < self.used_at_least_ms => Some("forgot its last use"),
            _ => None,
        }
    }
}

/// Whether this told somebody that the session had begun.
fn is_birth(event: &Event, id: SessionId) -> bool {
    let answer = event.answer.as_ref().map(|(answer, _)| answer);
    match &event.order.deed {
        Deed::Create { .. } => matches!(answer, Some(Answer::Wrote { .. })),
        Deed::Login { new, .. } => *new == id && matches!(answer, Some(Answer::LoggedIn { .. })),
        _ => false,
    }
}

/// Whether this told somebody that the session was there.
fn shows_life(event: &Event) -> bool {
    let answer = event.answer.as_ref().map(|(answer, _)| answer);
    match &event.order.deed {
        Deed::Save { .. } => matches!(answer, Some(Answer::Wrote { .. })),
        Deed::Touch { .. } => matches!(answer, Some(Answer::Touched)),
        Deed::Look { .. } => matches!(answer, Some(Answer::Saw(Sight::Live { .. }))),
        _ => false,
    }
}

fn written(answer: Option<&Answer>) -> Outcome {
    match answer {
        Some(Answer::Wrote { version }) => Outcome::Wrote(*version),
        Some(Answer::Refused | Answer::Gone | Answer::Revoked) => Outcome::Refused,
        _ => Outcome::Unknown,
    }
}

/// What a login's answer says of the new session.
fn logged_in(answer: Option<&Answer>) -> Outcome {
    match answer {
        Some(Answer::LoggedIn { .. }) => Outcome::Wrote(1),
        answer => written(answer),
    }
}

/// What a login's answer says of the mark in the old session's place.
fn marked(answer: Option<&Answer>) -> Outcome {
    match answer {
        Some(Answer::LoggedIn { marked: Some(version) }) => Outcome::Wrote(*version),
        Some(Answer::LoggedIn { marked: None }) => Outcome::Refused,
        answer => written(answer),
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
