//! The names of keys. All keys of one session lie in one slot of a Cluster, those of one owner in
//! another, and what spans a namespace in a third.

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::record::Owner;
use crate::token::SessionId;

/// Makes the keys of one namespace.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// Invariant: `{prefix}:{namespace}`, of letters that no slot computation cares about.
    stem: String,
}

impl Keys {
    /// # Errors
    /// [`ErrorKind::Config`] for a prefix or a namespace of other letters: two names must never make
    /// one key, and a brace would decide the slot.
    pub(super) fn new(prefix: &str, namespace: &str) -> Result<Self> {
        let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        for (what, name) in [("prefix", prefix), ("namespace", namespace)] {
            if !(1..=64).contains(&name.len()) || !name.bytes().all(known) {
                let mend =
                    format!("{name:?} is no {what}: take 1 to 64 of a-z, 0-9, \"_\" and \"-\"");
                return Err(Error::new(ErrorKind::Config, mend));
            }
        }
        Ok(Self { stem: format!("{prefix}:{namespace}") })
    }

    /// A session's hash.
    pub(super) fn session(&self, id: SessionId) -> String {
        format!("{}:s:{{{id}}}", self.stem)
    }

    /// Where a session's hash is put when it is damaged.
    pub(super) fn set_aside(&self, id: SessionId) -> String {
        format!("{}:damaged:{{{id}}}", self.stem)
    }

    /// An owner's sessions. The owner's name may be long, and may be an address: it is hashed.
    pub(super) fn owner(&self, owner: &Owner) -> String {
        let digest = Sha256::digest(owner.as_str());
        format!("{}:o:{}", self.stem, data_encoding::HEXLOWER.encode(&digest))
    }

    /// All sessions by the deadline they were filed under.
    pub(super) fn due(&self) -> String {
        format!("{{{}}}:due", self.stem)
    }

    /// All sessions by ID.
    pub(super) fn all(&self) -> String {
        format!("{{{}}}:all", self.stem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_their_slot() {
        let keys = Keys::new("sessile", "shop").unwrap();
        let id = SessionId::from_bytes([0xab; 16]);
        assert_eq!(keys.session(id), format!("sessile:shop:s:{{{id}}}"));
        assert_eq!(keys.set_aside(id), format!("sessile:shop:damaged:{{{id}}}"));
        assert_eq!([keys.due(), keys.all()], ["{sessile:shop}:due", "{sessile:shop}:all"]);
        let owner = keys.owner(&Owner::new("ann").unwrap());
        assert_eq!(owner.len(), "sessile:shop:o:".len() + 64);
    }

    #[test]
    fn names_of_other_letters_are_refused() {
        for name in ["", "a:b", "{a}", "A", &"x".repeat(65)] {
            assert!(Keys::new(name, "shop").is_err() && Keys::new("sessile", name).is_err());
        }
    }
}
