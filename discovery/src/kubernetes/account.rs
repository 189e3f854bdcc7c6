//! The service account of a pod: token, authority and namespace, as Kubernetes mounts them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};
use zeroize::Zeroizing;

use crate::found::Failure;

/// Largest file of it: an authority's certificates take some KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Account {
    folder: PathBuf,
}

impl Account {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The token, as it is now.
    pub(super) fn token(&self) -> Result<Zeroizing<String>, Failure> {
        let text = Zeroizing::new(self.text("token")?);
        Ok(Zeroizing::new(text.trim().to_owned()))
    }

    pub(super) fn namespace(&self) -> Result<String, Failure> {
        Ok(self.text("namespace")?.trim().to_owned())
    }

    /// The text of the authority's certificates.
    pub(super) fn authority(&self) -> Result<String, Failure> {
        self.text("ca.crt")
    }

    fn text(&self, name: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        read(&path).map_err(|error| {
            let path = path.display();
            Failure::new(format!(
                "{path} cannot be read: {error}; let the pod have a service account, or say where it is with `account`"
            ))
        })
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// The certificates of an authority.
pub(super) fn certificates(text: &str) -> Result<RootCerts, Failure> {
    let wrong = |why: String| Failure::new(format!("ca.crt of the service account {why}"));
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(text.as_bytes()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
        }
    }
    if found.is_empty() {
        return Err(wrong("has no certificate".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&found))
}
