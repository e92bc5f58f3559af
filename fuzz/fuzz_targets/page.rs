//! The first page of a session file: two slots, damaged as you like. A reader gives a state that was
//! written, and never an earlier one than a slot that is whole.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sessile::fuzzing::Page;
use sessile::{Record, SecretHash, SessionId, Version};
use sessile_fuzz::{at, id};

#[derive(Arbitrary, Debug)]
struct Input {
    /// The versions in the slots; none for an empty one, and whether a session of another ID wrote it.
    slots: [Option<(u64, bool)>; 2],
    touch_word: u64,
    flips: Vec<(u16, u8)>,
}

fuzz_target!(|input: Input| {
    let (page, written) = page(&input);
    let whole = page.clone();
    let mut page = page;
    for (at, bits) in &input.flips {
        let at = usize::from(*at) % page.0.len();
        page.0[at] ^= bits;
    }
    let is_whole = |side: usize| {
        let (start, room) = Page::slot(side == 1);
        let range = start..start + room + 56;
        whole.0[range.clone()] == page.0[range]
    };
    let safe = (0..2).filter(|side| is_whole(*side)).filter_map(|side| written[side].clone());
    let newest = safe.max_by_key(|record| record.version);
    let Ok((certain, seen)) = page.read(id(1)) else { return };
    if let Some(seen) = &seen {
        let known = written.iter().flatten().any(|record| is_same(record, seen));
        assert!(known, "nobody wrote {seen:?}");
        let is_step_back = newest.as_ref().is_some_and(|newest| seen.version < newest.version);
        assert!(!certain || !is_step_back, "{:?} is newer than {:?}", newest, seen.version);
    }
    assert!(!certain || seen.is_some() || newest.is_none(), "{newest:?} was not seen");
});

/// The page, and what its slots hold of session 1.
fn page(input: &Input) -> (Page, [Option<Record>; 2]) {
    let mut page = Page::empty();
    page.0[8..16].copy_from_slice(&input.touch_word.to_le_bytes());
    let written = [false, true].map(|second| {
        let (version, is_foreign) = input.slots[usize::from(second)]?;
        let record = record(if is_foreign { id(2) } else { id(1) }, version);
        let bytes = record.to_bytes().expect("a small record");
        let (start, room) = Page::slot(second);
        assert!(bytes.len() <= room);
        page.0[start..start + bytes.len()].copy_from_slice(&bytes);
        (!is_foreign).then_some(record)
    });
    (page, written)
}

fn record(id: SessionId, version: u64) -> Record {
    let hash = SecretHash::from_bytes([1; 32]);
    let mut record = Record::new(id, hash, at(0), None, std::time::Duration::from_secs(60));
    record.version = Version::new(version);
    record.data.insert("version", version.to_string().into());
    record
}

/// The touch word may have moved the last use, and that alone.
fn is_same(written: &Record, seen: &Record) -> bool {
    let mut written = written.clone();
    written.used_at = seen.used_at;
    written == *seen
}
