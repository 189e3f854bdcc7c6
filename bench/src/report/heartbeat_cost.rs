//! What a file beside them costs the heartbeats, and whether that is within the bound.
//!
//! The engine answers for what it adds. Where heartbeats over a plain socket, sent at the same time, come
//! later than the engine's did before the file, the machine itself is that slow beside a file: then these
//! are what the bound counts from.
//!
//! One judgement for the check, the exit code, the caption and the line in the pictures, so that none
//! of them can say another thing than the others.

use crate::latencies::Latencies;
use crate::table;

/// Fewer heartbeats beside the file have no 99th percentile to speak of.
const HEARTBEATS_MIN: u64 = 1_000;

/// The 99th percentile of heartbeats before the file and beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct HeartbeatCost {
    before_us: f64,
    beside_us: f64,
    /// Over a plain socket, beside the file.
    plain_us: f64,
    /// How many came while the file was under way.
    beside: u64,
    /// How much later they may come beside the file.
    bound_us: f64,
}

/// Whether the bound holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does.
    Held,
    /// It does not.
    Missed,
    /// Too few heartbeats came beside the file.
    NotJudged,
}

impl HeartbeatCost {
    /// The cost, from the latencies before the file, those beside it, and those over a plain socket
    /// beside it.
    pub(crate) fn of(
        before: &Latencies,
        beside: &Latencies,
        plain: &Latencies,
        bound_us: u32,
    ) -> Self {
        Self {
            before_us: before.percentile_us(99.0),
            beside_us: beside.percentile_us(99.0),
            plain_us: plain.percentile_us(99.0),
            beside: beside.count(),
            bound_us: f64::from(bound_us),
        }
    }

    /// The most that the 99th percentile beside the file may be.
    pub(crate) fn most_us(&self) -> f64 {
        self.base_us() + self.bound_us
    }

    /// What the bound counts from.
    fn base_us(&self) -> f64 {
        self.before_us.max(self.plain_us)
    }

    /// Whether the bound holds.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.beside < HEARTBEATS_MIN {
            Verdict::NotJudged
        } else if self.beside_us <= self.most_us() {
            Verdict::Held
        } else {
            Verdict::Missed
        }
    }

    /// What had to hold.
    pub(crate) fn what(&self) -> String {
        format!(
            "99 % of heartbeats beside the file come at most {} µs later than before it, or than over a \
             plain socket beside it",
            table::number(self.bound_us)
        )
    }

    /// What was found.
    pub(crate) fn sentence(&self) -> String {
        let [beside, before, plain] =
            [self.beside_us, self.before_us, self.plain_us].map(table::number);
        let more = table::number((self.beside_us - self.base_us()).abs());
        let direction = if self.beside_us < self.base_us() {
            "less"
        } else {
            "more"
        };
        match self.verdict() {
            Verdict::NotJudged => format!(
                "not judged: {} heartbeats came beside the file, at least {} are needed; give a \
                 larger file",
                self.beside,
                table::count(HEARTBEATS_MIN)
            ),
            Verdict::Held | Verdict::Missed => {
                format!(
                    "{beside} µs beside it, {before} µs before it, {plain} µs over a plain socket beside \
                     it: {more} µs {direction} than the later of these"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(micros: u64, count: u64) -> Latencies {
        let mut latencies = Latencies::default();
        (0..count).for_each(|_| latencies.record(micros * 1_000));
        latencies
    }

    #[test]
    fn the_bound_is_held_up_to_its_last_microsecond() {
        let before = latencies(100, 1_000);
        let plain = latencies(90, 1_000);
        let cost =
            |beside, count| HeartbeatCost::of(&before, &latencies(beside, count), &plain, 400);
        assert_eq!(cost(499, 1_000).verdict(), Verdict::Held);
        assert_eq!(cost(50, 1_000).verdict(), Verdict::Held);
        assert_eq!(cost(510, 1_000).verdict(), Verdict::Missed);
        assert_eq!(cost(510, 999).verdict(), Verdict::NotJudged);
    }

    #[test]
    fn what_the_machine_does_to_plain_sockets_is_not_the_engines() {
        let (before, beside) = (latencies(100, 1_000), latencies(1_200, 1_000));
        let cost = |plain| HeartbeatCost::of(&before, &beside, &latencies(plain, 1_000), 400);
        assert_eq!(cost(900).verdict(), Verdict::Held);
        assert_eq!(cost(700).verdict(), Verdict::Missed);
        let sentence = cost(700).sentence();
        assert!(sentence.contains("over a plain socket"), "{sentence}");
    }

    #[test]
    fn the_sentence_follows_the_outcome() {
        let before = latencies(100, 1_000);
        let none = Latencies::default();
        let cost =
            |beside, count| HeartbeatCost::of(&before, &latencies(beside, count), &none, 400);
        let (cost, less, few) = (cost(4_000, 2_000), cost(50, 2_000), cost(4_000, 3));
        assert!(cost.what().contains("400 µs later"), "{}", cost.what());
        assert!(cost.sentence().contains("µs more"), "{}", cost.sentence());
        assert!(less.sentence().contains("µs less"), "{}", less.sentence());
        assert!(few.sentence().contains("larger file"), "{}", few.sentence());
    }
}
