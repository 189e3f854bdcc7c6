//! Settings of HyParView, each with the origin of its default.

use std::time::Duration;

/// Settings of one node. All nodes of a cluster should have the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Most nodes in the active view: the lanes that this overlay keeps. Paper, section 5.1: 5.
    pub active_max: usize,
    /// Most nodes in the passive view: spares. Paper, section 5.1: 30.
    pub passive_max: usize,
    /// Hops that the news of a newcomer walks. Paper, section 5.1: 6.
    pub active_walk_hops: u8,
    /// Hops left when a newcomer goes into a passive view on the walk. Paper, section 5.1: 3.
    pub passive_walk_hops: u8,
    /// Hops that a shuffle walks. The paper leaves it open; the active walk's 6 is usual.
    pub shuffle_hops: u8,
    /// Nodes of the active view in a shuffle. Paper, section 5.1: 3.
    pub shuffle_active: usize,
    /// Nodes of the passive view in a shuffle. Paper, section 5.1: 4.
    pub shuffle_passive: usize,
    /// One cycle: a shuffle, a sign of life to each neighbor, and repair. The paper leaves it open;
    /// 10 s costs a node about one message per second.
    pub period: Duration,
    /// Periods without a sign of life after which a neighbor is dropped. 3: a guess that outlasts a
    /// lost message or two.
    pub silent_periods_max: u32,
    /// How long a node that was asked to be a neighbor may take. 5 s: a guess, longer than a dial.
    pub answer_timeout: Duration,
    /// Nodes remembered after their lane broke, one of which is tried again each period, so that
    /// parts of a split overlay find each other. 8: a guess, one view and a half.
    pub lost_max: usize,
    /// How long a lost node is tried. 1 h: a guess.
    pub lost_for: Duration,
    /// Where the node is in a zone: the least share of its neighbors that are in others, in percent and rounded up, so at least
    /// one. 20: a guess, one of five; the zones stay one overlay, and four of five hops stay inside.
    pub far_percent: u8,
    /// Replace far neighbors by near ones (X-BOT); none: all neighbors are random.
    pub xbot: Option<XbotConfig>,
    /// Behave as Partisan 5 does where it leaves the paper: passive walk as long as the active one,
    /// shuffles that send the same nodes each time, replies to the last hop instead of the origin, and
    /// promotion that always evicts. For comparison in the simulator only.
    pub partisan_deviations: bool,
}

/// Settings of X-BOT.
#[derive(Clone, Debug, PartialEq)]
pub struct XbotConfig {
    /// Neighbors that are never replaced for being far, so that the overlay stays one random graph.
    /// X-BOT paper: 1.
    pub unbiased: usize,
    /// Spare nodes compared per attempt. X-BOT paper: 2.
    pub candidates: usize,
    /// Periods between attempts. 1: as often as shuffles.
    pub periods_between: u32,
}

impl Default for XbotConfig {
    fn default() -> Self {
        Self {
            unbiased: 1,
            candidates: 2,
            periods_between: 1,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            active_max: 5,
            passive_max: 30,
            active_walk_hops: 6,
            passive_walk_hops: 3,
            shuffle_hops: 6,
            shuffle_active: 3,
            shuffle_passive: 4,
            period: Duration::from_secs(10),
            silent_periods_max: 3,
            answer_timeout: Duration::from_secs(5),
            lost_max: 8,
            lost_for: Duration::from_secs(3_600),
            far_percent: 20,
            xbot: None,
            partisan_deviations: false,
        }
    }
}
