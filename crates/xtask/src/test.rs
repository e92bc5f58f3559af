//! `cargo xtask test`: every test of the project, then one line that counts.

use std::path::{Path, PathBuf};

use crate::faults;
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
    let servers = database_servers(&mut tally);
    cargo_test(&mut tally, &["--workspace", "--all-features"], &servers);
    for manifest in own_workspaces(&root()) {
        cargo_test(&mut tally, &["--manifest-path", &manifest.to_string_lossy()], &servers);
    }
    drop(servers);
    match binaries() {
        Ok(()) => {
            faults_test(&mut tally);
            browser_test(&mut tally);
        }
        Err(why) => tally.step(tally.failed(), Err(why)),
    }
    println!("{tally}");
    if tally.failed() == 0 { Ok(()) } else { Err("a test failed".into()) }
}

fn tool(tally: &mut Tally, name: &str, what: &str) {
    if let Err(why) = needs::program(&[name], name) {
        missing(tally, format!("{what}: {why}"));
    }
}

/// The servers that could be had; they stop when they are dropped.
fn database_servers(tally: &mut Tally) -> Vec<Server> {
    let started = servers::start().into_iter();
    started.filter_map(|server| server.map_err(|why| missing(tally, why)).ok()).collect()
}

/// What is missing is skipped on a laptop and fails where CI promised it.
fn missing(tally: &mut Tally, why: String) {
    if is_ci() { tally.step(tally.failed(), Err(why)) } else { tally.skip(why) }
}

fn cargo_test(tally: &mut Tally, which: &[&str], servers: &[Server]) {
    let before = tally.failed();
    let mut words = vec!["test", "--no-fail-fast"];
    words.extend(which);
    // A test without its server would read as passed.
    let left_out = servers::tests_without(servers);
    words.push("--");
    words.extend(left_out.iter().flat_map(|tests| ["--skip", tests]));
    let mut tests = cargo(&words);
    tests.envs(servers.iter().map(|server| (server.variable, &server.url)));
    let outcome = run_lines(&mut tests, |line| tally.cargo_line(line));
    tally.step(before, outcome);
}

/// Manifests below the root of crates that keep a lock file of their own, so that what they link stays out of ours.
pub(crate) fn own_workspaces(root: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(root).into_iter().flatten().flatten();
    let manifests = folders.map(|folder| Path::new(&folder.file_name()).join("Cargo.toml"));
    let mut own: Vec<_> = manifests.filter(|below| is_workspace(&root.join(below))).collect();
    own.sort();
    own
}

fn is_workspace(manifest: &Path) -> bool {
    std::fs::read_to_string(manifest)
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
}

fn faults_test(tally: &mut Tally) {
    let before = tally.failed();
    let outcome = faults::smoke(tally);
    tally.step(before, outcome);
}

fn browser_test(tally: &mut Tally) {
    match needs::browser(&Path::new(BROWSER_TEST).join("requirements.txt")) {
        Ok(browser) => drive(tally, &browser),
        Err(why) => missing(tally, format!("the browser test of the demo: {why}")),
    }
}

fn drive(tally: &mut Tally, browser: &Browser) {
    let before = tally.failed();
    let mut pytest = command(&browser.python);
    let quiet_disk = ["-B", "-m", "pytest", "-p", "no:cacheprovider"];
    pytest.args(quiet_disk).args(["-rs", BROWSER_TEST]);
    pytest.env("SESSILE_DEMO", target_dir().join("debug/sessile-demo"));
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
    fn crates_of_their_own_workspace_are_found() {
        let found = own_workspaces(&root());
        let folders: Vec<_> = found.iter().filter_map(|path| path.parent()?.file_name()).collect();
        assert!(folders.contains(&"bench".as_ref()), "{found:?}");
    }
}
