//! A child process that hosts nodes: one that sends or receives, or many that receive.
//!
//! Obeys the commands of protocol.rs one at a time on its main thread, which sleeps while a test runs;
//! the work is done by the nodes' shards and by producers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use overlane::{Channel, Message, Node, ShardContext};

use super::counters;
use super::producer::{Receiver, Sending, Work};
use super::protocol::{Command, Reply, RoundTripOrder, SendOrder, Specification};
use super::round_trip::{self, Beats, RoundTrips};
use super::threads::{self, Threads};
use crate::child::Parent;
use crate::error::{BenchError, Outcome};
use crate::flags::{Consumer, Producer};
use crate::machine;
use crate::payloads::{Arrivals, Arrived, Payloads, Place};
use crate::ping::Pace;
use crate::sample::Sample;

/// Mailbox whose handler counts what a producer sent.
const SINK: &str = "sink";
/// How long lanes may take to come up.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// How long messages may take to end after the last was sent.
const SETTLE_WITHIN: Duration = Duration::from_secs(15);

/// Runs this process until the parent closes its pipe.
pub(crate) fn serve(mut parent: Parent) {
    let Some(specification) = parent.next::<Specification>() else {
        return;
    };
    match specification.and_then(|specification| Host::start(&specification)) {
        Ok(mut host) => {
            let addresses = host
                .nodes
                .iter()
                .map(|hosted| hosted.node.local_addr())
                .collect();
            parent.answer(Ok(Reply::Listening(addresses)));
            parent.serve(|command| host.obey(command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

/// All nodes of this process.
struct Host {
    nodes: Vec<Hosted>,
    /// What producers of this process got accepted, by channel and receiver.
    accepted: BTreeMap<(String, String), Arc<AtomicU64>>,
    sending: Option<Sending>,
}

/// One node, with what its handlers count.
struct Hosted {
    node: Node,
    inline_bytes_max: usize,
    channels: BTreeMap<String, Channel>,
    arrived: Arc<Arrived>,
    round_trips: RoundTrips,
    /// Present where the test asked for application threads.
    threads: Option<Threads>,
}

impl Hosted {
    fn start(settings: &super::settings::Settings, with_threads: bool) -> Outcome<Self> {
        let config = settings.config()?;
        let inline_bytes_max = config.inline_bytes_max;
        let names: Vec<String> = config
            .channels
            .iter()
            .map(|channel| channel.name.clone())
            .collect();
        let node = Node::start(config)?;
        let channels: Vec<Channel> = names
            .iter()
            .map(|name| node.channel(name))
            .collect::<Result<_, _>>()
            .map_err(|error| BenchError::Engine(error.to_string()))?;
        let arrived = Arc::new(Arrived::default());
        node.handle_with(SINK, |_| {
            let mut arrivals = Arrivals::new(Arc::clone(&arrived));
            move |_: &mut ShardContext<'_>, message: Message<'_>| {
                arrivals.take(message.payload());
            }
        })
        .map_err(|error| BenchError::Engine(error.to_string()))?;
        let round_trips = round_trip::install(&node, channels.clone())?;
        let threads = if with_threads {
            let arrivals = Arrivals::new(Arc::clone(&arrived));
            Some(Threads::start(&node, channels.clone(), arrivals)?)
        } else {
            None
        };
        let channels = names.into_iter().zip(channels).collect();
        Ok(Self {
            node,
            inline_bytes_max,
            channels,
            arrived,
            round_trips,
            threads,
        })
    }

    fn channel(&self, name: &str) -> Outcome<&Channel> {
        let channel = self.channels.get(name);
        channel.ok_or_else(|| BenchError::Engine(format!("the test has no channel {name}")))
    }
}

impl Host {
    fn start(specification: &Specification) -> Outcome<Self> {
        let nodes = specification
            .nodes
            .iter()
            .map(|settings| Hosted::start(settings, specification.threads))
            .collect::<Outcome<_>>()?;
        Ok(Self {
            nodes,
            accepted: BTreeMap::new(),
            sending: None,
        })
    }

    fn first(&self) -> &Hosted {
        &self.nodes[0]
    }

    fn obey(&mut self, command: Command) -> Outcome<Reply> {
        match command {
            Command::Connect { peers } => self.connect(&peers),
            Command::StartSending(order) => self.start_sending(&order),
            Command::StopSending => {
                if let Some(sending) = self.sending.take() {
                    sending.stop()?;
                }
                self.settle()
            }
            Command::RoundTrips(order) => self.round_trips(&order),
            Command::Sample => self.sample(),
            Command::Accounts => {
                let accounts = self
                    .nodes
                    .iter()
                    .map(|hosted| counters::accounts(&hosted.node));
                Ok(Reply::Accounts(accounts.collect()))
            }
            Command::Memory => {
                let nodes = self.nodes.iter();
                let connections = nodes
                    .map(|hosted| counters::connections(&hosted.node))
                    .sum();
                Ok(Reply::Memory {
                    resident_bytes: machine::resident_bytes()?,
                    connections,
                })
            }
        }
    }

    fn connect(&self, peers: &[(String, std::net::SocketAddr)]) -> Outcome<Reply> {
        let failed = |error: &dyn std::error::Error| BenchError::Engine(error.to_string());
        let node = &self.first().node;
        for (name, address) in peers {
            node.connect(name, *address)
                .map_err(|error| failed(&error))?;
        }
        let deadline = Instant::now() + CONNECT_WITHIN;
        for (name, _) in peers {
            let left = deadline.saturating_duration_since(Instant::now());
            node.wait_connected(name, left)
                .map_err(|error| failed(&error))?;
        }
        Ok(Reply::Done)
    }

    fn start_sending(&mut self, order: &SendOrder) -> Outcome<Reply> {
        let hosted = &self.nodes[0];
        let channel = hosted.channel(&order.channel)?.clone();
        let mailbox = match order.consumer {
            Consumer::Handler => SINK,
            Consumer::Inbox => threads::READER,
        };
        let mut receivers = Vec::new();
        for peer in &order.peers {
            let to = hosted.node.destination(peer, mailbox);
            let to = to.map_err(|error| BenchError::Engine(error.to_string()))?;
            let key = (order.channel.clone(), peer.clone());
            let accepted = Arc::clone(self.accepted.entry(key).or_default());
            let place = Place::after(accepted.load(Ordering::Relaxed));
            receivers.push(Receiver {
                to,
                place,
                accepted,
            });
        }
        let work = Work {
            channel,
            receivers,
            payloads: Payloads::new(order.payload_bytes),
            inline: order.payload_bytes <= hosted.inline_bytes_max,
            stop: Arc::new(AtomicBool::new(false)),
        };
        self.sending = Some(Sending::start(
            &hosted.node,
            order.producer,
            order.producer_core,
            work,
        )?);
        Ok(Reply::Done)
    }

    /// Waits until each accepted message has ended.
    fn settle(&self) -> Outcome<Reply> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        loop {
            let accounts = counters::accounts(&self.first().node);
            if accounts.is_settled() {
                return Ok(Reply::Done);
            }
            if Instant::now() > deadline {
                return Err(BenchError::CheckFailed(format!(
                    "messages had not ended {} s after the last was sent: {accounts:?}",
                    SETTLE_WITHIN.as_secs()
                )));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn round_trips(&mut self, order: &RoundTripOrder) -> Outcome<Reply> {
        let hosted = &mut self.nodes[0];
        let channel = hosted.channel(&order.channel)?.clone();
        let mailbox = match order.producer {
            Producer::Shard => round_trip::ECHO,
            Producer::App => threads::ECHO,
        };
        let to = hosted.node.destination(&order.peer, mailbox);
        let to = to.map_err(|error| BenchError::Engine(error.to_string()))?;
        let times = (order.warm_up, order.measure);
        let payload_bytes = order.payload_bytes;
        let timed = match (order.producer, &mut hosted.threads, order.pace) {
            (Producer::App, Some(threads), pace) => {
                threads.ping(&channel, &to, payload_bytes, pace, times)
            }
            (Producer::App, None, _) => Err(BenchError::Engine(
                "the test started its nodes without application threads".into(),
            )),
            (Producer::Shard, _, Pace::Closed) => {
                let state = &hosted.round_trips;
                state.closed_loop(&channel, &to, payload_bytes, times)
            }
            (Producer::Shard, _, Pace::Open { hz }) => {
                let beats = Beats {
                    channel,
                    to,
                    payload_bytes,
                    hz,
                };
                hosted.round_trips.open_loop(&hosted.node, beats, times)
            }
        };
        timed.map(|timed| Reply::Timed(timed.buckets()))
    }

    fn sample(&self) -> Outcome<Reply> {
        let disorders: u64 = self
            .nodes
            .iter()
            .map(|hosted| hosted.arrived.disorders())
            .sum();
        if disorders > 0 {
            return Err(BenchError::CheckFailed(format!(
                "{disorders} messages were lost, doubled, damaged or out of order"
            )));
        }
        let mut threads = self
            .nodes
            .iter()
            .filter_map(|hosted| hosted.threads.as_ref());
        if let Some(fault) = threads.find_map(Threads::fault) {
            return Err(BenchError::Engine(format!("the echo thread: {fault}")));
        }
        // First: with many busy nodes it takes its time, and the rest belongs to one moment.
        let syscalls = self
            .nodes
            .iter()
            .map(|hosted| counters::syscalls(&hosted.node))
            .sum();
        let messages = self
            .nodes
            .iter()
            .map(|hosted| hosted.arrived.messages())
            .sum();
        let bytes = self.nodes.iter().map(|hosted| hosted.arrived.bytes()).sum();
        Ok(Reply::Sample(Sample::take(messages, bytes, syscalls)))
    }
}
