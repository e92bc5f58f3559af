//! The index of owners' sessions.

use std::fs;
use std::time::{Duration, SystemTime};

use sessile::store::{Created, Durability, FileStore, Scope, Store, Ticket};
use sessile::{Owner, SessionId};

use super::{MINUTE, Root, ann, load, next, owned, start, update};

async fn ids_of(store: &FileStore, owner: &Owner, now: SystemTime) -> Vec<SessionId> {
    let page = store.list(Scope::Owner(owner), now, None, 100).await.unwrap();
    page.sessions.iter().map(|session| session.id).collect()
}

#[tokio::test]
async fn an_owner_sees_their_live_sessions_by_id() {
    let root = Root::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let record = owned(&ann(), start());
        root.store.create(&record, Durability::Power).await.unwrap();
        ids.push(record.id);
    }
    let mut replaced = owned(&ann(), start());
    replaced.superseded = true;
    root.store.create(&replaced, Durability::Process).await.unwrap();
    root.store
        .create(&owned(&Owner::new("bob").unwrap(), start()), Durability::Process)
        .await
        .unwrap();
    ids.sort_unstable();
    assert_eq!(ids_of(&root.store, &ann(), start()).await, ids);
    assert!(ids_of(&root.store, &ann(), start() + 30 * MINUTE).await.is_empty());

    let first = root.store.list(Scope::Owner(&ann()), start(), None, 2).await.unwrap();
    assert_eq!(first.next, Some(ids[1]));
    let second = root.store.list(Scope::Owner(&ann()), start(), first.next, 100).await.unwrap();
    assert_eq!(second.sessions.len(), 3);
    let all = root.store.list(Scope::All, start(), Some(ids[4]), 100).await.unwrap();
    assert!(all.sessions.iter().all(|session| session.id > ids[4]));
}

#[tokio::test]
async fn one_damaged_record_does_not_fail_a_list() {
    let root = Root::new();
    let (first, second) = (owned(&ann(), start()), owned(&ann(), start()));
    for record in [&first, &second] {
        root.store.create(record, Durability::Process).await.unwrap();
    }
    root.change_byte(first.id, 64 + 60);
    assert_eq!(ids_of(&root.store, &ann(), start()).await, [second.id]);
}

// R59
#[tokio::test]
async fn names_in_the_root_tell_nothing_of_owners() {
    let root = Root::new();
    root.store.create(&owned(&ann(), start()), Durability::Process).await.unwrap();
    for entry in fs::read_dir(root.path().join("default/owners")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.file_name().unwrap().len(), 64);
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(3).any(|window| window == b"ann"));
    }
}

#[tokio::test]
async fn ending_an_owners_sessions_spares_one_and_refuses_logins_begun_before() {
    let root = Root::new();
    let (first, second) = (owned(&ann(), start()), owned(&ann(), start()));
    for record in [&first, &second] {
        root.store.create(record, Durability::Process).await.unwrap();
    }
    let store = &root.store;
    let not_before = start() + MINUTE;
    let ended = store.delete_owner(&ann(), Some(second.id), not_before, Durability::Power).await;
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(ids_of(store, &ann(), start()).await, [second.id]);

    let mut nameless = owned(&Owner::new("bob").unwrap(), start());
    nameless.login_began_at = None;
    assert_eq!(store.create(&nameless, Durability::Power).await.unwrap(), Created::New);
    (nameless.id, nameless.owner) = (SessionId::random().unwrap(), Some(ann()));
    for late in [owned(&ann(), start()), owned(&ann(), not_before), nameless] {
        let refused = root.opened_again().create(&late, Durability::Power).await.unwrap();
        assert_eq!(refused, Created::Revoked);
        assert_eq!(load(store, late.id).await, None);
    }
    let later = owned(&ann(), not_before + Duration::from_millis(1));
    assert_eq!(store.create(&later, Durability::Power).await.unwrap(), Created::New);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_login_escapes_a_revocation_that_runs_beside_it() {
    let root = Root::new();
    for round in 0..60 {
        let owner = Owner::new(format!("owner {round}")).unwrap();
        let record = owned(&owner, start());
        let (store, id) = (root.store.clone(), record.id);
        let login = tokio::spawn(async move { store.create(&record, Durability::Process).await });
        let (store, ended) = (root.opened_again(), owner.clone());
        let revocation = tokio::spawn(async move {
            store.delete_owner(&ended, None, start() + MINUTE, Durability::Process).await
        });
        let (created, ended) = (login.await.unwrap().unwrap(), revocation.await.unwrap().unwrap());
        assert_eq!(load(&root.store, id).await, None, "{created:?} {ended}");
    }
}

#[tokio::test]
async fn an_ended_session_leaves_its_owners_list() {
    let root = Root::new();
    let (first, second) = (owned(&ann(), start()), owned(&ann(), start()));
    for record in [&first, &second] {
        root.store.create(record, Durability::Process).await.unwrap();
    }
    root.store.delete(first.id, Durability::Power).await.unwrap();
    let mut replaced = next(&second, "null");
    replaced.owner = None;
    update(&root.store, &replaced, Durability::Final).await;
    let index = fs::read_dir(root.path().join("default/owners")).unwrap().next().unwrap().unwrap();
    let entries = fs::read(index.path()).unwrap().split_off(64);
    assert!(entries.iter().all(|byte| *byte == 0));
    // Nothing is left to say of this owner, a day after.
    assert!(ids_of(&root.store, &ann(), start() + 25 * 60 * MINUTE).await.is_empty());
    assert!(!index.path().exists());
}

#[tokio::test]
async fn only_old_ghosts_are_healed() {
    let root = Root::new();
    let record = owned(&ann(), start());
    root.store.create(&record, Durability::Process).await.unwrap();
    fs::remove_file(root.file(record.id)).unwrap();
    let index = fs::read_dir(root.path().join("default/owners")).unwrap().next().unwrap().unwrap();
    for minutes in [9, 10] {
        ids_of(&root.store, &ann(), start() + minutes * MINUTE).await;
        assert!(fs::read(index.path()).unwrap()[64..].starts_with(record.id.as_bytes()));
    }
    ids_of(&root.store, &ann(), start() + 11 * MINUTE).await;
    assert!(!index.path().exists());
}

/// How many entries the files of all owners hold.
fn entries(root: &Root) -> usize {
    let files = fs::read_dir(root.path().join("default/owners")).unwrap();
    let files = files.map(|file| fs::read(file.unwrap().path()).unwrap());
    files.map(|it| it[64..].chunks(32).filter(|entry| *entry != [0; 32]).count()).sum()
}

#[tokio::test]
async fn a_create_that_finds_the_session_there_leaves_every_index_as_it_was() {
    let root = Root::new();
    let first = owned(&ann(), start());
    assert_eq!(root.store.create(&first, Durability::Process).await.unwrap(), Created::New);
    let mut of_bob = first.clone();
    of_bob.owner = Some(Owner::new("bob").unwrap());
    for again in [&first, &of_bob] {
        let found = root.store.create(again, Durability::Process).await.unwrap();
        assert_eq!(found, Created::Exists);
        assert_eq!(entries(&root), 1);
    }
    assert_eq!(ids_of(&root.store, &ann(), start()).await, [first.id]);
}

#[tokio::test]
async fn an_owner_without_sessions_is_remembered_for_a_day() {
    let root = Root::new();
    root.store.delete_owner(&ann(), None, start(), Durability::Process).await.unwrap();
    let index = fs::read_dir(root.path().join("default/owners")).unwrap().next().unwrap().unwrap();
    for (hours, is_there) in [(0, true), (23, true), (24, true), (25, false)] {
        ids_of(&root.store, &ann(), start() + hours * 60 * MINUTE).await;
        assert_eq!(index.path().exists(), is_there, "after {hours} hours");
    }
}

#[tokio::test]
async fn an_entry_of_another_owners_session_is_a_ghost() {
    for is_mended in [false, true] {
        let root = Root::new();
        let record = owned(&ann(), start());
        root.store.create(&record, Durability::Process).await.unwrap();
        let index = fs::read_dir(root.path().join("default/owners")).unwrap().next().unwrap();
        let index = index.unwrap().path();
        let before = fs::read(&index).unwrap();
        let mut replaced = next(&record, "null");
        replaced.owner = None;
        update(&root.store, &replaced, Durability::Process).await;
        // What a crash leaves between the update and the index.
        fs::write(&index, before).unwrap();
        let now = start() + 11 * MINUTE;
        if is_mended {
            assert_eq!(root.store.mend(now).unwrap().ghosts, 1);
        } else {
            assert_eq!(ids_of(&root.store, &ann(), now).await, []);
        }
        assert_eq!(entries(&root), 0);
    }
}

#[tokio::test]
async fn healing_and_clean_up_take_no_entry_of_a_session_that_lives() {
    let root = Root::new();
    let (gone, living) = (owned(&ann(), start()), owned(&ann(), start()));
    for record in [&gone, &living] {
        root.store.create(record, Durability::Process).await.unwrap();
    }
    let used_at = start() + 29 * MINUTE;
    root.store.touch(living.id, used_at, used_at, &mut Ticket::none()).await.unwrap();
    let now = start() + 40 * MINUTE;
    assert_eq!(root.store.delete_expired(now, 10).await.unwrap().removed.len(), 1);
    assert_eq!(ids_of(&root.store, &ann(), now).await, [living.id]);
    let ghost = owned(&ann(), start());
    root.store.create(&ghost, Durability::Process).await.unwrap();
    fs::remove_file(root.file(ghost.id)).unwrap();
    for _ in 0..2 {
        assert_eq!(ids_of(&root.store, &ann(), now).await, [living.id]);
        assert_eq!(entries(&root), 1);
    }
}
