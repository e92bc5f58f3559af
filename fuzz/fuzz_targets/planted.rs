//! A bug that is found by following coverage and in no other way: `cargo xtask fuzz` fails when this
//! target does not. Blind input would hit it once in 2^56 tries.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((front, rest)) = input.split_first_chunk::<4>() else { return };
    if u32::from_le_bytes(*front) != 0x5e55_11e0 {
        return;
    }
    let Some((length, rest)) = rest.split_first_chunk::<2>() else { return };
    if usize::from(u16::from_le_bytes(*length)) != rest.len() {
        return;
    }
    assert!(rest.first() != Some(&b'!'), "the planted bug");
});
