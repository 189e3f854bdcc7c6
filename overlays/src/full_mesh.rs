//! Full mesh: every node connected to every node. Right for small clusters; lanes grow with `n` per
//! node.
//!
//! A newcomer dials one node, which tells it all nodes it knows, and dials those. Every node also
//! compares a sample of what it knows with one neighbor per period, and redials nodes that it lost,
//! so that a mesh that fell apart grows together. It never dials a node that said goodbye.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::event::{Command, Event, Input, InputOf, Output, OutputOf, Overlay, Peer, Protocol};
use crate::message::{self, DecodeError};
use crate::time::Time;

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
    /// Most nodes remembered, connected or lost. Others are refused. 1,024: beyond that, use HyParView.
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
    /// Nodes that the sender knows.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Dialing,
    Up,
    Lost,
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
        let room = self.peers.len() < self.config.peers_max;
        if peer != self.me && room && !self.peers.contains_key(&peer) {
            self.peers.insert(peer, Lane::Dialing);
            out.push(Output::Connect(peer));
        }
    }

    /// Dials a node even if it was lost, but not one that is up or being dialed.
    fn dial_again(&mut self, peer: P, out: &mut Vec<OutputOf<Self, P>>) {
        if self.peers.get(&peer) == Some(&Lane::Lost) {
            self.peers.remove(&peer);
        }
        self.learn(peer, out);
    }

    fn lane_up(&mut self, peer: P, out: &mut Vec<OutputOf<Self, P>>) {
        let full = self.peers.len() >= self.config.peers_max && !self.peers.contains_key(&peer);
        if full || peer == self.me {
            out.push(Output::Disconnect(peer));
            return;
        }
        if self.peers.insert(peer, Lane::Up) == Some(Lane::Up) {
            return;
        }
        out.push(Output::Event(Event::NeighborUp(peer)));
        let known: Vec<P> = self
            .peers
            .keys()
            .copied()
            .filter(|known| *known != peer)
            .collect();
        for chunk in known.chunks(PEERS_PER_MESSAGE_MAX) {
            out.push(Output::Send {
                to: peer,
                message: Message::Peers(chunk.to_vec()),
            });
        }
    }

    fn lane_down(&mut self, peer: P, out: &mut Vec<OutputOf<Self, P>>) {
        if let Some(lane) = self.peers.get_mut(&peer) {
            if *lane == Lane::Up {
                out.push(Output::Event(Event::NeighborDown(peer)));
            }
            *lane = Lane::Lost;
        }
    }

    fn period_over<R: Rng>(&mut self, random: &mut R, out: &mut Vec<OutputOf<Self, P>>) {
        out.push(Output::SetTimer {
            id: PeriodOver,
            after: self.config.period,
        });
        let lost = self
            .peers
            .iter_mut()
            .filter(|(_, lane)| **lane == Lane::Lost);
        for (peer, lane) in lost.sample(random, self.config.redials_per_period_max) {
            *lane = Lane::Dialing;
            out.push(Output::Connect(*peer));
        }
        if let Some(to) = self.neighbors().into_iter().choose(random) {
            let known = self.peers.keys().copied();
            let sample = known.sample(random, PEERS_PER_MESSAGE_MAX);
            out.push(Output::Send {
                to,
                message: Message::Peers(sample),
            });
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
        _now: Time,
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
                self.lane_down(from, out);
                self.peers.remove(&from);
            }
            Input::PeerUp(peer) => self.lane_up(peer, out),
            Input::PeerDown { peer, .. } => self.lane_down(peer, out),
            Input::Timer(PeriodOver) => self.period_over(random, out),
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
