//! Newcomers and leavers: `Join`, the walk of `ForwardJoin`, and a goodbye.

use rand::Rng;

use super::message::Message;
use super::part::HAILS_AFTER_CHANGE;
use super::{HyParView, Outputs};
use crate::event::{Event, Output, Peer};

/// Nodes remembered as ways into the cluster. 4: a guess; seed nodes are usually three.
const CONTACTS_MAX: usize = 4;

impl<P: Peer> HyParView<P> {
    /// Enters the overlay through `contact`, now and whenever nobody else is left.
    pub(super) fn join(&mut self, contact: P, out: &mut Outputs<P>) {
        if contact == self.me || self.left {
            return;
        }
        if !self.contacts.contains(&contact) {
            if self.contacts.len() == CONTACTS_MAX {
                self.contacts.remove(0);
            }
            self.contacts.push(contact);
        }
        self.hails_due = HAILS_AFTER_CHANGE;
        if !self.active.contains(contact) {
            out.push(Output::Send {
                to: contact,
                message: Message::Join,
            });
        }
    }

    /// Says goodbye to all neighbors. The node does nothing more.
    pub(super) fn leave(&mut self, out: &mut Outputs<P>) {
        let neighbors: Vec<P> = self.active.peers().collect();
        for peer in neighbors {
            let message = Message::Disconnect {
                leaving: true,
                instead: None,
            };
            out.push(Output::Send { to: peer, message });
            self.drop_out(peer, out);
        }
        self.left = true;
        out.push(Output::Event(Event::Left));
    }

    pub(super) fn on_join<R: Rng>(&mut self, from: P, random: &mut R, out: &mut Outputs<P>) {
        self.admit_and_ask(from, random, out);
        let hops = self.config.active_walk_hops;
        for to in self.active.peers().filter(|peer| *peer != from) {
            out.push(Output::Send {
                to,
                message: Message::ForwardJoin {
                    newcomer: from,
                    hops,
                },
            });
        }
    }

    pub(super) fn on_forward_join<R: Rng>(
        &mut self,
        from: P,
        newcomer: P,
        hops: u8,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        if newcomer == self.me {
            return;
        }
        let hops = hops.min(self.config.active_walk_hops);
        let next = self.active.random(random, &[from, newcomer]);
        let passive_walk_hops = if self.config.partisan_deviations {
            self.config.active_walk_hops
        } else {
            self.config.passive_walk_hops
        };
        match next {
            Some(to) if hops > 0 && self.active.len() > 1 => {
                if hops == passive_walk_hops {
                    self.learn(newcomer, &[], random);
                }
                let message = Message::ForwardJoin {
                    newcomer,
                    hops: hops - 1,
                };
                out.push(Output::Send { to, message });
            }
            _ => self.admit_and_ask(newcomer, random, out),
        }
    }

    /// Takes a newcomer in and tells it so; it does not refuse.
    fn admit_and_ask<R: Rng>(&mut self, newcomer: P, random: &mut R, out: &mut Outputs<P>) {
        if !self.active.contains(newcomer) {
            self.admit(newcomer, random, out);
            let message = Message::Neighbor {
                high_priority: true,
                part: self.belonging.part(),
            };
            out.push(Output::Send {
                to: newcomer,
                message,
            });
        }
    }
}
