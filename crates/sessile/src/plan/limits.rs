//! How large and how deep a session may grow.

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Data;

/// Refuses data that is larger than the configuration allows.
///
/// # Errors
/// [`ErrorKind::TooLarge`].
pub(crate) fn check_size(data: &Data, config: &Config) -> Result<()> {
    let bytes: usize = data.iter().map(|(key, json)| key.len() + json.len()).sum();
    within("bytes", bytes, "data_bytes_max", config.data_bytes_max)?;
    within("keys", data.len(), "keys_max", config.keys_max)
}

/// Refuses a value that is nested deeper than the configuration allows.
///
/// # Errors
/// [`ErrorKind::TooLarge`].
pub(crate) fn check_nesting(json: &[u8], config: &Config) -> Result<()> {
    within("levels of nesting", nesting(json), "nesting_max", config.nesting_max)
}

fn within(what: &str, wanted: usize, limit: &str, allowed: usize) -> Result<()> {
    if wanted <= allowed {
        return Ok(());
    }
    let refusal = format!("the session would hold {wanted} {what}; `{limit}` is {allowed}");
    Err(Error::new(ErrorKind::TooLarge, refusal))
}

/// How deep arrays and objects lie in each other in valid JSON.
fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth -= 1,
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_data_is_refused_at_the_exact_limit() {
        let mut data = Data::default();
        data.insert("k", "12345".into());
        let limit = |data_bytes_max| Config { data_bytes_max, ..Config::default() };
        assert!(check_size(&data, &limit(6)).is_ok());
        assert_eq!(check_size(&data, &limit(5)).unwrap_err().kind(), ErrorKind::TooLarge);
        let limit = |keys_max| Config { keys_max, ..Config::default() };
        assert!(check_size(&data, &limit(1)).is_ok());
        assert_eq!(check_size(&data, &limit(0)).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn nesting_is_counted_outside_of_texts() {
        for (json, depth) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[1,[2]],"b":[]}"#, 3),
            (r#"["[[[["]"#, 1),
            (r#"["\\","\"[["]"#, 1),
            (r#"["]",[[]]]"#, 3),
            ("[[],[],[]]", 2),
        ] {
            assert_eq!(nesting(json.as_bytes()), depth, "{json}");
        }
        let limit = |nesting_max| Config { nesting_max, ..Config::default() };
        assert!(check_nesting(b"[[1]]", &limit(2)).is_ok());
        assert_eq!(check_nesting(b"[[1]]", &limit(1)).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
