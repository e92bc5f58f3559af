//! TLS to a database whose certificate an authority of our own has signed.

use std::path::Path;
use std::time::SystemTime;

use sessile::store::{self, Access, Store};
use sessile::{ErrorKind, Result};

use super::every_database::{created, record};
use super::own::{Own, owned_by};
use crate::papers::Papers;

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
        let Some(papers) = Papers::in_folder(owned_by("postgres")) else { return };
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
        let Some(papers) = Papers::in_folder(owned_by("mysql")) else { return };
        let key = format!("--ssl-key={}", papers.at("server.key"));
        let options = [&*key, &format!("--ssl-cert={}", papers.at("server.pem"))];
        let Some(server) = super::super::own::mariadb(&options).await else { return };
        let strict = "ssl-mode=VERIFY_IDENTITY";
        assert_checks_the_certificate(&server, &papers, strict, "ssl-ca").await;
    }
}
