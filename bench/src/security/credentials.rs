//! Certificates and secrets of a run, in files that are replaced while nodes read them.
//!
//! Called by `rotation`. The folder goes with the run.

use std::fs;
use std::path::{Path, PathBuf};

use overlane::config::Config;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};

use super::engine;
use crate::error::{BenchError, Outcome};
use crate::interrupt;

/// The folder of a run's files.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn make() -> Outcome<Self> {
        let name = format!("overlane-bench-rotation-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).map_err(|source| BenchError::File {
            action: "create",
            path: path.clone(),
            source,
        })?;
        interrupt::remains().add_folder(&path);
        Ok(Self(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in one step.
    pub(super) fn write(&self, name: &str, text: &str) -> Outcome<()> {
        let (path, draft) = (self.path(name), self.path(&format!("{name}.draft")));
        let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path));
        written.map_err(|source| BenchError::File {
            action: "write",
            path,
            source,
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is of no use to anybody.
        drop(fs::remove_dir_all(&self.0));
        interrupt::remains().forget_folder(&self.0);
    }
}

/// Who signs the certificates of nodes.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

impl Authority {
    pub(super) fn make(name: &str) -> Outcome<Self> {
        let key = KeyPair::generate().map_err(engine)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).map_err(engine)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, pem })
    }

    /// Gives a node a certificate: the key first, so that the two never fit another pair than one of the two.
    pub(super) fn certify(&self, node: &str, folder: &Folder) -> Outcome<()> {
        let key = KeyPair::generate().map_err(engine)?;
        let mut params = CertificateParams::default();
        let uri = Ia5String::try_from(format!("overlane:{node}")).map_err(engine)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer).map_err(engine)?;
        folder.write(&format!("{node}.key"), &key.serialize_pem())?;
        folder.write(&format!("{node}.crt"), &certificate.pem())
    }
}

/// Has a node read its certificate there.
pub(super) fn use_certificate(config: &mut Config, node: &str, folder: &Folder) {
    let of = |kind: &str| folder.path(&format!("{node}.{kind}"));
    config.tls.certificate = of("crt");
    config.tls.key = of("key");
    config.tls.authorities = of("authorities");
}

/// A secret as `openssl rand -hex 32` makes one.
pub(super) fn secret() -> String {
    let digits = std::iter::repeat_with(|| fastrand::digit(16));
    digits.take(64).collect()
}

/// Where a node's secret is.
pub(super) fn secret_file(folder: &Folder, node: &str) -> PathBuf {
    Path::new(&folder.path(&format!("{node}.secret"))).to_owned()
}
