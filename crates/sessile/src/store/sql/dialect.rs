//! What differs between the databases, and the texts of all statements.

use std::sync::Arc;

use super::names::Names;
use crate::store::Durability;

/// How one database spells what the others spell differently.
#[derive(Debug)]
pub(super) struct Dialect {
    /// What encloses an identifier.
    pub(super) quote: char,
    /// Whether placeholders are `$1`, `$2` … rather than `?`.
    pub(super) numbers_placeholders: bool,
    /// Whether a table's name may have a schema in front of it.
    pub(super) has_schemas: bool,
    /// The functions that give the greater and the lesser of two values.
    pub(super) greatest: &'static str,
    pub(super) least: &'static str,
    /// The server's clock in milliseconds since the epoch. No time zone may have a say in it.
    pub(super) now_ms: &'static str,
    /// Begins a transaction that writes.
    pub(super) begin: &'static str,
    /// Locks the rows that a select gives, but for those that others have locked.
    pub(super) lock_rows: &'static str,
    /// Ends a statement whose commit need not wait for the disk.
    pub(super) unsynced: &'static str,
    /// Inserts the row of an owner, or raises its instant; takes the row's lock in any case.
    pub(super) raise: &'static str,
    /// Inserts the record of a login that counts, and locks its owner's row meanwhile, in one statement,
    /// where the database can: the values of an insert, and when the login began.
    pub(super) log_in: Option<&'static str>,
    /// Notes a version of the schema that may have been noted before.
    pub(super) note_version: &'static str,
    /// The tables, by version of the schema.
    pub(super) schema: &'static [&'static str],
}

/// One placeholder list serves every number of sessions, so that one prepared statement does too.
pub(super) const IDS_PER_STATEMENT: usize = 64;

/// A record counts as there at the instant that is bound twice. What was set aside has version -1.
const LIVE: &str = "version > 0 AND absolute_deadline > ? \
    AND (idle_timeout IS NULL OR used_at + idle_timeout > ?)";

/// What an insert gives values to, in this order.
const COLUMNS: &str = "namespace, id, version, used_at, idle_timeout, absolute_deadline, \
    superseded, owner, sweep_at, record";

/// The texts of all statements for one table.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) begin: Arc<str>,
    pub(super) insert: Write,
    pub(super) log_in: Option<Write>,
    pub(super) load: Arc<str>,
    pub(super) update: Write,
    pub(super) update_locked: Write,
    pub(super) read_back: Arc<str>,
    pub(super) set_aside: Arc<str>,
    pub(super) touch: Arc<str>,
    pub(super) delete: Arc<str>,
    pub(super) raise: Arc<str>,
    pub(super) not_before: Arc<str>,
    pub(super) delete_owner: Arc<str>,
    pub(super) list: Arc<str>,
    pub(super) list_owner: Arc<str>,
    pub(super) any_due: Arc<str>,
    pub(super) due: Arc<str>,
    pub(super) remove: Arc<str>,
    pub(super) refile: Arc<str>,
    pub(super) lock: Arc<str>,
    pub(super) is_live: Arc<str>,
    pub(super) unlock: Arc<str>,
}

/// A statement that writes, once for each class of durability.
#[derive(Debug)]
pub(super) struct Write {
    synced: Arc<str>,
    unsynced: Arc<str>,
}

impl Write {
    pub(super) fn kept(&self, durability: Durability) -> Arc<str> {
        Arc::clone(if durability > Durability::Process { &self.synced } else { &self.unsynced })
    }
}

impl Statements {
    pub(super) fn new(dialect: &Dialect, names: &Names) -> Self {
        let text = |template: &str| dialect.text(template, names);
        let unsynced = |template: &str| text(&format!("{template}{{unsynced}}"));
        let write = |template: &str| Write { synced: text(template), unsynced: unsynced(template) };
        let update = "UPDATE {table} SET version = ?, used_at = {greatest}(used_at, ?), \
            idle_timeout = ?, absolute_deadline = ?, superseded = ?, owner = ?, \
            sweep_at = {least}(sweep_at, ?), record = ? \
            WHERE namespace = ? AND id = ? AND version = ? AND {live} AND (? IS NULL OR owner = ?)";
        let list = "SELECT id, record, version, used_at FROM {table} \
            WHERE namespace = ? AND id > ? AND superseded = 0 AND {live}";
        let ids = vec!["?"; IDS_PER_STATEMENT].join(", ");
        Self {
            begin: dialect.begin.into(),
            insert: write("INSERT INTO {table} ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            log_in: dialect.log_in.map(write),
            load: text(
                "SELECT record, version, used_at FROM {table} \
                 WHERE namespace = ? AND id = ? AND {live}",
            ),
            update: write(update),
            update_locked: write(&format!(
                "{update} AND lock_token = ? AND lock_until > {{now_ms}}"
            )),
            read_back: text(
                "SELECT record, version, used_at, lock_token, \
                 COALESCE(lock_until - {now_ms}, 0) FROM {table} \
                 WHERE namespace = ? AND id = ? AND {live}",
            ),
            set_aside: text(
                "UPDATE {table} SET version = -1 \
                 WHERE namespace = ? AND id = ? AND version = ? AND record = ?",
            ),
            touch: unsynced(
                "UPDATE {table} SET used_at = {greatest}(used_at, ?) \
                 WHERE namespace = ? AND id = ? AND {live}",
            ),
            delete: text("DELETE FROM {table} WHERE namespace = ? AND id = ?"),
            raise: text(dialect.raise),
            not_before: text("SELECT not_before FROM {owners} WHERE namespace = ? AND owner = ?"),
            delete_owner: text("DELETE FROM {table} WHERE namespace = ? AND owner = ? AND id <> ?"),
            list: text(&format!("{list} ORDER BY id LIMIT ?")),
            list_owner: text(&format!("{list} AND owner = ? ORDER BY id LIMIT ?")),
            any_due: text(
                "SELECT sweep_at FROM {table} WHERE namespace = ? AND sweep_at <= ? LIMIT 1",
            ),
            due: text(
                "SELECT id, owner, used_at, idle_timeout, absolute_deadline FROM {table} \
                 WHERE namespace = ? AND sweep_at <= ? ORDER BY sweep_at LIMIT ?{lock_rows}",
            ),
            remove: text(&format!("DELETE FROM {{table}} WHERE namespace = ? AND id IN ({ids})")),
            refile: text("UPDATE {table} SET sweep_at = ? WHERE namespace = ? AND id = ?"),
            lock: unsynced(
                "UPDATE {table} SET lock_token = ?, lock_until = {now_ms} + ? \
                 WHERE namespace = ? AND id = ? AND {live} \
                 AND (lock_until IS NULL OR lock_until <= {now_ms})",
            ),
            is_live: text("SELECT version FROM {table} WHERE namespace = ? AND id = ? AND {live}"),
            unlock: unsynced(
                "UPDATE {table} SET lock_token = NULL, lock_until = NULL \
                 WHERE namespace = ? AND id = ? AND lock_token = ?",
            ),
        }
    }
}

impl Dialect {
    /// The text of a template for these names.
    pub(super) fn text(&self, template: &str, names: &Names) -> Arc<str> {
        let filled = names
            .fill(template, self.quote)
            .replace("{live}", LIVE)
            .replace("{columns}", COLUMNS)
            .replace("{greatest}", self.greatest)
            .replace("{least}", self.least)
            .replace("{now_ms}", self.now_ms)
            .replace("{lock_rows}", self.lock_rows)
            .replace("{unsynced}", self.unsynced);
        if self.numbers_placeholders { numbered(&filled).into() } else { filled.into() }
    }
}

/// Turns `?` into `$1`, `$2` and so on.
fn numbered(sql: &str) -> String {
    let mut pieces = sql.split('?');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.zip(1..).fold(first, |text, (piece, number)| format!("{text}${number}{piece}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_in_order() {
        assert_eq!(numbered("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!(numbered("nothing"), "nothing");
    }
}
