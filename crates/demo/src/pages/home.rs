//! The front page: the counter, the two machines that try to break it, the basket, the sign-in.

use std::time::Duration;

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use sessile::SessionId;

use super::{Frame, calm, sign_in};
use crate::basket::{Basket, Item};
use crate::burst::Burst;
use crate::words;

/// What the front page shows.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) frame: Frame,
    pub(crate) visits: u64,
    pub(crate) basket: Basket,
    /// What is known of the record; nothing where it could not be read.
    pub(crate) facts: Option<Facts>,
    /// What one of the machines did.
    pub(crate) notice: Option<Notice>,
    /// Whether this visit could not be saved.
    pub(crate) trouble: bool,
    /// Whether there is a parent that starts the server again.
    pub(crate) supervised: bool,
    /// Whether sessions outlive the process that answers.
    pub(crate) lasts: bool,
    /// The process that answers.
    pub(crate) process: u32,
}

/// The record of the session, as a person wants to know it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: SessionId,
    pub(crate) age: Duration,
    pub(crate) idle_left: Option<Duration>,
    pub(crate) absolute_left: Duration,
    /// Where it lies, in few words.
    pub(crate) place: String,
    /// How long the last save took.
    pub(crate) save: Option<Duration>,
}

/// What one of the machines did, kept in the session until the page shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notice {
    /// This process was killed.
    Killed(u32),
    /// Forty requests came at once.
    Burst(Burst),
}

impl Home {
    /// The page.
    pub(crate) fn page(&self) -> Markup {
        self.frame.around(&html! {
            @if self.trouble { (calm::banner()) }
            @match &self.notice {
                Some(Notice::Killed(killed)) => (self.revived(*killed)),
                Some(Notice::Burst(burst)) => (verdicts(burst)),
                None => {}
            }
            (self.counter())
            div.pair { (self.plug()) (forty()) }
            (self.shop())
            @if self.frame.user.is_none() { (sign_in::card()) }
        })
    }

    fn counter(&self) -> Markup {
        let digits = self.visits.to_string();
        let noun = if self.visits == 1 { "visit" } else { "visits" };
        html! {
            section.hero aria-label="Your visits" {
                @if self.notice.is_none() && !self.trouble { p.lead.muted { (INVITATION) } }
                h1 {
                    span.count.long[digits.len() > 4] #visits { (digits) }
                    span.unit { (noun) " from this browser" }
                }
                @if let Some(facts) = &self.facts { (facts.line()) }
            }
        }
    }

    fn plug(&self) -> Markup {
        html! {
            section.card aria-labelledby="plug" {
                h2 #plug { "Pull the plug" }
                p.muted {
                    "Process " (self.process) " kills itself with SIGKILL: no warning, no clean-up. "
                    @if self.supervised { "Its parent starts another." }
                    @else { "Start the demo with " code { "--supervised" } " to try it." }
                }
                @if !self.lasts { p.muted #forgets { (FORGETS) } }
                @if self.supervised {
                    form method="post" action="/plug" { button { "Pull the plug" } }
                }
            }
        }
    }

    fn revived(&self, killed: u32) -> Markup {
        let visits = words::count(self.visits, "visit");
        let items = words::count(self.basket.len().into(), "item");
        html! {
            section.card role="status" {
                h2 { "Still here" }
                p.lead #revived {
                    "process " (killed) " was killed, " (self.process) " answers: your "
                    (visits) " and " (items) " are here"
                }
            }
        }
    }

    fn shop(&self) -> Markup {
        html! {
            section.card aria-labelledby="basket" {
                div.head {
                    h2 #basket { "Basket" }
                    span.muted.small #items { (words::count(self.basket.len().into(), "item")) }
                }
                p.muted { "Add from two tabs at once: both stay." }
                form.shelf method="post" action="/basket/add" {
                    @for item in Item::ALL {
                        button.quiet name="item" value=(item.name()) { "+ " (item.name()) }
                    }
                }
                @if self.basket.len() > 0 { (contents(&self.basket)) }
            }
        }
    }
}

impl Facts {
    fn line(&self) -> Markup {
        html! {
            ul.facts {
                li { "Session " code { (self.id) } }
                li { (words::span(self.age)) " old" }
                li { "ends " (self.end()) }
                li { (self.place) }
                @if let Some(save) = self.save { li { "last save took " (words::took(save)) } }
            }
        }
    }

    fn end(&self) -> String {
        let latest = format!("in {} at the latest", words::span(self.absolute_left));
        match self.idle_left {
            Some(idle) => format!("in {} without use and {latest}", words::span(idle)),
            None => latest,
        }
    }
}

/// What all of this is.
const INVITATION: &str = "This counter lives in your session, on the server. Try to break it.";

/// What the plug costs where sessions live in the process.
const FORGETS: &str = "Sessions are kept in its memory and end with it: you will be somebody new.";

fn forty() -> Markup {
    html! {
        section.card aria-labelledby="forty" {
            h2 #forty { "40 at once" }
            p.muted {
                "The server sends itself 40 requests with your cookie, all at the same time. "
                "Each one counts a visit."
            }
            form method="post" action="/at-once" { button { "Send 40 at once" } }
        }
    }
}

fn verdicts(burst: &Burst) -> Markup {
    html! {
        section.card role="status" aria-label="40 at once" {
            h2 { (burst.sent) " requests at once" }
            div.pair { (ours(burst)) (theirs(burst)) }
        }
    }
}

fn ours(burst: &Burst) -> Markup {
    html! {
        div.verdict {
            h3 { "Your session " span.tag { "real" } }
            (lost(burst.lost()))
            (figures(&[
                ("sent", burst.sent.to_string()),
                ("counted", burst.counted.to_string()),
                ("refused", burst.refused().to_string()),
                ("merged conflicts", burst.conflicts.to_string()),
                ("distinct answers", burst.distinct.to_string()),
                ("slowest", words::took(burst.slowest)),
            ]))
        }
    }
}

fn theirs(burst: &Burst) -> Markup {
    let simulated = burst.simulated;
    html! {
        div.verdict {
            h3 { "Last write wins " span.tag.plain { "simulation" } }
            (lost(simulated.lost()))
            (figures(&[
                ("sent", simulated.sent.to_string()),
                ("counted", simulated.counted.to_string()),
            ]))
            p.small.muted { "The same 40 on a map in memory that is loaded and saved as a whole." }
        }
    }
}

fn lost(lost: u64) -> Markup {
    html! { p.big.loss[lost > 0] { (lost) " lost" } }
}

fn figures(rows: &[(&str, String)]) -> Markup {
    html! {
        dl.figures { @for (name, value) in rows { dt { (name) } dd { (value) } } }
    }
}

fn contents(basket: &Basket) -> Markup {
    html! {
        ul.list #contents {
            @for (item, count) in basket.iter() {
                li { span { (item.name()) } span.times { (count) } }
            }
        }
        form method="post" action="/basket/empty" { button.quiet.slim { "Empty the basket" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::Simulated;

    fn home() -> Home {
        Home {
            frame: Frame::bare("Home"),
            visits: 7,
            basket: Basket::default().with(Item::Coral).with(Item::Coral),
            facts: None,
            notice: None,
            trouble: false,
            supervised: true,
            lasts: true,
            process: 4712,
        }
    }

    fn shown(home: &Home) -> String {
        home.page().into_string()
    }

    #[test]
    fn after_the_plug_it_says_what_is_still_here() {
        let page = shown(&Home { notice: Some(Notice::Killed(4711)), ..home() });
        let said = "process 4711 was killed, 4712 answers: your 7 visits and 2 items are here";
        assert!(page.contains(said), "{page}");
    }

    #[test]
    fn the_loss_stands_beside_what_was_kept() {
        let burst = Burst {
            sent: 40,
            acknowledged: 40,
            counted: 40,
            distinct: 40,
            conflicts: 31,
            slowest: Duration::from_millis(61),
            simulated: Simulated { sent: 40, counted: 1 },
        };
        let page = shown(&Home { notice: Some(Notice::Burst(burst)), ..home() });
        for said in [">0 lost<", ">39 lost<", ">simulation<", "<dd>31</dd>", "<dd>61.0 ms</dd>"] {
            assert!(page.contains(said), "{said}");
        }
    }

    #[test]
    fn one_plain_line_tells_what_is_known_of_the_session() {
        let facts = Facts {
            id: SessionId::from_bytes([0xab; 16]),
            age: Duration::from_secs(240),
            idle_left: Some(Duration::from_secs(1800)),
            absolute_left: Duration::from_secs(42_960),
            place: "4.0 KiB on disk".into(),
            save: Some(Duration::from_micros(41)),
        };
        let line = facts.line().into_string();
        for said in [
            &*"ab".repeat(16),
            "4 min old",
            "in 30 min without use and in 11 h 56 min at the latest",
            "4.0 KiB on disk",
            "last save took 41 µs",
        ] {
            assert!(line.contains(said), "{said}: {line}");
        }
    }

    #[test]
    fn it_says_what_it_is_until_there_is_something_to_show() {
        assert!(shown(&home()).contains(INVITATION));
        let revived = Home { notice: Some(Notice::Killed(4711)), ..home() };
        assert!(!shown(&revived).contains(INVITATION));
        assert!(!shown(&Home { trouble: true, ..home() }).contains(INVITATION), "it is broken");
    }

    #[test]
    fn the_plug_is_there_only_when_somebody_plugs_it_in_again() {
        assert!(shown(&home()).contains("action=\"/plug\""));
        let alone = shown(&Home { supervised: false, ..home() });
        assert!(!alone.contains("action=\"/plug\"") && alone.contains("--supervised"));
    }

    #[test]
    fn memory_is_said_to_end_with_the_process() {
        assert!(!shown(&home()).contains(FORGETS));
        assert!(shown(&Home { lasts: false, ..home() }).contains(FORGETS));
    }

    #[test]
    fn trouble_is_said_and_the_old_basket_is_still_there() {
        let page = shown(&Home { trouble: true, ..home() });
        assert!(page.contains("Not saved, nothing was changed") && page.contains("2 items"));
    }

    #[test]
    fn who_is_signed_in_is_not_asked_again() {
        let frame = Frame { user: Some("ann".into()), ..Frame::bare("Home") };
        let page = shown(&Home { frame, ..home() });
        assert!(!page.contains("action=\"/sign-in\"") && page.contains("action=\"/sign-out\""));
    }
}
