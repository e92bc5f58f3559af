//! A small web application that shows what sessile promises, and lets you try to break it.

mod banner;
mod lifeline;
mod options;
mod signals;
mod supervisor;

pub use options::{Options, StoreUrl};

/// Why the demo cannot go on, for the terminal.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
