//! A record's file, opened up by the description in `docs/file_format.md`.
//!
//! The library reads its files under checksums and a re-read rule. This is a look at the raw bytes
//! for a curious person, and decides nothing.

use std::path::{Path, PathBuf};

use sessile::SessionId;

use crate::options::StoreUrl;
use crate::pages::inside::{Field, Slot, StoredFile};

/// Where the slots lie in a file's first page.
const SLOTS: [(char, usize); 2] = [('A', 64), ('B', 2080)];

/// The length of the header at the front of each slot.
const HEADER_BYTES: usize = 56;

/// The fields of a header: name, offset, length.
const FIELDS: [(&str, usize, usize); 9] = [
    ("magic", 0, 4),
    ("format", 4, 2),
    ("flags", 6, 2),
    ("version", 8, 8),
    ("session ID", 16, 16),
    ("body length", 32, 4),
    ("tail page", 36, 4),
    ("body checksum", 40, 8),
    ("header checksum", 48, 8),
];

/// The directory of a file store.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    root: PathBuf,
}

impl Disk {
    /// The directory a URL names; `None` for stores that are none.
    pub(crate) fn of(url: &StoreUrl) -> Option<Self> {
        url.directory().map(|root| Self { root })
    }

    /// How large a record's file is.
    pub(crate) async fn bytes(&self, id: SessionId) -> Option<u64> {
        Some(tokio::fs::metadata(self.root.join(path_of(id))).await.ok()?.len())
    }

    /// A record's file.
    pub(crate) async fn file(&self, id: SessionId) -> Option<StoredFile> {
        let path = path_of(id);
        let bytes = tokio::fs::read(self.root.join(&path)).await.ok()?;
        opened(&path, &bytes)
    }
}

/// A record's path below the store's directory.
fn path_of(id: SessionId) -> PathBuf {
    let id = id.to_string();
    Path::new("s").join(&id[..2]).join(id)
}

fn opened(path: &Path, bytes: &[u8]) -> Option<StoredFile> {
    let headers = SLOTS.map(|(_, at)| bytes.get(at..at + HEADER_BYTES));
    let [Some(a), Some(b)] = headers else { return None };
    let newest = usize::from(version(b) > version(a));
    let slot = |(index, header): (usize, &[u8])| Slot {
        name: SLOTS[index].0,
        version: Some(version(header)).filter(|version| *version > 0),
        newest: index == newest,
        bytes: HEADER_BYTES as u64 + number(&header[32..36]),
    };
    Some(StoredFile {
        path: path.display().to_string(),
        bytes: bytes.len() as u64,
        slots: [slot((0, a)), slot((1, b))],
        fields: FIELDS.iter().map(|field| shown(field, [a, b][newest])).collect(),
    })
}

fn version(header: &[u8]) -> u64 {
    number(&header[8..16])
}

/// A little-endian number of at most 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn shown(&(name, at, len): &(&'static str, usize, usize), header: &[u8]) -> Field {
    let bytes = &header[at..at + len];
    let meaning = match name {
        "magic" => format!("“{}”", String::from_utf8_lossy(bytes)),
        "format" | "version" => number(bytes).to_string(),
        "body length" => crate::words::size(number(bytes)),
        "flags" => meaning_of_flags(number(bytes)).into(),
        "tail page" if number(bytes) == 0 => "the body follows the header".into(),
        "tail page" => format!("the body begins at page {}", number(bytes)),
        "session ID" => "public: it opens nothing".into(),
        _ => "xxh3".into(),
    };
    Field { name, hex: hex(bytes), meaning }
}

fn meaning_of_flags(flags: u64) -> &'static str {
    match flags {
        0 => "a record in one piece",
        1 => "a tombstone: the session ended",
        _ => "a record whose body lies behind the first page",
    }
}

/// Pairs of hex digits, in groups a line can break between.
fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Vec<u8> {
        let mut page = vec![0; 4096];
        page[64..68].copy_from_slice(b"sess");
        page[72] = 6;
        page[2080..2084].copy_from_slice(b"sess");
        page[2088] = 7;
        page[2112] = 100;
        page
    }

    #[test]
    fn the_newest_slot_is_the_one_with_the_higher_version() {
        let file = opened(Path::new("x"), &page()).unwrap();
        let [a, b] = &file.slots;
        assert_eq!((a.version, a.newest, b.version, b.newest), (Some(6), false, Some(7), true));
        assert_eq!(b.bytes, 156);
        assert_eq!(file.fields[3].hex, "07 00 00 00 00 00 00 00");
        assert_eq!(file.fields[5].meaning, "100 bytes");
    }

    #[test]
    fn an_unused_slot_is_free() {
        let mut page = page();
        page[2080..].fill(0);
        let file = opened(Path::new("x"), &page).unwrap();
        assert_eq!((file.slots[1].version, file.slots[0].newest), (None, true));
        assert!(opened(Path::new("x"), &page[..100]).is_none());
    }

    #[test]
    fn the_fields_cover_the_header_without_a_gap() {
        let end = FIELDS.iter().fold(0, |end, (name, at, len)| {
            assert_eq!(end, *at, "{name}");
            at + len
        });
        assert_eq!(end, HEADER_BYTES);
    }
}
