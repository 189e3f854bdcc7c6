//! What the causal layers counted, and what came of a simulation.

use serde::Serialize;

use crate::causal_broadcast::CausalBroadcast;
use crate::causal_unicast::CausalUnicast;
use crate::sim::NodeId;
use crate::sim::membership::Over;
use crate::sim::subject::Subject;
use crate::stack::Stack;

/// What a layer counted, on one node or on all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vitals {
    pub(super) held_max: usize,
    pub(super) held: usize,
    pub(super) kept: usize,
    pub(super) words_bytes: u64,
    pub(super) sent: u64,
    pub(super) missed: u64,
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) late: u64,
    pub(super) waived: u64,
}

impl Vitals {
    pub(super) fn add(&mut self, other: Self) {
        self.held_max = self.held_max.max(other.held_max);
        self.held += other.held;
        self.kept += other.kept;
        self.words_bytes += other.words_bytes;
        self.sent += other.sent;
        self.missed += other.missed;
        self.asked += other.asked;
        self.answered += other.answered;
        self.late += other.late;
        self.waived += other.waived;
    }
}

/// A stack with a causal layer.
pub(super) trait Causal: Subject {
    fn vitals(&self) -> Vitals;

    /// Whether the node delivers already.
    fn is_ready(&self) -> bool;

    /// How the layer counts the message that it sent last; none where receivers are not told by count
    /// what they miss.
    fn last_sent(&self) -> Option<u64>;
}

impl<C: Subject> Causal for Stack<Over<C>, CausalBroadcast<NodeId>> {
    fn vitals(&self) -> Vitals {
        let layer = &self.upper;
        let counters = layer.counters();
        Vitals {
            held_max: layer.most_held(),
            held: layer.held(),
            kept: layer.kept(),
            words_bytes: counters.words_bytes,
            sent: counters.sent,
            missed: counters.missed,
            asked: counters.asked,
            answered: counters.answered,
            late: counters.late,
            waived: layer.waived(),
        }
    }

    fn is_ready(&self) -> bool {
        self.upper.has_joined()
    }

    fn last_sent(&self) -> Option<u64> {
        Some(self.upper.sent())
    }
}

impl<C: Subject> Causal for Stack<Over<C>, CausalUnicast<NodeId>> {
    fn vitals(&self) -> Vitals {
        let layer = &self.upper;
        let counters = layer.counters();
        Vitals {
            held_max: layer.most_held(),
            held: layer.held(),
            kept: layer.under_way(),
            words_bytes: counters.needs_bytes,
            sent: counters.sent,
            missed: counters.missed + counters.given_back,
            asked: counters.asked,
            answered: counters.resent,
            late: counters.late,
            waived: layer.waived(),
        }
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn last_sent(&self) -> Option<u64> {
        None
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The layer.
    pub layer: &'static str,
    /// The overlay.
    pub overlay: &'static str,
    /// Nodes.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// Messages sent.
    pub sent: u64,
    /// Deliveries, to nodes that came late or died included.
    pub deliveries: u64,
    /// Deliveries that could be expected: by nodes that were ready from the sending to the end.
    pub expected: u64,
    /// Of the expected, those that did not happen, and were told: to the receiver as missed.
    pub missed: u64,
    /// To the sender as refused.
    pub refused: u64,
    /// Gone with the nodes that had them.
    pub gone: u64,
    /// Lost without a word.
    pub unheard: u64,
    /// From the last message until all of the expected were delivered or told, in steps of 5 s.
    pub settled_s: f64,
    /// Messages that any node passed over or gave back, those of the dead included.
    pub given_up: u64,
    /// Most messages that one node held back at once.
    pub held_max: usize,
    /// Messages held back at the end, by all.
    pub held_at_end: usize,
    /// Messages kept at the end, by all: for those who miss them, or as they are not acknowledged.
    pub kept_at_end: usize,
    /// Bytes that the layer added to a message, mean.
    pub words_bytes: f64,
    /// Questions for missing messages.
    pub asked: u64,
    /// Messages sent again.
    pub answered: u64,
    /// Messages that came when they had been delivered or passed over.
    pub late: u64,
    /// Needs that could not be true: there are no liars here.
    pub waived: u64,
    /// The first order or promise that was broken, if any was.
    pub violation: Option<String>,
    /// Bytes per node and second over the whole simulation, all layers.
    pub bytes_per_node_s: f64,
    /// Inputs handled.
    pub events: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}
