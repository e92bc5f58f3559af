//! The scheduler: it polls requests by hand.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sessile::Result;
use tokio::runtime::Runtime;

use super::deed::{Deed, Outcome};
use super::laws;
use super::yielding::{Pauses, Yielding};
use crate::engine::Place;
use crate::engine::harness::Server;

/// Whose session the requests come with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Nobodys,
    Anns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Poll(usize),
    Drop(usize),
}

/// More polls than this and somebody waits for ever.
const POLLS_MAX: usize = 500;

/// Where schedules are played: a runtime whose time stands still, for the timers that requests set.
pub(super) struct Stage {
    runtime: Runtime,
    pauses: Pauses,
}

/// A schedule that was played, for the laws to look at.
pub(super) struct Played {
    /// The whole schedule, to be played again.
    pub(super) told: String,
    pub(super) start: Start,
    pub(super) deeds: Vec<Deed>,
    pub(super) outcomes: Vec<Outcome>,
    /// How often each was polled.
    pub(super) polls: Vec<usize>,
    /// After how many steps each began, if it did.
    pub(super) began: Vec<Option<usize>>,
    pub(super) server: Server,
    pub(super) store: Yielding,
    pub(super) cookie: String,
}

type Request<'a> = Pin<Box<dyn Future<Output = Result<Option<String>>> + 'a>>;

impl Stage {
    pub(super) fn new(pauses: Pauses) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        Self { runtime, pauses }
    }

    /// Plays a script, and then polls whoever is not done by turns. Whoever waits for another is
    /// passed over.
    pub(super) fn play(&self, start: Start, deeds: &[Deed], script: &[Step]) -> Played {
        let mut script = script.iter().copied();
        self.perform(start, deeds, |able| {
            let scripted = script.next().filter(|step| match step {
                Step::Poll(who) => able.is_open[*who] && able.progresses[*who],
                Step::Drop(who) => able.is_open[*who],
            });
            scripted.unwrap_or_else(|| Step::Poll(able.next()))
        })
    }

    /// Plays one of all orders, which notes where others branch off.
    pub(super) fn run(&self, start: Start, deeds: &[Deed], order: &mut Order) -> Played {
        self.perform(start, deeds, |able| Step::Poll(order.choose(&able.progressing())))
    }

    /// Asks the laws; some of what they ask sets timers.
    pub(super) fn judge(&self, played: &Played) {
        let _in_runtime = self.runtime.enter();
        laws::check(played);
    }

    fn perform(&self, start: Start, deeds: &[Deed], choose: impl FnMut(&Able) -> Step) -> Played {
        let _in_runtime = self.runtime.enter();
        let store = Yielding::new(self.pauses);
        store.turn(false);
        let server = Server::new(&Place::of(store.clone()));
        let cookie = now(prepared(start, &server));
        store.turn(true);
        let Course { steps, outcomes, polls, began } =
            direct(Cast::new(deeds, &server, &cookie), &server, &store, choose);
        store.turn(false);
        let steps: Vec<_> = steps.iter().map(told).collect();
        let told = format!("{start:?} {deeds:?} {}: {outcomes:?}", steps.join(" "));
        let deeds = deeds.to_vec();
        Played { told, start, deeds, outcomes, polls, began, server, store, cookie }
    }
}

/// How the requests of a schedule went.
struct Course {
    steps: Vec<Step>,
    outcomes: Vec<Outcome>,
    polls: Vec<usize>,
    began: Vec<Option<usize>>,
}

/// Takes one step after the other until all requests are over.
fn direct(
    mut cast: Cast<'_>,
    server: &Server,
    store: &Yielding,
    mut choose: impl FnMut(&Able) -> Step,
) -> Course {
    let mut steps = Vec::new();
    while let Some(able) = cast.able() {
        let step = choose(&able);
        steps.push(step);
        cast.take(step, steps.len(), store);
        // Instants tell which of two requests began first.
        server.clock.advance(Duration::from_millis(1));
        assert!(steps.len() < POLLS_MAX, "they never end: {steps:?}");
    }
    let outcomes = cast.outcomes.into_iter().flatten().collect();
    Course { steps, outcomes, polls: cast.polls, began: cast.began }
}

fn told(step: &Step) -> String {
    match step {
        Step::Poll(who) => who.to_string(),
        Step::Drop(who) => format!("drop {who}"),
    }
}

/// The browser's cookie when the requests begin.
async fn prepared(start: Start, server: &Server) -> String {
    let visit = server.visit("").await;
    visit.session.insert("before", "all").unwrap();
    if start == Start::Anns {
        visit.session.login("ann").unwrap();
    }
    visit.finish().await.unwrap().unwrap()
}

/// The result of what waits for nobody.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
    panic!("it waits, and there is nobody to wait for");
}

/// The requests under way.
struct Cast<'a> {
    requests: Vec<Option<Request<'a>>>,
    outcomes: Vec<Option<Outcome>>,
    polls: Vec<usize>,
    began: Vec<Option<usize>>,
    /// Those that went on at their last poll, or somebody else since.
    progresses: Vec<bool>,
}

/// Who can be polled, and who is worth it.
pub(super) struct Able {
    is_open: Vec<bool>,
    progresses: Vec<bool>,
    polls: Vec<usize>,
}

impl Able {
    fn progressing(&self) -> Vec<usize> {
        let able = |who: &usize| self.is_open[*who] && self.progresses[*who];
        (0..self.is_open.len()).filter(able).collect()
    }

    /// Whoever was polled least.
    fn next(&self) -> usize {
        let open = self.progressing().into_iter();
        open.min_by_key(|who| self.polls[*who]).expect("somebody goes on")
    }
}

impl<'a> Cast<'a> {
    fn new(deeds: &[Deed], server: &'a Server, cookie: &'a str) -> Self {
        let request = |(who, deed): (usize, &Deed)| -> Option<Request<'a>> {
            let deed = *deed;
            Some(Box::pin(deed.perform(who, server, cookie)))
        };
        let count = deeds.len();
        Self {
            requests: deeds.iter().enumerate().map(request).collect(),
            outcomes: vec![None; count],
            polls: vec![0; count],
            began: vec![None; count],
            progresses: vec![true; count],
        }
    }

    /// `None` when all is over. Somebody has to be able to go on: else they wait for each other.
    fn able(&self) -> Option<Able> {
        let is_open: Vec<_> = self.requests.iter().map(Option::is_some).collect();
        let able = Able { is_open, progresses: self.progresses.clone(), polls: self.polls.clone() };
        if !able.is_open.contains(&true) {
            return None;
        }
        assert!(!able.progressing().is_empty(), "requests wait for each other");
        Some(able)
    }

    fn take(&mut self, step: Step, number: usize, store: &Yielding) {
        match step {
            Step::Drop(who) => {
                self.requests[who] = None;
                self.outcomes[who] = Some(Outcome::Dropped);
                self.progresses.fill(true);
            }
            Step::Poll(who) => self.poll(who, number, store),
        }
    }

    fn poll(&mut self, who: usize, number: usize, store: &Yielding) {
        self.polls[who] += 1;
        self.began[who].get_or_insert(number);
        let before = store.progress();
        let request = self.requests[who].as_mut().expect("only open requests are polled");
        let poll = request.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(done) = poll {
            self.requests[who] = None;
            self.outcomes[who] = Some(match done {
                Ok(cookie) => Outcome::Answered(cookie),
                Err(error) => Outcome::Failed(error.kind()),
            });
            self.progresses.fill(true);
        } else if store.progress() > before {
            self.progresses.fill(true);
        } else {
            self.progresses[who] = false;
        }
    }
}

/// All orders, one after the other: each takes the next branch of the one before.
#[derive(Default)]
pub(super) struct Orders {
    order: Option<Order>,
}

/// One order: which of those that could go on did so.
#[derive(Default)]
pub(super) struct Order {
    /// The branch that was taken, of how many.
    branches: Vec<(usize, usize)>,
    at: usize,
}

impl Orders {
    pub(super) fn next(&mut self) -> Option<&mut Order> {
        let Some(last) = &mut self.order else { return Some(self.order.insert(Order::default())) };
        while let Some((taken, count)) = last.branches.pop() {
            if taken + 1 < count {
                last.branches.push((taken + 1, count));
                last.at = 0;
                return self.order.as_mut();
            }
        }
        None
    }
}

impl Order {
    fn choose(&mut self, able: &[usize]) -> usize {
        if self.at == self.branches.len() {
            self.branches.push((0, able.len()));
        }
        let (taken, _) = self.branches[self.at];
        self.at += 1;
        able[taken]
    }
}
