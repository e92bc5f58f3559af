//! The features of a manifest, read from it, so that CI builds a new one the day it is added.

/// The names in the `[features]` table, without `default`.
pub(crate) fn features(manifest: &str) -> Vec<String> {
    let table = manifest.lines().skip_while(|line| line.trim() != "[features]").skip(1);
    let rows = table.take_while(|line| !line.starts_with('['));
    let names = rows.filter_map(|row| row.split_once('=')).map(|(name, _)| name.trim());
    names.filter(|name| !name.starts_with('#') && *name != "default").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_nothing_else() {
        let manifest = "[package]\nname = \"x\"\n[features]\ndefault = [\"a\"]\n# off = []\n\
                        a = [\n  \"dep:b\",\n]\nc-d = []\n\n[dependencies]\ne = \"1\"\n";
        assert_eq!(features(manifest), ["a", "c-d"]);
    }

    #[test]
    fn the_librarys_own_manifest_has_some() {
        let manifest = include_str!("../../sessile/Cargo.toml");
        assert!(features(manifest).contains(&"file".to_owned()));
    }
}
