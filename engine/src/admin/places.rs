//! Where the admin sockets of this user's nodes are: `overlane node` makes them there, other commands and nodes look there.
//!
//! The folder is `overlane` in the user's runtime directory, or, where there is none, one in /tmp that must be this user's
//! alone: whoever else could write to it could answer in place of a node.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::is_node_name;

/// How the names of the files end, behind the name of the node.
pub const SOCKET_SUFFIX: &str = ".sock";

/// The user whose rights this process has.
fn user() -> u32 {
    fs::metadata("/proc/self").map_or(u32::MAX, |about| about.uid())
}

/// The folder of this user's admin sockets. It need not be there.
#[must_use]
pub fn folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(runtime) if runtime.is_absolute() => runtime.join("overlane"),
        _ => PathBuf::from(format!("/tmp/overlane-{}", user())),
    }
}

/// Whether nobody but this user can put a socket there.
///
/// # Errors
/// The folder cannot be looked at.
pub fn is_own(folder: &Path) -> io::Result<bool> {
    let about = fs::symlink_metadata(folder)?;
    Ok(about.is_dir() && about.uid() == user() && about.mode() & 0o022 == 0)
}

/// Names of nodes and their sockets in that folder, by name; those that dead processes left are there too.
///
/// # Errors
/// The folder cannot be read, or others can write to it.
pub fn sockets_in(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    if !is_own(folder)? {
        let why = "it is not this user's alone, so others could answer in place of a node";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let sockets = fs::read_dir(folder)?.flatten().filter_map(|entry| {
        let file = entry.file_name().into_string().ok()?;
        let name = file.strip_suffix(SOCKET_SUFFIX)?;
        is_node_name(name).then(|| (name.to_owned(), entry.path()))
    });
    let mut sockets: Vec<_> = sockets.collect();
    sockets.sort();
    Ok(sockets)
}
