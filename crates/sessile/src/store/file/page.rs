//! The first page of a session file: two slots, of which the newest valid one counts. Pure.
//!
//! ```text
//!    0  "sessile", layout 1          8 bytes
//!    8  touch word                   8 bytes
//!   16  zero                        48 bytes
//!   64  slot A: head, inline body   2016 bytes
//! 2080  slot B: head, inline body   2016 bytes
//! 4096  tails: bodies that do not fit a slot, each on pages of its own
//! ```
//!
//! A writer fills the slot that does not hold the newest version, so the newest is never in danger.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::{later, millis};
use crate::codec::{HEAD_BYTES, Head, Place, Refusal};
use crate::record::{Record, Version};
use crate::token::SessionId;

pub(super) const PAGE_BYTES: usize = 4096;
pub(super) const TOUCH_WORD_AT: u64 = 8;

const MAGIC: &[u8; 7] = b"sessile";
const LAYOUT: u8 = 1;
const SLOT_BYTES: usize = 2016;
const INLINE_BYTES_MAX: usize = SLOT_BYTES - HEAD_BYTES;

/// One of the two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Where the slot begins in the file.
    pub(super) const fn at(self) -> usize {
        match self {
            Self::A => 64,
            Self::B => 64 + SLOT_BYTES,
        }
    }
}

/// A whole first page, as it was read.
#[derive(Clone, Debug)]
pub(super) struct Page(Bytes);

impl Page {
    /// The page in `bytes`; `None` when its create has not got so far, or never will.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Option<Self>, Refusal> {
        // A tail is written before the page, which is a hole of zeros until then.
        if bytes.len() < PAGE_BYTES || bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        match (bytes.starts_with(MAGIC), bytes[MAGIC.len()]) {
            (true, LAYOUT) => Ok(Some(Self(bytes.into()))),
            (true, newer) if newer > LAYOUT => Err(Refusal::Newer),
            _ => Err(Refusal::Damaged),
        }
    }

    /// The page of a file that holds this one state.
    pub(super) fn first(slot: &[u8]) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        page[..MAGIC.len()].copy_from_slice(MAGIC);
        page[MAGIC.len()] = LAYOUT;
        page[Side::A.at()..][..slot.len()].copy_from_slice(slot);
        page
    }

    pub(super) fn slot(&self, side: Side) -> &[u8] {
        &self.0[side.at()..][..SLOT_BYTES]
    }

    pub(super) fn head_bytes(&self, side: Side) -> &[u8] {
        &self.slot(side)[..HEAD_BYTES]
    }

    /// The slots, the one that claims the higher version first.
    pub(super) fn by_claim(&self) -> [Side; 2] {
        let claim = |side| Head::claimed_version(self.slot(side));
        if claim(Side::B) > claim(Side::A) { [Side::B, Side::A] } else { [Side::A, Side::B] }
    }

    /// The newest state, if it is of version `expected` and has its body in a tail.
    ///
    /// Whoever expects this version has read its body against the checksum: a second reading of what
    /// may be megabytes would tell nothing new.
    pub(super) fn expected_in_tail(
        &self,
        id: SessionId,
        expected: Version,
    ) -> Option<(Side, Head)> {
        let [side, other] = self.by_claim();
        let head = Head::decode(self.head_bytes(side)).ok()?;
        let is_expected = head.id == id && head.version == expected;
        let is_tail = matches!(head.place, Place::Tail { .. });
        (is_expected && is_tail && !is_newer(self, other)).then_some((side, head))
    }

    fn inline_body(&self, side: Side, head: &Head) -> Option<Bytes> {
        let len = head.body_bytes as usize;
        let start = side.at() + HEAD_BYTES;
        (len <= INLINE_BYTES_MAX).then(|| self.0.slice(start..start + len))
    }

    /// The last use noted outside the slots, unless the word is damaged.
    pub(super) fn touched_at(&self, id: SessionId, created_at: SystemTime) -> Option<SystemTime> {
        let at = TOUCH_WORD_AT as usize;
        let word = self.0[at..at + 8].try_into().expect("8 bytes of the page");
        touched_at(u64::from_le_bytes(word), id, created_at)
    }
}

const TOUCH_MS_BITS: u32 = 40;

/// A use in 8 bytes: 40 bits of milliseconds since the session began, 24 bits of check.
///
/// An aligned word lies in one sector and one cache line: it changes as a whole or not at all.
pub(super) fn touch_word(id: SessionId, created_at: SystemTime, used_at: SystemTime) -> u64 {
    let ms = millis(used_at).saturating_sub(millis(created_at)).min((1 << TOUCH_MS_BITS) - 1);
    ms | touch_check(id, ms) << TOUCH_MS_BITS
}

fn touched_at(word: u64, id: SessionId, created_at: SystemTime) -> Option<SystemTime> {
    let ms = word & ((1 << TOUCH_MS_BITS) - 1);
    let fits = word != 0 && word >> TOUCH_MS_BITS == touch_check(id, ms);
    fits.then(|| later(created_at, Duration::from_millis(ms)))
}

fn touch_check(id: SessionId, ms: u64) -> u64 {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(id.as_bytes());
    bytes[16..].copy_from_slice(&ms.to_le_bytes());
    xxh3_64(&bytes) >> TOUCH_MS_BITS
}

/// A state of a session whose head and body were verified.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) side: Side,
    pub(super) head: Head,
    pub(super) body: Bytes,
}

impl State {
    pub(super) fn is_tombstone(&self) -> bool {
        self.head.place == Place::Tombstone
    }

    /// The record, with its last use wherever that was noted.
    pub(super) fn record(&self, page: &Page) -> Result<Record, Refusal> {
        let mut record = self.head.record(&self.body)?;
        if let Some(used_at) = page.touched_at(record.id, record.created_at) {
            record.touch(used_at);
        }
        Ok(record)
    }
}

/// What one slot holds.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// Nothing yet.
    Free,
    /// A half-written or damaged state, or one of another session.
    Torn,
    /// A state of a newer release.
    Newer,
    Valid(State),
}

/// Reads and verifies one slot; `tail` reads a body that lies behind the page.
pub(super) fn examine(
    page: &Page,
    side: Side,
    id: SessionId,
    tail: &mut dyn FnMut(&Head) -> io::Result<Option<Bytes>>,
) -> io::Result<Slot> {
    if page.head_bytes(side).iter().all(|byte| *byte == 0) {
        return Ok(Slot::Free);
    }
    let head = match Head::decode(page.head_bytes(side)) {
        Ok(head) if head.id == id => head,
        Err(Refusal::Newer) => return Ok(Slot::Newer),
        // The ID lies inside the checksum, so that a file under another's name opens to nobody.
        Ok(_) | Err(Refusal::Damaged) => return Ok(Slot::Torn),
    };
    let body = match head.place {
        Place::Tombstone => Some(Bytes::new()),
        Place::Inline => page.inline_body(side, &head),
        Place::Tail { .. } => tail(&head)?,
    };
    let body = body.filter(|body| head.fits(body));
    Ok(body.map_or(Slot::Torn, |body| Slot::Valid(State { side, head, body })))
}

/// What one reading of both slots shows.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    /// The newest state, for certain.
    Newest(State),
    /// A newer release wrote here.
    Newer,
    /// The slot that claims to be the newest is torn: by a writer at work, or by a crash.
    Torn {
        /// What the torn slots looked like. A writer at work changes it.
        print: u64,
        /// The state in the other slot.
        fallback: Option<State>,
    },
}

/// Judges the slot that *claims* the higher version. To take the other one because it happens to be
/// valid would be a step back whenever a writer is half-way through the first.
pub(super) fn read(
    page: &Page,
    id: SessionId,
    tail: &mut dyn FnMut(&Head) -> io::Result<Option<Bytes>>,
) -> io::Result<Reading> {
    let [first, second] = page.by_claim();
    let claim = Head::claimed_version(page.slot(first));
    let claimed = examine(page, first, id, tail)?;
    if let (Slot::Valid(state), false) = (&claimed, is_newer(page, second)) {
        return Ok(Reading::Newest(state.clone()));
    }
    let other = examine(page, second, id, tail)?;
    Ok(match (claimed, other) {
        (Slot::Newer, _) | (_, Slot::Newer) => Reading::Newer,
        // The same state was written to both slots: neither can be a step back.
        (_, Slot::Valid(state)) if state.head.version.get() == claim => Reading::Newest(state),
        (_, Slot::Valid(state)) => torn(page, Some(state)),
        _ => torn(page, None),
    })
}

fn is_newer(page: &Page, side: Side) -> bool {
    matches!(Head::decode(page.head_bytes(side)), Err(Refusal::Newer))
}

fn torn(page: &Page, fallback: Option<State>) -> Reading {
    Reading::Torn { print: xxh3_64(&page.0[Side::A.at()..]), fallback }
}

/// A body behind the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) at: u64,
    pub(super) body: Vec<u8>,
}

/// What to write so that a state becomes the newest: the tail, if there is one, before the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) side: Side,
    pub(super) tail: Option<Tail>,
    pub(super) slot: Vec<u8>,
    /// Where the last region ends that either slot still needs.
    pub(super) live_bytes: u64,
}

/// Plans to write a state next to the newest one, which it leaves alone.
pub(super) fn plan(
    newest: Option<&(Side, Head)>,
    id: SessionId,
    version: Version,
    body: Vec<u8>,
) -> Write {
    let side = newest.map_or(Side::A, |(side, _)| side.other());
    let kept = newest.and_then(|(_, head)| region(head));
    let kept_end = kept.map_or(1, |(_, end)| end);
    if body.len() <= INLINE_BYTES_MAX {
        let head = Head::new(id, version, &body, Place::Inline);
        let slot = [&head.encode()[..], &body].concat();
        return Write { side, tail: None, slot, live_bytes: pages(kept_end) };
    }
    let page = free_page(kept, body.len());
    let head = Head::new(id, version, &body, Place::Tail { page });
    let live_bytes = pages(kept_end.max(page + pages_of(body.len())));
    let tail = Some(Tail { at: pages(page), body });
    Write { side, tail, slot: head.encode().to_vec(), live_bytes }
}

/// The tombstone that ends a session, and the slots to write it to, the older one first: at no moment
/// is the newest state that a reader can find one from before the deletion and then one from after it
/// and back.
pub(super) fn burial(newest: &State) -> ([u8; HEAD_BYTES], [Side; 2]) {
    let tombstone = Head::tombstone(newest.head.id, newest.head.version.next());
    (tombstone.encode(), [newest.side.other(), newest.side])
}

/// The first and the behind-last page of the region that a state keeps its body in.
fn region(head: &Head) -> Option<(u32, u32)> {
    match head.place {
        Place::Tail { page } => {
            Some((page, page.saturating_add(pages_of(head.body_bytes as usize))))
        }
        Place::Inline | Place::Tombstone => None,
    }
}

/// The lowest page with room for a body that does not touch the region to keep.
fn free_page(kept: Option<(u32, u32)>, body_bytes: usize) -> u32 {
    match kept {
        Some((start, end)) if 1 + pages_of(body_bytes) > start => end,
        _ => 1,
    }
}

fn pages_of(bytes: usize) -> u32 {
    bytes.div_ceil(PAGE_BYTES) as u32
}

fn pages(count: u32) -> u64 {
    u64::from(count) * PAGE_BYTES as u64
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const ID: SessionId = SessionId::from_bytes([7; 16]);

    #[expect(clippy::unnecessary_wraps, reason = "the shape of a reader of tails")]
    fn no_tail(_: &Head) -> io::Result<Option<Bytes>> {
        Ok(None)
    }

    fn slot(id: SessionId, version: u64) -> Vec<u8> {
        let body = vec![version as u8; 100];
        let head = Head::new(id, Version::new(version), &body, Place::Inline);
        [&head.encode()[..], &body].concat()
    }

    fn page(a: &[u8], b: &[u8]) -> Page {
        let mut bytes = Page::first(a);
        bytes[Side::B.at()..][..b.len()].copy_from_slice(b);
        Page::new(bytes).unwrap().unwrap()
    }

    fn torn_slot(version: u64) -> Vec<u8> {
        let mut slot = slot(ID, version);
        *slot.last_mut().unwrap() ^= 1;
        slot
    }

    fn newest(page: &Page) -> Option<u64> {
        match read(page, ID, &mut no_tail).unwrap() {
            Reading::Newest(state) => Some(state.head.version.get()),
            _ => None,
        }
    }

    #[test]
    fn the_higher_version_is_the_newest() {
        assert_eq!(newest(&page(&slot(ID, 1), &[])), Some(1));
        assert_eq!(newest(&page(&slot(ID, 1), &slot(ID, 2))), Some(2));
        assert_eq!(newest(&page(&slot(ID, 3), &slot(ID, 2))), Some(3));
    }

    #[test]
    fn a_torn_older_slot_is_free_space() {
        assert_eq!(newest(&page(&slot(ID, 3), &torn_slot(2))), Some(3));
    }

    #[test]
    fn a_torn_claim_is_no_step_back_but_a_second_look() {
        let page = page(&slot(ID, 2), &torn_slot(3));
        let Reading::Torn { fallback: Some(state), .. } = read(&page, ID, &mut no_tail).unwrap()
        else {
            panic!("a torn claim was judged");
        };
        assert_eq!(state.head.version.get(), 2);
    }

    #[test]
    fn either_of_two_equal_slots_will_do() {
        assert_eq!(newest(&page(&torn_slot(3), &slot(ID, 3))), Some(3));
        assert_eq!(newest(&page(&slot(ID, 3), &torn_slot(3))), Some(3));
    }

    #[test]
    fn the_slot_of_another_session_is_torn() {
        let other = SessionId::from_bytes([8; 16]);
        let page = page(&slot(other, 1), &[]);
        let reading = read(&page, ID, &mut no_tail).unwrap();
        assert!(matches!(reading, Reading::Torn { fallback: None, .. }));
    }

    #[test]
    fn one_slot_of_a_newer_release_makes_the_file_newer() {
        let mut newer = slot(ID, 1);
        newer[4] = 2;
        let check = xxh3_64(&newer[..48]);
        newer[48..56].copy_from_slice(&check.to_le_bytes());
        let reading = read(&page(&slot(ID, 9), &newer), ID, &mut no_tail).unwrap();
        assert!(matches!(reading, Reading::Newer));
    }

    #[test]
    fn a_short_or_zero_page_is_a_create_in_flight() {
        assert!(Page::new(vec![]).unwrap().is_none());
        assert!(Page::new(vec![0; PAGE_BYTES]).unwrap().is_none());
        assert_eq!(Page::new(vec![1; PAGE_BYTES]).unwrap_err(), Refusal::Damaged);
    }

    #[test]
    fn a_new_tail_leaves_the_newest_one_alone() {
        let body = |pages: usize| vec![1; pages * PAGE_BYTES];
        let tail = |kept: &Write| {
            let head = Head::decode(&kept.slot).unwrap();
            (kept.side, head)
        };
        let first = plan(None, ID, Version::new(1), body(2));
        assert_eq!((first.tail.as_ref().unwrap().at, first.live_bytes), (4096, 3 * 4096));
        let second = plan(Some(&tail(&first)), ID, Version::new(2), body(3));
        assert_eq!((second.tail.as_ref().unwrap().at, second.live_bytes), (3 * 4096, 6 * 4096));
        let third = plan(Some(&tail(&second)), ID, Version::new(3), body(2));
        assert_eq!((third.tail.as_ref().unwrap().at, third.live_bytes), (4096, 6 * 4096));
        let fourth = plan(Some(&tail(&third)), ID, Version::new(4), vec![1; 10]);
        assert_eq!((fourth.tail, fourth.live_bytes), (None, 3 * 4096));
        let beside = plan(Some(&tail(&second)), ID, Version::new(3), body(3));
        assert_eq!(beside.tail.as_ref().unwrap().at, 6 * 4096, "3 pages do not fit before page 3");
        let sides = [first.side, second.side, third.side, fourth.side];
        assert_eq!(sides, [Side::A, Side::B, Side::A, Side::B]);
    }

    #[test]
    fn a_body_that_fills_its_slot_to_the_last_byte_stays_in_it() {
        let planned = |bytes| plan(None, ID, Version::FIRST, vec![7; bytes]);
        let full = planned(INLINE_BYTES_MAX);
        assert_eq!((full.tail, full.slot.len()), (None, SLOT_BYTES));
        assert_eq!(newest(&page(&full.slot, &[])), Some(1));
        assert!(planned(INLINE_BYTES_MAX + 1).tail.is_some());
    }

    #[test]
    fn only_the_newest_state_is_taken_for_the_one_expected_and_only_from_a_tail() {
        let in_tail =
            |id, version| plan(None, id, Version::new(version), vec![1; INLINE_BYTES_MAX + 1]).slot;
        let expected = |a: &[u8], b: &[u8]| {
            let newest = page(a, b).expected_in_tail(ID, Version::new(2));
            newest.map(|(side, head)| (side, head.version.get()))
        };
        let (one, two, three) = (slot(ID, 1), in_tail(ID, 2), in_tail(ID, 3));
        assert_eq!(expected(&one, &two), Some((Side::B, 2)));
        assert_eq!(expected(&two, &three), None, "another is the newest");
        assert_eq!(expected(&one, &slot(ID, 2)), None, "it is not in a tail");
        assert_eq!(expected(&one, &in_tail(SessionId::from_bytes([8; 16]), 2)), None);
        let mut newer = slot(ID, 1);
        newer[4] = 2;
        let check = xxh3_64(&newer[..48]);
        newer[48..56].copy_from_slice(&check.to_le_bytes());
        assert_eq!(expected(&newer, &two), None, "a newer release wrote beside it");
    }

    #[test]
    fn a_touch_word_with_any_bit_changed_is_ignored() {
        let created_at = UNIX_EPOCH + Duration::from_secs(1_000);
        let used_at = created_at + Duration::from_millis(123_456);
        let word = touch_word(ID, created_at, used_at);
        assert_eq!(touched_at(word, ID, created_at), Some(used_at));
        for bit in 0..64 {
            assert_eq!(touched_at(word ^ (1 << bit), ID, created_at), None, "bit {bit}");
        }
        assert_eq!(touched_at(0, ID, created_at), None);
    }

    #[test]
    fn a_touch_word_saturates() {
        let word = touch_word(ID, UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1 << 40));
        let latest = UNIX_EPOCH + Duration::from_millis((1 << 40) - 1);
        assert_eq!(touched_at(word, ID, UNIX_EPOCH), Some(latest));
    }
}
