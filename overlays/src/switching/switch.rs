//! The switch: up to two overlays of one node, which look like one.
//!
//! Its neighbors are those of both, so the broadcast above has the links of the new overlay before it
//! loses those of the old. Carries out the orders of the [`super::Conductor`] and decides nothing,
//! but that a node which speaks in an unknown epoch is told the state of this one.
//!
//! The overlays share lanes. Every lane that is up is told to both, whoever asked for it; it is given
//! up when neither uses it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rand::Rng;
use serde::Serialize;

use super::any::{AnyMessage, AnyOverlay, AnyTimer, Overlays};
use super::message::Message;
use super::slot::Slot;
use crate::epoch::{Epoch, Links, Order, OverlayKind, Proposal, Report};
use crate::event::{
    Command, Event, Input, InputOf, Output, OutputOf, Overlay, Peer, Protocol, Refusal, TopicId,
    WhyDown,
};
use crate::time::Time;

/// Settings of a [`Switch`].
#[derive(Clone, Debug)]
pub struct SwitchConfig {
    /// Of the overlays.
    pub overlays: Overlays,
    /// How long the overlay before goes on beside the one in force. 5 s: a guess, longer than a commit
    /// takes to reach everybody and than what is under way takes to arrive.
    pub retire_after: Duration,
    /// How often a node that lacks neighbors in a new overlay tries another way in; the first time
    /// after a random part of it. 1 s: a guess, some round trips.
    pub join_every: Duration,
    /// How long answers to a probe are gathered before they are passed on. 50 ms: a guess, the time of
    /// a lane or two.
    pub gather_for: Duration,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        Self {
            overlays: Overlays::default(),
            retire_after: Duration::from_secs(5),
            join_every: Duration::from_secs(1),
            gather_for: Duration::from_millis(50),
        }
    }
}

/// Most nodes told the state per second, as each of them may have made us do so. 256: a guess, a quarter
/// of the largest full mesh.
const STATES_PER_SECOND_MAX: u32 = 256;

/// Timers of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Timer {
    /// Of an overlay.
    Overlay {
        /// Which one.
        life: u32,
        /// What it calls it.
        id: AnyTimer,
    },
    /// What is still missing in a new overlay can be tried again.
    Try,
    /// Those reached by a probe can be passed on.
    PassOn {
        /// In which overlay.
        life: u32,
    },
    /// An overlay that is no longer in force can be closed.
    Retire {
        /// Which one.
        life: u32,
    },
}

pub(super) type Out<P> = Vec<Output<P, Message<P>, Timer>>;
pub(super) type SlotInput<P> = Input<P, AnyMessage<P>, AnyTimer>;

/// The overlays of one node.
#[derive(Debug)]
pub struct Switch<P> {
    pub(super) me: P,
    pub(super) config: SwitchConfig,
    /// One or two, in order of their epochs; none once the node has left.
    pub(super) slots: Vec<Slot<P>>,
    pub(super) current: Epoch<P>,
    /// Live members while an overlay is being built: ways in.
    pub(super) members: BTreeSet<P>,
    /// Lanes that are up.
    pub(super) lanes: BTreeSet<P>,
    /// Topics that this node takes part in, whatever the overlay.
    pub(super) topics: BTreeSet<TopicId>,
    /// Members in the zone of this node.
    pub(super) near: BTreeSet<P>,
    pub(super) lives: u32,
    pub(super) is_trying: bool,
    /// Since when states are counted, and how many.
    states_told: (Time, u32),
    /// Inputs still to be given to the overlays, by their lives, in order.
    pub(super) work: VecDeque<(u32, SlotInput<P>)>,
}

impl<P: Peer> Switch<P> {
    /// A node with one overlay, in the first epoch. `servers` are those of a client-server overlay, at
    /// most [`crate::client_server::SERVERS_MAX`].
    #[must_use]
    pub fn new(me: P, kind: OverlayKind, servers: Vec<P>, config: SwitchConfig) -> Self {
        let proposal = Proposal {
            epoch: Epoch::FIRST,
            kind,
            servers,
            trial: None,
        };
        let overlay = AnyOverlay::new(me, &proposal, &config.overlays);
        Self {
            me,
            config,
            current: proposal.epoch,
            slots: vec![Slot::new(proposal, 0, overlay)],
            members: BTreeSet::new(),
            lanes: BTreeSet::new(),
            topics: BTreeSet::new(),
            near: BTreeSet::new(),
            lives: 0,
            is_trying: false,
            states_told: (Time::ZERO, 0),
            work: VecDeque::new(),
        }
    }

    /// The overlay in force; none once the node has left.
    #[must_use]
    pub fn current(&self) -> Option<&Proposal<P>> {
        self.slot_of(self.current).map(|slot| &slot.proposal)
    }

    /// The overlay that is being built, if one is.
    #[must_use]
    pub fn next(&self) -> Option<&Proposal<P>> {
        let next = self.slots.iter().map(|slot| &slot.proposal);
        next.filter(|proposal| proposal.epoch > self.current).last()
    }

    /// The overlays that this node runs: one, or two during a change.
    #[must_use]
    pub fn overlays(&self) -> usize {
        self.slots.len()
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.slots.len() > 2 {
            return Err(format!("{} overlays at once", self.slots.len()));
        }
        for slot in &self.slots {
            slot.overlay.check()?;
            let neighbors: BTreeSet<P> = slot.overlay.neighbors().into_iter().collect();
            if neighbors != slot.told {
                return Err(format!(
                    "{:?} told the neighbors {:?} but has {neighbors:?}",
                    slot.proposal.kind, slot.told
                ));
            }
        }
        Ok(())
    }

    pub(super) fn slot_of(&self, epoch: Epoch<P>) -> Option<&Slot<P>> {
        self.slots.iter().find(|slot| slot.proposal.epoch == epoch)
    }

    pub(super) fn slot_mut(&mut self, epoch: Epoch<P>) -> Option<&mut Slot<P>> {
        let mut slots = self.slots.iter_mut();
        slots.find(|slot| slot.proposal.epoch == epoch)
    }

    pub(super) fn slot_of_life(&mut self, life: u32) -> Option<&mut Slot<P>> {
        self.slots.iter_mut().find(|slot| slot.life == life)
    }

    /// Whether this node has all that it needs in the overlay of this epoch.
    pub(super) fn is_ready(&self, epoch: Epoch<P>) -> bool {
        let slot = self.slot_of(epoch);
        slot.is_some_and(|slot| slot.is_ready(&self.config.overlays, &self.members))
    }

    fn give_all(&mut self, input: &SlotInput<P>) {
        let peer = match input {
            Input::PeerUp(peer) | Input::Command(Command::Join(peer)) => Some(*peer),
            _ => None,
        };
        let slots = self.slots.iter();
        let slots = slots.filter(|slot| peer.is_none_or(|peer| slot.admits(peer)));
        let lives = slots.map(|slot| slot.life);
        self.work.extend(lives.map(|life| (life, input.clone())));
    }

    fn give_topics(&mut self, command: &Command<P>) {
        let slots = self.slots.iter().filter(|slot| slot.overlay.has_topics());
        let lives = slots.map(|slot| slot.life);
        self.work
            .extend(lives.map(|life| (life, Input::Command(command.clone()))));
    }

    /// Gives the overlays what is to be given, until nothing is left.
    fn run<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Out<P>) {
        while let Some((life, input)) = self.work.pop_front() {
            let Some(slot) = self.slot_of_life(life) else {
                continue;
            };
            let mut slot_out = Vec::new();
            slot.overlay.handle(now, input, random, &mut slot_out);
            for output in slot_out {
                self.carry_out(life, output, out);
            }
        }
    }

    fn carry_out(
        &mut self,
        life: u32,
        output: Output<P, AnyMessage<P>, AnyTimer>,
        out: &mut Out<P>,
    ) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.life == life) else {
            return;
        };
        let epoch = slot.proposal.epoch;
        match output {
            Output::Send { .. } | Output::SendAll { .. } | Output::SetTimer { .. } => {
                let wrap = |message| Message::Overlay { epoch, message };
                out.push(output.wrap(wrap, |id| Timer::Overlay { life, id }));
            }
            Output::Connect(peer) => {
                slot.wanted.insert(peer);
                out.push(Output::Connect(peer));
            }
            Output::Disconnect(peer) => {
                slot.wanted.remove(&peer);
                if self.other_uses(life, peer) {
                    let message = Message::Apart(epoch);
                    out.push(Output::Send { to: peer, message });
                } else {
                    self.lanes.remove(&peer);
                    out.push(Output::Disconnect(peer));
                }
            }
            Output::Event(event) => self.slot_event(life, event, out),
            // Nothing is below the overlays.
            Output::Below(_) => {}
        }
    }

    pub(super) fn other_uses(&self, life: u32, peer: P) -> bool {
        let mut others = self.slots.iter().filter(|slot| slot.life != life);
        others.any(|slot| slot.uses(peer))
    }

    pub(super) fn is_neighbor_of_other(&self, life: u32, peer: P) -> bool {
        let mut others = self.slots.iter().filter(|slot| slot.life != life);
        others.any(|slot| slot.counts() && slot.told.contains(&peer))
    }

    /// Which overlays connect this node to a peer.
    pub(super) fn links_to(&self, peer: P) -> Links {
        let told = self.slots.iter();
        let told = told.filter(|slot| slot.counts() && slot.told.contains(&peer));
        told.fold(Links::default(), |links, slot| {
            links.with(slot.proposal.kind)
        })
    }

    /// Notes that one overlay connects this node to a peer, or no longer does, and tells it to the broadcast.
    fn relink(&mut self, life: u32, peer: P, is_up: bool, out: &mut Out<P>) {
        let before = self.links_to(peer);
        if let Some(slot) = self.slot_of_life(life) {
            if is_up {
                slot.told.insert(peer);
            } else {
                slot.told.remove(&peer);
            }
        }
        self.tell_links(before, peer, out);
    }

    pub(super) fn tell_links(&self, before: Links, peer: P, out: &mut Out<P>) {
        let links = self.links_to(peer);
        if links != before {
            let linked = Report::Linked { peer, links };
            out.push(Output::Event(Event::Epoch(linked)));
        }
    }

    fn slot_event(&mut self, life: u32, event: Event<P>, out: &mut Out<P>) {
        let current = self.current;
        if let Event::NeighborUp(peer) | Event::NeighborDown(peer) = event {
            let is_up = matches!(event, Event::NeighborUp(_));
            self.relink(life, peer, is_up, out);
        }
        let Some(slot) = self.slot_of_life(life) else {
            return;
        };
        match event {
            Event::NeighborUp(peer) | Event::NeighborDown(peer) => {
                if slot.counts() && !self.is_neighbor_of_other(life, peer) {
                    out.push(Output::Event(event));
                }
            }
            // Told once all have left.
            Event::Left => {}
            // An order that went to both is refused once.
            Event::Refused { .. } if slot.proposal.epoch != current => {}
            _ => out.push(Output::Event(event)),
        }
    }

    fn order<R: Rng>(&mut self, order: Order<P>, random: &mut R, out: &mut Out<P>) {
        match order {
            Order::Prepare { proposal, members } => {
                self.members = members.into_iter().collect();
                if self.slot_of(proposal.epoch).is_none() {
                    self.close_others(out);
                    self.open(proposal, random, out);
                } else if proposal.trial.is_none() {
                    self.adopt(proposal.epoch, random, out);
                }
            }
            Order::Commit {
                proposal, members, ..
            } => self.commit(proposal, members, random, out),
            Order::Abandon(epoch) => {
                let slot = self.slot_of(epoch).filter(|_| epoch != self.current);
                if let Some(life) = slot.map(|slot| slot.life) {
                    self.close(life, out);
                }
            }
            Order::Probe(epoch) => self.probe(epoch, out),
            Order::Link { epoch, to } => self.link(epoch, to),
            Order::Sample(sampling) => self.sample(sampling, out),
            Order::Member { peer, live } => {
                if live {
                    self.members.insert(peer);
                    self.try_soon(random, out);
                } else {
                    self.members.remove(&peer);
                }
            }
        }
    }

    /// Connects an overlay that is being built to a node that it may not reach.
    pub(super) fn link(&mut self, epoch: Epoch<P>, to: P) {
        // Clients find servers by themselves, and servers each other.
        let slot = self.slot_of(epoch);
        let slot = slot.filter(|slot| slot.proposal.kind != OverlayKind::ClientServer);
        if let Some(life) = slot.map(|slot| slot.life) {
            let join = Input::Command(Command::Join(to));
            self.work.push_back((life, join));
        }
    }

    /// Tells a node what is in force here and what is being built, unless many were told just now.
    pub(super) fn tell_state(&mut self, now: Time, to: P, out: &mut Out<P>) {
        if to == self.me {
            return;
        }
        let (since, told) = &mut self.states_told;
        if now.since(*since) >= Duration::from_secs(1) {
            (*since, *told) = (now, 0);
        }
        *told += 1;
        if *told > STATES_PER_SECOND_MAX {
            return;
        }
        if let Some(current) = self.current().cloned() {
            let next = self.next().cloned();
            let message = Message::State { current, next };
            out.push(Output::Send { to, message });
        }
    }

    /// Another node says what is in force there and what is being built.
    fn on_state(
        &mut self,
        now: Time,
        from: P,
        current: Proposal<P>,
        next: Option<Proposal<P>>,
        out: &mut Out<P>,
    ) {
        // One that is for all is newer than the same on trial.
        let state = |next: &Proposal<P>| (next.epoch, next.trial.is_none());
        let theirs = ((current.epoch, true), next.as_ref().map(state));
        let mine = ((self.current, true), self.next().map(state));
        if is_ahead(theirs, mine) {
            out.push(Output::Event(Event::Epoch(Report::Told {
                by: from,
                current,
                next,
            })));
        }
        if is_ahead(mine, theirs) {
            self.tell_state(now, from, out);
        }
    }

    fn received(&mut self, now: Time, from: P, message: Message<P>, out: &mut Out<P>) {
        match message {
            Message::Overlay { epoch, message } => {
                let slot = self.slot_of(epoch).filter(|slot| slot.admits(from));
                match slot.map(|slot| slot.life) {
                    Some(life) => {
                        let input = Input::Received { from, message };
                        self.work.push_back((life, input));
                    }
                    None => self.tell_state(now, from, out),
                }
            }
            Message::State { current, next } => self.on_state(now, from, current, next, out),
            Message::Apart(epoch) => {
                let Some(slot) = self.slot_mut(epoch).filter(|slot| slot.uses(from)) else {
                    return;
                };
                slot.wanted.remove(&from);
                let life = slot.life;
                let down = Input::PeerDown {
                    peer: from,
                    why: WhyDown::AskedFor,
                };
                self.work.push_back((life, down));
            }
            Message::Probe { epoch, round } => self.on_probe(now, from, epoch, round, out),
            Message::Reached { epoch, peers } => self.reached(epoch, peers, out),
            Message::Sample { sampling, hops } => {
                self.on_sample(now, from, sampling, hops, out);
            }
            Message::Sampled {
                sampling,
                peer,
                hops,
                copies,
            } => self.on_sampled(sampling, peer, (hops, copies), out),
        }
    }

    fn command<R: Rng>(
        &mut self,
        now: Time,
        command: Command<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let in_force = self.slot_of(self.current).map(|slot| slot.life);
        match command {
            Command::Join(contact) => {
                self.give_all(&Input::Command(command));
                // It may have another overlay by now.
                self.tell_state(now, contact, out);
            }
            Command::Measured { .. } | Command::Woken => self.give_all(&Input::Command(command)),
            Command::Near { peer, is_near } => {
                if is_near {
                    self.near.insert(peer);
                } else {
                    self.near.remove(&peer);
                }
                self.give_all(&Input::Command(command));
            }
            Command::Epoch(order) => self.order(order, random, out),
            Command::Leave => self.give_all(&Input::Command(Command::Leave)),
            Command::Subscribe(topic) => {
                let most = self.config.overlays.pub_sub.topics_max;
                if self.topics.len() >= most && !self.topics.contains(&topic) {
                    let why = Refusal::TooMany { most };
                    out.push(Output::Event(Event::Refused { command, why }));
                    return;
                }
                self.topics.insert(topic);
                self.give_topics(&command);
            }
            Command::Unsubscribe(topic) => {
                self.topics.remove(&topic);
                self.give_topics(&command);
            }
            Command::Publish(..) | Command::Relay { .. } => {
                let carries = self.slot_of(self.current).is_some_and(|slot| {
                    matches!(
                        (&command, slot.proposal.kind),
                        (Command::Publish(..), OverlayKind::PubSub)
                            | (Command::Relay { .. }, OverlayKind::ClientServer)
                    )
                });
                match in_force.filter(|_| carries) {
                    Some(life) => self.work.push_back((life, Input::Command(command))),
                    None => out.push(Output::Event(Event::Refused {
                        command,
                        why: Refusal::NoWay,
                    })),
                }
            }
            // Orders for layers that this stack does not have.
            _ => {}
        }
    }
}

/// Whether one state knows of something newer than the other: what is in force, what is being built.
fn is_ahead<E: Copy + Ord>(one: (E, Option<E>), other: (E, Option<E>)) -> bool {
    let newest = other.1.map_or(other.0, |next| next.max(other.0));
    one.0 > other.0 || one.1.is_some_and(|next| next > newest)
}

impl<P: Peer> Protocol<P> for Switch<P> {
    type Message = Message<P>;
    type Timer = Timer;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        if self.slots.is_empty() {
            return;
        }
        let leaves = input == Input::Command(Command::Leave);
        match input {
            Input::Start => self.give_all(&Input::Start),
            Input::Received { from, .. } if from == self.me => {}
            Input::Received { from, message } => self.received(now, from, message, out),
            Input::PeerUp(peer) => {
                self.lanes.insert(peer);
                self.give_all(&Input::PeerUp(peer));
            }
            Input::PeerDown { peer, why } => {
                self.lanes.remove(&peer);
                for slot in &mut self.slots {
                    slot.wanted.remove(&peer);
                }
                self.give_all(&Input::PeerDown { peer, why });
            }
            Input::Congested(peer) => self.give_all(&Input::Congested(peer)),
            Input::Drained(peer) => self.give_all(&Input::Drained(peer)),
            Input::Timer(Timer::Overlay { life, id }) => {
                self.work.push_back((life, Input::Timer(id)));
            }
            Input::Timer(Timer::Try) => self.try_again(random, out),
            Input::Timer(Timer::PassOn { life }) => self.pass_on_due(life, out),
            Input::Timer(Timer::Retire { life }) => self.retire_due(life, out),
            Input::Command(command) => self.command(now, command, random, out),
            Input::Below(_) => {}
        }
        self.run(now, random, out);
        if leaves {
            self.slots.clear();
            self.lanes.clear();
            out.push(Output::Event(Event::Left));
        }
    }
}

impl<P: Peer> Overlay<P> for Switch<P> {
    fn neighbors(&self) -> Vec<P> {
        let slots = self.slots.iter().filter(|slot| slot.counts());
        let told = slots.flat_map(|slot| &slot.told);
        let neighbors: BTreeSet<P> = told.copied().collect();
        neighbors.into_iter().collect()
    }

    /// By the overlay in force; where that knows no way, by the other one.
    fn next_hop<R: Rng>(&self, to: P, came_from: Option<P>, random: &mut R) -> Option<P> {
        let counting = || self.slots.iter().filter(|slot| slot.counts());
        if counting().any(|slot| slot.told.contains(&to)) {
            return Some(to);
        }
        let in_force = self.slot_of(self.current).into_iter();
        let others = counting();
        let others = others.filter(|slot| slot.proposal.epoch != self.current);
        let mut slots = in_force.chain(others);
        slots.find_map(|slot| slot.overlay.next_hop(to, came_from, random))
    }
}
