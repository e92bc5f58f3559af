//! Every schedule of a small model: the proof that a protocol holds, and that the obvious one does
//! not.
//!
//! A model names its state and the steps that may come next, those of every process and a kill of
//! each among them. All states that any order of steps reaches are visited once, nearest first, so
//! that the schedule which leads to a wrong one is a shortest one. A hash set is all that takes:
//! the processes of the protocols share a file and a kernel's locks, not memory, and a tool that
//! runs threads under its own scheduler would try schedules over and over that meet in one state,
//! and could kill none.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;
use std::rc::Rc;

/// More states than this are no small model, and would take too long.
const STATES_MAX: usize = 1_000_000;

pub(crate) trait Model {
    type State: Clone + Eq + Hash;

    fn start(&self) -> Self::State;

    /// Every step that may come next.
    fn steps(&self, state: &Self::State) -> Vec<Step<Self::State>>;

    /// What is wrong in a state.
    fn fault(&self, state: &Self::State) -> Option<String>;

    /// What is wrong in a state that no step leads away from.
    fn fault_at_end(&self, _: &Self::State) -> Option<String> {
        None
    }

    /// What must be seen to happen for the model to mean anything.
    fn landmark(&self, _: &Self::State) -> Option<&'static str> {
        None
    }
}

/// One step of one process.
pub(crate) struct Step<S> {
    pub(crate) label: Label,
    pub(crate) next: S,
}

/// Who does what.
pub(crate) type Label = (&'static str, &'static str);

/// What the exploration of a model came to.
pub(crate) struct Explored {
    states: usize,
    ends: usize,
    landmarks: BTreeSet<&'static str>,
    failure: Option<Failure>,
}

/// A wrong state, and a shortest way to it.
struct Failure {
    what: String,
    schedule: Vec<Label>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (who, what) in &self.schedule {
            writeln!(f, "{who} {what}")?;
        }
        write!(f, "=> {}", self.what)
    }
}

/// Asserts that no schedule goes wrong and that each of `landmarks` is seen, and prints a count.
#[track_caller]
pub(crate) fn assert_holds(name: &str, model: &impl Model, landmarks: &[&'static str]) {
    let explored = explore(model);
    if let Some(failure) = explored.failure {
        panic!("model {name} fails:\n{failure}");
    }
    println!("model {name}: {} states", explored.states);
    assert_eq!(explored.landmarks, landmarks.iter().copied().collect(), "what {name} came by");
    assert!(explored.ends > 0, "{name} never comes to an end");
}

/// Asserts that a design fails, by this shortest schedule.
#[track_caller]
pub(crate) fn assert_fails(name: &str, model: &impl Model, schedule: &[&str]) {
    let explored = explore(model);
    let failure = explored.failure.unwrap_or_else(|| {
        panic!("model {name} was to fail, and holds in all of its {} states", explored.states)
    });
    let failure = failure.to_string();
    println!("model {name} fails, as it must:\n{failure}");
    assert_eq!(failure, schedule.join("\n"), "the shortest schedule is another:\n{failure}\n");
}

/// Visits all states, nearest first, until one is wrong.
pub(crate) fn explore<M: Model>(model: &M) -> Explored {
    let mut known = Known::default();
    known.add(model.start(), None);
    let mut explored = Explored { states: 0, ends: 0, landmarks: BTreeSet::new(), failure: None };
    while let Some(state) = known.states.get(explored.states).cloned() {
        let steps = model.steps(&state);
        let at_end = || steps.is_empty().then(|| model.fault_at_end(&state)).flatten();
        if let Some(what) = model.fault(&state).or_else(at_end) {
            let schedule = known.way_to(explored.states);
            explored.failure = Some(Failure { what, schedule });
            return explored;
        }
        explored.ends += usize::from(steps.is_empty());
        explored.landmarks.extend(model.landmark(&state));
        for Step { label, next } in steps {
            known.add(next, Some((explored.states, label)));
        }
        explored.states += 1;
        assert!(known.states.len() <= STATES_MAX, "the model is too large");
    }
    explored
}

/// The states that were found, and how each was reached first.
struct Known<S> {
    states: Vec<Rc<S>>,
    came_by: Vec<Option<(usize, Label)>>,
    numbers: HashMap<Rc<S>, usize>,
}

impl<S> Default for Known<S> {
    fn default() -> Self {
        Self { states: Vec::new(), came_by: Vec::new(), numbers: HashMap::new() }
    }
}

impl<S: Eq + Hash> Known<S> {
    fn add(&mut self, state: S, came_by: Option<(usize, Label)>) {
        let state = Rc::new(state);
        if !self.numbers.contains_key(&state) {
            self.numbers.insert(Rc::clone(&state), self.states.len());
            self.states.push(state);
            self.came_by.push(came_by);
        }
    }

    fn way_to(&self, state: usize) -> Vec<Label> {
        let back = std::iter::successors(self.came_by[state], |(from, _)| self.came_by[*from]);
        let mut way: Vec<_> = back.map(|(_, label)| label).collect();
        way.reverse();
        way
    }
}

mod tests {
    use super::*;

    /// Two processes that read a number, and then write one more.
    struct Counters {
        atomic: bool,
    }

    impl Model for Counters {
        type State = (u8, [Option<u8>; 2], [bool; 2]);

        fn start(&self) -> Self::State {
            (0, [None; 2], [false; 2])
        }

        fn steps(&self, state: &Self::State) -> Vec<Step<Self::State>> {
            let undone = (0..2).filter(|who| !state.2[*who]);
            undone.map(|who| self.step(*state, who)).collect()
        }

        fn fault(&self, _: &Self::State) -> Option<String> {
            None
        }

        fn fault_at_end(&self, state: &Self::State) -> Option<String> {
            (state.0 != 2).then(|| format!("two counted to {}", state.0))
        }

        fn landmark(&self, state: &Self::State) -> Option<&'static str> {
            (state.2 == [true; 2]).then_some("both are done")
        }
    }

    impl Counters {
        fn step(
            &self,
            state: (u8, [Option<u8>; 2], [bool; 2]),
            who: usize,
        ) -> Step<<Self as Model>::State> {
            let (mut number, mut read, mut done) = state;
            let name = ["one", "two"][who];
            if read[who].is_none() && !self.atomic {
                read[who] = Some(number);
                return Step { label: (name, "reads"), next: (number, read, done) };
            }
            number = read[who].unwrap_or(number) + 1;
            done[who] = true;
            Step { label: (name, "writes"), next: (number, read, done) }
        }
    }

    #[test]
    fn a_model_that_holds_is_explored_to_its_end() {
        let explored = explore(&Counters { atomic: true });
        assert!(explored.failure.is_none());
        assert_eq!((explored.states, explored.ends), (4, 1));
        assert_eq!(explored.landmarks, BTreeSet::from(["both are done"]));
    }

    #[test]
    fn a_model_that_fails_does_so_by_a_shortest_schedule() {
        assert_fails(
            "counters",
            &Counters { atomic: false },
            &["one reads", "two reads", "one writes", "two writes", "=> two counted to 1"],
        );
    }
}
