//! Redis, from Debian's package `redis-server`: one server, and a Cluster of six; and Valkey, from
//! `valkey-server`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Folder, PATIENCE, Running, User, free_port};
use crate::needs::program;
use crate::shell::{command, output, run};

/// A new server that keeps nothing on the disk.
pub(super) fn start() -> Result<(String, Vec<Running>), String> {
    single(redis()?, "redis")
}

/// The same of Valkey, where Debian has it.
pub(super) fn start_valkey() -> Result<(String, Vec<Running>), String> {
    single(program(&["valkey-server"], "valkey-server")?, "valkey")
}

fn redis() -> Result<PathBuf, String> {
    program(&["redis-server", "valkey-server"], "redis-server")
}

fn single(program: PathBuf, name: &str) -> Result<(String, Vec<Running>), String> {
    let (port, running) = node(&program, name, &[])?;
    Ok((format!("redis://127.0.0.1:{port}"), vec![running]))
}

/// Three primaries with a replica each.
pub(super) fn start_cluster() -> Result<(String, Vec<Running>), String> {
    let words = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
    let redis = redis()?;
    let nodes = (1..=6).map(|n| node(&redis, &format!("redis-cluster-{n}"), &words));
    let (ports, running): (Vec<_>, Vec<_>) =
        nodes.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let addresses: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let mut create = command("redis-cli");
    create.args(["--cluster", "create"]).args(&addresses);
    create.args(["--cluster-replicas", "1", "--cluster-yes"]);
    run(create.stdout(std::process::Stdio::null()))?;
    for port in ports {
        wait_until_whole(port)?;
    }
    Ok((addresses.join(","), running))
}

/// One server on a free port. It writes its log to standard output, of which `sh` makes the other.
fn node(program: &Path, name: &str, words: &[&str]) -> Result<(u16, Running), String> {
    let (folder, port) = (Folder::new(name, &User(None))?, cluster_port()?);
    let mut server = command("sh");
    server.args(["-c", "exec \"$@\" >&2", "sh"]).arg(program);
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir", &folder.join("")]);
    server.args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", ""]);
    server.args(words);
    let running = Running::start(&mut server, "Ready to accept connections", "TERM", folder)?;
    Ok((port, running))
}

/// A free port below 55,536: the nodes of a Cluster speak to each other on the port 10,000 above.
fn cluster_port() -> Result<u16, String> {
    for _ in 0..1_000 {
        let port = free_port()?;
        if port < 55_536 {
            return Ok(port);
        }
    }
    Err("no free port below 55536".into())
}

/// The nodes tell each other of the Cluster; each must have heard before anyone may ask it.
fn wait_until_whole(port: u16) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let info = output(command("redis-cli").args(["-p", &port.to_string(), "cluster", "info"]))?;
        if info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!("the Cluster's node on port {port} never saw all six"))
}
