//! Servers of a node besides its lanes: their threads, who is connected, and their end.
//!
//! Used by `admin` and `http`, which say what is said over a connection. One thread accepts and one serves each
//! connection, both bounded; none of them is a thread of the engine, so what is asked of shards can be waited for.

mod seats;
mod stream;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(crate) use seats::Seated;
use seats::{Arrival, Seats};
pub use seats::{CONNECTIONS_MAX, FOLLOWERS_MAX};
pub(crate) use stream::{Listener, Stream, part, read_by, write_by};

/// Memory of a connection's thread: a piece of a request on its stack, and what answering takes.
const STACK_BYTES: usize = 512 << 10;

/// How long a server waits when the kernel has no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the end waits for connections whose request is under way; what it asks of the node ends by itself.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// What is said over the connections of a server.
pub(crate) trait Service<S>: Send + Sync + 'static {
    /// Name of its threads.
    fn name(&self) -> &'static str;
    /// Serves a connection until its end, on a thread of its own.
    fn serve(&self, stream: &S, seated: &Seated<S>) -> io::Result<()>;
    /// Says that there is no room, without waiting for whoever comes.
    fn turn_away(&self, stream: &S);
}

/// A server that runs.
pub(crate) struct Serving<L: Listener> {
    listener: Arc<L>,
    seats: Arc<Seats<L::Stream>>,
    closing: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl<L: Listener> Serving<L> {
    /// Serves what comes to the listener.
    pub(crate) fn start(listener: L, service: Arc<dyn Service<L::Stream>>) -> io::Result<Self> {
        let listener = Arc::new(listener);
        let (seats, closing) = (Arc::new(Seats::default()), Arc::default());
        let acceptor = Acceptor {
            listener: Arc::clone(&listener),
            seats: Arc::clone(&seats),
            closing: Arc::clone(&closing),
            service,
        };
        let thread = thread::Builder::new().name(acceptor.service.name().to_owned());
        let acceptor = thread
            .stack_size(STACK_BYTES)
            .spawn(move || acceptor.run())?;
        Ok(Self {
            listener,
            seats,
            closing,
            acceptor: Some(acceptor),
        })
    }

    /// Lets nobody in any more. Requests that are under way are answered, and who follows events goes on until they end.
    pub(crate) fn close(&self) {
        self.seats.close();
        self.closing.store(true, Ordering::Release);
        self.listener.end();
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
    }
}

impl<L: Listener> Drop for Serving<L> {
    fn drop(&mut self) {
        self.close();
        self.seats.clear_all();
    }
}

struct Acceptor<L: Listener> {
    listener: Arc<L>,
    seats: Arc<Seats<L::Stream>>,
    closing: Arc<AtomicBool>,
    service: Arc<dyn Service<L::Stream>>,
}

impl<L: Listener> Acceptor<L> {
    fn run(&self) {
        loop {
            let accepted = self.listener.next();
            if self.closing.load(Ordering::Acquire) {
                break;
            }
            match accepted {
                Ok(stream) => self.seat(stream),
                // Too many open files, or a client that has gone: others may come.
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn seat(&self, stream: L::Stream) {
        let stream = Arc::new(stream);
        match self.seats.arrive(&stream) {
            Arrival::Seated(seated, displaced) => {
                if let Some(displaced) = displaced {
                    self.service.turn_away(&displaced);
                }
                self.start(stream, seated);
            }
            Arrival::Full => self.service.turn_away(&stream),
        }
    }

    fn start(&self, stream: Arc<L::Stream>, seated: Seated<L::Stream>) {
        let service = Arc::clone(&self.service);
        let turned_away = Arc::clone(&stream);
        let thread = thread::Builder::new().name(service.name().to_owned());
        let started = thread.stack_size(STACK_BYTES).spawn(move || {
            if let Err(error) = service.serve(&stream, &seated) {
                tracing::debug!("{}: a connection ended: {error}", service.name());
            }
        });
        if started.is_err() {
            self.service.turn_away(&turned_away);
        }
    }
}
