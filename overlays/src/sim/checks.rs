//! What must hold at every step of every node, whatever happens to the cluster.
//!
//! Watches a world and keeps the first violation. A node's life is from its start to its end; what is
//! told in one life says nothing about the next.

use std::collections::{BTreeMap, BTreeSet};

use super::NodeId;
use super::deliveries::number_of;
use super::subject::{Observer, Subject};
use super::world::World;
use crate::event::{Delivery, Event, TopicId};
use crate::time::Time;

/// What one node has told in its present life.
#[derive(Debug, Default)]
struct Life {
    neighbors: BTreeSet<NodeId>,
    members: BTreeSet<NodeId>,
    sent: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
}

/// Watches the promises of all nodes.
#[derive(Debug, Default)]
pub(super) struct Checks {
    lives: BTreeMap<NodeId, Life>,
    /// Payloads sent so far.
    numbers: u64,
    violation: Option<String>,
}

impl Checks {
    /// The first promise that was broken, if any was.
    #[must_use]
    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// A node begins a new life.
    pub(super) fn born(&mut self, node: NodeId) {
        self.lives.insert(node, Life::default());
    }

    /// The number of the next payload, which `sender` is about to send.
    pub(super) fn number(&mut self, sender: NodeId) -> u64 {
        let number = self.numbers;
        self.numbers += 1;
        self.lives.entry(sender).or_default().sent.insert(number);
        number
    }

    /// Whether a node delivered a payload in its present life.
    pub(super) fn has(&self, node: NodeId, number: u64) -> bool {
        let life = self.lives.get(&node);
        life.is_some_and(|life| life.delivered.contains(&number))
    }

    /// Checks that each node's neighbors are those that it told.
    pub(super) fn compare_neighbors<X: Subject>(world: &mut World<X, Self>) {
        let running: Vec<NodeId> = world.running().collect();
        for node in running {
            let Some(state) = world.state(node) else {
                continue;
            };
            let neighbors: BTreeSet<NodeId> = state.neighbors().into_iter().collect();
            let at = world.now();
            let checks = &mut world.observer;
            let told = &checks.lives.entry(node).or_default().neighbors;
            if *told != neighbors {
                let what = format!("told the neighbors {told:?} but has {neighbors:?}");
                checks.broken(at, node, &what);
            }
        }
    }

    fn broken(&mut self, at: Time, node: NodeId, what: &str) {
        if self.violation.is_none() {
            self.violation = Some(format!("{at}: node {node}: {what}"));
        }
    }

    /// What is wrong with an event, if anything is.
    fn wrong(&mut self, node: NodeId, event: &Event<NodeId>) -> Option<String> {
        let life = self.lives.entry(node).or_default();
        let fits = match event {
            Event::NeighborUp(peer) => *peer != node && life.neighbors.insert(*peer),
            Event::NeighborDown(peer) => life.neighbors.remove(peer),
            Event::MemberUp(peer) => {
                life.members.insert(*peer);
                *peer != node
            }
            Event::MemberDown(peer) | Event::MemberLeft(peer) => life.members.remove(peer),
            Event::MemberSuspect(peer) | Event::MemberChanged(peer) => life.members.contains(peer),
            Event::Delivered(delivery) => return self.wrong_delivery(node, delivery),
            Event::Relayed { .. } | Event::Refused { .. } | Event::Left => true,
        };
        (!fits).then(|| format!("{event:?} does not follow from what it told before"))
    }

    fn wrong_delivery(&mut self, node: NodeId, delivery: &Delivery<NodeId>) -> Option<String> {
        let Some(number) = number_of(&delivery.payload.body) else {
            return Some("delivered a payload that nobody sent".into());
        };
        if number >= self.numbers {
            return Some(format!("delivered {number}, which nobody sent"));
        }
        let life = self.lives.entry(node).or_default();
        if life.sent.contains(&number) {
            return Some(format!("delivered {number}, which it sent itself"));
        }
        let again = !life.delivered.insert(number);
        again.then(|| format!("delivered {number} twice"))
    }
}

impl<X: Subject> Observer<X> for Checks {
    fn event(&mut self, at: Time, node: NodeId, event: &Event<NodeId>) {
        if let Some(what) = self.wrong(node, event) {
            self.broken(at, node, &what);
        }
    }

    fn stepped(&mut self, at: Time, node: NodeId, state: &X) {
        if let Err(what) = state.check() {
            self.broken(at, node, &what);
        }
    }
}

/// Topics that nodes take part in during a fault run.
pub(super) const TOPICS: std::ops::Range<TopicId> = 0..3;
