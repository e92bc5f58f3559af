//! A session file as it lies on the disk, for operators and for the curious.

use std::path::PathBuf;
use std::time::SystemTime;

use super::Doing;
use super::core::{Core, page_of};
use super::page::{Page, Side};
use super::sys::{File, For};
use crate::codec::{HEAD_BYTES, Head, Place, Refusal};
use crate::error::Result;
use crate::record::Version;
use crate::token::SessionId;

/// What lies in the file of one session. It holds neither data nor hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// Where the file lies.
    pub path: PathBuf,
    /// How long the file is.
    pub bytes: u64,
    /// How much of the disk it takes.
    pub bytes_on_disk: u64,
    /// When it was last changed, by the file system's clock.
    pub modified_at: SystemTime,
    /// The two slots, A and B; one holds the newest state, the other the one before, or nothing.
    pub slots: [SlotInspection; 2],
}

/// What lies in one slot of a session file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotInspection {
    /// Where in the file the slot begins.
    pub offset: usize,
    /// What its head says.
    pub content: SlotContent,
    /// The bytes of its head.
    pub head: [u8; HEAD_BYTES],
}

/// What the head of a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotContent {
    /// Nothing was written here yet.
    Free,
    /// A state of the session.
    State {
        /// The number of the state.
        version: Version,
        /// How long its body is.
        body_bytes: u32,
        /// Where its body begins, when it does not fit the slot.
        tail_offset: Option<u64>,
    },
    /// The session ended.
    Tombstone {
        /// The number of the state that is its end.
        version: Version,
    },
    /// The head does not fit its checksum, or belongs to another session.
    Damaged,
    /// A newer release wrote it.
    Newer,
}

impl Core {
    pub(super) fn inspect(&self, id: SessionId) -> Result<Option<Inspection>> {
        let file = self.records.open(id, For::Reading).doing("cannot open a session file")?;
        file.map_or(Ok(None), |file| self.inspect_file(&file, id))
    }

    fn inspect_file(&self, file: &File, id: SessionId) -> Result<Option<Inspection>> {
        let Some(page) = page_of(file)?? else { return Ok(None) };
        let meta = file.meta().doing("cannot look at a session file")?;
        let name = id.to_string();
        Ok(Some(Inspection {
            path: [&*self.namespace, "records", &name[..2], &name]
                .iter()
                .fold(self.path.clone(), |path, part| path.join(part)),
            bytes: meta.bytes,
            bytes_on_disk: meta.bytes_on_disk,
            modified_at: meta.modified_at,
            slots: [Side::A, Side::B].map(|side| inspect_slot(&page, side, id)),
        }))
    }
}

fn inspect_slot(page: &Page, side: Side, id: SessionId) -> SlotInspection {
    let head: [u8; HEAD_BYTES] =
        page.head_bytes(side).try_into().expect("a head has a fixed length");
    let content = match Head::decode(&head) {
        _ if head == [0; HEAD_BYTES] => SlotContent::Free,
        Ok(head) if head.id == id => content_of(&head),
        Ok(_) | Err(Refusal::Damaged) => SlotContent::Damaged,
        Err(Refusal::Newer) => SlotContent::Newer,
    };
    SlotInspection { offset: side.at(), content, head }
}

fn content_of(head: &Head) -> SlotContent {
    let (version, body_bytes) = (head.version, head.body_bytes);
    match head.place {
        Place::Tombstone => SlotContent::Tombstone { version },
        Place::Inline => SlotContent::State { version, body_bytes, tail_offset: None },
        Place::Tail { page } => {
            let tail_offset = Some(u64::from(page) * super::page::PAGE_BYTES as u64);
            SlotContent::State { version, body_bytes, tail_offset }
        }
    }
}
