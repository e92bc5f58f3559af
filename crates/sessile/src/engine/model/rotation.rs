//! Rotation against rotation: two requests at once, answers in any order, and what the browser has
//! then.
//!
//! Mirrors `Slot::keep_fresh` and `Slot::wish` of `slot.rs`, `Engine::save`, `next_state`,
//! `with_secret` and `reverified` of `commit.rs`, `Engine::judged` of `open.rs`. An answer arrives
//! within the grace or never: a browser gives a page up that takes longer.

use std::time::Duration;

use super::{Kept, Swapped, at, hash, nobodys, swap};
use crate::config::Config;
use crate::explore::{Model, Step, assert_fails, assert_holds};
use crate::plan::{self, Authority, Judgement, Upkeep, judge};
use crate::record::Record;

const REQUESTS: usize = 3;
/// The grace passes so often.
const GRACES: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Design {
    Ours,
    /// Who rotates writes over whatever is there.
    LastWriterWins,
    /// The secret before opens nothing any more.
    NoGrace,
    /// The secret before opens for its grace, whether the answer with the new one arrived or not.
    FixedGrace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Handlers ask for it; every answer arrives.
    Asked,
    /// The engine does it because it is due; requests are killed and answers are lost.
    Due,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    stored: Option<Kept>,
    /// How often the grace has passed.
    now: u8,
    /// The token in the browser.
    jar: u8,
    requests: [Request; REQUESTS],
    fault: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Request {
    Idle,
    /// Came with this token, which opened this record.
    Loaded {
        token: u8,
        record: Kept,
        authority: u8,
        upkeep: u8,
    },
    /// On its way back, with this cookie.
    Answered {
        cookie: Option<u8>,
    },
    Over,
}

struct Rotations {
    design: Design,
    why: Why,
}

impl Rotations {
    fn steps_of(&self, state: &State, who: usize) -> Vec<Step<State>> {
        let mut next = state.clone();
        let what = match &state.requests[who] {
            Request::Over => return vec![],
            // Two come at once; the third comes when the browser may have either answer, or none.
            Request::Idle => {
                self.load(&mut next, who);
                "loads"
            }
            Request::Loaded { .. } => self.save(&mut next, who),
            Request::Answered { cookie } => {
                next.jar = cookie.unwrap_or(state.jar);
                next.requests[who] = Request::Over;
                "is answered"
            }
        };
        let mut steps = vec![Step { label: (NAMES[who], what), next }];
        if self.why == Why::Due && state.requests[who] != Request::Idle {
            let mut lost = state.clone();
            lost.requests[who] = Request::Over;
            steps.push(Step { label: (NAMES[who], "is lost"), next: lost });
        }
        steps
    }

    fn load(&self, next: &mut State, who: usize) {
        let record = next.stored.clone().expect("nobody ends the session");
        let Some(authority) = authority(&record, next.jar, next.now) else {
            next.fault = Some(LOCKED_OUT);
            return;
        };
        let upkeep = match self.why {
            Why::Asked => Upkeep::Nothing,
            Why::Due => plan::upkeep(&record, authority, true, &config(), time(next.now)),
        };
        let (authority, upkeep) = (authority_number(authority), upkeep_number(upkeep));
        next.requests[who] = Request::Loaded { token: next.jar, record, authority, upkeep };
    }

    fn save(&self, next: &mut State, who: usize) -> &'static str {
        let Request::Loaded { token, record, authority, upkeep } = next.requests[who].clone()
        else {
            unreachable!("only what was loaded is saved")
        };
        let fresh = who as u8 + 1;
        let current = authority == authority_number(Authority::Current);
        let Some(changed) = self.change(&record, current, upkeep, fresh, next.now) else {
            next.requests[who] = Request::Answered { cookie: None };
            return "has nothing to save";
        };
        let rotates = changed.secret_hash == hash(fresh);
        if self.design == Design::LastWriterWins {
            next.stored = Some(changed.into());
            next.requests[who] = Request::Answered { cookie: rotates.then_some(fresh) };
            return "writes";
        }
        match swap(&mut next.stored, &record, changed) {
            Swapped::Written => {
                next.requests[who] = Request::Answered { cookie: rotates.then_some(fresh) };
                "writes"
            }
            Swapped::Conflict(current) => {
                judge_again(next, who, token, current);
                "finds another state"
            }
            Swapped::Gone => unreachable!("nobody ends the session"),
        }
    }

    /// The next state, if this request changes anything.
    fn change(
        &self,
        record: &Record,
        current: bool,
        upkeep: u8,
        fresh: u8,
        now: u8,
    ) -> Option<Record> {
        let (now, fresh) = (time(now), hash(fresh));
        let saved = plan::saved(record, record.data.clone(), now);
        let grace = Some(config().rotation_grace);
        // A rotation that a handler asks for with the token before is granted already.
        let asked = self.why == Why::Asked && current;
        let mut changed = match upkeep {
            _ if asked => plan::rotated(saved, fresh, grace, now),
            ROTATE if self.design == Design::FixedGrace => plan::rotated(saved, fresh, grace, now),
            ROTATE => plan::rotated(saved, fresh, None, now),
            REISSUE => plan::reissued(saved, fresh, now),
            END_UNSEEN => plan::seen(saved, config().rotation_grace, now),
            _ => return None,
        };
        if self.design == Design::NoGrace {
            changed.previous = None;
        }
        Some(changed)
    }
}

/// Judges the token against what is there by now. The upkeep is the next request's turn.
fn judge_again(next: &mut State, who: usize, token: u8, record: Kept) {
    let Some(authority) = authority(&record, token, next.now) else {
        // Its write is refused, and the cookie left alone.
        next.requests[who] = Request::Answered { cookie: None };
        return;
    };
    let (authority, upkeep) = (authority_number(authority), NOTHING);
    next.requests[who] = Request::Loaded { token, record, authority, upkeep };
}

impl Model for Rotations {
    type State = State;

    fn start(&self) -> State {
        let owned = plan::logged_in(&"ann".into(), at(0), nobodys(1), &config(), at(0));
        State {
            stored: Some(owned.expect("the owner has a name").into()),
            now: 0,
            jar: 0,
            requests: [const { Request::Idle }; REQUESTS],
            fault: None,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step<State>> {
        let mut steps: Vec<_> = (0..REQUESTS).flat_map(|who| self.steps_of(state, who)).collect();
        let on_its_way = |request: &Request| matches!(request, Request::Answered { .. });
        // A rotation that was asked for has a fixed grace: a commit under way then is an answer
        // that comes later still.
        let under_way = |request: &Request| matches!(request, Request::Loaded { .. });
        let waits = |request: &Request| {
            on_its_way(request) || (self.why == Why::Asked && under_way(request))
        };
        if state.now < GRACES && !state.requests.iter().any(waits) {
            let next = State { now: state.now + 1, ..state.clone() };
            steps.push(Step { label: ("the clock", "lets the grace pass"), next });
        }
        steps
    }

    fn fault(&self, state: &State) -> Option<String> {
        let record = state.stored.as_ref().expect("nobody ends the session");
        let on_its_way = |request: &Request| matches!(request, Request::Answered { .. });
        // While an answer is on its way the browser may be behind; what counts is what it has then.
        let settled = !state.requests.iter().any(on_its_way);
        let locked_out = settled && authority(record, state.jar, state.now).is_none();
        state.fault.or(locked_out.then_some(LOCKED_OUT)).map(Into::into)
    }

    fn landmark(&self, state: &State) -> Option<&'static str> {
        let over = |request: &Request| *request == Request::Over;
        let reissues =
            |request: &Request| matches!(request, Request::Loaded { upkeep: REISSUE, .. });
        let record = state.stored.as_ref()?;
        match (state.jar, state.now) {
            _ if state.requests.iter().any(reissues) => Some(MADE_GOOD),
            (0, 0) if record.version.get() > 1 && over(&state.requests[0]) => Some(OVERTAKEN),
            (1 | 2, GRACES) if state.requests.iter().all(over) => Some(ALL_WELL),
            _ => None,
        }
    }
}

const NAMES: [&str; REQUESTS] = ["request 1", "request 2", "request 3"];
const ALL_WELL: &str = "all goes well";
const OVERTAKEN: &str = "a rotation's answer is lost, or overtaken";
const MADE_GOOD: &str = "a lost answer is made good";
const LOCKED_OUT: &str = "the browser is locked out";

const NOTHING: u8 = 0;
const END_UNSEEN: u8 = 1;
const ROTATE: u8 = 2;
const REISSUE: u8 = 3;

fn upkeep_number(upkeep: Upkeep) -> u8 {
    match upkeep {
        Upkeep::Nothing => NOTHING,
        Upkeep::EndUnseen => END_UNSEEN,
        Upkeep::Rotate => ROTATE,
        Upkeep::Reissue => REISSUE,
    }
}

fn authority_number(authority: Authority) -> u8 {
    u8::from(authority == Authority::Current)
}

/// What a token may do, if it opens the record.
fn authority(record: &Record, token: u8, now: u8) -> Option<Authority> {
    match judge(record, &hash(token), time(now)) {
        Judgement::Current => Some(Authority::Current),
        Judgement::Previous => Some(Authority::Previous),
        _ => None,
    }
}

/// The secret is due to be replaced from the start.
fn config() -> Config {
    Config { rotate_every: Some(Duration::from_secs(500)), ..Config::default() }
}

fn time(graces: u8) -> std::time::SystemTime {
    at(600 + u64::from(graces) * 61)
}

#[test]
fn requests_that_rotate_at_once_leave_the_browser_with_a_token_that_opens() {
    let asked = Rotations { design: Design::Ours, why: Why::Asked };
    assert_holds("rotation_asked", &asked, &[ALL_WELL, OVERTAKEN]);
    let due = Rotations { design: Design::Ours, why: Why::Due };
    assert_holds("rotation_due", &due, &[ALL_WELL, OVERTAKEN, MADE_GOOD]);
}

#[test]
fn the_last_of_two_rotations_locks_out_whoever_has_the_first() {
    let design = Rotations { design: Design::LastWriterWins, why: Why::Asked };
    assert_fails(
        "rotation last wins",
        &design,
        &[
            "request 1 loads",
            "request 2 loads",
            "request 1 writes",
            "request 1 is answered",
            "request 2 writes",
            "request 3 loads",
            "=> the browser is locked out",
        ],
    );
}

#[test]
fn a_rotation_without_a_grace_refuses_the_requests_beside_it() {
    let design = Rotations { design: Design::NoGrace, why: Why::Asked };
    assert_fails(
        "rotation no grace",
        &design,
        &["request 1 loads", "request 1 writes", "request 2 loads", "=> the browser is locked out"],
    );
}

#[test]
fn a_grace_that_ends_unseen_locks_out_whoever_missed_the_answer() {
    let design = Rotations { design: Design::FixedGrace, why: Why::Due };
    assert_fails(
        "rotation fixed grace",
        &design,
        &[
            "request 1 loads",
            "request 1 writes",
            "request 1 is lost",
            "the clock lets the grace pass",
            "=> the browser is locked out",
        ],
    );
}
