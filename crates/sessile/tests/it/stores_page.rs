//! `docs/stores.md`, held to its word: every store answers every promise, by a test or plainly by none.

use std::collections::BTreeSet;

use crate::documents::{named, sources, tests_in};

const PAGE: &str = include_str!("../../docs/stores.md");

const STORES: [&str; 7] = [
    "memory",
    "files",
    "SQLite",
    "PostgreSQL",
    "MySQL and MariaDB",
    "Redis and Valkey",
    "Redis Cluster",
];

/// How many tables there are.
const PROMISES: usize = 12;

#[test]
fn every_store_answers_every_promise_by_tests_that_exist() {
    let cells = cells(PAGE);
    let faults = faults(&cells, &known_tests());
    assert!(faults.is_empty(), "stores.md:\n{}", faults.join("\n"));
    assert_eq!(cells.len(), PROMISES * STORES.len());
    let count = |word| cells.iter().filter(|cell| cell.by.starts_with(word)).count();
    println!("{} answers, {} untested, {} cannot", cells.len(), count("untested"), count("cannot"));
}

/// The tests of a page are those of sources, and those that a macro stamps out for several stores.
fn known_tests() -> BTreeSet<String> {
    let sources = sources();
    let stamped = sources.iter().flat_map(|source| stamped(source)).map(str::to_owned);
    stamped.chain(tests_in(&sources).into_keys()).collect()
}

/// The names in blocks such as `on_every_database! { … }`, one in a line.
fn stamped(source: &str) -> Vec<&str> {
    let is_name = |line: &&str| {
        !line.is_empty() && line.bytes().all(|it| it == b'_' || it.is_ascii_lowercase())
    };
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let begins = (0..lines.len()).filter(|at| lines[*at].ends_with("! {"));
    begins.flat_map(|at| lines[at + 1..].iter().copied().take_while(is_name)).collect()
}

/// What a store says to a promise.
#[derive(Debug)]
struct Cell<'a> {
    promise: &'a str,
    store: &'a str,
    says: &'a str,
    by: &'a str,
}

fn cells(page: &str) -> Vec<Cell<'_>> {
    let mut promise = "";
    let mut cells = Vec::new();
    for line in page.lines() {
        promise = line.strip_prefix("## ").unwrap_or(promise);
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        if let ["", store, says, by, ""] = columns[..]
            && store != "store"
            && !store.starts_with("---")
        {
            cells.push(Cell { promise, store, says, by });
        }
    }
    cells
}

fn faults(cells: &[Cell<'_>], tests: &BTreeSet<String>) -> Vec<String> {
    let mut faults: Vec<_> = cells.iter().flat_map(|cell| cell.faults(tests)).collect();
    for of_one in cells.chunk_by(|a, b| a.promise == b.promise) {
        let stores: Vec<_> = of_one.iter().map(|cell| cell.store).collect();
        if stores != STORES {
            faults.push(format!("{}: the stores are {stores:?}", of_one[0].promise));
        }
    }
    faults
}

impl Cell<'_> {
    fn faults(&self, tests: &BTreeSet<String>) -> Vec<String> {
        let at = format!("{}, {}", self.promise, self.store);
        if self.says.is_empty() {
            return vec![format!("{at}: says nothing")];
        }
        if ["untested", "cannot"].iter().any(|word| self.by.starts_with(word)) {
            return Vec::new();
        }
        let named = named(self.by);
        let unknown = named.iter().filter(|test| !tests.contains(*test));
        let mut faults: Vec<_> = unknown.map(|test| format!("{at}: no test {test}")).collect();
        if named.is_empty() {
            faults.push(format!("{at}: names no test, and does not say untested or cannot"));
        }
        faults
    }
}

mod tests {
    use super::*;

    fn faults_of(last: &str) -> Vec<String> {
        let rows = STORES[..6].iter().map(|store| format!("| {store} | x | `proof` |\n"));
        let page = format!(
            "## P\n| store | what | by |\n|---|---|---|\n{}{last}",
            rows.collect::<String>()
        );
        faults(&cells(&page), &BTreeSet::from(["proof".into()]))
    }

    #[test]
    fn a_whole_table_has_no_faults() {
        for by in ["`proof`", "untested: why", "cannot"] {
            assert!(faults_of(&format!("| Redis Cluster | x | {by} |")).is_empty(), "{by}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (last, fault) in [
            ("", "the stores are"),
            ("| Redis Cluster | x | |", "names no test"),
            ("| Redis Cluster | x | surely |", "names no test"),
            ("| Redis Cluster | x | `none` |", "no test none"),
            ("| Redis Cluster | | `proof` |", "says nothing"),
            ("| Radish | x | `proof` |", "the stores are"),
        ] {
            let faults = faults_of(last);
            assert!(faults.len() == 1 && faults[0].contains(fault), "{last}: {faults:?}");
        }
    }

    #[test]
    fn names_that_a_macro_stamps_are_found() {
        let source = "on_every_server! {\n    one_thing\n    another\n}\nmatch x! {\n  A => b,\n}";
        assert_eq!(stamped(source), ["one_thing", "another"]);
    }
}
