//! Everything at once.

use std::sync::{Arc, Mutex};

use sessile::store::{Access, Durability, Moved, Scope, Store, move_all};
use sessile::{ErrorKind, ManualClock, Record, SessionId};

use super::gated::Gate;
use super::{DAY, House, IDLE, ann, read};

fn move_of(house: &House) -> sessile::store::MoveAll {
    let clock = ManualClock::starting_at(house.now);
    move_all(Arc::clone(&house.old), Arc::clone(&house.new), clock).unwrap()
}

async fn ids(store: &dyn Store, house: &House) -> Vec<SessionId> {
    let page = store.list(Scope::All, house.now, None, 1_000).await.unwrap();
    page.sessions.iter().map(|session| session.id).collect()
}

fn expected_in_new(born: &Record) -> Record {
    let mut expected = born.clone();
    expected.version = born.version.next().next();
    expected
}

#[tokio::test]
async fn every_field_of_every_session_moves() {
    let house = House::in_memory();
    let mut born = Vec::new();
    for number in 0..250 {
        born.push(house.session(number).await);
    }
    let none = &mut sessile::store::Ticket::none();
    let used_at = house.now + IDLE / 2;
    assert!(house.old.touch(born[0].id, used_at, used_at + IDLE, none).await.unwrap());
    born[0].used_at = used_at;

    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let progress = move |so_far: &Moved| telling.lock().unwrap().push(so_far.moved);
    let moved = move_of(&house).on_progress(progress).run().await.unwrap();

    assert_eq!((moved.moved, moved.ended, moved.is_complete()), (250, 0, true));
    assert_eq!(*told.lock().unwrap(), [200, 250], "it tells of every page");
    assert_eq!(ids(&*house.old, &house).await, []);
    for born in &born {
        let seen = read(&*house.new, born.id, house.now).await;
        assert_eq!(seen, Some(expected_in_new(born)));
    }
    let again = move_of(&house).run().await.unwrap();
    assert_eq!((again.moved, again.ended, again.stayed), (0, 0, 0), "there is nothing left");
}

#[tokio::test]
async fn what_is_expired_or_held_alone_stays_behind() {
    let house = House::in_memory();
    let (held, expired) = (house.session(1).await, house.session(2).await);
    let mut late = house.record(3);
    late.idle_timeout = None;
    house.old.create(&late, Durability::Process).await.unwrap();
    let access = Access::Exclusive { wait: IDLE, hold: DAY };
    let holder = house.old.load(held.id, house.now, access).await.unwrap().unwrap();

    let moved = move_of(&house).run().await.unwrap();
    assert_eq!((moved.moved, moved.stayed, moved.is_complete()), (2, 1, false));
    assert_eq!(
        read(&*house.old, held.id, house.now).await,
        Some(held.clone()),
        "it stays as it is"
    );
    drop(holder);
    assert!(move_of(&house).run().await.unwrap().is_complete());

    let clock = ManualClock::starting_at(expired.deadline());
    let house = House::in_memory();
    house.session(2).await;
    let moving = move_all(Arc::clone(&house.old), Arc::clone(&house.new), clock).unwrap();
    assert_eq!(moving.run().await.unwrap().moved, 0, "the expired are no sessions");
}

#[tokio::test]
async fn a_move_that_dies_at_any_call_goes_on_where_it_was() {
    let mut deaths = 0;
    for at in (0..120).step_by(7) {
        let house = House::in_memory();
        for number in 0..20 {
            house.session(number).await;
        }
        let gate = Gate::dying_at(at, at % 2 == 0);
        let (old, new) = (gate.around(&house.old), gate.around(&house.new));
        let cursor = Arc::new(Mutex::new(None));
        let noting = Arc::clone(&cursor);
        let clock = ManualClock::starting_at(house.now);
        let moving = move_all(old, new, clock).unwrap();
        let died =
            moving.on_progress(move |so_far| *noting.lock().unwrap() = so_far.cursor).run().await;
        assert_eq!(died.unwrap_err().kind(), ErrorKind::Unavailable);
        deaths += 1;
        let mut again = move_of(&house);
        if let Some(cursor) = *cursor.lock().unwrap() {
            again = again.after(cursor);
        }
        assert!(again.run().await.unwrap().is_complete());
        assert_eq!(ids(&*house.new, &house).await.len(), 20, "after a death at call {at}");
        assert_eq!(ids(&*house.old, &house).await, []);
    }
    assert!(deaths > 10);
}

#[tokio::test]
async fn a_cursor_skips_what_had_its_turn() {
    let house = House::in_memory();
    let (first, second) = (house.session(1).await, house.session(2).await);
    let moved = move_of(&house).after(first.id).run().await.unwrap();
    assert_eq!((moved.moved, moved.cursor), (1, Some(second.id)));
    assert_eq!(ids(&*house.old, &house).await, [first.id]);
}

#[tokio::test]
async fn a_session_that_was_spared_moves_though_it_began_before() {
    let house = House::in_memory();
    let (spared, ended) = (house.session(1).await, house.session(2).await);
    let both = house.preparing();
    let not_before = house.now + IDLE / 2;
    let revoked = both.delete_owner(&ann(), Some(spared.id), not_before, Durability::Power).await;
    assert_eq!(revoked.unwrap(), 1);
    assert_eq!(move_of(&house).run().await.unwrap().moved, 1);
    assert_eq!(read(&*house.new, spared.id, house.now).await, Some(expected_in_new(&spared)));
    assert_eq!(read(&*house.new, ended.id, house.now).await, None);
    let late = house.record(3);
    let refused = house.carrying().create(&late, Durability::Power).await.unwrap();
    assert_eq!(refused, sessile::store::Created::Revoked, "a login that began before");
}

#[test]
fn two_namespaces_are_refused() {
    use sessile::store::{MemoryStore, Migrating};
    let (shop, blog) = (MemoryStore::new(), MemoryStore::new().with_namespace("blog"));
    let refused = Migrating::new(shop.clone(), blog.clone()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(
        refused.to_string().contains("\"default\"") && refused.to_string().contains("\"blog\"")
    );
    assert!(Migrating::prepare(shop, blog).is_err());
}
