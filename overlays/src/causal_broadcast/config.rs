//! Settings of causal broadcast, with the origin of each default.

use std::time::Duration;

use crate::hold_back::Limits;

/// Settings of a [`super::CausalBroadcast`]. All nodes of a cluster should have the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The longest that a message waits for what it depends on. After that, what is missing is given up
    /// and told, and the message is delivered. 10 s: a guess, above the repair of a broadcast tree and
    /// four times asking.
    pub wait_max: Duration,
    /// How long a node that starts waits to hear where the others are, from its first neighbor on. 2 s:
    /// two periods; a cluster of which all nodes start at once delivers nothing for so long.
    pub join_wait: Duration,
    /// How often stability is gossiped. 1 s: the period of membership.
    pub period: Duration,
    /// How much is held back, and of how many lives the count is remembered.
    pub hold_back: Limits,
    /// Most messages kept for those that miss them, until every live member has them. 16,384: a guess;
    /// about 4 MiB without payloads.
    pub kept_messages_max: usize,
    /// Most bytes of payloads kept. 16 MiB: as a broadcast layer below, which shares their memory.
    pub kept_bytes_max: usize,
    /// How long the count of a life that is silent is remembered. 11 min: longer than a broadcast layer
    /// takes a second copy for one ([`crate::StoreConfig::senders_for`]).
    pub forget_after: Duration,
}

impl Config {
    /// Times that a missing message is asked for before it is given up, as each wait is twice the one
    /// before: 1 + 2 + 4 + 8 is less than 16.
    const ASK_PARTS: u32 = 16;
    /// The least wait before asking: what is under way in another order comes within it.
    const ASK_LEAST: Duration = Duration::from_millis(50);

    /// How long a message waits before its node asks for what it depends on: as long as what came by
    /// itself took, within bounds that leave time to ask four times.
    pub(super) fn ask_after(&self, usual: Option<Duration>) -> Duration {
        let most = self.wait_max / Self::ASK_PARTS;
        let least = Self::ASK_LEAST.min(most);
        usual.map_or(most, |usual| usual.clamp(least, most))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            wait_max: Duration::from_secs(10),
            join_wait: Duration::from_secs(2),
            period: Duration::from_secs(1),
            hold_back: Limits::default(),
            kept_messages_max: 1 << 14,
            kept_bytes_max: 16 << 20,
            forget_after: Duration::from_secs(660),
        }
    }
}
