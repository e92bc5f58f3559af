//! What may happen in a history.

use proptest::prelude::*;
use sessile::store::Durability;

/// One operation. Numbers are taken modulo what there is to choose from, so that a history stays
/// one when another operation is left out of it.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Create {
        owner: Option<u8>,
        began: Began,
        life: Life,
        fill: Fill,
        durability: Durability,
    },
    /// A create with an ID that is taken.
    CreateAgain {
        which: u8,
        owner: Option<u8>,
    },
    Read {
        which: u8,
    },
    /// A load that prepares an update.
    Load {
        which: u8,
    },
    /// A load that takes the exclusive lock, if nobody holds it.
    Lock {
        which: u8,
    },
    /// An update of what was loaded last.
    Save {
        which: u8,
        ticket: Option<u8>,
        skip: u8,
        fill: Fill,
        durability: Durability,
    },
    /// An update that takes the record from its owner.
    Disown {
        which: u8,
    },
    /// What a login leaves in place of a session.
    Supersede {
        which: u8,
    },
    /// An update that does not raise the version.
    Repeat {
        which: u8,
    },
    Touch {
        which: u8,
        ticket: Option<u8>,
    },
    Delete {
        which: u8,
        durability: Durability,
    },
    DeleteOwner {
        owner: u8,
        except: Option<u8>,
        ms_ago: u64,
    },
    Sweep {
        limit: usize,
    },
    List {
        owner: Option<u8>,
        limit: usize,
    },
    Release {
        ticket: u8,
    },
    /// Forth or back to the deadline of a session, or to the last instant before it.
    ToDeadline {
        which: u8,
        before: bool,
    },
    Forth {
        ms: u64,
    },
    Back {
        ms: u64,
    },
}

/// When the request of a login began.
#[derive(Clone, Copy, Debug)]
pub(super) enum Began {
    Now,
    Ago { ms: u64 },
    Never,
}

/// How long a session lives.
#[derive(Clone, Copy, Debug)]
pub(super) enum Life {
    Idle { minutes: u64 },
    Absolute { minutes: u64 },
}

/// How much data there is: what fits a slot of a file, and what does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    Nothing,
    Bytes { count: usize, letter: char },
}

/// Whatever may come next; where there is no session yet, mostly a create.
pub(super) fn any(is_empty: bool) -> BoxedStrategy<Operation> {
    let creates = if is_empty { 200 } else { 12 };
    prop_oneof![
        creates => create(),
        2 => (which(), owner()).prop_map(|(which, owner)| Operation::CreateAgain { which, owner }),
        6 => which().prop_map(|which| Operation::Read { which }),
        8 => which().prop_map(|which| Operation::Load { which }),
        4 => which().prop_map(|which| Operation::Lock { which }),
        16 => save(),
        1 => which().prop_map(|which| Operation::Disown { which }),
        1 => which().prop_map(|which| Operation::Supersede { which }),
        1 => which().prop_map(|which| Operation::Repeat { which }),
        5 => (which(), ticket()).prop_map(|(which, ticket)| Operation::Touch { which, ticket }),
        4 => (which(), durability())
            .prop_map(|(which, durability)| Operation::Delete { which, durability }),
        2 => (0..3_u8, proptest::option::of(which()), prop_oneof![Just(0), Just(1), 0..600_000_u64])
            .prop_map(|(owner, except, ms_ago)| Operation::DeleteOwner { owner, except, ms_ago }),
        3 => (0..4_usize).prop_map(|limit| Operation::Sweep { limit }),
        6 => (owner(), 1..4_usize).prop_map(|(owner, limit)| Operation::List { owner, limit }),
        4 => any_u8().prop_map(|ticket| Operation::Release { ticket }),
        4 => (which(), proptest::bool::ANY)
            .prop_map(|(which, before)| Operation::ToDeadline { which, before }),
        8 => span().prop_map(|ms| Operation::Forth { ms }),
        3 => span().prop_map(|ms| Operation::Back { ms }),
    ]
    .boxed()
}

fn create() -> impl Strategy<Value = Operation> {
    let began = prop_oneof![
        4 => Just(Began::Now),
        2 => (0..600_000_u64).prop_map(|ms| Began::Ago { ms }),
        1 => Just(Began::Never),
    ];
    let life = prop_oneof![
        (1..60_u64).prop_map(|minutes| Life::Idle { minutes }),
        (1..60_u64).prop_map(|minutes| Life::Absolute { minutes }),
    ];
    (owner(), began, life, fill(), durability()).prop_map(
        |(owner, began, life, fill, durability)| Operation::Create {
            owner,
            began,
            life,
            fill,
            durability,
        },
    )
}

fn save() -> impl Strategy<Value = Operation> {
    (which(), ticket(), 0..3_u8, fill(), durability()).prop_map(
        |(which, ticket, skip, fill, durability)| Operation::Save {
            which,
            ticket,
            skip,
            fill,
            durability,
        },
    )
}

fn any_u8() -> impl Strategy<Value = u8> {
    proptest::num::u8::ANY
}

fn which() -> impl Strategy<Value = u8> {
    any_u8()
}

fn owner() -> impl Strategy<Value = Option<u8>> {
    proptest::option::of(0..3_u8)
}

fn ticket() -> impl Strategy<Value = Option<u8>> {
    proptest::option::of(any_u8())
}

fn fill() -> impl Strategy<Value = Fill> {
    let count = prop_oneof![1..100_usize, 1_000..3_000_usize, 4_000..14_000_usize];
    prop_oneof![
        Just(Fill::Nothing),
        (count, proptest::char::range('a', 'z'))
            .prop_map(|(count, letter)| Fill::Bytes { count, letter }),
    ]
}

fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![
        20 => Just(Durability::Process),
        1 => Just(Durability::Power),
        1 => Just(Durability::Final),
    ]
}

/// From a millisecond, which tells "at" from "after", to what ends every session.
fn span() -> impl Strategy<Value = u64> {
    const MINUTE: u64 = 60_000;
    prop_oneof![Just(1), 1..1_000_u64, MINUTE..20 * MINUTE, 20 * MINUTE..180 * MINUTE]
}
