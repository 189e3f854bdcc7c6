//! What the protocols want: messages sent, lanes kept and let go, timers; and the loop that gives them their inputs.
//!
//! Called by the driver after each thing that happened. It turns identities into names and addresses, and asks for those
//! that nobody has said.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use overlane_overlays::{Input, Message, Output, Protocol, Time, WhyDown};
use rand::seq::IteratorRandom;

use super::{Deed, Driver, Timer};
use crate::cluster::identity::NodeId;
use crate::cluster::machine::{MachineInput, MachineMessage, MachineTimer};
use crate::cluster::payload::Addressed;
use crate::cluster::words::{NODES_MAX, Word};

/// How long a lane may take from the order to keep it, before it is taken for failed. 10 s: longer than the
/// dial and the handshake of a shard by their default deadlines.
const CONNECT_MAX: Duration = Duration::from_secs(10);

impl Driver {
    pub(super) fn give(&mut self, input: MachineInput, informant: Option<NodeId>) {
        self.inputs.push_back((input, informant));
    }

    pub(super) fn give_down(&mut self, peer: NodeId, why: WhyDown) {
        self.give(Input::PeerDown { peer, why }, None);
    }

    /// Gives the protocols their inputs until there is none left.
    pub(super) fn run(&mut self, now: Time, out: &mut Vec<Deed>) {
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

    pub(super) fn carry_out(
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
            Output::SetTimer { id, after } => {
                self.timers.set_after(now, after, Timer::Machine(id));
            }
            Output::Event(event) => self.told(event, now, out),
            // An order that none of the protocols owns.
            Output::Below(_) => {}
        }
    }

    pub(super) fn send(
        &mut self,
        to: &[NodeId],
        message: &MachineMessage,
        now: Time,
        out: &mut Vec<Deed>,
    ) {
        let word = Word::of_machine(message);
        let tail = message.tail();
        let channel = Addressed::glance(&tail).map(|(_, channel)| channel);
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
    pub(super) fn is_known(&self, peer: NodeId) -> bool {
        let known = self.book.get(peer);
        known.is_some_and(|known| !known.addresses.is_empty() || self.lanes.contains_key(&peer))
    }

    pub(super) fn send_word(
        &mut self,
        peer: NodeId,
        word: Bytes,
        channel: Option<&str>,
        out: &mut Vec<Deed>,
    ) {
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
    pub(super) fn reach(&mut self, peer: NodeId, out: &mut Vec<Deed>) {
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

    pub(super) fn connect(&mut self, peer: NodeId, now: Time, out: &mut Vec<Deed>) {
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
    pub(super) fn ask_for_strangers(&mut self, informant: Option<NodeId>, out: &mut Vec<Deed>) {
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
