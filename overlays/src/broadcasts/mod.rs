//! The broadcasts of a node whose overlay can change: for each overlay the one that fits it.
//!
//! A layer over [`crate::switching::Switch`]. In a full mesh a message goes straight to everybody
//! ([`crate::direct`]); over any other overlay along a tree ([`crate::plumtree`]), which in a full mesh of `n`
//! nodes would announce each message on all of its `n²` links. A payload that asks for it goes epidemically
//! ([`crate::epidemic`]), over any overlay.
//!
//! All three live as long as the node, side by side: each hears of the links of its own overlay only
//! (`Report::Linked`), so during a switch, when both overlays are there, neither broadcast floods the
//! links of the other one. The overlay in force decides which of them a message of this node begins with;
//! what was begun before ends where it began, also while others are an epoch behind.
//! Each message is begun by one of them, so nothing comes twice. The exceptions are the words by which the
//! overlay is switched, which go both ways, as either overlay may be broken where it matters, and what a node began
//! while it was behind with the overlay itself (`again`).

mod again;
mod message;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rand::Rng;
use serde::Serialize;

pub use message::Message;

use crate::direct::{self, Direct};
use crate::epidemic::{self, Epidemic};
use crate::epoch::{Links, Order, OverlayKind, Report};
use crate::event::{Command, Delivery, Event, Input, InputOf, Output, OutputOf, Peer, Protocol};
use crate::payload::{Payload, Spread};
use crate::plumtree::{self, Plumtree};
use crate::recent::Recent;
use crate::store::MessageId;
use crate::time::Time;

/// Settings of one node. All nodes of a cluster should have the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Where the overlay is no full mesh.
    pub plumtree: plumtree::Config,
    /// Where it is one.
    pub direct: direct::Config,
    /// For payloads that ask for it.
    pub epidemic: epidemic::Config,
}

/// Timers of the broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Timer {
    /// Of Plumtree.
    Tree(plumtree::Timer),
    /// Of the direct broadcast.
    Direct(direct::Timer),
    /// Of the epidemic broadcast.
    Epidemic(epidemic::Forget),
}

type Out<P> = Vec<Output<P, Message<P>, Timer>>;

/// The broadcasts of one node.
#[derive(Debug)]
pub struct Broadcasts<P> {
    tree: Plumtree<P>,
    direct: Direct<P>,
    epidemic: Epidemic<P>,
    /// The overlay in force.
    kind: OverlayKind,
    /// As they were told last.
    links: BTreeMap<P, Links>,
    /// What came begun once more.
    told: Recent<MessageId>,
}

impl<P: Peer> Broadcasts<P> {
    /// A node without neighbors, which begins with that overlay: the same as its
    /// [`Switch`](crate::switching::Switch).
    #[must_use]
    pub fn new(me: P, kind: OverlayKind, config: Config) -> Self {
        Self {
            tree: Plumtree::new(me, config.plumtree),
            direct: Direct::new(me, config.direct),
            epidemic: Epidemic::new(me, config.epidemic),
            kind,
            links: BTreeMap::new(),
            told: Recent::new(again::TOLD_MAX),
        }
    }

    /// Broadcasts of others that are known not to come here any more: nobody had them when they were asked for.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.tree.given_up() + self.direct.given_up()
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        self.tree.check()?;
        self.direct.check()?;
        self.epidemic.check()
    }

    fn tree<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Plumtree<P>, P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let mut inner = Vec::new();
        self.tree.handle(now, input, random, &mut inner);
        self.pass_on(inner, Message::Tree, Timer::Tree, out);
    }

    fn direct<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Direct<P>, P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let mut inner = Vec::new();
        self.direct.handle(now, input, random, &mut inner);
        self.pass_on(inner, Message::Direct, Timer::Direct, out);
    }

    fn epidemic<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Epidemic<P>, P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let mut inner = Vec::new();
        self.epidemic.handle(now, input, random, &mut inner);
        self.pass_on(inner, Message::Epidemic, Timer::Epidemic, out);
    }

    fn broadcast<R: Rng>(&mut self, now: Time, payload: Payload, random: &mut R, out: &mut Out<P>) {
        let spread = payload.spread();
        let payload = payload.spread_as(Spread::Fitting);
        match spread {
            Spread::Epidemic => self.epidemic(now, broadcast(payload), random, out),
            Spread::EveryWay => {
                self.direct(now, broadcast(payload.clone()), random, out);
                self.tree(now, broadcast(payload), random, out);
            }
            Spread::Fitting if self.kind == OverlayKind::FullMesh => {
                self.direct(now, broadcast(payload), random, out);
            }
            Spread::Fitting => self.tree(now, broadcast(payload), random, out),
        }
    }

    fn command<R: Rng>(
        &mut self,
        now: Time,
        command: Command<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        match command {
            Command::Broadcast(payload) => self.broadcast(now, payload, random, out),
            // It sends what it has only announced, then passes the order on.
            Command::Leave => self.tree(now, Input::Command(Command::Leave), random, out),
            Command::Epoch(Order::Commit {
                ref proposal,
                is_late,
                ..
            }) => {
                let before = std::mem::replace(&mut self.kind, proposal.kind);
                out.push(Output::Below(command));
                if is_late {
                    self.begin_again(now, before, random, out);
                }
            }
            command => out.push(Output::Below(command)),
        }
    }

    /// This node was behind with the overlay: what it began with the broadcast of the one before begins anew, if the one
    /// in force has another.
    fn begin_again<R: Rng>(
        &mut self,
        now: Time,
        before: OverlayKind,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let is_mesh = |kind| kind == OverlayKind::FullMesh;
        if is_mesh(before) == is_mesh(self.kind) {
            return;
        }
        let marked = |(id, own): (_, &Payload)| again::mark(id, own);
        let own: Vec<Payload> = if is_mesh(before) {
            self.direct.own().filter_map(marked).collect()
        } else {
            self.tree.own().filter_map(marked).collect()
        };
        for payload in own {
            self.broadcast(now, payload, random, out);
        }
    }

    /// What comes up of a message: nothing if it came before, under another number.
    fn delivered(&mut self, delivery: Delivery<P>) -> Option<Delivery<P>> {
        let Some((first, payload)) = again::read(&delivery.payload) else {
            return (!self.told.has(delivery.id)).then_some(delivery);
        };
        let is_new = self.told.note(first);
        let came = !is_new || self.tree.has_seen(first) || self.direct.has_seen(first);
        (!came).then_some(Delivery {
            id: first,
            payload,
            ..delivery
        })
    }

    /// What one of the broadcasts wants, but for what it repeats of the overlay, and what came before.
    fn pass_on<M, T>(
        &mut self,
        inner: Vec<Output<P, M, T>>,
        message: impl Fn(M) -> Message<P>,
        timer: impl Fn(T) -> Timer,
        out: &mut Out<P>,
    ) {
        for output in inner {
            match output {
                Output::Event(Event::NeighborUp(_) | Event::NeighborDown(_)) => {}
                Output::Event(Event::Delivered(delivery)) => {
                    let delivery = self.delivered(delivery);
                    out.extend(delivery.map(|known| Output::Event(Event::Delivered(known))));
                }
                output => out.push(output.wrap(&message, &timer)),
            }
        }
    }

    fn below<R: Rng>(&mut self, now: Time, event: Event<P>, random: &mut R, out: &mut Out<P>) {
        match event {
            Event::Epoch(Report::Linked { peer, links }) => {
                self.linked(now, peer, links, random, out);
            }
            Event::NeighborUp(_) | Event::NeighborDown(_) => {
                self.epidemic(now, Input::Below(event.clone()), random, out);
                out.push(Output::Event(event));
            }
            event => out.push(Output::Event(event)),
        }
    }

    /// Tells each broadcast what became of the links of its overlay.
    fn linked<R: Rng>(
        &mut self,
        now: Time,
        peer: P,
        links: Links,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let before = self.links.remove(&peer).unwrap_or_default();
        if links != Links::default() {
            self.links.insert(peer, links);
        }
        if let Some(event) = change(peer, before.sparse, links.sparse) {
            self.tree(now, Input::Below(event), random, out);
        }
        if let Some(event) = change(peer, before.mesh, links.mesh) {
            self.direct(now, Input::Below(event), random, out);
        }
    }

    fn received<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        message: Message<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        match message {
            Message::Tree(message) => {
                self.tree(now, Input::Received { from, message }, random, out);
            }
            Message::Direct(message) => {
                self.direct(now, Input::Received { from, message }, random, out);
            }
            Message::Epidemic(message) => {
                self.epidemic(now, Input::Received { from, message }, random, out);
            }
        }
    }
}

fn broadcast<P, M, T>(payload: Payload) -> Input<P, M, T> {
    Input::Command(Command::Broadcast(payload))
}

fn change<P>(peer: P, was_up: bool, is_up: bool) -> Option<Event<P>> {
    match (was_up, is_up) {
        (false, true) => Some(Event::NeighborUp(peer)),
        (true, false) => Some(Event::NeighborDown(peer)),
        _ => None,
    }
}

impl<P: Peer> Protocol<P> for Broadcasts<P> {
    type Message = Message<P>;
    type Timer = Timer;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Received { from, message } => self.received(now, from, message, random, out),
            Input::Timer(Timer::Tree(id)) => self.tree(now, Input::Timer(id), random, out),
            Input::Timer(Timer::Direct(id)) => self.direct(now, Input::Timer(id), random, out),
            Input::Timer(Timer::Epidemic(id)) => {
                self.epidemic(now, Input::Timer(id), random, out);
            }
            Input::Command(command) => self.command(now, command, random, out),
            Input::Below(event) => self.below(now, event, random, out),
            Input::Congested(peer) => {
                self.tree(now, Input::Congested(peer), random, out);
                self.direct(now, Input::Congested(peer), random, out);
            }
            Input::Drained(peer) => {
                self.tree(now, Input::Drained(peer), random, out);
                self.direct(now, Input::Drained(peer), random, out);
            }
            Input::Start | Input::PeerUp(_) | Input::PeerDown { .. } => {}
        }
    }
}
