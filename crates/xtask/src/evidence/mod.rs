//! `cargo xtask evidence`: what speaks for the promises, in numbers, each counted now.

mod read;

use crate::shell::{Outcome, capture, cargo, root, run};

const HELP: &str = "\
usage: cargo xtask evidence [options]

Counts what speaks for the promises, and says how: laws by stores, historic assertions,
requirements, crash states, model states, injected faults, mutants. Fails when one of them does.

  --all-faults  inject every fault, for ten minutes, rather than a few of each kind
  --mutants     run the command that CONTRIBUTING.md names, for hours, rather than read the last
                result
";

/// What may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    all_faults: bool,
    mutants: bool,
}

/// One line of the table. To add one: a function that counts, and its row in [`ROWS`].
struct Row {
    name: &'static str,
    /// What it comes to, and how that was counted; an error when it fails.
    count: fn(Wanted) -> Result<Counted, String>,
}

/// A count as one reads it, and where it comes from.
struct Counted {
    count: String,
    from: String,
}

const ROWS: [Row; 7] = [
    Row { name: "laws x stores", count: laws },
    Row { name: "seed assertions", count: seeds },
    Row { name: "requirements", count: requirements },
    Row { name: "crash states", count: crash_states },
    Row { name: "model states", count: model_states },
    Row { name: "faults injected", count: faults },
    Row { name: "mutants killed", count: mutants },
];

/// Counts everything, and prints one line for each.
pub(crate) fn print(options: &[String]) -> Outcome {
    if options.iter().any(|word| matches!(word.as_str(), "--help" | "-h")) {
        print!("{HELP}");
        return Ok(());
    }
    let wanted = Wanted::parse(options)?;
    let mut failed = Vec::new();
    for Row { name, count } in ROWS {
        match count(wanted) {
            Ok(Counted { count, from }) => println!("{name:<16} {count}\n{:<18} {from}", ""),
            Err(why) => {
                println!("{name:<16} failed: {why}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

impl Wanted {
    fn parse(options: &[String]) -> Result<Self, String> {
        let mut wanted = Self::default();
        for option in options {
            match option.as_str() {
                "--all-faults" => wanted.all_faults = true,
                "--mutants" => wanted.mutants = true,
                other => return Err(format!("`evidence` takes no `{other}`\n\n{HELP}")),
            }
        }
        Ok(wanted)
    }
}

/// The tests of the library, with every store in them.
const LIBRARY: [&str; 5] = ["test", "--quiet", "-p", "sessile", "--all-features"];

/// What these tests of the library print.
fn tests(which: &[&str]) -> Result<(String, String), String> {
    let mut command = cargo(&LIBRARY);
    let printed = capture(command.args(which))?;
    Ok((printed, format!("cargo test -p sessile --all-features {}", which.join(" "))))
}

fn laws(_: Wanted) -> Result<Counted, String> {
    let (list, from) = tests(&["--test", "it", "--", "--list"])?;
    Ok(Counted { count: read::laws(&list)?, from })
}

fn documents(read: fn(&str) -> Result<String, String>) -> Result<Counted, String> {
    let (printed, from) = tests(&["--test", "it", "--", "documents", "--nocapture"])?;
    Ok(Counted { count: read(&printed)?, from })
}

fn seeds(_: Wanted) -> Result<Counted, String> {
    documents(read::seeds)
}

fn requirements(_: Wanted) -> Result<Counted, String> {
    documents(read::requirements)
}

fn crash_states(_: Wanted) -> Result<Counted, String> {
    let (printed, from) = tests(&["--lib", "--", "crash", "--nocapture"])?;
    Ok(Counted { count: read::crash_states(&printed)?, from })
}

fn model_states(_: Wanted) -> Result<Counted, String> {
    let (printed, from) = tests(&["--lib", "--", "model", "--nocapture"])?;
    Ok(Counted { count: read::model_states(&printed), from })
}

fn faults(wanted: Wanted) -> Result<Counted, String> {
    let how: &[&str] = if wanted.all_faults { &[] } else { &["--smoke"] };
    let words = ["run", "--quiet", "--package", "sessile-faults", "--"];
    let printed = capture(cargo(&words).args(how))?;
    let from = format!("cargo xtask faults {}", how.join(" "));
    Ok(Counted { count: read::faults(&printed)?, from: from.trim_end().into() })
}

/// The last result that somebody wrote down: counting anew takes hours.
const MUTANTS: &str = "crates/sessile/docs/mutants.md";

fn mutants(wanted: Wanted) -> Result<Counted, String> {
    if wanted.mutants {
        let from = mutants_command()?;
        let words: Vec<&str> = from.split_whitespace().skip(1).collect();
        let printed = capture(&mut cargo(&words))?;
        return Ok(Counted { count: read::mutants(&printed)?, from });
    }
    match std::fs::read_to_string(root().join(MUTANTS)) {
        Ok(page) => {
            let (count, date) = (read::mutants(&page)?, read::date(&page)?);
            Ok(Counted { count, from: format!("{MUTANTS}, of {date}; --mutants counts anew") })
        }
        Err(_) => Ok(Counted {
            count: "not counted".into(),
            from: format!("there is no {MUTANTS}; --mutants counts"),
        }),
    }
}

fn mutants_command() -> Result<String, String> {
    let page = std::fs::read_to_string(root().join("CONTRIBUTING.md"))
        .map_err(|why| format!("CONTRIBUTING.md: {why}"))?;
    let command = read::mutants_command(&page)
        .ok_or("CONTRIBUTING.md names no command that begins with `cargo mutants`")?;
    let mut version = cargo(&["mutants", "--version"]);
    run(&mut version)
        .map_err(|why| format!("{why}: install it with `cargo install cargo-mutants`"))?;
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Wanted, String> {
        Wanted::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_others_refused_with_the_list() {
        assert_eq!(parse(&[]), Ok(Wanted::default()));
        let both = Wanted { all_faults: true, mutants: true };
        assert_eq!(parse(&["--mutants", "--all-faults"]), Ok(both));
        let why = parse(&["--mutant"]).unwrap_err();
        assert!(why.contains("no `--mutant`") && why.contains("usage"), "{why}");
    }
}
