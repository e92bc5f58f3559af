//! What must not grow with the number of stored sessions: start-up, memory, a clean-up with nothing
//! to do. A process of its own opens the store and says what it took.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use sessile::store::{Access, Created, Durability, FileStore, Store};

use crate::Outcome;
use crate::rounds::{fresh_id, runtime};
use crate::store::record;

const FEW: usize = 1_000;

/// A row for a small store and one for a large one.
pub(crate) fn table(dir: &Path, many: usize) -> Outcome<String> {
    let mut text = String::from(
        "| stored sessions | open the store | first load | resident memory | first clean-up | next clean-up |\n\
         |--:|--:|--:|--:|--:|--:|\n",
    );
    for sessions in [FEW, many] {
        let root = dir.join(format!("scale-{sessions}"));
        fill(&root, sessions)?;
        // What is still on its way to the disk would be waited for by whoever syncs next.
        rustix::fs::syncfs(std::fs::File::open(&root)?)?;
        writeln!(text, "| {sessions} | {} |", opened(&root)?)?;
        std::fs::remove_dir_all(&root)?;
    }
    Ok(text)
}

fn fill(root: &Path, sessions: usize) -> Outcome {
    let root = root.to_owned();
    runtime()?.block_on(async move {
        tokio::spawn(async move {
            let store = FileStore::open(&root)?;
            for _ in 0..sessions {
                let created = store.create(&record(fresh_id()), Durability::Process).await?;
                if created != Created::New {
                    return Err(format!("a create was answered with {created:?}").into());
                }
            }
            Ok(())
        })
        .await?
    })
}

fn opened(root: &Path) -> Outcome<String> {
    let mut again = Command::new(std::env::current_exe()?);
    let output = again.arg("opened").arg(root).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The process that is timed and weighed.
pub(crate) fn child(root: &Path) -> Outcome {
    let root = root.to_owned();
    let cells = runtime()?
        .block_on(async move { tokio::spawn(async move { cells(&root).await }).await? })?;
    println!("{cells}");
    Ok(())
}

async fn cells(root: &Path) -> Outcome<String> {
    let start = Instant::now();
    let store = FileStore::open(root)?;
    let open = start.elapsed();
    let start = Instant::now();
    store.load(fresh_id(), SystemTime::now(), Access::Read).await?;
    let load = start.elapsed();
    let memory = resident()?;
    let (first, next) = (idle_clean_up(&store).await?, idle_clean_up(&store).await?);
    Ok(format!("{open:.0?} | {load:.0?} | {memory} | {first:.0?} | {next:.0?}"))
}

/// How long a clean-up takes that finds nothing due.
async fn idle_clean_up(store: &FileStore) -> Outcome<Duration> {
    let start = Instant::now();
    let expired = store.delete_expired(SystemTime::now(), 1_000).await?;
    let took = start.elapsed();
    if expired.removed.is_empty() { Ok(took) } else { Err("something was due".into()) }
}

fn resident() -> Outcome<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let row = status.lines().find_map(|row| row.strip_prefix("VmRSS:"));
    Ok(row.ok_or("the kernel does not say how much memory we hold")?.trim().to_owned())
}
