//! What waits on its way over this node for room on the next lane: in order for each lane, and bounded for each node
//! that it came from and for all.
//!
//! Owned by the carrier, which tries the first of each lane again. It sends nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::envelope::Envelope;

/// Bytes of one neighbor that wait at a time: more than all that a node may have under way to one member.
const HELD_BYTES_MAX: usize = 1 << 20;
/// Of all together.
const ALL_BYTES_MAX: usize = 16 * HELD_BYTES_MAX;
/// What each costs besides its bytes.
const OVERHEAD_BYTES: usize = 256;

/// Something on its way.
#[derive(Debug)]
pub(in crate::cluster) struct Onward {
    pub(in crate::cluster) envelope: Envelope,
    /// As it goes to the next node.
    pub(in crate::cluster) bytes: Bytes,
    /// Who is charged for it; none: this node, which has bounded it already.
    pub(in crate::cluster) came_from: Option<Arc<str>>,
}

impl Onward {
    fn cost(&self) -> usize {
        self.bytes.len() + OVERHEAD_BYTES
    }
}

/// A lane: the next node, and the channel.
pub(in crate::cluster) type LaneName = (Arc<str>, Arc<str>);

/// See the module's text.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Held {
    lanes: BTreeMap<LaneName, VecDeque<Onward>>,
    charged: BTreeMap<Arc<str>, usize>,
    bytes: usize,
}

impl Held {
    pub(in crate::cluster) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Whether something waits for that lane: what comes now goes behind it.
    pub(in crate::cluster) fn waits_for(&self, lane: &LaneName) -> bool {
        self.lanes.contains_key(lane)
    }

    /// Puts it at the end of its lane's line. Gives it back if its neighbor has as much here as it may.
    pub(in crate::cluster) fn put(&mut self, lane: &LaneName, onward: Onward) -> Option<Onward> {
        let cost = onward.cost();
        if let Some(neighbor) = &onward.came_from {
            let charged = self.charged.get(neighbor).copied().unwrap_or_default();
            let fits = charged == 0 || charged + cost <= HELD_BYTES_MAX;
            if !fits || self.bytes + cost > ALL_BYTES_MAX {
                return Some(onward);
            }
            self.charged.insert(Arc::clone(neighbor), charged + cost);
            self.bytes += cost;
        }
        self.lanes
            .entry(lane.clone())
            .or_default()
            .push_back(onward);
        None
    }

    /// The lanes that something waits for.
    pub(in crate::cluster) fn lanes(&self) -> Vec<LaneName> {
        self.lanes.keys().cloned().collect()
    }

    /// The first that waits for that lane.
    pub(in crate::cluster) fn first(&self, lane: &LaneName) -> Option<&Onward> {
        self.lanes.get(lane)?.front()
    }

    /// Takes it.
    pub(in crate::cluster) fn take_first(&mut self, lane: &LaneName) -> Option<Onward> {
        let line = self.lanes.get_mut(lane)?;
        let first = line.pop_front();
        if line.is_empty() {
            self.lanes.remove(lane);
        }
        let first = first?;
        if let Some(neighbor) = &first.came_from
            && let Some(charged) = self.charged.get_mut(neighbor)
        {
            *charged -= first.cost();
            self.bytes -= first.cost();
            if *charged == 0 {
                self.charged.remove(neighbor);
            }
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::relay::envelope::Kind;

    fn onward(from: Option<&str>, number: u64, bytes: usize) -> Onward {
        Onward {
            envelope: Envelope {
                kind: Kind::Receipt,
                ttl: 1,
                hops: 1,
                number,
                from: "a".to_owned(),
                to: "b".to_owned(),
                mailbox: String::new(),
                payload: Bytes::new(),
            },
            bytes: Bytes::from(vec![0; bytes]),
            came_from: from.map(Arc::from),
        }
    }

    #[test]
    fn what_waits_is_in_order_and_bounded_for_each_neighbor_and_for_all() {
        let mut held = Held::default();
        let lane: LaneName = ("next".into(), "data".into());
        let other: LaneName = ("next".into(), "bulk".into());
        let fill = |held: &mut Held, neighbor: &str| {
            let put = |number: &u64| {
                let lane = if number.is_multiple_of(2) {
                    &lane
                } else {
                    &other
                };
                held.put(lane, onward(Some(neighbor), *number, 1024))
                    .is_none()
            };
            (0..10_000).take_while(put).count()
        };
        let fits = HELD_BYTES_MAX / (1024 + OVERHEAD_BYTES);
        assert_eq!(fill(&mut held, "greedy"), fits);
        assert_eq!(
            fill(&mut held, "other"),
            fits,
            "it is not charged for the first"
        );
        for neighbor in 0..40 {
            fill(&mut held, &format!("n{neighbor}"));
        }
        assert!(held.bytes <= ALL_BYTES_MAX);
        assert!(held.put(&lane, onward(Some("late"), 0, 1)).is_some());
        assert!(
            held.put(&lane, onward(None, 0, 1)).is_none(),
            "its own is bounded elsewhere"
        );
        let mut numbers = Vec::new();
        while let Some(first) = held.take_first(&lane) {
            if first.came_from.as_deref() == Some("greedy") {
                numbers.push(first.envelope.number);
            }
        }
        assert!(numbers.is_sorted() && numbers.len() == fits.div_ceil(2));
        assert!(held.waits_for(&other) && !held.waits_for(&lane));
        while held.take_first(&other).is_some() {}
        assert!(held.is_empty() && held.bytes == 0 && held.charged.is_empty());
        let large = onward(Some("greedy"), 0, 2 << 20);
        assert!(held.put(&lane, large).is_none(), "one of any size passes");
    }
}
