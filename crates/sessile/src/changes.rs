//! What a handler did to a session's data, and how that is applied to a newer state of it. Pure.
//!
//! The key is the unit of merge. Operations on different keys never clash; an `update` is a closure
//! that runs again on whatever another request left; a plain `insert` or `remove` is the last word
//! of the last writer, and [`Changes::overwritten`] tells when that hid somebody else's word.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::record::Data;

/// Computes the JSON text of a key from what is there. May run again, on other input.
pub(crate) type Closure = Box<dyn Fn(Option<&Bytes>) -> Result<Bytes> + Send>;

/// The changes of one request since its last commit.
#[derive(Default)]
pub(crate) struct Changes {
    /// Every key that is there at commit goes first.
    cleared: bool,
    /// Then each of these happens to its key.
    keys: BTreeMap<Box<str>, Change>,
}

enum Change {
    Set(Bytes),
    Remove,
    Update(Vec<Closure>),
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        !self.cleared && self.keys.is_empty()
    }

    pub(crate) fn insert(&mut self, key: &str, json: Bytes) {
        self.keys.insert(key.into(), Change::Set(json));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.keys.insert(key.into(), Change::Remove);
    }

    pub(crate) fn clear(&mut self) {
        self.cleared = true;
        self.keys.clear();
    }

    /// Notes a closure that gave `json` on what this request sees.
    ///
    /// After an insert or a remove there is nothing to run again: the outcome is known.
    pub(crate) fn update(&mut self, key: &str, closure: Closure, json: Bytes) {
        match self.keys.get_mut(key) {
            Some(Change::Update(closures)) => closures.push(closure),
            Some(known) => *known = Change::Set(json),
            None => {
                self.keys.insert(key.into(), Change::Update(vec![closure]));
            }
        }
    }

    /// Adds what happened after these changes; `outcome` is the data that all of them gave.
    pub(crate) fn append(&mut self, later: Self, outcome: &Data) {
        if later.cleared {
            *self = later;
            return;
        }
        for (key, change) in later.keys {
            match (self.keys.get_mut(&key), change) {
                (Some(Change::Update(closures)), Change::Update(more)) => closures.extend(more),
                (Some(known), Change::Update(_)) => {
                    *known = outcome.get(&key).cloned().map_or(Change::Remove, Change::Set);
                }
                (_, change) => {
                    self.keys.insert(key, change);
                }
            }
        }
    }

    /// Applies the changes, in order, to another state of the data.
    ///
    /// # Errors
    /// What a closure gives, or [`ErrorKind::Panicked`]; `data` is then to be thrown away.
    pub(crate) fn apply(&self, data: &mut Data) -> Result<()> {
        if self.cleared {
            data.clear();
        }
        self.keys.iter().try_for_each(|(key, change)| change.apply(key, data))
    }

    /// The inserted keys whose bytes are no longer what this request had read.
    pub(crate) fn overwritten(&self, read: &Data, current: &Data) -> Vec<String> {
        let inserted = self.keys.iter().filter(|(_, change)| matches!(change, Change::Set(_)));
        let changed = inserted.filter(|(key, _)| read.get(key) != current.get(key));
        changed.map(|(key, _)| key.to_string()).collect()
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.keys().collect::<Vec<_>>();
        f.debug_struct("Changes").field("cleared", &self.cleared).field("keys", &keys).finish()
    }
}

impl Change {
    fn apply(&self, key: &str, data: &mut Data) -> Result<()> {
        match self {
            Self::Set(json) => {
                data.insert(key, json.clone());
            }
            Self::Remove => {
                data.remove(key);
            }
            Self::Update(closures) => {
                for closure in closures {
                    let json = run(closure, data.get(key))?;
                    data.insert(key, json);
                }
            }
        }
        Ok(())
    }
}

/// Runs a caller's closure; its panic is an error here, because it runs long after the handler.
fn run(closure: &Closure, current: Option<&Bytes>) -> Result<Bytes> {
    catch_unwind(AssertUnwindSafe(|| closure(current))).unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Panicked, "a closure given to `update` panicked at commit"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> Data {
        let mut data = Data::default();
        for (key, json) in pairs {
            data.insert(key, Bytes::copy_from_slice(json.as_bytes()));
        }
        data
    }

    fn json(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn append(suffix: &'static str) -> Closure {
        Box::new(move |current| {
            Ok([current.map_or(&b""[..], |bytes| bytes), suffix.as_bytes()].concat().into())
        })
    }

    fn applied(changes: &Changes, pairs: &[(&str, &str)]) -> Data {
        let mut data = data(pairs);
        changes.apply(&mut data).unwrap();
        data
    }

    #[test]
    fn what_is_printed_has_the_keys_and_no_value() {
        let mut changes = Changes::default();
        changes.clear();
        changes.insert("card", json("4242"));
        assert_eq!(format!("{changes:?}"), r#"Changes { cleared: true, keys: ["card"] }"#);
    }

    #[test]
    fn a_change_of_any_kind_is_one() {
        assert!(Changes::default().is_empty());
        let kinds: [fn(&mut Changes); 4] = [
            |changes| changes.insert("n", json("1")),
            |changes| changes.remove("n"),
            |changes| changes.update("n", append("b"), json("b")),
            Changes::clear,
        ];
        for change in kinds {
            let mut changes = Changes::default();
            change(&mut changes);
            assert!(!changes.is_empty());
        }
    }

    #[test]
    fn different_keys_never_clash() {
        let mut changes = Changes::default();
        changes.insert("mine", json("1"));
        assert_eq!(applied(&changes, &[("theirs", "2")]), data(&[("mine", "1"), ("theirs", "2")]));
    }

    #[test]
    fn closures_run_again_on_what_is_there() {
        let mut changes = Changes::default();
        changes.update("n", append("b"), json("ab"));
        changes.update("n", append("c"), json("abc"));
        assert_eq!(applied(&changes, &[("n", "x")]), data(&[("n", "xbc")]));
        assert_eq!(applied(&changes, &[]), data(&[("n", "bc")]));
    }

    #[test]
    fn an_update_after_an_insert_is_a_value() {
        let mut changes = Changes::default();
        changes.insert("n", json("a"));
        changes.update("n", append("b"), json("ab"));
        assert_eq!(applied(&changes, &[("n", "x")]), data(&[("n", "ab")]));
    }

    #[test]
    fn an_update_after_a_remove_or_a_clear_is_a_value() {
        let mut removed = Changes::default();
        removed.remove("n");
        removed.update("n", append("b"), json("b"));
        let mut cleared = Changes::default();
        cleared.clear();
        cleared.update("n", append("b"), json("b"));
        for changes in [removed, cleared] {
            assert_eq!(applied(&changes, &[("n", "x")]), data(&[("n", "b")]));
        }
    }

    #[test]
    fn clear_removes_every_key_present_at_commit() {
        let mut changes = Changes::default();
        changes.insert("before", json("1"));
        changes.clear();
        changes.insert("after", json("2"));
        assert_eq!(applied(&changes, &[("late", "3")]), data(&[("after", "2")]));
    }

    #[test]
    fn an_insert_over_somebody_elses_word_is_told() {
        let mut changes = Changes::default();
        changes.insert("same", json("1"));
        changes.insert("new", json("1"));
        changes.update("counted", append("1"), json("1"));
        let read = data(&[("same", "0"), ("counted", "0")]);
        let current = data(&[("same", "5"), ("counted", "5")]);
        assert_eq!(changes.overwritten(&read, &current), ["same"]);
        assert_eq!(changes.overwritten(&read, &read), Vec::<String>::new());
    }

    #[test]
    fn what_happened_later_is_appended_as_if_it_had_been_noted_at_once() {
        type Note = fn(&mut Changes);
        let notes: [Note; 5] = [
            |changes| changes.insert("n", json("i")),
            |changes| changes.remove("n"),
            |changes| changes.update("n", append("u"), json("?")),
            |changes| changes.insert("other", json("o")),
            Changes::clear,
        ];
        for (first, second) in notes.iter().flat_map(|a| notes.iter().map(move |b| (a, b))) {
            let (mut earlier, mut later) = (Changes::default(), Changes::default());
            first(&mut earlier);
            second(&mut later);
            let mut outcome = applied(&earlier, &[("n", "x")]);
            later.apply(&mut outcome).unwrap();
            earlier.append(later, &outcome);
            assert_eq!(applied(&earlier, &[("n", "x")]), outcome, "{earlier:?}");
        }
        // A value that is known has nothing to run again.
        let mut known = Changes::default();
        known.insert("n", json("i"));
        let mut later = Changes::default();
        later.update("n", append("u"), json("iu"));
        known.append(later, &data(&[("n", "iu")]));
        assert_eq!(applied(&known, &[("n", "x")]), data(&[("n", "iu")]));
    }

    #[test]
    fn a_panicking_closure_is_an_error() {
        let mut changes = Changes::default();
        changes.update("n", Box::new(|_| panic!("expected by this test")), json("1"));
        let error = changes.apply(&mut data(&[])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
    }
}
