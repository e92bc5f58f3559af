//! The names of the tables, which are the only text that enters statements unbound.

use crate::error::{Error, ErrorKind, Result};

pub(super) const DEFAULT_TABLE: &str = "sessile";

/// A validated table name, and the names that derive from it.
#[derive(Clone, Debug)]
pub(super) struct Names {
    schema: Option<String>,
    table: String,
}

impl Names {
    /// Parses `table` or `schema.table`.
    pub(super) fn parse(name: &str, has_schemas: bool) -> Result<Self> {
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) if has_schemas => (Some(schema), table),
            _ => (None, name),
        };
        if schema.into_iter().chain([table]).all(is_identifier) {
            return Ok(Self { schema: schema.map(Into::into), table: table.into() });
        }
        let doing = format!(
            "{name:?} is no table name: take 1 to 48 of a-z, 0-9 and \"_\", no digit first{}",
            if has_schemas { ", after a schema and a dot if need be" } else { "" }
        );
        Err(Error::new(ErrorKind::Config, doing))
    }

    /// The name as it was given.
    pub(super) fn table(&self) -> String {
        self.schema.iter().chain([&self.table]).map(String::as_str).collect::<Vec<_>>().join(".")
    }

    /// Puts the names into a template.
    pub(super) fn fill(&self, template: &str, quote: char) -> String {
        let quoted = |name: String| format!("{quote}{name}{quote}");
        let schema = self.schema.iter().map(|schema| quoted(schema.clone()) + ".");
        let schema = schema.collect::<String>();
        let mut filled = template.to_owned();
        for (slot, suffix) in [("table", ""), ("owners", "_owners"), ("schema", "_schema")] {
            let name = schema.clone() + &quoted(format!("{}{suffix}", self.table));
            filled = filled.replace(&format!("{{{slot}}}"), &name);
        }
        // An index lies where its table lies, and its name says nothing of it.
        for (slot, suffix) in [("sweep_index", "_sweep"), ("owner_index", "_by_owner")] {
            let name = quoted(format!("{}{suffix}", self.table));
            filled = filled.replace(&format!("{{{slot}}}"), &name);
        }
        filled
    }
}

fn is_identifier(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let first = name.bytes().next();
    name.len() <= 48
        && name.bytes().all(known)
        && first.is_some_and(|first| !first.is_ascii_digit())
}

/// The namespaces that every store of ours takes.
pub(super) fn checked_namespace(name: &str) -> Result<&str> {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(known) {
        return Ok(name);
    }
    let doing = format!("{name:?} is no namespace: take 1 to 64 of a-z, 0-9, \"_\" and \"-\"");
    Err(Error::new(ErrorKind::Config, doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_identifiers_are_names() {
        for name in ["sessile", "_a1", "user", &"x".repeat(48)] {
            assert!(Names::parse(name, false).is_ok(), "{name}");
        }
        for name in ["", "1a", "A", "a-b", "a\"b", "a b", "a.b", "ä", &"x".repeat(49)] {
            assert_eq!(Names::parse(name, false).unwrap_err().kind(), ErrorKind::Config, "{name}");
        }
        for name in ["", ".a", "a.", "a.b.c", "a\".b"] {
            assert!(Names::parse(name, true).is_err(), "{name}");
        }
    }

    #[test]
    fn names_are_quoted_and_lie_in_their_schema() {
        let names = Names::parse("app.user", true).unwrap();
        let filled = names.fill("{table} {owners} {schema} {sweep_index}", '"');
        assert_eq!(filled, r#""app"."user" "app"."user_owners" "app"."user_schema" "user_sweep""#);
        assert_eq!(names.table(), "app.user");
    }

    #[test]
    fn a_namespace_is_a_short_plain_name() {
        assert!(checked_namespace("shop-2_a").is_ok());
        for name in ["", "Shop", "a.b", &"x".repeat(65)] {
            assert!(checked_namespace(name).is_err(), "{name}");
        }
    }
}
