//! A deletion against saves that are under way, on a disk that may be full.
//!
//! Mirrors `Core::delete_if`, `delete_locked` and `end` of `commit.rs` for those who delete,
//! `Core::lock` of `core.rs`, `Core::update_locked` and `replace` for those who save,
//! `Records::open` and `settle` for the reader. A file is told from its name: whoever has it open
//! keeps it.

use std::cell::RefCell;
use std::collections::HashMap;

use super::super::core::{Attempt, Judged, Look, Looks, Settled};
use super::super::page::{self, Page, Side, State as PageState};
use crate::codec::{Head, Place};
use crate::explore::{Model, Step, assert_fails, assert_holds};
use crate::record::Version;
use crate::token::SessionId;

const ID: SessionId = SessionId::from_bytes([7; 16]);
const SAVES: u8 = 2;
const READS: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Slot {
    Free,
    Live(u8),
    Tombstone(u8),
    /// What a kill in the middle of a write of this version leaves.
    Torn(u8),
}

type Slots = [Slot; 2];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Design {
    Ours,
    /// A deletion removes the name, and nothing else.
    UnlinkAlone,
    /// A save makes the file that it does not find.
    Upsert,
    /// A deletion wipes the slots, the newest one first.
    Wipe,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct File {
    slots: Slots,
    is_locked: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    /// All files that there ever were; there is one name.
    files: Vec<File>,
    named: Option<u8>,
    saver: Saver,
    deleters: [Deleter; 2],
    reader: Reader,
    /// Whether somebody was told that the session ended.
    has_ended: bool,
    /// The newest version that somebody was told of.
    known: u8,
    fault: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Saver {
    Idle {
        saves_left: u8,
    },
    /// Has the file open since the load; the session had ended before it asks for the lock, or not.
    Loaded {
        saves_left: u8,
        file: u8,
        expected: u8,
    },
    /// Holds the lock.
    Writing {
        saves_left: u8,
        file: u8,
        side: u8,
        version: u8,
        came_late: bool,
    },
    Over,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Deleter {
    Idle,
    /// Holds the lock; this is still to be written to these slots.
    Writing {
        file: u8,
        slot: Slot,
        sides: Vec<u8>,
    },
    /// Holds the lock; the name is still to be removed.
    Unlinking {
        file: u8,
    },
    Over,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Reader {
    Idle {
        reads_left: u8,
    },
    /// Opened the file when this was known.
    Opened {
        reads_left: u8,
        file: u8,
        had_ended: bool,
        known: u8,
        looks: Looks,
    },
}

struct Deletions {
    design: Design,
    judged: RefCell<HashMap<Slots, Look>>,
}

/// What a file holds for whoever holds its lock.
enum Found {
    Nothing,
    Live(u8, PageState),
    Ended(PageState),
}

impl Deletions {
    fn new(design: Design) -> Self {
        Self { design, judged: RefCell::default() }
    }

    fn look(&self, slots: Slots) -> Look {
        self.judged.borrow_mut().entry(slots).or_insert_with(|| look_at(slots)).clone()
    }

    fn judge(&self, file: &File) -> Result<Found, &'static str> {
        match self.look(file.slots).under_lock() {
            Ok(Judged::Live(_, state)) => Ok(Found::Live(version_of(&state), state)),
            Ok(Judged::Ended(state)) => Ok(Found::Ended(state)),
            Ok(Judged::Unfinished) => Ok(Found::Nothing),
            Err(_) => Err("a record that nobody damaged looks damaged"),
        }
    }

    /// The file whose lock somebody takes who has this one open: another, or none, if it was
    /// deleted.
    fn lock(&self, state: &State, kept: Option<u8>) -> Attempt<Option<u8>> {
        let checks_links = self.design != Design::UnlinkAlone;
        let kept = kept.filter(|file| !checks_links || state.named == Some(*file));
        let file = kept.or(state.named);
        match file {
            Some(file) if state.file(file).is_locked => Attempt::Busy,
            file => Attempt::Done(file),
        }
    }

    fn saver_steps(&self, state: &State) -> Vec<Step<State>> {
        let mut next = state.clone();
        match state.saver {
            Saver::Idle { saves_left: 0 } | Saver::Over => vec![],
            Saver::Idle { saves_left } => {
                let Some(file) = state.named else { return vec![] };
                let Ok(Found::Live(expected, _)) = self.judge(state.file(file)) else {
                    return vec![];
                };
                next.saver = Saver::Loaded { saves_left, file, expected };
                vec![step("the saver", "loads", next)]
            }
            Saver::Loaded { saves_left, file, expected } => {
                self.save(next, saves_left, file, expected).into_iter().collect()
            }
            Saver::Writing { saves_left, file, side, version, came_late } => {
                let mut killed = state.clone();
                killed.saver = Saver::Over;
                killed.file_mut(file).slots[usize::from(side)] = Slot::Torn(version);
                killed.file_mut(file).is_locked = false;
                next.file_mut(file).slots[usize::from(side)] = Slot::Live(version);
                next.file_mut(file).is_locked = false;
                next.saver = Saver::Idle { saves_left: saves_left - 1 };
                next.known = next.known.max(version);
                if came_late {
                    next.fault = Some("a save is acknowledged after the end");
                }
                vec![
                    step("the saver", KILLED_IN_SLOT, killed),
                    step("the saver", "writes a slot and acknowledges", next),
                ]
            }
        }
    }

    fn save(&self, mut next: State, saves_left: u8, kept: u8, expected: u8) -> Option<Step<State>> {
        let file = match self.lock(&next, Some(kept)) {
            Attempt::Busy => return None,
            Attempt::Done(None) => return Some(self.miss(next, saves_left, expected)),
            Attempt::Done(Some(file)) => file,
        };
        match self.judge(next.file(file)) {
            Ok(Found::Live(version, state)) if version == expected => {
                let newest = (state.side, state.head);
                let planned = page::plan(Some(&newest), ID, newest.1.version.next(), vec![]);
                let (side, version) = (number(planned.side), version + 1);
                let came_late = next.has_ended;
                next.saver = Saver::Writing { saves_left, file, side, version, came_late };
                next.file_mut(file).is_locked = true;
                Some(step("the saver", "takes the lock", next))
            }
            Ok(Found::Live(version, _)) => {
                next.saver = Saver::Loaded { saves_left, file, expected: version };
                Some(step("the saver", "finds another version", next))
            }
            Ok(Found::Ended(_) | Found::Nothing) => {
                (next.saver, next.has_ended) = (Saver::Over, true);
                Some(step("the saver", "finds the session ended", next))
            }
            Err(fault) => {
                next.fault = Some(fault);
                Some(step("the saver", "takes the lock", next))
            }
        }
    }

    /// What a save does when there is no file.
    fn miss(&self, mut next: State, saves_left: u8, expected: u8) -> Step<State> {
        if self.design == Design::Upsert {
            let slots = [Slot::Live(expected + 1), Slot::Free];
            next.named = Some(next.files.len() as u8);
            next.files.push(File { slots, is_locked: false });
            next.saver = Saver::Idle { saves_left: saves_left - 1 };
            return step("the saver", "makes the file that it misses", next);
        }
        (next.saver, next.has_ended) = (Saver::Over, true);
        step("the saver", "finds no file", next)
    }

    fn deleter_steps(&self, state: &State, who: usize) -> Vec<Step<State>> {
        let mut next = state.clone();
        let mut steps = match state.deleters[who].clone() {
            Deleter::Over => vec![],
            Deleter::Idle => return self.begin(next, who).into_iter().collect(),
            Deleter::Writing { file, slot, mut sides } => {
                let mut full = state.clone();
                full.deleters[who] = Deleter::Unlinking { file };
                let side = sides.remove(0);
                next.file_mut(file).slots[usize::from(side)] = slot;
                next.deleters[who] = match sides[..] {
                    [] => Deleter::Unlinking { file },
                    _ => Deleter::Writing { file, slot, sides },
                };
                let mut torn = state.clone();
                torn.deleters[who] = Deleter::Over;
                torn.file_mut(file).is_locked = false;
                torn.file_mut(file).slots[usize::from(side)] = slot.half_written();
                let mut steps = vec![
                    step(DELETERS[who], "writes over a slot", next),
                    step(DELETERS[who], KILLED_IN_SLOT, torn),
                ];
                if self.design == Design::Ours {
                    steps.push(step(DELETERS[who], "finds no room for a tombstone", full));
                }
                steps
            }
            Deleter::Unlinking { file } => {
                next.file_mut(file).is_locked = false;
                next.deleters[who] = Deleter::Over;
                next.named = next.named.filter(|named| *named != file);
                next.has_ended = true;
                vec![step(DELETERS[who], "removes the name and acknowledges", next)]
            }
        };
        if let Deleter::Writing { file, .. } | Deleter::Unlinking { file } = state.deleters[who] {
            let mut killed = state.clone();
            killed.deleters[who] = Deleter::Over;
            killed.file_mut(file).is_locked = false;
            steps.push(step(DELETERS[who], "is killed", killed));
        }
        steps
    }

    /// Takes the lock, and decides what to write. A tombstone whose writer may have died before its
    /// sync is written anew.
    fn begin(&self, mut next: State, who: usize) -> Option<Step<State>> {
        let file = match self.lock(&next, None) {
            Attempt::Busy => return None,
            Attempt::Done(None) => {
                (next.deleters[who], next.has_ended) = (Deleter::Over, true);
                return Some(step(DELETERS[who], "finds no file and acknowledges", next));
            }
            Attempt::Done(Some(file)) => file,
        };
        match self.judge(next.file(file)) {
            Ok(Found::Live(_, newest) | Found::Ended(newest)) => {
                next.deleters[who] = self.deletion(file, &newest);
                next.file_mut(file).is_locked = true;
            }
            Ok(Found::Nothing) => (next.deleters[who], next.has_ended) = (Deleter::Over, true),
            Err(fault) => next.fault = Some(fault),
        }
        Some(step(DELETERS[who], "takes the lock", next))
    }

    fn deletion(&self, file: u8, newest: &PageState) -> Deleter {
        let (tombstone, sides) = page::burial(newest);
        let slot = Slot::Tombstone(Head::claimed_version(&tombstone) as u8);
        let sides = sides.map(number).to_vec();
        match self.design {
            Design::UnlinkAlone => Deleter::Unlinking { file },
            Design::Wipe => {
                let sides = sides.into_iter().rev().collect();
                Deleter::Writing { file, slot: Slot::Free, sides }
            }
            Design::Ours | Design::Upsert => Deleter::Writing { file, slot, sides },
        }
    }

    fn reader_step(&self, state: &State) -> Option<Step<State>> {
        let mut next = state.clone();
        match (state.reader.clone(), state.named) {
            (Reader::Idle { reads_left: 0 }, _) => None,
            (Reader::Idle { reads_left }, None) => {
                tell(&mut next, reads_left, (state.has_ended, state.known), None);
                Some(step("the reader", "finds no file", next))
            }
            (Reader::Idle { reads_left }, Some(file)) => {
                let (had_ended, known) = (state.has_ended, state.known);
                let looks = Looks::default();
                next.reader = Reader::Opened { reads_left, file, had_ended, known, looks };
                Some(step("the reader", "opens the file", next))
            }
            (Reader::Opened { reads_left, file, had_ended, known, mut looks }, _) => {
                let before = (had_ended, known);
                match looks.settle(self.look(state.file(file).slots)) {
                    Some(Settled::State(_, state)) => {
                        let live = (!state.is_tombstone()).then(|| version_of(&state));
                        tell(&mut next, reads_left, before, live);
                    }
                    Some(_) => tell(&mut next, reads_left, before, None),
                    None => {
                        next.reader = Reader::Opened { reads_left, file, had_ended, known, looks };
                    }
                }
                Some(step("the reader", "reads", next))
            }
        }
    }
}

impl Model for Deletions {
    type State = State;

    fn start(&self) -> State {
        State {
            files: vec![File { slots: [Slot::Live(1), Slot::Live(2)], is_locked: false }],
            named: Some(0),
            saver: Saver::Idle { saves_left: SAVES },
            deleters: [Deleter::Idle, Deleter::Idle],
            reader: Reader::Idle { reads_left: READS },
            has_ended: false,
            known: 2,
            fault: None,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step<State>> {
        let deleters = (0..2).flat_map(|who| self.deleter_steps(state, who));
        let others = self.saver_steps(state).into_iter().chain(self.reader_step(state));
        deleters.chain(others).collect()
    }

    fn fault(&self, state: &State) -> Option<String> {
        let at_rest = || {
            let file = state.named.map(|file| state.file(file)).filter(|file| !file.is_locked)?;
            match self.judge(file) {
                Ok(Found::Live(..)) if state.has_ended => Some(BACK),
                Ok(Found::Live(version, _)) if version < state.known => Some("a save is lost"),
                Ok(_) => None,
                Err(fault) => Some(fault),
            }
        };
        state.fault.or_else(at_rest).map(Into::into)
    }

    fn landmark(&self, state: &State) -> Option<&'static str> {
        let tombstones = |file: &File| {
            file.slots.iter().filter(|slot| matches!(slot, Slot::Tombstone(_))).count()
        };
        match (state.named, tombstones(&state.files[0]), &state.saver) {
            (None, 0, Saver::Over) => Some("a save finds a session that ended without a tombstone"),
            (Some(_), 1, Saver::Over) => Some("a save finds the first of two tombstones"),
            (None, 2, Saver::Idle { saves_left: 0 }) => Some("two saves come before the end"),
            _ => None,
        }
    }
}

const BACK: &str = "an ended session is back";
const KILLED_IN_SLOT: &str = "is killed in the middle of a slot";
const DELETERS: [&str; 2] = ["deleter 1", "deleter 2"];

impl State {
    fn file(&self, file: u8) -> &File {
        &self.files[usize::from(file)]
    }

    fn file_mut(&mut self, file: u8) -> &mut File {
        &mut self.files[usize::from(file)]
    }
}

impl Slot {
    fn half_written(self) -> Self {
        match self {
            Self::Free => Self::Free,
            Self::Live(version) | Self::Tombstone(version) | Self::Torn(version) => {
                Self::Torn(version)
            }
        }
    }
}

fn step(who: &'static str, what: &'static str, next: State) -> Step<State> {
    Step { label: (who, what), next }
}

/// Ends a read that began when this was known; gives the version that it read.
fn tell(next: &mut State, reads_left: u8, (had_ended, known): (bool, u8), read: Option<u8>) {
    match read {
        Some(_) if had_ended => next.fault = Some(BACK),
        Some(version) if version < known => next.fault = Some("a reader steps back"),
        Some(version) => next.known = next.known.max(version),
        None => next.has_ended = true,
    }
    next.reader = Reader::Idle { reads_left: reads_left - 1 };
}

/// The real judgement of a page with these slots.
fn look_at(slots: Slots) -> Look {
    let [a, b] = slots.map(bytes_of);
    let mut page = Page::first(&a);
    page[Side::B.at()..][..b.len()].copy_from_slice(&b);
    Look::at(Page::new(page), ID, &mut |_| Ok(None)).expect("no body lies in a tail")
}

fn bytes_of(slot: Slot) -> Vec<u8> {
    let head = match slot {
        Slot::Free => return vec![],
        Slot::Torn(version) => return bytes_of(Slot::Live(version))[..16].to_vec(),
        Slot::Live(version) => Head::new(ID, Version::new(version.into()), &[], Place::Inline),
        Slot::Tombstone(version) => Head::tombstone(ID, Version::new(version.into())),
    };
    head.encode().to_vec()
}

fn version_of(state: &PageState) -> u8 {
    state.head.version.get() as u8
}

fn number(side: Side) -> u8 {
    u8::from(side == Side::B)
}

#[test]
fn a_deletion_is_final_against_saves_kills_and_a_full_disk() {
    assert_holds(
        "deletion",
        &Deletions::new(Design::Ours),
        &[
            "a save finds a session that ended without a tombstone",
            "a save finds the first of two tombstones",
            "two saves come before the end",
        ],
    );
}

#[test]
fn a_deletion_that_unlinks_alone_lets_saves_vanish() {
    assert_fails(
        "deletion unlink alone",
        &Deletions::new(Design::UnlinkAlone),
        &[
            "deleter 1 takes the lock",
            "the saver loads",
            "deleter 1 removes the name and acknowledges",
            "the saver takes the lock",
            "the saver writes a slot and acknowledges",
            "=> a save is acknowledged after the end",
        ],
    );
}

#[test]
fn a_save_that_makes_what_it_misses_revives_the_session() {
    assert_fails(
        "deletion upsert",
        &Deletions::new(Design::Upsert),
        &[
            "deleter 1 takes the lock",
            "the saver loads",
            "deleter 1 writes over a slot",
            "deleter 1 writes over a slot",
            "deleter 1 removes the name and acknowledges",
            "the saver makes the file that it misses",
            "=> an ended session is back",
        ],
    );
}

#[test]
fn slots_that_are_wiped_show_what_was_there_before() {
    assert_fails(
        "deletion wipe",
        &Deletions::new(Design::Wipe),
        &[
            "deleter 1 takes the lock",
            "deleter 1 is killed in the middle of a slot",
            "=> a save is lost",
        ],
    );
}
