//! Which ways a loss of power can turn out: all of them where they can be counted, else a sample.

use super::disk::Question;

/// One answer to every question.
pub(super) type Answers = Vec<usize>;

/// The answers to try at one moment.
#[derive(Debug)]
pub(super) struct Choices {
    pub(super) answers: Vec<Answers>,
    /// Whether nothing was left out.
    pub(super) are_all: bool,
}

impl Choices {
    /// All answers if there are at most `max`; else those where one thing alone is lost, those where
    /// one thing alone is kept, and a sample of `max`, the same one for the same seed.
    pub(super) fn new(questions: &[Question], max: usize, seed: u64) -> Self {
        if count(questions) <= max {
            return Self { answers: all(questions).collect(), are_all: true };
        }
        let oldest = vec![0; questions.len()];
        let newest: Answers = questions.iter().map(|question| question.answers - 1).collect();
        let mut answers = but_one(questions, &newest);
        answers.extend(but_one(questions, &oldest));
        answers.extend(sample(questions, max, seed));
        Self { answers, are_all: false }
    }
}

fn count(questions: &[Question]) -> usize {
    questions.iter().fold(1, |count: usize, question| count.saturating_mul(question.answers))
}

/// Every combination of answers.
pub(super) fn all(questions: &[Question]) -> impl Iterator<Item = Answers> + '_ {
    (0..count(questions)).map(|number| {
        let mut rest = number;
        questions.iter().map(|question| digit(&mut rest, question.answers)).collect()
    })
}

fn digit(rest: &mut usize, base: usize) -> usize {
    let digit = *rest % base;
    *rest /= base;
    digit
}

/// `answers`, and all that differ from it in one place.
fn but_one(questions: &[Question], answers: &Answers) -> Vec<Answers> {
    let mut near = vec![answers.clone()];
    for (at, question) in questions.iter().enumerate() {
        for answer in (0..question.answers).filter(|answer| *answer != answers[at]) {
            let mut other = answers.clone();
            other[at] = answer;
            near.push(other);
        }
    }
    near
}

fn sample(questions: &[Question], count: usize, seed: u64) -> Vec<Answers> {
    let mut dice = Dice(seed | 1);
    let mut draw = || questions.iter().map(|question| dice.roll(question.answers)).collect();
    (0..count).map(|_| draw()).collect()
}

/// Marsaglia's xorshift: the same sample on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }
}
