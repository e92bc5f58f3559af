//! TLS to a database whose certificate an authority of our own has signed.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use sessile::store::{self, Access, Store};
use sessile::{ErrorKind, Result};
use tempfile::TempDir;

use super::every_database::{created, record};
use super::own::{Own, installed, owned_by, succeed};

/// Two authorities, and a server's certificate by the first of them, for 127.0.0.1.
struct Papers(TempDir);

impl Papers {
    /// In files that this user of the system may read; `None` where the test is skipped.
    fn of(user: &str) -> Option<Self> {
        installed("openssl", "/usr/bin/openssl")?;
        let papers = Self(owned_by(user));
        for authority in ["right", "wrong"] {
            let name = format!("/CN={authority} authority");
            papers.sign(authority, &["-subj", &name, "-addext", "keyUsage=critical,keyCertSign"]);
        }
        let (ca, key) = (papers.at("right.pem"), papers.at("right.key"));
        let of_server = ["-subj", "/CN=db", "-addext", "subjectAltName=IP:127.0.0.1"];
        let by_us = ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", &ca, "-CAkey", &key];
        papers.sign("server", &[&of_server[..], &by_us].concat());
        succeed(Command::new("chown").args([
            "--reference",
            &papers.at("."),
            &papers.at("server.key"),
        ]));
        Some(papers)
    }

    fn sign(&self, name: &str, words: &[&str]) {
        let (key, paper) = (self.at(&format!("{name}.key")), self.at(&format!("{name}.pem")));
        let mut sign = Command::new("openssl");
        sign.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
        succeed(sign.args(["-keyout", &key, "-out", &paper]).args(words));
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// A look-up by a store of this URL, which connects first.
async fn asked(url: &str) -> Result<()> {
    let store = store::open(url).unwrap();
    let now = SystemTime::now();
    store.load(record(now).id, now, Access::Read).await.map(drop)
}

/// `query` names how strict to be, and then the file of the authority.
async fn assert_checks_the_certificate(server: &Own, papers: &Papers, strict: &str, ca: &str) {
    let trusting = |path: &str| {
        assert!(Path::new(path).exists());
        format!("{}?{strict}&{ca}={path}", server.url())
    };
    let right = store::open(&trusting(&papers.at("right.pem"))).unwrap();
    created(&*right, record(SystemTime::now())).await;
    let nobody = format!("{}?{strict}", server.url());
    for wrong in [trusting(&papers.at("wrong.pem")), nobody] {
        let refused = asked(&wrong).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config, "{refused:?}");
        assert!(refused.to_string().contains("certificate"), "{refused}");
        assert!(refused.to_string().contains("sslrootcert"), "no mend: {refused}");
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_right_authority_connects_and_a_wrong_one_is_refused_with_the_mend() {
        let Some(papers) = Papers::of("postgres") else { return };
        let key = format!("ssl_key_file={}", papers.at("server.key"));
        let paper = format!("ssl_cert_file={}", papers.at("server.pem"));
        let settings = ["ssl=on", &key, &paper];
        let Some(server) = super::super::own::postgres(&settings).await else { return };
        let strict = "sslmode=verify-full";
        assert_checks_the_certificate(&server, &papers, strict, "sslrootcert").await;
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_right_authority_connects_and_a_wrong_one_is_refused_with_the_mend() {
        let Some(papers) = Papers::of("mysql") else { return };
        let key = format!("--ssl-key={}", papers.at("server.key"));
        let options = [&*key, &format!("--ssl-cert={}", papers.at("server.pem"))];
        let Some(server) = super::super::own::mariadb(&options).await else { return };
        let strict = "ssl-mode=VERIFY_IDENTITY";
        assert_checks_the_certificate(&server, &papers, strict, "ssl-ca").await;
    }
}
