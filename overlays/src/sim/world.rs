//! The world: all nodes of a simulation, their lanes, and what happens next.
//!
//! Drives every node exactly as the contract in [`crate::event`] promises, in one thread, from one
//! seed. Called by the workloads; knows nothing about particular protocols.

use std::fmt;
use std::mem;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::NodeId;
use super::happening::{Happening, What};
use super::lanes::Lanes;
use super::network::{Death, Network, NetworkConfig, micros, mix};
use super::node::{Lane, Node, Pause};
use super::queue::Queue;
use super::subject::{Observer, Subject};
use super::trace::{Trace, digest};
use crate::event::{Command, Input, Output, OutputOf, WhyDown};
use crate::message::Message;
use crate::time::Time;

/// Makes the protocol of a node that starts for the given time, counted from zero.
pub type Make<X> = Box<dyn FnMut(NodeId, u32) -> X>;

/// Thousands of nodes in one thread.
pub struct World<X: Subject, O: Observer<X>> {
    pub(super) now: u64,
    pub(super) queue: Queue<Happening<X::Message, X::Timer>>,
    pub(super) nodes: Vec<Node<X>>,
    pub(super) network: Network,
    pub(super) lanes: Lanes,
    pub(super) make: Make<X>,
    random: Xoshiro256PlusPlus,
    trace: Trace,
    lanes_made: u64,
    out: Vec<OutputOf<X, NodeId>>,
    pub(super) totals: Totals,
    /// Sees everything that happens.
    pub observer: O,
}

/// What a world has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Inputs handled by nodes.
    pub events: u64,
    /// Messages sent.
    pub messages: u64,
    /// Their bytes on the wire, without frame headers.
    pub bytes: u64,
    /// Of the messages: those that found no room in the queue of their lane.
    pub refused: u64,
}

impl<X: Subject, O: Observer<X>> fmt::Debug for World<X, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("World")
            .field("now", &self.now())
            .field("nodes", &self.nodes.len())
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

impl<X: Subject, O: Observer<X>> World<X, O> {
    /// An empty world at time zero.
    pub fn new(seed: u64, network: NetworkConfig, make: Make<X>, observer: O) -> Self {
        Self {
            now: 0,
            queue: Queue::new(),
            nodes: Vec::new(),
            network: Network::new(seed, network),
            lanes: Lanes::default(),
            make,
            random: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6e6f_6465_7300_0000),
            trace: Trace::default(),
            lanes_made: 0,
            out: Vec::new(),
            totals: Totals::default(),
            observer,
        }
    }

    /// World time.
    pub const fn now(&self) -> Time {
        Time::from_micros(self.now)
    }

    /// What was counted so far.
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Hash over all that happened so far.
    pub const fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// How many nodes there ever were.
    pub fn node_count(&self) -> NodeId {
        NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX)
    }

    /// The protocol of a node that is running.
    pub fn state(&self, node: NodeId) -> Option<&X> {
        self.nodes.get(node as usize)?.state.as_ref()
    }

    /// How often a node has ended.
    pub fn starts(&self, node: NodeId) -> u32 {
        self.nodes.get(node as usize).map_or(0, |host| host.starts)
    }

    /// The nodes that are running, in order.
    pub fn running(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.node_count()).filter(|node| self.state(*node).is_some())
    }

    /// Adds a node and starts it.
    pub fn add_node(&mut self) -> NodeId {
        let node = self.node_count();
        self.nodes.push(Node::new((self.make)(node, 0)));
        self.feed(node, Input::Start);
        node
    }

    /// Mean time that a message takes over a lane, all lanes counted.
    pub fn mean_link_latency(&mut self) -> Duration {
        let (mut total, mut lanes) = (0, 0);
        for node in 0..self.node_count() {
            for Lane { peer, .. } in self.nodes[node as usize].lanes.clone() {
                total += self.network.latency(node, peer);
                lanes += 1;
            }
        }
        Duration::from_micros(total / lanes.max(1))
    }

    /// Gives a running node an order.
    pub fn command(&mut self, node: NodeId, command: Command<NodeId>) {
        self.feed(node, Input::Command(command));
    }

    /// Lets everything happen that is due within `span`, then stands at its end.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now() + span);
    }

    /// Lets everything happen that is due until `end`, then stands there.
    pub fn run_until(&mut self, end: Time) {
        let until = end.as_micros();
        while let Some((at, happening)) = self.queue.take(until) {
            self.now = self.now.max(at);
            self.happen(happening);
        }
        self.now = self.now.max(until);
    }

    pub(super) fn can_talk(&self, one: NodeId, other: NodeId) -> bool {
        self.network.reaches(one, other) && self.network.reaches(other, one)
    }

    pub(super) fn happens_in(
        &mut self,
        after: u64,
        node: NodeId,
        what: What<X::Message, X::Timer>,
    ) {
        let Some(host) = self.nodes.get(node as usize) else {
            return;
        };
        let slow = host
            .conditions
            .as_ref()
            .map_or(0, |conditions| conditions.slow_micros);
        let happening = Happening {
            node,
            starts: host.starts,
            what,
        };
        self.queue.insert(
            self.now.saturating_add(after).saturating_add(slow),
            happening,
        );
    }

    fn happen(&mut self, happening: Happening<X::Message, X::Timer>) {
        let host = &mut self.nodes[happening.node as usize];
        if let Some(pause) = host.pause() {
            match happening.what {
                What::Dial { from, .. } => self.dial_got_nowhere(from, happening.node),
                What::Message { .. } if pause == Pause::Suspended => {}
                _ => host.stash.push(happening),
            }
            return;
        }
        let Happening { node, starts, what } = happening;
        let current = host.starts == starts && host.state.is_some();
        match what {
            What::Message { from, message } => self.message_arrives(node, from, message),
            What::Dial {
                from,
                from_starts,
                lane,
            } => {
                self.dial_arrives(node, from, from_starts, lane);
            }
            _ if !current => {}
            What::Timer(id) => self.feed(node, Input::Timer(id)),
            What::LaneUp { peer, lane } => self.lane_up(node, peer, lane),
            What::StillUp { peer } => {
                let up = self.nodes[node as usize].lane(peer).is_some();
                let input = if up {
                    Input::PeerUp(peer)
                } else {
                    down(peer, WhyDown::Lost)
                };
                self.feed(node, input);
            }
            What::LaneDown { peer, lane, why } => self.lane_down(node, peer, lane, why),
            What::Silence { peer, lane, heals } => {
                let other_end = &self.nodes[peer as usize];
                let is_cut = heals == self.network.heals && !self.can_talk(node, peer);
                if other_end.lane(node) != Some(lane) || other_end.pause().is_some() || is_cut {
                    self.lane_down(node, peer, lane, WhyDown::TimedOut);
                }
            }
            What::Fills { peer } => self.lane_fills(node, peer),
            What::Empties { peer } => self.lane_empties(node, peer),
            What::NoLane { peer, why } => {
                if self.nodes[node as usize].lane(peer).is_none() {
                    self.feed(node, down(peer, why));
                }
            }
        }
    }

    fn message_arrives(&mut self, node: NodeId, from: NodeId, message: X::Message) {
        if self.state(node).is_none() {
            self.nobody_there(from, node);
            return;
        }
        if let Some(payload) = X::payload(&message) {
            self.observer
                .payload_received(Time::from_micros(self.now), node, &payload);
        }
        self.feed(node, Input::Received { from, message });
    }

    fn dial_arrives(&mut self, node: NodeId, from: NodeId, from_starts: u32, lane: u64) {
        let dialer = &self.nodes[from as usize];
        if dialer.starts != from_starts || dialer.state.is_none() {
            return;
        }
        if !self.can_talk(node, from) {
            self.dial_got_nowhere(from, node);
            return;
        }
        if self.state(node).is_none() {
            self.nobody_there(from, node);
            return;
        }
        let after = self.network.latency(node, from);
        // Both ends may dial at once; both keep the younger lane.
        let host = &mut self.nodes[node as usize];
        let before = host.lane(from);
        let kept = before.map_or(lane, |before| before.max(lane));
        host.set_lane(from, kept);
        self.happens_in(
            after,
            from,
            What::LaneUp {
                peer: node,
                lane: kept,
            },
        );
        if before != Some(kept) {
            self.feed(node, Input::PeerUp(from));
        }
    }

    /// A dial arrived where a node has ended.
    fn nobody_there(&mut self, from: NodeId, node: NodeId) {
        let (round_trips, why) = match self.nodes[node as usize].death {
            Death::Silent => return self.dial_got_nowhere(from, node),
            Death::Refuses => (1, WhyDown::Refused),
            Death::Resets => (2, WhyDown::Lost),
        };
        let after = self.network.latency(node, from) * (2 * round_trips - 1);
        self.happens_in(after, from, What::NoLane { peer: node, why });
    }

    /// A dial got to where nothing answers.
    fn dial_got_nowhere(&mut self, from: NodeId, node: NodeId) {
        let ago = self.network.latency(from, node);
        self.dial_times_out(from, node, ago);
    }

    fn lane_up(&mut self, node: NodeId, peer: NodeId, lane: u64) {
        let there = self.nodes[peer as usize].lane(node);
        let host = &mut self.nodes[node as usize];
        match there {
            Some(there) if there >= lane => {
                host.set_lane(peer, there);
                self.feed(node, Input::PeerUp(peer));
            }
            // The other end closed it while the answer was under way.
            _ => {
                if host.lane(peer).is_none() {
                    self.feed(node, down(peer, WhyDown::Lost));
                }
            }
        }
    }

    fn lane_down(&mut self, node: NodeId, peer: NodeId, lane: u64, why: WhyDown) {
        let host = &mut self.nodes[node as usize];
        if host.lane(peer) == Some(lane) {
            host.remove_lane(peer);
            self.lanes.ended(node, peer);
            self.feed(node, down(peer, why));
        }
    }

    /// Gives a node one input and carries out what it wants done.
    pub(super) fn feed(&mut self, node: NodeId, input: Input<NodeId, X::Message, X::Timer>) {
        let host = &mut self.nodes[node as usize];
        let now = host.clock(self.now);
        let Some(state) = host.state.as_mut() else {
            return;
        };
        self.totals.events += 1;
        self.trace
            .add(self.now, u64::from(node), input_kind(&input));
        let mut out = mem::take(&mut self.out);
        state.handle(now, input, &mut self.random, &mut out);
        self.observer
            .stepped(Time::from_micros(self.now), node, state);
        for output in out.drain(..) {
            self.carry_out(node, output);
        }
        self.out = out;
    }

    fn carry_out(&mut self, node: NodeId, output: OutputOf<X, NodeId>) {
        match output {
            Output::Send { to, message } => self.send(node, to, message),
            Output::SendAll { to, message } => {
                for to in to {
                    self.send(node, to, message.clone());
                }
            }
            Output::Connect(peer) => self.connect(node, peer),
            Output::Disconnect(peer) => {
                if let Some(lane) = self.nodes[node as usize].remove_lane(peer) {
                    self.lanes.ended(node, peer);
                    let after = self.network.latency(node, peer);
                    let why = WhyDown::AskedFor;
                    let what = What::LaneDown {
                        peer: node,
                        lane,
                        why,
                    };
                    self.happens_in(after, peer, what);
                }
            }
            Output::SetTimer { id, after } => {
                self.trace.add(self.now, u64::from(node), digest(&id).hash);
                let after = self.nodes[node as usize].world_micros(after);
                self.happens_in(after, node, What::Timer(id));
            }
            Output::Event(event) => {
                if let Some(state) = &self.nodes[node as usize].state {
                    self.observer
                        .event(Time::from_micros(self.now), node, state, &event);
                }
            }
            // An order that no protocol of this stack owns.
            Output::Below(_) => {}
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: X::Message) {
        let digest = digest(&message);
        let tail = message.tail().len() as u64;
        let bytes = u64::from(digest.bytes) + tail;
        self.totals.messages += 1;
        self.totals.bytes += bytes;
        self.trace
            .add(self.now, u64::from(from) << 32 | u64::from(to), digest.hash);
        if !self.network.reaches(from, to) && self.nodes[from as usize].lane(to).is_none() {
            let timeout = micros(self.network.config.dial_timeout);
            let why = WhyDown::TimedOut;
            self.happens_in(timeout, from, What::NoLane { peer: to, why });
        }
        let Some(wait) = self.wait_for_lane(from, to, bytes, tail > 0) else {
            return;
        };
        let [first, again] = self.network.arrivals(from, to);
        if let Some(after) = again {
            let what = What::Message {
                from,
                message: message.clone(),
            };
            self.happens_in(wait + after, to, what);
        }
        if let Some(after) = first {
            self.happens_in(wait + after, to, What::Message { from, message });
        }
    }

    fn connect(&mut self, from: NodeId, to: NodeId) {
        if from == to || to >= self.node_count() {
            let why = WhyDown::Refused;
            self.happens_in(0, from, What::NoLane { peer: to, why });
            return;
        }
        if self.nodes[from as usize].lane(to).is_some() {
            self.happens_in(0, from, What::StillUp { peer: to });
            return;
        }
        if self.dial_fails() {
            return self.dial_times_out(from, to, 0);
        }
        self.lanes_made += 1;
        let from_starts = self.nodes[from as usize].starts;
        let hops = 2 * self.network.config.lanes.round_trips() - 1;
        let after = hops * self.network.latency(from, to);
        let what = What::Dial {
            from,
            from_starts,
            lane: self.lanes_made,
        };
        self.happens_in(after, to, what);
    }
}

const fn down<M, T>(peer: NodeId, why: WhyDown) -> Input<NodeId, M, T> {
    Input::PeerDown { peer, why }
}

/// One number per kind of input, for the trace; the content of messages was added when sent.
const fn input_kind<P, M, T>(input: &Input<P, M, T>) -> u64 {
    mix(match input {
        Input::Start => 1,
        Input::Received { .. } => 2,
        Input::PeerUp(_) => 3,
        Input::PeerDown { .. } => 4,
        Input::Timer(_) => 5,
        Input::Command(_) => 6,
        Input::Below(_) => 7,
        Input::Congested(_) => 8,
        Input::Drained(_) => 9,
    })
}
