//! The process of the sending node: a thread that sends to the first peer, and one that sends to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use overlane::{Channel, Destination, Node, SendError};

use super::protocol::{CHANNEL, Command, MAILBOX, Order, Reply};
use crate::allocations;
use crate::child::Parent;
use crate::error::{BenchError, Outcome};
use crate::heartbeat::{Heartbeat, each_due};
use crate::machine;
use crate::node::counters;
use crate::node::settings::Settings;
use crate::soak::Place;

/// How long all connections may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of a message to another peer than the first.
const OTHERS_BYTES: usize = 64;

type Thread = JoinHandle<Outcome<()>>;

/// Runs this process until the parent closes its pipe.
pub(super) fn serve(mut parent: Parent, settings: &Settings) {
    let started = settings.config().and_then(|config| {
        let node = Node::start(config)?;
        Ok(Host {
            node,
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        })
    });
    match started {
        Ok(mut host) => {
            parent.answer(Ok(Reply::Listening(vec![host.node.local_addr()])));
            parent.serve(|command| host.obey(&command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

struct Host {
    node: Node,
    stop: Arc<AtomicBool>,
    threads: Vec<Thread>,
}

fn engine(error: impl std::error::Error) -> BenchError {
    BenchError::Engine(error.to_string())
}

impl Host {
    fn obey(&mut self, command: &Command) -> Outcome<Reply> {
        match command {
            Command::Start(order) => self.start(order).map(|()| Reply::Done),
            Command::Stop => {
                self.stop.store(true, Ordering::Relaxed);
                for thread in self.threads.drain(..) {
                    let panicked = |_| Err(BenchError::Engine("a sender panicked".into()));
                    thread.join().unwrap_or_else(panicked)?;
                }
                Ok(Reply::Done)
            }
            Command::Look => Ok(Reply::Sender {
                resident_bytes: machine::resident_bytes()?,
                heap_bytes: allocations::live_bytes(),
                accounts: counters::accounts(&self.node),
            }),
            Command::Read(_) => Err(BenchError::Engine(
                "the sender was asked to read".to_owned(),
            )),
        }
    }

    fn start(&mut self, order: &Order) -> Outcome<()> {
        let node = &self.node;
        for (name, address) in &order.peers {
            node.connect(name, *address).map_err(engine)?;
        }
        let mut destinations = Vec::new();
        for (name, _) in &order.peers {
            node.wait_connected(name, CONNECT_WITHIN).map_err(engine)?;
            destinations.push(node.destination(name, MAILBOX).map_err(engine)?);
        }
        let channel = node.channel(CHANNEL).map_err(engine)?;
        let to = destinations.remove(0);
        let (hz, payload_bytes) = (order.hz, order.payload_bytes);
        let (own, stop) = (channel.clone(), Arc::clone(&self.stop));
        self.threads.push(spawn(move || {
            send_to_first(&own, &to, hz, payload_bytes, &stop)
        })?);
        let (others_hz, stop) = (order.others_hz, Arc::clone(&self.stop));
        self.threads.push(spawn(move || {
            send_to_others(&channel, &destinations, others_hz, &stop)
        })?);
        Ok(())
    }
}

fn spawn(work: impl FnOnce() -> Outcome<()> + Send + 'static) -> Outcome<Thread> {
    let thread = std::thread::Builder::new().name("sender".into());
    thread
        .spawn(work)
        .map_err(BenchError::system("starting a thread"))
}

/// What finds no room is not sent later: it has no number.
fn send_to_first(
    channel: &Channel,
    to: &Destination,
    hz: u32,
    payload_bytes: usize,
    stop: &AtomicBool,
) -> Outcome<()> {
    let mut message = vec![0; payload_bytes];
    let mut place = Place {
        sender: 0,
        sequence: 0,
    };
    each_due(hz, stop, |_| {
        place.encode(&mut message);
        match channel.try_send(to, &message) {
            Ok(()) => place.sequence += 1,
            Err(SendError::Full) => {}
            Err(error) => return Err(engine(error)),
        }
        Ok(())
    })
}

/// One to each in turn. They have room, or the run is over.
fn send_to_others(
    channel: &Channel,
    others: &[Destination],
    hz: u32,
    stop: &AtomicBool,
) -> Outcome<()> {
    let peers = u32::try_from(others.len()).unwrap_or(u32::MAX);
    let mut message = [0; OTHERS_BYTES];
    each_due(hz.saturating_mul(peers), stop, |beat| {
        let peers = u64::from(peers);
        let to = usize::try_from(beat.sequence % peers).unwrap_or_default();
        let sequence = beat.sequence / peers;
        Heartbeat { sequence, ..beat }.encode(&mut message);
        channel
            .try_send(&others[to], message.as_slice())
            .map_err(engine)
    })
}
