//! The demo as a process: how it starts, how it is refused, how it ends.

use std::fs::{self, DirBuilder, File, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};

use crate::support::{Browser, PATIENCE, Server, demo, eventually, signal};

fn refused(directory: &Path, arguments: &[&str]) -> String {
    said_at_its_end(demo(directory).args(arguments))
}

/// What a command says that fails by itself; one that goes on is ended.
fn said_at_its_end(command: &mut Command) -> String {
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while process.try_wait().unwrap().is_none() && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    let Output { status, stderr, .. } = process.wait_with_output().unwrap();
    assert!(status.code().is_some_and(|code| code != 0), "it started: {status}");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn a_signal_ends_it_cleanly() {
    for supervised in [false, true] {
        for wish in [Signal::INT, Signal::TERM] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("sessions");
            let mut server =
                if supervised { Server::start_supervised(&path) } else { Server::start(&path) };
            signal(server.process.id(), wish);
            assert!(server.process.wait().unwrap().success(), "{wish:?}");
            assert!(TcpStream::connect(&server.address).is_err(), "somebody still listens");
        }
    }
}

#[tokio::test]
async fn a_killed_child_is_replaced_and_its_session_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_supervised(&directory.path().join("sessions"));
    let browser = Browser::new();
    browser.post(&server, "/api/count").await;
    let killed = server.serving;
    signal(killed, Signal::KILL);
    // Nobody serves for a moment, and the request waits instead of being refused.
    let answer = Browser::thief(&browser).post(&server, "/api/count").await;
    assert_eq!(answer.count(), 2);
    server.await_next();
    assert_ne!(server.serving, killed);
}

#[tokio::test]
async fn a_parent_to_whom_nobody_listens_any_more_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_supervised(&directory.path().join("sessions"));
    server.output = None;
    signal(server.serving, Signal::KILL);
    assert_eq!(Browser::new().post(&server, "/api/count").await.count(), 1);
}

#[test]
fn a_child_never_outlives_its_parent() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_supervised(&directory.path().join("sessions"));
    TcpStream::connect(&server.address).unwrap();
    signal(server.process.id(), Signal::KILL);
    eventually("the child's end", || TcpStream::connect(&server.address).is_err());
}

#[test]
fn a_store_that_is_no_directory_is_refused_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    File::create(&file).unwrap();
    let said = refused(&file, &[]);
    assert!(said.contains("is not a directory"), "{said}");
    let said = refused(&file, &["--supervised"]);
    assert!(said.contains("3 times") && said.contains("is not a directory"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_directory_that_cannot_be_trusted_is_refused_at_start_with_the_mend() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let with_mode = |name: &str, mode| {
        fs::create_dir(at(name)).unwrap();
        fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    };
    with_mode("open", 0o777);
    with_mode("shared", 0o770);
    with_mode("closed", 0o500);
    symlink(at("open"), at("link")).unwrap();
    for (name, mend) in [
        ("open", "run: chmod 700"),
        ("shared", "run: chmod 700"),
        ("closed", "run: chmod 700"),
        ("link", "use what it points to"),
    ] {
        let said = refused(&at(name), &[]);
        assert!(said.contains(mend) && said.contains(name), "{said}");
    }
}

/// An ordinary user cannot even open what the superuser keeps to itself.
#[test]
fn a_directory_of_another_user_is_refused_at_start_with_the_mend() {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("demo");
    fs::copy(env!("CARGO_BIN_EXE_sessile-demo"), &program).unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    let theirs = if geteuid().is_root() {
        command.uid(65_534).gid(65_534);
        let theirs = place.path().join("theirs");
        DirBuilder::new().mode(0o700).create(&theirs).unwrap();
        theirs
    } else {
        "/".into()
    };
    let store = format!("file://{}", theirs.display());
    let said = said_at_its_end(command.args(["--listen", "127.0.0.1:0", "--store", &store]));
    assert!(said.contains("belongs to user 0, not to") && said.contains("run: chown"), "{said}");
}

/// What is said of a store at start.
fn refusal_of(store: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile-demo"));
    said_at_its_end(command.args(["--listen", "127.0.0.1:0", "--store", store]))
}

#[test]
#[cfg(feature = "all-stores")]
fn a_server_that_does_not_answer_is_said_at_start_without_the_password() {
    let said = refusal_of("redis://:s3cret@127.0.0.1:1/");
    assert!(said.contains("cannot be reached") && !said.contains("s3cret"), "{said}");
}

#[test]
#[cfg(not(feature = "all-stores"))]
fn a_store_that_is_not_compiled_in_is_refused_with_the_mend() {
    for (store, feature) in [
        ("postgres://h/db", "postgres"),
        ("mysql://h/db", "mysql"),
        ("sqlite:///srv/app.db", "sqlite"),
        ("redis+cluster://h:1", "redis"),
        ("rediss://h", "redis-tls"),
    ] {
        let said = refusal_of(store);
        assert!(said.contains(&format!("--features sessile/{feature}")), "{said}");
    }
}

#[test]
fn a_port_that_is_taken_is_refused_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions");
    let server = Server::start(&path);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile-demo"));
    let said = said_at_its_end(command.args(["--supervised", "--listen", &server.address]));
    assert!(said.contains("cannot listen on"), "{said}");
    assert!(said.contains("--listen 127.0.0.1:0 takes a free port"), "{said}");
}
