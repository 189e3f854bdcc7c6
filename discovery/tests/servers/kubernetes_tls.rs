//! `kubernetes` over TLS, with the authority of the cluster that is mounted in the pod: a stand-in server with certificates
//! right and wrong.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use overlane_discovery::kubernetes::Kubernetes;
use overlane_discovery::{Stop, Strategy};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use crate::kubernetes::settings;
use crate::look_until;
use crate::stand_in::kubernetes::ApiServer;

/// Who signs the certificates of API servers.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// What a server says that has a certificate for that host, valid until that year.
    fn server(&self, host: &str, until: i32) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            );
        Arc::new(config.expect("they belong together"))
    }
}

fn server(name: &str, tls: Arc<ServerConfig>) -> ApiServer {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    ApiServer::start_with(folder, name, Some(tls))
}

fn kubernetes(server: &ApiServer, watch: bool) -> Kubernetes {
    Kubernetes::new(settings(server, watch))
}

#[test]
fn a_server_with_a_certificate_of_the_mounted_authority_is_listed_and_watched() {
    let authority = Authority::new("ours");
    let server = server("tls", authority.server("127.0.0.1", 2120));
    // Other authorities may be mounted beside it, as while one is replaced.
    let both = format!("{}{}", Authority::new("other").pem, authority.pem);
    server.set_authority(&both);
    server.set("a", &["10.0.0.1"]);
    let mut strategy = kubernetes(&server, true);
    look_until(&mut strategy, "it is listed", |found| found.len() == 1);
    server.set("b", &["10.0.0.2"]);
    look_until(&mut strategy, "it is watched", |found| found.len() == 2);
    assert_eq!(server.counts.watches.load(Ordering::SeqCst), 1);
}

#[test]
fn nobody_else_is_told_the_token() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    for (name, tls, said) in [
        ("stranger", other.server("127.0.0.1", 2120), "UnknownIssuer"),
        (
            "elsewhere",
            ours.server("api.example", 2120),
            "not valid for name",
        ),
        ("expired", ours.server("127.0.0.1", 2020), "xpired"),
    ] {
        let server = server(name, tls);
        server.set_authority(&ours.pem);
        server.set("a", &["10.0.0.1"]);
        let error = kubernetes(&server, false)
            .look(&Stop::default())
            .expect_err(name)
            .to_string();
        let (is_said, asked) = (error.contains(said), &server.counts);
        assert!(is_said && error.contains("cannot be asked"), "{error}");
        let requests = [&asked.lists, &asked.unauthorized].map(|it| it.load(Ordering::SeqCst));
        assert_eq!(requests, [0, 0], "no request was made");
    }
}

#[test]
fn an_authority_that_is_replaced_is_read_again() {
    let (old, new) = (Authority::new("ours"), Authority::new("other"));
    let server = server("rotated", new.server("127.0.0.1", 2120));
    server.set_authority(&old.pem);
    server.set("a", &["10.0.0.1"]);
    let mut strategy = kubernetes(&server, false);
    strategy
        .look(&Stop::default())
        .expect_err("it is signed by another");
    server.set_authority(&new.pem);
    look_until(&mut strategy, "it is listed", |found| found.len() == 1);
    server.set_authority("-----BEGIN CERTIFICATE-----\nbroken\n");
    let error = strategy.look(&Stop::default()).expect_err("it is broken");
    assert!(error.to_string().contains("ca.crt"), "{error}");
}
