//! The end of everybody's sessions against a login that is under way.
//!
//! Mirrors `Engine::end_everybody`, `write_mark` and `write_higher_mark` of `everybody.rs` for the
//! ends, `Engine::replace` of `succession.rs` with `admit_to_everybody` for the login. A list reads
//! page after page; the step that counts is the one in which it passes the login's record.

use std::time::SystemTime;

use super::super::everybody::counts;
use super::{at, nobodys};
use crate::config::Config;
use crate::explore::{Model, Step, assert_fails, assert_holds};
use crate::plan;
use crate::record::Record;

const ENDS: usize = 2;
const LATEST: u64 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Design {
    Ours,
    /// An end lists and deletes first, and raises the mark when it is through.
    ListBeforeMark,
    /// A login reads the mark when it begins to write, and then writes its record.
    ReadBeforeWrite,
    /// An end writes its instant into the mark, whatever stands there by now.
    BlindMark,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    /// Seconds that went by.
    now: u64,
    mark: Option<Mark>,
    /// Whether the login's record is in the store.
    record: bool,
    login: Login,
    ends: [End; ENDS],
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Mark {
    version: u8,
    since: u64,
}

/// With the second in which its request began.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Login {
    Idle,
    Began(u64),
    /// The mark lets it in, and the other design has yet to write its record.
    Admitted(u64),
    Written(u64),
    In(u64),
    Refused(u64),
    Killed,
}

/// With the second in which it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    Idle,
    Asked(u64),
    /// It knows this state of the mark, which is too low.
    Read(u64, Option<Mark>),
    Raised(u64),
    /// Its list has the login's record, or has not.
    Listed(u64, bool),
    Done(u64),
}

struct Ends {
    design: Design,
}

impl Ends {
    fn login_steps(&self, state: &State) -> Vec<Step<State>> {
        let mut next = state.clone();
        let reads_first = self.design == Design::ReadBeforeWrite;
        let what = match state.login {
            Login::In(_) | Login::Refused(_) | Login::Killed => return vec![],
            Login::Idle => {
                next.login = Login::Began(state.now);
                "begins"
            }
            Login::Began(began) if reads_first => {
                next.login = judged(state, began, Login::Admitted(began));
                "reads the mark"
            }
            Login::Began(began) => {
                (next.record, next.login) = (true, Login::Written(began));
                "writes its record"
            }
            Login::Admitted(began) => {
                (next.record, next.login) = (true, Login::In(began));
                "writes its record and is acknowledged"
            }
            Login::Written(began) => {
                next.login = judged(state, began, Login::In(began));
                next.record &= matches!(next.login, Login::In(_));
                "reads the mark and is answered"
            }
        };
        let killed = State { login: Login::Killed, ..state.clone() };
        vec![
            Step { label: ("the login", what), next },
            Step { label: ("the login", "is killed"), next: killed },
        ]
    }

    fn end_step(&self, state: &State, who: usize) -> Option<Step<State>> {
        let mut next = state.clone();
        let marks_last = self.design == Design::ListBeforeMark;
        let (end, what) = match state.ends[who] {
            End::Done(_) => return None,
            End::Idle => (End::Asked(state.now), "is asked for"),
            End::Asked(asked) if marks_last => (End::Listed(asked, state.record), "lists"),
            End::Asked(asked) if is_high_enough(state.mark, asked) => {
                (End::Raised(asked), "finds the mark high enough")
            }
            End::Asked(asked) => (End::Read(asked, state.mark), "reads the mark"),
            End::Read(asked, known) => self.raise(&mut next, asked, known),
            End::Raised(asked) => (End::Listed(asked, state.record), "lists"),
            End::Listed(asked, listed) => {
                next.record &= !listed;
                if marks_last {
                    next.mark = Some(Mark { version: 0, since: asked });
                }
                (End::Done(asked), "deletes what it listed and is acknowledged")
            }
        };
        next.ends[who] = end;
        Some(Step { label: (END_NAMES[who], what), next })
    }

    /// A compare-and-swap; who loses it looks at the mark again.
    fn raise(&self, next: &mut State, asked: u64, known: Option<Mark>) -> (End, &'static str) {
        if next.mark != known && self.design != Design::BlindMark {
            return (End::Asked(asked), "finds another mark");
        }
        let version = next.mark.map_or(0, |mark| mark.version + 1);
        next.mark = Some(Mark { version, since: asked });
        (End::Raised(asked), "raises the mark")
    }
}

fn is_high_enough(mark: Option<Mark>, asked: u64) -> bool {
    mark.is_some_and(|mark| mark.since >= asked)
}

/// What becomes of a login that looks at the mark.
fn judged(state: &State, began: u64, admitted: Login) -> Login {
    let since: Option<SystemTime> = state.mark.map(|mark| at(mark.since));
    if counts(&login_of(began), since) { admitted } else { Login::Refused(began) }
}

fn login_of(began: u64) -> Record {
    plan::logged_in(&"ann".into(), at(began), nobodys(2), &Config::default(), at(began))
        .expect("the owner has a name")
}

impl Model for Ends {
    type State = State;

    fn start(&self) -> State {
        State { now: 0, mark: None, record: false, login: Login::Idle, ends: [End::Idle; ENDS] }
    }

    fn steps(&self, state: &State) -> Vec<Step<State>> {
        let later = State { now: state.now + 1, ..state.clone() };
        let time = Step { label: ("a second", "goes by"), next: later };
        let time = (state.now < LATEST).then_some(time);
        let ends = (0..ENDS).filter_map(|who| self.end_step(state, who));
        ends.chain(self.login_steps(state)).chain(time).collect()
    }

    fn fault(&self, state: &State) -> Option<String> {
        let is_over = |asked: u64| state.ends.contains(&End::Done(asked));
        match state.login {
            Login::In(began) if state.record && (began..=LATEST).any(is_over) => {
                Some("a login escaped the end of everybody's sessions".into())
            }
            Login::Refused(began) if !state.ends.iter().any(|end| end.asked() >= Some(began)) => {
                Some("a login was refused that began after every end".into())
            }
            _ => None,
        }
    }

    fn landmark(&self, state: &State) -> Option<&'static str> {
        let done = state.ends.iter().filter(|end| matches!(end, End::Done(_))).count();
        match (state.login, state.record, state.mark) {
            (Login::Refused(_), _, Some(_)) => Some("a login finds the mark"),
            (Login::In(_), false, _) => Some("a list finds a login"),
            (Login::In(_), true, _) if done == ENDS => Some("a login that began later stays"),
            (.., Some(Mark { version: 1.., .. })) => Some("a mark is raised again"),
            (Login::Killed, true, _) if done == ENDS => Some("a killed login leaves a record"),
            _ => None,
        }
    }
}

impl End {
    fn asked(self) -> Option<u64> {
        match self {
            Self::Idle => None,
            Self::Asked(at)
            | Self::Read(at, _)
            | Self::Raised(at)
            | Self::Listed(at, _)
            | Self::Done(at) => Some(at),
        }
    }
}

const END_NAMES: [&str; ENDS] = ["end 1", "end 2"];

#[test]
fn no_schedule_lets_a_login_escape_the_end_of_everybody() {
    assert_holds(
        "end of everybody",
        &Ends { design: Design::Ours },
        &[
            "a killed login leaves a record",
            "a list finds a login",
            "a login finds the mark",
            "a login that began later stays",
            "a mark is raised again",
        ],
    );
}

#[test]
fn an_end_that_raises_the_mark_last_lets_a_login_escape() {
    assert_fails(
        "mark last",
        &Ends { design: Design::ListBeforeMark },
        &[
            "end 1 is asked for",
            "end 1 lists",
            "the login begins",
            "the login writes its record",
            "the login reads the mark and is answered",
            "end 1 deletes what it listed and is acknowledged",
            "=> a login escaped the end of everybody's sessions",
        ],
    );
}

#[test]
fn a_login_that_reads_the_mark_before_it_writes_escapes() {
    assert_fails(
        "mark read first",
        &Ends { design: Design::ReadBeforeWrite },
        &[
            "end 1 is asked for",
            "end 1 reads the mark",
            "the login begins",
            "the login reads the mark",
            "end 1 raises the mark",
            "end 1 lists",
            "end 1 deletes what it listed and is acknowledged",
            "the login writes its record and is acknowledged",
            "=> a login escaped the end of everybody's sessions",
        ],
    );
}

#[test]
fn a_mark_that_is_written_blindly_lets_a_login_escape() {
    assert_fails(
        "blind mark",
        &Ends { design: Design::BlindMark },
        &[
            "end 1 is asked for",
            "end 1 reads the mark",
            "a second goes by",
            "end 2 is asked for",
            "end 2 reads the mark",
            "end 2 raises the mark",
            "end 1 raises the mark",
            "end 2 lists",
            "end 2 deletes what it listed and is acknowledged",
            "the login begins",
            "the login writes its record",
            "the login reads the mark and is answered",
            "=> a login escaped the end of everybody's sessions",
        ],
    );
}
