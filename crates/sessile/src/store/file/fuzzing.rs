//! The file store's part of the door for the programs in `fuzz/`.

use std::time::SystemTime;

use super::expiry_log;
use super::page::{self, Reading, Side};
use crate::codec::HEAD_BYTES;
use crate::error::{Error, Result};
use crate::record::Record;
use crate::token::SessionId;

/// The first page of a session file, to be written and damaged.
#[derive(Clone, Debug)]
pub struct Page(pub Vec<u8>);

impl Page {
    /// A page with nothing in its slots.
    pub fn empty() -> Self {
        Self(page::Page::first(&[]))
    }

    /// Where the first or the second slot begins, and the most bytes of a body in it.
    pub fn slot(second: bool) -> (usize, usize) {
        let side = if second { Side::B } else { Side::A };
        (side.at(), Side::B.at() - Side::A.at() - HEAD_BYTES)
    }

    /// What the page shows of `id`: nothing yet, a record, or that it ended; with whether that is
    /// certain without a second look.
    ///
    /// # Errors
    /// When neither slot can be read.
    pub fn read(self, id: SessionId) -> Result<(bool, Option<Record>)> {
        let Some(page) = page::Page::new(self.0).map_err(Error::from)? else {
            return Ok((true, None));
        };
        let reading = page::read(&page, id, &mut |_| Ok(None)).expect("there is no disk to fail");
        let (certain, state) = match reading {
            Reading::Newest(state) => (true, Some(state)),
            Reading::Torn { fallback, .. } => (false, fallback),
            Reading::Newer => return Err(crate::codec::newer_format()),
        };
        let Some(state) = state.filter(|state| !state.is_tombstone()) else {
            return Ok((certain, None));
        };
        Ok((certain, Some(state.record(&page)?)))
    }
}

/// An entry of the expiry log.
pub fn log_entry(id: SessionId, deadline: SystemTime) -> [u8; 32] {
    expiry_log::entry(id, deadline)
}

/// The minute whose log has this name, and the name that its log is given.
pub fn bucket_of(name: &str) -> Option<(u64, String)> {
    let bucket = expiry_log::bucket(name)?;
    Some((bucket, expiry_log::bucket_name(bucket)))
}
