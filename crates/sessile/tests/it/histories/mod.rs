//! Random histories of a store: every operation, in any order, under a clock that steps forth and
//! back.
//!
//! A plain map says what each operation must answer ([`model`]); memory and files are held to it in
//! every run. The same histories then run on every store there is, side by side, and their answers
//! are compared one by one.
//!
//! The seed of a history that failed is written to `tests/proptest-regressions/histories/mod.txt`,
//! is committed with the mend, and is tried first from then on.

mod model;
mod operation;
mod player;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use self::model::Model;
use self::operation::Operation;
use self::player::Stage;
use crate::engine::{places, plain_places};

/// What drives the histories: the model, and what may come next.
struct Histories;

impl ReferenceStateMachine for Histories {
    type State = Model;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Operation> {
        operation::any(model.is_empty())
    }

    fn apply(mut model: Model, operation: &Operation) -> Model {
        model.go_on(operation);
        model
    }
}

/// Memory and files, held to the model.
struct AsTheModel;

impl StateMachineTest for AsTheModel {
    type SystemUnderTest = Stage;
    type Reference = Histories;

    fn init_test(_: &Model) -> Stage {
        Stage::new(plain_places)
    }

    fn apply(mut stage: Stage, model: &Model, _: Operation) -> Stage {
        for (name, answer) in stage.play(model.call()) {
            let answer = model.normalised(answer);
            assert_eq!(&answer, model.answer(), "{name} to {:?}", model.call());
        }
        stage
    }
}

/// Every store there is, held to what memory says.
struct Alike;

impl StateMachineTest for Alike {
    type SystemUnderTest = Stage;
    type Reference = Histories;

    fn init_test(_: &Model) -> Stage {
        Stage::new(places)
    }

    fn apply(mut stage: Stage, model: &Model, _: Operation) -> Stage {
        let mut answers = stage.play(model.call()).into_iter();
        let (_, memory) = answers.next().expect("there is memory");
        let expected = model.normalised(memory);
        for (name, answer) in answers {
            let answer = model.normalised(answer);
            assert_eq!(answer, expected, "{name} unlike memory to {:?}", model.call());
        }
        stage
    }
}

/// So many histories, unless `PROPTEST_CASES` asks for another number.
fn cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let is_asked = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if is_asked { config.cases } else { usual }, ..config }
}

prop_state_machine! {
    #![proptest_config(cases(64))]

    #[test]
    fn stores_answer_every_history_as_a_plain_map_does(sequential 1..80 => AsTheModel);
}

prop_state_machine! {
    #![proptest_config(cases(24))]

    #[test]
    fn stores_answer_every_history_alike(sequential 1..60 => Alike);
}

/// The histories mean something: they come by every kind of answer.
#[test]
fn histories_come_by_every_kind_of_answer() {
    let (mut runner, mut kinds) = (TestRunner::deterministic(), BTreeSet::new());
    let histories = Histories::sequential_strategy(1..80);
    for _ in 0..200 {
        let (mut model, operations, _) = histories.new_tree(&mut runner).unwrap().current();
        for operation in &operations {
            model = Histories::apply(model, operation);
            kinds.insert(model.answer().kind());
        }
    }
    assert_eq!(kinds, player::KINDS.into());
}
