//! Commands: found on the path, printed before they run, never given our standard input.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// What a step comes to: nothing to say, or why it failed.
pub(crate) type Outcome = Result<(), String>;

/// The repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/xtask lies two folders below the root").to_owned()
}

/// Where everything is built, crates of their own workspace included: what they share is built once.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Whether this run promised a complete environment, so that what is missing is a failure.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// A command in the repository.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir(root()).stdin(Stdio::null()).env("CARGO_TARGET_DIR", target_dir());
    command
}

/// `cargo` with these words.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = command(std::env::var_os("CARGO").map_or("cargo".into(), PathBuf::from));
    command.args(words);
    command
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    announce(command);
    let status = command.status().map_err(|e| cannot(command, &e))?;
    finished(command, status)
}

/// Runs it to its end and hands each line it prints to `each`, which may count it; all are shown.
pub(crate) fn run_lines(command: &mut Command, mut each: impl FnMut(&str)) -> Outcome {
    announce(command);
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| cannot(command, &e))?;
    let stdout = child.stdout.take().expect("standard output was asked for as a pipe");
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(|e| cannot(command, &e))?;
        println!("{line}");
        each(&line);
    }
    let status = child.wait().map_err(|e| cannot(command, &e))?;
    finished(command, status)
}

/// Runs it to its end and gives what it prints, which is shown only when it fails.
pub(crate) fn capture(command: &mut Command) -> Result<String, String> {
    announce(command);
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| cannot(command, &e))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let outcome = finished(command, output.status);
    if outcome.is_err() {
        println!("{printed}");
    }
    outcome.map(|()| printed)
}

/// What it prints.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|why| format!("{command:?}: {why}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether it runs and succeeds, without a word.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The first of these programs that is on the path.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let places = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

fn finished(command: &Command, status: ExitStatus) -> Outcome {
    if status.success() { Ok(()) } else { Err(format!("`{}`: {status}", shown(command))) }
}

fn cannot(command: &Command, error: &std::io::Error) -> String {
    format!("`{}` could not be run: {error}", shown(command))
}

fn announce(command: &Command) {
    eprintln!("$ {}", shown(command));
}

/// The command as one would type it: the program's name, not its folder.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut line = program.to_string_lossy().into_owned();
    for word in command.get_args() {
        let _ = write!(line, " {}", word.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named() {
        let why = run(&mut command("false")).unwrap_err();
        assert!(why.starts_with("`false`"), "{why}");
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        let why = run(&mut command("no-such-program")).unwrap_err();
        assert!(why.contains("could not be run"), "{why}");
    }

    #[test]
    fn what_is_printed_is_captured_unless_it_fails() {
        assert_eq!(capture(command("printf").arg("a\nb")).unwrap(), "a\nb");
        assert!(capture(&mut command("false")).unwrap_err().starts_with("`false`"));
    }

    #[test]
    fn every_line_is_handed_on() {
        let mut lines = Vec::new();
        run_lines(command("printf").arg("a\nb\n"), |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["a", "b"]);
    }

    #[test]
    fn the_first_name_that_exists_is_found() {
        let found = find(&["no-such-program", "sh"]).unwrap();
        assert_eq!(found.file_name().unwrap(), "sh");
    }
}
