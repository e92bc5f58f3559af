//! Everything that reads or changes a store, each as an application asks for it.

use sessile::SessionId;
use sessile::store::Durability;

use crate::deed::{Deed, Stamp};
use crate::scene::{Cast, ann};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// The session it is about.
    pub(crate) subject: fn(Cast) -> SessionId,
    pub(crate) deed: fn(Cast, [Stamp; 2]) -> Deed,
}

impl Operation {
    /// Whether it finds the sessions of the scene in place.
    pub(crate) fn is_furnished(self) -> bool {
        self.name != FIRST_OPENING
    }

    /// Whether it must not fail for want of space.
    pub(crate) fn is_logout(self) -> bool {
        self.name == "delete"
    }

    pub(crate) fn changes(self) -> bool {
        !matches!(self.name, FIRST_OPENING | "look" | "list")
    }
}

const FIRST_OPENING: &str = "first opening";

const fn operation(
    name: &'static str,
    subject: fn(Cast) -> SessionId,
    deed: fn(Cast, [Stamp; 2]) -> Deed,
) -> Operation {
    Operation { name, subject, deed }
}

pub(crate) const ALL: [Operation; 16] = [
    operation(FIRST_OPENING, Cast::fresh, |_, _| Deed::Open),
    operation("create", Cast::fresh, |cast, [stamp, _]| Deed::Create {
        id: cast.fresh(),
        stamp,
        bytes: 1_500,
        durability: Durability::Process,
        owner: None,
        expired: false,
    }),
    operation("login with owner", Cast::fresh, |cast, [stamp, _]| Deed::Create {
        id: cast.fresh(),
        stamp,
        bytes: 6_000,
        durability: Durability::Power,
        owner: Some(ann()),
        expired: false,
    }),
    operation("login over an anonymous session", Cast::anonymous, |cast, [stamp, mark]| {
        Deed::Login { old: cast.anonymous(), new: cast.fresh(), stamp, mark, owner: ann() }
    }),
    operation("update in place", Cast::main, |cast, stamps| {
        save(cast, stamps, 1_400, Durability::Process)
    }),
    operation("update that grows", Cast::main, |cast, stamps| {
        save(cast, stamps, 7_000, Durability::Process)
    }),
    operation("synced update", Cast::main, |cast, stamps| {
        save(cast, stamps, 1_400, Durability::Power)
    }),
    operation("rotation (final update)", Cast::main, |cast, stamps| {
        save(cast, stamps, 1_400, Durability::Final)
    }),
    operation("final update that grows", Cast::main, |cast, stamps| {
        save(cast, stamps, 7_000, Durability::Final)
    }),
    operation("exclusive update", Cast::main, |cast, [stamp, _]| Deed::Save {
        id: cast.main(),
        stamp,
        bytes: 1_400,
        durability: Durability::Process,
        exclusive: true,
    }),
    operation("touch", Cast::main, |cast, _| Deed::Touch { id: cast.main() }),
    operation("delete", Cast::main, |cast, _| Deed::Delete { id: cast.main() }),
    operation("revoke all", Cast::main, |_, _| Deed::Revoke { owner: ann() }),
    operation("sweep", Cast::main, |_, _| Deed::Sweep),
    operation("look", Cast::main, |cast, _| Deed::Look { id: cast.main() }),
    operation("list", Cast::main, |_, _| Deed::List { owner: ann() }),
];

fn save(cast: Cast, stamps: [Stamp; 2], bytes: usize, durability: Durability) -> Deed {
    Deed::save(cast.main(), stamps[0], bytes, durability)
}
