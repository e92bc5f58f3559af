//! What administrators do, as they do it.

use std::fs;
use std::path::Path;

use sessile::Sessions;
use sessile::store::FileStore;

use super::{sessile, url};

/// A store where ann is signed in twice and bob once, and one visitor has a basket.
async fn shop(directory: &Path) -> Sessions {
    let sessions = Sessions::new(FileStore::open(directory).unwrap());
    for owner in ["ann", "ann", "bob\u{1b}[2J"] {
        let session = sessions.detached();
        session.insert("basket", "secret tea").unwrap();
        session.login(owner).unwrap();
        session.commit().await.unwrap();
    }
    let visitor = sessions.detached();
    visitor.insert("basket", "secret tea").unwrap();
    visitor.commit().await.unwrap();
    sessions
}

fn succeed(arguments: &[&str]) -> String {
    let (code, out, err) = sessile(arguments);
    assert_eq!((code, &*err), (Some(0), ""), "{arguments:?}");
    out
}

fn listed(url: &str) -> usize {
    succeed(&["list", "--store", url]).lines().count() - 1
}

#[tokio::test]
async fn sessions_are_ended_as_asked_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let sessions = shop(directory.path()).await;
    let url = url(directory.path());
    let id = sessions.list("ann", None, None).await.unwrap().devices[0].session.id.to_string();
    assert_eq!(listed(&url), 4);
    for (whose, said, left) in [
        (&["--session", &id] as &[_], "1 session ended in ", 3),
        (&["--session", &id], "0 sessions ended in ", 3),
        (&["--owner", "nobody", "--yes"], "0 sessions ended in ", 3),
        (&["--signed-in", "--yes"], "2 sessions ended in ", 1),
        (&["--all", "-y"], "1 session ended in ", 0),
    ] {
        let out = succeed(&[&["revoke", "--store", &url], whose].concat());
        assert!(out.starts_with(said), "{whose:?}: {out}");
        assert_eq!(listed(&url), left, "{whose:?}");
    }
}

#[tokio::test]
async fn one_users_sessions_are_ended_and_nobody_elses() {
    let directory = tempfile::tempdir().unwrap();
    shop(directory.path()).await;
    let url = url(directory.path());
    let out = succeed(&["revoke", "--owner", "ann", "--yes", "--store", &url]);
    assert!(out.starts_with("2 sessions ended in "), "{out}");
    assert_eq!(listed(&url), 2);
    assert_eq!(succeed(&["list", "--owner", "ann", "--store", &url]).lines().count(), 1);
}

#[tokio::test]
async fn nothing_is_ended_without_consent() {
    let directory = tempfile::tempdir().unwrap();
    shop(directory.path()).await;
    let url = url(directory.path());
    for (arguments, said) in [
        (&["--all"] as &[_], "say --yes"),
        (&["--owner", "ann"], "say --yes"),
        (&[], "--all|--signed-in|--owner <NAME>|--session <ID>"),
        (&["--all", "--signed-in", "--yes"], "cannot be used with"),
        (&["--session", "XY", "--yes"], "32 lower-case hex digits"),
        (&["--owner", "", "--yes"], "1 to 255 bytes"),
    ] {
        let (code, _, err) = sessile(&[&["revoke", "--store", &url], arguments].concat());
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
    assert_eq!(listed(&url), 4);
}

// R78
#[tokio::test]
async fn lists_show_neither_secrets_nor_values_and_move_no_cursor() {
    let directory = tempfile::tempdir().unwrap();
    let sessions = shop(directory.path()).await;
    let url = url(directory.path());
    let out = succeed(&["list", "--store", &url]);
    assert!(out.starts_with("ID\tOWNER\tLEVEL\tCREATED\tUSED\tENDS\tADDRESS\tAGENT\n"), "{out}");
    assert_eq!(out.lines().filter(|line| line.contains("\tann\t")).count(), 2);
    assert!(out.contains("\tbob\\u{1b}[2J\t"), "{out}");

    let id = sessions.list("ann", None, None).await.unwrap().devices[0].session.id.to_string();
    let shown = succeed(&["show", "--store", &url, &id]);
    assert!(shown.contains("basket: 12 bytes") && shown.contains("version 1, "), "{shown}");
    for text in [out, shown] {
        assert!(!text.contains("secret tea") && !text.contains('\u{1b}'), "{text}");
    }
    let (code, _, err) = sessile(&["show", "--store", &url, &"0".repeat(32)]);
    assert_eq!((code, err.contains("no live session")), (Some(1), true), "{err}");
}

#[tokio::test]
async fn a_damaged_index_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    shop(directory.path()).await;
    let url = url(directory.path());
    let mend = || succeed(&["mend", "--store", &url]);
    assert!(mend().starts_with("0 damaged index files mended, 0 missing sessions entered, "));
    for entry in fs::read_dir(directory.path().join("default/owners")).unwrap() {
        fs::write(entry.unwrap().path(), "damaged by hand").unwrap();
    }
    let (code, _, err) = sessile(&["list", "--owner", "ann", "--store", &url]);
    assert_eq!((code, err.contains("run: sessile mend")), (Some(1), true), "{err}");
    assert!(mend().starts_with("2 damaged index files mended, 3 missing sessions entered, "));
    assert_eq!(succeed(&["list", "--owner", "ann", "--store", &url]).lines().count(), 3);
}

#[test]
fn commands_about_nothing_make_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let url = url(&missing);
    for arguments in [
        &["revoke", "--all", "--yes"] as &[_],
        &["list"],
        &["show", "00000000000000000000000000000000"],
        &["mend"],
    ] {
        let (code, _, err) = sessile(&[arguments, &["--store", &url]].concat());
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(err.contains("there is no directory"), "{err}");
        assert!(!missing.exists());
    }
    let (code, _, err) = sessile(&["mend", "--store", "memory:"]);
    assert_eq!((code, err.contains("only a file store")), (Some(2), true), "{err}");
}

#[tokio::test]
async fn whoever_lists_into_head_is_not_told_of_a_broken_pipe() {
    let directory = tempfile::tempdir().unwrap();
    shop(directory.path()).await;
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_sessile"))
        .args(["list", "--store", &url(directory.path())])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
