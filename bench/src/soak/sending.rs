//! The sending half of a soak: threads that send at a fixed rate, and one that notes what they are told.
//!
//! A message that is not accepted, because there is no way to the peer, is tried again: the next accepted one
//! has its number, so that each number is an accepted message.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use overlane::{Channel, Destination, Event, Events, Node, SendError};

use super::gaps::Told;
use super::message::Place;
use super::protocol::Order;
use super::receiving::MAILBOX;
use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::heartbeat::Schedule;

/// How long the first connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Senders wake so often, and send what has become due.
const TICK: Duration = Duration::from_millis(1);

type AllTold = Arc<Mutex<Vec<(u64, Told)>>>;

/// Senders that run.
#[derive(Debug)]
pub(super) struct Sending {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Outcome<()>>>,
    told: AllTold,
}

impl Sending {
    /// Connects, and begins to send.
    pub(super) fn start(node: &Node, channel: &str, peer: &str, order: &Order) -> Outcome<Self> {
        let told = AllTold::default();
        let (events, own) = (node.events(), Arc::clone(&told));
        let (watched, of) = (channel.to_owned(), peer.to_owned());
        spawn("events", move || {
            note_all(&events, &watched, &of, &own);
            Ok(())
        })?;
        node.connect(peer, order.address).map_err(engine)?;
        node.wait_connected(peer, CONNECT_WITHIN).map_err(engine)?;
        let to = node.destination(peer, MAILBOX).map_err(engine)?;
        let channel = node.channel(channel).map_err(engine)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for sender in 0..order.senders {
            let own = Sender {
                channel: channel.clone(),
                to: to.clone(),
                stop: Arc::clone(&stop),
                sender,
                hz: order.hz,
                message: vec![0; order.payload_bytes],
            };
            threads.push(spawn("sender", move || own.run())?);
        }
        Ok(Self {
            stop,
            threads,
            told,
        })
    }

    /// Ends the senders.
    pub(super) fn stop(&mut self) -> Outcome<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let panicked = |_| Err(BenchError::Engine("a sender panicked".into()));
            thread.join().unwrap_or_else(panicked)?;
        }
        Ok(())
    }

    /// What the senders were told so far.
    pub(super) fn told(&self) -> Vec<(u64, Told)> {
        let told = self.told.lock();
        told.expect("no holder of what was told panics").clone()
    }
}

fn engine(error: impl std::error::Error) -> BenchError {
    BenchError::Engine(error.to_string())
}

fn spawn(
    name: &str,
    work: impl FnOnce() -> Outcome<()> + Send + 'static,
) -> Outcome<JoinHandle<Outcome<()>>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(work)
        .map_err(BenchError::system("starting a thread"))
}

/// Notes what concerns the channel until the node stops.
fn note_all(events: &Events, channel: &str, peer: &str, told: &Mutex<Vec<(u64, Told)>>) {
    while let Ok(event) = events.recv() {
        let what = match &event {
            Event::LaneDown { channel: of, .. } if &**of == channel => Told::Down,
            Event::LaneUp { channel: of, .. } if &**of == channel => Told::Up,
            Event::PeerDown { peer: of, .. } if of.name() == peer => Told::Down,
            Event::Reported { channel: of, .. } if &**of == channel => Told::Other,
            _ => continue,
        };
        let mut told = told.lock().expect("no holder of what was told panics");
        told.push((clock::now_ns(), what));
    }
}

/// One thread that sends.
struct Sender {
    channel: Channel,
    to: Destination,
    stop: Arc<AtomicBool>,
    sender: u32,
    hz: u32,
    message: Vec<u8>,
}

impl Sender {
    fn run(mut self) -> Outcome<()> {
        let mut schedule = Schedule::new(clock::now_ns(), self.hz);
        let mut sequence = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let wake = Instant::now() + TICK;
            while !self.stop.load(Ordering::Relaxed) && schedule.take(clock::now_ns()).is_some() {
                sequence += u64::from(self.send(sequence)?);
            }
            std::thread::sleep(wake.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    /// Says whether it was accepted before it was time to stop.
    fn send(&mut self, sequence: u64) -> Outcome<bool> {
        let sender = self.sender;
        Place { sender, sequence }.encode(&mut self.message);
        loop {
            match self.channel.send_blocking(&self.to, &self.message) {
                Ok(()) => return Ok(true),
                // The peer is away, and nothing waits for it.
                Err(SendError::Unreachable) => std::thread::sleep(TICK),
                Err(error) => return Err(engine(error)),
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
    }
}
