//! A worker's own choice of what to do next, out of a seed.

use sessile::store::Durability;
use sessile::{Owner, SessionId};

use crate::deed::{Answer, Deed, Order, Stamp, wall_ms};

/// So many sessions a worker keeps in mind; it makes more below, and ends more above.
const SESSIONS: usize = 24;

/// The users of all workers.
const OWNERS: [&str; 3] = ["ann", "bob", "cyd"];

/// The users as the store knows them.
pub(crate) fn owners() -> impl Iterator<Item = Owner> {
    OWNERS.iter().map(|name| Owner::new(*name).expect("these names are short"))
}

pub(crate) struct Roamer {
    rng: fastrand::Rng,
    /// The upper half of every stamp, so that no two workers share one.
    name: u64,
    stamps: u64,
    known: Vec<SessionId>,
}

impl Roamer {
    /// `name` is given to one worker only.
    pub(crate) fn new(seed: u64, name: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), name, stamps: 0, known: Vec::new() }
    }

    /// Hears of sessions, those of others among them.
    pub(crate) fn meet(&mut self, ids: Vec<SessionId>) {
        self.known = ids;
    }

    pub(crate) fn choose(&mut self) -> Order {
        Order { deed: self.deed(), now_ms: wall_ms() }
    }

    /// What was ended is asked for once more now and then, by those who have not heard of it.
    pub(crate) fn learn(&mut self, deed: &Deed, answer: &Answer) {
        match (deed, answer) {
            (Deed::Create { id, expired: false, .. }, Answer::Wrote { .. })
            | (Deed::Login { new: id, .. }, Answer::LoggedIn { .. }) => self.known.push(*id),
            (Deed::Delete { id }, _) if self.rng.bool() => self.known.retain(|known| known != id),
            _ => {}
        }
    }

    fn deed(&mut self) -> Deed {
        if self.known.is_empty() || (self.known.len() < SESSIONS && self.rng.u8(..4) == 0) {
            return self.birth();
        }
        let id = self.any();
        match self.rng.u8(..100) {
            0..12 => self.birth(),
            12..60 => self.save(id),
            60..70 => Deed::Touch { id },
            70..76 => self.login(id),
            76..86 => Deed::Delete { id },
            86 => Deed::Revoke { owner: self.owner() },
            87..90 => Deed::Sweep,
            90..94 => Deed::List { owner: self.owner() },
            _ => Deed::Look { id },
        }
    }

    fn birth(&mut self) -> Deed {
        let owner = if self.rng.bool() { Some(self.owner()) } else { None };
        let durability = if owner.is_some() { Durability::Power } else { self.durability() };
        let (id, stamp, bytes) = (self.fresh(), self.stamp(), self.bytes());
        Deed::Create { id, stamp, bytes, durability, owner, expired: self.rng.u8(..5) == 0 }
    }

    fn save(&mut self, id: SessionId) -> Deed {
        let (stamp, bytes, durability) = (self.stamp(), self.bytes(), self.durability());
        Deed::Save { id, stamp, bytes, durability, exclusive: self.rng.u8(..6) == 0 }
    }

    fn login(&mut self, old: SessionId) -> Deed {
        let (new, stamp, mark) = (self.fresh(), self.stamp(), self.stamp());
        Deed::Login { old, new, stamp, mark, owner: self.owner() }
    }

    fn any(&mut self) -> SessionId {
        self.known[self.rng.usize(..self.known.len())]
    }

    fn fresh(&mut self) -> SessionId {
        SessionId::from_bytes(self.rng.u128(..).to_le_bytes())
    }

    fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        self.name << 32 | self.stamps
    }

    fn owner(&mut self) -> Owner {
        owners().nth(self.rng.usize(..OWNERS.len())).expect("one of as many as there are")
    }

    /// Small ones lie in a slot, larger ones in a tail, and some give space back.
    fn bytes(&mut self) -> usize {
        let up_to = *self.rng.choice(&[300, 1_500, 1_500, 6_000, 80_000]).expect("there are some");
        self.rng.usize(..up_to)
    }

    fn durability(&mut self) -> Durability {
        match self.rng.u8(..10) {
            0..6 => Durability::Process,
            6..8 => Durability::Power,
            _ => Durability::Final,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_deeds_again() {
        let deeds = |seed| {
            let mut roamer = Roamer::new(seed, 1);
            (0..50).map(|_| roamer.deed()).collect::<Vec<_>>()
        };
        assert_eq!(deeds(7), deeds(7));
        assert_ne!(deeds(7), deeds(8));
    }
}
