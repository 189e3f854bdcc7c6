//! Which admin socket a command means: `overlane node` makes one, the other commands look for it.
//!
//! The folder and who may write to it are the engine's (`overlane::admin`), as nodes look there too.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use overlane::admin::{SOCKET_SUFFIX, folder, is_own, sockets_in};
use overlane::config::{Printable, is_node_name};

use crate::ending::{Ending, Failure};

/// The variable of the parameter `admin`.
const VARIABLE: &str = "OVERLANE_ADMIN";

/// The socket of the node of that name.
pub(crate) fn socket_of(name: &str) -> Result<PathBuf, Failure> {
    if !is_node_name(name) {
        let what = format!(
            "`{}` is no name of a node: 1 to 255 of the characters A-Z a-z 0-9 _ . - @",
            Printable(name)
        );
        return Err(Failure::new(Ending::BadInput, what));
    }
    Ok(folder().join(format!("{name}{SOCKET_SUFFIX}")))
}

/// The socket for a node that is about to start, in a folder that is there and this user's alone.
pub(crate) fn socket_for(name: &str) -> Result<PathBuf, Failure> {
    let socket = socket_of(name)?;
    make(&folder())?;
    Ok(socket)
}

fn make(folder: &Path) -> Result<(), Failure> {
    let shown = folder.to_string_lossy().into_owned();
    let failed = |error: io::Error| {
        let what = format!(
            "the folder for admin sockets, {}, cannot be made: {error}; give the node a path with --admin, or off",
            Printable(&shown)
        );
        Failure::new(Ending::MachineLacks, what)
    };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.map_err(failed)?,
    }
    if is_own(folder).map_err(failed)? {
        return Ok(());
    }
    let what = format!(
        "the folder for admin sockets, {}, is not this user's alone: others could answer in place of a node; remove it, or \
         give the node a path with --admin",
        Printable(&shown)
    );
    Err(Failure::new(Ending::MachineLacks, what))
}

/// The socket that the environment names, or that of the only node that runs.
pub(crate) fn the_only_one() -> Result<PathBuf, Failure> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    if let Some(path) = named.filter(|path| path.to_string_lossy().contains('/')) {
        return Ok(path);
    }
    let mut running = running(&folder());
    match running.len() {
        1 => Ok(running.remove(0).1),
        0 => {
            let what = "no node of this user runs: start one with `overlane node`, or name the socket of one with --admin";
            Err(Failure::new(Ending::NoNode, what))
        }
        _ => {
            let names: Vec<_> = running.into_iter().map(|(name, _)| name).collect();
            let what = format!(
                "several nodes run here: say which with --node; there are {}",
                names.join(", ")
            );
            Err(Failure::new(Ending::BadInput, what))
        }
    }
}

/// Names and sockets of the nodes that answer there, by name.
fn running(folder: &Path) -> Vec<(String, PathBuf)> {
    // Those that dead processes left are still there.
    let answers = |(_, path): &(String, PathBuf)| UnixStream::connect(path).is_ok();
    let sockets = sockets_in(folder).unwrap_or_default().into_iter();
    sockets.filter(answers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::net::UnixListener;

    fn empty(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("places-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        folder
    }

    #[test]
    fn nodes_that_run_are_found_and_what_dead_ones_left_is_not() {
        let folder = empty("running");
        make(&folder).expect("it can be made");
        make(&folder).expect("it is there");
        let bind = |file: &str| UnixListener::bind(folder.join(file)).expect("a free path");
        let (_b, _a) = (bind("b.sock"), bind("a.sock"));
        drop(bind("dead.sock"));
        let (_other, _bad) = (bind("other"), bind("b!.sock"));
        let names: Vec<_> = running(&folder).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(running(&folder.join("nowhere")).is_empty());
        drop(fs::remove_dir_all(&folder));
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = empty("open");
        make(&folder).expect("it can be made");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let failure = make(&folder).expect_err("others could answer");
        assert!(
            failure.what.contains("not this user's alone"),
            "{}",
            failure.what
        );
        drop(fs::remove_dir_all(&folder));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["../x", "", "a/b", "a!"] {
            assert!(socket_of(name).is_err(), "{name}");
        }
    }
}
