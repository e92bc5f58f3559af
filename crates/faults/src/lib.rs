//! Faults on the real store: errors and kills at every call, full disks, lost power; and, after
//! each, whether what was acknowledged is there.
//!
//! `cargo xtask faults` runs this. It is both sides: the driver, and, started once more as
//! `worker`, the processes that work on a directory of sessions until something happens to them.
//! All of it needs Linux; elsewhere there is nothing in here.
#![cfg(target_os = "linux")]

mod crew;
mod deed;
mod full;
mod hand;
mod history;
mod inject;
mod kills;
mod mount;
mod operations;
mod options;
mod power;
mod races;
mod records;
mod report;
mod roam;
mod scene;
mod strace;
mod worker;

pub use options::run;
