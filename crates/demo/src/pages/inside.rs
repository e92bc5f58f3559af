//! The record as it lies in the store, what a thief could make of it, and what happened to it.

use std::time::SystemTime;

use axum::http::StatusCode;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::Frame;
use crate::events::Entry;
use crate::words;

/// What `/inside` shows.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    pub(crate) frame: Frame,
    /// The record; nothing when nothing was saved yet.
    pub(crate) record: Option<Stored>,
    pub(crate) events: Vec<Entry>,
    pub(crate) now: SystemTime,
}

/// A record as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Where; nothing when that cannot be read.
    pub(crate) lies: Option<Lies>,
    /// Keys of the session's data, and how many bytes each value takes.
    pub(crate) keys: Vec<(String, usize)>,
    /// What the hash of the secret makes when it is presented as a cookie.
    pub(crate) thief: Vec<Attempt>,
}

/// Where a record lies.
#[derive(Clone, Debug)]
pub(crate) enum Lies {
    InFile(StoredFile),
    InMemory,
    /// In a database of this name, which shows it to whoever asks so.
    In {
        name: &'static str,
        question: Option<String>,
    },
}

/// A record's file.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    /// Its path below the store's directory.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) slots: [Slot; 2],
    /// The head of the newest slot.
    pub(crate) fields: Vec<Field>,
}

/// One of the two places in a file that take turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) name: char,
    pub(crate) content: String,
    pub(crate) detail: String,
    /// Whether it is the one readers take.
    pub(crate) newest: bool,
}

/// A field of a slot's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) hex: String,
    /// What the bytes say, where that is not plain.
    pub(crate) meaning: String,
}

/// A cookie made of what is stored, and the answer to it once it was tried.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) made_of: &'static str,
    pub(crate) cookie: String,
    pub(crate) answer: Option<Answer>,
}

/// What the server answered to a cookie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    said: String,
    /// Whether the cookie opened nothing.
    refused: bool,
}

impl Answer {
    /// The answer of `/api/read`, which gives nobody an empty object.
    pub(crate) fn new(status: StatusCode, body: &[u8]) -> Self {
        let said = format!("{} {}", status.as_u16(), String::from_utf8_lossy(body));
        Self { refused: status != StatusCode::OK || body == br#"{"data":{}}"#, said }
    }

    /// No answer came.
    pub(crate) fn none() -> Self {
        Self { said: "nothing".into(), refused: true }
    }
}

impl Inside {
    /// The page.
    pub(crate) fn page(&self) -> Markup {
        self.frame.around(&html! {
            div.intro {
                h1 { "Inside" }
                p.lead.muted { "Your own session, as the server keeps it." }
            }
            @match &self.record {
                Some(record) => { (record.cards()) }
                None => { (nothing()) }
            }
            (self.history())
        })
    }

    fn history(&self) -> Markup {
        html! {
            section.card aria-labelledby="events" {
                h2 #events { "What happened" }
                p.small.muted {
                    "The last 20 events of your session. They are kept in the memory of this process, "
                    "and go when the plug is pulled."
                }
                @if self.events.is_empty() { p { "Nothing since this process began." } }
                ul.list {
                    @for Entry { at, what, times } in &self.events {
                        li {
                            span { (what) @if *times > 1 { " × " (times) } }
                            time { (words::ago(*at, self.now)) }
                        }
                    }
                }
            }
        }
    }
}

impl Stored {
    fn cards(&self) -> Markup {
        html! {
            @if let Some(lies) = &self.lies { (lies.cards()) }
            (self.data())
            (self.stolen())
        }
    }

    fn data(&self) -> Markup {
        html! {
            section.card aria-labelledby="keys" {
                h2 #keys { "Data" }
                table {
                    thead { tr { th scope="col" { "key" } th.number scope="col" { "size" } } }
                    tbody {
                        @for (key, bytes) in &self.keys {
                            tr { th scope="row" { code { (key) } } td.number { (words::size(*bytes as u64)) } }
                        }
                    }
                }
            }
        }
    }

    fn stolen(&self) -> Markup {
        html! {
            section.card aria-labelledby="thief" {
                h2 #thief { "What a thief of the store has" }
                p.muted {
                    "The store holds the public ID and a hash of the secret, never the secret. A "
                    "cookie made of them looks right and opens nothing."
                }
                @for attempt in &self.thief { (attempt.shown()) }
                form method="post" action="/inside/thief" { button { "Try them as cookies" } }
            }
        }
    }
}

impl Lies {
    fn cards(&self) -> Markup {
        match self {
            Self::InFile(file) => html! { (file.card()) (file.head()) },
            Self::InMemory => place(
                "Memory",
                &html! {
                    p { "In the memory of this process, and nowhere else." }
                },
            ),
            Self::In { name, question } => place(
                "Place",
                &html! {
                    p { "In " (name) "." }
                    @if let Some(question) = question {
                        p.muted { "To see it as it is stored, ask there:" }
                        p { code #question { (question) } }
                    }
                },
            ),
        }
    }
}

fn place(title: &str, content: &Markup) -> Markup {
    html! {
        section.card aria-labelledby="place" {
            h2 #place { (title) }
            (content)
        }
    }
}

impl StoredFile {
    fn card(&self) -> Markup {
        html! {
            section.card aria-labelledby="file" {
                div.head {
                    h2 #file { "File" }
                    span.muted.small { (words::size(self.bytes)) }
                }
                p { code { (self.path) } }
                p.muted {
                    "Two slots take turns: a save fills the one that readers do not use, so the "
                    "version before is whole whatever happens."
                }
                div.pair { @for slot in &self.slots { (slot.shown()) } }
            }
        }
    }

    fn head(&self) -> Markup {
        html! {
            section.card aria-labelledby="head" {
                h2 #head { "Head of the newest slot" }
                table.stack {
                    tbody {
                        @for field in &self.fields {
                            tr {
                                th scope="row" { (field.name) }
                                td { code { (field.hex) } }
                                td.muted { (field.meaning) }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Slot {
    fn shown(&self) -> Markup {
        html! {
            div.verdict {
                h3 { "Slot " (self.name) @if self.newest { " " span.tag { "newest" } } }
                p.big { (self.content) }
                p.small.muted { (self.detail) }
            }
        }
    }
}

impl Attempt {
    fn shown(&self) -> Markup {
        html! {
            div.verdict {
                h3 { (self.made_of) @if let Some(answer) = &self.answer { " " (answer.verdict()) } }
                p { code { (self.cookie) } }
                @if let Some(answer) = &self.answer {
                    p.small.muted {
                        "The server answered " code { (answer.said) }
                        @if answer.refused { ", as to a stranger." }
                    }
                }
            }
        }
    }
}

impl Answer {
    fn verdict(&self) -> Markup {
        html! { span.tag { @if self.refused { "refused" } @else { "opened" } } }
    }
}

fn nothing() -> Markup {
    html! {
        section.card {
            p {
                "There is nothing inside yet: a session begins when something is written into it. "
                a href="/" { "Visit the front page" } " once."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside() -> Inside {
        let slot = |name, content: &str, newest| Slot {
            name,
            content: content.into(),
            detail: String::new(),
            newest,
        };
        let field =
            Field { name: "magic", hex: "73 65 73 73".into(), meaning: "“sess”".into() };
        let file = StoredFile {
            path: "ab/abcd".into(),
            bytes: 4096,
            slots: [slot('A', "version 7", true), slot('B', "free", false)],
            fields: vec![field],
        };
        let answer = Answer::new(StatusCode::OK, br#"{"data":{}}"#);
        let attempt = Attempt { made_of: "Public ID", cookie: "c=x".into(), answer: Some(answer) };
        let record = Stored {
            lies: Some(Lies::InFile(file)),
            keys: vec![("visits".into(), 2)],
            thief: vec![attempt],
        };
        let events =
            vec![Entry { at: SystemTime::UNIX_EPOCH, what: "A save was merged".into(), times: 3 }];
        let frame = Frame::bare("Inside");
        Inside { frame, record: Some(record), events, now: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn slots_header_keys_loot_and_events_are_shown() {
        let page = inside().page().into_string();
        for said in [
            "Slot A",
            "version 7",
            "free",
            "73 65 73 73",
            "2 bytes",
            ">refused<",
            "A save was merged × 3",
            "just now",
        ] {
            assert!(page.contains(said), "{said}");
        }
        assert_eq!(page.matches(">newest<").count(), 1);
    }

    #[test]
    fn a_place_without_files_says_where_and_how_to_look() {
        let question = Some("HGETALL it".to_owned());
        let page = Lies::In { name: "Redis", question }.cards().into_string();
        assert!(page.contains("In Redis.") && page.contains(">HGETALL it<"), "{page}");
        assert!(!page.contains("Slot"));
        let unknown = Lies::In { name: "the store", question: None }.cards().into_string();
        assert!(unknown.contains("In the store.") && !unknown.contains("ask there"));
        assert!(Lies::InMemory.cards().into_string().contains("nowhere else"));
    }

    #[test]
    fn a_cookie_that_opened_something_would_be_said_to() {
        let answer = Answer::new(StatusCode::OK, br#"{"data":{"visits":7}}"#);
        assert!(answer.verdict().into_string().contains(">opened<"));
        let refused = Answer::new(StatusCode::SERVICE_UNAVAILABLE, b"{}");
        assert!(refused.verdict().into_string().contains(">refused<"));
    }

    #[test]
    fn before_anything_is_saved_there_is_nothing_inside() {
        let page = Inside { record: None, events: Vec::new(), ..inside() }.page().into_string();
        assert!(page.contains("nothing inside yet") && page.contains("Nothing since"));
    }
}
