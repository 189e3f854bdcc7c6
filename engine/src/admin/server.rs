//! The server of an admin socket: its threads, and their end.
//!
//! Started and ended by `node`. No thread of it is a thread of the engine: what it asks of shards it may wait for.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use super::Desk;
use super::connection::{serve, turn_away};
use super::seats::{Arrival, Seated, Seats};
use super::socket::Claim;

/// Memory of a connection's thread: a piece of a line on its stack, and what answering takes.
const STACK_BYTES: usize = 512 << 10;

/// How long the server waits when the kernel has no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the end waits for connections whose request is under way; what it asks of the node ends by itself.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// A running server.
pub(crate) struct Server {
    claim: Claim,
    listener: Arc<UnixListener>,
    seats: Arc<Seats>,
    closing: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Server").field(&self.claim).finish()
    }
}

impl Server {
    /// Serves a socket that was taken.
    pub(crate) fn start(mut claim: Claim, desk: Arc<dyn Desk>) -> io::Result<Self> {
        let listener = claim.take_listener().ok_or(io::ErrorKind::NotConnected)?;
        let listener = Arc::new(listener);
        let (seats, closing) = (Arc::new(Seats::default()), Arc::default());
        let acceptor = Acceptor {
            listener: Arc::clone(&listener),
            seats: Arc::clone(&seats),
            closing: Arc::clone(&closing),
            desk,
        };
        let thread = thread::Builder::new().name("overlane-admin".to_owned());
        let acceptor = thread
            .stack_size(STACK_BYTES)
            .spawn(move || acceptor.run())?;
        Ok(Self {
            claim,
            listener,
            seats,
            closing,
            acceptor: Some(acceptor),
        })
    }

    /// Removes the socket and lets nobody in any more. Who follows events goes on until they end.
    pub(crate) fn close(&self) {
        // While it is still served: who starts at this moment sees that, and does not take it for a dead one's.
        self.claim.give_back();
        self.seats.close();
        self.closing.store(true, Ordering::Release);
        // Ends the wait of the acceptor.
        let _ = SockRef::from(&self.listener.as_fd()).shutdown(Shutdown::Both);
    }

    /// Ends what is left; after [`close`](Self::close).
    pub(crate) fn end(mut self) {
        // A request that is under way is answered; who follows events has got the last.
        self.seats.clear_idle();
        if let Some(acceptor) = self.acceptor.take() {
            // A thread that panicked has said so in the log.
            drop(acceptor.join());
        }
        self.seats.wait_empty(END_PATIENCE);
        self.seats.clear_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
        self.seats.clear_all();
    }
}

struct Acceptor {
    listener: Arc<UnixListener>,
    seats: Arc<Seats>,
    closing: Arc<AtomicBool>,
    desk: Arc<dyn Desk>,
}

impl Acceptor {
    fn run(&self) {
        loop {
            let accepted = self.listener.accept();
            if self.closing.load(Ordering::Acquire) {
                break;
            }
            match accepted {
                Ok((stream, _)) => self.seat(stream),
                // Too many open files, or a client that has gone: others may come.
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn seat(&self, stream: UnixStream) {
        let stream = Arc::new(stream);
        match self.seats.arrive(&stream) {
            Arrival::Seated(seated, displaced) => {
                if let Some(displaced) = displaced {
                    turn_away(&displaced);
                }
                self.start(stream, seated);
            }
            Arrival::Full => turn_away(&stream),
        }
    }

    fn start(&self, stream: Arc<UnixStream>, seated: Seated) {
        let desk = Arc::clone(&self.desk);
        let turned_away = Arc::clone(&stream);
        let thread = thread::Builder::new().name("overlane-admin".to_owned());
        let started = thread.stack_size(STACK_BYTES).spawn(move || {
            if let Err(error) = serve(&stream, &seated, &*desk) {
                tracing::debug!("a connection to the admin socket ended: {error}");
            }
        });
        if started.is_err() {
            turn_away(&turned_away);
        }
    }
}
