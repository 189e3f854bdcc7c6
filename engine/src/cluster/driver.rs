//! The driver of a node's cluster protocols: what happens to the node goes in, what is to be done comes out.
//!
//! It owns the protocols (`machine`), their timers, the address book and the seeds, and knows names and addresses
//! where they know identities. It has no socket, clock or thread: [`super::ClusterShard`] hands it what happens
//! with the time, and does what it says. What it must never do: wait, and keep more than its bounds for a peer.

mod looking;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use overlane_overlays::epoch::OverlayKind;
use overlane_overlays::membership::Details;
use overlane_overlays::{
    Command, DecodeError, Delivery, Input, Message, Output, Protocol, Refusal, Time, WhyDown,
};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;

use super::book::{Book, Source};
use super::identity::NodeId;
use super::machine::{
    Machine, MachineConfig, MachineEvent, MachineInput, MachineMessage, MachineTimer, Readings,
    machine,
};
use super::payload::Addressed;
use super::seeds::{SeedAnswer, Seeds};
use super::strangers::{Stranger, Strangers};
use super::timers::Timers;
use super::topology::{self, OrderedBy, Topology};
use super::view::View;
use super::words::{Greeting, Introduction, NODES_MAX, Word};
use crate::events::Event;

/// How long a lane may take from the order to keep it, before it is taken for failed. 10 s: longer than the
/// dial and the handshake of a shard by their default deadlines.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How often a node without a neighbor asks a member. 1 s: a guess, some round trips.
const ALONE_EVERY: Duration = Duration::from_secs(1);

/// How long nothing must have come from a member that others suspect, until its lane counts as none. 3 s: neighbors hear
/// from each other each second or two.
const SILENT_FOR: Duration = Duration::from_secs(3);

/// How often nodes that are no members are forgotten. 60 s: a guess, far above the time that a join takes.
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
}

/// What happens to the node.
#[derive(Debug)]
pub(super) enum Happening {
    /// A lane to that peer is up.
    LaneUp(Arc<str>),
    /// The last lane to that peer has ended, or none could be made.
    LaneDown(Arc<str>, WhyDown),
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
    /// What came of asking at a seed's place.
    Seed(SeedAnswer),
    /// An order of the application.
    Order(Command<NodeId>),
    /// Another overlay is ordered.
    Switch {
        kind: OverlayKind,
        servers: Vec<NodeId>,
        by: OrderedBy,
    },
    /// What shards count now.
    Readings(topology::Readings),
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
    /// Find out what shards count.
    Measure,
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
    /// The node may have been left without a neighbor.
    Alone,
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
        };
        let servers = identity.servers.iter().map(|name| NodeId::of(name));
        let topology = Topology::new(me, config.topology.clone(), identity.first);
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
        let mut timers = Timers::new();
        timers.set(Time::ZERO + PRUNE_EVERY, Timer::Prune);
        timers.set(Time::ZERO + ALONE_EVERY, Timer::Alone);
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
            seeds: Seeds::new(me),
            topology,
            lanes: BTreeMap::new(),
            silent: BTreeSet::new(),
            kept: BTreeSet::new(),
            reached: BTreeMap::new(),
            inputs: VecDeque::from([(Input::Start, None)]),
            asking: Vec::new(),
            joins: 0,
            has_left: false,
        })
    }

    /// When [`run_due`](Self::run_due) has something to do.
    pub(super) fn next(&self) -> Option<Time> {
        let times = [self.timers.next(), self.strangers.next(), self.seeds.next()];
        let look = Some(self.topology.next());
        times.into_iter().chain([look]).flatten().min()
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
            }
            self.run(now, out);
        }
        for peer in self.strangers.take_given_up(now) {
            self.give_down(peer, WhyDown::TimedOut);
        }
        let table = self.machine.members();
        let is_member = |id| table.get(&id).is_some_and(|entry| entry.status.is_live());
        let places = self.seeds.due(now, self.is_joined(), is_member);
        if !places.is_empty() {
            out.push(Deed::Ask(places));
        }
        self.look(now, out);
        self.run(now, out);
    }

    /// Takes what happened.
    pub(super) fn handle(&mut self, now: Time, happening: Happening, out: &mut Vec<Deed>) {
        match happening {
            Happening::LaneUp(name) => self.lane_up(&name, now, out),
            Happening::LaneDown(name, why) => self.lane_down(&name, why, now, out),
            Happening::Refused(name, why) => self.seeds.refused(NodeId::of(&name), &why),
            Happening::Received { from, bytes } => self.received(&from, &bytes, now, out),
            Happening::Congested(name) => self.give(Input::Congested(NodeId::of(&name)), None),
            Happening::Drained(name) => self.give(Input::Drained(NodeId::of(&name)), None),
            Happening::Join(places) => {
                self.joins += 1;
                self.seeds.add(places, now);
            }
            Happening::Seed(answer) => self.seed_answered(answer),
            Happening::Order(command) => {
                if command == Command::Leave {
                    self.seeds.clear();
                }
                self.give(Input::Command(command), None);
            }
            Happening::Switch { kind, servers, by } => self.switch(kind, servers, by),
            Happening::Readings(readings) => self.topology.read(now, readings),
        }
        self.run(now, out);
    }

    /// Whether the node is a member of a cluster with others, or is to be one by itself.
    fn is_joined(&self) -> bool {
        let has_company = self.machine.members().live() > 1 && !self.lanes.is_empty();
        has_company || self.seeds.are_this_node()
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
            joins: self.joins,
            is_joined: self.is_joined(),
            has_left: self.has_left,
            seed_failures: self.seeds.failures(),
        }
    }
}

/// What happens outside.
impl Driver {
    fn lane_up(&mut self, name: &str, now: Time, out: &mut Vec<Deed>) {
        let peer = NodeId::of(name);
        self.book.learn(name, &[], Source::Itself);
        self.silent.remove(&peer);
        if self.lanes.insert(peer, now).is_none() {
            self.send_word(peer, self.greeting.clone(), None, out);
            if let Some(stranger) = self.strangers.met(peer) {
                self.meet(peer, stranger, now, out);
            }
        }
        self.give(Input::PeerUp(peer), None);
    }

    fn lane_down(&mut self, name: &str, why: WhyDown, now: Time, out: &mut Vec<Deed>) {
        let peer = NodeId::of(name);
        self.silent.remove(&peer);
        let was_up = self.lanes.remove(&peer).is_some();
        if was_up && matches!(why, WhyDown::Lost | WhyDown::TimedOut) {
            self.topology.lane_lost(now);
        }
        // The overlay says anew whether it wants one.
        if self.kept.remove(&peer) {
            self.reach(peer, out);
        }
        self.give_down(peer, why);
    }

    /// Something came from a peer: one that was silent has its lane again.
    fn heard(&mut self, peer: NodeId, now: Time) {
        if self.silent.remove(&peer) {
            self.lanes.insert(peer, now);
            self.give(Input::PeerUp(peer), None);
        } else if let Some(heard) = self.lanes.get_mut(&peer) {
            *heard = now;
        }
    }

    /// A member is suspected, or down. If nothing came from it here either, its lane leads nowhere, and is not
    /// waited for until the kernel or the idle time-out says so: meanwhile the overlay would have a hole.
    fn doubt(&mut self, peer: NodeId, now: Time, out: &mut Vec<Deed>) {
        let is_silent = |heard: &Time| now.since(*heard) >= SILENT_FOR;
        if !self.lanes.get(&peer).is_some_and(is_silent) {
            return;
        }
        self.lanes.remove(&peer);
        self.silent.insert(peer);
        if self.kept.remove(&peer) {
            self.reach(peer, out);
        }
        self.give_down(peer, WhyDown::TimedOut);
    }

    fn connect_is_late(&mut self, peer: NodeId, out: &mut Vec<Deed>) {
        if self.lanes.contains_key(&peer) || !self.kept.remove(&peer) {
            return;
        }
        self.reach(peer, out);
        self.give_down(peer, WhyDown::TimedOut);
    }

    /// Forgets where nodes are that nobody counts as members, dead or alive, and that have no lane.
    fn prune(&mut self, now: Time, out: &mut Vec<Deed>) {
        self.timers.set(now + PRUNE_EVERY, Timer::Prune);
        let (members, lanes, kept) = (self.machine.members(), &self.lanes, &self.kept);
        let is_needed = |id: NodeId| {
            members.get(&id).is_some() || lanes.contains_key(&id) || kept.contains(&id)
        };
        for name in self.book.forget_all_but(is_needed) {
            self.release(name, out);
        }
    }

    /// Nothing is wanted of a node any more.
    fn release(&mut self, name: Arc<str>, out: &mut Vec<Deed>) {
        self.reached.remove(&NodeId::of(&name));
        out.push(Deed::Release(name));
    }

    /// A node without a neighbor that knows members asks one of them to be let in again, another one each time: after
    /// a split, most of those that the overlay remembers may be out of reach.
    fn seek_company(&mut self, now: Time) {
        self.timers.set(now + ALONE_EVERY, Timer::Alone);
        if self.has_left || !self.machine.neighbors().is_empty() {
            return;
        }
        let members = self.machine.members().iter();
        let others = members.filter(|entry| entry.status.is_live() && entry.peer != self.me);
        let ids = others.map(|entry| entry.peer);
        let ids = ids.filter(|id| !self.silent.contains(id));
        if let Some(id) = ids.choose(&mut self.random) {
            self.give(Input::Command(Command::Join(id)), None);
        }
    }

    fn seed_answered(&mut self, answer: SeedAnswer) {
        match answer.found {
            Ok((name, address)) => {
                let id = NodeId::of(&name);
                self.seeds.found(&answer.place, id);
                if id != self.me {
                    self.book.learn(&name, &[address], Source::Seed);
                    self.give(Input::Command(Command::Join(id)), None);
                }
            }
            Err(why) => self.seeds.failed(&answer.place, why),
        }
    }

    fn received(&mut self, from: &Arc<str>, bytes: &Bytes, now: Time, out: &mut Vec<Deed>) {
        let peer = NodeId::of(from);
        self.heard(peer, now);
        match Word::read(bytes) {
            Ok(Word::Machine(message)) => {
                self.give(
                    Input::Received {
                        from: peer,
                        message,
                    },
                    Some(peer),
                );
            }
            Ok(Word::Greeting(greeting)) => self.greeted(from, greeting, out),
            Ok(Word::Nodes(nodes)) => {
                for node in nodes {
                    self.introduced(&node, now, out);
                }
            }
            Ok(Word::WhoIs(ids)) => self.answer(peer, &ids, out),
            Ok(Word::Ping(number)) => self.answer_ping(now, peer, number, out),
            Ok(Word::Pong(number, report)) => self.topology.answered(now, peer, number, report),
            Err(why) => out.push(Deed::Accuse {
                peer: Arc::clone(from),
                why,
            }),
        }
    }

    fn greeted(&mut self, from: &Arc<str>, greeting: Greeting, out: &mut Vec<Deed>) {
        if greeting.node.name != **from {
            let why = DecodeError::Invalid { field: "name" };
            let peer = Arc::clone(from);
            out.push(Deed::Accuse { peer, why });
            return;
        }
        if greeting.first != self.identity.first {
            out.push(Deed::Tell(Event::OtherOverlay {
                node: Arc::clone(from),
                theirs: greeting.first,
                ours: self.identity.first,
            }));
        }
        let addresses = &greeting.node.addresses;
        self.book.learn(from, addresses, Source::Itself);
    }

    fn introduced(&mut self, node: &Introduction, now: Time, out: &mut Vec<Deed>) {
        self.book
            .learn(&node.name, &node.addresses, Source::Hearsay);
        let id = NodeId::of(&node.name);
        if let Some(stranger) = self.strangers.met(id) {
            self.meet(id, stranger, now, out);
        }
    }

    /// Tells a peer where others are, as far as it is known.
    fn answer(&mut self, peer: NodeId, ids: &[NodeId], out: &mut Vec<Deed>) {
        let known = ids.iter().filter_map(|id| self.book.get(*id));
        let nodes: Vec<_> = known
            .filter(|known| !known.addresses.is_empty())
            .map(|known| Introduction {
                name: known.name.to_string(),
                addresses: known.addresses.to_vec(),
            })
            .collect();
        if !nodes.is_empty() {
            self.send_word(peer, Word::of_nodes(&nodes), None, out);
        }
    }

    /// It is known now where a node is.
    fn meet(&mut self, peer: NodeId, stranger: Stranger, now: Time, out: &mut Vec<Deed>) {
        if stranger.keep {
            self.connect(peer, now, out);
        }
        for message in stranger.messages {
            self.send_word(peer, message, None, out);
        }
    }
}

/// What the protocols want.
impl Driver {
    fn give(&mut self, input: MachineInput, informant: Option<NodeId>) {
        self.inputs.push_back((input, informant));
    }

    fn give_down(&mut self, peer: NodeId, why: WhyDown) {
        self.give(Input::PeerDown { peer, why }, None);
    }

    /// Gives the protocols their inputs until there is none left.
    fn run(&mut self, now: Time, out: &mut Vec<Deed>) {
        while let Some((input, informant)) = self.inputs.pop_front() {
            let mut outputs = Vec::new();
            self.machine
                .handle(now, input, &mut self.random, &mut outputs);
            for output in outputs {
                self.carry_out(output, now, out);
            }
            self.ask_for_strangers(informant, out);
        }
    }

    fn carry_out(
        &mut self,
        output: Output<NodeId, MachineMessage, MachineTimer>,
        now: Time,
        out: &mut Vec<Deed>,
    ) {
        match output {
            Output::Send { to, message } => self.send(&[to], &message, now, out),
            Output::SendAll { to, message } => self.send(&to, &message, now, out),
            Output::Connect(peer) => self.connect(peer, now, out),
            Output::Disconnect(peer) => {
                self.strangers.release(peer);
                if self.kept.remove(&peer) {
                    self.reach(peer, out);
                }
            }
            Output::SetTimer { id, after } => self.timers.set(now + after, Timer::Machine(id)),
            Output::Event(event) => self.told(event, now, out),
            // An order that none of the protocols owns.
            Output::Below(_) => {}
        }
    }

    fn send(&mut self, to: &[NodeId], message: &MachineMessage, now: Time, out: &mut Vec<Deed>) {
        let word = Word::of_machine(message);
        let tail = message.tail();
        let channel = Addressed::channel_of(&tail);
        let me = self.me;
        for peer in to.iter().filter(|peer| **peer != me) {
            if self.is_known(*peer) {
                self.send_word(*peer, word.clone(), channel, out);
            } else if self.strangers.send(*peer, word.clone(), now) {
                self.asking.push(*peer);
            }
        }
    }

    /// Whether it can be sent to: it has a lane, or can be dialled.
    fn is_known(&self, peer: NodeId) -> bool {
        let known = self.book.get(peer);
        known.is_some_and(|known| !known.addresses.is_empty() || self.lanes.contains_key(&peer))
    }

    fn send_word(&mut self, peer: NodeId, word: Bytes, channel: Option<&str>, out: &mut Vec<Deed>) {
        let Some(known) = self.book.get(peer) else {
            return;
        };
        let to = Arc::clone(&known.name);
        if !self.lanes.contains_key(&peer) {
            self.reach(peer, out);
        }
        out.push(Deed::Send {
            to,
            word,
            channel: channel.map(str::to_owned),
        });
    }

    /// A peer is to be found where the book says, and nothing more is wanted of it.
    fn reach(&mut self, peer: NodeId, out: &mut Vec<Deed>) {
        if let Some(known) = self.book.get(peer)
            && self.reached.get(&peer) != Some(&known.addresses)
        {
            self.reached.insert(peer, Arc::clone(&known.addresses));
            out.push(Deed::Reach {
                peer: Arc::clone(&known.name),
                addresses: Arc::clone(&known.addresses),
            });
        }
    }

    fn connect(&mut self, peer: NodeId, now: Time, out: &mut Vec<Deed>) {
        if peer == self.me {
            return;
        }
        if !self.is_known(peer) {
            if self.strangers.keep(peer, now) {
                self.asking.push(peer);
            }
            return;
        }
        self.kept.insert(peer);
        self.reached.remove(&peer);
        if let Some(known) = self.book.get(peer)
            && !known.addresses.is_empty()
        {
            out.push(Deed::Keep {
                peer: Arc::clone(&known.name),
                addresses: Arc::clone(&known.addresses),
            });
        }
        if self.lanes.contains_key(&peer) {
            self.give(Input::PeerUp(peer), None);
        } else {
            self.timers.set(now + CONNECT_MAX, Timer::Connected(peer));
        }
    }

    /// Asks the peer whose message named strangers where they are; without one, any peer.
    fn ask_for_strangers(&mut self, informant: Option<NodeId>, out: &mut Vec<Deed>) {
        let strangers = std::mem::take(&mut self.asking);
        if strangers.is_empty() {
            return;
        }
        let informant = informant.filter(|peer| self.lanes.contains_key(peer));
        let any = || self.lanes.keys().choose(&mut self.random).copied();
        if let Some(peer) = informant.or_else(any) {
            for ids in strangers.chunks(NODES_MAX) {
                self.send_word(peer, Word::who_is(ids), None, out);
            }
        }
    }
}

/// What the protocols tell.
impl Driver {
    fn told(&mut self, event: MachineEvent, now: Time, out: &mut Vec<Deed>) {
        self.note(&event, now);
        let event = match event {
            MachineEvent::MemberUp(id) => {
                let Some(incarnation) = self.learn_member(id, out) else {
                    return;
                };
                Event::MemberUp {
                    member: self.book.name(id),
                    incarnation,
                }
            }
            MachineEvent::MemberChanged(id) => {
                self.learn_member(id, out);
                Event::MemberChanged {
                    member: self.book.name(id),
                }
            }
            MachineEvent::MemberSuspect(id) => {
                self.doubt(id, now, out);
                Event::MemberSuspect {
                    member: self.book.name(id),
                }
            }
            MachineEvent::MemberDown(id) => {
                self.doubt(id, now, out);
                let member = self.book.name(id);
                self.release(Arc::clone(&member), out);
                Event::MemberDown { member }
            }
            MachineEvent::MemberLeft(id) => {
                let member = self.book.name(id);
                self.release(Arc::clone(&member), out);
                Event::MemberLeft { member }
            }
            MachineEvent::NeighborUp(id) => Event::NeighborUp {
                node: self.book.name(id),
            },
            MachineEvent::NeighborDown(id) => Event::NeighborDown {
                node: self.book.name(id),
            },
            MachineEvent::Coordinator(id) => Event::Coordinator {
                member: self.book.name(id),
            },
            MachineEvent::Partitioned { here, there } => Event::Partitioned {
                here: self.names(here),
                there: self.names(there),
            },
            MachineEvent::Healed { missing } => Event::Healed {
                missing: self.names(missing),
            },
            MachineEvent::Switching { epoch, kind, step } => Event::Overlay {
                epoch: epoch.number,
                kind,
                step,
            },
            MachineEvent::Delivered(delivery) => return self.delivered(&delivery, out),
            MachineEvent::Refused { command, why } => {
                let command = Box::new(command);
                out.push(Deed::Refuse { command, why });
                return;
            }
            MachineEvent::Left => {
                self.has_left = true;
                Event::Left
            }
            // Of layers that this node does not have, and of the halves of a switch among themselves.
            MachineEvent::Atomic { .. }
            | MachineEvent::Written { .. }
            | MachineEvent::Relayed { .. }
            | MachineEvent::Epoch(_)
            | MachineEvent::Missed { .. } => return,
        };
        out.push(Deed::Tell(event));
    }

    fn names(&self, ids: Vec<NodeId>) -> Arc<[Arc<str>]> {
        ids.into_iter().map(|id| self.book.name(id)).collect()
    }

    /// Notes where a member is to be found. Its incarnation; none if it gave itself the name of another node.
    fn learn_member(&mut self, id: NodeId, out: &mut Vec<Deed>) -> Option<u64> {
        let entry = self.machine.members().get(&id)?;
        let Details {
            name, addresses, ..
        } = &*entry.details;
        if NodeId::of(name) != id {
            return None;
        }
        self.book.learn(name, addresses, Source::Itself);
        let incarnation = entry.version.incarnation;
        if id != self.me && !self.kept.contains(&id) {
            self.reach(id, out);
        }
        Some(incarnation)
    }

    fn delivered(&self, delivery: &Delivery<NodeId>, out: &mut Vec<Deed>) {
        if let Some(message) = Addressed::read(&delivery.payload.body) {
            let from = self.book.name(delivery.sender);
            out.push(Deed::Deliver {
                from,
                hops: delivery.hops,
                message,
            });
        }
    }
}
