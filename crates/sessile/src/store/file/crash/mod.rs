//! The proof that a crash at any moment leaves what was promised.
//!
//! Every system call of an operation is recorded (`sys::record`); a model of a disk (`disk`) tells
//! from the calls up to a moment what a kill or a loss of power then may leave behind; each such state
//! is rebuilt, recovered and used (`observe`), and held against what the callers had been told by then
//! (`judge`).

mod broken;
mod check;
mod choices;
mod disk;
mod faults;
mod judge;
mod observe;
mod operations;
mod scene;
mod tests;
mod tree;
