//! Two slots: readers without a lock beside writers that may be killed in the middle of a slot.
//!
//! Mirrors `Core::update_locked`, `replace` and `write_slot` of `commit.rs` for the writers,
//! `settle` and `Core::read_locked` of `core.rs` for the reader. A `pwrite` and a `pread` are
//! several steps, so that everybody sees everybody else half done.

use std::cell::RefCell;
use std::collections::HashMap;

use super::super::core::{Judged, Look, Looks, Settled};
use super::super::page::{self, Page, Side};
use crate::codec::{HEAD_BYTES, Head};
use crate::explore::{Label, Model, Step, assert_fails, assert_holds};
use crate::record::Version;
use crate::token::SessionId;

const ID: SessionId = SessionId::from_bytes([7; 16]);
const BODY_BYTES: usize = 40;

/// A slot is copied in so many pieces: the version that it claims, the rest of its head, its body.
const PIECES: usize = 3;
const PIECE_ENDS: [usize; PIECES] = [16, HEAD_BYTES, HEAD_BYTES + BODY_BYTES];

/// Of each writer.
const SAVES: [u8; 2] = [2, 1];
const READS: u8 = 2;
/// How often a reader looks before it asks for the lock; the store looks more often.
const LOOKS_MAX: u8 = 3;

/// One try to write a version, told apart from others of the same version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Try {
    /// 0 where nothing was written.
    version: u8,
    writer: u8,
}

type Pieces = [Try; PIECES];
type Slots = [Pieces; 2];

const FIRST: Try = Try { version: 1, writer: 2 };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Design {
    Ours,
    /// The newest slot is written over.
    InPlace,
    /// The slot is chosen by what was loaded before the lock was taken.
    ChosenBeforeTheLock,
    /// A reader takes whichever slot is valid.
    FirstValidSlot,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    slots: Slots,
    writers: [Writer; 2],
    reader: Reader,
    is_locked: bool,
    /// The newest version that somebody was told of, as its writer or its reader.
    known: u8,
    fault: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Writer {
    Idle {
        saves_left: u8,
    },
    /// Only where the slot is chosen before the lock is taken.
    Chose {
        saves_left: u8,
        side: u8,
    },
    /// Holds the lock; these pieces are still to be written.
    Writing {
        saves_left: u8,
        side: u8,
        write: Try,
        pieces_left: u8,
    },
    Killed,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Reader {
    Idle {
        reads_left: u8,
    },
    /// Copied so many pieces of the page.
    Looking {
        reads_left: u8,
        known: u8,
        looks: Looks,
        round: u8,
        seen: Slots,
        copied: u8,
    },
    Waiting {
        reads_left: u8,
        known: u8,
    },
}

struct TwoSlots {
    design: Design,
    /// The real judgement of each page that came up.
    judged: RefCell<HashMap<Slots, Look>>,
}

impl TwoSlots {
    fn new(design: Design) -> Self {
        Self { design, judged: RefCell::default() }
    }

    fn look(&self, slots: Slots) -> Look {
        let mut judged = self.judged.borrow_mut();
        judged.entry(slots).or_insert_with(|| look_at(slots)).clone()
    }

    /// What counts under the lock; `None` where it looks damaged.
    fn newest(&self, slots: Slots) -> Option<(Try, Side, Head)> {
        match self.look(slots).under_lock() {
            Ok(Judged::Live(_, state)) => Some((whole(&state.body), state.side, state.head)),
            _ => None,
        }
    }

    fn writer_steps(&self, state: &State, who: usize) -> Vec<Step<State>> {
        match state.writers[who] {
            Writer::Idle { saves_left: 0 } | Writer::Killed => vec![],
            Writer::Idle { saves_left } if self.design == Design::ChosenBeforeTheLock => {
                vec![self.choose(state, who, saves_left)]
            }
            Writer::Idle { saves_left } => self.lock(state, who, saves_left, None),
            Writer::Chose { saves_left, side } => self.lock(state, who, saves_left, Some(side)),
            Writer::Writing { saves_left, side, write, pieces_left } => {
                let mut steps = vec![kill(state, who)];
                if pieces_left == 0 {
                    steps.push(acknowledge(state, who, saves_left, write));
                }
                steps.extend(next_piece(pieces_left).map(|piece| {
                    let mut next = state.clone();
                    next.slots[usize::from(side)][piece] = write;
                    let pieces_left = pieces_left - 1;
                    next.writers[who] = Writer::Writing { saves_left, side, write, pieces_left };
                    step(WRITERS[who], WRITES[piece], next)
                }));
                steps
            }
        }
    }

    fn choose(&self, state: &State, who: usize, saves_left: u8) -> Step<State> {
        let mut next = state.clone();
        match self.newest(state.slots) {
            Some((_, newest, _)) => {
                let side = number(newest.other());
                next.writers[who] = Writer::Chose { saves_left, side };
            }
            None => next.fault = Some(DAMAGED),
        }
        step(WRITERS[who], "loads, and chooses the older slot", next)
    }

    /// Takes the lock and reads the page: nobody else writes in between.
    fn lock(
        &self,
        state: &State,
        who: usize,
        saves_left: u8,
        chosen: Option<u8>,
    ) -> Vec<Step<State>> {
        if state.is_locked {
            return vec![];
        }
        let mut next = state.clone();
        match self.newest(state.slots) {
            Some((newest, at, head)) => {
                let write = Try { version: newest.version + 1, writer: who as u8 };
                let planned = plan(Some(&(at, head)), write);
                let planned = if self.design == Design::InPlace { at } else { planned.side };
                let side = chosen.unwrap_or(number(planned));
                let pieces_left = PIECES as u8;
                next.writers[who] = Writer::Writing { saves_left, side, write, pieces_left };
                next.is_locked = true;
            }
            None => next.fault = Some(DAMAGED),
        }
        vec![step(WRITERS[who], "takes the lock and reads", next)]
    }

    fn reader_steps(&self, state: &State) -> Vec<Step<State>> {
        let mut next = state.clone();
        let known = state.known;
        match state.reader.clone() {
            Reader::Idle { reads_left: 0 } => vec![],
            Reader::Idle { reads_left } => {
                let (looks, seen) = (Looks::default(), Slots::default());
                next.reader =
                    Reader::Looking { reads_left, known, looks, round: 1, seen, copied: 0 };
                vec![step("the reader", "begins a read", next)]
            }
            Reader::Looking { copied, .. } => {
                vec![self.copied(next, usize::from(copied))]
            }
            Reader::Waiting { .. } if state.is_locked => vec![],
            Reader::Waiting { reads_left, known } => {
                let newest = self.newest(state.slots).map(|(newest, ..)| newest);
                tell(&mut next, reads_left, known, newest);
                vec![step("the reader", "reads under the lock", next)]
            }
        }
    }

    /// Copies the next piece of the page, and judges the page after the last one.
    fn copied(&self, mut next: State, piece: usize) -> Step<State> {
        let Reader::Looking { reads_left, known, looks, round, seen, copied } = &mut next.reader
        else {
            unreachable!("only a reader that looks copies")
        };
        let (side, piece_of_side) = (piece / PIECES, piece % PIECES);
        seen[side][piece_of_side] = next.slots[side][piece_of_side];
        *copied += 1;
        if usize::from(*copied) < 2 * PIECES {
            return step("the reader", COPIES[piece], next);
        }
        let (reads_left, known) = (*reads_left, *known);
        let look = self.look(*seen);
        let settled = match self.design {
            Design::FirstValidSlot => look.under_lock().ok().map(|judged| match judged {
                Judged::Live(page, state) => Settled::State(page, state),
                _ => Settled::Unfinished,
            }),
            _ => looks.settle(look),
        };
        match settled {
            Some(Settled::State(_, state)) => {
                tell(&mut next, reads_left, known, Some(whole(&state.body)));
            }
            Some(_) => tell(&mut next, reads_left, known, None),
            None if *round == LOOKS_MAX => next.reader = Reader::Waiting { reads_left, known },
            None => (*round, *seen, *copied) = (*round + 1, Slots::default(), 0),
        }
        step("the reader", COPIES[piece], next)
    }
}

impl Model for TwoSlots {
    type State = State;

    fn start(&self) -> State {
        State {
            slots: [[FIRST; PIECES], Pieces::default()],
            writers: SAVES.map(|saves_left| Writer::Idle { saves_left }),
            reader: Reader::Idle { reads_left: READS },
            is_locked: false,
            known: FIRST.version,
            fault: None,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step<State>> {
        let writers = (0..2).flat_map(|who| self.writer_steps(state, who));
        writers.chain(self.reader_steps(state)).collect()
    }

    fn fault(&self, state: &State) -> Option<String> {
        let at_rest = || match self.newest(state.slots) {
            Some((newest, ..)) if newest.version >= state.known => None,
            Some(_) => Some("what was acknowledged is lost"),
            None => Some(DAMAGED),
        };
        let unlocked = !state.is_locked;
        state.fault.or_else(|| unlocked.then(at_rest).flatten()).map(Into::into)
    }

    fn landmark(&self, state: &State) -> Option<&'static str> {
        let killed = |writer: &Writer| *writer == Writer::Killed;
        match &state.reader {
            Reader::Waiting { .. } => Some("a reader asks for the lock"),
            Reader::Looking { round: LOOKS_MAX, .. } => Some("a reader looks a third time"),
            Reader::Idle { reads_left: 0 } if state.writers.iter().all(killed) => {
                Some("both writers are killed and the reader is done")
            }
            Reader::Idle { reads_left: 0 }
                if state.known == FIRST.version + SAVES[0] + SAVES[1] =>
            {
                Some("everything is saved and read")
            }
            _ => None,
        }
    }
}

const DAMAGED: &str = "a live record looks damaged";
const WRITERS: [&str; 2] = ["writer 1", "writer 2"];
const WRITES: [&str; PIECES] =
    ["writes a slot's version", "writes the rest of a slot's head", "writes a slot's body"];
const COPIES: [&str; 2 * PIECES] = [
    "copies A's version",
    "copies the rest of A's head",
    "copies A's body",
    "copies B's version",
    "copies the rest of B's head",
    "copies B's body",
];

fn step(who: &'static str, what: &'static str, next: State) -> Step<State> {
    let label: Label = (who, what);
    Step { label, next }
}

/// The piece to write next, when so many are left.
fn next_piece(pieces_left: u8) -> Option<usize> {
    PIECES.checked_sub(usize::from(pieces_left)).filter(|piece| *piece < PIECES)
}

/// The kernel frees the lock of whoever dies.
fn kill(state: &State, who: usize) -> Step<State> {
    let mut next = state.clone();
    next.writers[who] = Writer::Killed;
    next.is_locked = false;
    step(WRITERS[who], "is killed", next)
}

fn acknowledge(state: &State, who: usize, saves_left: u8, write: Try) -> Step<State> {
    let mut next = state.clone();
    next.writers[who] = Writer::Idle { saves_left: saves_left - 1 };
    next.is_locked = false;
    next.known = next.known.max(write.version);
    step(WRITERS[who], "acknowledges", next)
}

/// Ends a read that began when `known` was known.
fn tell(next: &mut State, reads_left: u8, known: u8, read: Option<Try>) {
    next.fault = match read {
        None => Some(DAMAGED),
        Some(read) if read.version < known => Some("a reader steps back"),
        Some(_) => None,
    };
    next.known = next.known.max(read.unwrap_or_default().version);
    next.reader = Reader::Idle { reads_left: reads_left - 1 };
}

fn number(side: Side) -> u8 {
    u8::from(side == Side::B)
}

/// The real plan of a write.
fn plan(newest: Option<&(Side, Head)>, write: Try) -> page::Write {
    let body = [write.version, write.writer].repeat(BODY_BYTES / 2);
    page::plan(newest, ID, Version::new(write.version.into()), body)
}

/// The real judgement of a page with these slots.
fn look_at(slots: Slots) -> Look {
    let mut page = Page::first(&bytes_of(slots[0]));
    let b = bytes_of(slots[1]);
    page[Side::B.at()..][..b.len()].copy_from_slice(&b);
    Look::at(Page::new(page), ID, &mut |_| Ok(None)).expect("no body lies in a tail")
}

/// A slot as it is when each piece of it was written by another try.
fn bytes_of(pieces: Pieces) -> Vec<u8> {
    let starts = [0, PIECE_ENDS[0], PIECE_ENDS[1]];
    let piece = |n: usize| match pieces[n].version {
        0 => vec![0; PIECE_ENDS[n] - starts[n]],
        _ => plan(None, pieces[n]).slot[starts[n]..PIECE_ENDS[n]].to_vec(),
    };
    (0..PIECES).flat_map(piece).collect()
}

/// The try that wrote a body, which must be one and not a mixture.
fn whole(body: &[u8]) -> Try {
    let write = Try { version: body[0], writer: body[1] };
    assert_eq!(body, [write.version, write.writer].repeat(BODY_BYTES / 2), "half of a body");
    write
}

#[test]
fn readers_of_two_slots_never_see_a_half_and_never_step_back() {
    assert_holds(
        "two_slots",
        &TwoSlots::new(Design::Ours),
        &[
            "a reader asks for the lock",
            "a reader looks a third time",
            "both writers are killed and the reader is done",
            "everything is saved and read",
        ],
    );
}

#[test]
fn one_slot_written_in_place_loses_what_it_writes_over() {
    assert_fails(
        "two_slots in place",
        &TwoSlots::new(Design::InPlace),
        &[
            "writer 1 takes the lock and reads",
            "writer 1 writes a slot's version",
            "writer 1 is killed",
            "=> a live record looks damaged",
        ],
    );
}

#[test]
fn a_slot_chosen_before_the_lock_is_taken_may_be_the_newest() {
    assert_fails(
        "two_slots chosen early",
        &TwoSlots::new(Design::ChosenBeforeTheLock),
        &[
            "writer 1 loads, and chooses the older slot",
            "writer 1 takes the lock and reads",
            "writer 1 writes a slot's version",
            "writer 1 writes the rest of a slot's head",
            "writer 2 loads, and chooses the older slot",
            "writer 1 writes a slot's body",
            "writer 1 acknowledges",
            "writer 2 takes the lock and reads",
            "writer 2 writes a slot's version",
            "writer 2 is killed",
            "=> what was acknowledged is lost",
        ],
    );
}

#[test]
fn a_reader_that_takes_any_valid_slot_steps_back() {
    assert_fails(
        "two_slots any valid",
        &TwoSlots::new(Design::FirstValidSlot),
        &[
            "writer 1 takes the lock and reads",
            "writer 1 writes a slot's version",
            "writer 1 writes the rest of a slot's head",
            "writer 1 writes a slot's body",
            "writer 1 acknowledges",
            "writer 1 takes the lock and reads",
            "the reader begins a read",
            "the reader copies A's version",
            "writer 1 writes a slot's version",
            "the reader copies the rest of A's head",
            "writer 1 writes the rest of a slot's head",
            "the reader copies A's body",
            "writer 1 writes a slot's body",
            "writer 1 is killed",
            "writer 2 takes the lock and reads",
            "writer 2 writes a slot's version",
            "the reader copies B's version",
            "the reader copies the rest of B's head",
            "the reader copies B's body",
            "=> a reader steps back",
        ],
    );
}
