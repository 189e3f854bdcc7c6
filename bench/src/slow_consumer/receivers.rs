//! The process of the receiving nodes: handlers that time what comes, and one consumer that can be stopped.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use overlane::{Inbox, Message, Node, ShardContext};

use super::protocol::{Command, MAILBOX, Receivers, Reply};
use crate::allocations;
use crate::child::Parent;
use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::heartbeat::Heartbeat;
use crate::latencies::Latencies;
use crate::machine;
use crate::node::settings::Settings;
use crate::soak::{Place, Sequences};

/// Runs this process until the parent closes its pipe.
pub(super) fn serve(mut parent: Parent, settings: &[Settings]) {
    match Host::start(settings) {
        Ok(host) => {
            let addresses = host.nodes.iter().map(Node::local_addr).collect();
            parent.answer(Ok(Reply::Listening(addresses)));
            parent.serve(|command| host.obey(&command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

struct Host {
    nodes: Vec<Node>,
    others: Arc<Mutex<Others>>,
    consumer: Arc<Consumer>,
}

#[derive(Debug, Default)]
struct Others {
    latencies: Latencies,
    disorders: u64,
}

/// The consumer of the first node, and the switch that stops it.
#[derive(Debug, Default)]
struct Consumer {
    state: Mutex<Consumed>,
    switched: Condvar,
}

#[derive(Debug, Default)]
struct Consumed {
    is_stopped: bool,
    damaged: u64,
    sequences: Sequences,
}

fn engine(error: impl std::error::Error) -> BenchError {
    BenchError::Engine(error.to_string())
}

impl Host {
    fn start(settings: &[Settings]) -> Outcome<Self> {
        let others: Arc<Mutex<Others>> = Arc::default();
        let consumer = Arc::new(Consumer::default());
        let mut nodes = Vec::new();
        for settings in settings {
            let node = Node::start(settings.config()?)?;
            if nodes.is_empty() {
                let inbox = node.inbox(MAILBOX).map_err(engine)?;
                let own = Arc::clone(&consumer);
                let thread = std::thread::Builder::new().name("consumer".into());
                let thread = thread.spawn(move || own.consume(inbox));
                thread.map_err(BenchError::system("starting a thread"))?;
            } else {
                take_with_handler(&node, &others)?;
            }
            nodes.push(node);
        }
        Ok(Self {
            nodes,
            others,
            consumer,
        })
    }

    fn obey(&self, command: &Command) -> Outcome<Reply> {
        match command {
            Command::Read(read) => {
                self.consumer.state().is_stopped = !read;
                self.consumer.switched.notify_all();
                Ok(Reply::Done)
            }
            Command::Look => self.look().map(Reply::Receivers),
            Command::Start(_) | Command::Stop => Err(BenchError::Engine(
                "the receivers were asked to send".to_owned(),
            )),
        }
    }

    fn look(&self) -> Outcome<Receivers> {
        let mut others = self.others.lock().expect("no handler panics");
        let buckets = others.latencies.buckets();
        others.latencies.reset();
        let disorders = others.disorders;
        drop(others);
        let consumed = self.consumer.state();
        let sequences = &consumed.sequences;
        Ok(Receivers {
            resident_bytes: machine::resident_bytes()?,
            heap_bytes: allocations::live_bytes(),
            others: buckets,
            disorders,
            consumed: sequences.delivered,
            faults: consumed.damaged
                + sequences.first
                + sequences.duplicates
                + sequences.out_of_order
                + sequences.missing(),
        })
    }
}

fn take_with_handler(node: &Node, others: &Arc<Mutex<Others>>) -> Outcome<()> {
    let (own, mut next) = (Arc::clone(others), 0);
    let handler = move |_: &mut ShardContext<'_>, message: Message<'_>| {
        let now_ns = clock::now_ns();
        let mut others = own.lock().expect("no holder of the latencies panics");
        match Heartbeat::decode(message.payload()) {
            Some(beat) if beat.sequence == next => {
                next += 1;
                let latency_ns = now_ns.saturating_sub(beat.due_ns);
                others.latencies.record(latency_ns);
            }
            _ => others.disorders += 1,
        }
    };
    let mut handler = Some(handler);
    node.handle_with(MAILBOX, move |_| {
        handler.take().expect("these nodes have one shard each")
    })
    .map_err(engine)?;
    Ok(())
}

impl Consumer {
    fn state(&self) -> MutexGuard<'_, Consumed> {
        self.state.lock().expect("the consumer does not panic")
    }

    /// Takes messages until the node stops, unless it is stopped itself.
    fn consume(&self, mut inbox: Inbox) {
        while let Ok(message) = inbox.recv_blocking() {
            let waited = self
                .switched
                .wait_while(self.state(), |consumed| consumed.is_stopped);
            let mut consumed = waited.expect("nobody else panics");
            match Place::decode(message.payload()) {
                Some(place) => consumed.sequences.take(place.sequence),
                None => consumed.damaged += 1,
            }
        }
    }
}
