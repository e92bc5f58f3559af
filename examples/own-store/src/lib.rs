#![doc = include_str!("../README.md")]

mod entry;
mod journal;
mod store;
mod table;

pub use store::JournalStore;
