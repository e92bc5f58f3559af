//! The expiry log, with whatever a crash or a stranger left in it: a clean-up comes to an end, removes
//! what is named there and expired, leaves alone what lives, and what is no log.

#![no_main]

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sessile::store::{Access, Durability, FileStore, Store};
use sessile::{Record, SecretHash, fuzzing};
use sessile_fuzz::{at, id, wait};
use tempfile::TempDir;

#[derive(Arbitrary, Debug)]
struct Input {
    name: [u8; 16],
    logs: Vec<(u8, Vec<Piece>)>,
    limit: u8,
}

#[derive(Arbitrary, Debug)]
enum Piece {
    Expired(u8),
    Live(u8),
    Nobody(u8),
    Garbage(Vec<u8>),
}

const HOUR: Duration = Duration::from_secs(3_600);

fuzz_target!(|input: Input| {
    let name = std::str::from_utf8(&input.name).unwrap_or_default();
    if let Some((_, opened)) = fuzzing::bucket_of(name) {
        assert_eq!(opened, name, "a log that nobody opens by its name");
    }
    let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    wait(clean_up(&place.expect("a temporary folder"), &input));
});

async fn clean_up(place: &TempDir, input: &Input) {
    let path = place.path().join("sessions");
    let store = FileStore::builder(&path).allow_any_file_system(true).open().expect("it opens");
    let (expired, live) = (record(1, HOUR), record(2, 1_000 * HOUR));
    for record in [&expired, &live] {
        store.create(record, Durability::Process).await.expect("it is created");
    }
    let logs = path.join("default").join("expiry");
    let mut is_named = false;
    for (minute, pieces) in &input.logs {
        append(&log(&logs, *minute), &bytes(pieces)).expect("the log is written");
    }
    let now = at(0) + 10 * HOUR;
    let limit = usize::from(input.limit) + 1;
    for round in 0.. {
        let swept = store.delete_expired(now, limit).await.expect("the clean-up goes on");
        assert!(swept.removed.len() <= limit && round < 10_000);
        assert!(swept.removed.iter().all(|(swept, _)| *swept == expired.id));
        is_named |= !swept.removed.is_empty();
        if !swept.more {
            break;
        }
    }
    assert!(is_named, "its own entry names what is expired");
    let kept = store.load(live.id, now, Access::Read).await.expect("it loads");
    assert_eq!(kept.map(|loaded| loaded.record), Some(live));
    assert!(!input.logs.iter().any(|(minute, _)| log(&logs, *minute).exists()), "left undone");
}

/// Only in the past: minutes of the first hours, among them those of the store's own entries.
fn log(logs: &Path, minute: u8) -> PathBuf {
    let minutes = at(u64::from(minute) * 60_000).duration_since(std::time::UNIX_EPOCH);
    logs.join(format!("{:016x}", minutes.expect("after 1970").as_secs() / 60))
}

/// Behind the store's own entries: what comes before them may hide them, for a day.
fn append(log: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(log)?.write_all(bytes)
}

fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let entry = |session: u8, minute: &u8| {
        fuzzing::log_entry(id(session), at(u64::from(*minute) * 60_000)).to_vec()
    };
    let bytes = pieces.iter().map(|piece| match piece {
        Piece::Expired(minute) => entry(1, minute),
        Piece::Live(minute) => entry(2, minute),
        Piece::Nobody(minute) => entry(3, minute),
        Piece::Garbage(bytes) => bytes.clone(),
    });
    bytes.flatten().collect()
}

fn record(number: u8, lives: Duration) -> Record {
    Record::new(id(number), SecretHash::from_bytes([1; 32]), at(0), None, lives)
}
