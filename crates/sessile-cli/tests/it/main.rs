//! The `sessile` command as its users meet it.

#![cfg(test)]

mod admin;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use sessile::store::{Durability, FileStore, Store};
use sessile::{Record, SecretHash, SessionId};

fn sessile(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sessile")).args(arguments).output().unwrap();
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn url(directory: &Path) -> String {
    format!("file://{}", directory.display())
}

/// A store with this many sessions that ended an hour ago, and one that lives.
async fn store_with_expired(directory: &Path, expired: u8) {
    let store = FileStore::open(directory).unwrap();
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    for n in 0..=expired {
        let created_at = if n == 0 { now } else { now - 3 * hour };
        let id = SessionId::from_bytes([n; 16]);
        let record = Record::new(id, SecretHash::from_bytes([n; 32]), created_at, None, 2 * hour);
        store.create(&record, Durability::Process).await.unwrap();
    }
}

#[tokio::test]
async fn a_sweep_removes_what_is_due_and_says_how_many() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions");
    store_with_expired(&path, 5).await;
    for (arguments, said) in [
        (&["--limit", "3"] as &[_], "3 expired sessions removed in "),
        (&[], "2 expired sessions removed in "),
        (&[], "0 expired sessions removed in "),
    ] {
        let url = url(&path);
        let (code, out, err) = sessile(&[&["sweep", "--store", &url], arguments].concat());
        assert_eq!((code, &*err), (Some(0), ""), "{err}");
        assert!(out.starts_with(said), "{out}");
    }
}

#[test]
fn a_sweep_of_nothing_is_refused_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let (code, _, err) = sessile(&["sweep", "--store", &url(&missing)]);
    assert_eq!(code, Some(2));
    assert!(err.contains("there is no directory"), "{err}");
    assert!(!missing.exists());
}

#[test]
fn a_wrong_url_is_refused_with_the_mend() {
    for (url, said) in [
        ("sessions", "write file:///"),
        ("/var/lib/sessions", "write file:///var/lib/sessions"),
        ("gopher://host/", "known are: "),
        ("file:///?colour=red", "unknown option"),
    ] {
        let (code, _, err) = sessile(&["sweep", "--store", url]);
        assert_eq!(code, Some(2), "{url}");
        assert!(err.contains(said), "{err}");
    }
}

/// `sessile` is one program for every store: no scheme names a feature that it lacks.
#[test]
#[cfg(feature = "all-stores")]
fn every_store_is_compiled_in() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("app.db");
    std::fs::File::create(&database).unwrap();
    let sqlite = format!("sqlite://{}", database.display());
    let (code, out, err) = sessile(&["sweep", "--store", &sqlite]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("0 expired sessions removed"), "{out}");
    for scheme in ["postgres", "mysql", "redis", "rediss", "redis+cluster", "rediss+cluster"] {
        // Refused as an address, before anyone is asked.
        let (code, _, err) = sessile(&["sweep", "--store", &format!("{scheme}://h:port/")]);
        assert!(code == Some(2) && !err.contains("without the feature"), "{err}");
    }
}

#[test]
fn a_sweep_of_a_database_that_is_not_there_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.db");
    let (code, _, err) = sessile(&["sweep", "--store", &format!("sqlite://{}", missing.display())]);
    assert!(code == Some(2) && err.contains("there is no database"), "{err}");
    assert!(!missing.exists());
}

#[test]
fn without_a_command_it_explains_itself() {
    let (code, _, err) = sessile(&[]);
    assert_eq!(code, Some(2));
    assert!(err.contains("demo") && err.contains("sweep"), "{err}");
}
