//! Heartbeats over a plain socket, at the same time as the engine's: what the machine does to anybody's.
//!
//! One thread sends them when they are due, another reads them, with default scheduling, in the process
//! that otherwise only watches the nodes. What they need beside the file, a network engine is not to be
//! blamed for: it is what the file's work on the processors and the host's own pauses cost any program.
//! Started by the main job for its whole run; ends with it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::heartbeat::{self, HEARTBEAT_BYTES, Heartbeat};
use crate::latencies::{Buckets, Latencies};

/// The two threads, and what they measured since they were last asked.
#[derive(Debug)]
pub(super) struct Plain {
    latencies: Arc<Mutex<Latencies>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Plain {
    /// Begins to send `hz` heartbeats a second over loopback.
    pub(super) fn start(hz: u32) -> Outcome<Self> {
        let (near, far) = connected().map_err(BenchError::system("connecting a plain socket"))?;
        let mut plain = Self {
            latencies: Arc::default(),
            stop: Arc::default(),
            threads: Vec::new(),
        };
        let stop = Arc::clone(&plain.stop);
        // One that cannot be written to any more ends with the run.
        plain.spawn("plain-send", move || drop(send(near, hz, &stop)))?;
        let latencies = Arc::clone(&plain.latencies);
        plain.spawn("plain-receive", move || receive(far, &latencies))?;
        Ok(plain)
    }

    /// How late those came that came since this was last asked.
    pub(super) fn take(&self) -> Buckets {
        let mut latencies = self.latencies.lock().expect(NEVER_POISONED);
        let buckets = latencies.buckets();
        latencies.reset();
        buckets
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Outcome<()> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(work);
        self.threads
            .push(thread.map_err(BenchError::system("starting a thread"))?);
        Ok(())
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It has nothing to say any more.
            drop(thread.join());
        }
    }
}

const NEVER_POISONED: &str = "no holder of the latencies panics";

fn connected() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    near.set_nodelay(true)?;
    let (far, _) = listener.accept()?;
    Ok((near, far))
}

/// Sends until it is told to stop, or the other side is gone: then its end closes the socket.
fn send(mut to: TcpStream, hz: u32, stop: &AtomicBool) -> Outcome<()> {
    let mut message = [0x5a; HEARTBEAT_BYTES];
    heartbeat::each_due(hz, stop, |beat| {
        beat.encode(&mut message);
        to.write_all(&message)
            .map_err(BenchError::system("writing to a plain socket"))
    })
}

fn receive(mut from: TcpStream, latencies: &Mutex<Latencies>) {
    let mut message = [0; HEARTBEAT_BYTES];
    while from.read_exact(&mut message).is_ok() {
        if let Some(heartbeat) = Heartbeat::decode(&message) {
            let late_ns = clock::now_ns().saturating_sub(heartbeat.due_ns);
            latencies.lock().expect(NEVER_POISONED).record(late_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_heartbeat_is_counted_once_and_both_threads_end() {
        let plain = Plain::start(1_000).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let mut count = 0;
        while count < 50 && std::time::Instant::now() < deadline {
            let mut taken = Latencies::default();
            taken.add(&plain.take());
            count += taken.count();
            std::thread::yield_now();
        }
        assert!(count >= 50, "{count} came");
        let latencies = Arc::downgrade(&plain.latencies);
        drop(plain);
        assert!(latencies.upgrade().is_none(), "a thread still has them");
    }
}
