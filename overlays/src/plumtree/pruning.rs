//! Pruning: which messages take links out of the tree.
//!
//! One message comes to each node first over one link. Without the links that only brought it again, a
//! tree is left. That is true of one message: two of different senders meet themselves at different
//! links of a circle, both links go, and what lies between them is cut off. In the paper every message
//! prunes, and a cluster with many senders, a message each 10 ms, never comes to rest. So here a
//! sender marks a message now and then, long enough after the last marked one, and only those prune.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::time::Time;

/// Least time between two marked messages. 1 s: longer than a message is under way in a tree of 10,000
/// nodes.
const APART_LEAST: Duration = Duration::from_secs(1);

/// Mean time from then on until one of many senders marks a message; none knows of the others' choice
/// before it hears of it, so less would mean two at once more often. 2 s: a guess; with 1, 2 and 5 s
/// trees came to rest in the simulator.
const AFTER_MEAN: Duration = Duration::from_secs(2);

/// What a node has seen of marked messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pruning {
    last: Option<Time>,
    /// Messages since then, the marked one included.
    messages: u32,
    /// Some of those were sent by others.
    others_send: bool,
}

impl Pruning {
    pub(super) const fn new() -> Self {
        Self {
            last: None,
            messages: 0,
            others_send: false,
        }
    }

    /// Notes a message that this node sent or got first.
    pub(super) const fn note(&mut self, now: Time, prunes: bool, own: bool) {
        if prunes {
            *self = Self {
                last: Some(now),
                ..Self::new()
            };
        }
        self.messages = self.messages.saturating_add(1);
        self.others_send |= !own;
    }

    /// Whether the next message of this node is to prune. If all nodes send, each decides for its own
    /// messages alone, with a chance that makes it one of all in [`AFTER_MEAN`].
    pub(super) fn decide<R: Rng>(self, now: Time, random: &mut R) -> bool {
        let Some(last) = self.last else { return true };
        let since = now.since(last);
        let gap = since / self.messages.max(1);
        since >= APART_LEAST
            && (!self.others_send
                || random.random_bool((gap.as_secs_f64() / AFTER_MEAN.as_secs_f64()).min(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    /// Times between the marked ones of `count` messages that come `gap` apart, all but a few of them
    /// sent by others.
    fn times_apart(gap: Duration, count: u32, own: bool) -> Vec<Duration> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(4);
        let (mut pruning, mut now) = (Pruning::new(), Time::ZERO);
        let mut marked = Vec::new();
        for _ in 0..count {
            let prunes = pruning.decide(now, &mut random);
            pruning.note(now, prunes, own);
            if prunes {
                marked.push(now);
            }
            now = now + gap;
        }
        marked.windows(2).map(|two| two[1].since(two[0])).collect()
    }

    #[test]
    fn many_senders_mark_a_message_every_few_seconds_at_any_rate() {
        for gap in [10, 100, 1_500].map(Duration::from_millis) {
            let apart = times_apart(gap, 20_000, false);
            assert!(apart.iter().all(|apart| *apart >= APART_LEAST));
            let mean = apart.iter().sum::<Duration>() / u32::try_from(apart.len()).unwrap();
            let expected = APART_LEAST + AFTER_MEAN;
            assert!(mean > expected / 2 && mean < expected * 2, "{mean:?}");
        }
    }

    #[test]
    fn a_single_sender_marks_a_message_each_second() {
        let apart = times_apart(Duration::from_millis(100), 1_000, true);
        assert!(apart.iter().all(|apart| *apart == APART_LEAST));
    }
}
