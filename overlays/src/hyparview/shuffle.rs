//! Shuffles: each period a node sends a uniform sample of its views on a random walk and gets one
//! back from where the walk ends, so that passive views stay random and forget the dead.

use rand::Rng;
use rand::seq::IteratorRandom;

use super::message::{Message, SHUFFLE_PEERS_MAX};
use super::{HyParView, Outputs};
use crate::event::{Output, Peer};

impl<P: Peer> HyParView<P> {
    pub(super) fn begin_shuffle<R: Rng>(&mut self, random: &mut R, out: &mut Outputs<P>) {
        let Some(to) = self.active.random(random, &[]) else {
            return;
        };
        let peers = if self.config.partisan_deviations {
            self.same_sample_again()
        } else {
            self.sample(to, random)
        };
        self.sample_sent.clone_from(&peers);
        let hops = self.config.shuffle_hops;
        out.push(Output::Send {
            to,
            message: Message::Shuffle {
                origin: self.me,
                peers,
                hops,
            },
        });
    }

    /// A uniform sample of both views, without the node that it goes to.
    fn sample<R: Rng>(&self, to: P, random: &mut R) -> Vec<P> {
        let mut peers = self.passive.sample(random, self.config.shuffle_passive);
        for _ in 0..self.config.shuffle_active {
            let mut without = peers.clone();
            without.push(to);
            peers.extend(self.active.random(random, &without));
        }
        // In a small part the way out may be known to one node only. In a large one it would draw all
        // spares to the same few nodes.
        if self.passive.peers().len() < self.config.passive_max {
            let known: Vec<P> = peers.iter().copied().chain([to]).collect();
            let contacts = self.contacts.iter().filter(|peer| !known.contains(peer));
            peers.extend(contacts.choose(random));
        }
        peers.truncate(SHUFFLE_PEERS_MAX);
        peers
    }

    /// Partisan cuts its sorted sets before it mixes them, so it sends the same nodes each time.
    fn same_sample_again(&self) -> Vec<P> {
        let first = |mut peers: Vec<P>, count: usize| {
            peers.sort_unstable();
            peers.truncate(count);
            peers
        };
        let mut peers = first(self.passive.peers().to_vec(), self.config.shuffle_passive);
        peers.extend(first(
            self.active.peers().collect(),
            self.config.shuffle_active,
        ));
        peers
    }

    pub(super) fn on_shuffle<R: Rng>(
        &mut self,
        from: P,
        origin: P,
        peers: Vec<P>,
        hops: u8,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        if origin == self.me {
            return;
        }
        let hops = hops.min(self.config.shuffle_hops);
        let next = self.active.random(random, &[from, origin]);
        if let Some(to) = next.filter(|_| hops > 1 && self.active.len() > 1) {
            let message = Message::Shuffle {
                origin,
                peers,
                hops: hops - 1,
            };
            out.push(Output::Send { to, message });
            return;
        }
        let reply = self
            .passive
            .sample(random, (peers.len() + 1).min(SHUFFLE_PEERS_MAX));
        let to = if self.config.partisan_deviations {
            from
        } else {
            origin
        };
        let dispensable = if self.config.partisan_deviations {
            Vec::new()
        } else {
            reply.clone()
        };
        out.push(Output::Send {
            to,
            message: Message::ShuffleReply { peers: reply },
        });
        self.learn(origin, &dispensable, random);
        for peer in peers {
            self.learn(peer, &dispensable, random);
        }
    }

    pub(super) fn on_shuffle_reply<R: Rng>(&mut self, peers: &[P], random: &mut R) {
        let sent = std::mem::take(&mut self.sample_sent);
        let dispensable = if self.config.partisan_deviations {
            &[]
        } else {
            sent.as_slice()
        };
        for peer in peers {
            self.learn(*peer, dispensable, random);
        }
    }
}
