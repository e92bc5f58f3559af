//! The engine under a scheduler of our own: requests side by side, in every order, dropped
//! anywhere.
//!
//! Each request is a future of the real engine on a store that pauses around its calls. The
//! scheduler polls them by hand, in an order that it chooses: every order there is for two
//! requests, orders drawn from a seed for three. Any of them may be dropped at any of its pauses,
//! as a request is whose browser leaves. Then the laws are asked: what was acknowledged is there,
//! what was ended stays ended, nothing is half, no lock remains, and nobody failed for a reason
//! that is none.

mod deed;
mod laws;
mod stage;
mod yielding;

use self::deed::{Deed, Outcome};
use self::stage::{Orders, Stage, Start, Step};
use self::yielding::Pauses;

use Deed::{Commit, Count, Hold, Login, Logout, RevokeAll, Rotate, StepUp, Write};

/// What a request may do to a session that nobody is logged in to.
const NOBODYS: [Deed; 8] = [Write, Count, Hold, Commit, Rotate, Login, Logout, RevokeAll];
/// What it may do to Ann's.
const ANNS: [Deed; 9] = [Write, Count, Hold, Commit, Rotate, StepUp, Login, Logout, RevokeAll];

/// Every two requests that may meet.
fn pairs() -> Vec<(Start, [Deed; 2])> {
    let pairs_of = |start, deeds: &[Deed]| {
        let ordered = deeds.iter().flat_map(|one| deeds.iter().map(move |two| [*one, *two]));
        ordered.map(|pair| (start, pair)).collect::<Vec<_>>()
    };
    [pairs_of(Start::Nobodys, &NOBODYS), pairs_of(Start::Anns, &ANNS)].concat()
}

/// Three that meet where most can go wrong.
const TRIPLES: [(Start, [Deed; 3]); 4] = [
    (Start::Nobodys, [Login, Logout, Write]),
    (Start::Nobodys, [Login, RevokeAll, Write]),
    (Start::Anns, [Rotate, Logout, Count]),
    (Start::Anns, [StepUp, Rotate, Write]),
];

#[test]
fn two_requests_keep_every_law_in_every_order() {
    // In which order the two of a pair are named makes no difference here.
    let pairs = pairs().into_iter().filter(|(_, [one, two])| one <= two);
    let schedules: usize = pairs.map(|(start, pair)| in_every_order(start, &pair)).sum();
    println!("schedules: {schedules} (two requests, every order)");
    assert!(schedules > 1_000, "only {schedules} schedules");
}

#[test]
fn three_requests_keep_every_law_in_every_order() {
    let schedules: usize = TRIPLES.iter().map(|(start, three)| in_every_order(*start, three)).sum();
    println!("schedules: {schedules} (three requests, every order)");
    assert!(schedules > 1_000, "only {schedules} schedules");
}

fn in_every_order(start: Start, deeds: &[Deed]) -> usize {
    let stage = Stage::new(Pauses::Before);
    let (mut orders, mut schedules) = (Orders::default(), 0);
    while let Some(order) = orders.next() {
        stage.judge(&stage.run(start, deeds, order));
        schedules += 1;
    }
    schedules
}

#[test]
fn a_request_that_is_dropped_at_any_pause_harms_nobody() {
    let stage = Stage::new(Pauses::BeforeAndAfter);
    let mut schedules = 0;
    for (start, [victim, other]) in pairs() {
        for lead in 0.. {
            let led = drop_everywhere(&stage, start, [victim, other], lead);
            schedules += led.schedules;
            if led.other_was_over {
                break;
            }
        }
    }
    println!("schedules: {schedules} (one of two requests dropped, at every pause)");
    assert!(schedules > 5_000, "only {schedules} schedules");
}

struct Dropped {
    schedules: usize,
    other_was_over: bool,
}

/// Lets the other request go on for so many pauses, then the victim up to each of its own, and
/// drops it there.
fn drop_everywhere(stage: &Stage, start: Start, pair: [Deed; 2], lead: usize) -> Dropped {
    let mut dropped = Dropped { schedules: 0, other_was_over: false };
    for polls in 1.. {
        let mut script = vec![Step::Poll(1); lead];
        script.extend(vec![Step::Poll(0); polls]);
        script.push(Step::Drop(0));
        let played = stage.play(start, &pair, &script);
        stage.judge(&played);
        dropped.schedules += 1;
        dropped.other_was_over = played.polls[1] < lead;
        if !matches!(played.outcomes[0], Outcome::Dropped) {
            break;
        }
    }
    dropped
}

#[test]
fn three_requests_keep_every_law_in_orders_from_a_seed() {
    const SEEDS: u64 = 3_000;
    let stage = Stage::new(Pauses::BeforeAndAfter);
    for seed in 0..SEEDS {
        let mut draw = Draw(seed);
        let (start, deeds) = match draw.below(2) {
            0 => (Start::Nobodys, &NOBODYS[..]),
            _ => (Start::Anns, &ANNS[..]),
        };
        let three = [0; 3].map(|_| deeds[draw.below(deeds.len())]);
        let drops = draw.below(2) == 0;
        let script: Vec<_> = (0..90)
            .map(|_| match draw.below(30) {
                0 if drops => Step::Drop(draw.below(3)),
                _ => Step::Poll(draw.below(3)),
            })
            .collect();
        let mut played = stage.play(start, &three, &script);
        played.told = format!("seed {seed}: {}", played.told);
        stage.judge(&played);
    }
    println!("schedules: {SEEDS} (three requests, orders from a seed)");
}

/// The generator `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
