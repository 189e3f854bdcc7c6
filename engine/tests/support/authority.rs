//! Certificates for tests: an authority, and what it signs, right or wrong on purpose.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Certified {
    pub certificate: String,
    pub key: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valid {
    Now,
    Past,
    Future,
}

impl Authority {
    /// One of that name, with a key of its own.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority(name, Valid::Now);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// One that this one has signed.
    pub fn below(&self, name: &str, valid: Valid) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority(name, valid);
        let signed = params.signed_by(&key, &self.issuer).expect("it signs");
        Self {
            pem: signed.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a node of that name.
    pub fn certify(&self, node: &str) -> Certified {
        self.sign(node, Valid::Now, 1)
    }

    /// The same, at another time or with another serial.
    pub fn sign(&self, node: &str, valid: Valid, serial: u64) -> Certified {
        self.sign_as(node, |params| {
            params.serial_number = Some(SerialNumber::from(serial));
            limit(params, valid);
        })
    }

    /// The same, with what `change` makes of it.
    pub fn sign_as(&self, node: &str, change: impl FnOnce(&mut CertificateParams)) -> Certified {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        let uri = Ia5String::try_from(format!("overlane:{node}")).expect("plain text");
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        limit(&mut params, Valid::Now);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs");
        Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

fn authority(name: &str, valid: Valid) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit(&mut params, valid);
    params
}

fn limit(params: &mut CertificateParams, valid: Valid) {
    (params.not_before, params.not_after) = match valid {
        Valid::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1)),
        Valid::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
        Valid::Future => (date_time_ymd(2110, 1, 1), date_time_ymd(2120, 1, 1)),
    };
}

/// A folder for files of certificates, removed with what is in it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("overlane-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    /// Writes a file in one step, as whoever changes it under a running node should.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, draft) = (self.0.join(name), self.0.join(format!("{name}.draft")));
        std::fs::write(&draft, text).expect("the folder can be written");
        std::fs::rename(&draft, &path).expect("the folder can be written");
        path
    }

    /// Writes what a node of that name needs: certificate, key and authorities.
    pub fn node(&self, node: &str, certified: &Certified, authority: &Authority) -> [PathBuf; 3] {
        [
            self.write(&format!("{node}.crt"), &certified.certificate),
            self.write(&format!("{node}.key"), &certified.key),
            self.write(&format!("{node}.authorities"), authority.pem()),
        ]
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind harms no test.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
