//! PostgreSQL, from Debian's package `postgresql`.

use std::path::PathBuf;

use super::{Folder, Running, User, free_port};
use crate::needs;
use crate::shell::{find, run};

/// A new cluster with one user and no password: it listens on loopback, as long as the tests run.
pub(super) fn start() -> Result<(String, Vec<Running>), String> {
    let (initdb, postgres) = programs()?;
    let user = User::named("postgres")?;
    let (folder, port) = (Folder::new("postgres", &user)?, free_port()?);
    let data = folder.join("data");
    let words = ["--auth=trust", "--username=sessile", "--encoding=UTF8", "--no-sync", "-D", &data];
    run(user.command(&initdb).args(words).stdout(std::process::Stdio::null()))?;
    let mut server = user.command(&postgres);
    server.args(["-D", &data, "-p", &port.to_string(), "-k", &data, "-h", "127.0.0.1"]);
    server.args(["-c", "max_connections=300", "-c", "fsync=off"]);
    let ready = "ready to accept connections";
    let running = Running::start(&mut server, ready, "INT", folder)?;
    Ok((format!("postgres://sessile@127.0.0.1:{port}/postgres"), vec![running]))
}

/// Debian keeps the server's programs off the path, one folder per version.
fn programs() -> Result<(PathBuf, PathBuf), String> {
    let found = || Some((program("initdb")?, program("postgres")?));
    if let Some(found) = found() {
        return Ok(found);
    }
    needs::install("postgresql")?;
    found().ok_or_else(|| "package postgresql brought no server".into())
}

fn program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<_> = versions
        .map(|version| (number(&version.file_name().to_string_lossy()), version.path()))
        .map(|(version, folder)| (version, folder.join("bin").join(name)))
        .filter(|(_, place)| place.is_file())
        .collect();
    places.sort();
    places.pop().map(|(_, newest)| newest).or_else(|| find(&[name]))
}

fn number(version: &str) -> u32 {
    version.parse().unwrap_or(0)
}
