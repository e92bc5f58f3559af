//! Mending the index of owners.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use sessile::store::{Created, Durability, FileStore, Scope, Store};
use sessile::{ErrorKind, Owner, SessionId};

use super::{MINUTE, Root, ann, created, owned, start};

async fn signed_in(store: &FileStore, owner: &Owner) -> SessionId {
    let record = owned(owner, start());
    assert_eq!(store.create(&record, Durability::Process).await.unwrap(), Created::New);
    record.id
}

async fn ids_of(store: &FileStore, owner: &Owner, now: SystemTime) -> Vec<SessionId> {
    let page = store.list(Scope::Owner(owner), now, None, 100).await.unwrap();
    page.sessions.iter().map(|session| session.id).collect()
}

/// The files of owners, and what is in them.
fn indexes(root: &Root) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(root.path().join("default/owners")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut indexes: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    indexes.sort();
    indexes
}

#[tokio::test]
async fn a_damaged_index_is_mended_from_the_records() {
    for damage in [&[0xff; 24][..], &[0xff; 10], &[0xff; 128], &[0xff; 100]] {
        let root = Root::new();
        let bob = Owner::new("bob").unwrap();
        let mut ids = [signed_in(&root.store, &ann()).await, signed_in(&root.store, &ann()).await];
        ids.sort_unstable();
        let (path, before) = indexes(&root).remove(0);
        let bobs = signed_in(&root.store, &bob).await;
        let mut bytes = before.clone();
        bytes[..damage.len()].copy_from_slice(damage);
        bytes.truncate(if damage.len() < 24 { damage.len() } else { bytes.len() });
        fs::write(&path, bytes).unwrap();
        let refused = root.store.list(Scope::Owner(&ann()), start(), None, 9).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        assert!(refused.to_string().contains("sessile mend"), "{refused}");

        let now = start() + MINUTE;
        let mended = root.opened_again().mend(now).unwrap();
        assert_eq!((mended.owners, mended.ghosts), (1, 0), "{} bytes", damage.len());
        assert_eq!(ids_of(&root.store, &ann(), now).await, ids, "{} bytes", damage.len());
        assert_eq!(ids_of(&root.store, &bob, now).await, [bobs]);
        let late = root.store.create(&owned(&ann(), now), Durability::Process).await.unwrap();
        assert_eq!(late, Created::Revoked, "nobody knows whom the old head refused");
        let later = owned(&ann(), now + MINUTE);
        assert_eq!(root.store.create(&later, Durability::Process).await.unwrap(), Created::New);
        assert_eq!(root.store.mend(now).unwrap(), sessile::store::file::Mended::default());
    }
}

#[tokio::test]
async fn an_index_that_was_lost_is_rebuilt() {
    let root = Root::new();
    let id = signed_in(&root.store, &ann()).await;
    created(&root.store).await;
    fs::remove_file(&indexes(&root)[0].0).unwrap();
    assert_eq!(ids_of(&root.store, &ann(), start()).await, []);
    assert_eq!(root.store.mend(start()).unwrap().missing, 1, "the anonymous one has no owner");
    assert_eq!(ids_of(&root.store, &ann(), start()).await, [id]);
    fs::remove_file(&indexes(&root)[0].0).unwrap();
    let expired = start() + 30 * MINUTE;
    assert_eq!(root.store.mend(expired).unwrap().missing, 0, "an expired session has none either");
}

#[tokio::test]
async fn mending_lays_old_ghosts_and_leaves_the_rest_as_it_is() {
    let root = Root::new();
    let (gone, _) = (signed_in(&root.store, &ann()).await, signed_in(&root.store, &ann()).await);
    let before = indexes(&root);
    assert_eq!(root.store.mend(start() + 20 * MINUTE).unwrap().ghosts, 0);
    assert_eq!(indexes(&root), before);
    fs::remove_file(root.file(gone)).unwrap();
    assert_eq!(root.store.mend(start() + 9 * MINUTE).unwrap().ghosts, 0, "it may be on its way");
    assert_eq!(indexes(&root), before);
    assert_eq!(root.store.mend(start() + 11 * MINUTE).unwrap().ghosts, 1);
    assert_eq!(root.store.mend(start() + 11 * MINUTE).unwrap().ghosts, 0);
}

#[tokio::test]
async fn mending_leaves_files_that_are_no_index_alone() {
    let root = Root::new();
    signed_in(&root.store, &ann()).await;
    for name in ["notes".to_owned(), "ab".repeat(16), "x".repeat(64)] {
        fs::write(root.path().join("default/owners").join(name), [0xff; 100]).unwrap();
    }
    let before = indexes(&root);
    assert_eq!(root.store.mend(start()).unwrap(), sessile::store::file::Mended::default());
    assert_eq!(indexes(&root), before);
}
