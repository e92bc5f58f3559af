//! The protocols of the file store, in every schedule, with a kill anywhere.
//!
//! A model keeps of a file what matters, symbol by symbol, and turns it into the bytes of a page
//! where the store's own code judges it: [`page::plan`], [`page::read`], [`Looks`] and
//! [`Look::under_lock`] are the real ones. What is modelled is the order of system calls, in
//! `commit.rs`, `core.rs`, `list.rs` and `owners.rs`; each model names those that it mirrors.
//!
//! [`page::plan`]: super::page::plan
//! [`page::read`]: super::page::read
//! [`Looks`]: super::core::Looks
//! [`Look::under_lock`]: super::core::Look::under_lock

mod deletion;
mod login;
mod tail;
mod two_slots;
