//! The documents that promise tests, held to their word.
//!
//! `docs/seeds.md` answers every assertion of the five historic designs, `docs/threat_model.md` every
//! requirement of security and reliability: each once, and wherever it says "kept" by a test that is
//! really there. The counts are printed: `cargo test -p sessile --test it documents -- --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A document, and what it must answer.
struct Document {
    name: &'static str,
    text: &'static str,
    /// The prefixes of its numbers, and how many there are of each.
    numbers: &'static [(&'static str, usize)],
    /// The words an answer may begin with, and whether it then must name a test.
    answers: &'static [(&'static str, bool)],
}

const SEEDS: Document = Document {
    name: "seeds.md",
    text: include_str!("../../docs/seeds.md"),
    numbers: &[("FH", 29), ("PT", 30), ("AL", 27), ("DJ", 40), ("WS", 26)],
    answers: &[("kept", true), ("changed", true), ("no meaning", false), ("open", false)],
};

const THREAT_MODEL: Document = Document {
    name: "threat_model.md",
    text: include_str!("../../docs/threat_model.md"),
    numbers: &[("R", 81)],
    answers: &[("kept", true), ("not applicable", false), ("open", false)],
};

#[test]
fn every_assertion_of_the_seeds_is_answered() {
    let counts = held_to_its_word(&SEEDS);
    assert_eq!(counts.values().sum::<usize>(), 152);
    println!("seeds.md: {counts:?}");
}

#[test]
fn every_requirement_of_the_threat_model_is_answered() {
    let counts = held_to_its_word(&THREAT_MODEL);
    assert_eq!(counts.values().sum::<usize>(), 81);
    println!("threat_model.md: {counts:?}");
}

/// A test that bears a number is named by that number's row, so that none is forgotten there.
#[test]
fn every_numbered_test_stands_in_its_row() {
    let mut rows = SEEDS.rows().unwrap();
    rows.extend(THREAT_MODEL.rows().unwrap());
    let mut seen = 0;
    for (test, numbers) in tests_in(&sources()) {
        for number in numbers {
            let row = rows.iter().find(|row| row.number == number);
            let row = row.unwrap_or_else(|| panic!("{test} bears {number}, which nobody asks"));
            assert!(row.tests.contains(&test), "{number} lacks {test}");
            seen += 1;
        }
    }
    assert!(seen > 300, "only {seen} numbers are borne by tests");
}

/// Who reads a requirement finds a test by its number, in the test's name or above it.
#[test]
fn every_requirement_that_is_kept_has_a_test_that_bears_its_number() {
    let tests = tests_in(&sources());
    let bears =
        |test: &String, number: &String| tests.get(test).is_some_and(|all| all.contains(number));
    let rows = THREAT_MODEL.rows().unwrap().into_iter().filter(|row| row.answer == "kept");
    let unfindable = rows.filter(|row| !row.tests.iter().any(|test| bears(test, &row.number)));
    let numbers: Vec<_> = unfindable.map(|row| row.number).collect();
    assert!(numbers.is_empty(), "write `// R1` and the like above a test of each: {numbers:?}");
}

/// Panics with all that is wrong; gives how often each answer was given.
fn held_to_its_word(document: &Document) -> BTreeMap<String, usize> {
    let rows = document.rows().unwrap_or_else(|wrong| panic!("{}: {wrong}", document.name));
    let tests = tests_in(&sources()).into_keys().collect();
    let faults = document.faults(&rows, &tests);
    assert!(faults.is_empty(), "{}:\n{}", document.name, faults.join("\n"));
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.kind()).or_default() += 1;
    }
    counts
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    number: String,
    answer: &'static str,
    tests: Vec<String>,
}

impl Row {
    /// The answer, and whether the number's own test or a law gives it.
    fn kind(&self) -> String {
        let own = self.tests.iter().any(|test| numbers_of(test).contains(&self.number));
        match self.answer {
            "kept" | "changed" if own => format!("{}, own test", self.answer),
            "kept" | "changed" => format!("{}, by a law", self.answer),
            other => other.into(),
        }
    }
}

impl Document {
    fn rows(&self) -> Result<Vec<Row>, String> {
        let rows = self.text.lines().filter_map(|line| self.row(line));
        rows.collect()
    }

    /// The row in a line: number, what is asked, answer, tests. `None` for any other line.
    fn row(&self, line: &str) -> Option<Result<Row, String>> {
        let line = line.strip_prefix("| ")?;
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let number = cells[0];
        if !self.numbers.iter().any(|(prefix, _)| is_number(number, prefix)) {
            return None;
        }
        let [_, asks, answer, tests, ""] = cells[..] else {
            return Some(Err(format!("{number} has not four cells")));
        };
        let known = self.answers.iter().find(|(word, _)| answer.starts_with(word));
        Some(match known {
            _ if asks.is_empty() => Err(format!("{number} does not say what it asks")),
            None => Err(format!("{number} answers {answer:?}")),
            Some((word, _)) => Ok(Row { number: number.into(), answer: word, tests: named(tests) }),
        })
    }

    /// What is wrong with the rows, given the tests that there are.
    fn faults(&self, rows: &[Row], tests: &BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        for number in self.all_numbers() {
            match rows.iter().filter(|row| row.number == number).count() {
                0 => faults.push(format!("{number} is missing")),
                1 => {}
                times => faults.push(format!("{number} is there {times} times")),
            }
        }
        for row in rows {
            if !self.all_numbers().any(|number| number == row.number) {
                faults.push(format!("nobody asks {}", row.number));
            }
            if self.needs_test(row) && row.tests.is_empty() {
                faults.push(format!("{} names no test", row.number));
            }
            let unknown = row.tests.iter().filter(|test| !tests.contains(*test));
            faults.extend(unknown.map(|test| format!("{}: no test {test}", row.number)));
        }
        faults
    }

    fn all_numbers(&self) -> impl Iterator<Item = String> {
        let of = |(prefix, count): &(&str, usize)| {
            let prefix = (*prefix).to_owned();
            (1..=*count).map(move |n| format!("{prefix}{n}"))
        };
        self.numbers.iter().flat_map(of)
    }

    fn needs_test(&self, row: &Row) -> bool {
        self.answers.contains(&(row.answer, true))
    }
}

fn is_number(text: &str, prefix: &str) -> bool {
    let digits = text.strip_prefix(prefix);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// What stands between backticks.
pub(crate) fn named(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The numbers at the beginning of a test's name: `fh9_al25_a_reader...` bears FH9 and AL25.
fn numbers_of(test: &str) -> Vec<String> {
    test.split('_').map(str::to_uppercase).take_while(|word| is_known_number(word)).collect()
}

/// The numbers in a line that is a comment of numbers alone: `// R12, R40`.
fn numbers_above(line: &str) -> Vec<String> {
    let words = line.strip_prefix("// ").unwrap_or_default().split(", ");
    let words: Vec<_> = words.map(str::to_owned).collect();
    if words.iter().all(|word| is_known_number(word)) { words } else { Vec::new() }
}

fn is_known_number(word: &str) -> bool {
    let mut known = SEEDS.numbers.iter().chain(THREAT_MODEL.numbers);
    known.any(|(prefix, _)| is_number(word, prefix))
}

/// Every Rust file of the library and of the command, with their tests.
pub(crate) fn sources() -> Vec<String> {
    let mut sources = Vec::new();
    for folder in ["src", "tests", "../sessile-cli"] {
        add_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut sources);
    }
    sources
}

fn add_sources(folder: &Path, sources: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// The functions that run as tests, with the numbers that they bear: those marked so, the laws, which
/// are stamped into tests for every store and are told by their argument, and the rows of the HTTP
/// laws by what they give.
pub(crate) fn tests_in(sources: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let mut tests = BTreeMap::<_, BTreeSet<_>>::new();
    for source in sources {
        let (mut is_marked, mut numbers) = (false, Vec::new());
        for line in source.replace("(\n    place: &", "(place: &").lines().map(str::trim) {
            is_marked |= line == "#[test]" || line.starts_with("#[tokio::test");
            numbers.extend(numbers_above(line));
            if line.is_empty() {
                numbers.clear();
            }
            let Some(name) = function_in(line) else { continue };
            if is_marked || line.contains("(place: &") || line.contains("() -> Row {") {
                numbers.extend(numbers_of(name));
                tests.entry(name.to_owned()).or_default().extend(numbers);
            }
            (is_marked, numbers) = (false, Vec::new());
        }
    }
    tests
}

/// The name of the function that begins in this line.
fn function_in(line: &str) -> Option<&str> {
    let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
    line.trim_start_matches("async ").strip_prefix("fn ")?.split(['(', '<']).next()
}

mod tests {
    use super::*;

    const SMALL: Document = Document { numbers: &[("FH", 2)], ..SEEDS };

    fn faults(text: &'static str) -> Vec<String> {
        let document = Document { text, ..SMALL };
        match document.rows() {
            Ok(rows) => document.faults(&rows, &BTreeSet::from(["proof".into()])),
            Err(wrong) => vec![wrong],
        }
    }

    const FIRST: &str = "| FH1 | a thing | kept | `proof` |\n";

    #[test]
    fn a_whole_document_has_no_faults() {
        assert!(
            faults("# Title\n| FH1 | a | kept | `proof` |\n| FH2 | b | open: c | |").is_empty()
        );
        assert!(
            faults("| FH1 | a | no meaning | |\n| FH2 | b | changed: c | `proof` |").is_empty()
        );
    }

    #[test]
    fn what_is_missing_doubled_or_unasked_is_named() {
        let twice = "| FH1 | a | open | |\n| FH1 | a | open | |\n| FH2 | b | open | |";
        assert_eq!(faults(FIRST), ["FH2 is missing"]);
        assert_eq!(faults(twice), ["FH1 is there 2 times"]);
        let more = "| FH1 | a | open | |\n| FH2 | a | open | |\n| FH3 | b | open | |";
        assert_eq!(faults(more), ["nobody asks FH3"]);
    }

    #[test]
    fn a_promise_without_a_test_is_named() {
        for (text, fault) in [
            ("| FH1 | a | kept | |\n| FH2 | b | open | |", "FH1 names no test"),
            ("| FH1 | a | changed: b | none |\n| FH2 | b | open | |", "FH1 names no test"),
            ("| FH1 | a | kept | `none` |\n| FH2 | b | open | |", "FH1: no test none"),
            ("| FH1 | a | open | `none` |\n| FH2 | b | open | |", "FH1: no test none"),
        ] {
            assert_eq!(faults(text), [fault]);
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        for (text, fault) in [
            ("| FH1 | a | kept |", "FH1 has not four cells"),
            ("| FH1 | a | kept | `proof` | more |", "FH1 has not four cells"),
            ("| FH1 | | kept | `proof` |", "FH1 does not say what it asks"),
            ("| FH1 | a | surely | `proof` |", "FH1 answers \"surely\""),
        ] {
            assert_eq!(faults(text), [fault]);
        }
    }

    #[test]
    fn only_what_runs_as_a_test_is_one() {
        let source = "
            #[test]\n fn plain() {}
            #[tokio::test(flavor = \"multi_thread\")]\n #[ignore]\n async fn async_one() {}
            pub(crate) async fn law(place: &Place) {}
            pub(crate) fn row() -> Row {}
            pub async fn long_law(\n    place: &dyn Place,\n) {}
            fn helper() {}
            // #[test]\n fn commented() {}
            #[cfg(test)]\n fn configured() {}
        ";
        let tests = tests_in(&[source.to_owned()]);
        let names: Vec<_> = tests.into_keys().collect();
        assert_eq!(names, ["async_one", "law", "long_law", "plain", "row"]);
    }

    #[test]
    fn a_name_bears_the_numbers_it_begins_with() {
        assert_eq!(numbers_of("fh9_al25_dj23_a_reader"), ["FH9", "AL25", "DJ23"]);
        assert_eq!(numbers_of("a_reader_of_fh9"), Vec::<String>::new());
        assert_eq!(numbers_of("fh_reader"), Vec::<String>::new());
    }

    #[test]
    fn a_test_bears_the_numbers_above_it_and_no_others() {
        // Put together here, so that no search of this file finds them.
        let (one, two) = (format!("{}1", "R"), format!("{}2", "R"));
        let source = format!(
            "// {one}, {two}\n/// What it is about.\n#[test]\nfn above() {{}}\n\
             // {one}\n\n#[test]\nfn apart() {{}}\n\
             // Not {one}\n#[test]\nfn in_a_sentence() {{}}\n\
             // {one}\nfn helper() {{}}\n#[test]\nfn after_a_helper() {{}}\n"
        );
        let borne = tests_in(&[source]);
        let numbers = |test: &str| borne[test].iter().cloned().collect::<Vec<_>>();
        assert_eq!(numbers("above"), [one, two]);
        for test in ["apart", "in_a_sentence", "after_a_helper"] {
            assert_eq!(numbers(test), Vec::<String>::new(), "{test}");
        }
    }
}
