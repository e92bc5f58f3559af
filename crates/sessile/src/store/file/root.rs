//! The root directory: made private, checked before anything in it is believed.
//!
//! Whoever can write into the root can plant a session, and whoever can list it knows how many there
//! are. A root that others may write to is refused, and the refusal names the mend.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::core::wait_for;
use super::sys::{self, Dir, File, FileSystem, For, Meta};
use super::{Doing, Options};
use crate::error::{Error, ErrorKind, Result};

/// The key that turns owners into file names; it never leaves the root.
pub(super) type Key = [u8; 32];

const KEY_NAME: &str = "sessile.key";
const DRAFT_NAME: &str = "sessile.key.draft";
const USE_BY_OWNER: u32 = 0o700;
const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// The directories of one namespace, open, and the key of the root they lie in.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    pub(super) key: Key,
    pub(super) records: Dir,
    pub(super) expiry: Dir,
    pub(super) owners: Dir,
    pub(super) corrupt: Dir,
}

impl Root {
    /// Opens the root at `path`, and makes what is missing of it.
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self> {
        check_namespace(&options.namespace)?;
        // Without a slash at its end, which would lead through a symbolic link unseen.
        let path: &Path = &path.components().collect::<PathBuf>();
        let root = open_checked(path, options)?;
        let key = read_or_make_key(&root)?;
        let of_namespace = path.join(&options.namespace);
        let namespace = subdirectory(&root, &of_namespace, options)?;
        let open = |name| subdirectory(&namespace, &of_namespace.join(name), options);
        let opened = Self {
            path: path.to_owned(),
            key,
            records: open("records")?,
            expiry: open("expiry")?,
            owners: open("owners")?,
            corrupt: open("corrupt")?,
        };
        // A record that is promised to survive the loss of power lies below these names.
        for dir in [&namespace, &root] {
            dir.sync().doing("cannot sync the session directory")?;
        }
        Ok(opened)
    }
}

fn check_namespace(namespace: &str) -> Result<()> {
    let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=64).contains(&namespace.len()) && namespace.bytes().all(known) {
        return Ok(());
    }
    Err(config(format!("{namespace:?} is no namespace: take 1 to 64 of a-z, 0-9, \"_\" and \"-\"")))
}

/// The directory of the last name in `path`, which is made in `parent` if it is missing.
///
/// It is trusted no further than the root: `chmod -R` and `sudo` leave it to others just as easily.
fn subdirectory(parent: &Dir, path: &Path, options: &Options) -> Result<Dir> {
    let name = path.file_name().and_then(OsStr::to_str).expect("a path of ours ends in a name");
    parent.make_dir(name).doing("cannot make a subdirectory of the session directory")?;
    let meta =
        parent.look_at(name).doing("cannot look at a subdirectory of the session directory")?;
    let meta = check_kind(path, meta)?;
    check_owner(path, &meta, options)?;
    check_permissions(path, &meta, options)?;
    parent.open_dir(name).doing("cannot open a subdirectory of the session directory")
}

fn open_checked(path: &Path, options: &Options) -> Result<Dir> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).or_else(exists_already).map_err(
        |error| {
            config(format!("cannot make {}; make it yourself, mode 700", path.display()))
                .with_source(error)
        },
    )?;
    let meta = sys::look_at(path).doing("cannot look at the session directory")?;
    let meta = check_kind(path, meta)?;
    open_own(path, &meta, options)
}

fn check_kind(path: &Path, meta: Option<Meta>) -> Result<Meta> {
    match meta {
        Some(meta) if meta.is_symlink() => {
            Err(config(format!("{} is a symbolic link; use what it points to", path.display())))
        }
        Some(meta) if meta.is_dir() => Ok(meta),
        _ => Err(config(format!(
            "{} is not a directory; move it away, or name another",
            path.display()
        ))),
    }
}

/// What is there is judged next, with a clearer message than the system's.
fn exists_already(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Opens it if it is ours, by what was `seen` of it first: that says more than the system's refusal
/// to open. What is opened may be another directory by then, and is judged again.
fn open_own(path: &Path, seen: &Meta, options: &Options) -> Result<Dir> {
    check_owner(path, seen, options)?;
    check_use(path, seen)?;
    let dir = Dir::open(path).doing("cannot open the session directory")?;
    let meta = dir.meta().doing("cannot look at the session directory")?;
    check_owner(path, &meta, options)?;
    check_permissions(path, &meta, options)?;
    check_file_system(path, &dir, options)?;
    Ok(dir)
}

/// A volume that an orchestrator gave to a group belongs to the superuser.
fn check_owner(path: &Path, meta: &Meta, options: &Options) -> Result<()> {
    let user = sys::user();
    if meta.uid == user || (options.allow_group && meta.uid == 0) {
        return Ok(());
    }
    let path = path.display();
    Err(config(format!(
        "{path} belongs to user {}, not to {user}; run: chown {user} {path}",
        meta.uid
    )))
}

/// Refuses what its owner has closed to themselves. The superuser could use it all the same, and then
/// nobody else could.
fn check_use(path: &Path, meta: &Meta) -> Result<()> {
    let permissions = meta.permissions();
    if permissions & USE_BY_OWNER == USE_BY_OWNER {
        return Ok(());
    }
    let path = path.display();
    Err(config(format!(
        "{path} may not be used by its owner (mode {permissions:o}); run: chmod 700 {path}"
    )))
}

fn check_permissions(path: &Path, meta: &Meta, options: &Options) -> Result<()> {
    let refused = if options.allow_group {
        WRITABLE_BY_OTHERS
    } else {
        WRITABLE_BY_OTHERS | WRITABLE_BY_GROUP
    };
    let permissions = meta.permissions();
    if permissions & refused == 0 {
        return Ok(());
    }
    let path = path.display();
    let option = if permissions & refused == WRITABLE_BY_GROUP {
        " (or allow_group(true), in a URL ?group=allow, for a volume shared by its group)"
    } else {
        ""
    };
    Err(config(format!(
        "{path} may be written by others (mode {permissions:o}); run: chmod 700 {path}{option}"
    )))
}

fn check_file_system(path: &Path, dir: &Dir, options: &Options) -> Result<()> {
    let system = dir.file_system().doing("cannot tell the file system of the session directory")?;
    judge_file_system(path, system, options)
}

fn judge_file_system(path: &Path, system: FileSystem, options: &Options) -> Result<()> {
    if options.allow_any_file_system || system.is_known_good() {
        return Ok(());
    }
    Err(config(format!(
        "{} lies on a file system ({}) whose locks and syncs are not known to hold; put it on ext4, \
         xfs, btrfs, zfs, f2fs or tmpfs, or say allow_any_file_system(true), in a URL ?fs=any",
        path.display(),
        system.name()
    )))
}

/// Reads the key; the first process to come makes it.
fn read_or_make_key(root: &Dir) -> Result<Key> {
    let key = read_key(root)?;
    let draft = root.look_at(DRAFT_NAME).doing("cannot look for a draft of sessile.key")?;
    if let (Some(key), None) = (key, draft) {
        return Ok(key);
    }
    make_key(root)?;
    read_key(root)?.ok_or_else(|| config(format!("{KEY_NAME} vanished while it was made")))
}

fn read_key(root: &Dir) -> Result<Option<Key>> {
    let file = match root.open_file(KEY_NAME, For::Reading) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.doing("cannot open sessile.key")?,
    };
    let mut key = [0; 33];
    match file.read_at(&mut key, 0).doing("cannot read sessile.key")? {
        32 => Ok(key[..32].try_into().ok()),
        _ => Err(config(format!(
            "{KEY_NAME} is damaged: restore it from a backup, or remove it together with the \
             directory \"owners\" of every namespace"
        ))),
    }
}

/// Writes the key under another name and links it to its place: of two processes that start at once
/// one makes it, under a lock, and both then read the same whole key.
///
/// The other name is always the same. Whoever died over it leaves one file, which the next takes up.
fn make_key(root: &Dir) -> Result<()> {
    let draft = root.open_or_create_file(DRAFT_NAME).doing("cannot make sessile.key")?;
    wait_for(|| draft.try_lock().doing("cannot lock the draft of sessile.key"))?;
    if read_key(root)?.is_none() {
        write_key(root, &draft, &random::<32>()?).doing("cannot write sessile.key")?;
    }
    // What became of the key does not depend on it, and the next to open the root tries again.
    let _ = root.unlink(DRAFT_NAME);
    Ok(())
}

fn write_key(root: &Dir, draft: &File, key: &[u8]) -> io::Result<()> {
    draft.write_at(key, 0)?;
    draft.sync_data()?;
    root.link(DRAFT_NAME, KEY_NAME).or_else(exists_already)?;
    root.sync()
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Random, "the operating system gave no randomness").with_source(error)
    })?;
    Ok(bytes)
}

fn config(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(all(test, target_os = "linux", not(portable_system)))]
mod tests {
    use super::*;

    /// The numbers are those of `linux/magic.h` and of `statfs(2)`.
    #[test]
    fn r58_file_systems_whose_locks_are_not_known_to_hold_are_refused_by_name() {
        let judge = |magic, any| {
            let options = Options { allow_any_file_system: any, ..Options::default() };
            judge_file_system(Path::new("/srv"), FileSystem::of_magic(magic), &options)
        };
        for (magic, name) in [
            (0x6969, "NFS"),
            (0xFF53_4D42, "CIFS"),
            (0xFE53_4D42, "CIFS"),
            (0x517B, "CIFS"),
            (0x6573_5546, "FUSE"),
            (0x0102_1997, "9p"),
            (0x794C_7630, "overlayfs"),
            (0x0BD0_0BD0, "type 0xbd00bd0"),
            (0, "type 0x0"),
        ] {
            let refused = judge(magic, false).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Config);
            let (text, mend) = (refused.to_string(), "allow_any_file_system(true)");
            assert!(text.contains(&format!("({name})")) && text.contains(mend), "{text}");
            judge(magic, true).expect("the operator knows better");
        }
        for magic in [0xEF53, 0x5846_5342, 0x9123_683E, 0x2FC1_2FC1, 0xF2F5_2010, 0x0102_1994] {
            judge(magic, false).expect("its locks and syncs hold");
        }
    }

    #[test]
    fn the_file_system_that_is_judged_is_the_directorys_own() {
        let proc = Dir::open(Path::new("/proc")).unwrap();
        let options = Options::default();
        let refused = check_file_system(Path::new("/srv"), &proc, &options).unwrap_err();
        assert!(refused.to_string().contains("(type 0x9fa0)"), "{refused}");
    }

    #[test]
    fn a_directory_belongs_to_us_or_where_a_group_may_write_to_the_superuser() {
        let directory = tempfile::tempdir().unwrap();
        let mut meta = sys::look_at(directory.path()).unwrap().unwrap();
        let user = sys::user();
        for (owner, allow_group, is_admitted) in [
            (user, false, true),
            (user, true, true),
            (user + 1, false, false),
            (user + 1, true, false),
            (0, true, true),
        ] {
            meta.uid = owner;
            let options = Options { allow_group, ..Options::default() };
            let checked = check_owner(Path::new("/srv"), &meta, &options);
            assert_eq!(checked.is_ok(), is_admitted, "user {owner}, {allow_group}");
            assert!(is_admitted || checked.unwrap_err().to_string().contains("run: chown"));
        }
    }
}
