//! What survives the way into a store and out of it, and what never crosses.

use std::time::Duration;

use bytes::Bytes;

use super::Place;
use super::trial::{IDLE, LONG_AFTER, MILLISECOND, NAMESPACE, Trial, next_of, owner};
use crate::record::{Data, Owner, PreviousSecret, RETIRED_MAX, Record, RetiredSecret};
use crate::store::{Created, Durability, Scope, Ticket, Updated};
use crate::token::SecretHash;

/// Stores of different namespaces in one place know nothing of each other, even for one ID and one
/// owner, and even when one name begins with the other.
pub async fn namespaces_never_meet(place: &dyn Place) {
    let ours = Trial::of(place, NAMESPACE).await;
    for name in ["law", "laws2", "laws-2"] {
        let theirs = Trial::of(place, name).await;
        assert_eq!((ours.store.namespace(), theirs.store.namespace()), (NAMESPACE, name));
        let record = ours.created_of(&owner("ann")).await;
        assert_eq!(theirs.load(record.id).await, None, "a record of {NAMESPACE} in {name}");
        assert_eq!(theirs.list(Scope::All).await, [], "the list of {name}");
        let theirs_too = next_of(&Record { version: record.version, ..record.clone() }, 5);
        let theirs_too = Record { version: record.version, ..theirs_too };
        assert_eq!(theirs.try_create(&theirs_too).await, Created::New, "one ID in {name}");
        let held = (theirs.hold(0, record.id).await, ours.hold(0, record.id).await);
        drop(held);
        end_all(&theirs, &theirs_too).await;
        assert_eq!(ours.load(record.id).await.as_ref(), Some(&record), "our record after theirs");
        let again = ours.created_of(&owner("ann")).await;
        ours.delete(again.id).await;
        ours.delete(record.id).await;
    }
}

/// Ends sessions of another namespace in every way there is.
async fn end_all(theirs: &Trial, record: &Record) {
    theirs.updated(record).await;
    assert!(theirs.delete(record.id).await, "their record");
    theirs.created().await;
    assert_eq!(theirs.sweep(theirs.now() + LONG_AFTER).await.len(), 1, "their expired session");
    theirs.delete_owner(&owner("ann"), None, theirs.now() + LONG_AFTER).await;
}

// R36
/// Every field of a record survives `create` and `update`, set and unset, to the millisecond.
pub async fn every_field_survives(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let bare = Record { data: Data::default(), ..trial.record() };
    // An update never gains an owner: the full record is created, and one of nobody written over.
    let of_nobody = Record { owner: None, ..full(&trial, &bare) };
    assert_survives(&trial, bare, of_nobody).await;
    let bare = Record { idle_timeout: None, data: Data::default(), ..trial.record() };
    assert_survives(&trial, full(&trial, &trial.record()), bare).await;
}

/// Creates `first`, updates it to `second`, and reads both.
async fn assert_survives(trial: &Trial, first: Record, second: Record) {
    trial.create(first.clone()).await;
    assert_eq!(trial.load(first.id).await.as_ref(), Some(&first), "after the create");
    let mut second = Record { id: first.id, version: first.version.next(), ..second };
    second.touch(first.used_at);
    assert_eq!(trial.update(&second, first.version).await, Updated::Written);
    assert_eq!(trial.load(first.id).await, Some(second), "after the update");
}

/// `record` with every field set, and none like another.
fn full(trial: &Trial, record: &Record) -> Record {
    let later = |n: u32| trial.now() + Duration::from_millis(1_001) * n;
    let retired = |n| RetiredSecret {
        hash: SecretHash::from_bytes([n; 32]),
        retired_at: trial.now() - Duration::from_millis(u64::from(n)),
    };
    let mut full = record.clone();
    full.secret_hash = SecretHash::from_bytes(std::array::from_fn(|at| at as u8));
    full.previous = Some(PreviousSecret {
        hash: SecretHash::from_bytes([0xff; 32]),
        replaced_at: later(5),
        accepted_until: Some(later(1)),
        auth_epoch: u32::MAX - 1,
    });
    full.retired = (1..=RETIRED_MAX as u8).map(retired).collect();
    full.auth_epoch = u32::MAX;
    full.created_at = trial.now() - MILLISECOND;
    full.authenticated_at = Some(later(2));
    full.login_began_at = Some(later(3));
    full.level = u8::MAX;
    full.used_at = later(4);
    full.idle_timeout = Some(IDLE + MILLISECOND);
    full.absolute_deadline = later(100_000);
    full.persistent = true;
    full.owner = Some(Owner::new("é".repeat(127)).expect("254 bytes are an owner"));
    full.client_address = Some("2001:db8::1%eth0".to_owned());
    full.user_agent = Some("Ünïcödé/1.0 (\"quoted\"; \u{1f41a}\t\0)".to_owned());
    full.data.insert("key", Bytes::from_static(b"[1,2,{\"a\":null}]"));
    full
}

/// Keys and values of every size and script survive as the bytes they were, through growth and
/// shrinking.
pub async fn unicode_and_large_values_survive(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let mut record = trial.create(Record { data: texts(), ..trial.record() }).await;
    assert_eq!(trial.load(record.id).await.as_ref(), Some(&record), "texts of many scripts");
    for size in [0, 1, 1 << 20, 3_000, 4_095, 4_096, 4_097, 70_000, 100, 1 << 19, 65_536, 2, 0] {
        record.version = record.version.next();
        record.data = sized(size);
        let expected = trial.load(record.id).await.expect("the session is live").version;
        assert_eq!(trial.update(&record, expected).await, Updated::Written, "{size} bytes");
        let seen = trial.load(record.id).await.expect("the session is live");
        assert!(seen == record, "{size} bytes of data came back as {:?}", seen.data);
    }
    let large = trial.create(Record { data: sized(1 << 20), ..trial.record() }).await;
    assert!(trial.load(large.id).await == Some(large), "a record that is born large");
}

/// Keys up to 255 bytes, and values that an escape, a charset or a text column would change.
fn texts() -> Data {
    let mut data = Data::default();
    for key in ["", " ", "\0", "a", "A", "é", "e\u{301}", "\u{1f41a}", "a\nb", "'\"\\%_;--"] {
        data.insert(key, Bytes::from(format!("{key:?}\r\n\t \u{feff}")));
    }
    data.insert(&"k".repeat(Data::KEY_BYTES_MAX), Bytes::from_static(b"null"));
    data.insert(&"\u{1f41a}".repeat(63), Bytes::new());
    data
}

/// Data of `size` bytes in values that no compression shortens to nothing.
fn sized(size: usize) -> Data {
    let bytes: Vec<u8> =
        (0..size as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut data = Data::default();
    for (number, chunk) in bytes.chunks(1 << 17).enumerate() {
        data.insert(&format!("part {number}"), Bytes::copy_from_slice(chunk));
    }
    data
}

/// The strongest durability changes what a write survives, not what it does.
pub async fn final_durability_keeps_the_same_contract(place: &dyn Place) {
    let trial = Trial::new(place).await;
    for durability in [Durability::Process, Durability::Power, Durability::Final] {
        let record = trial.record_of(&owner("ann"));
        for expected in [Created::New, Created::Exists] {
            let created = trial.store.create(&record, durability).await.expect("create fails");
            assert_eq!(created, expected, "create with {durability:?}");
        }
        let next = next_of(&record, 0);
        assert_eq!(update_with(durability, &trial, &next).await, Updated::Written);
        assert_eq!(trial.load(record.id).await.as_ref(), Some(&next), "after {durability:?}");
        let conflict = update_with(durability, &trial, &next).await;
        assert_eq!(conflict, Updated::Conflict(Box::new(next.clone())), "with {durability:?}");
        let third = trial.updated(&next).await;
        assert_eq!(trial.load(record.id).await.as_ref(), Some(&third), "a save after it");
        assert!(trial.store.delete(record.id, durability).await.expect("delete fails"));
        assert_eq!(update_with(durability, &trial, &next).await, Updated::Gone);
        assert_eq!(trial.load(record.id).await, None, "after the delete with {durability:?}");
    }
}

async fn update_with(durability: Durability, trial: &Trial, next: &Record) -> Updated {
    let expected = crate::Version::FIRST;
    let updated = trial.store.update(next, expected, durability, &mut Ticket::none()).await;
    updated.expect("update fails")
}
