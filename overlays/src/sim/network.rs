//! What lies between the simulated nodes: how long a message takes, whether it arrives, how often.
//!
//! Called by the world for each message and each dial. Decides from its own random stream and never
//! touches a node.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::NodeId;
use super::lanes::LaneConfig;

/// How long messages take from node to node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Drawn once per pair of nodes, uniform, the same both ways: order is kept.
    PerLink {
        /// Least.
        min: Duration,
        /// Most.
        max: Duration,
    },
    /// Drawn for each message, uniform: later messages overtake earlier ones.
    PerMessage {
        /// Least.
        min: Duration,
        /// Most.
        max: Duration,
    },
    /// Drawn for each message: `min` plus an exponential part with this mean, cut at ten means.
    HeavyTail {
        /// Least.
        min: Duration,
        /// Mean of what comes on top.
        mean: Duration,
    },
}

/// What the network does to messages while it is at its best and while it is troubled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetworkConfig {
    /// How long messages take.
    pub latency: Latency,
    /// Share of messages lost, 0 to 1.
    pub loss: f64,
    /// Share of messages lost besides in one direction of each pair of nodes, drawn once per pair, 0 to 1.
    pub one_way_loss: f64,
    /// Share of pairs of nodes that cannot make a lane to each other, though others reach both, 0 to 1.
    pub broken_pairs: f64,
    /// Share of messages that arrive twice, 0 to 1.
    pub duplication: f64,
    /// The most that a second copy comes later than a second message would: what a lane that was
    /// resumed sends again can be old.
    pub duplication_delay: Duration,
    /// Share of messages that take up to `reorder_delay` longer, so that others overtake them.
    pub reorder: f64,
    /// The most that a reordered message is late.
    pub reorder_delay: Duration,
    /// After how long a lane to a silent peer is given up. 3 s: what a lane heartbeat would need.
    pub lane_timeout: Duration,
    /// After how long a dial without an answer is given up. 3 s: two of the kernel's repetitions.
    pub dial_timeout: Duration,
    /// What lanes cost.
    pub lanes: LaneConfig,
    /// What becomes of the nodes that the workloads crash, where they do not say it themselves.
    pub death: Death,
}

/// How a node ends, which is what others meet in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Death {
    /// Its process is gone: lanes break at once, and its host refuses dials within a round trip.
    #[default]
    Refuses,
    /// Its host is gone: lanes fall silent, and dials get no answer until they time out.
    Silent,
    /// Its process is gone behind something that takes connections for it, such as a proxy: lanes
    /// break at once, and dials are reset after two round trips.
    Resets,
}

impl Default for NetworkConfig {
    /// No trouble, 10 to 50 ms per link: what other simulators of these protocols assume.
    fn default() -> Self {
        Self {
            latency: Latency::PerLink {
                min: Duration::from_millis(10),
                max: Duration::from_millis(50),
            },
            loss: 0.0,
            one_way_loss: 0.0,
            broken_pairs: 0.0,
            duplication: 0.0,
            duplication_delay: Duration::ZERO,
            reorder: 0.0,
            reorder_delay: Duration::from_millis(200),
            lane_timeout: Duration::from_secs(3),
            dial_timeout: Duration::from_secs(3),
            lanes: LaneConfig::default(),
            death: Death::Refuses,
        }
    }
}

/// Nodes that cannot reach certain others.
#[derive(Clone, Debug)]
struct Cut {
    from: Vec<bool>,
    to: Vec<bool>,
}

/// The network between the nodes of a world.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) config: NetworkConfig,
    salt: u64,
    random: Xoshiro256PlusPlus,
    cuts: Vec<Cut>,
    /// How often all cuts were ended.
    pub(super) heals: u32,
}

impl Network {
    pub(super) fn new(seed: u64, config: NetworkConfig) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6e65_7477_6f72_6b00);
        Self {
            config,
            salt: mix(seed ^ 0x6c61_7465_6e63_7900),
            random,
            cuts: Vec::new(),
            heals: 0,
        }
    }

    /// Messages from a node in `from` no longer reach a node in `to`. Both are indexed by node.
    pub(super) fn cut(&mut self, from: Vec<bool>, to: Vec<bool>) {
        self.cuts.push(Cut { from, to });
    }

    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.heals += 1;
    }

    /// Whether messages get from one node to another.
    pub(super) fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        if self.is_broken(from, to) {
            return false;
        }
        let is_in = |set: &[bool], node: NodeId| set.get(node as usize).copied().unwrap_or(false);
        !self
            .cuts
            .iter()
            .any(|cut| is_in(&cut.from, from) && is_in(&cut.to, to))
    }

    /// Microseconds after which the copies of one message arrive: none if it is lost.
    pub(super) fn arrivals(&mut self, from: NodeId, to: NodeId) -> [Option<u64>; 2] {
        let may_be_cut = !self.cuts.is_empty() || self.config.broken_pairs > 0.0;
        if may_be_cut && !self.reaches(from, to) || self.happens(self.loss(from, to)) {
            return [None, None];
        }
        let mut first = self.latency(from, to);
        if self.happens(self.config.reorder) {
            first += self.up_to(self.config.reorder_delay);
        }
        let again = self
            .happens(self.config.duplication)
            .then(|| first + self.latency(from, to) + self.up_to(self.config.duplication_delay));
        [Some(first), again]
    }

    /// Microseconds of a random part of a span.
    fn up_to(&mut self, most: Duration) -> u64 {
        micros(most.mul_f64(self.random.random_range(0.0..1.0)))
    }

    /// Microseconds that one message takes, if it arrives.
    pub(super) fn latency(&mut self, from: NodeId, to: NodeId) -> u64 {
        match self.config.latency {
            Latency::PerLink { min, max } => {
                let (min, max) = (micros(min), micros(max));
                min + mix(self.salt ^ pair_of(from, to)) % (max - min + 1)
            }
            Latency::PerMessage { min, max } => self.random.random_range(micros(min)..=micros(max)),
            Latency::HeavyTail { min, mean } => {
                let uniform: f64 = self.random.random_range(f64::MIN_POSITIVE..1.0);
                let tail = (-uniform.ln()).min(10.0);
                micros(min + mean.mul_f64(tail))
            }
        }
    }

    /// Whether two nodes cannot make a lane to each other.
    fn is_broken(&self, one: NodeId, other: NodeId) -> bool {
        let share = self.config.broken_pairs;
        share > 0.0 && share_of(mix(self.salt ^ pair_of(one, other)) ^ BROKEN_SALT) < share
    }

    /// The share of messages lost from one node to another.
    fn loss(&self, from: NodeId, to: NodeId) -> f64 {
        let (loss, besides) = (self.config.loss, self.config.one_way_loss);
        if besides == 0.0 {
            return loss;
        }
        let lossy_upwards = mix(self.salt ^ pair_of(from, to) ^ ONE_WAY_SALT).is_multiple_of(2);
        if lossy_upwards == (from < to) {
            1.0 - (1.0 - loss) * (1.0 - besides)
        } else {
            loss
        }
    }

    /// Draws whether something happens that has this share.
    pub(super) fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random_bool(share)
    }
}

/// Tell what is drawn for a pair of nodes from its latency.
const BROKEN_SALT: u64 = 0x6272_6f6b_656e_0000;
const ONE_WAY_SALT: u64 = 0x6f6e_6577_6179_0000;

/// A number for two nodes, the same both ways.
fn pair_of(one: NodeId, other: NodeId) -> u64 {
    u64::from(one.min(other)) << 32 | u64::from(one.max(other))
}

/// A hash as a number from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
const fn share_of(hash: u64) -> f64 {
    mix(hash) as f64 / u64::MAX as f64
}

/// Whole microseconds of a span.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Spreads the bits of a number over all 64 (the finalizer of splitmix64).
pub(super) const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
