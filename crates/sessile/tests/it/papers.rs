//! Certificates for tests of TLS: two authorities, and a server's certificate by the first of them.

use std::process::Command;

use tempfile::TempDir;

/// `right.pem` and `wrong.pem` are the authorities; `server.pem` and `server.key` are for 127.0.0.1.
pub(crate) struct Papers(TempDir);

impl Papers {
    /// In this folder, whose owner may read the server's key; `None` where the test is skipped.
    pub(crate) fn in_folder(folder: TempDir) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("skipped: openssl is not installed");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI promises openssl");
            return None;
        }
        let papers = Self(folder);
        for authority in ["right", "wrong"] {
            let name = format!("/CN={authority} authority");
            papers.sign(authority, &["-subj", &name, "-addext", "keyUsage=critical,keyCertSign"]);
        }
        let (ca, key) = (papers.at("right.pem"), papers.at("right.key"));
        let of_server = ["-subj", "/CN=db", "-addext", "subjectAltName=IP:127.0.0.1"];
        let by_us = ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", &ca, "-CAkey", &key];
        papers.sign("server", &[&of_server[..], &by_us].concat());
        let owner = ["--reference", &papers.at("."), &papers.at("server.key")];
        succeed(Command::new("chown").args(owner));
        Some(papers)
    }

    fn sign(&self, name: &str, words: &[&str]) {
        let (key, paper) = (self.at(&format!("{name}.key")), self.at(&format!("{name}.pem")));
        let mut sign = Command::new("openssl");
        sign.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
        succeed(sign.args(["-keyout", &key, "-out", &paper]).args(words));
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

fn succeed(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
