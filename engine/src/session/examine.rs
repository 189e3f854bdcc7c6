//! What `overlane doctor` says of a node's protection: whether it can be loaded, for whom it is good and how long, and
//! who else can read it.
//!
//! Asked for a configuration, before any node runs. Reads files, changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error as TlsError, RootCertStore};

use super::certificates::{read_authorities, read_certificates};
use super::identity::Identity;
use super::revoked::Revoked;
use super::security::Security;
use crate::config::{Config, SecurityMode};
use crate::error::SecurityError;
use crate::io::preflight::{Check, Failure, Outcome};

/// How long before its end a certificate is worth a warning.
const NOTICE_DAYS: u64 = 30;
/// Up to where the end of a certificate is looked for.
const LOOK_AHEAD_DAYS: u64 = 36_500;
const DAY: Duration = Duration::from_secs(86_400);

/// The checks of what protects a node's lanes.
#[must_use]
pub fn protection(config: &Config) -> Vec<Check> {
    let mut checks = vec![Check {
        name: "security",
        outcome: load(config),
    }];
    let secrets: &[(&str, &Path)] = match config.security {
        SecurityMode::Plain => &[],
        SecurityMode::Tls => &[("key_file", &config.tls.key)],
        SecurityMode::Psk => &[("secret_file", &config.psk.secret_file)],
    };
    let named = secrets
        .iter()
        .filter(|(_, path)| !path.as_os_str().is_empty());
    checks.extend(named.map(|(name, path)| Check {
        name,
        outcome: readers(path),
    }));
    if config.security == SecurityMode::Tls
        && let (Ok(chain), Ok(authorities)) = (
            read_certificates(&config.tls.certificate),
            read_authorities(&config.tls.authorities),
        )
        && let Some((own, rest)) = chain.split_first()
    {
        checks.push(Check {
            name: "certificate_names",
            outcome: names(config, own),
        });
        checks.push(Check {
            name: "certificate_expiry",
            outcome: dates(own, rest, &authorities),
        });
    }
    checks
}

fn load(config: &Config) -> Outcome {
    match Security::load(config) {
        Err(SecurityError { what, remedy }) => Outcome::Fail(Failure { what, remedy }),
        Ok(_) if config.security == SecurityMode::Plain && config.insecure => Outcome::Warn(
            "plain, and insecure = true: every host that reaches this node can join, send, and read what is on the \
             network"
                .to_owned(),
        ),
        Ok(_) => Outcome::Ok(config.security.word().to_owned()),
    }
}

/// Who else can read a file that makes its reader a node.
fn readers(path: &Path) -> Outcome {
    let Ok(about) = path.metadata() else {
        // Loading it has said so.
        return Outcome::Ok("not there".to_owned());
    };
    let mode = about.permissions().mode() & 0o777;
    let shown = path.display();
    if mode & 0o077 == 0 {
        return Outcome::Ok(format!("{shown} is its owner's alone"));
    }
    Outcome::Warn(format!(
        "{shown} has mode {mode:o}, so others on this host can read it; `chmod 600` it"
    ))
}

fn names(config: &Config, own: &CertificateDer<'_>) -> Outcome {
    let node = &config.node_name;
    let checked = Identity::certified(own)
        .and_then(|own| own.check(node, &config.tls.names, &Revoked::default()));
    match checked {
        Ok(()) => Outcome::Ok(format!("good for node {node}")),
        Err(error) => Outcome::Fail(Failure {
            what: format!("its certificate is not for node {node}: {error}"),
            remedy: format!(
                "issue one with `overlane cert issue {node}`, or name a pattern in `tls_names` on all nodes"
            ),
        }),
    }
}

/// Whether it is valid now, and for how many days still.
fn dates(
    own: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    authorities: &RootCertStore,
) -> Outcome {
    let now = UnixTime::now();
    let valid_in = |days: u64| {
        let at = Duration::from_secs(now.as_secs()) + DAY * u32::try_from(days).unwrap_or(u32::MAX);
        verify(own, rest, authorities, UnixTime::since_unix_epoch(at))
    };
    if let Err(error) = valid_in(0) {
        let remedy = match error {
            TlsError::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => "set the clock of this machine, or wait",
            TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
                "issue it by one of the authorities that `tls_authorities` names"
            }
            _ => "issue a new one with `overlane cert issue`",
        };
        return Outcome::Fail(Failure {
            what: format!("other nodes refuse its certificate: {error}"),
            remedy: remedy.to_owned(),
        });
    }
    // The last day on which it is valid lies between these.
    let (mut valid, mut over) = (0, LOOK_AHEAD_DAYS);
    while over - valid > 1 {
        let middle = valid.midpoint(over);
        match valid_in(middle) {
            Ok(()) => valid = middle,
            Err(_) => over = middle,
        }
    }
    if valid < NOTICE_DAYS {
        return Outcome::Warn(format!(
            "it, or its authority, expires in {over} days at the latest: issue a new one; a running node reads it by itself"
        ));
    }
    Outcome::Ok(format!("valid for {valid} days"))
}

fn verify(
    own: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    authorities: &RootCertStore,
    at: UnixTime,
) -> Result<(), TlsError> {
    let parsed = ParsedCertificate::try_from(own)?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    verify_server_cert_signed_by_trust_anchor(&parsed, authorities, rest, at, algorithms.all)
}
