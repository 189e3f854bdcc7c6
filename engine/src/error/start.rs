//! Why a node did not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::name::NameError;
use crate::config::{ConfigError, Printable, debug_as_message};

debug_as_message!(StartError, SecurityError, AdminError);

/// Why a node did not start.
///
/// Its `Debug` reads as its message, so that a `main` that returns it tells its user.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration does not hold together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The machine does not offer what the engine needs.
    #[error("{what}; {remedy}")]
    Machine {
        /// What is wrong.
        what: String,
        /// How to remedy it.
        remedy: String,
    },
    /// Lanes cannot be protected as the configuration says.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The listening address could not be taken.
    #[error(
        "cannot listen on {address}: {source}; choose another `listen` address or end the program that holds it"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The address for HTTP could not be taken.
    #[error(
        "cannot serve HTTP on {address}: {source}; choose another `http` address, end the program that holds it, or take `off`"
    )]
    Http {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The token that is to be asked for over HTTP could not be read.
    #[error("{what}")]
    HttpToken {
        /// What is wrong with its file, and what would be right.
        what: String,
    },
    /// A name of a peer or mailbox cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The socket by which the node is to be administered could not be made.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A discovery could not begin.
    #[error("discovery {discovery} cannot begin: {why}")]
    Discovery {
        /// Its name.
        discovery: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A shard's thread could not be made or could not set itself up.
    #[error(
        "shard {shard} did not start: {reason}; run `overlane doctor` to see what this machine lacks"
    )]
    Shard {
        /// Which shard.
        shard: usize,
        /// What went wrong.
        reason: String,
    },
}

/// Why lanes cannot be protected as the configuration says. It shows no secret and no key.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct SecurityError {
    /// What is wrong.
    pub what: String,
    /// How to remedy it.
    pub remedy: String,
}

/// Why an admin socket could not be made.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Its path does not fit into an address.
    #[error(
        "the path of the admin socket has {bytes} bytes, and an address holds {bytes_max}: give `admin` or `admin_read` a shorter one"
    )]
    TooLong {
        /// Bytes of the path.
        bytes: usize,
        /// The most there can be.
        bytes_max: usize,
    },
    /// A process serves it.
    #[error(
        "the admin socket {} is served by a process that runs: stop it, or give this node another path with `admin` or `admin_read`",
        Printable(&path.to_string_lossy())
    )]
    InUse {
        /// Its path.
        path: PathBuf,
    },
    /// Something else is there.
    #[error(
        "{} is there and is no socket: remove it, or give this node another path with `admin` or `admin_read`",
        Printable(&path.to_string_lossy())
    )]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The kernel said no.
    #[error(
        "the admin socket {} cannot be made: {source}; its folder must exist and be this user's, or give another path with `admin` or `admin_read`",
        Printable(&path.to_string_lossy())
    )]
    Io {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}
