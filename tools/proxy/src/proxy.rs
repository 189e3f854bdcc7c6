//! The proxy: accepts, dials on, and is told what to do to everything that passes.
//!
//! The face of this crate, and what its threads share. pipe.rs moves the bytes.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::link::Link;
use crate::pipe::{self, Connection};
use crate::plan::Act;

/// How long the target may take to answer a dial.
const DIAL_WITHIN: Duration = Duration::from_secs(5);

/// A way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From who dialled the proxy to the target.
    ToTarget = 0,
    /// The way back.
    FromTarget = 1,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::ToTarget, Self::FromTarget];
}

/// What a proxy has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were accepted and dialled on.
    pub connections: u64,
    /// Connections that were accepted and closed again, because the target could not be reached.
    pub unreachable: u64,
    /// Connections that are there now.
    pub open: u64,
    /// Connections that the proxy has cut.
    pub cut: u64,
    /// Times that it began to stall.
    pub stalls: u64,
    /// Bytes passed on to the target.
    pub bytes_to_target: u64,
    /// Bytes passed on from the target.
    pub bytes_from_target: u64,
    /// Bytes of both that were damaged.
    pub corrupted_bytes: u64,
}

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

/// What the threads of a proxy share.
#[derive(Debug)]
pub(crate) struct Shared {
    target: Mutex<SocketAddr>,
    seed: u64,
    connections: Mutex<BTreeMap<u64, Arc<Connection>>>,
    stalled: Mutex<bool>,
    resumed: Condvar,
    links: [Mutex<Link>; 2],
    delay_ns: [AtomicU64; 2],
    /// 0 is no limit.
    bytes_per_s: [AtomicU64; 2],
    /// 0 is never.
    corrupt_every: AtomicU64,
    /// 0 is never.
    cut_after_bytes: AtomicU64,
    keeps_half_open: AtomicBool,
    over: AtomicBool,
    counts: Mutex<Counts>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn new(target: SocketAddr, seed: u64) -> Self {
        Self {
            target: Mutex::new(target),
            seed,
            connections: Mutex::default(),
            stalled: Mutex::default(),
            resumed: Condvar::new(),
            links: Default::default(),
            delay_ns: Default::default(),
            bytes_per_s: Default::default(),
            corrupt_every: AtomicU64::new(0),
            cut_after_bytes: AtomicU64::new(0),
            keeps_half_open: AtomicBool::new(false),
            over: AtomicBool::new(false),
            counts: Mutex::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// A seed of its own for each direction of each connection.
    pub(crate) fn seed_of(&self, connection: u64, direction: Direction) -> u64 {
        let mut seeds = fastrand::Rng::with_seed(self.seed ^ connection.rotate_left(32));
        let seeds: [u64; 2] = [seeds.u64(..), seeds.u64(..)];
        seeds[direction as usize]
    }

    pub(crate) fn rate(&self, direction: Direction) -> Option<NonZeroU64> {
        NonZeroU64::new(self.bytes_per_s[direction as usize].load(Ordering::Relaxed))
    }

    pub(crate) fn delay(&self, direction: Direction) -> Duration {
        Duration::from_nanos(self.delay_ns[direction as usize].load(Ordering::Relaxed))
    }

    pub(crate) fn corrupt_every(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.corrupt_every.load(Ordering::Relaxed))
    }

    pub(crate) fn keeps_half_open(&self) -> bool {
        self.keeps_half_open.load(Ordering::Relaxed)
    }

    pub(crate) fn enter_link(
        &self,
        direction: Direction,
        now: Instant,
        bytes: usize,
        bytes_per_s: NonZeroU64,
    ) -> Instant {
        lock(&self.links[direction as usize]).enter(now, bytes, bytes_per_s)
    }

    pub(crate) fn count_damage(&self, bytes: u64) {
        if bytes > 0 {
            lock(&self.counts).corrupted_bytes += bytes;
        }
    }

    pub(crate) fn count_bytes(&self, direction: Direction, bytes: u64) {
        let mut counts = lock(&self.counts);
        match direction {
            Direction::ToTarget => counts.bytes_to_target += bytes,
            Direction::FromTarget => counts.bytes_from_target += bytes,
        }
    }

    /// Bytes that may still pass in a direction that has had `passed`.
    pub(crate) fn left_before_cut(&self, passed: u64) -> usize {
        match self.cut_after_bytes.load(Ordering::Relaxed) {
            0 => usize::MAX,
            after => usize::try_from(after.saturating_sub(passed)).unwrap_or(usize::MAX),
        }
    }

    fn stall(&self, stalled: bool) {
        let was = std::mem::replace(&mut *lock(&self.stalled), stalled);
        if stalled && !was {
            lock(&self.counts).stalls += 1;
        }
        self.resumed.notify_all();
    }

    /// Waits while the proxy stalls. Says whether the connection goes on.
    pub(crate) fn wait_out_stall(&self, connection: &Connection) -> bool {
        let waits = |stalled: &mut bool| *stalled && !connection.is_over();
        let waited = self.resumed.wait_while(lock(&self.stalled), waits);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        !connection.is_over()
    }

    pub(crate) fn cut_one(&self, connection: &Connection) {
        if self.end(connection) {
            lock(&self.counts).cut += 1;
        }
    }

    /// One of its sockets failed. With half-open ends, nobody is told.
    pub(crate) fn broken(&self, connection: &Connection) {
        if !self.keeps_half_open() {
            self.end(connection);
        }
    }

    /// Says whether it had not ended before.
    fn end(&self, connection: &Connection) -> bool {
        let is_first = connection.end();
        // Under the lock: a thread that has just looked is not missed.
        drop(lock(&self.stalled));
        self.resumed.notify_all();
        is_first
    }

    /// The connection has ended, and its sockets may go; half open, they stay until they are cut.
    pub(crate) fn forget(&self, connection: &Connection) {
        if connection.is_over() || !self.keeps_half_open() {
            lock(&self.connections).remove(&connection.number);
        }
    }
}
