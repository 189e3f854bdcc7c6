//! What nodes tell of each other, compared with what is true.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::sim::NodeId;
use crate::sim::subject::{Observer, Subject};
use crate::time::Time;

/// What nodes told of each other.
#[derive(Debug, Default)]
pub struct Census {
    /// Nodes that are not running, as the experiment wills it.
    pub(super) gone: BTreeSet<NodeId>,
    /// Of the last crash: when each node told that the member was down.
    pub(super) told_down: BTreeMap<NodeId, Time>,
    pub(super) watched: Option<NodeId>,
    /// Suspicions told about nodes that were running, by suspect.
    pub false_suspects: BTreeMap<NodeId, u64>,
    /// Deaths told about nodes that were running, by the one buried.
    pub false_downs: BTreeMap<NodeId, u64>,
}

impl<X: Subject> Observer<X> for Census {
    fn event(&mut self, at: Time, node: NodeId, _state: &X, event: &Event<NodeId>) {
        match event {
            Event::MemberDown(about) if self.watched == Some(*about) => {
                self.told_down.entry(node).or_insert(at);
            }
            Event::MemberDown(about) if !self.gone.contains(about) => {
                *self.false_downs.entry(*about).or_default() += 1;
            }
            Event::MemberSuspect(about) if !self.gone.contains(about) => {
                *self.false_suspects.entry(*about).or_default() += 1;
            }
            _ => {}
        }
    }
}

impl Census {
    /// Suspicions and deaths told about nodes that were running, but for `except`.
    #[must_use]
    pub fn errors(&self, except: Option<NodeId>) -> (u64, u64) {
        let sum = |told: &BTreeMap<NodeId, u64>| {
            let others = told.iter().filter(|(about, _)| Some(**about) != except);
            others.map(|(_, count)| *count).sum()
        };
        (sum(&self.false_suspects), sum(&self.false_downs))
    }
}
