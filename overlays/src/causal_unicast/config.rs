//! Settings of causal unicast, with the origin of each default.

use std::time::Duration;

use crate::hold_back::Limits;

/// Settings of a [`super::CausalUnicast`]. All nodes of a cluster must have the same: how long a node
/// remembers what others have not got yet follows from how long those try.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The longest that a message waits at its receiver for what it depends on. After that, what is
    /// missing is given up and told, and the message is delivered. 10 s: as causal broadcast.
    pub wait_max: Duration,
    /// How long a message is sent again before it is given back to the application. 30 s: a guess, twice
    /// what membership takes to tell a death.
    pub give_up_after: Duration,
    /// After how long a message is sent again while no round trip to its receiver was measured. 1 s: RFC
    /// 6298, section 2.1.
    pub first_timeout: Duration,
    /// The least time-out. 50 ms: a guess; what is acknowledged late on a busy host is not sent twice.
    pub timeout_min: Duration,
    /// The most between two copies. 4 s: seven tries within `give_up_after`.
    pub timeout_max: Duration,
    /// Most messages to one node that are not acknowledged. 128: a guess.
    pub window_messages_max: usize,
    /// Most bytes of them. 1 MiB: four of the largest.
    pub window_bytes_max: usize,
    /// Most messages to all nodes that are not acknowledged. 8,192: a guess.
    pub messages_max: usize,
    /// Most bytes of them. 32 MiB: a guess.
    pub bytes_max: usize,
    /// Most nodes of which the count of messages to them is remembered. 16,384: above the largest cluster
    /// that this is built for.
    pub receivers_max: usize,
    /// How much is held back, and of how many lives the count is remembered.
    pub hold_back: Limits,
    /// How long the count of a sender that is silent is remembered; of a receiver twice as long, so that
    /// who counts anew is not taken for somebody who repeats. 11 min: far above all time-outs.
    pub forget_after: Duration,
}

impl Config {
    /// How long after it was told a node carries on what a third one may not have got yet: until its
    /// sender has an acknowledgement or has given it up, on a clock that is a quarter slow.
    pub(super) fn need_lasts(&self) -> Duration {
        self.outstanding_max() * 5 / 4
    }

    /// The longest that a message is neither acknowledged nor given up.
    pub(super) fn outstanding_max(&self) -> Duration {
        self.give_up_after + self.wait_max
    }

    /// How often what is over is looked for.
    pub(super) fn period(&self) -> Duration {
        self.wait_max / 10
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            wait_max: Duration::from_secs(10),
            give_up_after: Duration::from_secs(30),
            first_timeout: Duration::from_secs(1),
            timeout_min: Duration::from_millis(50),
            timeout_max: Duration::from_secs(4),
            window_messages_max: 128,
            window_bytes_max: 1 << 20,
            messages_max: 8_192,
            bytes_max: 32 << 20,
            receivers_max: 16_384,
            hold_back: Limits::default(),
            forget_after: Duration::from_secs(660),
        }
    }
}
