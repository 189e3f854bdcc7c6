//! The driver's part in decisions: told to neighbors, compared with each new one, passed on by who had not heard of them.
//!
//! Called for orders, for neighbors that come up, and for what control shards of neighbors say. `decisions` knows what is
//! new; the application merges.

use bytes::Bytes;

use super::{Deed, Driver};
use crate::cluster::decisions::{Batch, Decision, Head};
use crate::cluster::identity::NodeId;
use crate::cluster::machine::Readings as _;
use crate::cluster::words::Word;
use crate::restraint::Side;

impl Driver {
    /// This node decides that.
    pub(super) fn decide(&mut self, payload: Bytes, out: &mut Vec<Deed>) {
        let side = self.parted.as_ref().map(|parted| parted.side());
        let with_quorum = side.map(|side| side == Side::Quorum);
        if let Some(batch) = self.decisions.decide(with_quorum, payload) {
            self.pass_on(&batch, None, out);
        }
    }

    /// A new neighbor hears what is known here, and sends what is not.
    pub(super) fn compare_decisions(&mut self, neighbor: NodeId, out: &mut Vec<Deed>) {
        let heads = self.decisions.heads();
        if !heads.is_empty() {
            self.send_word(neighbor, Word::of_heads(&heads), None, out);
        }
    }

    pub(super) fn heard_heads(&mut self, from: NodeId, theirs: &[Head], out: &mut Vec<Deed>) {
        let (lacking, is_behind) = self.decisions.compare(theirs);
        for batch in lacking {
            self.send_word(from, Word::of_decisions(&batch), None, out);
        }
        if is_behind {
            let heads = self.decisions.heads();
            self.send_word(from, Word::of_heads(&heads), None, out);
        }
    }

    pub(super) fn heard_decisions(&mut self, from: NodeId, batch: Batch, out: &mut Vec<Deed>) {
        let onward = batch.clone();
        let taken = self.decisions.take(batch);
        if taken.is_refused {
            tracing::warn!(
                by = onward.by,
                "decisions of too many nodes are kept already"
            );
        }
        if taken.is_gap {
            let heads = self.decisions.heads();
            self.send_word(from, Word::of_heads(&heads), None, out);
        }
        if !taken.decisions.is_empty() {
            self.pass_on(&onward, Some(from), out);
            out.push(Deed::Merge(taken.decisions));
        }
    }

    fn pass_on(&mut self, batch: &Batch, came_from: Option<NodeId>, out: &mut Vec<Deed>) {
        let word = Word::of_decisions(batch);
        for neighbor in self.machine.neighbors() {
            if Some(neighbor) != came_from {
                self.send_word(neighbor, word.clone(), None, out);
            }
        }
    }

    /// What others have decided, for an application that hears of it from now on.
    pub(in crate::cluster) fn decisions_of_others(&self) -> Vec<Decision> {
        self.decisions.of_others()
    }

    /// Decisions of nodes that nobody counts as members need not be kept.
    pub(super) fn prune_decisions(&mut self) {
        let members = self.machine.members();
        self.decisions
            .forget_all_but(|id| members.get(&id).is_some());
    }
}
