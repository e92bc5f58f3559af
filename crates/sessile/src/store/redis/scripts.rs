//! The scripts that run inside the server, each a step that nobody sees half done.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {$(
        $(#[$doc])*
        pub(super) static $name: Text = Text {
            code: concat!(include_str!("lua/prelude.lua"), include_str!($file)),
            digest: LazyLock::new(|| digest_of(concat!(
                include_str!("lua/prelude.lua"),
                include_str!($file)
            ))),
        };
    )*};
}

/// A script, and the digest by which a server that has seen it runs it.
pub(super) struct Text {
    pub(super) code: &'static str,
    digest: LazyLock<String>,
}

impl Text {
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }
}

fn digest_of(code: &str) -> String {
    Script::new(code).get_hash().to_owned()
}

// On the slot of a session.
scripts! {
    CREATE = "lua/create.lua";
    UPDATE = "lua/update.lua";
    TOUCH = "lua/touch.lua";
    DELETE = "lua/delete.lua";
    EXPIRE = "lua/expire.lua";
    SET_ASIDE = "lua/set_aside.lua";
    LOCK = "lua/lock.lua";
    UNLOCK = "lua/unlock.lua";
}

// On the slot of an owner.
scripts! {
    JOIN = "lua/join.lua";
    KEEP = "lua/keep.lua";
    HEAL = "lua/heal.lua";
    REVOKE = "lua/revoke.lua";
}

// On the slot of a namespace.
scripts! {
    DUE = "lua/due.lua";
    FILE = "lua/file.lua";
}
