//! The laws, by theme.

mod everybody;
mod handles;
mod keys;
mod login;
mod logout;
mod merge;
mod opening;
mod owners;
mod policies;
mod rotation;
mod time;

pub(crate) use everybody::*;
pub(crate) use handles::*;
pub(crate) use keys::*;
pub(crate) use login::*;
pub(crate) use logout::*;
pub(crate) use merge::*;
pub(crate) use opening::*;
pub(crate) use owners::*;
pub(crate) use policies::*;
pub(crate) use rotation::*;
pub(crate) use time::*;
