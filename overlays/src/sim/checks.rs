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
use crate::membership::{Entry, Version};
use crate::time::Time;

/// What one node has told in its present life.
#[derive(Debug, Default)]
struct Life {
    neighbors: BTreeSet<NodeId>,
    /// Members told up, and the life of theirs in which they were, if it is known.
    members: BTreeMap<NodeId, Option<u64>>,
    /// Members told down or left, and the version in which they were.
    dead: BTreeMap<NodeId, Version>,
    has_left: bool,
    sent: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
}

impl Life {
    /// A member was told dead. If it is told up again within the same input, or forgotten with it, its
    /// death has no version.
    fn bury(&mut self, entry: Option<&Entry<NodeId>>) {
        if let Some(entry) = entry
            && !entry.status.is_live()
        {
            self.dead.insert(entry.peer, entry.version);
        }
    }

    /// A member was told up: whether in a version in which it was told dead. Only what it said itself
    /// after that can bring it back.
    fn is_revived(&mut self, entry: Option<&Entry<NodeId>>) -> bool {
        let Some(entry) = entry else {
            return false;
        };
        let died = self.dead.remove(&entry.peer);
        died.is_some_and(|died| entry.version <= died)
    }

    /// A member was told down: whether that was the end of a life before the one that is known now. Who
    /// starts may hear first what was said of a member before it was started again.
    fn is_of_an_earlier_life(&self, peer: NodeId, entry: Option<&Entry<NodeId>>) -> bool {
        let told = self.members.get(&peer).copied().flatten();
        let known = entry.map(|entry| entry.version.incarnation);
        told.zip(known).is_some_and(|(told, known)| told < known)
    }
}

/// Watches the promises of all nodes.
#[derive(Debug, Default)]
pub(super) struct Checks {
    lives: BTreeMap<NodeId, Life>,
    /// Payloads sent so far.
    numbers: u64,
    /// Who is dead, from the moment on at which all are to know it.
    settled: Option<Settled>,
    violation: Option<String>,
}

/// What is true once all is well: nothing goes wrong any more but what is announced here.
#[derive(Debug)]
struct Settled {
    dead: BTreeSet<NodeId>,
    /// Started again since.
    restarted: BTreeSet<NodeId>,
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

    /// Whether a node has said that its leave is done.
    pub(super) fn has_left(&self, node: NodeId) -> bool {
        self.lives.get(&node).is_some_and(|life| life.has_left)
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

    /// All know now that these are dead and the others live. From now on nobody may be told down who
    /// lives.
    pub(super) fn settle(&mut self, dead: BTreeSet<NodeId>) {
        self.settled = Some(Settled {
            dead,
            restarted: BTreeSet::new(),
        });
    }

    /// This node is about to end, to stay so.
    pub(super) fn will_end(&mut self, node: NodeId) {
        if let Some(settled) = &mut self.settled {
            settled.dead.insert(node);
        }
    }

    /// This node is about to end and to start again.
    pub(super) fn will_restart(&mut self, node: NodeId) {
        if let Some(settled) = &mut self.settled {
            settled.restarted.insert(node);
        }
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

    /// What is wrong with an event, if anything is. `about`: what the node knows of the member that the
    /// event is about, if it is about one.
    fn wrong(
        &mut self,
        node: NodeId,
        event: &Event<NodeId>,
        about: Option<&Entry<NodeId>>,
    ) -> Option<String> {
        let life = self.lives.entry(node).or_default();
        if let Some(untrue) = untrue(self.settled.as_ref(), life, event, about) {
            return Some(untrue);
        }
        let fits = match event {
            Event::NeighborUp(peer) => *peer != node && life.neighbors.insert(*peer),
            Event::NeighborDown(peer) => life.neighbors.remove(peer),
            Event::MemberUp(peer) => {
                let incarnation = about.map(|entry| entry.version.incarnation);
                life.members.insert(*peer, incarnation);
                *peer != node && !life.is_revived(about)
            }
            Event::MemberDown(peer) | Event::MemberLeft(peer) => {
                life.bury(about);
                life.members.remove(peer).is_some()
            }
            Event::MemberSuspect(peer) | Event::MemberChanged(peer) => {
                life.members.contains_key(peer)
            }
            Event::Delivered(delivery) => return self.wrong_delivery(node, delivery),
            Event::Relayed { .. } | Event::Refused { .. } => true,
            // Promises of layers that are tested apart.
            Event::Coordinator(_) | Event::Partitioned { .. } | Event::Healed { .. } => true,
            Event::Switching { .. } | Event::Tried { .. } | Event::Epoch(_) => true,
            Event::Missed { .. } => true,
            Event::Atomic { .. } | Event::Written { .. } => true,
            Event::Left => {
                life.has_left = true;
                true
            }
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

/// What is wrong with an event once the cluster is well. An old message of a dead node can be news
/// to somebody, and makes it alive for a moment; [`Life::is_revived`] says when it must not.
fn untrue(
    settled: Option<&Settled>,
    life: &Life,
    event: &Event<NodeId>,
    about: Option<&Entry<NodeId>>,
) -> Option<String> {
    let settled = settled?;
    let (Event::MemberDown(peer) | Event::MemberLeft(peer)) = event else {
        return None;
    };
    let is_true = settled.dead.contains(peer)
        || settled.restarted.contains(peer)
        || life.is_of_an_earlier_life(*peer, about);
    (!is_true).then(|| format!("told {event:?}, but {peer} lives"))
}

impl<X: Subject> Observer<X> for Checks {
    fn event(&mut self, at: Time, node: NodeId, state: &X, event: &Event<NodeId>) {
        let about = match event {
            Event::MemberUp(peer) | Event::MemberDown(peer) | Event::MemberLeft(peer) => {
                state.members().and_then(|table| table.get(peer))
            }
            _ => None,
        };
        if let Some(what) = self.wrong(node, event, about) {
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
