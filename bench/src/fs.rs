//! Where it is measured: which file system that is, and a fresh one for who may mount it.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::options::Options;

const IMAGE_BYTES: u64 = 4 << 30;

/// A folder of ours, removed in the end; with `--loop` it lies in an image mounted for this run.
#[derive(Debug)]
pub(crate) struct Place {
    /// What is removed in the end.
    folder: PathBuf,
    /// Where to work: the folder, or the image's root.
    work: PathBuf,
    mounted: bool,
}

impl Place {
    pub(crate) fn new(options: &Options) -> Outcome<Self> {
        let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!("sessile-bench-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let mut place = Self { work: folder.clone(), folder, mounted: false };
        if options.on_loop {
            place.mount()?;
        }
        Ok(place)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.work
    }

    fn mount(&mut self) -> Outcome {
        let (image, mounted) = (self.folder.join("image"), self.folder.join("mounted"));
        std::fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
        std::fs::create_dir(&mounted)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mounted]))?;
        self.work = mounted;
        self.mounted = true;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted
            && let Err(why) = unmount(&self.work)
        {
            return eprintln!("bench: {} is left behind: {why}", self.folder.display());
        }
        if let Err(why) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("bench: {} is left behind: {why}", self.folder.display());
        }
    }
}

/// The threads of SQLite's connections end a little later than their store, and hold its file so long.
fn unmount(at: &Path) -> Outcome {
    for _ in 0..50 {
        if run(Command::new("umount").arg(at)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    run(Command::new("umount").arg(at))
}

fn run(command: &mut Command) -> Outcome {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name} (only root may): {}", String::from_utf8_lossy(&output.stderr).trim())
        .into())
}

/// The file system of `path` in words.
pub(crate) fn describe(path: &Path) -> Outcome<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let path = path.canonicalize()?;
    let mount = mount_of(&table, &path).ok_or("the mount table does not hold this folder")?;
    Ok(match (mount.kind, has_journal(mount.device)) {
        ("ext4", true) => "ext4 with a journal".into(),
        ("ext4", false) => "ext4 without a journal (which looks past freed inodes: creates and \
                            deletes are slower here than on most servers; see --loop)"
            .into(),
        (kind, _) => kind.to_owned(),
    })
}

/// The kernel lists the journals of ext4 by device.
fn has_journal(device: &str) -> bool {
    let name = device.rsplit('/').next().unwrap_or_default();
    let journals = std::fs::read_dir("/proc/fs/jbd2").into_iter().flatten().flatten();
    journals.into_iter().any(|journal| {
        journal.file_name().to_string_lossy().rsplit_once('-').is_some_and(|(of, _)| of == name)
    })
}

/// A row of the mount table, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    kind: &'a str,
    device: &'a str,
}

/// The last mounted of the longest mount points above `path`.
fn mount_of<'a>(table: &'a str, path: &Path) -> Option<Mount<'a>> {
    let rows = table.lines().filter_map(|row| {
        let (place, source) = row.split_once(" - ")?;
        let point = Path::new(place.split(' ').nth(4)?);
        let mut source = source.split(' ');
        let mount = Mount { kind: source.next()?, device: source.next()? };
        path.starts_with(point).then(|| (point.components().count(), mount))
    });
    rows.max_by_key(|(depth, _)| *depth).map(|(_, mount)| mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /dev/shm rw - tmpfs tmpfs rw
24 22 7:0 / /srv/data rw - xfs /dev/loop0 rw";

    #[test]
    fn the_nearest_mount_point_counts() {
        for (path, kind, device) in [
            ("/srv/data/x", "xfs", "/dev/loop0"),
            ("/srv/database", "ext4", "/dev/vda"),
            ("/dev/shm", "tmpfs", "tmpfs"),
        ] {
            assert_eq!(mount_of(TABLE, Path::new(path)), Some(Mount { kind, device }), "{path}");
        }
    }

    #[test]
    fn the_folder_is_removed_in_the_end() {
        let words = std::iter::empty();
        let place = Place::new(&Options::parse(words).unwrap()).unwrap();
        let folder = place.path().to_owned();
        assert!(folder.is_dir() && !describe(&folder).unwrap().is_empty());
        drop(place);
        assert!(!folder.exists());
    }
}
