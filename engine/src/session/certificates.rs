//! Certificates, keys and authorities: from files in PEM to what TLS goes by.
//!
//! Called by `security` at the start and when files have changed. An error names the file and says what would be right.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::files::read_file;
use super::tls::TlsSettings;
use crate::config::TlsConfig;
use crate::error::SecurityError;

/// Certificates in a file: more than any chain or bundle of a cluster has.
const CERTIFICATES_MAX: usize = 256;

/// What new connections go by, from the files that the configuration names.
pub(super) fn read_settings(config: &TlsConfig) -> Result<TlsSettings, SecurityError> {
    let chain = read_certificates(&config.certificate)?;
    let key = read_key(&config.key)?;
    let authorities = read_authorities(&config.authorities)?;
    TlsSettings::new(chain, key, authorities).map_err(|what| SecurityError {
        what: format!(
            "the certificate {} and the key {} cannot be used: {what}",
            config.certificate.display(),
            config.key.display()
        ),
        remedy: "give `tls_certificate` and `tls_key` files of the same node".to_owned(),
    })
}

/// The certificates that sign those of nodes.
pub(super) fn read_authorities(path: &Path) -> Result<RootCertStore, SecurityError> {
    let mut authorities = RootCertStore::empty();
    for authority in read_certificates(path)? {
        authorities.add(authority).map_err(|error| SecurityError {
            what: format!(
                "{} has a certificate that is no authority: {error}",
                path.display()
            ),
            remedy: "give `tls_authorities` the certificates that sign those of nodes".to_owned(),
        })?;
    }
    Ok(authorities)
}

/// The certificates in a file, at least one.
pub(super) fn read_certificates(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let text = read_file(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text)
        .take(CERTIFICATES_MAX)
        .collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(no_pem(path, "a certificate")),
        Err(error) => Err(SecurityError {
            what: format!("{} cannot be read as certificates: {error}", path.display()),
            remedy: "give a file in PEM, as `overlane cert issue` writes it".to_owned(),
        }),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, SecurityError> {
    let text: Zeroizing<Vec<u8>> = read_file(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| match is_encrypted(&text) {
        true => SecurityError {
            what: format!(
                "the private key in {} is encrypted, and a node has nobody to ask for its passphrase",
                path.display()
            ),
            remedy: "write it without one (`openssl pkey -in ENCRYPTED -out PLAIN`), for the user of this process alone"
                .to_owned(),
        },
        false => no_pem(path, "a private key"),
    })
}

/// Whether a key in PEM wants a passphrase: its label says so, or, as OpenSSL once wrote them, a line below it.
fn is_encrypted(text: &[u8]) -> bool {
    const WORD: &[u8] = b"ENCRYPTED";
    text.windows(WORD.len()).any(|part| part == WORD)
}

fn no_pem(path: &Path, what: &str) -> SecurityError {
    SecurityError {
        what: format!("{} has not {what} in PEM", path.display()),
        remedy: "give a file as `overlane cert issue` writes it".to_owned(),
    }
}
