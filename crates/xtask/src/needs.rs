//! What the tests need besides Rust: found, else installed where we may, else said plainly.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::shell::{self, Outcome, command, find, run, succeeds};

/// What the browser test runs with.
pub(crate) struct Browser {
    pub(crate) python: PathBuf,
    pub(crate) chromium: PathBuf,
    pub(crate) driver: PathBuf,
}

/// A browser, its driver, and a Python that can speak to it.
pub(crate) fn browser(requirements: &Path) -> Result<Browser, String> {
    let chromium = program(&["chromium", "chromium-browser", "google-chrome"], "chromium")?;
    let driver = program(&["chromedriver"], "chromium-driver")?;
    let python = python(requirements)?;
    Ok(Browser { python, chromium, driver })
}

/// One of these programs; installs `package` when none is there.
pub(crate) fn program(names: &[&str], package: &str) -> Result<PathBuf, String> {
    if let Some(found) = find(names) {
        return Ok(found);
    }
    install(package)?;
    find(names).ok_or_else(|| format!("package {package} brought no {}", names[0]))
}

/// A Python of our own under the target folder, with the test's packages in it.
fn python(requirements: &Path) -> Result<PathBuf, String> {
    let system = program(&["python3"], "python3")?;
    let folder = shell::target_dir().join("browser-venv");
    let python = folder.join("bin/python");
    if !succeeds(command(&python).args(["-m", "pip", "--version"])) {
        create_venv(&system, &folder)?;
    }
    let words = ["-m", "pip", "install", "--quiet", "--requirement"];
    run(command(&python).args(words).arg(requirements))?;
    Ok(python)
}

/// Debian keeps the part of Python that makes environments in a package of its own.
fn create_venv(system: &Path, folder: &Path) -> Outcome {
    let create = || run(command(system).args(["-m", "venv", "--clear"]).arg(folder));
    create().or_else(|_| install("python3-venv").and_then(|()| create()))
}

/// Installs a package of Debian, where that is ours to do.
pub(crate) fn install(package: &str) -> Outcome {
    may_install().map_err(|why| format!("{package} is missing and {why}"))?;
    refresh_once()?;
    let words = ["install", "--yes", "--no-install-recommends", package];
    run(command("apt-get").args(words).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The package lists are fetched once per run, and only when something is missing.
fn refresh_once() -> Outcome {
    static REFRESHED: OnceLock<Outcome> = OnceLock::new();
    REFRESHED.get_or_init(|| run(command("apt-get").arg("update"))).clone()
}

fn may_install() -> Result<(), &'static str> {
    if find(&["apt-get"]).is_none() {
        return Err("there is no apt-get to install it with");
    }
    if !is_root() {
        return Err("only root may install it (as root: apt-get install it, or run this again)");
    }
    Ok(())
}

/// On Linux our own process belongs to whom we are; elsewhere there is no apt-get anyway.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
