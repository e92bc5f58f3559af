//! The arrows of `ARCHITECTURE.md`, kept by reading the sources.
//!
//! Each rule is a function over text, with a test that hands it a violation: a rule that cannot fail
//! keeps nothing. Comments, strings and unit tests may name what the code may not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 700;

/// What the pure modules may not name: a clock, a file, a socket, a runtime, randomness.
const EFFECTS: [&str; 10] = [
    "SystemTime::now",
    "Instant::now",
    "std::fs",
    "std::net",
    "std::process",
    "rustix",
    "nix",
    "tokio",
    "getrandom",
    "async",
];

/// Databases, TLS, HTTP clients and servers: nobody gets them who did not ask.
const HEAVY: [&str; 24] = [
    "aws-lc-rs",
    "curl",
    "diesel",
    "fred",
    "hyper",
    "isahc",
    "libsqlite3-sys",
    "mongodb",
    "mysql",
    "mysql_async",
    "native-tls",
    "openssl",
    "openssl-sys",
    "postgres",
    "redis",
    "reqwest",
    "ring",
    "rusqlite",
    "rustls",
    "schannel",
    "sea-orm",
    "sqlx",
    "tokio-postgres",
    "ureq",
];

#[test]
fn a_store_knows_nothing_of_cookies_sessions_and_http() {
    let above = ["crate::cookie", "crate::session", "crate::engine", "crate::plan", "crate::web"];
    let foreign = ["crate::config", "crate::changes", "http", "axum_core", "tower_service"];
    forbid(&in_library("store/"), &[&above[..], &foreign[..]].concat());
}

#[test]
fn a_store_reads_no_wall_clock() {
    forbid(&in_library("store/"), &["SystemTime::now", "crate::clock::SystemClock"]);
}

#[test]
fn web_names_no_concrete_store() {
    let concrete = ["crate::store::file", "crate::store::memory", "FileStore", "MemoryStore"];
    forbid(&in_library("web/"), &concrete);
}

#[test]
fn the_pure_modules_do_no_io_and_read_no_clock() {
    for name in ["expiry", "record", "codec", "cookie", "plan", "changes"] {
        let mut files = in_library(&format!("{name}.rs"));
        files.extend(in_library(&format!("{name}/")));
        forbid(&files, &EFFECTS);
    }
}

/// Whoever compares byte by byte tells a guesser how far the guess was right.
#[test]
fn r4_secrets_and_their_hashes_are_compared_in_constant_time_alone() {
    let token = in_library("token.rs").remove(0);
    for name in ["Secret", "SecretHash", "Token"] {
        assert_eq!(hasty_comparison(&token.text, name), None);
    }
    let raw = in_library("").into_iter().filter(|it| compares_raw_bytes(&it.text));
    assert_eq!(raw.map(|it| it.path).collect::<Vec<_>>(), Vec::<String>::new());
}

// R47
#[test]
fn only_the_system_call_module_names_the_system_call_crates() {
    let gate = |source: &Source| source.path.starts_with("store/file/sys");
    let (inside, outside): (Vec<_>, Vec<_>) = in_library("").into_iter().partition(gate);
    assert!(!inside.is_empty(), "the one module that may call the system has moved");
    forbid(&outside, &["rustix", "nix", "libc"]);
}

#[test]
fn the_default_features_pull_in_no_database_tls_or_http_client() {
    let (manifest, lock) = (read("crates/sessile/Cargo.toml"), read("Cargo.lock"));
    let crates = reached(&direct_by_default(&manifest), &lock);
    assert!(crates.contains("rustix") && crates.contains("http"), "{crates:?}");
    assert_eq!(heavy(&crates), Vec::<&str>::new());
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let named = tests_named(&read("ARCHITECTURE.md"));
    assert!(named.len() >= 10, "only {named:?} are named");
    let known: BTreeSet<String> = all_sources().iter().flat_map(|s| tests_in(&s.text)).collect();
    let missing: Vec<_> = named.difference(&known).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names tests that are not there: {missing:?}");
}

#[test]
fn every_link_in_the_prose_leads_somewhere() {
    let folders = ["", "crates/sessile", "crates/sessile/docs", "examples/own-store", "fuzz"];
    let pages = folders.map(pages).concat();
    assert!(pages.len() > 7, "there are more pages than {pages:?}");
    for page in pages {
        let links = links_to_files(&page, &read(&page));
        let broken: Vec<_> = links.into_iter().filter(is_gone).collect();
        assert!(broken.is_empty(), "{page} links to {broken:?}");
    }
}

#[test]
fn no_file_is_longer_than_a_reader_has_patience_for() {
    let long: Vec<_> = all_sources().into_iter().filter(|s| is_too_long(&s.text)).collect();
    assert!(long.is_empty(), "split by idea: {:?}", paths(&long));
}

#[test]
fn nothing_is_left_for_later() {
    let all = all_sources().into_iter();
    let left: Vec<_> = all.filter(|source| !leftovers(&source.text).is_empty()).collect();
    assert!(left.is_empty(), "finish these: {:?}", paths(&left));
}

// ---- the rules, over text

/// How a type of this text compares other than by `subtle`, if it does.
fn hasty_comparison(text: &str, name: &str) -> Option<String> {
    let at = text.find(&format!("pub struct {name}"))?;
    let attributes = text[..at].rsplit_once("\n\n").map_or("", |(_, attributes)| attributes);
    let derived = ["PartialEq", "PartialOrd", "Hash"].map(|it| attributes.contains(it));
    let by_hand = text.split_once(&format!("impl PartialEq for {name} {{"));
    let body = by_hand.and_then(|(_, body)| body.split_once("\n}")).map_or("", |(body, _)| body);
    let is_hasty = derived.contains(&true) || !body.is_empty() && !body.contains(".ct_eq(");
    is_hasty.then(|| format!("{name} is compared byte by byte"))
}

/// Whether code takes a hash apart to compare it.
fn compares_raw_bytes(text: &str) -> bool {
    let code = without_unit_tests(&code_only(text)).to_owned();
    code.lines()
        .any(|line| line.contains("hash.as_bytes() ==") || line.contains("hash.as_bytes() !="))
}

/// One file, by its path below the folder it was looked for in.
#[derive(Debug)]
struct Source {
    path: String,
    text: String,
}

/// No file here may name any of `names`, and there must be files to look at.
#[track_caller]
fn forbid(files: &[Source], names: &[&str]) {
    assert!(!files.is_empty(), "there is no file to look at: has a folder moved?");
    for Source { path, text } in files {
        let found = named(&module_of(path), text, names);
        assert!(found.is_empty(), "{path} names {found:?}");
    }
}

/// Which of `names` the code of this text names: by a path that begins with it, or inside a path.
fn named<'a>(module: &str, text: &str, names: &[&'a str]) -> Vec<&'a str> {
    let code = without_unit_tests(&code_only(text)).to_owned();
    let paths = code_paths(&code);
    let absolute: Vec<String> = paths.iter().map(|path| absolute(module, path)).collect();
    names.iter().copied().filter(|name| absolute.iter().any(|path| leads_to(path, name))).collect()
}

/// `crate::store::file::sys` lies below `crate::store`; `FileStore` may end any path.
fn leads_to(path: &str, name: &str) -> bool {
    let (path, name) = (format!("::{path}::"), format!("::{name}::"));
    path.contains(&name) && (!name.starts_with("::crate::") || path.starts_with(&name))
}

/// The paths of the code, those of `use` trees spelled out.
fn code_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        let (path, after) = rest[at..].split_at(path_end(&rest[at..]));
        let stem = path.trim_end_matches(':');
        if let Some(tree) = after.strip_prefix('{').filter(|_| path.ends_with("::")) {
            let (inside, after) = tree.split_at(closing(tree));
            paths.extend(code_paths(inside).iter().map(|leaf| format!("{stem}::{leaf}")));
            rest = after;
        } else {
            paths.push(stem.to_owned());
            rest = after;
        }
    }
    paths
}

/// Where a path ends: at the first character that is no part of one. A single colon is a type's.
fn path_end(text: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut end = 0;
    while let Some(c) = text[end..].chars().next() {
        match c {
            ':' if text[end..].starts_with("::") => end += 2,
            c if is_part(c) => end += c.len_utf8(),
            _ => break,
        }
    }
    end
}

/// Where the brace that opened before this text closes.
fn closing(text: &str) -> usize {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The path as seen from the crate's root.
fn absolute(module: &str, path: &str) -> String {
    let Some(mut rest) = path.strip_prefix("super::") else {
        return path.strip_prefix("self::").map_or(path.into(), |rest| format!("{module}::{rest}"));
    };
    let mut parent = above(module);
    while let Some(further) = rest.strip_prefix("super::") {
        (parent, rest) = (above(parent), further);
    }
    format!("{parent}::{rest}")
}

fn above(module: &str) -> &str {
    module.rsplit_once("::").map_or("crate", |(parent, _)| parent)
}

/// `store/file/mod.rs` and `store/file.rs` are both the module `crate::store::file`.
fn module_of(path: &str) -> String {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    format!("crate::{path}")
}

/// The code before its unit tests, which stand last in a file.
fn without_unit_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
}

/// The text with comments, strings and characters blanked.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = not_code(rest, code.chars().last());
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.push(' ');
            code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            rest = &rest[skipped..];
        }
    }
    code
}

/// How long the comment, string or character is that begins here; 0 when code does.
fn not_code(text: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = text.strip_prefix('r').filter(|_| !in_word).map(|rest| (rest, hashes(rest)));
    match raw {
        Some((rest, n)) if rest[n..].starts_with('"') => raw_string_end(rest, n) + 1,
        _ if text.starts_with("//") => text.find('\n').unwrap_or(text.len()),
        _ if text.starts_with("/*") => text.find("*/").map_or(text.len(), |at| at + 2),
        _ if text.starts_with('"') => string_end(text),
        _ if text.starts_with('\'') => char_end(text),
        _ => 0,
    }
}

fn hashes(text: &str) -> usize {
    text.len() - text.trim_start_matches('#').len()
}

fn raw_string_end(text: &str, hashes: usize) -> usize {
    let (start, end) = (hashes + 1, format!("\"{}", "#".repeat(hashes)));
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// `'x'` and `'\n'` are characters, `'static` is a lifetime.
fn char_end(text: &str) -> usize {
    let inner = &text[1..];
    if inner.starts_with('\\') {
        return inner.char_indices().skip(2).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 2);
    }
    let len = inner.chars().next().map_or(0, char::len_utf8);
    if inner[len..].starts_with('\'') { len + 2 } else { 0 }
}

/// The crates that the default features of this manifest link directly.
fn direct_by_default(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("the manifest is TOML");
    let features = manifest["features"].as_table().expect("features are a table");
    let on = switched_on(features, "default");
    let dependencies = manifest["dependencies"].as_table().expect("dependencies are a table");
    let optional =
        |spec: &toml::Value| spec.get("optional").is_some_and(|it| it.as_bool() == Some(true));
    let linked = dependencies.iter().filter(|(name, spec)| !optional(spec) || on.contains(*name));
    linked.map(|(name, _)| name.clone()).collect()
}

/// The optional crates that a feature switches on, through other features too.
fn switched_on(features: &toml::Table, feature: &str) -> BTreeSet<String> {
    let words = features.get(feature).and_then(toml::Value::as_array).into_iter().flatten();
    let words = words.filter_map(toml::Value::as_str);
    words
        .flat_map(|word| match word.strip_prefix("dep:") {
            Some(name) => BTreeSet::from([name.to_owned()]),
            None => switched_on(features, word),
        })
        .collect()
}

/// All crates that these reach by the lock file.
fn reached(from: &BTreeSet<String>, lock: &str) -> BTreeSet<String> {
    let lock: toml::Table = lock.parse().expect("the lock file is TOML");
    let packages = lock["package"].as_array().expect("packages are a list");
    let mut reached = BTreeSet::new();
    let mut next: Vec<String> = from.iter().cloned().collect();
    while let Some(name) = next.pop() {
        if reached.insert(name.clone()) {
            next.extend(
                packages.iter().filter(|it| it["name"].as_str() == Some(&name)).flat_map(links),
            );
        }
    }
    reached
}

/// What a package of the lock file links: `name` or `name version`.
fn links(package: &toml::Value) -> Vec<String> {
    let words = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
    let words = words.filter_map(|word| word.as_str()?.split(' ').next());
    words.map(str::to_owned).collect()
}

fn heavy(crates: &BTreeSet<String>) -> Vec<&str> {
    crates.iter().map(String::as_str).filter(|name| HEAVY.contains(name)).collect()
}

/// The names in backquotes after `Kept by`, to the end of the paragraph or table cell.
fn tests_named(document: &str) -> BTreeSet<String> {
    let kept = document.split("Kept by").skip(1);
    let sentences = kept.map(|rest| rest.split(['|']).next().unwrap_or_default());
    let sentences = sentences.map(|rest| rest.split("\n\n").next().unwrap_or_default());
    let spans = sentences.flat_map(|sentence| sentence.split('`').skip(1).step_by(2));
    spans.map(|name| name.rsplit("::").next().unwrap_or(name).to_owned()).collect()
}

/// The functions of a file that run as tests: marked so, pytest's, a law, which takes a place, or a
/// row of the HTTP laws.
fn tests_in(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut marked = false;
    let joined = text.replace("(\n    place: &", "(place: &");
    for line in joined.lines().map(str::trim) {
        marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let is_law = line.contains("(place: &") || line.contains("() -> Row {");
        let is_law = is_law || line.starts_with("def test_");
        if let Some(name) = function(line).filter(|_| marked || is_law) {
            names.insert(name.to_owned());
        }
        marked &= function(line).is_none();
    }
    names
}

fn function(line: &str) -> Option<&str> {
    let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
    let line = line.trim_start_matches("async ");
    let name = line.strip_prefix("fn ").or_else(|| line.strip_prefix("def "))?;
    name.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

/// The files of this repository that a page links to; `/` is the repository's root.
fn links_to_files(page: &str, text: &str) -> Vec<PathBuf> {
    let folder = Path::new(page).parent().expect("a page lies in a folder");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let ours = targets.filter(|target| !target.is_empty() && !target.contains("://"));
    let path = |target: &str| match target.strip_prefix('/') {
        Some(from_root) => PathBuf::from(from_root),
        None => folder.join(target),
    };
    ours.map(path).collect()
}

fn is_gone(path: &PathBuf) -> bool {
    !root().join(path).exists()
}

fn is_too_long(text: &str) -> bool {
    text.lines().count() > LINES_MAX
}

fn leftovers(text: &str) -> Vec<&'static str> {
    let code = code_only(text);
    let words = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
    words.into_iter().filter(|word| code.contains(word)).collect()
}

// ---- the files

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The library's files whose path below `src` begins like this.
fn in_library(prefix: &str) -> Vec<Source> {
    let mut files = sources(&root().join("crates/sessile/src"));
    files.retain(|source| source.path.starts_with(prefix));
    files
}

/// Every Rust and Python file of the project.
fn all_sources() -> Vec<Source> {
    let folders = ["crates", "bench", "fuzz", "examples"].map(|folder| root().join(folder));
    let all: Vec<Source> = folders.iter().flat_map(|folder| sources(folder)).collect();
    assert!(all.len() > 20, "there are more files than {:?}", paths(&all));
    all
}

/// The pages of prose in a folder, by their paths below the root.
fn pages(folder: &str) -> Vec<String> {
    let names = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    let paths = names.map(|name| Path::new(folder).join(name.file_name()));
    let pages = paths.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    pages.map(|path| path.to_string_lossy().into_owned()).collect()
}

fn sources(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    collect(folder, folder, &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn collect(base: &Path, folder: &Path, found: &mut Vec<Source>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let is_source = path.extension().is_some_and(|kind| kind == "rs" || kind == "py");
        if path.is_dir() && !path.ends_with("target") {
            collect(base, &path, found);
        } else if is_source {
            let below = path.strip_prefix(base).expect("the walk stays below its base");
            let text = fs::read_to_string(&path).expect("a source is text");
            found.push(Source { path: below.to_string_lossy().into_owned(), text });
        }
    }
}

fn paths(sources: &[Source]) -> Vec<&str> {
    sources.iter().map(|source| source.path.as_str()).collect()
}

/// Each rule, handed a violation.
mod rules_can_fail {
    use super::*;

    #[test]
    fn a_forbidden_path_is_seen_however_it_is_spelled() {
        for text in [
            "use crate::cookie::parse;",
            "use crate::{error::Error, cookie};",
            "use crate::{\n    a::{b, c},\n    cookie::{self, d},\n};",
            "fn f() { crate::cookie::parse() }",
            "use super::super::cookie;",
            "fn f(c: super::super::cookie::C) {}",
        ] {
            assert_eq!(
                named("crate::store::file", text, &["crate::cookie"]),
                ["crate::cookie"],
                "{text}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_it_passes() {
        for text in [
            "use crate::cookies;",
            "// crate::cookie is not for us",
            "/// See [`crate::cookie`].\nfn f() {}",
            "const X: &str = \"crate::cookie\";",
            "const X: &str = r#\"crate::cookie \" \"#;",
            "fn f<'a>(x: &'a str) -> char { '\"' }\n// crate::cookie",
            "use super::cookie;",
            "#[cfg(test)]\nmod tests { use crate::cookie; }",
        ] {
            let found = named("crate::store::file", text, &["crate::cookie"]);
            assert!(found.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_comparison_that_takes_its_time_from_the_secret_is_seen() {
        let derived = "\n\n#[derive(Clone, PartialEq)]\npub struct Secret(u8);\n";
        let by_hand =
            |how| format!("\n\npub struct Secret(u8);\nimpl PartialEq for Secret {{\n{how}\n}}\n");
        assert!(hasty_comparison(derived, "Secret").is_some());
        assert!(hasty_comparison(&by_hand("self.0 == other.0"), "Secret").is_some());
        assert_eq!(hasty_comparison(&by_hand("self.0.ct_eq(&other.0).into()"), "Secret"), None);
        assert!(compares_raw_bytes("if record.secret_hash.as_bytes() == other {}"));
        assert!(!compares_raw_bytes("put(record.secret_hash.as_bytes());"));
    }

    #[test]
    fn a_clock_or_a_file_in_a_pure_module_is_seen() {
        for (text, name) in [
            ("let now = SystemTime::now();", "SystemTime::now"),
            ("let now = std::time::Instant::now();", "Instant::now"),
            ("use std::{fmt, fs};", "std::fs"),
            ("use tokio::time;", "tokio"),
            ("async fn f() {}", "async"),
        ] {
            assert_eq!(named("crate::plan", text, &EFFECTS), [name], "{text}");
        }
    }

    #[test]
    fn a_concrete_store_in_web_is_seen() {
        let text = "fn f(store: crate::store::MemoryStore) {}";
        assert_eq!(named("crate::web::axum", text, &["MemoryStore"]), ["MemoryStore"]);
    }

    #[test]
    #[should_panic(expected = "there is no file to look at")]
    fn a_rule_without_files_fails() {
        forbid(&[], &["anything"]);
    }

    #[test]
    #[should_panic(expected = "store/x.rs names")]
    fn a_rule_names_the_file() {
        let text = "use http::HeaderMap;".to_owned();
        forbid(&[Source { path: "store/x.rs".into(), text }], &["http"]);
    }

    #[test]
    fn a_heavy_crate_is_seen_through_others() {
        let manifest = "[features]\ndefault = [\"file\"]\nfile = [\"dep:a\"]\nsql = [\"dep:c\"]\n\
                        [dependencies]\na = { version = \"1\", optional = true }\n\
                        c = { version = \"1\", optional = true }\nb = \"1\"\n";
        let direct = direct_by_default(manifest);
        assert_eq!(direct, BTreeSet::from(["a".into(), "b".into()]));
        let lock = "[[package]]\nname = \"a\"\ndependencies = [\"d 1.0.0\"]\n\
                    [[package]]\nname = \"d\"\ndependencies = [\"rustls\"]\n\
                    [[package]]\nname = \"c\"\ndependencies = [\"sqlx\"]\n";
        assert_eq!(heavy(&reached(&direct, lock)), ["rustls"]);
    }

    #[test]
    fn the_tests_that_a_document_names_are_read() {
        let text =
            "A law. Kept by `it::one` and\n`two`.\n\nUse `three`.\n| x | Kept by `four` | `five` |";
        let names = ["one", "two", "four"].map(str::to_owned);
        assert_eq!(tests_named(text), BTreeSet::from(names));
    }

    #[test]
    fn a_function_without_a_mark_is_no_test() {
        let text = "#[test]\nfn one() {\n    fn inner() {}\n}\nfn helper() {}\n\
                    #[tokio::test]\nasync fn two() {}\npub(crate) fn five() -> Row {}\npub async fn four(\n    place: &dyn Place,\n) {\ndef test_three(browser):\n    pass\ndef help():";
        let names = ["one", "two", "test_three", "four", "five"].map(str::to_owned);
        assert_eq!(tests_in(text), BTreeSet::from(names));
    }

    #[test]
    fn links_to_files_are_read_and_those_that_are_gone_are_seen() {
        let text = "[a](/SECURITY.md) [b](x.md#part) [c](https://example.org/x) ![d](#here)";
        let links = links_to_files("crates/sessile/docs/design.md", text);
        assert_eq!(links, ["SECURITY.md", "crates/sessile/docs/x.md"].map(PathBuf::from));
        assert!(is_gone(&links[1]) && !is_gone(&PathBuf::from("Cargo.toml")));
    }

    #[test]
    fn a_long_file_is_seen() {
        assert!(!is_too_long(&"\n".repeat(LINES_MAX)));
        assert!(is_too_long(&"\n".repeat(LINES_MAX + 1)));
    }

    #[test]
    fn what_was_left_for_later_is_seen() {
        for word in ["todo!", "unimplemented!", "dbg!"] {
            assert_eq!(leftovers(&format!("fn f() {{ {word}(1) }}")), [word]);
        }
        assert_eq!(leftovers("#[ignore = \"later\"]\n#[test]\nfn f() {}"), ["#[ignore"]);
        assert!(leftovers("// todo!() is not for us\nlet x = \"dbg!\";").is_empty());
    }
}
