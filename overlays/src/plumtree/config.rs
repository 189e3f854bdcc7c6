//! Settings of Plumtree, each with the origin of its default. How long to wait for what is no setting:
//! it follows from what the node measures (`crate::pace`).

use std::time::Duration;

use crate::store::StoreConfig;

/// Settings of one node. All nodes of a cluster should have the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How long announcements are gathered before they are sent. Longer: fewer messages, and later
    /// repair. 50 ms: a guess, about one hop of a wide area network.
    pub announce_after: Duration,
    /// How far back a new neighbor is told of messages; two spreads if that is longer. 3 s: a guess,
    /// longer than a neighbor is replaced.
    pub catch_up_for: Duration,
    /// Hops that a neighbor's path must be shorter before it takes the place of the one that payloads
    /// come from. 2, not the paper's 7: here only one sender has a say, so less damping is needed.
    /// Lower values trade time for hops (docs/simulation.md).
    pub optimization_threshold: u16,
    /// How much is remembered.
    pub store: StoreConfig,
    /// Most announced messages waited for at once; further announcements are ignored. 4,096: a guess
    /// that bounds what a hostile neighbor can make a node remember.
    pub missing_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            announce_after: Duration::from_millis(50),
            catch_up_for: Duration::from_secs(3),
            optimization_threshold: 2,
            store: StoreConfig::default(),
            missing_max: 4_096,
        }
    }
}
