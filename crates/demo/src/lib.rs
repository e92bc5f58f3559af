//! A small web application that shows what sessile promises, and lets you try to break it.

mod banner;
mod basket;
mod burst;
mod events;
mod guard;
mod lifeline;
mod options;
mod own_client;
mod pages;
mod signals;
mod simulation;
mod supervisor;
mod words;

pub use options::{Options, StoreUrl};

/// Why the demo cannot go on, for the terminal.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
