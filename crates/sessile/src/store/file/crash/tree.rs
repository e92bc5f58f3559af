//! A directory with everything in it, as a value: what a crash leaves, what a test rebuilds.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;

use super::super::sys::record::Node;

/// A file or a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tree {
    File(Rc<Vec<u8>>),
    Dir(BTreeMap<String, Tree>),
}

impl Tree {
    /// Two trees with the same print are taken for equal.
    pub(super) fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Reads what lies at `path`.
    pub(super) fn read(path: &Path) -> Self {
        if path.is_dir() {
            let entries = names(path).into_iter();
            return Self::Dir(entries.map(|n| (n.clone(), Self::read(&path.join(n)))).collect());
        }
        Self::File(Rc::new(fs::read(path).unwrap()))
    }

    /// Makes it at `path`, where nothing lies yet.
    pub(super) fn build(&self, path: &Path) {
        match self {
            Self::File(content) => {
                let mut open = fs::OpenOptions::new();
                let mut file = open.write(true).create_new(true).mode(0o600).open(path).unwrap();
                std::io::Write::write_all(&mut file, content).unwrap();
            }
            Self::Dir(entries) => {
                fs::DirBuilder::new().mode(0o700).create(path).unwrap();
                for (name, entry) in entries {
                    entry.build(&path.join(name));
                }
            }
        }
    }

    /// The paths of all files in it.
    pub(super) fn files(&self) -> Vec<String> {
        let Self::Dir(entries) = self else { return vec![String::new()] };
        let below = |(name, entry): (&String, &Self)| {
            let paths = entry.files().into_iter();
            paths.map(|path| format!("{name}/{path}").trim_end_matches('/').into()).collect()
        };
        entries.iter().flat_map(|entry| -> Vec<String> { below(entry) }).collect()
    }
}

/// The names in a directory.
pub(super) fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The identity of what lies at `path`, as the recorder tells it.
pub(super) fn node(path: &Path) -> Node {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.dev(), meta.ino())
}

/// An empty directory that only we may enter, in memory where the system has a place for that.
pub(super) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let within = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("sessile-crash-").tempdir_in(within).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    dir
}
