//! The driver of a node's cluster protocols: what happens to the node goes in, what is to be done comes out.
//!
//! It owns the protocols (`machine`), their timers, the address book and the seeds, and knows names and addresses
//! where they know identities. It has no socket, clock or thread: `resident` hands it what happens with the time, and
//! does what it says. `lanes`, `hearing`, `seeking`, `sending`, `changing` and `looking` are what happens to it, `wants` and `telling`
//! what comes of it.
//! What it must never do: wait, and keep more than its bounds for a peer.

mod changing;
mod deciding;
mod finding;
mod hearing;
mod lanes;
mod looking;
mod parting;
mod seeking;
mod sending;
mod serving;
mod summing;
mod telling;
mod wants;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use overlane_overlays::epoch::{Epoch, OverlayKind};
use overlane_overlays::membership::{Details, Fitness};
use overlane_overlays::{
    AtomicOutcome, Command, DecodeError, Input, MessageId, Payload, Refusal, Time, TopicId, WhyDown,
};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::book::{Book, Source};
use super::channels::agreed::AgreedChannels;
use super::channels::change::{Change, ChangeEpoch};
use super::channels::orders::{OpenOrders, OrderEnd, Wish};
use super::decisions::{Decision, DecisionLog};
use super::identity::NodeId;
use super::machine::{Machine, MachineConfig, MachineInput, MachineTimer, Readings, machine};
use super::parted::Parted;
use super::payload::{Addressed, Sort};
use super::relay::router::RelayRouter;
use super::seeds::{SeedAnswer, Seeds};
use super::serving::Serving;
use super::strangers::Strangers;
use super::summaries::{Spread, Summary};
use super::timers::Timers;
use super::topology::{self, OrderedBy, Topology, TrialPlan};
use super::view::{PartedView, View};
use super::words::{Greeting, Introduction, Word};
use crate::error::ChannelError;
use crate::events::Event;
use crate::restraint::Side;

/// How often a node without a neighbor asks a member. 1 s: a guess, some round trips.
const ALONE_EVERY: Duration = Duration::from_secs(1);

/// How often nodes that are no members are forgotten, and what was ordered is compared with a neighbor. 60 s: a guess, far above the time
/// that a join takes.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// What this node says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) incarnation: u64,
    /// Where others find it, best first.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The overlay that the cluster begins with.
    pub(crate) first: OverlayKind,
    /// Of a client-server overlay at the beginning: its servers.
    pub(crate) servers: Vec<String>,
    /// Whether it is to be a server, and how much it can carry.
    pub(crate) fitness: Fitness,
    /// In which zone it runs; empty: in none.
    pub(crate) zone: String,
    /// Names of the discoveries that look for seeds.
    pub(crate) discoveries: Vec<String>,
}

/// What happens to the node.
#[derive(Debug)]
pub(super) enum Happening {
    /// A lane to that peer is up.
    LaneUp(Arc<str>),
    /// The last lane to that peer has ended, or none could be made.
    LaneDown(Arc<str>, WhyDown),
    /// What was for that peer found no lane for long, or no room on it.
    Unsent(Arc<str>),
    /// That peer lets this node in no more than it did: it says why.
    Refused(Arc<str>, String),
    /// A peer's control shard said something.
    Received { from: Arc<str>, bytes: Bytes },
    /// There is no more room for payloads to that peer.
    Congested(Arc<str>),
    /// There is room again.
    Drained(Arc<str>),
    /// The cluster is to be entered at these places.
    Join(Vec<String>),
    /// A discovery, by its number, finds these places now.
    Discovered {
        discovery: usize,
        places: Vec<String>,
    },
    /// It could not look, and why.
    DiscoveryFailed { discovery: usize, why: String },
    /// What came of asking at a seed's place.
    Seed(SeedAnswer),
    /// The application has decided that.
    Decide(Bytes),
    /// A channel is to be changed on every node.
    ChangeChannel(Wish),
    /// How a change of a channel ended at this node.
    ChannelChanged {
        channel: String,
        epoch: ChangeEpoch,
        outcome: Result<(), ChannelError>,
    },
    /// A way to that member is needed, over so many nodes at most.
    FindWay { to: NodeId, ttl: u8 },
    /// That member is to say goodbye.
    Evict(NodeId),
    /// An order of the application.
    Order(Command<NodeId>),
    /// The application wants this delivered by all live members or by none.
    Atomic(Payload),
    /// The application publishes this.
    Publish { topic: TopicId, body: Bytes },
    /// Another overlay is ordered.
    Switch {
        kind: OverlayKind,
        servers: Vec<NodeId>,
        /// Where and for how long it is tried first; none: it is not.
        trial: Option<TrialPlan>,
        by: OrderedBy,
    },
    /// What shards count now.
    Readings(topology::Readings),
    /// What this node says of what it counts.
    Counted(Summary),
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Deed {
    /// Send that to a peer's control shard: on the engine's own channel, or on the one that is named.
    Send {
        to: Arc<str>,
        word: Bytes,
        channel: Option<String>,
    },
    /// Keep a lane to that peer.
    Keep {
        peer: Arc<str>,
        addresses: Arc<[SocketAddr]>,
    },
    /// That peer is to be found there when there is something to send; no lane to it needs to be kept.
    Reach {
        peer: Arc<str>,
        addresses: Arc<[SocketAddr]>,
    },
    /// Nothing is wanted of that peer any more.
    Release(Arc<str>),
    /// The cluster is parted, and this node on that side; none: it is whole again.
    TakeSide(Option<Side>),
    /// Find out what shards count, for rules of the topology.
    Measure,
    /// Find out what the node counts, for other members.
    Count,
    /// Find out who is at these places.
    Ask(Vec<String>),
    /// Tell whoever follows events.
    Tell(Event),
    /// A broadcast came: give it to its mailbox on this node.
    Deliver {
        from: Arc<str>,
        /// Nodes that it passed, this one included.
        hops: u16,
        message: Addressed,
    },
    /// Other nodes have decided that.
    Merge(Vec<Decision>),
    /// Make that change of a channel at this node.
    ChangeChannel(Change),
    /// An order to change a channel on every node has ended.
    ChannelOrderEnded { token: u64, end: OrderEnd },
    /// There is a way to that member now.
    WayFound(NodeId),
    /// So many broadcasts of others will not be delivered here, as they did not come in time.
    Missed { sort: Sort, messages: u64 },
    /// An atomic broadcast of this node has ended.
    AtomicEnded {
        id: MessageId,
        outcome: AtomicOutcome<Arc<str>>,
    },
    /// An order was not carried out.
    Refuse {
        command: Box<Command<NodeId>>,
        why: Refusal,
    },
    /// A peer broke the rules.
    Accuse { peer: Arc<str>, why: DecodeError },
}

/// Timers of the driver, besides those of the protocols.
#[derive(Debug)]
enum Timer {
    Machine(MachineTimer),
    /// A lane should be up by now.
    Connected(NodeId),
    /// Nodes that are no members any more may be forgotten.
    Prune,
    /// Orders to change channels are open.
    Changes,
    /// Servers are gone.
    Servers,
    /// The node may have been left without a neighbor.
    Alone,
    /// Summaries are made and told.
    Summaries,
}

/// What tells two views apart, without a look at every member.
#[derive(Debug, PartialEq, Eq)]
struct Glance {
    members: u64,
    overlay: Epoch<NodeId>,
    next: Option<Epoch<NodeId>>,
    neighbors: u64,
    /// How many names are known: that of a neighbor may be among the new ones.
    names: usize,
    coordinator: Option<NodeId>,
    /// On which side of a partition the node is.
    side: Option<Side>,
    joins: u64,
    is_joined: bool,
    has_left: bool,
    seeds: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Driver {
    me: NodeId,
    identity: Identity,
    greeting: Bytes,
    machine: Machine,
    random: Xoshiro256PlusPlus,
    timers: Timers<Timer>,
    book: Book,
    strangers: Strangers,
    seeds: Seeds,
    topology: Topology,
    serving: Serving,
    /// The partition that lasts, as far as this node knows.
    parted: Option<Parted>,
    decisions: DecisionLog,
    channels: AgreedChannels,
    channel_orders: OpenOrders,
    router: RelayRouter,
    summaries: Spread,
    /// Peers with a lane, and when something came from each last.
    lanes: BTreeMap<NodeId, Time>,
    /// Peers whose lanes are up still, as far as the kernel knows, and that were found to be silent: to the protocols
    /// there is no lane.
    silent: BTreeSet<NodeId>,
    /// Peers to which the overlay wants a lane.
    kept: BTreeSet<NodeId>,
    /// Peers of which it was said where they are to be found: it is said again when they move.
    reached: BTreeMap<NodeId, Arc<[SocketAddr]>>,
    /// What is still to be given to the protocols.
    inputs: VecDeque<(MachineInput, Option<NodeId>)>,
    /// Strangers to be asked for, of one informant.
    asking: Vec<NodeId>,
    /// How often it was ordered to join.
    joins: u64,
    has_left: bool,
    /// The timer for a node without a neighbor is set.
    is_seeking: bool,
    /// Times that a neighbor came or went.
    neighbors: u64,
    /// The most broadcasts of others that were given up: so many were told.
    given_up: u64,
    /// What was shown last.
    shown: Option<Glance>,
}

impl Driver {
    /// Of a node that knows only itself. `seed` begins its random numbers.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] names what of the identity is out of bounds.
    pub(super) fn new(
        identity: Identity,
        config: MachineConfig,
        seed: u64,
    ) -> Result<Self, DecodeError> {
        let me = NodeId::of(&identity.name);
        let details = Details {
            name: identity.name.to_string(),
            addresses: identity.addresses.clone(),
            metadata: Vec::new(),
            fitness: identity.fitness,
            zone: identity.zone.clone(),
        };
        let servers = identity.servers.iter().map(|name| NodeId::of(name));
        let topology = Topology::new(me, config.topology.clone(), identity.first);
        let serving = Serving::new(config.serving);
        let summaries = Spread::new(me, identity.incarnation, config.summaries_every);
        let machine = machine(
            me,
            identity.incarnation,
            details,
            identity.first,
            servers.collect(),
            config,
        )?;
        let greeting = Word::of_greeting(&Greeting {
            first: identity.first,
            node: Introduction {
                name: identity.name.to_string(),
                addresses: identity.addresses.clone(),
            },
        });
        let here = identity.addresses.clone();
        let discoveries = identity.discoveries.clone();
        let mut timers = Timers::new();
        timers.set(Time::ZERO + PRUNE_EVERY, Timer::Prune);
        timers.set(Time::ZERO + ALONE_EVERY, Timer::Alone);
        if !summaries.period().is_zero() {
            timers.set(Time::ZERO + summaries.period(), Timer::Summaries);
        }
        let decisions = DecisionLog::new(Arc::clone(&identity.name), identity.incarnation);
        let mut book = Book::default();
        book.learn(&identity.name, &identity.addresses, Source::Itself);
        Ok(Self {
            me,
            identity,
            greeting,
            machine,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            timers,
            book,
            strangers: Strangers::default(),
            seeds: Seeds::new(me, here, discoveries),
            topology,
            serving,
            parted: None,
            decisions,
            channels: AgreedChannels::default(),
            channel_orders: OpenOrders::default(),
            router: RelayRouter::new(me, seed),
            summaries,
            lanes: BTreeMap::new(),
            silent: BTreeSet::new(),
            kept: BTreeSet::new(),
            reached: BTreeMap::new(),
            inputs: VecDeque::from([(Input::Start, None)]),
            asking: Vec::new(),
            joins: 0,
            has_left: false,
            is_seeking: true,
            neighbors: 0,
            given_up: 0,
            shown: None,
        })
    }

    /// When [`run_due`](Self::run_due) has something to do.
    pub(super) fn next(&self) -> Option<Time> {
        let times = [self.timers.next(), self.strangers.next(), self.seeds.next()];
        let look = self.topology.next();
        times.into_iter().flatten().chain([look]).min()
    }

    /// Does what is due by `now`.
    pub(super) fn run_due(&mut self, now: Time, out: &mut Vec<Deed>) {
        self.run(now, out);
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Machine(id) => self.give(Input::Timer(id), None),
                Timer::Connected(peer) => self.connect_is_late(peer, out),
                Timer::Prune => self.prune(now, out),
                Timer::Alone => self.seek_company(now),
                Timer::Changes => self.look_at_changes(now, out),
                Timer::Servers => self.replace_servers(now, out),
                Timer::Summaries => self.begin_summaries(now, out),
            }
            self.run(now, out);
        }
        for peer in self.strangers.take_given_up(now) {
            self.give_down(peer, WhyDown::TimedOut);
        }
        if self.seeds.next().is_some_and(|at| at <= now) {
            self.ask_seeds(now, out);
        }
        self.look(now, out);
        self.run(now, out);
        self.tell_given_up(out);
    }

    /// Takes what happened.
    pub(super) fn handle(&mut self, now: Time, happening: Happening, out: &mut Vec<Deed>) {
        match happening {
            Happening::LaneUp(name) => self.lane_up(&name, now, out),
            Happening::LaneDown(name, why) => self.lane_down(&name, why, now, out),
            Happening::Unsent(name) => {
                self.lane_is_of_no_use(NodeId::of(&name), WhyDown::Lost, out)
            }
            Happening::Refused(name, why) => self.seeds.refused(NodeId::of(&name), &why),
            Happening::Received { from, bytes } => self.received(&from, &bytes, now, out),
            Happening::Congested(name) => self.give(Input::Congested(NodeId::of(&name)), None),
            Happening::Drained(name) => self.give(Input::Drained(NodeId::of(&name)), None),
            Happening::Join(places) => {
                self.joins += 1;
                self.seeds.add(places, now);
            }
            Happening::Discovered { discovery, places } => {
                let is_joined = self.is_joined();
                self.seeds.discovered(discovery, places, now, is_joined);
            }
            Happening::DiscoveryFailed { discovery, why } => {
                self.seeds.discovery_failed(discovery, why);
            }
            Happening::Seed(answer) => self.seed_answered(answer),
            Happening::Decide(payload) => self.decide(payload, out),
            Happening::ChangeChannel(wish) => self.change_channel(now, wish, out),
            Happening::ChannelChanged {
                channel,
                epoch,
                outcome,
            } => self.channel_changed(now, &channel, epoch, outcome, out),
            Happening::Evict(member) => self.send_word(member, Word::of_evict(), None, out),
            Happening::FindWay { to, ttl } => self.find_way(to, ttl, out),
            Happening::Order(command) => {
                if command == Command::Leave {
                    self.seeds.clear();
                }
                self.give(Input::Command(command), None);
            }
            Happening::Atomic(payload) => self.broadcast_atomically(payload),
            Happening::Publish { topic, body } => self.publish(topic, body),
            Happening::Switch {
                kind,
                servers,
                trial,
                by,
            } => self.switch(kind, servers, trial, by, out),
            Happening::Readings(readings) => self.topology.read(now, readings),
            Happening::Counted(summary) => self.counted(now, &summary, out),
        }
        self.run(now, out);
        self.tell_given_up(out);
    }

    /// Whether the node is a member of a cluster with others, or is to be one by itself.
    fn is_joined(&self) -> bool {
        let has_company = self.machine.members().live() > 1 && !self.lanes.is_empty();
        has_company || self.seeds.are_this_node()
    }

    /// The epoch of the overlay that is being changed to.
    pub(super) fn next_epoch(&self) -> Option<u64> {
        let next = self.machine.next_overlay()?;
        Some(next.epoch.number)
    }

    /// The last atomic broadcast of this node.
    pub(super) fn last_atomic(&self) -> Option<MessageId> {
        self.machine.last_atomic()
    }

    /// What can be seen of the cluster from here, if that is something else than when it was last asked.
    pub(super) fn take_changed_view(&mut self) -> Option<View> {
        let glance = Some(self.glance());
        if self.shown == glance {
            return None;
        }
        self.shown = glance;
        Some(self.view())
    }

    fn glance(&self) -> Glance {
        let next = self.machine.next_overlay();
        Glance {
            members: self.machine.members().changes(),
            overlay: self.machine.overlay().epoch,
            next: next.map(|next| next.epoch),
            neighbors: self.neighbors,
            names: self.book.len(),
            coordinator: self.machine.coordinator(),
            side: self.parted.as_ref().map(Parted::side),
            joins: self.joins,
            is_joined: self.is_joined(),
            has_left: self.has_left,
            seeds: self.seeds.changes(),
        }
    }

    /// What can be seen of the cluster from here.
    pub(super) fn view(&self) -> View {
        let neighbors = self.machine.neighbors().into_iter();
        View {
            me: self.me,
            members: self.machine.members().clone(),
            overlay: self.machine.overlay().clone(),
            next_overlay: self.machine.next_overlay().cloned(),
            neighbors: neighbors.map(|id| (id, self.book.name(id))).collect(),
            coordinator: self.machine.coordinator(),
            parted: self.parted.as_ref().map(|parted| {
                let (here, there) = parted.sides();
                PartedView {
                    here: self.names(here),
                    there: self.names(there),
                    has_quorum: parted.side() == Side::Quorum,
                }
            }),
            joins: self.joins,
            is_joined: self.is_joined(),
            has_left: self.has_left,
            seeds: self.seeds.places(),
            seed_failures: self.seeds.failures(),
        }
    }
}
