//! `cargo xtask ci`: what must hold before a change is taken.

use std::path::Path;

use crate::features::features;
use crate::shell::{Outcome, cargo, command, output, root, run, succeeds};
use crate::test;

/// The tests come last: their count is the last thing one reads.
pub(crate) fn check() -> Outcome {
    run_all(&[
        ("format", format),
        ("lints", lints),
        ("docs", docs),
        ("each feature alone", each_feature),
        ("other Unixes", other_unixes),
        ("the newcomer's build", newcomers_build),
        ("dependencies", dependencies),
        ("package", package),
        ("tests", test::everything),
    ])
}

/// What a step is called, and what it runs.
type Step = (&'static str, fn() -> Outcome);

/// Runs every step, the later ones even when an earlier one fails, and names those that failed.
fn run_all(steps: &[Step]) -> Outcome {
    let mut failed = Vec::new();
    for (name, step) in steps {
        eprintln!("\n== {name}");
        if let Err(why) = step() {
            eprintln!("{name}: {why}");
            failed.push(*name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn format() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    in_own_workspaces(&["fmt", "--check"], &[])
}

fn lints() -> Outcome {
    let deny = ["--", "-D", "warnings"];
    let mut words = vec!["clippy", "--workspace", "--all-targets", "--all-features"];
    words.extend(deny);
    run(&mut cargo(&words))?;
    // With all features: the benchmark of every store is behind one.
    in_own_workspaces(&["clippy", "--all-targets", "--all-features"], &deny)
}

fn docs() -> Outcome {
    // The command's binary has the library's name, and both would write the same pages.
    let words = ["doc", "--workspace", "--exclude", "sessile-cli", "--all-features", "--no-deps"];
    run(cargo(&words).env("RUSTDOCFLAGS", "-D warnings"))
}

/// A feature must build, and without a warning, when it is the only one; so must none.
fn each_feature() -> Outcome {
    let manifest = std::fs::read_to_string(root().join("crates/sessile/Cargo.toml"))
        .map_err(|e| format!("cannot read the library's manifest: {e}"))?;
    check_with("")?;
    features(&manifest).iter().try_for_each(|feature| check_with(feature))
}

fn check_with(feature: &str) -> Outcome {
    let alone = ["clippy", "--quiet", "-p", "sessile", "--no-default-features", "--features"];
    run(cargo(&alone).args([feature, "--", "-D", "warnings"]))
}

/// The library compiles for other Unixes, wherever their standard library is installed. Checking
/// needs no linker and none of their headers.
fn other_unixes() -> Outcome {
    for target in ["x86_64-unknown-freebsd", "aarch64-apple-darwin"] {
        if has_standard_library(target) {
            run(&mut cargo(&["check", "-p", "sessile", "--target", target]))?;
        } else {
            eprintln!("skipped: {target} is not installed (`rustup target add {target}`)");
        }
    }
    Ok(())
}

fn has_standard_library(target: &str) -> bool {
    let libraries = output(command("rustc").args(["--print", "target-libdir", "--target", target]));
    libraries.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// What `cargo run` builds for who only looks: no database driver and no TLS.
fn newcomers_build() -> Outcome {
    let words = ["tree", "-p", "sessile-demo", "--edges", "normal", "--prefix", "none"];
    is_light(&output(&mut cargo(&words))?)
}

fn is_light(tree: &str) -> Outcome {
    let crates: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    if !crates.contains(&"axum") {
        return Err(format!("this is not the demo's tree: {tree:?}"));
    }
    let heavy = |name: &str| ["sqlx", "redis", "rustls"].iter().any(|it| name.starts_with(it));
    match crates.into_iter().find(|name| heavy(name)) {
        Some(name) => Err(format!("the demo links {name} by default")),
        None => Ok(()),
    }
}

fn dependencies() -> Outcome {
    if !succeeds(&mut cargo(&["deny", "--version"])) {
        eprintln!("skipped: cargo-deny is not installed (`cargo install cargo-deny`)");
        return Ok(());
    }
    run(&mut cargo(&["deny", "--all-features", "check"]))
}

/// Where no registry can be reached the package is built all the same; only the upload's rehearsal
/// is left out.
fn package() -> Outcome {
    run(&mut cargo(&["publish", "--dry-run", "-p", "sessile", "--allow-dirty"])).or_else(|why| {
        eprintln!("{why}: trying without the registry");
        run(&mut cargo(&["package", "-p", "sessile", "--allow-dirty", "--offline"]))
    })
}

fn in_own_workspaces(before: &[&str], after: &[&str]) -> Outcome {
    test::own_workspaces(&root()).iter().try_for_each(|manifest| {
        let folder = manifest.parent().expect("a manifest lies in a folder");
        run(cargo(before).args(after).current_dir(root().join(folder)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_with_a_database_driver_is_not_light() {
        assert_eq!(is_light("sessile-demo v0.1.0 (/x)\naxum v0.8.9\n"), Ok(()));
        assert!(is_light("axum v0.8.9\nsqlx-core v0.9.0\n").unwrap_err().contains("sqlx-core"));
        assert!(is_light("").is_err());
    }

    #[test]
    fn an_installed_target_is_told_from_one_that_is_not() {
        let version = output(command("rustc").arg("-vV")).unwrap();
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        assert!(has_standard_library(host));
        assert!(!has_standard_library("no-such-system"));
    }

    #[test]
    fn every_failed_step_is_named_and_the_later_ones_still_run() {
        let why = run_all(&[
            ("one", || Err("no".into())),
            ("two", || Ok(())),
            ("three", || Err("no".into())),
        ]);
        assert_eq!(why, Err("failed: one, three".into()));
    }
}
