//! `cargo xtask test`: every test of the project, then one line that counts.

use std::path::{Path, PathBuf};

use crate::faults;
use crate::fuzz;
use crate::needs::{self, Browser};
use crate::servers::{self, Server};
use crate::shell::{Outcome, cargo, command, is_ci, root, run, run_lines, target_dir};
use crate::tally::Tally;

/// The demo under real browsers.
const BROWSER_TEST: &str = "crates/demo/tests/browser";

/// Runs everything, prints what was skipped and the counts; fails when a test did.
pub(crate) fn everything() -> Outcome {
    let mut tally = Tally::default();
    tool(&mut tally, "strace", "the tests that count system calls");
    let mut left_out = Vec::new();
    if !tool(&mut tally, "pgbouncer", "the tests behind a pooler") {
        left_out.push("sql::pooler::");
    }
    if !tool(&mut tally, "openssl", "the tests of TLS to servers") {
        left_out.extend(["sql::tls::", "redis::tls::"]);
    }
    if !needs::is_root() {
        tally.skip("the tests of full disks: only root may mount a small one");
        left_out.push("sql::full::");
    }
    let servers = database_servers(&mut tally);
    // A test without its server would read as passed.
    left_out.extend(servers::tests_without(&servers));
    cargo_test_in(None, &mut tally, &["--workspace", "--all-features"], &servers, &left_out);
    for manifest in own_workspaces(&root()) {
        cargo_test_in(manifest.parent(), &mut tally, &["--all-features"], &servers, &left_out);
    }
    fallbacks_test(&mut tally);
    match binaries() {
        Ok(()) => {
            browser_test(&mut tally, &servers);
            faults_test(&mut tally);
        }
        Err(why) => tally.step(tally.failed(), Err(why)),
    }
    drop(servers);
    fuzz_smoke(&mut tally);
    println!("{tally}");
    if tally.failed() == 0 { Ok(()) } else { Err("a test failed".into()) }
}

/// Whether the tool is there now.
fn tool(tally: &mut Tally, name: &str, what: &str) -> bool {
    let found = needs::program(&[name], name);
    found.map_err(|why| missing(tally, format!("{what}: {why}"))).is_ok()
}

/// The servers that could be had; they stop when they are dropped.
fn database_servers(tally: &mut Tally) -> Vec<Server> {
    let started = servers::start().into_iter();
    started.filter_map(|server| server.map_err(|why| missing(tally, why)).ok()).collect()
}

/// What is missing is skipped on a laptop and fails where CI promised it.
fn missing(tally: &mut Tally, why: String) {
    match (is_ci(), servers::is_optional(&why)) {
        (false, _) => tally.skip(why),
        (true, true) => println!("not promised in CI, and not here: {why}"),
        (true, false) => tally.step(tally.failed(), Err(why)),
    }
}

/// Tests in a folder below the root, whose own configuration of cargo then counts; or at the root.
fn cargo_test_in(
    folder: Option<&Path>,
    tally: &mut Tally,
    which: &[&str],
    servers: &[Server],
    left_out: &[&str],
) {
    let before = tally.failed();
    let mut words = vec!["test", "--no-fail-fast"];
    words.extend(which);
    words.push("--");
    words.extend(left_out.iter().flat_map(|tests| ["--skip", tests]));
    let mut tests = cargo(&words);
    tests.current_dir(root().join(folder.unwrap_or(Path::new(""))));
    tests.envs(servers.iter().map(|server| (server.variable, &server.url)));
    let outcome = run_lines(&mut tests, |line| tally.cargo_line(line));
    tally.step(before, outcome);
}

/// The tests of files once more, with what other Unixes have in place of Linux's own calls. Its build
/// lies apart, since the flag is part of every crate's.
fn fallbacks_test(tally: &mut Tally) {
    let before = tally.failed();
    let only_files = ["-p", "sessile", "--no-default-features", "--features", "file,conformance"];
    let which = ["store::file", "stores::file", "file_store", "file_kill", "races"];
    let mut tests = cargo(&["test", "--no-fail-fast", "--lib", "--test", "it"]);
    tests.args(only_files).arg("--").args(which);
    // These replay what the store does, or a model of it: they are the same on every system.
    tests.args(["--skip", "store::file::crash", "--skip", "store::file::model"]);
    tests.env("RUSTFLAGS", "--cfg portable_system");
    tests.env("CARGO_TARGET_DIR", target_dir().join("portable"));
    let outcome = run_lines(&mut tests, |line| tally.cargo_line(line));
    tally.step(before, outcome);
}

/// Manifests, below the root and in `examples`, of crates that keep a lock file of their own, so that
/// what they link stays out of ours.
pub(crate) fn own_workspaces(root: &Path) -> Vec<PathBuf> {
    let manifests = ["", "examples"].into_iter().flat_map(|place| manifests_in(root, place));
    let mut own: Vec<_> = manifests.filter(|below| is_workspace(&root.join(below))).collect();
    own.sort();
    own
}

/// Where the manifest of each folder of this place would be.
fn manifests_in(root: &Path, place: &'static str) -> impl Iterator<Item = PathBuf> {
    let folders = std::fs::read_dir(root.join(place)).into_iter().flatten().flatten();
    folders.map(move |folder| Path::new(place).join(folder.file_name()).join("Cargo.toml"))
}

fn is_workspace(manifest: &Path) -> bool {
    std::fs::read_to_string(manifest)
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
}

fn fuzz_smoke(tally: &mut Tally) {
    match fuzz::compiler() {
        Ok(()) => fuzz::smoke(tally),
        Err(why) => missing(tally, format!("fuzzing: {why}")),
    }
}

fn faults_test(tally: &mut Tally) {
    let before = tally.failed();
    let outcome = faults::smoke(tally);
    tally.step(before, outcome);
}

fn browser_test(tally: &mut Tally, servers: &[Server]) {
    match needs::browser(&Path::new(BROWSER_TEST).join("requirements.txt")) {
        Ok(browser) => drive(tally, &browser, servers),
        Err(why) => missing(tally, format!("the browser test of the demo: {why}")),
    }
}

/// The same tests on every store; those whose server is missing are skipped by name.
fn drive(tally: &mut Tally, browser: &Browser, servers: &[Server]) {
    let before = tally.failed();
    let mut pytest = command(&browser.python);
    let quiet_disk = ["-B", "-m", "pytest", "-p", "no:cacheprovider"];
    pytest.args(quiet_disk).args(["-rs", BROWSER_TEST]);
    pytest.env("SESSILE_DEMO", target_dir().join("debug/sessile-demo"));
    pytest.envs(servers.iter().map(|server| (server.variable, &server.url)));
    pytest.env("CHROMIUM", &browser.chromium).env("CHROMEDRIVER", &browser.driver);
    let outcome = run_lines(&mut pytest, |line| tally.pytest_line(line));
    tally.step(before, outcome);
}

/// The programs that are tested from outside, built with the features the tests were built with, so
/// that nothing is built twice.
fn binaries() -> Outcome {
    let words = ["build", "--workspace", "--exclude", "xtask", "--all-features", "--bins"];
    run(&mut cargo(&words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_may_do_without_valkey_and_nothing_else() {
        assert!(servers::is_optional("no server for SESSILE_TEST_VALKEY: no such package"));
        assert!(!servers::is_optional("no server for SESSILE_TEST_REDIS: no such package"));
    }

    #[test]
    fn crates_of_their_own_workspace_are_found() {
        let found = own_workspaces(&root());
        let folders: Vec<_> = found.iter().filter_map(|path| path.parent()?.file_name()).collect();
        for known in ["bench", "fuzz", "own-store"] {
            assert!(folders.contains(&known.as_ref()), "{known} is not among {found:?}");
        }
    }
}
