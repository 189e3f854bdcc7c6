//! Whether what the nodes of a fault run believe of each other is true: who lives, in which life, at
//! which addresses, with which metadata.

use super::trouble::FaultRun;
use crate::membership::{Entry, Status};
use crate::sim::NodeId;
use crate::sim::membership::details;
use crate::sim::subject::Subject;

impl<X: Subject> FaultRun<X> {
    /// Compares the tables of all running nodes with what is true.
    ///
    /// # Errors
    /// The first difference. What the dead were is left to chance: down or left, or unknown to those
    /// who came later.
    pub(super) fn compare_members(&self) -> Result<(), String> {
        let count = self.world.node_count();
        for node in self.world.running() {
            let Some(table) = self.world.state(node).and_then(X::members) else {
                return Ok(());
            };
            let strangers = table.iter().filter(|entry| entry.peer >= count);
            if let Some(stranger) = strangers.into_iter().next() {
                return Err(format!("at odds: {node} knows {stranger:?}, who never was"));
            }
            for peer in 0..count {
                let entry = table.get(&peer);
                if self.world.state(peer).is_some() {
                    self.compare_live(peer, entry)
                } else if entry.is_some_and(|entry| entry.status.is_live()) {
                    Err("lives".into())
                } else {
                    Ok(())
                }
                .map_err(|believed| format!("at odds: {node} believes that {peer} {believed}"))?;
            }
        }
        Ok(())
    }

    fn compare_live(&self, peer: NodeId, entry: Option<&Entry<NodeId>>) -> Result<(), String> {
        let Some(entry) = entry else {
            return Err("does not exist".into());
        };
        let starts = self.world.starts(peer);
        let own = self.world.state(peer).and_then(X::members);
        let own = own.and_then(|table| table.get(&peer));
        let mut truth = details(peer, starts);
        if let Some(metadata) = self.metadata.get(&peer) {
            truth.metadata = metadata.to_vec();
        }
        if entry.status != Status::Alive {
            Err(format!("is {:?}", entry.status))
        } else if entry.version.incarnation != u64::from(starts) + 1 {
            Err(format!("is in incarnation {}", entry.version.incarnation))
        } else if *entry.details != truth {
            Err(format!("says {:?} and not {truth:?}", entry.details))
        } else if own.is_none_or(|own| own.version != entry.version) {
            let own = own.map(|own| own.version);
            Err(format!("is at {:?} and not at {own:?}", entry.version))
        } else {
            Ok(())
        }
    }

    /// What the nodes believe of this member, if anybody believes another status than this one.
    pub(super) fn unaware(&self, peer: NodeId, expected: Status) -> Option<String> {
        let believed = |node| {
            let table = self.world.state(node).and_then(X::members);
            let entry = table.and_then(|table| table.get(&peer));
            (node, entry.map(|entry| entry.status))
        };
        let others = self.world.running().map(believed);
        let others: Vec<_> = others
            .filter(|(_, status)| *status != Some(expected))
            .collect();
        if others.is_empty() {
            return None;
        }
        Some(format!("unaware that {peer} is {expected:?}: {others:?}"))
    }
}
