//! File systems of our own: mounted while we look at them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::report::Trouble;

/// A mounted file system; dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Mount {
    at: PathBuf,
}

impl Mount {
    /// A file system in memory that holds so many KiB.
    pub(crate) fn tmpfs(at: &Path, kib: u32) -> Result<Self, Trouble> {
        let size = format!("size={kib}k,mode=700");
        Self::new(&["-t", "tmpfs", "-o", &size, "tmpfs"], at)
    }

    /// The ext4 in a file.
    pub(crate) fn image(image: &Path, at: &Path) -> Result<Self, Trouble> {
        Self::new(&["-t", "ext4", "-o", "loop", &image.to_string_lossy()], at)
    }

    fn new(words: &[&str], at: &Path) -> Result<Self, Trouble> {
        if !rustix::process::geteuid().is_root() {
            return Err(Trouble::Forbidden("only root may mount a file system".into()));
        }
        std::fs::create_dir_all(at)?;
        run(Command::new("mount").args(words).arg(at), |why| {
            Trouble::Forbidden(format!("nothing can be mounted here: {why}"))
        })?;
        Ok(Self { at: at.to_owned() })
    }
}

impl Drop for Mount {
    /// A process that was killed may take a moment to let go of it.
    fn drop(&mut self) {
        for _ in 0..50 {
            if run(Command::new("umount").arg(&self.at), Trouble::Broken).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.at), Trouble::Broken);
    }
}

/// Makes an ext4 of so many MiB in a file.
pub(crate) fn make_image(image: &Path, mib: u64) -> Result<(), Trouble> {
    std::fs::File::create(image)?.set_len(mib << 20)?;
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.env("PATH", path).args(["-q", "-F", "-b", "4096"]).arg(image);
    run(&mut mkfs, Trouble::Broken)
}

/// Runs a program, and says what it means that it failed.
fn run(command: &mut Command, failed: impl FnOnce(String) -> Trouble) -> Result<(), Trouble> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|why| Trouble::Missing(format!("{name} does not start: {why}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
