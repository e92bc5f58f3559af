//! MariaDB, from Debian's package `mariadb-server`.

use super::{Folder, Running, User, free_port};
use crate::needs::program;
use crate::shell::run;

/// What the server runs before anyone may connect.
const FIRST: &str = "CREATE DATABASE sessile;\n\
    CREATE USER sessile@'127.0.0.1' IDENTIFIED BY 'sessile';\n\
    GRANT ALL ON sessile.* TO sessile@'127.0.0.1';\n";

/// A new server with one database and one user.
pub(super) fn start() -> Result<(String, Vec<Running>), String> {
    let install = program(&["mariadb-install-db"], "mariadb-server")?;
    let mariadbd = program(&["mariadbd"], "mariadb-server")?;
    let user = User::named("mysql")?;
    let (folder, port) = (Folder::new("mariadb", &user)?, free_port()?);
    let (data, first) = (format!("--datadir={}", folder.join("data")), folder.join("first.sql"));
    std::fs::write(&first, FIRST).map_err(|why| format!("{first}: {why}"))?;
    let words = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"];
    run(user.command(&install).args(words).arg(&data).stdout(std::process::Stdio::null()))?;
    let mut server = user.command(&mariadbd);
    server.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", &data]);
    server.arg(format!("--port={port}")).arg(format!("--socket={}", folder.join("socket")));
    server.arg(format!("--pid-file={}", folder.join("pid"))).arg(format!("--init-file={first}"));
    server.args(["--max-connections=300", "--innodb-flush-log-at-trx-commit=0"]);
    let running = Running::start(&mut server, "ready for connections", "TERM", folder)?;
    Ok((format!("mysql://sessile:sessile@127.0.0.1:{port}/sessile"), vec![running]))
}
