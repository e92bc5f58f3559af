//! `cargo xtask bench`: builds the benchmark, which keeps its own lock file, and runs it.

use crate::servers::{self, Server};
use crate::shell::{Outcome, cargo, run};

/// Runs it with these options; with the servers that can be had, if every store is asked for.
pub(crate) fn measure(options: &[String]) -> Outcome {
    let asks_for_stores = options.iter().any(|option| option == "--stores");
    let (features, servers) = match asks_for_stores {
        true => ("stores", servers_there()),
        false => ("", Vec::new()),
    };
    let words = ["run", "--quiet", "--release", "--manifest-path", "bench/Cargo.toml"];
    let mut bench = cargo(&words);
    bench.args(["--features", features, "--"]).args(options);
    bench.envs(servers.iter().map(|server| (server.variable, &server.url)));
    run(&mut bench)
}

/// What is missing is left out of the table, and said.
fn servers_there() -> Vec<Server> {
    let started = servers::start().into_iter();
    started.filter_map(|server| server.map_err(|why| eprintln!("skipped: {why}")).ok()).collect()
}
