//! The directory: whom it must belong to, and what lies in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use sessile::ErrorKind;
use sessile::store::file::FileStoreBuilder;

use super::{Root, builder};

fn refusal(builder: FileStoreBuilder) -> String {
    let error = builder.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

// R48, R50
#[test]
fn a_root_that_cannot_be_trusted_is_refused_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link, open) =
        (dir.path().join("file"), dir.path().join("link"), dir.path().join("open"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&open).unwrap();
    symlink(&open, &link).unwrap();
    assert!(refusal(builder(&file)).contains("not a directory"));
    assert!(refusal(builder(&link)).contains("symbolic link"));
    assert!(refusal(builder(&link.join(""))).contains("symbolic link"), "with a slash at its end");
    assert!(refusal(builder(&file.join("below"))).contains("cannot make"));
    for (mode, is_the_groups_alone) in
        [(0o770, true), (0o707, false), (0o1777, false), (0o500, false), (0o000, false)]
    {
        fs::set_permissions(&open, Permissions::from_mode(mode)).unwrap();
        let refusal = refusal(builder(&open));
        assert!(refusal.contains("chmod 700"), "{mode:o}");
        assert_eq!(refusal.contains("allow_group(true)"), is_the_groups_alone, "{mode:o}");
    }
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    assert!(refusal(builder(&open).allow_group(true)).contains("chmod 700"));
    fs::set_permissions(&open, Permissions::from_mode(0o770)).unwrap();
    builder(&open).allow_group(true).open().unwrap();
}

#[test]
fn a_namespace_has_1_to_64_letters_digits_and_dashes() {
    let dir = tempfile::tempdir().unwrap();
    for namespace in ["", "../up", "Shop", "a b", &"a".repeat(65)] {
        assert!(refusal(builder(dir.path()).namespace(namespace)).contains("a-z"), "{namespace}");
    }
    for namespace in ["a", "shop_2-b", &"a".repeat(64)] {
        builder(dir.path()).namespace(namespace).open().unwrap();
    }
}

#[test]
fn a_directory_below_the_root_is_trusted_no_further_than_the_root() {
    for below in ["default", "default/records", "default/expiry", "default/owners"] {
        let root = Root::new();
        let path = root.path().join(below);
        let said = |what: &str| {
            let refusal = refusal(builder(&root.path()));
            assert!(refusal.contains(what) && refusal.contains(below), "{refusal}");
        };
        for mode in [0o770, 0o707] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            said("chmod 700");
        }
        let away = root.path().join("away");
        fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        said("symbolic link");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        said("not a directory");
    }
}

#[test]
fn what_the_store_makes_is_private() {
    let root = Root::new();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for dir in ["", "default", "default/records", "default/owners"] {
        assert_eq!(mode(root.path().join(dir)), 0o700, "{dir}");
    }
    assert_eq!(mode(root.path().join("sessile.key")), 0o600);
}

#[test]
fn a_damaged_key_is_refused_with_the_mend() {
    let root = Root::new();
    fs::write(root.path().join("sessile.key"), "short").unwrap();
    assert!(refusal(builder(&root.path())).contains("restore it"));
}

#[test]
fn stores_opened_at_once_agree_on_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root");
    std::thread::scope(|scope| {
        let opened: Vec<_> =
            (0..8).map(|_| scope.spawn(|| builder(&path).open().map(drop))).collect();
        assert!(opened.into_iter().all(|opened| opened.join().unwrap().is_ok()));
    });
    assert_eq!(fs::read(path.join("sessile.key")).unwrap().len(), 32);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
}

#[test]
fn every_root_has_a_key_of_its_own() {
    let keys = [Root::new(), Root::new()].map(|root| fs::read(root.path().join("sessile.key")));
    let [one, other] = keys.map(Result::unwrap);
    assert_ne!(one, other);
}

#[test]
fn a_key_that_is_no_file_is_refused() {
    let root = Root::new();
    let key = root.path().join("sessile.key");
    fs::rename(&key, root.dir.path().join("elsewhere")).unwrap();
    symlink(root.dir.path().join("elsewhere"), &key).unwrap();
    assert_eq!(builder(&root.path()).open().unwrap_err().kind(), ErrorKind::Corrupt);
}
