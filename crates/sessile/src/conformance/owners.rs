//! Lists, and the end of all sessions of one user.

use std::time::{Duration, SystemTime};

use super::Place;
use super::interleaving::{POLLS_MAX, interleaved};
use super::trial::{IDLE, LONG_AFTER, MILLISECOND, Trial, ids, list, next_of, owner, read, update};
use crate::record::{Owner, Record, Version};
use crate::store::{Created, Durability, Scope, Store, Updated};

// R78
/// Pages give every live session once, in ascending order, as its summary.
pub async fn list_pages_through_all_sessions_once(place: &dyn Place) {
    let trial = Trial::new(place).await;
    assert_eq!(trial.list(Scope::All).await, [], "an empty store");
    let mut all = Vec::new();
    for number in 0..22 {
        let owner = [owner("ann"), owner("ben")][number % 2].clone();
        all.push(trial.created_of(&owner).await.summary());
    }
    all.sort_by_key(|session| session.id);
    assert_eq!(trial.list(Scope::All).await, all, "all sessions, in pages of three");
    for name in ["ann", "ben"] {
        let owner = owner(name);
        let own: Vec<_> =
            all.iter().filter(|session| session.owner.as_ref() == Some(&owner)).cloned().collect();
        assert_eq!(trial.list(Scope::Owner(&owner)).await, own, "the sessions of {name}");
    }
    assert_eq!(trial.list(Scope::Owner(&owner("an"))).await, [], "an owner without sessions");
    assert_pages_of_every_size(&trial, all.len()).await;
}

async fn assert_pages_of_every_size(trial: &Trial, all: usize) {
    for limit in [1, all - 1, all, all + 1, 1_000] {
        let page =
            trial.store.list(Scope::All, trial.now(), None, limit).await.expect("list fails");
        assert_eq!(page.sessions.len(), limit.min(all), "a page of {limit} of {all}");
        let last = page.sessions.last().map(|last| last.id);
        let rest =
            trial.store.list(Scope::All, trial.now(), last, 1_000).await.expect("list fails");
        assert_eq!(rest.sessions.len(), all - limit.min(all), "what follows {limit} of {all}");
    }
}

/// A session that can be loaded is in its owner's list: from before its creation is visible until
/// after its end, and through every update and touch.
pub async fn list_of_an_owner_never_misses_a_live_session(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let ann = owner("ann");
    let mut record = trial.created_of(&ann).await;
    for _ in 0..4 {
        record = trial.updated(&record).await;
        trial.touch(record.id, trial.now() + IDLE / 2).await;
        assert!(trial.lists(record.id, &ann, trial.now()).await, "after an update and a touch");
    }
    for polls in 0..POLLS_MAX {
        let record = trial.record_of(&ann);
        let create = trial.store.create(&record, Durability::Process);
        let created = interleaved(polls, create, load_then_list(&trial, &record)).await;
        assert_eq!(created.first.expect("create fails"), Created::New);
        let delete = trial.store.delete(record.id, Durability::Process);
        let deleted = interleaved(polls, delete, list_then_load(&trial, &record)).await;
        assert!(deleted.first.expect("delete fails"), "the delete found the record");
        if created.exhausted && deleted.exhausted {
            break;
        }
    }
}

async fn load_then_list(trial: &Trial, record: &Record) {
    if read(&*trial.twin, record.id, trial.now()).await.is_some() {
        assert!(is_listed(&*trial.twin, record, trial).await, "visible before it is listed");
    }
}

async fn list_then_load(trial: &Trial, record: &Record) {
    if !is_listed(&*trial.twin, record, trial).await {
        let seen = read(&*trial.twin, record.id, trial.now()).await;
        assert_eq!(seen, None, "visible after it left the list");
    }
}

async fn is_listed(store: &dyn Store, record: &Record, trial: &Trial) -> bool {
    let owner = record.owner.as_ref().expect("the record has an owner");
    ids(&list(store, Scope::Owner(owner), trial.now()).await).contains(&record.id)
}

/// Lists show no session that is expired and none that a login replaced.
pub async fn list_hides_expired_and_superseded(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let ann = owner("ann");
    let expired = trial.created_of(&ann).await;
    let replaced = trial.created_of(&ann).await;
    trial.create(Record { superseded: true, ..trial.record_of(&ann) }).await;
    let mut next = next_of(&replaced, 0);
    (next.superseded, next.idle_timeout) = (true, None);
    assert_eq!(trial.update(&next, replaced.version).await, Updated::Written);
    trial.clock.step_to(expired.deadline());
    let live = trial.created_of(&ann).await;

    for scope in [Scope::All, Scope::Owner(&ann)] {
        assert_eq!(trial.list(scope).await, [live.summary()], "the list of {scope:?}");
    }
    assert_eq!(trial.load(replaced.id).await, Some(next), "a replaced record is still read");
}

/// An update may take a record's owner away: then it is in nobody's list, and ends with nobody's
/// sessions.
pub async fn a_record_that_loses_its_owner_leaves_the_list(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let ann = owner("ann");
    let (kept, lost) = (trial.created_of(&ann).await, trial.created_of(&ann).await);
    let mut next = next_of(&lost, 0);
    next.owner = None;
    assert_eq!(trial.update(&next, lost.version).await, Updated::Written);

    assert_eq!(ids(&trial.list(Scope::Owner(&ann)).await), [kept.id], "the owner's list");
    assert_eq!(trial.list(Scope::All).await.len(), 2, "the list of all");
    assert_eq!(trial.delete_owner(&ann, None, trial.now()).await, 1, "the owner's sessions");
    assert_eq!(trial.load(lost.id).await, Some(next), "the session without its owner");
}

/// `delete_owner` ends all sessions of one owner but the exception, counts them, and touches
/// nobody else's.
pub async fn delete_owner_spares_the_exception(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let (ann, ben) = (owner("ann"), owner("ben"));
    let (first, spared, third) =
        (trial.created_of(&ann).await, trial.created_of(&ann).await, trial.created_of(&ann).await);
    let others = [trial.created_of(&ben).await, trial.created().await];

    assert_eq!(trial.delete_owner(&ann, Some(spared.id), trial.now()).await, 2, "deleted");
    for ended in [first, third] {
        assert_eq!(trial.load(ended.id).await, None, "a session of the owner");
        let update = trial.update(&next_of(&ended, 0), ended.version).await;
        assert_eq!(update, Updated::Gone, "an update of an ended session");
    }
    assert_eq!(ids(&trial.list(Scope::Owner(&ann)).await), [spared.id], "the owner's list");
    trial.updated(&spared).await;
    for other in others {
        assert_eq!(trial.load(other.id).await.as_ref(), Some(&other), "somebody else's session");
    }
    assert_eq!(trial.delete_owner(&ann, Some(spared.id), trial.now()).await, 0, "once more");
    assert_eq!(trial.delete_owner(&owner("cy"), None, trial.now()).await, 0, "of a stranger");
}

/// After `delete_owner`, a login that began at or before its instant is refused and leaves nothing
/// behind, whether the owner had sessions or not; other owners are not concerned.
pub async fn delete_owner_refuses_logins_that_began_before(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let (ann, ben) = (owner("ann"), owner("ben"));
    trial.created_of(&ann).await;
    for name in [&ann, &owner("cy")] {
        trial.delete_owner(name, None, trial.now()).await;
        for earlier in [LONG_AFTER, IDLE, MILLISECOND, Duration::ZERO] {
            let login = began(&trial, name, trial.now() - earlier);
            for turn in 0..2 {
                let created = create(&*trial.handle(turn), &login).await;
                assert_eq!(created, Created::Revoked, "a login that began {earlier:?} earlier");
            }
            assert_eq!(trial.load(login.id).await, None, "a refused login");
        }
        assert_eq!(trial.list(Scope::Owner(name)).await, [], "the list after refused logins");
    }
    let other = began(&trial, &ben, trial.now() - IDLE);
    assert_eq!(trial.try_create(&other).await, Created::New, "the login of another owner");
    assert_eq!(trial.try_create(&trial.record()).await, Created::New, "an anonymous session");
}

// R40
/// A login that is on its way while `delete_owner` runs does not escape, whichever way they cross.
pub async fn delete_owner_catches_a_login_in_flight(place: &dyn Place) {
    let trial = Trial::new(place).await;
    for polls in 0..POLLS_MAX {
        let ann = owner(&format!("ann {polls}"));
        let login = trial.record_of(&ann);
        let went = interleaved(
            polls,
            trial.store.create(&login, Durability::Process),
            trial.twin.delete_owner(&ann, None, trial.now(), Durability::Process),
        )
        .await;
        went.second.expect("delete_owner fails");
        assert_caught(&trial, &login, went.first.expect("create fails")).await;
        if went.exhausted {
            break;
        }
    }
    for turn in 0..32 {
        let ann = owner(&format!("ann {turn} again"));
        let login = trial.record_of(&ann);
        let (store, sent) = (trial.handle(turn), login.clone());
        let created = tokio::spawn(async move { create(&*store, &sent).await });
        trial.delete_owner(&ann, None, trial.now()).await;
        assert_caught(&trial, &login, created.await.expect("the login ends")).await;
    }
}

async fn assert_caught(trial: &Trial, login: &Record, created: Created) {
    assert!(matches!(created, Created::New | Created::Revoked), "the login: {created:?}");
    assert_eq!(trial.load(login.id).await, None, "a login in flight escaped");
    let late = update(&*trial.twin, &next_of(login, 0), Version::FIRST).await;
    assert_eq!(late, Updated::Gone, "an update of the revoked login");
}

/// A login that began after the instant of `delete_owner` is accepted and lives like any other.
pub async fn a_login_after_not_before_is_accepted(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let ann = owner("ann");
    let not_before = trial.now();
    trial.created_of(&ann).await;
    trial.delete_owner(&ann, None, not_before).await;
    for turn in 0..2 {
        trial.clock.advance(MILLISECOND);
        let login = trial.record_of(&ann);
        let created = create(&*trial.handle(turn), &login).await;
        assert_eq!(created, Created::New, "a login that began {} ms later", turn + 1);
        assert!(trial.lists(login.id, &ann, trial.now()).await, "the list after the login");
        trial.updated(&login).await;
    }
}

/// An earlier "not before" instant takes nothing back from a later one.
pub async fn not_before_only_grows(place: &dyn Place) {
    let trial = Trial::new(place).await;
    let (ann, late) = (owner("ann"), trial.now());
    for (turn, not_before) in
        [late - IDLE, late, late - IDLE, late - LONG_AFTER].into_iter().enumerate()
    {
        let ended =
            trial.handle(turn).delete_owner(&ann, None, not_before, Durability::Power).await;
        assert_eq!(ended.expect("delete_owner fails"), 0, "there are no sessions");
    }
    for earlier in [Duration::ZERO, IDLE / 2] {
        let created = trial.try_create(&began(&trial, &ann, late - earlier)).await;
        assert_eq!(created, Created::Revoked, "a login that began {earlier:?} before the latest");
    }
}

fn began(trial: &Trial, owner: &Owner, began_at: SystemTime) -> Record {
    Record { login_began_at: Some(began_at), ..trial.record_of(owner) }
}

async fn create(store: &dyn Store, record: &Record) -> Created {
    store.create(record, Durability::Process).await.expect("create fails")
}
