//! A login against late writes with the old token, and against whoever planted that token.
//!
//! Mirrors `Engine::replace`, `hand_over` and `rewritten` of `succession.rs` for the login,
//! `Engine::save` and `reverified` of `commit.rs` for the late writes, `Engine::log_out` for the
//! logout, `Engine::judged` of `open.rs`.

use bytes::Bytes;

use super::{Kept, Swapped, at, hash, nobodys, swap};
use crate::config::Config;
use crate::explore::{Model, Step, assert_fails, assert_holds};
use crate::plan::{self, Judgement, judge};
use crate::record::{Data, Record};

const WRITERS: usize = 2;
const KEYS: [&str; WRITERS] = ["one", "two"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Design {
    Ours,
    /// A login gives the session an owner and a new secret, and the old one its grace.
    Rotation,
    /// A login copies what it loaded and deletes the old record.
    CopyAndDelete,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    old: Option<Kept>,
    new: Option<Kept>,
    login: Login,
    writers: [Writer; WRITERS],
    logout: Logout,
    /// Whose writes were acknowledged: a bit for each.
    acknowledged: u8,
    fault: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Login {
    Idle,
    Loaded(Kept),
    /// The new record is there; the old one is to be retired, if it still is this.
    Made(Kept),
    /// The old record is this by now, and its data are to be written into the new one.
    Behind(Kept),
    /// The old session ended: the new one is to hold nothing of it.
    Orphaned,
    In,
    Refused,
    Killed,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    Loaded(Kept),
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Logout {
    Idle,
    Found,
    Done,
}

struct Logins {
    design: Design,
}

impl Logins {
    fn login_steps(&self, state: &State) -> Vec<Step<State>> {
        let mut next = state.clone();
        let what = match state.login.clone() {
            Login::In | Login::Refused | Login::Killed => return vec![],
            Login::Idle => {
                next.login = match opened(state.old.as_ref()) {
                    Some(record) => Login::Loaded(record),
                    None => Login::Refused,
                };
                "loads"
            }
            Login::Loaded(old) if self.design == Design::Rotation => {
                rotate(&mut next, &old);
                "rotates the session and gives it an owner"
            }
            Login::Loaded(old) => {
                next.new = Some(first_state(&old.data).into());
                next.login = Login::Made(old);
                "writes the new record"
            }
            Login::Made(_) if self.design == Design::CopyAndDelete => {
                (next.old, next.login) = (None, Login::In);
                "deletes the old record and is acknowledged"
            }
            Login::Made(old) => retire(&mut next, &old),
            Login::Behind(old) => {
                reissue(&mut next, old.data.clone());
                next.login = Login::Made(old);
                "brings late data along"
            }
            Login::Orphaned => {
                reissue(&mut next, Data::new());
                next.login = Login::In;
                "drops what ended and is acknowledged"
            }
        };
        let killed = State { login: Login::Killed, ..state.clone() };
        vec![
            Step { label: ("the login", what), next },
            Step { label: ("the login", "is killed"), next: killed },
        ]
    }
}

fn rotate(next: &mut State, old: &Record) {
    let grace = Some(Config::default().rotation_grace);
    let owned = plan::logged_in(&"ann".into(), at(1), old.clone(), &Config::default(), at(1));
    let owned = owned.expect("the owner has a name");
    let saved = plan::saved(&owned, owned.data.clone(), at(1));
    let rotated = plan::rotated(saved, hash(1), grace, at(1));
    next.login = match swap(&mut next.old, old, rotated) {
        Swapped::Written => Login::In,
        Swapped::Conflict(current) => Login::Loaded(current),
        Swapped::Gone => Login::Refused,
    };
}

/// Takes all authority from the old record, if it still is what the login knows.
fn retire(next: &mut State, old: &Kept) -> &'static str {
    let mark = plan::superseded(old, Config::default().rotation_grace, at(1));
    match swap(&mut next.old, old, mark) {
        Swapped::Written => {
            next.login = Login::In;
            "retires the old record and is acknowledged"
        }
        Swapped::Gone => {
            next.login = Login::Orphaned;
            "finds the old record gone"
        }
        Swapped::Conflict(current) => {
            next.login = opened(Some(&current)).map_or(Login::Refused, Login::Behind);
            "finds another state of the old record"
        }
    }
}

/// Writes other data into the new record, which nobody else knows of yet.
fn reissue(next: &mut State, data: Data) {
    let new = next.new.clone().expect("the new record was made");
    let reissued = plan::with_data(&new, new.version.next(), data);
    swap(&mut next.new, &new, reissued);
}

fn writer_steps(state: &State, who: usize) -> Vec<Step<State>> {
    let mut next = state.clone();
    let what = match &state.writers[who] {
        Writer::Over => return vec![],
        Writer::Idle => {
            next.writers[who] = opened(state.old.as_ref()).map_or(Writer::Over, Writer::Loaded);
            "loads"
        }
        Writer::Loaded(record) => save(&mut next, who, record),
    };
    vec![Step { label: (WRITER_NAMES[who], what), next }]
}

fn save(next: &mut State, who: usize, record: &Kept) -> &'static str {
    let mut data = record.data.clone();
    data.insert(KEYS[who], Bytes::from_static(b"1"));
    match swap(&mut next.old, record, plan::saved(record, data, at(1))) {
        Swapped::Written => {
            next.acknowledged |= 1 << who;
            next.writers[who] = Writer::Over;
            "saves and is acknowledged"
        }
        Swapped::Conflict(current) => {
            next.writers[who] = opened(Some(&current)).map_or(Writer::Over, Writer::Loaded);
            "finds another state"
        }
        Swapped::Gone => {
            next.writers[who] = Writer::Over;
            "finds the session gone"
        }
    }
}

fn logout_step(state: &State) -> Option<Step<State>> {
    let mut next = state.clone();
    let what = match state.logout {
        Logout::Done => return None,
        Logout::Idle => {
            let found = opened(state.old.as_ref()).is_some();
            next.logout = if found { Logout::Found } else { Logout::Done };
            "loads"
        }
        Logout::Found => {
            (next.old, next.logout) = (None, Logout::Done);
            "deletes and is acknowledged"
        }
    };
    Some(Step { label: ("the logout", what), next })
}

impl Model for Logins {
    type State = State;

    fn start(&self) -> State {
        State {
            old: Some(nobodys(1).into()),
            new: None,
            login: Login::Idle,
            writers: [const { Writer::Idle }; WRITERS],
            logout: Logout::Idle,
            acknowledged: 0,
            fault: None,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step<State>> {
        let writers = (0..WRITERS).flat_map(|who| writer_steps(state, who));
        let others = self.login_steps(state).into_iter().chain(logout_step(state));
        others.chain(writers).collect()
    }

    fn fault(&self, state: &State) -> Option<String> {
        let records = [state.old.as_ref(), state.new.as_ref()];
        let lets_in = |record: &Kept| record.owner.is_some() && opened(Some(record)).is_some();
        if records.into_iter().flatten().any(lets_in) {
            return Some("the planted token opens the session of an owner".into());
        }
        // A logout ends the data as well: what it ended is not lost.
        let logged_out = state.logout == Logout::Done && state.old.is_none();
        let holder = match state.login {
            Login::In => state.new.as_ref().or(state.old.as_ref()),
            _ => state.old.as_ref(),
        };
        let lost = (0..WRITERS).any(|who| {
            let is_kept = holder.is_some_and(|record| record.data.get(KEYS[who]).is_some());
            state.acknowledged & (1 << who) != 0 && !is_kept
        });
        let dropped = state.login == Login::Orphaned || logged_out;
        (lost && !dropped).then(|| "a write that was acknowledged is lost".into())
    }

    fn landmark(&self, state: &State) -> Option<&'static str> {
        let logged_in = state.login == Login::In;
        match (&state.login, state.logout, state.acknowledged) {
            (Login::Orphaned, ..) => Some("a logout comes before the old record is retired"),
            (_, Logout::Idle, 0b11) if logged_in => Some("both late writes come along"),
            (Login::Killed, Logout::Idle, 0b11) => Some("a killed login leaves the writes alone"),
            _ => None,
        }
    }
}

const WRITER_NAMES: [&str; WRITERS] = ["late write 1", "late write 2"];

/// The record, if the planted token opens it.
fn opened(record: Option<&Kept>) -> Option<Kept> {
    let judgement = judge(record?, &hash(0), at(1));
    matches!(judgement, Judgement::Current | Judgement::Previous).then(|| record.cloned())?
}

/// The first state of the session that the login makes.
fn first_state(data: &Data) -> Record {
    let fresh = Record { secret_hash: hash(1), data: data.clone(), ..nobodys(2) };
    plan::logged_in(&"ann".into(), at(1), fresh, &Config::default(), at(1))
        .expect("the owner has a name")
}

#[test]
fn a_login_loses_no_late_write_and_lets_no_planted_token_in() {
    assert_holds(
        "login",
        &Logins { design: Design::Ours },
        &[
            "a killed login leaves the writes alone",
            "a logout comes before the old record is retired",
            "both late writes come along",
        ],
    );
}

#[test]
fn a_login_that_is_a_rotation_lets_the_planted_token_in() {
    assert_fails(
        "login as rotation",
        &Logins { design: Design::Rotation },
        &[
            "the login loads",
            "the login rotates the session and gives it an owner",
            "=> the planted token opens the session of an owner",
        ],
    );
}

#[test]
fn a_login_that_copies_and_deletes_loses_a_late_write() {
    assert_fails(
        "login copies",
        &Logins { design: Design::CopyAndDelete },
        &[
            "the login loads",
            "the login writes the new record",
            "late write 1 loads",
            "late write 1 saves and is acknowledged",
            "the login deletes the old record and is acknowledged",
            "=> a write that was acknowledged is lost",
        ],
    );
}
