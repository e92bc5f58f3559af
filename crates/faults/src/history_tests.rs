use super::*;

const ONE: SessionId = SessionId::from_bytes([1; 16]);
const TWO: SessionId = SessionId::from_bytes([2; 16]);

fn ann() -> Owner {
    Owner::new("ann").unwrap()
}

fn create(id: SessionId, stamp: Stamp, durability: Durability) -> Deed {
    let owner = Some(ann());
    Deed::Create { id, stamp, bytes: 1, durability, owner, expired: false }
}

fn save(stamp: Stamp, durability: Durability) -> Deed {
    Deed::save(ONE, stamp, 1, durability)
}

fn live(version: u64, stamp: Stamp) -> Sight {
    Sight::Live { version, stamp, used_ms: 0, superseded: false }
}

/// Deeds that take one nanosecond each, ten apart, from the tenth on.
fn history(events: &[(Deed, Option<Answer>)]) -> History {
    let mut history = History::default();
    for (at, (deed, answer)) in events.iter().enumerate() {
        let begun_ns = (at as u64 + 1) * 10;
        let order = Order { now_ms: begun_ns, deed: deed.clone() };
        let answer = answer.clone().map(|answer| (answer, begun_ns + 1));
        history.note(Event { order, begun_ns, answer });
    }
    history
}

fn wrote(version: u64) -> Answer {
    Answer::Wrote { version }
}

fn saved_twice(answer: Option<Answer>) -> History {
    let (first, second) = (create(ONE, 1, Durability::Process), save(2, Durability::Process));
    history(&[(first, Some(wrote(1))), (second, answer)])
}

fn wrong(history: &History, sight: &Sight) -> String {
    history.judge(ONE, sight, Promise::KILL).unwrap_or_default()
}

#[test]
fn what_was_acknowledged_must_be_read() {
    let history = saved_twice(Some(wrote(2)));
    assert_eq!(wrong(&history, &live(2, 2)), "");
    assert!(wrong(&history, &live(1, 1)).contains("older"));
    assert!(wrong(&history, &live(2, 1)).contains("another version"));
    assert!(wrong(&history, &Sight::Absent).contains("is gone"));
    assert!(wrong(&history, &Sight::Torn).contains("mixture"));
    assert!(wrong(&history, &live(3, 9)).contains("nobody wrote"));
}

#[test]
fn what_was_not_acknowledged_may_be_read_or_not() {
    for answer in [None, Some(Answer::Failed { kind: "Unavailable".into(), why: String::new() })] {
        let history = saved_twice(answer);
        assert_eq!(wrong(&history, &live(2, 2)), "");
        assert_eq!(wrong(&history, &live(1, 1)), "");
        assert!(wrong(&history, &live(1, 2)).contains("another state"));
    }
}

#[test]
fn what_was_refused_must_not_be_read() {
    assert!(wrong(&saved_twice(Some(Answer::Refused)), &live(2, 2)).contains("refused"));
}

#[test]
fn an_acknowledged_end_is_final_and_an_unacknowledged_one_may_be() {
    let ended = |deed: &Deed, answer| {
        history(&[(create(ONE, 1, Durability::Power), Some(wrote(1))), (deed.clone(), answer)])
    };
    for deed in [Deed::Delete { id: ONE }, Deed::Revoke { owner: ann() }] {
        let promised = ended(&deed, Some(Answer::Ended));
        assert!(wrong(&promised, &live(1, 1)).contains("came back"));
        assert_eq!(wrong(&promised, &Sight::Absent), "");
        for sight in [live(1, 1), Sight::Absent] {
            assert_eq!(wrong(&ended(&deed, None), &sight), "");
        }
    }
}

#[test]
fn a_login_after_a_revocation_is_none_of_its_business() {
    let events = [
        (Deed::Revoke { owner: ann() }, Some(Answer::Ended)),
        (create(ONE, 1, Durability::Power), Some(wrote(1))),
    ];
    assert_eq!(wrong(&history(&events), &live(1, 1)), "");
    assert!(wrong(&history(&events), &Sight::Absent).contains("is gone"));
}

#[test]
fn the_loss_of_power_binds_what_was_synced_before_it() {
    let events = [
        (create(ONE, 1, Durability::Power), Some(wrote(1))),
        (save(2, Durability::Power), Some(wrote(2))),
        (save(3, Durability::Process), Some(wrote(3))),
        (save(4, Durability::Final), Some(wrote(4))),
    ];
    let history = history(&events);
    let at = |ns, sight: &Sight| history.judge(ONE, sight, Promise::power(ns)).unwrap_or_default();
    assert_eq!(at(35, &live(2, 2)), "");
    assert_eq!(at(35, &live(3, 3)), "");
    assert!(at(35, &live(1, 1)).contains("older"));
    assert!(at(35, &live(4, 4)).contains("nobody wrote"));
    assert!(at(45, &live(3, 3)).contains("older"));
}

#[test]
fn who_ends_what_is_not_there_yet_ends_nothing() {
    let deleted = (Deed::Delete { id: ONE }, Some(Answer::Ended));
    let created = (create(ONE, 1, Durability::Power), Some(wrote(1)));
    assert_eq!(wrong(&history(&[deleted, created]), &live(1, 1)), "");
}

#[test]
fn a_login_that_nobody_was_told_of_may_outlive_a_revocation_beside_it() {
    let revoked = (Deed::Revoke { owner: ann() }, Some(Answer::Ended));
    let untold = (create(ONE, 1, Durability::Power), None);
    assert_eq!(wrong(&history(&[untold.clone(), revoked.clone()]), &live(1, 1)), "");
    let seen = (Deed::Look { id: ONE }, Some(Answer::Saw(live(1, 1))));
    assert!(wrong(&history(&[untold, seen, revoked]), &live(1, 1)).contains("came back"));
}

#[test]
fn two_saves_without_a_sync_may_cost_what_was_synced_and_nothing_final() {
    let saves = |durability| {
        history(&[
            (create(ONE, 1, Durability::Power), Some(wrote(1))),
            (save(2, durability), Some(wrote(2))),
            (save(3, Durability::Process), Some(wrote(3))),
            (save(4, Durability::Process), Some(wrote(4))),
        ])
    };
    let after = |history: &History, sight: &Sight| {
        history.judge(ONE, sight, Promise::power(99)).unwrap_or_default()
    };
    let synced = saves(Durability::Power);
    for sight in [Sight::Damaged, live(1, 1), live(4, 4)] {
        assert_eq!(after(&synced, &sight), "");
    }
    let last = saves(Durability::Final);
    assert_eq!(after(&last, &Sight::Damaged), "");
    assert!(after(&last, &live(1, 1)).contains("older"));
    assert!(wrong(&synced, &Sight::Damaged).contains("damaged"));
    let one = saved_twice(Some(wrote(2)));
    assert!(after(&one, &Sight::Damaged).is_empty(), "nothing of it was synced");
}

#[test]
fn a_use_that_was_noted_is_kept_unless_the_power_went() {
    let created = (create(ONE, 1, Durability::Power), Some(wrote(1)));
    let history = history(&[created, (Deed::Touch { id: ONE }, Some(Answer::Touched))]);
    assert!(wrong(&history, &live(1, 1)).contains("forgot"));
    assert_eq!(history.judge(ONE, &live(1, 1), Promise::power(99)), None);
}

#[test]
fn a_login_leaves_a_mark_that_outlives_its_owners_sessions() {
    let login = Deed::Login { old: ONE, new: TWO, stamp: 2, mark: 3, owner: ann() };
    let history = history(&[
        (create(ONE, 1, Durability::Power), Some(wrote(1))),
        (login, Some(Answer::LoggedIn { marked: Some(2) })),
        (Deed::Revoke { owner: ann() }, Some(Answer::Ended)),
    ]);
    let mark = Sight::Live { version: 2, stamp: 3, used_ms: 0, superseded: true };
    assert_eq!(wrong(&history, &mark), "");
    assert!(wrong(&history, &live(2, 3)).contains("came back"));
    let new = history.judge(TWO, &live(1, 2), Promise::KILL).unwrap();
    assert!(new.contains("came back"), "{new}");
}

#[test]
fn a_list_misses_no_live_session_and_shows_no_ended_one() {
    let history = history(&[
        (create(ONE, 1, Durability::Power), Some(wrote(1))),
        (create(TWO, 2, Durability::Power), Some(wrote(1))),
        (Deed::Delete { id: TWO }, Some(Answer::Ended)),
    ]);
    assert_eq!(history.judge_list(&ann(), &[ONE], Promise::KILL), Vec::<String>::new());
    let wrong = history.judge_list(&ann(), &[TWO], Promise::KILL).join("; ");
    assert!(wrong.contains("missing") && wrong.contains("which ended"), "{wrong}");
}

/// What is wrong with the last of these answers.
fn wrong_answer(events: &[(Deed, Option<Answer>)]) -> String {
    let mut history = history(events);
    history.judge_answers().1.join("; ")
}

#[test]
fn an_answer_that_contradicts_an_earlier_one_is_wrong() {
    let created = (create(ONE, 1, Durability::Power), Some(wrote(1)));
    let deleted = (Deed::Delete { id: ONE }, Some(Answer::Ended));
    let saved = (save(2, Durability::Process), Some(wrote(2)));
    let late = [created.clone(), deleted.clone(), saved.clone()];
    assert!(wrong_answer(&late).contains("after its end"));
    let touched = (Deed::Touch { id: ONE }, Some(Answer::Touched));
    assert!(wrong_answer(&[created.clone(), deleted, touched]).contains("after its end"));
    let gone = (save(2, Durability::Process), Some(Answer::Gone));
    assert!(wrong_answer(&[created.clone(), gone]).contains("nobody ended it"));
    let again = (save(3, Durability::Process), Some(wrote(2)));
    assert!(wrong_answer(&[created.clone(), saved, again]).contains("was there"));
    let saw = (Deed::Look { id: ONE }, Some(Answer::Saw(Sight::Absent)));
    assert!(wrong_answer(&[created.clone(), saw]).contains("is gone"));
    let swept = (Deed::Sweep, Some(Answer::Swept { removed: vec![ONE] }));
    assert!(wrong_answer(&[created, swept]).contains("had not expired"));
    let revoked = (create(ONE, 1, Durability::Power), Some(Answer::Revoked));
    assert!(wrong_answer(&[revoked]).contains("nobody revoked"));
}

#[test]
fn answers_are_judged_once() {
    let mut history = saved_twice(Some(wrote(2)));
    assert_eq!(history.judge_answers().0, 2);
    assert_eq!(history.judge_answers().0, 0);
}
