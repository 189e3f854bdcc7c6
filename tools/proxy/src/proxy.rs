//! The proxy: accepts, dials on, and is told what to do to everything that passes.
//!
//! The face of this crate. pipe.rs moves the bytes.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::connection::{Connection, Direction};
use crate::pipe;
use crate::plan::Act;
use crate::shared::{Counts, Shared, lock};

/// How long the target may take to answer a dial.
const DIAL_WITHIN: Duration = Duration::from_secs(5);

/// A running proxy. Dropping it cuts everything and ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Passes connections on to `target`, from any free port of this host.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), target, 0)
    }

    /// Passes connections to `at` on to `target`. What is random follows from `seed`.
    ///
    /// # Errors
    /// When `at` cannot be listened at.
    pub fn listen(at: SocketAddr, target: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(target, seed));
        let own = Arc::clone(&shared);
        let accepting = thread::spawn(move || accept(&listener, &own));
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Where to dial instead of the target.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections from now on go to another target.
    pub fn set_target(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Whatever is read from now on comes out so much later. The bandwidth stays, up to 16 MiB under way in
    /// each connection.
    pub fn set_delay(&self, direction: Direction, delay: Duration) {
        let nanoseconds = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.shared.delay_ns[direction as usize].store(nanoseconds, Ordering::Relaxed);
    }

    /// All connections together pass so many bytes per second in that direction; none is no limit.
    pub fn set_rate(&self, direction: Direction, bytes_per_s: Option<NonZeroU64>) {
        let rate = bytes_per_s.map_or(0, NonZeroU64::get);
        self.shared.bytes_per_s[direction as usize].store(rate, Ordering::Relaxed);
    }

    /// One bit is flipped in one of so many bytes, on average; none is in no byte.
    pub fn set_corrupt_every(&self, bytes: Option<NonZeroU64>) {
        let every = bytes.map_or(0, NonZeroU64::get);
        self.shared.corrupt_every.store(every, Ordering::Relaxed);
    }

    /// Ends every connection there is; what is on its way is lost.
    pub fn cut(&self) {
        let connections: Vec<_> = lock(&self.shared.connections).values().cloned().collect();
        for connection in connections {
            self.shared.cut_one(&connection);
            self.shared.forget(&connection);
        }
    }

    /// Each connection ends when so many bytes have passed in one direction, in the middle of a frame as a
    /// rule; 0 is never.
    pub fn cut_each_after(&self, bytes: u64) {
        self.shared.cut_after_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Passes nothing on, or goes on. What is read meanwhile is bounded as always.
    pub fn stall(&self, stalled: bool) {
        self.shared.stall(stalled);
    }

    /// When one end closes, the other is not told.
    pub fn keep_half_open(&self) {
        self.shared.keeps_half_open.store(true, Ordering::Relaxed);
    }

    /// Carries a plan out from now on. `wait_until` waits, and says whether to go on. Nothing is stalled
    /// afterwards.
    pub fn play(
        &self,
        plan: impl IntoIterator<Item = (Duration, Act)>,
        mut wait_until: impl FnMut(Instant) -> bool,
    ) {
        let begin = Instant::now();
        for (at, act) in plan {
            if !wait_until(begin + at) {
                break;
            }
            match act {
                Act::Cut => self.cut(),
                Act::Stall => self.stall(true),
                Act::Resume => self.stall(false),
            }
        }
        self.stall(false);
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = *lock(&self.shared.counts);
        counts.open = lock(&self.shared.connections).len() as u64;
        counts
    }

    /// Bytes passed on so far, both ways.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let counts = self.counts();
        counts.bytes_to_target + counts.bytes_from_target
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // Wakes the accepting thread, which sees that it is over.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
        self.stall(false);
        self.cut();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, client) in (0..).zip(listener.incoming()) {
        if shared.is_over() {
            return;
        }
        match client {
            Ok(client) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || join(&shared, number, client));
            }
            // No descriptors, as a rule: some may be free soon.
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Dials on for a connection that was accepted, and lets its bytes pass.
fn join(shared: &Arc<Shared>, number: u64, client: TcpStream) {
    let target = *lock(&shared.target);
    let Ok(target) = TcpStream::connect_timeout(&target, DIAL_WITHIN) else {
        lock(&shared.counts).unreachable += 1;
        return;
    };
    let connection = Arc::new(Connection::new(number, client, target));
    lock(&shared.connections).insert(number, Arc::clone(&connection));
    lock(&shared.counts).connections += 1;
    if shared.is_over() {
        // The proxy ended meanwhile, and has not seen it.
        shared.end(&connection);
    }
    for direction in Direction::BOTH {
        pipe::start(shared, &connection, direction);
    }
}
