//! Settings of membership, with the origin of each default.

use std::time::Duration;

use crate::failure_detector;

/// Settings of a [`super::Membership`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Of the failure detector. Its period is the period of membership too.
    pub detector: failure_detector::Config,
    /// How long a member that enough others accused has to refute it, and how long after its first
    /// refutation nobody accuses it again; each further refutation doubles that, up to 16 times. 4 s: memberlist's suspicion
    /// multiplier of 4 periods, without its growth with the cluster: a broadcast, not gossip, carries
    /// the suspicion and its refutation.
    pub grace_least: Duration,
    /// How long a member has that only one node accused. 12 s: three times `grace_least`; a guess
    /// (memberlist uses six times, with slower news).
    pub grace_most: Duration,
    /// How long a dead member is remembered. 10 min: a guess, far above the time in which anti-entropy
    /// reaches everybody, and the time in which a partition can heal without anybody's help.
    /// A node that did not run for half of it tells others nothing of a member before it has heard of it
    /// anew, and forgets those of whom it hears nothing in five times `grace_most`.
    pub forget_after: Duration,
    /// Every how many periods a random member that is down is pinged, in case it lives behind a
    /// partition that has healed. 10: a guess; n nodes together ping n/10 of them per period.
    pub revisit_every: u32,
    /// Every how many periods the first member broadcasts a beacon. 5: a guess; an overlay that split
    /// is repaired after four times as long.
    pub beacon_every: u32,
    /// Most members known, dead ones included. Others are refused. 65,536: five times the largest
    /// cluster that this is built for; memory grows with members known, about 200 bytes each.
    pub members_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            detector: failure_detector::Config::default(),
            grace_least: Duration::from_secs(4),
            grace_most: Duration::from_secs(12),
            forget_after: Duration::from_secs(600),
            revisit_every: 10,
            beacon_every: 5,
            members_max: 65_536,
        }
    }
}
