//! Settings of the failure detector, with the origin of each default.

use std::time::Duration;

/// Settings of a [`super::Detector`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Time between probes. 1 s: SWIM and memberlist's LAN profile.
    pub period: Duration,
    /// How long a ping may take before others are asked. 300 ms: six times the slowest latency of
    /// the simulator's network (50 ms one way), so that a repeated packet still makes it.
    pub direct_wait: Duration,
    /// How long those who were asked have. 600 ms: twice `direct_wait`, so that a helper can wait
    /// out its own ping and still say so; with `direct_wait` less than `period`.
    pub indirect_wait: Duration,
    /// How many are asked. 3: memberlist's LAN profile.
    pub helpers: usize,
    /// Every how many periods the member that follows on the ring is probed in the place of a
    /// neighbor. 5: a guess; it bounds how long a member that nobody neighbors can be dead unseen.
    pub ring_every: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(1),
            direct_wait: Duration::from_millis(300),
            indirect_wait: Duration::from_millis(600),
            helpers: 3,
            ring_every: 5,
        }
    }
}
