//! Decisions: what nodes have decided while they may not have reached one another, kept until everybody knows it.
//!
//! A state machine without I/O, owned by the driver: what a node decides is numbered, told to its neighbors, and passed on
//! by each that had not heard of it. Nodes that become neighbors say what they have (*heads*), and each sends what the
//! other lacks, so what was decided on one side of a partition reaches the other when it has healed, once each, in
//! the order of its numbers. Bounded for each node that decides, and for all: the oldest go first, and whoever misses
//! them is told how many. It decides nothing, and knows neither lanes nor members.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use overlane_overlays::DecodeError;
use overlane_overlays::message::at_most;
use serde::{Deserialize, Serialize};

use super::identity::NodeId;
use crate::wire::name::{NAME_BYTES_MAX, check_name};

/// Bytes of one decision: what is larger belongs into a store, and its name here.
pub const DECISION_BYTES_MAX: usize = 4 << 10;
/// Decisions of one node that are kept.
pub const DECISIONS_MAX: usize = 32;
/// Their bytes.
pub const DECISIONS_BYTES_MAX: usize = 16 << 10;
/// Nodes whose decisions are kept: 4 MiB at most.
pub const DECIDERS_MAX: usize = 256;
/// Nodes of which it is remembered how far their decisions are known, at 100 bytes each.
pub(super) const HEADS_MAX: usize = 1_024;

/// What a node decided, for whoever was not there: see [`Cluster::decide`](crate::Cluster::decide).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The node.
    pub by: String,
    /// The number of this start of the node.
    pub incarnation: u64,
    /// Counts the decisions of the node since it started, from one.
    pub number: u64,
    /// So many before it were forgotten before they reached this node.
    pub missed: u64,
    /// Whether the side on which it was taken had the quorum; none if the cluster was whole then.
    pub with_quorum: Option<bool>,
    /// What was decided.
    pub payload: Bytes,
}

/// What an application does with decisions of others.
pub(super) struct MergeCallback(pub(super) Box<dyn FnMut(Vec<Decision>) + Send>);

impl fmt::Debug for MergeCallback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MergeCallback")
    }
}

/// How far a node's decisions are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) by: NodeId,
    pub(super) incarnation: u64,
    pub(super) last: u64,
}

/// Decisions of one node, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    pub(super) by: String,
    pub(super) incarnation: u64,
    /// The first of the node's that the sender has still.
    pub(super) first_kept: u64,
    pub(super) decisions: Vec<Kept>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) with_quorum: Option<bool>,
    pub(super) payload: Bytes,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Those that are new here.
    pub(super) decisions: Vec<Decision>,
    /// Between them and what was known there are others, which the sender has.
    pub(super) is_gap: bool,
    /// There is no room for the decisions of one more node.
    pub(super) is_refused: bool,
}

#[derive(Debug)]
struct Decider {
    name: Arc<str>,
    incarnation: u64,
    last: u64,
    kept: VecDeque<Kept>,
    bytes: usize,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct DecisionLog {
    me: NodeId,
    deciders: BTreeMap<NodeId, Decider>,
}

impl Batch {
    /// The most bytes of one, encoded.
    pub(super) const BYTES_MAX: usize =
        2 + NAME_BYTES_MAX + 20 + 2 + DECISIONS_MAX * (10 + 2 + 3) + DECISIONS_BYTES_MAX;

    /// Holds what a peer sent against the bounds.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        check_name(&self.by).map_err(|_| DecodeError::Invalid { field: "name" })?;
        at_most(&self.decisions, DECISIONS_MAX, "decisions")?;
        let mut decisions = self.decisions.iter();
        if decisions.any(|decision| decision.payload.len() > DECISION_BYTES_MAX) {
            return Err(DecodeError::Invalid { field: "payload" });
        }
        Ok(())
    }
}

impl Decider {
    fn new(name: Arc<str>, incarnation: u64) -> Self {
        Self {
            name,
            incarnation,
            last: 0,
            kept: VecDeque::new(),
            bytes: 0,
        }
    }

    fn keep(&mut self, decision: Kept) {
        self.last = decision.number;
        self.bytes += decision.payload.len();
        self.kept.push_back(decision);
        while self.kept.len() > DECISIONS_MAX || self.bytes > DECISIONS_BYTES_MAX {
            let oldest = self.kept.pop_front();
            self.bytes -= oldest.map_or(0, |oldest| oldest.payload.len());
        }
    }

    /// Those after that number; none if all are known.
    fn after(&self, number: u64) -> Option<Batch> {
        let newer = self.kept.iter().filter(|kept| kept.number > number);
        let decisions: Vec<_> = newer.cloned().collect();
        let first_kept = self.kept.front()?.number;
        (!decisions.is_empty()).then(|| Batch {
            by: self.name.to_string(),
            incarnation: self.incarnation,
            first_kept,
            decisions,
        })
    }
}

impl DecisionLog {
    /// Of a node that has decided nothing.
    pub(super) fn new(name: Arc<str>, incarnation: u64) -> Self {
        let me = NodeId::of(&name);
        Self {
            me,
            deciders: BTreeMap::from([(me, Decider::new(name, incarnation))]),
        }
    }

    /// This node decides that. What others are to be told.
    pub(super) fn decide(&mut self, with_quorum: Option<bool>, payload: Bytes) -> Option<Batch> {
        let own = self.deciders.get_mut(&self.me)?;
        let known = own.last;
        own.keep(Kept {
            number: known + 1,
            with_quorum,
            payload,
        });
        own.after(known)
    }

    /// How far each node's decisions are known here.
    pub(super) fn heads(&self) -> Vec<Head> {
        let known = self.deciders.iter().filter(|(_, known)| known.last > 0);
        let heads = known.map(|(by, known)| Head {
            by: *by,
            incarnation: known.incarnation,
            last: known.last,
        });
        heads.take(HEADS_MAX).collect()
    }

    /// What somebody who knows these lacks, by decider; and whether they know of something that is not here.
    pub(super) fn compare(&self, theirs: &[Head]) -> (Vec<Batch>, bool) {
        let theirs: BTreeMap<_, _> = theirs
            .iter()
            .map(|head| (head.by, (head.incarnation, head.last)))
            .collect();
        let lacking = self.deciders.iter().filter_map(|(by, ours)| {
            match theirs.get(by) {
                Some((incarnation, _)) if *incarnation > ours.incarnation => None,
                Some((incarnation, last)) if *incarnation == ours.incarnation => ours.after(*last),
                // Of an earlier life, or of none.
                _ => ours.after(0),
            }
        });
        let is_ahead = |(by, there): (&NodeId, &(u64, u64))| {
            let here = self.deciders.get(by);
            *by != self.me && here.is_none_or(|here| *there > (here.incarnation, here.last))
        };
        (lacking.collect(), theirs.iter().any(is_ahead))
    }

    /// Takes what another node passed on.
    pub(super) fn take(&mut self, batch: Batch) -> Taken {
        let by = NodeId::of(&batch.by);
        let mut taken = Taken {
            is_refused: by != self.me && self.is_full(by),
            ..Taken::default()
        };
        if by == self.me || taken.is_refused {
            return taken;
        }
        let decider = self
            .deciders
            .entry(by)
            .or_insert_with(|| Decider::new(batch.by.as_str().into(), batch.incarnation));
        if batch.incarnation > decider.incarnation {
            *decider = Decider::new(Arc::clone(&decider.name), batch.incarnation);
        } else if batch.incarnation < decider.incarnation {
            return taken;
        }
        for decision in batch.decisions {
            if decision.number <= decider.last {
                continue;
            }
            let missed = decision.number - decider.last - 1;
            if missed > 0 && batch.first_kept <= decider.last + 1 {
                taken.is_gap = true;
                break;
            }
            taken.decisions.push(Decision {
                by: decider.name.to_string(),
                incarnation: decider.incarnation,
                number: decision.number,
                missed,
                with_quorum: decision.with_quorum,
                payload: decision.payload.clone(),
            });
            decider.keep(decision);
        }
        taken
    }

    /// Whether there is no room for the decisions of one more node.
    fn is_full(&self, by: NodeId) -> bool {
        let known = self.deciders.get(&by);
        if known.is_some_and(|known| !known.kept.is_empty()) {
            return false;
        }
        let keeping = self
            .deciders
            .values()
            .filter(|known| !known.kept.is_empty());
        keeping.count() >= DECIDERS_MAX || known.is_none() && self.deciders.len() >= HEADS_MAX
    }

    /// Decisions of others that are kept, in the order of each.
    pub(super) fn of_others(&self) -> Vec<Decision> {
        let others = self.deciders.iter().filter(|(by, _)| **by != self.me);
        let decisions = others.flat_map(|(_, decider)| {
            decider.kept.iter().map(|kept| Decision {
                by: decider.name.to_string(),
                incarnation: decider.incarnation,
                number: kept.number,
                missed: 0,
                with_quorum: kept.with_quorum,
                payload: kept.payload.clone(),
            })
        });
        decisions.collect()
    }

    /// The decisions of nodes that nobody counts as members any more are forgotten, not how far they were known: a
    /// node that comes back after a long time brings nothing twice.
    pub(super) fn forget_all_but(&mut self, is_member: impl Fn(NodeId) -> bool) {
        for (by, decider) in &mut self.deciders {
            if *by != self.me && !is_member(*by) {
                decider.kept.clear();
                decider.bytes = 0;
            }
        }
        if self.deciders.len() >= HEADS_MAX {
            let me = self.me;
            self.deciders
                .retain(|by, decider| *by == me || !decider.kept.is_empty() || is_member(*by));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> DecisionLog {
        DecisionLog::new(name.into(), 1)
    }

    fn decide(log: &mut DecisionLog, payload: &[u8]) -> Batch {
        let payload = Bytes::copy_from_slice(payload);
        log.decide(None, payload).expect("it is told")
    }

    fn numbers(taken: &Taken) -> Vec<(u64, u64)> {
        let decisions = taken.decisions.iter();
        decisions
            .map(|decision| (decision.number, decision.missed))
            .collect()
    }

    /// Gives one log what it lacks of another.
    fn catch_up(from: &DecisionLog, to: &mut DecisionLog) -> Vec<Decision> {
        let (batches, _) = from.compare(&to.heads());
        let taken = batches.into_iter().map(|batch| to.take(batch));
        taken.flat_map(|taken| taken.decisions).collect()
    }

    #[test]
    fn each_is_taken_once_in_order_and_a_gap_is_asked_for() {
        let (mut a, mut b) = (log("a"), log("b"));
        let first = decide(&mut a, b"one");
        let second = decide(&mut a, b"two");
        let early = b.take(second.clone());
        assert!(early.is_gap && early.decisions.is_empty());
        assert_eq!(a.compare(&b.heads()), (vec![all_of(&a)], false));
        assert_eq!(numbers(&b.take(first.clone())), [(1, 0)]);
        assert_eq!(numbers(&b.take(second.clone())), [(2, 0)]);
        for again in [first, second] {
            assert_eq!(b.take(again), Taken::default());
        }
        assert_eq!(catch_up(&a, &mut b), []);
        assert!(log("c").compare(&a.heads()).1, "c is behind");
        assert!(!b.compare(&a.heads()).1);
    }

    fn all_of(log: &DecisionLog) -> Batch {
        log.deciders[&log.me].after(0).expect("some")
    }

    #[test]
    fn the_oldest_are_forgotten_within_their_bounds_and_those_who_miss_them_are_told() {
        let (mut a, mut b, mut c) = (log("a"), log("b"), log("c"));
        decide(&mut a, b"0");
        catch_up(&a, &mut b);
        for _ in 0..40 {
            decide(&mut a, b"small");
        }
        let came = catch_up(&a, &mut b);
        assert_eq!((came.len(), came[0].number, came[0].missed), (32, 10, 8));
        for _ in 0..10 {
            decide(&mut a, &[0; DECISION_BYTES_MAX]);
        }
        let own = &a.deciders[&a.me];
        assert_eq!((own.kept.len(), own.bytes), (4, DECISIONS_BYTES_MAX));
        let came = catch_up(&a, &mut c);
        assert_eq!((came.len(), came[0].missed), (4, 47));
    }

    #[test]
    fn a_node_that_starts_again_counts_anew_and_takes_nothing_of_its_own() {
        let (mut a, mut b) = (log("a"), log("b"));
        decide(&mut a, b"before");
        catch_up(&a, &mut b);
        let mut again = DecisionLog::new("a".into(), 2);
        assert_eq!(catch_up(&b, &mut again), []);
        decide(&mut again, b"after");
        let came = catch_up(&again, &mut b);
        assert_eq!((came[0].incarnation, came[0].number), (2, 1));
        assert_eq!(b.take(all_of(&a)), Taken::default(), "of an earlier life");
    }

    #[test]
    fn deciders_are_bounded_until_they_are_no_members() {
        let mut log = log("a");
        let refused = (0..DECIDERS_MAX + 10).filter(|number| {
            let mut other = self::log(&format!("n{number}"));
            log.take(decide(&mut other, b"x")).is_refused
        });
        assert_eq!(refused.count(), 10);
        let kept = |log: &DecisionLog| log.of_others().len();
        assert_eq!(kept(&log), DECIDERS_MAX);
        log.forget_all_but(|by| by == NodeId::of("n3"));
        assert_eq!(kept(&log), 1);
        let mut back = self::log("n4");
        assert_eq!(log.take(decide(&mut back, b"x")), Taken::default());
        assert_eq!(numbers(&log.take(decide(&mut back, b"y"))), [(2, 0)]);
    }

    /// However decisions are passed on between logs, each takes all of them, once, in order.
    #[test]
    fn logs_that_meet_at_random_become_the_same() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut logs: Vec<_> = (0..6).map(|n| log(&format!("n{n}"))).collect();
        let mut came = vec![BTreeMap::<String, Vec<u64>>::new(); 6];
        let mut decided = [0_u64; 6];
        let mut note = |to: usize, decisions: Vec<Decision>| {
            for decision in decisions {
                came[to]
                    .entry(decision.by)
                    .or_default()
                    .push(decision.number);
            }
        };
        for _ in 0..400 {
            let (from, to) = (random.usize(..6), random.usize(..6));
            if random.u8(..4) == 0 && decided[from] < DECISIONS_MAX as u64 {
                let told = decide(&mut logs[from], b"x");
                decided[from] += 1;
                if from != to {
                    note(to, logs[to].take(told).decisions);
                }
            } else if from != to {
                let (batches, _) = logs[from].compare(&logs[to].heads());
                for batch in batches {
                    note(to, logs[to].take(batch).decisions);
                }
            }
        }
        for (from, to) in (0..6).flat_map(|from| (0..6).map(move |to| (from, to))) {
            if from != to {
                let (batches, _) = logs[from].compare(&logs[to].heads());
                for batch in batches {
                    note(to, logs[to].take(batch).decisions);
                }
            }
        }
        for (to, came) in came.iter().enumerate() {
            for (from, count) in decided.iter().enumerate().filter(|(from, _)| *from != to) {
                let expected: Vec<_> = (1..=*count).collect();
                let numbers = came.get(&format!("n{from}")).cloned();
                assert_eq!(numbers.unwrap_or_default(), expected, "n{from} at n{to}");
            }
        }
    }
}
