//! TLS to servers whose certificate an authority of our own has signed.
//!
//! The store believes the roots of the system, which `SSL_CERT_FILE` names for a process: what asks is
//! another process each time.

use std::process::Command;
use std::time::{Duration, Instant};

use sessile::store::{self, Access, Created, Durability};

use super::own::{self, Own};
use super::records::record_of;
use crate::papers::Papers;

const URL: &str = "SESSILE_TEST_REDIS_TLS_URL";

/// The process that other tests start. By itself it has nothing to do, and ends at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    println!();
    match live(&url).await {
        Ok(()) => println!("child: it lived"),
        Err(error) => println!("child: {:?}: {error}", error.kind()),
    }
}

/// A few sessions from their beginnings to their ends, on every node that there is.
async fn live(url: &str) -> sessile::Result<()> {
    let store = store::open(url)?;
    for _ in 0..20 {
        let record = record_of("ann");
        assert_eq!(store.create(&record, Durability::Power).await?, Created::New);
        assert!(store.load(record.id, record.used_at, Access::Read).await?.is_some());
        assert!(store.delete(record.id, Durability::Power).await?);
    }
    Ok(())
}

/// What another process says that trusts this authority alone.
fn said_by_child(url: &str, authority: &str) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "redis::tls::child", "--nocapture"]);
    let done = child.env(URL, url).env("SSL_CERT_FILE", authority).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("child: "));
    line.unwrap_or_else(|| panic!("it said nothing: {said}")).to_owned()
}

/// A server that takes TLS on the second port; `None` where the test is skipped.
fn server(papers: &Papers, more: &[&str]) -> Option<(Own, u16)> {
    let (plain, tls) = (own::free_port(), own::free_port());
    let (key, paper, ca) =
        (papers.at("server.key"), papers.at("server.pem"), papers.at("right.pem"));
    let port = tls.to_string();
    let words = ["--tls-port", &port, "--tls-auth-clients", "no", "--tls-key-file", &key];
    let papers = ["--tls-cert-file", &paper, "--tls-ca-cert-file", &ca];
    Some((own::start(plain, &[&words[..], &papers, more].concat())?, tls))
}

/// What checks the certificate connects; what trusts another authority does not.
fn assert_checks_the_certificate(url: &str, papers: &Papers) {
    assert_eq!(said_by_child(url, &papers.at("right.pem")), "it lived");
    let refused = said_by_child(url, &papers.at("wrong.pem"));
    assert!(refused.starts_with("Config: "), "{refused}");
    assert!(refused.contains("certificate"), "{refused}");
}

mod single {
    use super::*;

    #[test]
    fn the_right_authority_connects_and_a_wrong_one_is_refused_with_the_mend() {
        let Some(papers) = Papers::in_folder(tempfile::tempdir().unwrap()) else { return };
        let Some((_server, port)) = server(&papers, &[]) else { return };
        assert_checks_the_certificate(&format!("rediss://127.0.0.1:{port}"), &papers);
    }
}

mod cluster {
    use super::*;

    #[test]
    fn the_right_authority_connects_and_a_wrong_one_is_refused_with_the_mend() {
        let Some(papers) = Papers::in_folder(tempfile::tempdir().unwrap()) else { return };
        let words = ["--cluster-enabled", "yes", "--tls-cluster", "yes"];
        let nodes: Option<Vec<_>> = (0..3).map(|_| server(&papers, &words)).collect();
        let Some(nodes) = nodes else { return };
        let addresses: Vec<_> = nodes.iter().map(|(_, port)| format!("127.0.0.1:{port}")).collect();
        let mut create = Command::new("redis-cli");
        create.args(["--tls", "--cacert", &papers.at("right.pem"), "--cluster", "create"]);
        let done = create.args(&addresses).arg("--cluster-yes").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        await_all_good(&nodes);
        let url = format!("rediss+cluster://{}", addresses.join(","));
        assert_checks_the_certificate(&url, &papers);
    }

    fn await_all_good(nodes: &[(Own, u16)]) {
        let begun = Instant::now();
        let good = |node: &Own| {
            let info: String = node.ask("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        while !nodes.iter().all(|(node, _)| good(node)) {
            assert!(begun.elapsed() < Duration::from_secs(30), "the Cluster does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
