//! The command line.

use std::path::PathBuf;

use crate::rounds::Op;

pub(crate) const HELP: &str = "\
usage: cargo xtask bench [options]

  --dir PATH      measure in a new folder below PATH (default: the system's temporary folder)
  --loop          measure on a fresh ext4 image with default options, mounted for this run (root)
  --rounds N      rounds of 64 operations of each kind (default 200)
  --sessions N    how many sessions the large store of the last table holds (default 100000)
  --check         fail when a ratio is over its limit
  --stores        instead, every store beside one round trip to its server; starts the servers that
                  no variable SESSILE_TEST_* names
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) part: Part,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) on_loop: bool,
    pub(crate) check: bool,
    pub(crate) rounds: usize,
    pub(crate) sessions: usize,
}

/// Which part of the work this process does; the benchmark starts itself for the parts that are
/// counted or weighed from outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    Help,
    /// Every store.
    Stores,
    /// One operation so many times, under a tracer that counts its system calls.
    Counted {
        op: Op,
        times: usize,
        dir: PathBuf,
    },
    /// A store that is opened and used once, to be timed and weighed.
    Opened {
        dir: PathBuf,
    },
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            part: Part::All,
            dir: None,
            on_loop: false,
            check: false,
            rounds: 200,
            sessions: 100_000,
        };
        while let Some(word) = words.next() {
            options.take(&word, &mut words)?;
        }
        Ok(options)
    }

    fn take(&mut self, word: &str, rest: &mut impl Iterator<Item = String>) -> Result<(), String> {
        match word {
            "--dir" => self.dir = Some(value(word, rest)?.into()),
            "--loop" => self.on_loop = true,
            "--check" => self.check = true,
            "--rounds" => self.rounds = number(word, rest)?,
            "--sessions" => self.sessions = number(word, rest)?,
            "--stores" => self.part = Part::Stores,
            "--help" | "-h" => self.part = Part::Help,
            "counted" => {
                let op = value(word, rest)?;
                let op = Op::named(&op).ok_or(format!("no operation `{op}`"))?;
                let times = number(word, rest)?;
                self.part = Part::Counted { op, times, dir: value(word, rest)?.into() };
            }
            "opened" => self.part = Part::Opened { dir: value(word, rest)?.into() },
            _ => return Err(format!("there is no option `{word}`\n\n{HELP}")),
        }
        Ok(())
    }
}

fn value(word: &str, rest: &mut impl Iterator<Item = String>) -> Result<String, String> {
    rest.next().ok_or_else(|| format!("`{word}` lacks its value\n\n{HELP}"))
}

fn number(word: &str, rest: &mut impl Iterator<Item = String>) -> Result<usize, String> {
    let text = value(word, rest)?;
    text.parse().map_err(|_| format!("`{text}` after `{word}` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read() {
        let options = parse("--dir /x --loop --check --rounds 7").unwrap();
        assert_eq!(options.dir, Some("/x".into()));
        assert!(options.on_loop && options.check && options.rounds == 7);
    }

    #[test]
    fn every_store_is_a_part_of_its_own() {
        let options = parse("--stores --rounds 9").unwrap();
        assert_eq!((options.part, options.rounds), (Part::Stores, 9));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, part) in [
            ("--dirr x", "--dirr"),
            ("--dir", "--dir"),
            ("--rounds many", "many"),
            ("counted x 1 y", "`x`"),
        ] {
            assert!(parse(line).unwrap_err().contains(part), "{line}");
        }
    }

    #[test]
    fn a_counted_operation_is_read() {
        let part = parse("counted load+save 10 /x").unwrap().part;
        assert_eq!(part, Part::Counted { op: Op::LoadSave, times: 10, dir: "/x".into() });
    }
}
