//! Heartbeats and rumours of one node: a task on its shard that sends, handlers that receive.
//!
//! Heartbeats are sent when they are due, in an open loop, and carry that time; what is recorded at the
//! other node is how long after it they came, on the clock that all processes share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use overlane::{Channel, Destination, Message, Node, ShardContext, ShardHandle};

use super::gossip::{Gossip, Rumour};
use super::protocol::{COORDINATION, GOSSIP};
use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::heartbeat::{HEARTBEAT_BYTES, Heartbeat, Schedule};
use crate::latencies::{Buckets, Latencies};

const HEARTBEAT_MAILBOX: &str = "heartbeat";
const RUMOUR_MAILBOX: &str = "rumour";

/// The traffic of one node; its shard and its control thread share it.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    rates: (u32, u32),
}

#[derive(Debug)]
struct State {
    latencies: Latencies,
    /// The sequence number that is due from each node.
    expected: BTreeMap<String, u64>,
    out_of_order: u64,
    refused: u64,
    gossip: Gossip,
    /// Where rumours go: the name and the mailbox of each other node.
    peers: Vec<(String, Destination)>,
}

/// What the traffic came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrafficCounts {
    /// Heartbeats out of their order.
    pub(crate) out_of_order: u64,
    /// Heartbeats that were not accepted.
    pub(crate) refused: u64,
    /// Rumours started, heard, heard again.
    pub(crate) rumours: (u64, u64, u64),
}

impl Traffic {
    /// Makes `node` receive heartbeats and rumours.
    pub(crate) fn install(node: &Node, number: u8, rates: (u32, u32)) -> Outcome<Self> {
        let state = State {
            latencies: Latencies::default(),
            expected: BTreeMap::new(),
            out_of_order: 0,
            refused: 0,
            gossip: Gossip::new(number, 0x9e37_79b9_7f4a_7c15 ^ u64::from(number)),
            peers: Vec::new(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let traffic = Self {
            state: Arc::new(Mutex::new(state)),
            stop,
            rates,
        };
        let beats = traffic.clone();
        let failed = |error: overlane::NameError| BenchError::Engine(error.to_string());
        node.handle(
            HEARTBEAT_MAILBOX,
            move |_: &mut ShardContext<'_>, message: Message<'_>| {
                beats
                    .state()
                    .take_heartbeat(message.from().name(), message.payload());
            },
        )
        .map_err(failed)?;
        let rumours = traffic.clone();
        let channel = node.channel(GOSSIP).map_err(failed)?;
        node.handle(
            RUMOUR_MAILBOX,
            move |shard: &mut ShardContext<'_>, message: Message<'_>| {
                rumours.state().take_rumour(shard, &channel, &message);
            },
        )
        .map_err(failed)?;
        Ok(traffic)
    }

    /// Begins to send to these nodes.
    pub(crate) fn start(&self, node: &Node, peers: &[String]) -> Outcome<()> {
        let failed = |error: overlane::NameError| BenchError::Engine(error.to_string());
        let mut to = Vec::new();
        for peer in peers {
            to.push(node.destination(peer, HEARTBEAT_MAILBOX).map_err(failed)?);
            let rumours = node.destination(peer, RUMOUR_MAILBOX).map_err(failed)?;
            self.state().peers.push((peer.clone(), rumours));
        }
        let coordination = node.channel(COORDINATION).map_err(failed)?;
        let gossip = node.channel(GOSSIP).map_err(failed)?;
        let traffic = self.clone();
        let task = move |shard: ShardHandle| async move {
            traffic.send_all(&shard, &coordination, &gossip, &to).await;
        };
        node.spawn_on_shard(0, task).map_err(failed)
    }

    /// Starts no more messages; those under way still arrive.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Latencies since this was last asked, and all counts.
    pub(crate) fn take(&self) -> (Buckets, TrafficCounts) {
        let mut state = self.state();
        let buckets = state.latencies.buckets();
        state.latencies.reset();
        let gossip = &state.gossip;
        let counts = TrafficCounts {
            out_of_order: state.out_of_order,
            refused: state.refused,
            rumours: (gossip.started(), gossip.heard, gossip.heard_again),
        };
        (buckets, counts)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no holder of the traffic state panics")
    }

    async fn send_all(
        &self,
        shard: &ShardHandle,
        coordination: &Channel,
        gossip: &Channel,
        to: &[Destination],
    ) {
        let begin_ns = clock::now_ns();
        let mut heartbeats = Schedule::new(begin_ns, self.rates.0);
        let mut rumours = Schedule::new(begin_ns, self.rates.1);
        let mut message = [0x5a; HEARTBEAT_BYTES];
        while !self.stop.load(Ordering::Relaxed) {
            let now_ns = clock::now_ns();
            if let Some(heartbeat) = heartbeats.take(now_ns) {
                heartbeat.encode(&mut message);
                for peer in to {
                    let sent = shard.try_send(coordination, peer, &message);
                    self.state().refused += u64::from(sent.is_err());
                }
            } else if rumours.take(now_ns).is_some() {
                self.start_rumour(shard, gossip);
            } else {
                let due_ns = heartbeats.due_ns().min(rumours.due_ns());
                shard.sleep(Duration::from_nanos(due_ns - now_ns)).await;
            }
        }
    }

    fn start_rumour(&self, shard: &ShardHandle, channel: &Channel) {
        let mut state = self.state();
        let count = state.peers.len();
        let first = state.gossip.pick(count);
        let rumour = state.gossip.start();
        if let Some((_, to)) = state.peers.get(first) {
            // Best effort: what is not accepted is counted by the engine as dropped.
            drop(shard.try_send(channel, to, &rumour.encode()));
        }
    }
}

impl State {
    fn take_heartbeat(&mut self, from: &str, payload: &[u8]) {
        let Some(heartbeat) = Heartbeat::decode(payload) else {
            self.out_of_order += 1;
            return;
        };
        self.latencies
            .record(clock::now_ns().saturating_sub(heartbeat.due_ns));
        let expected = match self.expected.get_mut(from) {
            Some(expected) => expected,
            None => self.expected.entry(from.to_owned()).or_default(),
        };
        self.out_of_order += u64::from(heartbeat.sequence != *expected);
        *expected = heartbeat.sequence + 1;
    }

    fn take_rumour(
        &mut self,
        shard: &mut ShardContext<'_>,
        channel: &Channel,
        message: &Message<'_>,
    ) {
        let Some(rumour) = Rumour::decode(message.payload()) else {
            return;
        };
        let Some(onward) = self.gossip.hear(rumour) else {
            return;
        };
        for (name, to) in &self.peers {
            if name != message.from().name() {
                drop(shard.try_send(channel, to, &onward.encode()));
            }
        }
    }
}
