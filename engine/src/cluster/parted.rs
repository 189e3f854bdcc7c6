//! On which side of a partition this node is: whether the members it reaches are more than half of those that were
//! agreed on before.
//!
//! Made by the driver when both sides are named, told of members that come and go until it has healed. It decides
//! neither who is live nor when a partition begins or ends.

use std::collections::BTreeSet;

use super::identity::NodeId;
use crate::restraint::Side;

/// A partition that lasts.
#[derive(Clone, Debug)]
pub(super) struct Parted {
    /// The members of both sides when they were named, but for those that have said goodbye since.
    agreed: BTreeSet<NodeId>,
    /// Those of them that are reached.
    here: BTreeSet<NodeId>,
}

impl Parted {
    /// The sides as they were named; this node is `here`.
    pub(super) fn new(here: &[NodeId], there: &[NodeId]) -> Self {
        let here: BTreeSet<_> = here.iter().copied().collect();
        let agreed = here.iter().chain(there).copied().collect();
        Self { agreed, here }
    }

    pub(super) fn up(&mut self, member: NodeId) {
        if self.agreed.contains(&member) {
            self.here.insert(member);
        }
    }

    pub(super) fn down(&mut self, member: NodeId) {
        self.here.remove(&member);
    }

    /// A goodbye is no loss.
    pub(super) fn left(&mut self, member: NodeId) {
        self.agreed.remove(&member);
        self.here.remove(&member);
    }

    /// Of two halves, the one with the least identity has the quorum: so at most one side of a partition does.
    pub(super) fn side(&self) -> Side {
        let (here, agreed) = (self.here.len() * 2, self.agreed.len());
        let has_least = || self.here.first() == self.agreed.first();
        if here > agreed || (here == agreed && has_least()) {
            Side::Quorum
        } else {
            Side::NoQuorum
        }
    }

    /// Members that are reached, and those that are not.
    pub(super) fn sides(&self) -> (Vec<NodeId>, Vec<NodeId>) {
        let there = self.agreed.difference(&self.here);
        (
            self.here.iter().copied().collect(),
            there.copied().collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u32) -> Vec<NodeId> {
        let mut ids: Vec<_> = (0..count)
            .map(|number| NodeId::of(&format!("n{number}")))
            .collect();
        ids.sort_unstable();
        ids
    }

    /// However the members are split, at most one side has the quorum, and of two sides exactly one.
    #[test]
    fn at_most_one_side_has_the_quorum() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2000 {
            let all = ids(random.u32(2..14));
            let ways = random.usize(2..4);
            let mut sides = vec![Vec::new(); ways];
            for id in &all {
                sides[random.usize(..ways)].push(*id);
            }
            sides.retain(|side| !side.is_empty());
            let verdicts = sides.iter().map(|here| {
                let there: Vec<_> = all
                    .iter()
                    .filter(|id| !here.contains(id))
                    .copied()
                    .collect();
                Parted::new(here, &there).side()
            });
            let quorums = verdicts.filter(|side| *side == Side::Quorum).count();
            assert!(quorums <= 1, "{sides:?}");
            assert!(sides.len() > 2 || quorums == 1, "{sides:?}");
        }
    }

    #[test]
    fn the_quorum_follows_those_that_come_back_go_and_say_goodbye() {
        let all = ids(9);
        let mut parted = Parted::new(&all[..3], &all[3..]);
        assert_eq!(parted.side(), Side::NoQuorum);
        parted.up(all[3]);
        parted.up(NodeId::of("a newcomer counts for nobody"));
        assert_eq!(parted.side(), Side::NoQuorum);
        parted.up(all[4]);
        assert_eq!(parted.side(), Side::Quorum, "five of nine");
        parted.down(all[0]);
        assert_eq!(parted.side(), Side::NoQuorum, "four of nine");
        parted.left(all[8]);
        parted.left(all[7]);
        assert_eq!(parted.side(), Side::Quorum, "four of seven");
        let (here, there) = parted.sides();
        assert_eq!((here.len(), there.len()), (4, 3));
    }
}
