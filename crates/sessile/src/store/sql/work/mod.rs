//! What the store does, each operation as the statements it takes.

mod create;
mod list;
mod load;
mod lock;
mod owner;
mod sweep;
mod update;

pub(super) use create::Create;
pub(super) use list::List;
pub(super) use load::Load;
pub(super) use lock::{Attempt, Guard, TryLock};
pub(super) use owner::DeleteOwner;
pub(super) use sweep::Sweep;
pub(super) use update::{Delete, Touch, Update};

/// How many rows one operation reads at most, whatever its caller asks for.
pub(super) const ROWS_MAX: usize = 10_000;
