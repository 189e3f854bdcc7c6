//! `overlane-bench serve`: who may have a session.
//!
//! One run at a time; others are told that it is busy. A stranger gets a few seconds and a kilobyte to say
//! that it is a client, and there are only so many who may try at once. A client that vanishes ends its
//! session, never the server. It ends by a signal.

use std::collections::VecDeque;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::line::Connection;
use super::protocol::{Answer, Hello, Welcome};
use super::session;
use crate::error::{BenchError, Outcome};
use crate::flags::ServeFlags;
use crate::machine;
use crate::shown::{complain, show};

/// How long a client may take to greet.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Longest greeting.
const HELLO_BYTES_MAX: usize = 1_024;
/// Connections that have not greeted yet, at a time.
const GREETING_MAX: usize = 16;
/// How long to wait after a failed accept, which is out of descriptors most of all.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Debug, Default)]
struct Shared {
    busy: AtomicBool,
    greeting: Mutex<Greeting>,
}

/// Connections that have not greeted yet, the oldest first.
#[derive(Debug, Default)]
struct Greeting {
    waiting: VecDeque<(u64, TcpStream)>,
    next: u64,
}

impl Greeting {
    /// Takes one more; the oldest goes when there are too many, so that those who connect and say
    /// nothing keep nobody out.
    fn add(&mut self, stream: TcpStream) -> u64 {
        if self.waiting.len() == GREETING_MAX
            && let Some((_, oldest)) = self.waiting.pop_front()
        {
            // Fails only when it has gone by itself.
            drop(oldest.shutdown(Shutdown::Both));
        }
        let number = self.next;
        self.next += 1;
        self.waiting.push_back((number, stream));
        number
    }

    fn remove(&mut self, number: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != number);
    }
}

impl Shared {
    fn greeting(&self) -> MutexGuard<'_, Greeting> {
        self.greeting.lock().expect("no holder of it panics")
    }
}

/// Serves runs of other hosts until a signal comes.
pub(crate) fn run(flags: &ServeFlags) -> Outcome<()> {
    let listener = TcpListener::bind(flags.listen).map_err(|error| {
        BenchError::Machine(format!(
            "cannot listen on {}: {error}; give an address of this host and a free port",
            flags.listen
        ))
    })?;
    let address = listener
        .local_addr()
        .map_err(BenchError::system("asking for the own address"))?;
    show!("serving runs with --remote {address}; end with Ctrl-C");
    let shared = Arc::new(Shared::default());
    loop {
        match listener.accept() {
            Ok((stream, from)) => greet(stream, from, &shared),
            Err(error) => {
                complain(format_args!("cannot accept a connection: {error}"));
                std::thread::sleep(ACCEPT_AGAIN_AFTER);
            }
        }
    }
}

/// Hears who it is on a thread of its own, so that one that says nothing keeps nobody waiting.
fn greet(stream: TcpStream, from: SocketAddr, shared: &Arc<Shared>) {
    let Ok(own_end) = stream.try_clone() else {
        return;
    };
    let number = shared.greeting().add(own_end);
    let own = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("session".into());
    let spawned = thread.spawn(move || {
        let admitted = admit(stream, &own);
        own.greeting().remove(number);
        if let Some((connection, ends, turn)) = admitted {
            complain(format_args!("a run from {from} begins"));
            let end = session::serve(connection, ends);
            complain(format_args!("the run from {from} is over: {end}"));
            drop(turn);
        }
    });
    if let Err(error) = spawned {
        shared.greeting().remove(number);
        complain(format_args!("cannot start a thread: {error}"));
    }
}

/// The turn of one run; gives it back when dropped, also by a panic.
#[derive(Debug)]
struct Turn(Arc<Shared>);

impl Turn {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let before = shared.busy.swap(true, Ordering::AcqRel);
        (!before).then(|| Self(Arc::clone(shared)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// The connection of a client that may go on, with its ends: (this host, the client's).
fn admit(stream: TcpStream, shared: &Arc<Shared>) -> Option<(Connection, (IpAddr, IpAddr), Turn)> {
    let ends = (
        stream.local_addr().ok()?.ip(),
        stream.peer_addr().ok()?.ip(),
    );
    let mut connection = Connection::over(stream).ok()?;
    let hello: Hello = connection.hear(HELLO_BYTES_MAX, HELLO_WITHIN).ok()?;
    let turn = hello.fits().then(|| Turn::take(shared));
    let answer = match turn {
        None => Answer::OtherVersion,
        Some(None) => Answer::Busy,
        Some(Some(_)) => Answer::Ready {
            host: machine::sentence(),
        },
    };
    let welcomed = connection.say(&Welcome::own(answer), HELLO_WITHIN);
    welcomed.ok()?;
    Some((connection, ends, turn??))
}
