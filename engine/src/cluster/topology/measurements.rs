//! What is measured of a cluster, as it is shown and as rules see it.
//!
//! Plain values. What a node measures of itself it tells whoever pings it ([`Report`]), and whoever pings takes the
//! median of what it is told: one node that is slow does not make a slow cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The cluster at one moment, as one node sees it. What is not known is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Measurements {
    /// Live members, this node among them.
    pub members: u64,
    /// Of those: do not answer somebody.
    pub suspects: u64,
    /// Lanes of the control channel that this node has.
    pub lanes: u64,
    /// Lanes that the overlay wants here.
    pub lanes_wanted: u64,
    /// Share of those that are up, or of members that answer, whichever is less. Median of the reporters.
    pub connectivity_percent: Option<u64>,
    /// Round trip to members, of 99 of 100 pings. Median of the reporters.
    pub rtt_p99_us: Option<u64>,
    /// Time from hand-over to acknowledgement of 99 of 100 messages of this node since it started, on its slowest channel.
    pub message_p99_us: Option<u64>,
    /// Lanes lost in the last minute. Median of the reporters.
    pub lane_losses: Option<u64>,
    /// Partitions in the last hour that this node saw.
    pub partitions: u64,
    /// One of them is not healed.
    pub is_partitioned: bool,
    /// Processor time of the process between the last two looks, in percent of a core. Median of the reporters.
    pub cpu_percent: Option<u64>,
    /// Bytes sent and received on lanes, per second between the last two looks. Median of the reporters.
    pub bytes_per_second: Option<u64>,
    /// Share of the network that this is, if `topology_link_bytes` says what there is.
    pub bandwidth_percent: Option<u64>,
    /// Bytes that wait to be sent on this node.
    pub queue_bytes: Option<u64>,
    /// Hops of 99 of 100 of the last broadcasts that came here.
    pub hops_p99: Option<u64>,
    /// Nodes whose reports are in the medians, this one among them.
    pub reporters: u64,
    /// Gauges of the application on this node.
    pub gauges: BTreeMap<String, u64>,
    /// Round trips to members that were pinged lately.
    pub peers: Vec<PeerRtt>,
}

/// Round trips to one member: of its last pings, 16 at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerRtt {
    /// Its name.
    pub peer: String,
    /// Pings that were answered.
    pub answered: u64,
    /// The one in the middle.
    pub p50_us: u64,
    /// 99 of 100 were faster.
    pub p99_us: u64,
}

/// What a node tells of itself to whoever pings it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Report {
    pub(in crate::cluster) rtt_p99_us: Option<u64>,
    pub(in crate::cluster) connectivity_percent: Option<u64>,
    pub(in crate::cluster) lane_losses: Option<u64>,
    pub(in crate::cluster) cpu_percent: Option<u64>,
    pub(in crate::cluster) bytes_per_second: Option<u64>,
}

impl Report {
    /// The most bytes of an encoded one: five optional numbers.
    pub(in crate::cluster) const BYTES_MAX: usize = 5 * 11;
}

/// The one at that share, in percent, of values in any order.
pub(super) fn at_percent(mut values: Vec<u64>, percent: usize) -> Option<u64> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    values.get(last * percent / 100).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_values() {
        assert_eq!(at_percent(vec![], 50), None);
        assert_eq!(at_percent(vec![7], 99), Some(7));
        assert_eq!(at_percent(vec![3, 1, 2], 50), Some(2));
        assert_eq!(at_percent((0..=100).rev().collect(), 99), Some(99));
    }
}
