//! Sessions: how the bytes of a connection are protected, from its first byte on.
//!
//! A session stands between a connection and everything that reads or writes it: the Hello, the Welcome and all
//! frames go through it, and nothing above it knows which kind it is. A connection without one is `plain`.
//! State machines without I/O: bytes in, plain bytes and bytes to send out. Called by shards, and by the thread
//! that asks who is at an address; it owns no socket, reads files only when it is told to look, and decides about no lane.

mod certificates;
mod error;
mod examine;
mod files;
mod fuzz;
mod identity;
mod opening;
mod psk;
mod revoked;
mod security;
mod tls;

#[cfg(test)]
mod tests;

use std::io::IoSlice;

pub(crate) use error::SessionError;
pub use examine::protection;
pub use fuzz::SessionFuzz;
pub(crate) use identity::Identity;
pub(crate) use security::{Reload, Security};

use crate::wire::layout::SESSION_HANDSHAKE_BYTES_MAX;
use psk::Psk;
use tls::Tls;

/// Plain bytes in one record: what a receiver has to have in full before it can read any of them. TLS knows no
/// larger ones, and a receive buffer has as many by default.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// What protects one connection. See the module's text.
#[derive(Debug)]
pub(crate) struct Session {
    guard: Guard,
    /// Who is at the other end, once that is proven.
    identity: Option<Identity>,
    /// What has come before it was.
    unproven_bytes: usize,
    /// The credentials of this node that it was made with.
    epoch: u64,
}

#[derive(Debug)]
enum Guard {
    Tls(Box<Tls>),
    Psk(Box<Psk>),
}

impl Session {
    fn new(guard: Guard, epoch: u64) -> Self {
        Self {
            guard,
            identity: None,
            unproven_bytes: 0,
            epoch,
        }
    }

    /// The credentials that it was made with, by [`Security::epoch`].
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Who is at the other end; `None` while that is not proven. Until then there is nothing to be read, and nothing
    /// can be sealed.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Takes bytes from the network. What they stand for is appended to `plain`, what has to go out in answer to
    /// `answer`, which counts after an error too: it tells the other side why.
    ///
    /// # Errors
    /// The connection has to end.
    pub(crate) fn open(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let is_proven = self.identity.is_some();
        if !is_proven {
            self.unproven_bytes += bytes.len();
            if self.unproven_bytes > SESSION_HANDSHAKE_BYTES_MAX {
                return Err(SessionError::too_large(SESSION_HANDSHAKE_BYTES_MAX));
            }
        }
        match &mut self.guard {
            Guard::Tls(tls) => tls.open(bytes, plain, answer)?,
            Guard::Psk(psk) => psk.open(bytes, plain, answer)?,
        }
        if !is_proven {
            self.identity = match &mut self.guard {
                Guard::Tls(tls) => tls.identity()?,
                Guard::Psk(psk) => psk.identity(),
            };
        }
        Ok(())
    }

    /// Appends to `sealed` what `pieces` are on the network.
    ///
    /// # Errors
    /// The session has ended, or has not begun.
    pub(crate) fn seal(
        &mut self,
        pieces: &[IoSlice<'_>],
        sealed: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        match &mut self.guard {
            Guard::Tls(tls) => tls.seal(pieces, sealed),
            Guard::Psk(psk) => psk.seal(pieces, sealed),
        }
    }
}
