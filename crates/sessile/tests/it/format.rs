//! The binary format of records: every released version stays readable, to the byte.
//!
//! The files in `golden/` were written once, by the release their name tells; they are never
//! written again. `SESSILE_GOLDEN=write cargo test -p sessile --test it format` writes those that
//! are missing, for a new format.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use sessile::{
    Data, ErrorKind, Owner, PreviousSecret, Record, RetiredSecret, SecretHash, SessionId, Version,
};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// An anonymous session that holds nothing.
fn smallest() -> Record {
    let id = "00112233445566778899aabbccddeeff".parse::<SessionId>().unwrap();
    let hash = SecretHash::from_bytes([0x5e; 32]);
    Record::new(id, hash, at(1_767_225_600), None, Duration::from_secs(86_400))
}

/// A session with every field a record has.
fn fullest() -> Record {
    let mut record = smallest();
    record.version = Version::new(0x0102_0304_0506_0708);
    record.previous = Some(PreviousSecret {
        hash: SecretHash::from_bytes([1; 32]),
        replaced_at: at(1_767_225_600),
        accepted_until: Some(at(1_767_225_660)),
        auth_epoch: 6,
    });
    record.retired = (2..6)
        .map(|n| RetiredSecret { hash: SecretHash::from_bytes([n; 32]), retired_at: at(n.into()) })
        .collect();
    record.auth_epoch = 7;
    record.authenticated_at = Some(at(1_767_225_601));
    record.login_began_at = Some(at(1_767_225_599));
    record.level = 2;
    record.used_at = at(1_767_225_700) + Duration::from_millis(123);
    record.idle_timeout = Some(Duration::from_millis(1_800_500));
    record.superseded = true;
    record.persistent = true;
    record.owner = Some(Owner::new("ann").unwrap());
    record.client_address = Some("2001:db8::1".into());
    record.user_agent = Some("Mozilla/5.0 (ünïcode)".into());
    record.data.insert("cart", Bytes::from_static(b"[1,2,3]"));
    record.data.insert("", Bytes::from_static(b"null"));
    record.data.insert("größe", Bytes::from_static(b"\"XL\""));
    record.data.insert("empty", Bytes::new());
    record
}

fn golden(name: &str, record: &Record) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    if std::env::var_os("SESSILE_GOLDEN").is_some_and(|mode| mode == "write") && !path.exists() {
        std::fs::write(&path, record.to_bytes().unwrap()).unwrap();
    }
    std::fs::read(&path).unwrap().into()
}

// R72
#[test]
fn golden_records_of_format_1_decode_and_encode_byte_identically() {
    for (name, record) in
        [("format-1-smallest.bin", smallest()), ("format-1-fullest.bin", fullest())]
    {
        let bytes = golden(name, &record);
        assert_eq!(Record::from_bytes(&bytes).unwrap(), record, "{name}");
        assert_eq!(record.to_bytes().unwrap(), bytes, "{name}");
    }
}

// R52
#[test]
fn a_record_with_any_one_byte_changed_is_refused() {
    let bytes = fullest().to_bytes().unwrap().to_vec();
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let kind = Record::from_bytes(&changed.into()).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::Corrupt, "byte {at}");
        }
    }
}

#[test]
fn a_record_cut_short_or_with_more_behind_it_is_refused() {
    let bytes = fullest().to_bytes().unwrap();
    for len in 0..bytes.len() {
        assert!(Record::from_bytes(&bytes.slice(..len)).is_err(), "{len}");
    }
    assert!(Record::from_bytes(&[&bytes[..], &[0]].concat().into()).is_err());
}

fn instant() -> impl Strategy<Value = SystemTime> {
    (0..1_u64 << 48).prop_map(|ms| UNIX_EPOCH + Duration::from_millis(ms))
}

fn hash() -> impl Strategy<Value = SecretHash> {
    any::<[u8; 32]>().prop_map(SecretHash::from_bytes)
}

prop_compose! {
    fn previous()(
        hash in hash(),
        replaced_at in instant(),
        accepted_until in option::of(instant()),
        auth_epoch in any::<u32>(),
    )
        -> PreviousSecret
    {
        PreviousSecret { hash, replaced_at, accepted_until, auth_epoch }
    }
}

prop_compose! {
    fn retired()(hash in hash(), retired_at in instant()) -> RetiredSecret {
        RetiredSecret { hash, retired_at }
    }
}

fn data() -> impl Strategy<Value = Data> {
    btree_map(".{0,20}", vec(any::<u8>(), 0..200), 0..12).prop_map(|entries| {
        let mut data = Data::default();
        for (key, json) in entries {
            data.insert(&key, json.into());
        }
        data
    })
}

prop_compose! {
    fn fields()(
        version in any::<u64>(),
        previous in option::of(previous()),
        retired in vec(retired(), 0..=4),
        (auth_epoch, level) in any::<(u32, u8)>(),
        (superseded, persistent) in any::<(bool, bool)>(),
        (authenticated_at, login_began_at) in (option::of(instant()), option::of(instant())),
        used_at in instant(),
        idle_ms in option::of(any::<u64>()),
        owner in option::of("[a-zü]{1,80}"),
        client_address in option::of(".{0,40}"),
        user_agent in option::of(".{0,300}"),
        data in data(),
    ) -> Record {
        let mut record = smallest();
        record.version = Version::new(version);
        record.previous = previous;
        record.retired = retired;
        record.auth_epoch = auth_epoch;
        record.level = level;
        record.superseded = superseded;
        record.persistent = persistent;
        record.authenticated_at = authenticated_at;
        record.login_began_at = login_began_at;
        record.used_at = used_at;
        record.idle_timeout = idle_ms.map(Duration::from_millis);
        record.owner = owner.map(|name| Owner::new(name).unwrap());
        record.client_address = client_address;
        record.user_agent = user_agent;
        record.data = data;
        record
    }
}

proptest! {
    #[test]
    fn every_record_survives_its_bytes(record in fields()) {
        let bytes = record.to_bytes().unwrap();
        let again = Record::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&again, &record);
        prop_assert_eq!(again.to_bytes().unwrap(), bytes);
    }

    // R70
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..600)) {
        prop_assert!(Record::from_bytes(&bytes.into()).is_err());
    }

    // R70
    /// Random bytes rarely get past the checksums; a sealed random body always does.
    #[test]
    fn no_sealed_body_makes_the_decoder_panic(
        record in fields(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = record.to_bytes().unwrap().to_vec();
        for (at, value) in changes {
            let at = 56 + at.index(bytes.len() - 56);
            bytes[at] = value;
        }
        seal(&mut bytes);
        if let Ok(record) = Record::from_bytes(&bytes.clone().into()) {
            prop_assert_eq!(record.to_bytes().unwrap(), bytes);
        }
    }
}

/// Makes both checksums fit again.
fn seal(bytes: &mut [u8]) {
    let body = xxhash_rust::xxh3::xxh3_64(&bytes[56..]);
    bytes[40..48].copy_from_slice(&body.to_le_bytes());
    let head = xxhash_rust::xxh3::xxh3_64(&bytes[..48]);
    bytes[48..56].copy_from_slice(&head.to_le_bytes());
}
