//! A look at one's own record where it lies, for a curious person.

use std::path::Path;

use sessile::SessionId;
use sessile::store::FileStore;
use sessile::store::file::{Inspection, SlotContent, SlotInspection};

use crate::pages::inside::{Field, Slot, StoredFile};
use crate::words;

/// The fields of a slot's head, by `docs/file_format.md`: name and offset. Each ends where the next
/// begins, the last with the head.
const FIELDS: [(&str, usize); 9] = [
    ("magic", 0),
    ("format", 4),
    ("flags", 6),
    ("version", 8),
    ("session ID", 16),
    ("body length", 32),
    ("tail page", 36),
    ("body checksum", 40),
    ("head checksum", 48),
];

/// The directory of a file store.
#[derive(Clone, Debug)]
pub(crate) struct Disk(FileStore);

impl Disk {
    /// Where sessions are files: the same store that serves requests.
    pub(crate) fn of(store: FileStore) -> Self {
        Self(store)
    }

    /// How much of the disk a record takes.
    pub(crate) async fn bytes(&self, id: SessionId) -> Option<u64> {
        self.inspect(id).await.map(|file| file.bytes_on_disk)
    }

    /// A record's file, opened up.
    pub(crate) async fn file(&self, id: SessionId) -> Option<StoredFile> {
        let inspection = self.inspect(id).await?;
        Some(opened(&inspection, self.0.path()))
    }

    /// Nothing is shown of a file that cannot be read: the page goes on without it.
    async fn inspect(&self, id: SessionId) -> Option<Inspection> {
        let store = self.0.clone();
        let look = move || store.inspect(id).ok().flatten();
        tokio::task::spawn_blocking(look).await.ok().flatten()
    }
}

fn opened(file: &Inspection, root: &Path) -> StoredFile {
    let path = file.path.strip_prefix(root).unwrap_or(&file.path);
    let [a, b] = &file.slots;
    let newest = usize::from(version(b) > version(a));
    StoredFile {
        path: path.display().to_string(),
        bytes: file.bytes_on_disk,
        slots: [shown('A', a, newest == 0), shown('B', b, newest == 1)],
        fields: fields(&file.slots[newest].head),
    }
}

fn version(slot: &SlotInspection) -> u64 {
    match slot.content {
        SlotContent::State { version, .. } | SlotContent::Tombstone { version } => version.get(),
        _ => 0,
    }
}

fn shown(name: char, slot: &SlotInspection, newest: bool) -> Slot {
    let (content, detail) = match slot.content {
        SlotContent::Free => ("free".into(), "nothing was written here yet".into()),
        SlotContent::State { version, body_bytes, .. } => {
            (format!("version {version}"), format!("a body of {}", words::size(body_bytes.into())))
        }
        SlotContent::Tombstone { version } => (format!("version {version}"), "the end".into()),
        _ => ("unreadable".into(), "damaged, or written by a newer release".into()),
    };
    Slot { name, content, detail, newest }
}

/// The fields of a head in hex, and what they say.
fn fields(head: &[u8]) -> Vec<Field> {
    let ends = FIELDS.iter().skip(1).map(|(_, start)| *start).chain([head.len()]);
    let field = |((name, start), end): (&(&'static str, usize), usize)| {
        let bytes = &head[*start..end];
        Field { name, hex: hex(bytes), meaning: meaning(name, bytes) }
    };
    FIELDS.iter().zip(ends).map(field).collect()
}

fn meaning(name: &str, bytes: &[u8]) -> String {
    match (name, number(bytes)) {
        ("magic", _) => format!("“{}”", String::from_utf8_lossy(bytes)),
        ("format" | "version", number) => number.to_string(),
        ("flags", 0) => "a record in one piece".into(),
        ("flags", 1) => "a tombstone: the session ended".into(),
        ("flags", _) => "a record whose body lies behind the first page".into(),
        ("session ID", _) => "public: it opens nothing".into(),
        ("body length", length) => words::size(length),
        ("body checksum", _) => "xxh3 of the body".into(),
        ("head checksum", _) => "xxh3 of the head before it".into(),
        ("tail page", 0) => "none: the body follows the head".into(),
        ("tail page", page) => format!("the body begins at page {page}"),
        _ => String::new(),
    }
}

/// A little-endian number. What is longer than 8 bytes is none.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use sessile::store::{Access, Durability, Store, Ticket};
    use sessile::{Record, SecretHash};

    use super::*;

    const ID: SessionId = SessionId::from_bytes([0xab; 16]);

    #[tokio::test]
    async fn a_record_is_shown_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(directory.path().join("sessions")).unwrap();
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        let mut record = Record::new(ID, SecretHash::from_bytes([1; 32]), now, None, hour);
        store.create(&record, Durability::Process).await.unwrap();

        let disk = Disk::of(store.clone());
        let [a, b] = disk.file(ID).await.unwrap().slots;
        assert_eq!((&*a.content, a.newest), ("version 1", true));
        assert_eq!((&*b.content, b.newest), ("free", false));

        let expected = record.version;
        record.version = expected.next();
        store.update(&record, expected, Durability::Process, &mut Ticket::none()).await.unwrap();
        assert!(store.load(ID, now, Access::Read).await.unwrap().is_some());
        let file = disk.file(ID).await.unwrap();
        assert_eq!((&*file.slots[1].content, file.slots[1].newest), ("version 2", true));
        assert_eq!((&*file.fields[0].meaning, &*file.fields[3].meaning), ("“sess”", "2"));
        assert!(file.fields[4].hex.starts_with("ab ab ab"));
        assert!(file.path.ends_with(&"ab".repeat(16)) && !file.path.starts_with('/'));
        assert!(disk.bytes(ID).await.unwrap() >= 4096);
    }

    #[tokio::test]
    async fn what_is_no_file_shows_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::of(FileStore::open(directory.path().join("s")).unwrap());
        assert!(disk.file(ID).await.is_none() && disk.bytes(ID).await.is_none());
    }

    #[test]
    fn fields_cover_the_head_without_a_gap() {
        let shown: usize = fields(&[0; 56]).iter().map(|field| field.hex.split(' ').count()).sum();
        assert_eq!(shown, 56);
    }
}
