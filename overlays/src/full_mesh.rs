//! Full mesh: every node connected to every node. Right for small clusters; lanes grow with `n` per
//! node.
//!
//! A newcomer dials one node, which tells it all its neighbors, and dials those. Every node also tells
//! a sample of its neighbors to one of them per period, and redials nodes that it lost, so that a mesh
//! that fell apart grows together: each of them more rarely the more dials failed, and for as long as
//! there is room to remember it. It tells nobody of those it lost, lest the dead live on in talk, and
//! never dials a node that said goodbye.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::seq::{IteratorRandom, SliceRandom};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::event::{
    Command, Event, Input, InputOf, Output, OutputOf, Overlay, Peer, Protocol, WhyDown,
};
use crate::message::{self, DecodeError};
use crate::time::Time;

#[cfg(test)]
mod tests;

/// Most peers in one message; longer lists go in several.
const PEERS_PER_MESSAGE_MAX: usize = 256;

/// Settings of a [`FullMesh`].
#[derive(Clone, Debug)]
pub struct Config {
    /// How often lost nodes are redialed and a sample is exchanged. 5 s: a guess; the cost is one
    /// message of at most 256 identities per node and period.
    pub period: Duration,
    /// Most lost nodes redialed per period. 8: a guess that keeps a healed half of 100 nodes from
    /// dialing the other half all at once.
    pub redials_per_period_max: usize,
    /// Most nodes remembered, connected or lost. Where a newcomer has no room the lost one that was dialed
    /// in vain most often is forgotten; more neighbors than this are refused. 1,024: beyond that, use
    /// HyParView.
    pub peers_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(5),
            redials_per_period_max: 8,
            peers_max: 1_024,
        }
    }
}

/// Messages of the full mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// Neighbors of the sender.
    Peers(Vec<P>),
    /// The sender leaves for good.
    Leave,
}

impl<P: Peer> message::Message for Message<P> {
    const BYTES_MAX: usize = 1 + 3 + PEERS_PER_MESSAGE_MAX * P::BYTES_MAX;

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Peers(peers) => message::at_most(peers, PEERS_PER_MESSAGE_MAX, "peers"),
            Self::Leave => Ok(()),
        }
    }
}

/// The only timer: one period is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PeriodOver;

/// Times that the wait for the next dial doubles. 7: from 5 s to 11 minutes.
const DOUBLINGS_MAX: u32 = 7;
/// Dials in vain after which hearsay of another node is worth more than the memory of this one.
const HOPELESS_FAILURES: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Dialing {
        /// Dials in vain so far.
        failures: u32,
    },
    Up,
    Lost {
        /// Dials in vain so far.
        failures: u32,
        /// Not dialed before.
        again_at: Time,
    },
}

/// The overlay state of one node.
#[derive(Debug)]
pub struct FullMesh<P> {
    me: P,
    config: Config,
    peers: BTreeMap<P, Lane>,
}

impl<P: Peer> FullMesh<P> {
    /// A node that knows nobody yet.
    #[must_use]
    pub const fn new(me: P, config: Config) -> Self {
        Self {
            me,
            config,
            peers: BTreeMap::new(),
        }
    }

    fn learn(&mut self, peer: P, out: &mut Vec<OutputOf<Self, P>>) {
        if peer == self.me || self.peers.contains_key(&peer) {
            return;
        }
        if self.make_room(HOPELESS_FAILURES) {
            self.peers.insert(peer, Lane::Dialing { failures: 0 });
            out.push(Output::Connect(peer));
        }
    }

    /// Makes sure that one more can be remembered. The lost one that was dialed in vain most often has
    /// to go for it, if that was at least `failures` times.
    fn make_room(&mut self, failures_min: u32) -> bool {
        if self.peers.len() < self.config.peers_max {
            return true;
        }
        let lost = self.peers.iter().filter_map(|(peer, lane)| match lane {
            Lane::Lost { failures, .. } if *failures >= failures_min => Some((*failures, *peer)),
            _ => None,
        });
        let worst = lost.max();
        worst.is_some_and(|(_, peer)| self.peers.remove(&peer).is_some())
    }

    /// Dials a node even if it was lost, but not one that is up or being dialed.
    fn dial_again(&mut self, peer: P, out: &mut Vec<OutputOf<Self, P>>) {
        if matches!(self.peers.get(&peer), Some(Lane::Lost { .. })) {
            self.peers.remove(&peer);
        }
        self.learn(peer, out);
    }

    fn lane_up(&mut self, peer: P, out: &mut Vec<OutputOf<Self, P>>) {
        let known = self.peers.contains_key(&peer);
        if peer == self.me || !known && !self.make_room(0) {
            out.push(Output::Disconnect(peer));
            return;
        }
        if self.peers.insert(peer, Lane::Up) == Some(Lane::Up) {
            return;
        }
        out.push(Output::Event(Event::NeighborUp(peer)));
        let mut others = self.neighbors();
        others.retain(|other| *other != peer);
        for chunk in others.chunks(PEERS_PER_MESSAGE_MAX) {
            out.push(Output::Send {
                to: peer,
                message: Message::Peers(chunk.to_vec()),
            });
        }
    }

    fn lane_down(&mut self, now: Time, peer: P, why: WhyDown, out: &mut Vec<OutputOf<Self, P>>) {
        let Some(lane) = self.peers.get_mut(&peer) else {
            return;
        };
        let failures = match *lane {
            Lane::Up => {
                out.push(Output::Event(Event::NeighborDown(peer)));
                // Closed without a goodbye: there is no room, and will hardly be at once.
                if why == WhyDown::AskedFor {
                    HOPELESS_FAILURES
                } else {
                    0
                }
            }
            // It lives, and will have room.
            Lane::Dialing { failures } if why == WhyDown::Busy => failures,
            Lane::Dialing { failures } => failures.saturating_add(1),
            Lane::Lost { .. } => return,
        };
        let wait = match failures.checked_sub(1) {
            Some(doublings) => self.config.period * (1 << doublings.min(DOUBLINGS_MAX)),
            None => Duration::ZERO,
        };
        let again_at = now + wait;
        *lane = Lane::Lost { failures, again_at };
    }

    fn period_over<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Vec<OutputOf<Self, P>>) {
        out.push(Output::SetTimer {
            id: PeriodOver,
            after: self.config.period,
        });
        self.redial(now, random, out);
        let neighbors = self.neighbors();
        if let Some(to) = neighbors.iter().copied().choose(random) {
            let sample = neighbors.into_iter().sample(random, PEERS_PER_MESSAGE_MAX);
            out.push(Output::Send {
                to,
                message: Message::Peers(sample),
            });
        }
    }

    /// Dials some of the lost, those first that were lost just now.
    fn redial<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Vec<OutputOf<Self, P>>) {
        let lost = self.peers.iter().filter_map(|(peer, lane)| match lane {
            Lane::Lost { failures, again_at } if *again_at <= now => Some((*failures, *peer)),
            _ => None,
        });
        let mut due: Vec<(u32, P)> = lost.collect();
        due.shuffle(random);
        due.sort_by_key(|(failures, _)| *failures);
        for (failures, peer) in due.into_iter().take(self.config.redials_per_period_max) {
            self.peers.insert(peer, Lane::Dialing { failures });
            out.push(Output::Connect(peer));
        }
    }

    fn command(&mut self, command: Command<P>, out: &mut Vec<OutputOf<Self, P>>) {
        match command {
            Command::Join(contact) => self.dial_again(contact, out),
            Command::Leave => {
                for to in self.neighbors() {
                    out.push(Output::Send {
                        to,
                        message: Message::Leave,
                    });
                    out.push(Output::Disconnect(to));
                    out.push(Output::Event(Event::NeighborDown(to)));
                }
                self.peers.clear();
                out.push(Output::Event(Event::Left));
            }
            // Orders for layers that this stack does not have.
            _ => {}
        }
    }
}

impl<P: Peer> Protocol<P> for FullMesh<P> {
    type Message = Message<P>;
    type Timer = PeriodOver;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Start => {
                // Nodes started together must not all talk at the same moment.
                let after = self.config.period.mul_f64(random.random_range(0.0..=1.0));
                out.push(Output::SetTimer {
                    id: PeriodOver,
                    after,
                });
            }
            Input::Received {
                from,
                message: Message::Peers(peers),
            } => {
                // Only a neighbor sends this. If it is none here, a goodbye or the end of a lane came
                // late, after a new lane was up.
                self.dial_again(from, out);
                for peer in peers {
                    self.learn(peer, out);
                }
            }
            Input::Received {
                from,
                message: Message::Leave,
            } => {
                if self.peers.remove(&from) == Some(Lane::Up) {
                    out.push(Output::Event(Event::NeighborDown(from)));
                }
            }
            Input::PeerUp(peer) => self.lane_up(peer, out),
            Input::PeerDown { peer, why } => self.lane_down(now, peer, why, out),
            Input::Timer(PeriodOver) => self.period_over(now, random, out),
            Input::Command(command) => self.command(command, out),
            Input::Congested(_) | Input::Drained(_) | Input::Below(_) => {}
        }
    }
}

impl<P: Peer> Overlay<P> for FullMesh<P> {
    fn neighbors(&self) -> Vec<P> {
        let up = self.peers.iter().filter(|(_, lane)| **lane == Lane::Up);
        up.map(|(peer, _)| *peer).collect()
    }
}
