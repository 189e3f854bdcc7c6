//! What goes wrong in a world, and is repaired: crashes, pauses, slowness, skewed clocks, cuts.
//!
//! Called by the workloads and the fault mode between steps. The nodes notice only what nodes of a
//! real cluster would: lanes that break or time out, and silence.

use std::mem;
use std::time::Duration;

use super::NodeId;
use super::happening::What;
use super::network::{Death, NetworkConfig, micros};
use super::node::{Conditions, Lane, Pause};
use super::subject::{Observer, Subject};
use super::world::World;
use crate::event::{Input, WhyDown};

impl<X: Subject, O: Observer<X>> World<X, O> {
    /// Ends a node at once.
    pub fn crash(&mut self, node: NodeId, death: Death) {
        let timeout = micros(self.network.config.lane_timeout);
        let gone = &mut self.nodes[node as usize];
        gone.state = None;
        gone.starts += 1;
        gone.death = death;
        gone.conditions = None;
        gone.stash.clear();
        let lanes = mem::take(&mut gone.lanes);
        self.lanes.forget(node);
        for Lane { peer, lane } in lanes {
            let (after, why) = if death == Death::Silent {
                (timeout, WhyDown::TimedOut)
            } else {
                (self.network.latency(node, peer), WhyDown::Lost)
            };
            let what = What::LaneDown {
                peer: node,
                lane,
                why,
            };
            self.happens_in(after, peer, what);
        }
    }

    /// Starts a node that had crashed, with nothing but its identity.
    pub fn restart(&mut self, node: NodeId) {
        let starts = self.nodes[node as usize].starts;
        self.nodes[node as usize].state = Some((self.make)(node, starts));
        self.feed(node, Input::Start);
    }

    /// Stops the process of a node until it is resumed.
    pub fn pause(&mut self, node: NodeId) {
        self.stop(node, Pause::Stopped);
    }

    /// Suspends the host of a node until it is resumed.
    pub fn suspend(&mut self, node: NodeId) {
        self.stop(node, Pause::Suspended);
    }

    fn stop(&mut self, node: NodeId, pause: Pause) {
        self.conditions(node).pause = Some(pause);
        let timeout = micros(self.network.config.lane_timeout);
        let heals = self.network.heals;
        for Lane { peer, lane } in self.nodes[node as usize].lanes.clone() {
            for (end, peer) in [(peer, node), (node, peer)] {
                self.happens_in(timeout, end, What::Silence { peer, lane, heals });
            }
        }
    }

    /// Lets a paused or suspended node go on: with its timers that are overdue, and with what its
    /// host kept for it.
    pub fn resume(&mut self, node: NodeId) {
        self.conditions(node).pause = None;
        for happening in mem::take(&mut self.nodes[node as usize].stash) {
            self.queue.insert(self.now, happening);
        }
    }

    /// Delays everything that a node does by this much from now on.
    pub fn slow_down(&mut self, node: NodeId, by: Duration) {
        self.conditions(node).slow_micros = micros(by);
    }

    /// Makes a node's clock run at `rate` times the world's, `ahead` of it.
    pub fn skew(&mut self, node: NodeId, rate: f64, ahead: Duration) {
        let conditions = self.conditions(node);
        conditions.clock_rate = rate;
        conditions.clock_ahead = ahead;
    }

    /// Breaks the lane between two nodes, as a middlebox that forgets a connection does: both ends hear of it
    /// within a latency, and may make another.
    pub fn break_lane(&mut self, one: NodeId, other: NodeId) {
        let why = WhyDown::Lost;
        for (node, peer) in [(one, other), (other, one)] {
            if let Some(lane) = self.nodes[node as usize].lane(peer) {
                let after = self.network.latency(node, peer);
                self.happens_in(after, node, What::LaneDown { peer, lane, why });
            }
        }
    }

    /// Stops messages from nodes in `from` to nodes in `to`, both indexed by node.
    pub fn cut(&mut self, from: Vec<bool>, to: Vec<bool>) {
        self.network.cut(from, to);
        let timeout = micros(self.network.config.lane_timeout);
        let heals = self.network.heals;
        for node in 0..self.node_count() {
            for Lane { peer, lane } in self.nodes[node as usize].lanes.clone() {
                if !self.can_talk(node, peer) {
                    self.happens_in(timeout, node, What::Silence { peer, lane, heals });
                }
            }
        }
    }

    /// Cuts the nodes into two halves, by odd and even.
    pub fn cut_in_halves(&mut self) {
        let even: Vec<bool> = (0..self.node_count()).map(|node| node % 2 == 0).collect();
        let odd: Vec<bool> = even.iter().map(|inside| !inside).collect();
        self.cut(even.clone(), odd.clone());
        self.cut(odd, even);
    }

    /// Two halves for `span`, then whole again.
    pub fn partition(&mut self, span: Duration) {
        self.cut_in_halves();
        self.run_for(span);
        self.heal();
    }

    /// Ends all cuts.
    pub fn heal(&mut self) {
        self.network.heal();
    }

    /// Changes what the network does from now on.
    pub fn set_network(&mut self, config: NetworkConfig) {
        self.network.config = config;
    }

    fn conditions(&mut self, node: NodeId) -> &mut Conditions {
        self.nodes[node as usize].conditions.get_or_insert_default()
    }
}
