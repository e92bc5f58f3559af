//! The `sessile` command as its users meet it.

#![cfg(test)]

mod admin;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use sessile::store::{Access, Durability, FileStore, Store};
#[cfg(feature = "all-stores")]
use sessile::store::{Scope, open};
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

#[cfg(feature = "all-stores")]
#[tokio::test]
async fn a_move_carries_every_session_and_says_how_many() {
    let directory = tempfile::tempdir().unwrap();
    let (files, database) = (directory.path().join("sessions"), directory.path().join("app.db"));
    store_with_expired(&files, 3).await;
    std::fs::File::create(&database).unwrap();
    let (from, to) = (url(&files), format!("sqlite://{}", database.display()));
    for said in ["1 moved, 0 ended meanwhile, 0 stayed, 0 unreadable in ", "0 moved, "] {
        let (code, out, err) = sessile(&["move", "--from", &from, "--to", &to]);
        assert_eq!((code, &*err), (Some(0), ""), "{err}");
        assert!(
            out.starts_with(said) && out.ends_with("nothing is left in the old store\n"),
            "{out}"
        );
    }
    let (id, now) = (SessionId::from_bytes([0; 16]), SystemTime::now());
    let (old, new) = (open(&from).unwrap(), open(&to).unwrap());
    assert!(new.load(id, now, Access::Read).await.unwrap().is_some());
    assert_eq!(old.list(Scope::All, now, None, 9).await.unwrap().sessions, []);
}

#[cfg(feature = "all-stores")]
#[tokio::test]
async fn a_move_from_table_to_table_of_one_database_is_a_move() {
    let directory = tempfile::tempdir().unwrap();
    let (files, database) = (directory.path().join("sessions"), directory.path().join("app.db"));
    store_with_expired(&files, 0).await;
    std::fs::File::create(&database).unwrap();
    let old = format!("sqlite://{}", database.display());
    for (from, to) in [(url(&files), old.clone()), (old.clone(), format!("{old}?table=sessions"))] {
        let (code, out, err) = sessile(&["move", "--from", &from, "--to", &to]);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.starts_with("1 moved"), "{out}");
    }
    let same = format!("{old}?table=sessile");
    let (code, _, err) = sessile(&["move", "--from", &old, "--to", &same]);
    assert!(code == Some(2) && err.contains("one and the same store"), "{err}");
}

#[tokio::test]
async fn a_move_leaves_what_is_held_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    store_with_expired(&from, 0).await;
    let store = FileStore::open(&from).unwrap();
    let (id, now, hour) =
        (SessionId::from_bytes([0; 16]), SystemTime::now(), Duration::from_secs(3600));
    let access = Access::Exclusive { wait: hour, hold: hour };
    let held = store.load(id, now, access).await.unwrap().unwrap();
    let words = ["move", "--from", &url(&from), "--to", &url(&to)];
    let (code, out, err) = sessile(&words);
    assert_eq!(code, Some(3), "{err}");
    assert!(out.starts_with("0 moved") && err.contains("1 are held exclusively; run this again"));
    drop(held);
    assert_eq!(sessile(&words).0, Some(0));
}

#[test]
fn a_move_that_cannot_work_is_refused_with_the_mend() {
    let directory = tempfile::tempdir().unwrap();
    let missing = url(&directory.path().join("missing"));
    let there = url(directory.path());
    let elsewhere = format!("{there}/other?namespace=other");
    let no_database = format!("sqlite://{}/missing.db", directory.path().display());
    let memory = "memory:".to_owned();
    for (from, to, said) in [
        (&missing, &there, "there is no directory"),
        (&no_database, &there, "there is no database"),
        (&memory, &there, "one process"),
        (&there, &memory, "one process"),
        (&there, &there, "one and the same store"),
        (&there, &format!("{there}/"), "one and the same store"),
        (&there, &format!("{there}/../{}", name(directory.path())), "one and the same store"),
        (&there, &elsewhere, "open both with one"),
        (&there, &"sessions".to_owned(), "write file:///"),
    ] {
        let (code, _, err) = sessile(&["move", "--from", from, "--to", to]);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(said), "{err}");
    }
    let (code, _, err) = sessile(&["move", "--from", &there, "--to", &missing, "--after", "x"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(!directory.path().join("missing.db").exists());
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_trouble() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions");
    store_with_expired(&path, 1).await;
    let (url, id) = (url(&path), "0".repeat(32));
    for arguments in [&["list"] as &[&str], &["show", &id], &["sweep"], &["mend"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
        let output = command.args(arguments).args(["--store", &url]).stdout(writer).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn the_memory_of_another_process_is_no_store_to_look_into() {
    for arguments in [&["list"] as &[&str], &["sweep"], &["revoke", "--all", "--yes"]] {
        let (code, _, err) = sessile(&[arguments, &["--store", "memory:"]].concat());
        assert!(code == Some(2) && err.contains("one process"), "{arguments:?}: {err}");
    }
}

#[test]
fn without_a_command_it_explains_itself() {
    let (code, _, err) = sessile(&[]);
    assert_eq!(code, Some(2));
    assert!(err.contains("demo") && err.contains("sweep"), "{err}");
}
