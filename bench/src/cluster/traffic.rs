//! Guaranteed messages of one node to another while the overlay is switched: sent at a rate, held against what came.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use overlane::{Channel, Destination, Message, Node, SendError};

use super::protocol::{Flow, Got, STEADY, STEADY_MAILBOX};
use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::soak::{MESSAGE_BYTES_MIN, Place, Sequences};

/// Bytes of each message.
const PAYLOAD_BYTES: usize = 64;
/// Between two looks whether a message is due.
const TICK: Duration = Duration::from_millis(1);

/// What came from each sender, and the longest time without anything from it.
#[derive(Debug, Default)]
struct Stream {
    sequences: Sequences,
    last_ns: u64,
    longest_gap_ns: u64,
}

/// What a node has received.
#[derive(Debug, Clone, Default)]
pub(super) struct Receiving(Arc<Mutex<BTreeMap<u32, Stream>>>);

impl Receiving {
    /// Notes a message.
    pub(super) fn note(&self, message: &Message<'_>) {
        let Some(Place { sender, sequence }) = Place::decode(message.payload()) else {
            return;
        };
        let now = clock::now_ns();
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = streams.entry(sender).or_default();
        if stream.last_ns > 0 {
            stream.longest_gap_ns = stream.longest_gap_ns.max(now - stream.last_ns);
        }
        stream.last_ns = now;
        stream.sequences.take(sequence);
    }

    /// What came so far, by sender.
    pub(super) fn got(&self) -> BTreeMap<u32, Got> {
        let streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let got = streams.iter().map(|(sender, stream)| {
            let got = Got {
                delivered: stream.sequences.delivered,
                duplicates: stream.sequences.duplicates,
                out_of_order: stream.sequences.out_of_order,
                missing: stream.sequences.missing(),
                longest_gap_ns: stream.longest_gap_ns,
            };
            (*sender, got)
        });
        got.collect()
    }
}

/// A thread that sends.
#[derive(Debug)]
pub(super) struct Sending {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    longest_gap_ns: Arc<AtomicU64>,
    thread: Option<JoinHandle<Outcome<()>>>,
}

struct Sender {
    channel: Channel,
    to: Destination,
    sender: u32,
    interval_ns: u64,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    longest_gap_ns: Arc<AtomicU64>,
}

impl Sending {
    /// Begins to send to that node.
    pub(super) fn start(node: &Node, to: &str, sender: u32, hz: u32) -> Outcome<Self> {
        let engine = |error: overlane::NameError| BenchError::Engine(error.to_string());
        let sending = Self {
            stop: Arc::default(),
            accepted: Arc::default(),
            longest_gap_ns: Arc::default(),
            thread: None,
        };
        let own = Sender {
            channel: node.channel(STEADY).map_err(engine)?,
            to: node.destination(to, STEADY_MAILBOX).map_err(engine)?,
            sender,
            interval_ns: 1_000_000_000 / u64::from(hz.max(1)),
            stop: Arc::clone(&sending.stop),
            accepted: Arc::clone(&sending.accepted),
            longest_gap_ns: Arc::clone(&sending.longest_gap_ns),
        };
        let thread = std::thread::Builder::new().name("steady".to_owned());
        let thread = thread
            .spawn(move || own.run())
            .map_err(BenchError::system("starting a thread"))?;
        Ok(Self {
            thread: Some(thread),
            ..sending
        })
    }

    /// Ends it; what it came to.
    pub(super) fn stop(&mut self) -> Outcome<Flow> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let panicked = |_| Err(BenchError::Engine("a sender panicked".into()));
            thread.join().unwrap_or_else(panicked)?;
        }
        Ok(Flow {
            accepted: self.accepted.load(Ordering::Relaxed),
            longest_gap_ns: self.longest_gap_ns.load(Ordering::Relaxed),
        })
    }
}

impl Sender {
    fn run(self) -> Outcome<()> {
        let mut message = vec![0; PAYLOAD_BYTES.max(MESSAGE_BYTES_MIN)];
        let mut last = clock::now_ns();
        let (mut due, mut sequence) = (last, 0);
        while !self.stop.load(Ordering::Relaxed) {
            while due <= clock::now_ns() && !self.stop.load(Ordering::Relaxed) {
                due += self.interval_ns;
                let sender = self.sender;
                Place { sender, sequence }.encode(&mut message);
                match self.channel.send_blocking(&self.to, &message) {
                    Ok(()) => {
                        let now = clock::now_ns();
                        self.longest_gap_ns.fetch_max(now - last, Ordering::Relaxed);
                        last = now;
                        sequence += 1;
                        self.accepted.store(sequence, Ordering::Relaxed);
                    }
                    // The node is gone, or not found yet: not accepted.
                    Err(SendError::Unreachable) => std::thread::sleep(TICK),
                    Err(error) => return Err(BenchError::Engine(error.to_string())),
                }
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }
}
