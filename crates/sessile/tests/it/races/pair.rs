//! Two processes that are commanded over pipes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Dice;
use super::worker::{Answer, Limit, Request, SAYS, STORE, Start, Task, Tokens};

/// Two processes on one store.
pub(super) struct Pair([Process; 2]);

impl Pair {
    pub(super) fn start(url: &str) -> Self {
        Self([Process::start(url), Process::start(url)])
    }

    /// Runs each task in the process of that number, all at once; gives the answers in order.
    pub(super) fn run(&mut self, tasks: &[(usize, Task)]) -> Vec<Answer> {
        for (number, process) in self.0.iter_mut().enumerate() {
            let theirs = tasks.iter().filter(|(of, _)| *of == number).map(|(_, task)| task);
            process.tell(&serde_json::to_string(&theirs.collect::<Vec<_>>()).unwrap());
        }
        for process in &mut self.0 {
            assert_eq!(process.hear(), "ready");
        }
        for process in &mut self.0 {
            process.tell("go");
        }
        let mut answers = self.0.each_mut().map(|process| {
            serde_json::from_str::<Vec<Answer>>(&process.hear()).unwrap().into_iter()
        });
        tasks.iter().map(|(of, _)| answers[*of].next().unwrap()).collect()
    }
}

/// This very binary as another process, killed when dropped.
struct Process {
    child: Child,
    commands: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Process {
    fn start(url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "races::worker::worker", "--nocapture"]).env(STORE, url);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, commands, said }
    }

    fn tell(&mut self, text: &str) {
        writeln!(self.commands, "{text}").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut lines = self.said.by_ref().lines();
        let said = lines.find_map(|line| line.unwrap().strip_prefix(SAYS).map(str::to_owned));
        said.expect("the process is there and says something")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request with this cookie that comes whenever the dice say.
pub(super) fn request(cookie: &str, dice: &mut Dice, starts: &[Start]) -> Request {
    Request {
        cookie: cookie.to_owned(),
        start: dice.one_of(starts),
        delay: delay(dice),
        wishes: Vec::new(),
        limit: Limit::None,
        tokens: Tokens::Ours,
        lists: None,
    }
}

/// Mostly none or little, at times much.
pub(super) fn delay(dice: &mut Dice) -> usize {
    let most = dice.one_of(&[1, 200, 2_000, 20_000]);
    dice.below(most)
}

pub(super) const ANY: [Start; 3] = [Start::Loaded, Start::Begun, Start::Later];
