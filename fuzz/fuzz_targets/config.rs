//! The configuration as people write it: TOML, JSON, and the URL of a file store. What is read is
//! judged without a panic, and written again it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sessile::store::MemoryStore;
use sessile::{Config, Sessions, fuzzing};

fuzz_target!(|text: &str| {
    if let Ok(config) = toml::from_str::<Config>(text) {
        reads_the_same(config);
    }
    if let Ok(config) = serde_json::from_str::<Config>(text) {
        reads_the_same(config);
    }
    let _ = fuzzing::check_file_url(text);
});

fn reads_the_same(mut config: Config) {
    let valid = config.validate().is_ok();
    assert_eq!(Sessions::builder(MemoryStore::new()).config(config.clone()).build().is_ok(), valid);
    // Keys that sign are read and never written.
    config.token_keys.clear();
    let written = serde_json::to_string(&config).expect("a configuration is JSON");
    assert_eq!(serde_json::from_str::<Config>(&written).expect("it reads again"), config);
}
