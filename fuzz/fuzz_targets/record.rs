//! The decoder of records: any bytes, and any body behind checksums that hold. What it takes it
//! writes again, to the byte: there is one spelling.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sessile::{Record, fuzzing};

fuzz_target!(|input: &[u8]| {
    has_one_spelling(&Bytes::copy_from_slice(input));
    has_one_spelling(&fuzzing::sealed_record(sessile_fuzz::id(7), 3, input));
});

fn has_one_spelling(bytes: &Bytes) {
    if let Ok(record) = Record::from_bytes(bytes) {
        assert_eq!(record.to_bytes().expect("what was decoded encodes"), bytes);
        let _ = (record.deadline(), record.summary(), format!("{record:?}"));
    }
}
