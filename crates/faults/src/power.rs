//! The loss of power: an ext4 in a file, copied while processes write to it; the copy is mounted,
//! which replays its journal, and holds what the disk would have held.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use crate::crew::Crew;
use crate::deed::{monotonic_ns, wall_ms};
use crate::history::{History, Promise};
use crate::mount::{Mount, make_image};
use crate::report::{Row, Trouble};
use crate::scene::{Cast, Scene};

const MIB: u64 = 48;
const WORKERS: usize = 3;

/// So many copies are made of one directory before a new one is begun.
const COPIES: u64 = 4;

/// Makes so many copies; one row.
pub(crate) fn run(scratch: &Path, seed: u64, copies: u64) -> Result<Vec<Row>, Trouble> {
    let mut row = Row::new("power lost (copies of a mounted ext4)");
    let image = scratch.join("disk.img");
    make_image(&image, MIB)?;
    let disk = Mount::image(&image, &scratch.join("disk"))?;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut made = 0;
    while made < copies && row.violations.is_empty() {
        let root = scratch.join(format!("disk/sessions-{made}"));
        let more = COPIES.min(copies - made);
        one_directory(scratch, &root, rng.u64(..), more, &mut row)?;
        std::fs::remove_dir_all(&root)?;
        made += more;
        eprintln!("  {made} copies");
    }
    drop(disk);
    Ok(vec![row])
}

fn one_directory(
    scratch: &Path,
    root: &Path,
    seed: u64,
    copies: u64,
    row: &mut Row,
) -> Result<(), Trouble> {
    let mut crew = Crew::new(root, seed);
    let mut history = History::default();
    for number in 0..copies {
        // What one of them syncs may bring along what another one forgot to.
        crew.start_some(WORKERS)?;
        // Most ends are followed by something that syncs them by the way.
        match number % 2 {
            0 => crew.work(50..600),
            _ => crew.work_to_an_end(20..300),
        }
        let (copied_ns, copy) = copy(&crew, scratch)?;
        row.injected += 1;
        crew.kill_all(&mut history);
        look_at(&copy, scratch, root, &history, copied_ns, row)?;
    }
    Ok(())
}

/// Copies the disk as it is at one instant, and gives that.
///
/// The processes stand still meanwhile, or the copy would take its parts from different moments,
/// which no loss of power does. What the kernel is writing by itself is waited for: two readings
/// have to agree.
fn copy(crew: &Crew, scratch: &Path) -> Result<(u64, std::path::PathBuf), Trouble> {
    crew.stop_all();
    let copied_ns = monotonic_ns();
    let (image, copy) = (scratch.join("disk.img"), scratch.join("copy.img"));
    let mut bytes = std::fs::read(&image)?;
    loop {
        let again = std::fs::read(&image)?;
        if again == bytes {
            break;
        }
        bytes = again;
    }
    write_sparse(&copy, &bytes)?;
    Ok((copied_ns, copy))
}

fn write_sparse(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    const PAGE: usize = 4_096;
    let mut file = File::create(path)?;
    for (at, page) in bytes.chunks(PAGE).enumerate().filter(|(_, page)| *page != [0; PAGE]) {
        file.seek(SeekFrom::Start((at * PAGE) as u64))?;
        file.write_all(page)?;
    }
    file.set_len(bytes.len() as u64)
}

/// Another machine mounts what is left, and opens the directory.
fn look_at(
    copy: &Path,
    scratch: &Path,
    root: &Path,
    history: &History,
    copied_ns: u64,
    row: &mut Row,
) -> Result<(), Trouble> {
    let at = scratch.join("copy");
    let mount = Mount::image(copy, &at)?;
    let name = root.file_name().unwrap_or_default();
    let mut scene = Scene::begin(at.join(name), Cast::default(), history.clone(), wall_ms());
    scene.look(row, Promise::power(copied_ns));
    scene.go_on(row);
    drop((scene, mount));
    Ok(())
}
