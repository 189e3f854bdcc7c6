//! A TCP proxy between two nodes that does what networks do: cut connections, stall them, keep one
//! half open after the other has gone.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// A running proxy. Dropping it cuts everything and ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    streams: Mutex<Vec<TcpStream>>,
    stalled: Mutex<bool>,
    resumed: Condvar,
    /// A connection ends after so many more bytes; 0 is never.
    cut_after_bytes: AtomicU64,
    keeps_half_open: AtomicBool,
    over: AtomicBool,
    bytes: AtomicU64,
}

impl Proxy {
    /// Passes connections on to `target`.
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.over.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(target) {
                    accepting.join(&client, &server);
                }
            }
        });
        Self { address, shared }
    }

    /// Where to dial instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes passed on so far, both ways.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Ends every connection there is.
    pub fn cut(&self) {
        for stream in self.shared.streams().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Each connection ends when so many bytes have passed in one direction, in the middle of a
    /// frame as a rule.
    pub fn cut_each_after(&self, bytes: u64) {
        self.shared.cut_after_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Passes nothing on, or goes on.
    pub fn stall(&self, stalled: bool) {
        *self.shared.stalled() = stalled;
        self.shared.resumed.notify_all();
    }

    /// When one end closes, the other is not told.
    pub fn keep_half_open(&self) {
        self.shared.keeps_half_open.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stalled(&self) -> std::sync::MutexGuard<'_, bool> {
        self.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        for (from, to) in [(client, server), (server, client)] {
            let (Ok(from), Ok(to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone())
            else {
                return;
            };
            self.streams().push(kept);
            let shared = Arc::clone(self);
            thread::spawn(move || shared.pass(from, to));
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        drop((from.set_nodelay(true), to.set_nodelay(true)));
        let mut buffer = vec![0; 16 << 10];
        let mut passed = 0;
        while let Ok(bytes) = from.read(&mut buffer)
            && bytes > 0
        {
            drop(
                self.resumed
                    .wait_while(self.stalled(), |stalled| *stalled)
                    .unwrap_or_else(PoisonError::into_inner),
            );
            let cut_after = match self.cut_after_bytes.load(Ordering::Relaxed) {
                0 => u64::MAX,
                bytes => bytes,
            };
            let left = usize::try_from(cut_after.saturating_sub(passed)).unwrap_or(usize::MAX);
            if to.write_all(&buffer[..bytes.min(left)]).is_err() || left < bytes {
                break;
            }
            passed += bytes as u64;
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        if !self.keeps_half_open.load(Ordering::Relaxed) {
            drop(to.shutdown(Shutdown::Both));
            drop(from.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.stall(false);
        self.cut();
        // Wakes the accepting thread, which sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}
