//! Rumours: each node starts some, and each node that hears one for the first time passes it on.
//!
//! A state machine without I/O. It stands for the traffic that may be lost (best effort): what is
//! measured is how many rumours reach a node, not that all do. Randomness comes from the caller's seed.

use std::collections::{HashSet, VecDeque};

/// Bytes of one rumour on the wire: a name, a version and some metadata of a node.
pub(crate) const RUMOUR_BYTES: usize = 200;
/// A rumour goes no further than this many hops.
const HOPS_MAX: u8 = 4;
/// Rumours that are remembered; older ones would be taken for new, but do not live that long.
const REMEMBERED_MAX: usize = 4_096;

/// One rumour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rumour {
    origin: u8,
    hops: u8,
    sequence: u64,
}

impl Rumour {
    /// The rumour as a message.
    pub(crate) fn encode(self) -> [u8; RUMOUR_BYTES] {
        let mut message = [0_u8; RUMOUR_BYTES];
        message[0] = self.origin;
        message[1] = self.hops;
        message[2..10].copy_from_slice(&self.sequence.to_le_bytes());
        message
    }

    /// The rumour of a message; `None` for what is none.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        if message.len() != RUMOUR_BYTES {
            return None;
        }
        let sequence = u64::from_le_bytes(*message[2..].first_chunk()?);
        Some(Self {
            origin: message[0],
            hops: message[1],
            sequence,
        })
    }
}

/// What one node knows of rumours.
#[derive(Debug)]
pub(crate) struct Gossip {
    own: u8,
    next_sequence: u64,
    random: u64,
    known: HashSet<(u8, u64)>,
    order: VecDeque<(u8, u64)>,
    /// Rumours of others that reached this node.
    pub(crate) heard: u64,
    /// Messages that brought a rumour again.
    pub(crate) heard_again: u64,
}

impl Gossip {
    /// The gossip of node number `own`.
    pub(crate) fn new(own: u8, seed: u64) -> Self {
        Self {
            own,
            next_sequence: 0,
            random: seed | 1,
            known: HashSet::with_capacity(2 * REMEMBERED_MAX),
            order: VecDeque::with_capacity(REMEMBERED_MAX + 1),
            heard: 0,
            heard_again: 0,
        }
    }

    /// A new rumour of this node.
    pub(crate) fn start(&mut self) -> Rumour {
        let rumour = Rumour {
            origin: self.own,
            hops: 0,
            sequence: self.next_sequence,
        };
        self.next_sequence += 1;
        self.remember(rumour);
        rumour
    }

    /// A rumour came: what to pass on, when it is new and has hops left.
    pub(crate) fn hear(&mut self, rumour: Rumour) -> Option<Rumour> {
        if !self.remember(rumour) {
            self.heard_again += 1;
            return None;
        }
        self.heard += 1;
        let hops = rumour.hops.saturating_add(1);
        (hops < HOPS_MAX).then_some(Rumour { hops, ..rumour })
    }

    /// Which of `count` peers hears a rumour first; 0 when there is none.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        // xorshift64: even enough for the choice of a peer.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let choice = self.random % u64::try_from(count.max(1)).unwrap_or(1);
        usize::try_from(choice).unwrap_or(0)
    }

    /// Rumours that this node started.
    pub(crate) fn started(&self) -> u64 {
        self.next_sequence
    }

    fn remember(&mut self, rumour: Rumour) -> bool {
        let key = (rumour.origin, rumour.sequence);
        let new = self.known.insert(key);
        if new {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rumour_reaches_all_three_nodes_and_dies_out() {
        let mut nodes: Vec<Gossip> = (0..3).map(|own| Gossip::new(own, 7)).collect();
        let rumour = nodes[0].start();
        let first = 1 + nodes[0].pick(2);
        let mut messages = VecDeque::from([(0, first, rumour)]);
        let mut sent = 0;
        while let Some((from, to, rumour)) = messages.pop_front() {
            sent += 1;
            if let Some(onward) = nodes[to].hear(rumour) {
                messages.extend(
                    (0..3)
                        .filter(|n| *n != to && *n != from)
                        .map(|n| (to, n, onward)),
                );
            }
        }
        assert_eq!(nodes[1].heard + nodes[2].heard, 2);
        assert!(sent <= 6, "{sent} messages");
        assert_eq!(nodes[0].started(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut gossip = Gossip::new(0, 1);
        for _ in 0..3 * REMEMBERED_MAX {
            gossip.start();
        }
        assert_eq!(
            (gossip.known.len(), gossip.order.len()),
            (REMEMBERED_MAX, REMEMBERED_MAX)
        );
    }

    #[test]
    fn messages_that_are_no_rumour_are_refused() {
        let rumour = Gossip::new(3, 1).start();
        assert_eq!(Rumour::decode(&rumour.encode()), Some(rumour));
        assert_eq!(Rumour::decode(&[0; RUMOUR_BYTES - 1]), None);
        assert_eq!(Rumour::decode(&[]), None);
    }
}
