//! Logins against the end of all sessions of their owner.
//!
//! Mirrors `Core::create` and `confirm` of `commit.rs` for the logins, `Core::delete_owner` of
//! `list.rs` for those who end them. What `owners.rs` does under the lock of an owner's file
//! (`admit`, `revoke`, `confirm`, `remove`) is one step; whom it refuses is the real
//! [`is_refused`].

use std::time::{Duration, UNIX_EPOCH};

use super::super::owners::is_refused;
use crate::clock::millis;
use crate::explore::{Model, Step, assert_fails, assert_holds};

const LOGINS: usize = 2;
const REVOKERS: usize = 2;
/// How often the clock moves on, by a millisecond.
const TICKS: u8 = 1;

/// Some of the logins: a bit for each.
type Logins = u8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Design {
    Ours,
    /// The owner's list learns of a session when it is there.
    RecordFirst,
    /// Who ends all sessions lists them and writes no instant.
    ListAlone,
    /// The instant is compared before the record is written, and not again.
    ComparedOnce,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    now: u8,
    /// The owner's file.
    not_before: u8,
    listed: Logins,
    /// The session files.
    records: Logins,
    logins: [Login; LOGINS],
    revokers: [Revoker; REVOKERS],
    fault: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Login {
    Idle,
    /// Its request began then; next comes the check of the instant and the entry in the list.
    Began {
        at: u8,
    },
    /// Next comes the record.
    Admitted {
        at: u8,
    },
    /// The record is there. Next comes the second check, or the entry.
    Written {
        at: u8,
    },
    /// The second check failed: the record is to go, and then its entry.
    Undoing {
        at: u8,
    },
    Leaving {
        at: u8,
    },
    Refused {
        at: u8,
    },
    In {
        at: u8,
    },
    Killed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Revoker {
    Idle,
    Began {
        at: u8,
    },
    /// Wrote the instant, and still has to delete these of those it listed.
    Deleting {
        at: u8,
        left: Logins,
        deleted: Logins,
    },
    Done {
        at: u8,
    },
    Killed,
}

struct Revocation {
    design: Design,
}

impl Revocation {
    fn login_steps(&self, state: &State, who: usize) -> Vec<Step<State>> {
        let mut next = state.clone();
        let bit = 1 << who;
        let what = match state.logins[who] {
            Login::Refused { .. } | Login::In { .. } | Login::Killed => return vec![],
            Login::Idle => {
                next.logins[who] = Login::Began { at: state.now };
                "begins"
            }
            Login::Began { at } if refuses(state.not_before, at) => {
                next.logins[who] = Login::Refused { at };
                "is refused"
            }
            Login::Began { at } => {
                let lists = self.design != Design::RecordFirst;
                next.listed |= if lists { bit } else { 0 };
                next.logins[who] = Login::Admitted { at };
                if lists { "enters the list" } else { "is let in" }
            }
            Login::Admitted { at } => {
                next.records |= bit;
                next.logins[who] = Login::Written { at };
                "writes its record"
            }
            Login::Written { at } if self.design == Design::RecordFirst => {
                next.listed |= bit;
                next.logins[who] = Login::In { at };
                "enters the list and is acknowledged"
            }
            Login::Written { at } if self.confirms() && refuses(state.not_before, at) => {
                next.logins[who] = Login::Undoing { at };
                "sees that it was revoked"
            }
            Login::Written { at } => {
                next.logins[who] = Login::In { at };
                "is acknowledged"
            }
            Login::Undoing { at } => {
                next.records &= !bit;
                next.logins[who] = Login::Leaving { at };
                "deletes its record"
            }
            Login::Leaving { at } => {
                next.listed &= !bit;
                next.logins[who] = Login::Refused { at };
                "leaves the list and is refused"
            }
        };
        let mut steps = vec![Step { label: (LOGIN_NAMES[who], what), next }];
        if state.logins[who] != Login::Idle {
            let mut killed = state.clone();
            killed.logins[who] = Login::Killed;
            steps.push(Step { label: (LOGIN_NAMES[who], "is killed"), next: killed });
        }
        steps
    }

    fn confirms(&self) -> bool {
        matches!(self.design, Design::Ours | Design::ListAlone)
    }

    fn revoker_steps(&self, state: &State, who: usize) -> Vec<Step<State>> {
        let mut steps = Vec::new();
        let mut add = |what, change: &dyn Fn(&mut State)| {
            let mut next = state.clone();
            change(&mut next);
            steps.push(Step { label: (REVOKER_NAMES[who], what), next });
        };
        match state.revokers[who] {
            Revoker::Done { .. } | Revoker::Killed => return vec![],
            Revoker::Idle => add("begins", &|next| {
                next.revokers[who] = Revoker::Began { at: state.now };
            }),
            Revoker::Began { at } => add("writes the instant and lists", &|next| {
                if self.design != Design::ListAlone {
                    next.not_before = next.not_before.max(at);
                }
                let (left, deleted) = (next.listed, 0);
                next.revokers[who] = Revoker::Deleting { at, left, deleted };
            }),
            Revoker::Deleting { at, left: 0, deleted } => {
                add("clears the list and is acknowledged", &|next| {
                    next.listed &= !deleted;
                    next.revokers[who] = Revoker::Done { at };
                });
            }
            Revoker::Deleting { at, left, deleted } => {
                // The order is that of the list.
                let first = left & left.wrapping_neg();
                add("deletes a record that it listed", &|next| {
                    let deleted = deleted | (next.records & first);
                    next.records &= !first;
                    let left = left & !first;
                    next.revokers[who] = Revoker::Deleting { at, left, deleted };
                });
            }
        }
        if state.revokers[who] != Revoker::Idle {
            add("is killed", &|next| next.revokers[who] = Revoker::Killed);
        }
        steps
    }
}

impl Model for Revocation {
    type State = State;

    fn start(&self) -> State {
        State {
            now: 1,
            not_before: 0,
            listed: 0,
            records: 0,
            logins: [Login::Idle; LOGINS],
            revokers: [Revoker::Idle; REVOKERS],
            fault: None,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step<State>> {
        let logins = (0..LOGINS).flat_map(|who| self.login_steps(state, who));
        let revokers = (0..REVOKERS).flat_map(|who| self.revoker_steps(state, who));
        let ticks = (state.now <= TICKS).then(|| {
            let next = State { now: state.now + 1, ..state.clone() };
            Step { label: ("the clock", "moves on"), next }
        });
        logins.chain(revokers).chain(ticks).collect()
    }

    fn fault(&self, state: &State) -> Option<String> {
        let done = state.revokers.iter().filter_map(|revoker| match revoker {
            Revoker::Done { at } => Some(*at),
            _ => None,
        });
        let revoked_until = done.max().unwrap_or(0);
        let fault = state.logins.iter().enumerate().find_map(|(who, login)| match login {
            Login::In { at } if state.records & (1 << who) != 0 && *at <= revoked_until => {
                Some("a login escapes the end of all sessions")
            }
            Login::Refused { at } if *at > state.latest_revocation() => {
                Some("a login is refused that began after every end of all sessions")
            }
            _ => None,
        });
        // The design that lists late is to show what comes of it.
        let lists = self.design != Design::RecordFirst;
        let unlisted = lists && state.records & !state.listed != 0;
        fault.or(unlisted.then_some("a live session is not in its owner's list")).map(Into::into)
    }

    fn landmark(&self, state: &State) -> Option<&'static str> {
        match (state.logins, state.revokers) {
            ([Login::In { .. }, Login::Refused { .. }], [Revoker::Done { .. }, Revoker::Idle]) => {
                Some("one login is let in and one refused")
            }
            ([Login::Undoing { .. }, _], [_, Revoker::Killed]) => {
                Some("a login sees the instant of one who was killed")
            }
            ([Login::Undoing { .. }, Login::Undoing { .. }], _) => Some("two logins are undone"),
            _ => None,
        }
    }
}

impl State {
    /// The last instant of which somebody began to end all sessions.
    fn latest_revocation(&self) -> u8 {
        let at = |revoker: &Revoker| match revoker {
            Revoker::Began { at } | Revoker::Deleting { at, .. } | Revoker::Done { at } => *at,
            Revoker::Killed => self.not_before,
            Revoker::Idle => 0,
        };
        self.revokers.iter().map(at).max().unwrap_or(0)
    }
}

const LOGIN_NAMES: [&str; LOGINS] = ["login 1", "login 2"];
const REVOKER_NAMES: [&str; REVOKERS] = ["revoker 1", "revoker 2"];

fn refuses(not_before: u8, began_at: u8) -> bool {
    let instant = |n: u8| UNIX_EPOCH + Duration::from_millis(n.into());
    is_refused(millis(instant(not_before)), Some(instant(began_at)))
}

#[test]
fn no_login_escapes_the_end_of_all_sessions() {
    assert_holds(
        "revocation",
        &Revocation { design: Design::Ours },
        &[
            "a login sees the instant of one who was killed",
            "one login is let in and one refused",
            "two logins are undone",
        ],
    );
}

#[test]
fn a_session_that_is_listed_late_is_missed() {
    assert_fails(
        "revocation record first",
        &Revocation { design: Design::RecordFirst },
        &[
            "login 1 begins",
            "login 1 is let in",
            "login 1 writes its record",
            "revoker 1 begins",
            "revoker 1 writes the instant and lists",
            "login 1 enters the list and is acknowledged",
            "revoker 1 clears the list and is acknowledged",
            "=> a login escapes the end of all sessions",
        ],
    );
}

#[test]
fn listing_alone_lets_a_login_in_flight_escape() {
    assert_fails(
        "revocation list alone",
        &Revocation { design: Design::ListAlone },
        &[
            "login 1 begins",
            "revoker 1 begins",
            "revoker 1 writes the instant and lists",
            "login 1 enters the list",
            "login 1 writes its record",
            "login 1 is acknowledged",
            "revoker 1 clears the list and is acknowledged",
            "=> a login escapes the end of all sessions",
        ],
    );
}

#[test]
fn an_instant_that_is_compared_once_lets_a_login_in_flight_escape() {
    assert_fails(
        "revocation compared once",
        &Revocation { design: Design::ComparedOnce },
        &[
            "login 1 begins",
            "login 1 enters the list",
            "revoker 1 begins",
            "revoker 1 writes the instant and lists",
            "revoker 1 deletes a record that it listed",
            "login 1 writes its record",
            "login 1 is acknowledged",
            "revoker 1 clears the list and is acknowledged",
            "=> a login escapes the end of all sessions",
        ],
    );
}
