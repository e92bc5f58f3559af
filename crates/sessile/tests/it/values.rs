//! What may be put into a session, and what comes back.

use std::collections::BTreeMap;
use std::error::Error as _;

use sessile::store::MemoryStore;
use sessile::{ErrorKind, Key, Session, Sessions};

fn session() -> Session {
    Sessions::new(MemoryStore::new()).detached()
}

// R76
#[test]
fn an_error_about_a_value_holds_nothing_of_it() {
    let session = session();
    session.insert("card", "4242424242424242").unwrap();
    let error = session.get::<u64>("card").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let told = format!("{error} {error:?}");
    assert!(error.source().is_none(), "serde quotes the value");
    assert!(!told.contains("4242"), "{told}");
    assert!(told.contains("card") && told.contains("u64"), "{told}");
}

#[test]
fn an_error_about_a_value_says_where_only_if_there_is_a_text() {
    let session = session();
    let no_json = session.insert("map", &BTreeMap::from([([1], 1)])).unwrap_err();
    let told = no_json.to_string();
    assert!(told.contains("\"map\"") && told.contains("JSON") && !told.contains("byte"), "{told}");
    session.insert("list", &[1, 2, 300]).unwrap();
    let told = session.get::<Vec<u8>>("list").unwrap_err().to_string();
    assert!(told.ends_with("it does not fit at byte 8"), "{told}");
}

#[test]
fn every_number_comes_back_as_it_was_put_in() {
    let session = session();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        // Xorshift (Marsaglia 2003): any bits do, as long as there are many.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let number = f64::from_bits(state);
        if number.is_finite() {
            session.insert("n", &number).unwrap();
            let back = session.get::<f64>("n").unwrap().unwrap();
            assert_eq!(back.to_bits(), number.to_bits(), "{number:e}");
        }
    }
    session.insert("n", &u128::MAX).unwrap();
    assert_eq!(session.get::<u128>("n").unwrap(), Some(u128::MAX));
    session.insert("n", &i128::MIN).unwrap();
    assert_eq!(session.get::<i128>("n").unwrap(), Some(i128::MIN));
}

#[test]
fn an_update_that_cannot_be_read_back_changes_nothing() {
    let session = session();
    session.insert("n", &1.5).unwrap();
    // JSON has no word for it, and serde writes `null`.
    let update = session.update("n", |_: Option<f64>| f64::NAN);
    assert_eq!(update.unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(session.get::<f64>("n").unwrap(), Some(1.5));
}

#[test]
fn what_json_cannot_hold_is_refused_and_changes_nothing() {
    let session = session();
    session.insert("map", &BTreeMap::from([(1, "one")])).unwrap();
    assert_eq!(session.get::<BTreeMap<u8, String>>("map").unwrap().unwrap()[&1], "one");
    let by_pair = BTreeMap::from([((1, 2), "pair")]);
    assert_eq!(session.insert("map", &by_pair).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(session.get::<BTreeMap<u8, String>>("map").unwrap().unwrap()[&1], "one");
}

#[test]
fn a_key_is_1_to_255_bytes() {
    let session = session();
    let long = "k".repeat(1 << 20);
    for key in ["", &long[..256], &long] {
        assert_eq!(session.insert(key, "v").unwrap_err().kind(), ErrorKind::Value);
        let update = session.update(key, |n: Option<u8>| n.unwrap_or(0));
        assert_eq!(update.unwrap_err().kind(), ErrorKind::Value);
        assert_eq!(session.get::<String>(key).unwrap(), None);
        session.remove(key).unwrap();
    }
    session.insert(&long[..255], "v").unwrap();
    assert!(session.contains(&long[..255]));
}

const CART: Key<Vec<String>> = Key::new("cart");

#[test]
fn what_is_taken_is_given_once_and_by_the_name_of_its_key() {
    let session = session();
    session.insert(CART, &vec!["pear".to_owned()]).unwrap();
    assert_eq!(session.keys(), ["cart"]);
    assert_eq!(session.take::<u8>("cart").unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(session.take(CART).unwrap().unwrap(), ["pear"]);
    assert_eq!((session.take(CART).unwrap(), session.contains("cart")), (None, false));
    assert_eq!(format!("{session:?} {CART:?}"), r#"Session { id: None, .. } Key("cart")"#);
}
