//! `cargo xtask test | ci | bench | faults | fuzz | evidence`: what this project runs, the same on a
//! laptop and in CI.

mod bench;
mod ci;
mod evidence;
mod faults;
mod features;
mod fuzz;
mod needs;
mod servers;
mod shell;
mod tally;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask <verb>

  test            everything the tests need, then every test, then one line that counts
  ci              format, lints, docs, each feature alone, other Unixes, the package, and `test`
  bench [options] the file store beside its floors, or every store; `--help` lists the options
  faults [options]
                  errors, kills, full disks and lost power on the real store, and what is left after
                  each; `cargo xtask faults --help` lists the options
  fuzz            every fuzz target for a minute in all, or for as long as `--seconds 600` says
  evidence [options]
                  what speaks for the promises, counted; `cargo xtask evidence --help`
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[String]) -> shell::Outcome {
    let (verb, rest) = words.split_first().ok_or_else(|| format!("a verb is missing\n\n{HELP}"))?;
    match (verb.as_str(), rest) {
        ("test", []) => test::everything(),
        ("ci", []) => ci::check(),
        ("bench", options) => bench::measure(options),
        ("faults", options) => faults::inject(options),
        ("fuzz", options) => fuzz::fuzz(options),
        ("evidence", options) => evidence::print(options),
        ("help" | "--help" | "-h", _) => {
            print!("{HELP}");
            Ok(())
        }
        ("test" | "ci", [first, ..]) => Err(format!("`{verb}` takes no `{first}`\n\n{HELP}")),
        _ => Err(format!("there is no verb `{verb}`\n\n{HELP}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_verb_is_refused_with_the_list() {
        let why = dispatch(&["tets".into()]).unwrap_err();
        assert!(why.contains("no verb `tets`") && why.contains("usage"), "{why}");
    }

    #[test]
    fn a_missing_verb_and_a_stray_word_are_refused() {
        assert!(dispatch(&[]).unwrap_err().contains("missing"));
        assert!(dispatch(&["ci".into(), "fast".into()]).unwrap_err().contains("no `fast`"));
    }
}
