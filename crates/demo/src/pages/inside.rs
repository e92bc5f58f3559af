//! The record as it lies in the store, what a thief could make of it, and what happened to it.

use std::time::SystemTime;

use maud::{Markup, html};

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
    /// Where the bytes are; `None` in memory.
    pub(crate) file: Option<StoredFile>,
    pub(crate) fields: Vec<Field>,
    /// Keys of the session's data, and how many bytes each value takes.
    pub(crate) keys: Vec<(String, usize)>,
    /// What the hash of the secret makes when it is presented as a cookie.
    pub(crate) thief: Vec<Attempt>,
}

/// A record's file.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    /// Its path below the store's directory.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) slots: Vec<Slot>,
}

/// One of the two places in a file that take turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) name: char,
    /// The version in it; `None` when it is free.
    pub(crate) version: Option<u64>,
    /// Whether it is the one readers take.
    pub(crate) newest: bool,
    pub(crate) bytes: u64,
}

/// A field of the record's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) hex: String,
    /// What the bytes say, where that is not plain.
    pub(crate) meaning: String,
}

/// A cookie made of what is on the disk, and the answer to it once it was tried.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) made_of: &'static str,
    pub(crate) cookie: String,
    pub(crate) answer: Option<String>,
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
                    "The last 20 events of your session, kept in this process's memory: they go "
                    "when the plug is pulled."
                }
                @if self.events.is_empty() { p { "Nothing since this process began." } }
                ul.list {
                    @for Entry { at, what } in &self.events {
                        li { span { (what) } time { (words::ago(*at, self.now)) } }
                    }
                }
            }
        }
    }
}

impl Stored {
    fn cards(&self) -> Markup {
        html! {
            @if let Some(file) = &self.file { (file.card()) }
            (self.data())
            (self.header())
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

    fn header(&self) -> Markup {
        html! {
            section.card aria-labelledby="header" {
                h2 #header { "Header" }
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

    fn stolen(&self) -> Markup {
        html! {
            section.card aria-labelledby="thief" {
                h2 #thief { "What a thief of this disk has" }
                p.muted {
                    "The disk holds the public ID and a hash of the secret, never the secret. A "
                    "cookie made of them looks right and opens nothing."
                }
                @for attempt in &self.thief { (attempt.shown()) }
                form method="post" action="/inside/thief" { button { "Try them as cookies" } }
            }
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
}

impl Slot {
    fn shown(&self) -> Markup {
        html! {
            div.verdict {
                h3 { "Slot " (self.name) @if self.newest { " " span.tag { "newest" } } }
                @match self.version {
                    Some(version) => {
                        p.big { "version " (version) }
                        p.small.muted { (words::size(self.bytes)) }
                    }
                    None => p.big.muted { "free" },
                }
            }
        }
    }
}

impl Attempt {
    fn shown(&self) -> Markup {
        html! {
            div.verdict {
                h3 { (self.made_of) @if self.answer.is_some() { " " span.tag { "refused" } } }
                p { code { (self.cookie) } }
                @if let Some(answer) = &self.answer {
                    p.small.muted { "The server answered " code { (answer) } }
                }
            }
        }
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
