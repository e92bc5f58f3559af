//! The invariants: what may show after a crash, given what had been promised by then. Pure.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::SystemTime;

use super::super::sys::record::{Call, Node};
use super::observe::{Observation, Seen};
use super::scene::{Deed, Story, ann};
use crate::record::Record;
use crate::store::Created;
use crate::store::Durability::{self, Final, Power};
use crate::token::{SecretHash, SessionId};

/// What happened to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Crash {
    /// The process died. Everything it did is there.
    Kill,
    /// The power went. What was not synced may be there or not.
    Power,
}

/// The invariants that every state must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Invariant {
    /// A read gives one state that was committed, or nothing; damage is refused where it may occur.
    I1OneState,
    /// What ended stays ended.
    I2EndedIsFinal,
    /// What was acknowledged as durable is there, in that version or a later one.
    I3DurableIsThere,
    /// Some secret opens the session, and no state from before a final one is read.
    I4UsableSecret,
    /// A live session is in its owner's list.
    I5InTheList,
    /// Nothing is left behind for ever.
    I6Collected,
    /// A second recovery finds what the first one left.
    I7Settled,
    /// A sweep leaves the living alone.
    I8SweepSpares,
    /// Whoever was told of no error got what they asked for.
    I9ErrorsAreTold,
    /// The session goes on from what was read.
    I10GoesOn,
}

use Invariant::{
    I1OneState, I2EndedIsFinal, I3DurableIsThere, I4UsableSecret, I5InTheList, I6Collected,
    I7Settled, I8SweepSpares, I10GoesOn,
};

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) of: Invariant,
    pub(super) what: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.of, self.what)
    }
}

/// What had been begun and acknowledged at some moment of a story.
#[derive(Clone, Debug)]
pub(super) struct Progress<'a> {
    story: &'a Story,
    begun: BTreeSet<usize>,
    acknowledged: BTreeSet<usize>,
    current: Option<usize>,
    files: HashMap<SessionId, Node>,
    /// The deeds whose writes to a file no sync has covered.
    unsynced: HashMap<Node, BTreeSet<usize>>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(story: &'a Story) -> Self {
        Self {
            story,
            begun: (0..story.certain).collect(),
            acknowledged: (0..story.certain).collect(),
            current: None,
            files: story.files.iter().copied().collect(),
            unsynced: HashMap::new(),
        }
    }

    pub(super) fn go_on(&mut self, call: &Call) {
        match call {
            Call::Begun(deed) => {
                self.begun.insert(*deed);
                self.current = Some(*deed);
            }
            Call::Acknowledged(deed) => drop(self.acknowledged.insert(*deed)),
            Call::Create { name, file, .. } => {
                self.files.extend(name.parse().ok().map(|id: SessionId| (id, *file)));
            }
            Call::Write { file, .. } => {
                let writer = self.writer();
                self.unsynced.entry(*file).or_default().extend(writer);
            }
            Call::SyncFile { file } => drop(self.unsynced.remove(file)),
            _ => {}
        }
    }

    /// The deed under way, if it writes states. A touch changes one word and endangers nothing.
    fn writer(&self) -> Option<usize> {
        self.current.filter(|deed| !matches!(self.story.deeds[*deed], Deed::Touch { .. }))
    }

    /// Whether the saves that no sync covers filled both slots of a file: then a loss of power can
    /// damage every state in it.
    fn is_at_risk(&self, id: SessionId) -> bool {
        let unsynced = self.files.get(&id).and_then(|file| self.unsynced.get(file));
        !self.story.pages_are_whole && unsynced.is_some_and(|deeds| deeds.len() > 1)
    }

    fn deeds(&self, of: SessionId) -> impl Iterator<Item = (&'a Deed, bool)> {
        let story = self.story;
        let deeds = self.begun.iter().map(move |at| (&story.deeds[*at], *at));
        deeds
            .filter(move |(deed, _)| deed.id() == Some(of))
            .map(|(deed, at)| (deed, self.acknowledged.contains(&at)))
    }

    fn is_revoked(&self) -> (bool, bool) {
        let is_revoke = |at: &&usize| matches!(self.story.deeds[**at], Deed::Revoke);
        (
            self.begun.iter().any(|at| is_revoke(&at)),
            self.acknowledged.iter().any(|at| is_revoke(&at)),
        )
    }
}

/// How far the end of a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Far,
    Begun,
    Promised,
}

/// What may be read of one session.
struct Expected<'a> {
    /// Every state that was begun.
    states: Vec<&'a Record>,
    /// The newest state that is promised.
    floor: Option<&'a Record>,
    /// The newest one that is promised never to be undone.
    final_floor: Option<&'a Record>,
    /// Whether any state is promised to be there.
    is_promised: bool,
    /// Whether every state may be damaged.
    may_tear: bool,
    end: End,
    uses: BTreeSet<SystemTime>,
    used_at_least: Option<SystemTime>,
    successor: Option<SessionId>,
}

impl<'a> Expected<'a> {
    fn new(progress: &Progress<'a>, id: SessionId, crash: Crash) -> Self {
        let at_risk = crash == Crash::Power && progress.is_at_risk(id);
        let mut it = Self::nothing();
        for (deed, acknowledged) in progress.deeds(id) {
            it.expect(deed, acknowledged, crash, at_risk);
        }
        it.may_tear = crash == Crash::Power && (at_risk || !it.is_promised);
        it
    }

    fn expect(&mut self, deed: &'a Deed, acknowledged: bool, crash: Crash, at_risk: bool) {
        let binds = |durability: Durability, least| {
            acknowledged && (crash == Crash::Kill || durability >= least)
        };
        match deed {
            Deed::Write { record, durability, successor } => {
                self.states.push(record);
                self.uses.insert(record.used_at);
                self.successor = self.successor.or(*successor);
                self.is_promised |= binds(*durability, Power);
                let least = if at_risk { Final } else { Power };
                let promise = Some(&**record);
                self.floor = promise.filter(|_| binds(*durability, least)).or(self.floor);
                let is_final = acknowledged && *durability == Final;
                self.final_floor = promise.filter(|_| is_final).or(self.final_floor);
            }
            Deed::Touch { used_at, .. } => {
                self.uses.insert(*used_at);
                let promise = Some(*used_at).filter(|_| acknowledged && crash == Crash::Kill);
                self.used_at_least = self.used_at_least.max(promise);
            }
            Deed::End { durability, .. } => {
                let end = if binds(*durability, Power) { End::Promised } else { End::Begun };
                self.end = self.end.max(end);
            }
            Deed::Revoke => {}
        }
    }

    fn nothing() -> Self {
        Self {
            states: vec![],
            floor: None,
            final_floor: None,
            is_promised: false,
            may_tear: false,
            end: End::Far,
            uses: BTreeSet::new(),
            used_at_least: None,
            successor: None,
        }
    }

    /// Which invariant this reading breaks.
    fn judge(&self, seen: &Seen) -> Option<(Invariant, &'static str)> {
        match seen {
            Seen::Record(_) if self.end == End::Promised => Some((I2EndedIsFinal, "came back")),
            Seen::Record(record) => self.judge_record(record),
            Seen::Nothing if self.is_promised && self.end == End::Far => {
                Some((I3DurableIsThere, "is gone"))
            }
            Seen::Corrupt if !self.may_tear || self.end == End::Promised => {
                Some((I1OneState, "is damaged"))
            }
            Seen::Failed(_) => Some((I1OneState, "cannot be read")),
            Seen::Nothing | Seen::Corrupt => None,
        }
    }

    fn judge_record(&self, record: &Record) -> Option<(Invariant, &'static str)> {
        let is_committed = self.states.iter().any(|state| is_same_but_for_use(state, record));
        if !is_committed || !self.uses.contains(&record.used_at) {
            return Some((I1OneState, "is a state that nobody wrote"));
        }
        if self.final_floor.is_some_and(|floor| record.version < floor.version) {
            return Some((I4UsableSecret, "is a state from before a final one"));
        }
        if self.floor.is_some_and(|floor| record.version < floor.version) {
            return Some((I3DurableIsThere, "is older than what was promised"));
        }
        if Some(record.used_at) < self.used_at_least {
            return Some((I3DurableIsThere, "forgot its last use"));
        }
        None
    }

    /// The secrets that a browser may hold: the one it was told last, and any on their way to it.
    fn secrets(&self) -> impl Iterator<Item = SecretHash> {
        let told = self.floor.map(|floor| floor.version);
        let newer = self.states.iter().filter(move |state| Some(state.version) >= told);
        newer.map(|state| state.secret_hash)
    }
}

fn is_same_but_for_use(state: &Record, read: &Record) -> bool {
    Record { used_at: read.used_at, ..state.clone() } == *read
}

fn opens(record: &Record, secret: SecretHash) -> bool {
    let previous = record.previous.filter(|it| it.auth_epoch == record.auth_epoch);
    record.secret_hash == secret || previous.is_some_and(|it| it.hash == secret)
}

/// Everything that is wrong with what showed after a crash at this moment.
pub(super) fn judge(progress: &Progress<'_>, crash: Crash, found: &Observation) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let mut say = |of, what: String| wrong.push(Violation { of, what });
    for (id, seen) in &found.seen {
        let expected = Expected::new(progress, *id, crash);
        if let Some((of, what)) = expected.judge(seen) {
            say(of, format!("{id} {what}"));
        }
        if let Seen::Record(record) = seen
            && !is_usable(record, &expected, found)
        {
            say(I4UsableSecret, format!("{id} opens to no secret"));
        }
    }
    judge_lists(progress, found, &mut say);
    judge_late_login(progress, found, &mut say);
    judge_recovery(found, &mut say);
    wrong
}

fn is_usable(record: &Record, expected: &Expected<'_>, found: &Observation) -> bool {
    if !record.superseded {
        return expected.secrets().any(|secret| opens(record, secret));
    }
    // Whoever held this session holds the one that a login put in its place.
    let successor = expected.successor.and_then(|id| found.seen.get(&id));
    matches!(successor, Some(Seen::Record(_))) || is_ended_since(expected, found)
}

/// The new session may have been ended in its turn.
fn is_ended_since(expected: &Expected<'_>, found: &Observation) -> bool {
    let successor = expected.successor.and_then(|id| found.seen.get(&id));
    matches!(successor, Some(Seen::Nothing)) && found.late_login == Some(Created::Revoked)
}

fn judge_lists(
    progress: &Progress<'_>,
    found: &Observation,
    say: &mut impl FnMut(Invariant, String),
) {
    for (id, seen) in &found.seen {
        let Seen::Record(record) = seen else { continue };
        let is_live = !record.superseded && !record.is_expired(progress.story.now);
        if is_live && record.owner == Some(ann()) && !found.listed.contains(id) {
            say(I5InTheList, format!("{id} is in no list"));
        }
        if is_live && found.swept.get(id) != Some(seen) {
            say(I8SweepSpares, format!("{id} was swept"));
        }
    }
}

fn judge_late_login(
    progress: &Progress<'_>,
    found: &Observation,
    say: &mut impl FnMut(Invariant, String),
) {
    match (progress.is_revoked(), found.late_login) {
        ((_, true), Some(Created::New)) => {
            say(I2EndedIsFinal, "a login that was revoked is let in".into());
        }
        ((false, _), Some(Created::Revoked)) => {
            say(I10GoesOn, "a login that nobody revoked is refused".into());
        }
        _ => {}
    }
}

fn judge_recovery(found: &Observation, say: &mut impl FnMut(Invariant, String)) {
    found.failed.iter().for_each(|what| say(I10GoesOn, what.clone()));
    found.stuck.iter().for_each(|id| say(I10GoesOn, format!("{id} cannot be updated")));
    found.unsettled.iter().for_each(|what| say(I7Settled, what.clone()));
    found.leftovers.iter().for_each(|path| say(I6Collected, format!("{path} stays for ever")));
}
