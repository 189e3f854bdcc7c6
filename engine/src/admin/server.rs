//! The server of an admin socket: what is served there, and the path that goes with it.
//!
//! Started and ended by `node`.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use super::Desk;
use super::connection::{serve, turn_away};
use super::role::Role;
use super::socket::Claim;
use crate::serving::{Seated, Service, Serving};

/// A running server.
pub(crate) struct Server {
    /// Its socket goes before the server does.
    claim: Claim,
    serving: Serving<UnixListener>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Server").field(&self.claim).finish()
    }
}

/// Answers from a desk.
struct Counter {
    desk: Arc<dyn Desk>,
    role: Role,
}

impl Service<UnixStream> for Counter {
    fn name(&self) -> &'static str {
        "overlane-admin"
    }

    fn serve(&self, stream: &UnixStream, seated: &Seated<UnixStream>) -> io::Result<()> {
        serve(stream, seated, &*self.desk, self.role)
    }

    fn turn_away(&self, stream: &UnixStream) {
        turn_away(stream);
    }
}

impl Server {
    /// Serves a socket that was taken.
    pub(crate) fn start(mut claim: Claim, desk: Arc<dyn Desk>) -> io::Result<Self> {
        let listener = claim.take_listener().ok_or(io::ErrorKind::NotConnected)?;
        let role = claim.role();
        let serving = Serving::start(listener, Arc::new(Counter { desk, role }))?;
        Ok(Self { claim, serving })
    }

    /// Removes the socket and lets nobody in any more. Who follows events goes on until they end.
    pub(crate) fn close(&self) {
        // While it is still served: who starts at this moment sees that, and does not take it for a dead one's.
        self.claim.give_back();
        self.serving.close();
    }

    /// Ends what is left; after [`close`](Self::close).
    pub(crate) fn end(self) {
        self.serving.end();
    }
}
