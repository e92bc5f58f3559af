//! The file: lines at its end, read by whoever has not seen them yet.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::entry::Entry;

/// One process's view of a journal file.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Where the first line begins that was not read yet.
    read_to: u64,
}

impl Journal {
    /// Opens the journal, and makes it when there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        // Its reader can become nobody, since it holds hashes of secrets alone; but they would read
        // what the sessions hold.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { file: options.open(path)?, read_to: 0 })
    }

    /// What was written since the last look, each entry with its place. A line is there with its line
    /// feed or not at all, so this needs no lock.
    pub(crate) fn unread(&mut self) -> io::Result<Vec<(u64, Entry)>> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(self.read_to))?;
        self.file.read_to_end(&mut text)?;
        let mut entries = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Some(whole) = line.strip_suffix(b"\n") else { break };
            let entry = std::str::from_utf8(whole).ok().and_then(Entry::parse);
            entries.extend(entry.map(|entry| (self.read_to, entry)));
            self.read_to += line.len() as u64;
        }
        Ok(entries)
    }

    /// Keeps other writers out until [`unlock`](Self::unlock); the system does it for a process that
    /// dies.
    pub(crate) fn lock(&self) -> io::Result<()> {
        self.file.lock()
    }

    /// Lets other writers in.
    pub(crate) fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Adds entries. Only under the lock, and after everything was read.
    pub(crate) fn append(&mut self, entries: &[Entry], through_power_loss: bool) -> io::Result<()> {
        // Half a line at the end is what a process left that was killed, or whose disk was full.
        // Nobody was told that it is there.
        self.file.set_len(self.read_to)?;
        let lines: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        self.file.write_all(lines.as_bytes())?;
        if through_power_loss { self.file.sync_data() } else { Ok(()) }
    }
}
