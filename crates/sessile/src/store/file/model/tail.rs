//! Growth into a tail, back, and into another one, in one file.
//!
//! Mirrors `Core::create_record` and `write_first`, `Core::update_locked`, `replace` and
//! `write_state` of `commit.rs` for the writers, `settle`, `read_tail` and `Core::read_locked` of
//! `core.rs` for the reader. A slot is written in one step here, since another model tears it; a
//! tail page by page.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

use bytes::Bytes;

use super::super::core::{Judged, Look, Looks, Settled};
use super::super::page::{self, PAGE_BYTES, Page, Side};
use crate::codec::{Head, Place};
use crate::explore::{Model, Step, assert_fails, assert_holds};
use crate::record::Version;
use crate::token::SessionId;

const ID: SessionId = SessionId::from_bytes([7; 16]);

/// How many pages the body of each version takes; none where it fits its slot.
const PAGES: [u8; 6] = [0, 1, 2, 2, 1, 0];
/// The version that is written to both slots, as a change of authority is.
const FINAL: u8 = 4;
/// How often each writer writes; the first of them creates.
const WRITES: [u8; 2] = [3, 2];
const READS: u8 = 2;
const LOOKS_MAX: u8 = 2;
/// So many spare pages at the end are cut off; the store leaves more.
const SPARE_PAGES: u8 = 1;

/// One try to write a version, told apart from others of the same version.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Try {
    version: u8,
    writer: u8,
}

/// What a slot says: whose body lies where.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    write: Try,
    /// 0 where the body lies in the slot.
    page: u8,
}

/// One page of a body. A page that was never written is a hole.
type Leaf = Option<(Try, u8)>;
type Slots = [Option<Slot>; 2];

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct File {
    slots: Slots,
    /// The pages behind the first one.
    behind: Vec<Leaf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Design {
    Ours,
    /// The slot is written before the tail that it points to.
    SlotFirst,
    /// A tail always lies right behind the page.
    OneTail,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    file: File,
    writers: [Writer; 2],
    reader: Reader,
    is_locked: bool,
    /// The newest version that somebody was told of; 0 before the create is acknowledged.
    known: u8,
    fault: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Writer {
    Idle {
        writes_left: u8,
    },
    Loaded {
        writes_left: u8,
        expected: u8,
    },
    /// Holds the lock; these calls are still to be made.
    Writing {
        writes_left: u8,
        version: u8,
        calls: Vec<Call>,
    },
    Killed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    Leaf { page: u8, leaf: (Try, u8) },
    Slot { side: u8, slot: Slot },
    Cut { pages: u8 },
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Reader {
    Idle {
        reads_left: u8,
    },
    /// Copied the first page and some behind it.
    Looking {
        reads_left: u8,
        known: u8,
        looks: Looks,
        round: u8,
        slots: Slots,
        behind: Copied,
    },
    Waiting {
        reads_left: u8,
        known: u8,
    },
}

/// The pages that a reader copied, for the body of which version; `None` where the file had ended.
type Copied = Vec<(u8, u8, Option<Leaf>)>;

/// What a reader can tell from what it copied.
#[derive(Clone)]
enum Glance {
    Done(Look),
    /// It has to copy this page for the body of this version.
    Needs(u8, u8),
}

struct Tails {
    design: Design,
    glances: RefCell<HashMap<(Slots, Copied), Glance>>,
}

impl Tails {
    fn new(design: Design) -> Self {
        Self { design, glances: RefCell::default() }
    }

    fn glance(&self, slots: Slots, copied: &Copied) -> Glance {
        let mut glances = self.glances.borrow_mut();
        glances.entry((slots, copied.clone())).or_insert_with(|| glance_at(slots, copied)).clone()
    }

    /// What the file holds for whoever holds its lock: its newest state, or `None` before the
    /// create is done.
    fn judge(&self, file: &File) -> Result<Option<(u8, Side, Head)>, &'static str> {
        let mut copied = Copied::default();
        loop {
            match self.glance(file.slots, &copied) {
                Glance::Needs(version, page) => copied.push((version, page, file.leaf(page))),
                Glance::Done(look) => {
                    return match look.under_lock() {
                        Ok(Judged::Live(_, state)) => {
                            Ok(Some((version_of(&state.head), state.side, state.head)))
                        }
                        Ok(_) => Ok(None),
                        Err(_) => Err(DAMAGED),
                    };
                }
            }
        }
    }

    fn writer_steps(&self, state: &State, who: usize) -> Vec<Step<State>> {
        let mut next = state.clone();
        match &state.writers[who] {
            Writer::Idle { writes_left: 0 } | Writer::Killed => vec![],
            Writer::Idle { writes_left } if who == 0 && *writes_left == WRITES[0] => {
                let version = 1;
                let calls = self.calls(state, None, Try { version, writer: 0 });
                next.is_locked = true;
                next.writers[who] = Writer::Writing { writes_left: *writes_left, version, calls };
                vec![step(WRITERS[who], "creates the file and locks it", next)]
            }
            Writer::Idle { writes_left } => {
                let Ok(Some((expected, ..))) = self.judge(&state.file) else { return vec![] };
                next.writers[who] = Writer::Loaded { writes_left: *writes_left, expected };
                vec![step(WRITERS[who], "loads", next)]
            }
            Writer::Loaded { .. } if state.is_locked => vec![],
            Writer::Loaded { writes_left, expected } => {
                vec![self.lock(next, who, *writes_left, *expected)]
            }
            Writer::Writing { writes_left, version, calls } => {
                vec![kill(state, who), go_on(next, who, (*writes_left, *version), calls)]
            }
        }
    }

    /// Takes the lock, and compares what the file holds with what was loaded.
    fn lock(&self, mut next: State, who: usize, writes_left: u8, expected: u8) -> Step<State> {
        let newest = match expected_in_tail(&next.file, expected) {
            Some(newest) => Ok(Some(newest)),
            None => self.judge(&next.file),
        };
        match newest {
            Ok(Some((version, side, head))) if version == expected => {
                let write = Try { version: version + 1, writer: who as u8 };
                let calls = self.calls(&next, Some(&(side, head)), write);
                next.is_locked = true;
                next.writers[who] = Writer::Writing { writes_left, version: write.version, calls };
            }
            Ok(Some((version, ..))) => {
                next.writers[who] = Writer::Loaded { writes_left, expected: version };
                return step(WRITERS[who], "finds another version under the lock", next);
            }
            Ok(None) => next.fault = Some(LOST),
            Err(fault) => next.fault = Some(fault),
        }
        step(WRITERS[who], "takes the lock", next)
    }

    /// The calls that write a state, by the real plan.
    fn calls(&self, state: &State, newest: Option<&(Side, Head)>, write: Try) -> Vec<Call> {
        let inline = newest.map(|(side, head)| (*side, Head { place: Place::Inline, ..*head }));
        let kept = if self.design == Design::OneTail { inline.as_ref() } else { newest };
        let planned = page::plan(kept, ID, Version::new(write.version.into()), body(write));
        let page = planned.tail.map_or(0, |tail| (tail.at / PAGE_BYTES as u64) as u8);
        let leaf = |n| Call::Leaf { page: page + n, leaf: (write, n) };
        let mut calls: Vec<_> = (0..pages(write)).map(leaf).collect();
        let slot = |side| Call::Slot { side: number(side), slot: Slot { write, page } };
        match self.design {
            Design::SlotFirst => calls.insert(0, slot(planned.side)),
            _ => calls.push(slot(planned.side)),
        }
        if write.version == FINAL {
            calls.push(slot(planned.side.other()));
        }
        let live_pages = (planned.live_bytes / PAGE_BYTES as u64) as u8 - 1;
        if state.file.behind.len() as u8 >= live_pages + SPARE_PAGES {
            calls.push(Call::Cut { pages: live_pages });
        }
        calls
    }

    fn reader_steps(&self, state: &State) -> Option<Step<State>> {
        let mut next = state.clone();
        match state.reader.clone() {
            Reader::Idle { reads_left: 0 } => None,
            Reader::Idle { reads_left } => {
                self.look(&mut next, (reads_left, state.known), Looks::default(), 1);
                Some(step("the reader", "copies the slots", next))
            }
            Reader::Looking { reads_left, known, looks, round, slots, mut behind } => {
                match self.glance(slots, &behind) {
                    Glance::Needs(version, page) => {
                        behind.push((version, page, state.file.leaf(page)));
                        next.reader =
                            Reader::Looking { reads_left, known, looks, round, slots, behind };
                        self.judge_copied(&mut next);
                        Some(step("the reader", "copies a page of a tail", next))
                    }
                    Glance::Done(_) => {
                        self.look(&mut next, (reads_left, known), looks, round + 1);
                        Some(step("the reader", "copies the slots again", next))
                    }
                }
            }
            Reader::Waiting { .. } if state.is_locked => None,
            Reader::Waiting { reads_left, known } => {
                match self.judge(&state.file) {
                    Ok(newest) => tell(&mut next, reads_left, known, newest.map_or(0, |it| it.0)),
                    Err(fault) => next.fault = Some(fault),
                }
                Some(step("the reader", "reads under the lock", next))
            }
        }
    }

    fn look(&self, next: &mut State, (reads_left, known): (u8, u8), looks: Looks, round: u8) {
        let (slots, behind) = (next.file.slots, Copied::default());
        next.reader = Reader::Looking { reads_left, known, looks, round, slots, behind };
        self.judge_copied(next);
    }

    /// Ends the look, or the read, if what was copied is enough for that.
    fn judge_copied(&self, next: &mut State) {
        let Reader::Looking { reads_left, known, looks, round, slots, behind } = &mut next.reader
        else {
            unreachable!("only a reader that looks judges")
        };
        let (reads_left, known) = (*reads_left, *known);
        let Glance::Done(look) = self.glance(*slots, behind) else { return };
        match looks.settle(look) {
            Some(Settled::State(_, state)) => {
                tell(next, reads_left, known, version_of(&state.head));
            }
            Some(_) => tell(next, reads_left, known, 0),
            None if *round == LOOKS_MAX => next.reader = Reader::Waiting { reads_left, known },
            None => {}
        }
    }
}

/// The real short cut: a body in a tail that was verified by the load is not read again.
fn expected_in_tail(file: &File, expected: u8) -> Option<(u8, Side, Head)> {
    let page = Page::new(page_of(file.slots)?).ok()??;
    let (side, head) = page.expected_in_tail(ID, Version::new(expected.into()))?;
    Some((version_of(&head), side, head))
}

impl Model for Tails {
    type State = State;

    fn start(&self) -> State {
        State {
            file: File::default(),
            writers: WRITES.map(|writes_left| Writer::Idle { writes_left }),
            reader: Reader::Idle { reads_left: READS },
            is_locked: false,
            known: 0,
            fault: None,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step<State>> {
        let writers = (0..2).flat_map(|who| self.writer_steps(state, who));
        writers.chain(self.reader_steps(state)).collect()
    }

    fn fault(&self, state: &State) -> Option<String> {
        let at_rest = || match self.judge(&state.file) {
            Ok(newest) if newest.map_or(0, |it| it.0) >= state.known => None,
            Ok(_) => Some(LOST),
            Err(fault) => Some(fault),
        };
        let unlocked = !state.is_locked;
        state.fault.or_else(|| unlocked.then(at_rest).flatten()).map(Into::into)
    }

    fn landmark(&self, state: &State) -> Option<&'static str> {
        let cuts = |writer: &Writer| match writer {
            Writer::Writing { calls, .. } => matches!(calls[..], [Call::Cut { .. }]),
            _ => false,
        };
        match &state.reader {
            Reader::Looking { round: LOOKS_MAX, .. } => Some("a reader looks again"),
            Reader::Idle { reads_left: 0 } if usize::from(state.known) == PAGES.len() - 1 => {
                Some("everything is written and read")
            }
            _ if state.writers.iter().any(cuts) => Some("a tail is to be cut off"),
            _ if state.file.behind.len() > 4 => Some("two tails lie in the file"),
            _ => None,
        }
    }
}

const DAMAGED: &str = "a record that nobody damaged looks damaged";
const LOST: &str = "what was acknowledged is lost";
const WRITERS: [&str; 2] = ["writer 1", "writer 2"];

fn step(who: &'static str, what: &'static str, next: State) -> Step<State> {
    Step { label: (who, what), next }
}

/// The kernel frees the lock of whoever dies.
fn kill(state: &State, who: usize) -> Step<State> {
    let mut next = state.clone();
    next.writers[who] = Writer::Killed;
    next.is_locked = false;
    step(WRITERS[who], "is killed", next)
}

/// Makes the next call, or acknowledges the write after the last one.
fn go_on(mut next: State, who: usize, (left, version): (u8, u8), calls: &[Call]) -> Step<State> {
    let Some((call, calls)) = calls.split_first() else {
        next.writers[who] = Writer::Idle { writes_left: left - 1 };
        next.is_locked = false;
        next.known = next.known.max(version);
        return step(WRITERS[who], "acknowledges", next);
    };
    let calls = calls.to_vec();
    next.writers[who] = Writer::Writing { writes_left: left, version, calls };
    let what = next.file.apply(*call);
    step(WRITERS[who], what, next)
}

/// Ends a read that began when `known` was known.
fn tell(next: &mut State, reads_left: u8, known: u8, read: u8) {
    if read < known {
        next.fault = Some("a reader steps back");
    }
    next.known = next.known.max(read);
    next.reader = Reader::Idle { reads_left: reads_left - 1 };
}

impl File {
    fn apply(&mut self, call: Call) -> &'static str {
        match call {
            Call::Leaf { page, leaf } => {
                let at = usize::from(page) - 1;
                self.behind.resize(self.behind.len().max(at + 1), None);
                self.behind[at] = Some(leaf);
                "writes a page of a tail"
            }
            Call::Slot { side, slot } => {
                self.slots[usize::from(side)] = Some(slot);
                "writes a slot"
            }
            Call::Cut { pages } => {
                self.behind.truncate(pages.into());
                "cuts off what is spare"
            }
        }
    }

    /// A page behind the first one; `None` behind the end.
    fn leaf(&self, page: u8) -> Option<Leaf> {
        self.behind.get(usize::from(page) - 1).copied()
    }
}

/// The real judgement of these slots, as far as the pages go that were copied.
fn glance_at(slots: Slots, copied: &Copied) -> Glance {
    let page = Page::new(page_of(slots).unwrap_or_default());
    let mut needs = None;
    let looked = Look::at(page, ID, &mut |head| {
        let Place::Tail { page } = head.place else { return Ok(None) };
        let version = version_of(head);
        let mut body = Vec::new();
        for page in (page as u8..).take(head.body_bytes as usize / PAGE_BYTES) {
            match copied.iter().find(|(whose, which, _)| (*whose, *which) == (version, page)) {
                Some((.., Some(leaf))) => body.extend(bytes_of(*leaf)),
                Some((.., None)) => return Ok(None),
                None => {
                    needs = Some(Glance::Needs(version, page));
                    return Err(io::ErrorKind::WouldBlock.into());
                }
            }
        }
        Ok(Some(Bytes::from(body)))
    });
    match looked {
        Ok(look) => Glance::Done(look),
        Err(_) => needs.expect("only a page that was not copied stops a look"),
    }
}

/// The bytes of the first page; `None` before a create has written it.
fn page_of(slots: Slots) -> Option<Vec<u8>> {
    let bytes = slots.map(|slot| slot.map(bytes_of_slot));
    let written = bytes.iter().any(Option::is_some);
    let mut page = Page::first(bytes[0].as_deref().unwrap_or_default());
    if let Some(b) = &bytes[1] {
        page[Side::B.at()..][..b.len()].copy_from_slice(b);
    }
    written.then_some(page)
}

fn bytes_of_slot(slot: Slot) -> Vec<u8> {
    let (body, version) = (body(slot.write), Version::new(slot.write.version.into()));
    match slot.page {
        0 => [&Head::new(ID, version, &body, Place::Inline).encode()[..], &body].concat(),
        page => Head::new(ID, version, &body, Place::Tail { page: page.into() }).encode().to_vec(),
    }
}

fn body(write: Try) -> Vec<u8> {
    match pages(write) {
        0 => bytes_of(Some((write, 0)))[..40].to_vec(),
        pages => (0..pages).flat_map(|n| bytes_of(Some((write, n)))).collect(),
    }
}

fn bytes_of(leaf: Leaf) -> Vec<u8> {
    let pattern = leaf.map_or([0; 4], |(write, n)| [write.version, write.writer, n, 0xff]);
    pattern.repeat(PAGE_BYTES / 4)
}

fn pages(write: Try) -> u8 {
    PAGES[usize::from(write.version)]
}

fn version_of(head: &Head) -> u8 {
    head.version.get() as u8
}

fn number(side: Side) -> u8 {
    u8::from(side == Side::B)
}

#[test]
fn a_record_grows_and_shrinks_in_one_file_and_nothing_is_lost() {
    assert_holds(
        "tails",
        &Tails::new(Design::Ours),
        &[
            "a reader looks again",
            "everything is written and read",
            "a tail is to be cut off",
            "two tails lie in the file",
        ],
    );
}

#[test]
fn a_slot_written_before_its_tail_leaves_damage() {
    assert_fails(
        "tails slot first",
        &Tails::new(Design::SlotFirst),
        &[
            "writer 1 creates the file and locks it",
            "writer 1 writes a slot",
            "writer 1 is killed",
            "=> a record that nobody damaged looks damaged",
        ],
    );
}

#[test]
fn a_tail_over_the_one_that_the_other_slot_names_loses_it() {
    assert_fails(
        "tails one tail",
        &Tails::new(Design::OneTail),
        &[
            "writer 1 creates the file and locks it",
            "writer 1 writes a page of a tail",
            "writer 1 writes a slot",
            "writer 1 is killed",
            "writer 2 loads",
            "writer 2 takes the lock",
            "writer 2 writes a page of a tail",
            "writer 2 is killed",
            "=> a record that nobody damaged looks damaged",
        ],
    );
}
