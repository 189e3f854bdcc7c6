//! What protects the nodes of a run with `--security tls` or `psk`, where the user gives no files: made for the run, gone
//! with it.
//!
//! Called when a run's configuration is loaded, and at the end of the program. One certificate serves all nodes of a run: it
//! is what their sessions cost that is measured, not who they are.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use overlane::config::Flags;
use rcgen::{CertificateParams, KeyPair};

use crate::error::{BenchError, Outcome};

/// The directory of this run's files, once there is one.
static MADE: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Adds to the flags what `--security` needs and the user does not give.
pub(super) fn provide(flags: &mut Flags) -> Outcome<()> {
    let given = |name: &str| {
        let mut last_first = flags.node.iter().rev();
        let found = last_first.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    };
    let has_certificate = given("tls_certificate").is_some();
    let has_secret = given("psk_secret_file").is_some();
    match given("security").as_deref() {
        Some("tls") if !has_certificate => provide_certificate(flags),
        Some("psk") if !has_secret => provide_secret(flags),
        _ => Ok(()),
    }
}

/// Removes what was made.
pub(crate) fn clean() {
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(made) = made {
        // What stays behind is of no use to anybody.
        drop(fs::remove_dir_all(made));
    }
}

fn provide_certificate(flags: &mut Flags) -> Outcome<()> {
    let failed = |error: rcgen::Error| BenchError::BadInput(format!("no certificate: {error}"));
    let key = KeyPair::generate().map_err(failed)?;
    // Its own authority, good for every name.
    let certificate = CertificateParams::new(vec!["overlane-bench".to_owned()])
        .and_then(|params| params.self_signed(&key))
        .map_err(failed)?;
    let certificate = write("certificate", &certificate.pem())?;
    let key = write("key", &key.serialize_pem())?;
    flags.node.extend([
        ("tls_certificate", certificate.clone()),
        ("tls_key", key),
        ("tls_authorities", certificate),
        ("tls_names", "overlane-bench".to_owned()),
    ]);
    Ok(())
}

fn provide_secret(flags: &mut Flags) -> Outcome<()> {
    let secret: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(32)
        .collect();
    let file = write("secret", &secret)?;
    flags.node.push(("psk_secret_file", file));
    Ok(())
}

/// Writes a file of the run that its user alone can read; its path.
fn write(name: &str, text: &str) -> Outcome<String> {
    let failed = |path: &Path, error: std::io::Error| {
        BenchError::BadInput(format!("{} cannot be written: {error}", path.display()))
    };
    let folder = std::env::temp_dir().join(format!("overlane-bench-{}", std::process::id()));
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.is_none() {
        let mut builder = DirBuilder::new();
        builder
            .mode(0o700)
            .create(&folder)
            .map_err(|error| failed(&folder, error))?;
        *made = Some(folder.clone());
    }
    let path = folder.join(name);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| failed(&path, error))?;
    Ok(path.display().to_string())
}
