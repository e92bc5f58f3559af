//! The demo as scripts meet it: real processes, real HTTP, real files.

#![cfg(test)]

mod api;
mod crash;
mod process;
mod races;
mod support;
