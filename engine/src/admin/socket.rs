//! The path of an admin socket: taken at the start of a node, given back at its end.
//!
//! A socket that a dead process left is replaced, one that somebody serves is not. Nobody can open the socket before
//! its mode is set. Called by `node`; knows nothing of what is said over it.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::role::Role;
use crate::config::ADMIN_PATH_BYTES_MAX;
use crate::error::AdminError;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// Two nodes that start at a time take turns; a turn lasts no longer than a few system calls.
const TURN_PATIENCE: Duration = Duration::from_secs(5);

/// A socket at its path, which is this node's until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    listener: Option<UnixListener>,
    role: Role,
    /// Device and number of the file, by which it is told from one that another process made there.
    file: (u64, u64),
}

impl Claim {
    /// Makes the socket, in place of one that nobody serves any more. Who may open it goes by what may be done over it.
    pub(crate) fn take(path: &Path, role: Role) -> Result<Self, AdminError> {
        let bytes = path.as_os_str().len();
        if bytes > ADMIN_PATH_BYTES_MAX {
            let bytes_max = ADMIN_PATH_BYTES_MAX;
            return Err(AdminError::TooLong { bytes, bytes_max });
        }
        let failed = |source| AdminError::Io {
            path: path.to_owned(),
            source,
        };
        let turn = take_turn(path).map_err(failed)?;
        clear(path)?;
        let (listener, file) = listen(path, role.mode()).map_err(failed)?;
        drop(turn);
        Ok(Self {
            path: path.to_owned(),
            listener: Some(listener),
            role,
            file,
        })
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// The end that accepts; the first call has it.
    pub(crate) fn take_listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }

    /// Removes the socket, unless another one is there by now.
    pub(crate) fn give_back(&self) {
        let is_there = fs::symlink_metadata(&self.path);
        if is_there.is_ok_and(|there| (there.dev(), there.ino()) == self.file) {
            // Somebody may have removed it at the same time.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A lock on the folder, so that of two nodes that start at a time one sees the other's socket.
fn take_turn(path: &Path) -> io::Result<File> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = File::open(folder)?;
    let deadline = Instant::now() + TURN_PATIENCE;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => {
                let why = "another process holds a lock on its folder";
                return Err(io::Error::new(ErrorKind::WouldBlock, why));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Removes a socket that nobody serves.
fn clear(path: &Path) -> Result<(), AdminError> {
    let path = path.to_owned();
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(AdminError::Io { path, source }),
        Ok(there) if !there.file_type().is_socket() => return Err(AdminError::NoSocket { path }),
        Ok(_) => {}
    }
    if is_served(&path) {
        return Err(AdminError::InUse { path });
    }
    match fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(AdminError::Io { path, source }),
        _ => Ok(()),
    }
}

/// Whether somebody listens there, or may do so: one whose queue is full cannot be asked, nor one of another user.
fn is_served(path: &Path) -> bool {
    let asked = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    });
    !asked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn listen(path: &Path, mode: u32) -> io::Result<(UnixListener, (u64, u64))> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let made = || {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        let file = fs::symlink_metadata(path)?;
        // From here on it can be connected to.
        socket.listen(BACKLOG)?;
        Ok((file.dev(), file.ino()))
    };
    match made() {
        Ok(file) => Ok((UnixListener::from(OwnedFd::from(socket)), file)),
        Err(error) => {
            // What was bound is this call's.
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}
