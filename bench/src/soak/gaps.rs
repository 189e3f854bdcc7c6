//! Stretches of time in which nothing was delivered, held against what the sender was told meanwhile.
//!
//! Without I/O: moments are nanoseconds of the clock that all processes of a machine share. The receiver
//! keeps its gaps, the sender its events, and the parent asks [`longest_untold_ns`].

use serde::{Deserialize, Serialize};

/// Shorter pauses are those of a scheduler.
const GAP_NS_MIN: u64 = 20_000_000;
/// Most gaps that are kept: what is too much of a bad run is dropped, the longest last.
const GAPS_MAX: usize = 100_000;

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Stretch {
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
}

impl Stretch {
    fn lasts_ns(self) -> u64 {
        self.end_ns.saturating_sub(self.begin_ns)
    }
}

/// The pauses of a receiver.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Gaps {
    /// When the first message came; 0 before.
    pub(super) first_ns: u64,
    /// When the last one came.
    pub(super) last_ns: u64,
    gaps: Vec<Stretch>,
}

impl Gaps {
    /// A message came.
    pub(super) fn delivered(&mut self, now_ns: u64) {
        if self.first_ns == 0 {
            self.first_ns = now_ns;
        } else {
            let gap = Stretch {
                begin_ns: self.last_ns,
                end_ns: now_ns,
            };
            self.add(gap);
        }
        self.last_ns = now_ns;
    }

    /// A pause that somebody else has seen.
    pub(super) fn add(&mut self, gap: Stretch) {
        if gap.lasts_ns() < GAP_NS_MIN {
            return;
        }
        if self.gaps.len() >= GAPS_MAX {
            self.gaps
                .sort_unstable_by_key(|gap| std::cmp::Reverse(gap.lasts_ns()));
            self.gaps.truncate(GAPS_MAX / 2);
        }
        self.gaps.push(gap);
    }
}

/// What a sender was told of the lane that its messages take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    /// It has ended, or its peer has.
    Down,
    /// It is up again.
    Up,
    /// Messages were reported, or a dial failed.
    Other,
}

/// The longest stretch without a delivery in which the sender neither knew that the lane was down nor was told
/// anything of it. `told` is in order of time.
pub(super) fn longest_untold_ns(gaps: &Gaps, told: &[(u64, Told)]) -> u64 {
    let untold = gaps.gaps.iter().map(|gap| longest_in(*gap, told));
    untold.max().unwrap_or_default()
}

/// How often the lane went down, and for how long in all until it was up again.
pub(super) fn down(told: &[(u64, Told)]) -> (u64, u64) {
    let (mut times, mut total_ns, mut since) = (0, 0, None);
    for &(at_ns, told) in told {
        match (told, since) {
            (Told::Down, None) => since = Some(at_ns),
            (Told::Up, Some(since_ns)) => {
                times += 1;
                total_ns += at_ns - since_ns;
                since = None;
            }
            _ => {}
        }
    }
    (times, total_ns)
}

fn longest_in(gap: Stretch, told: &[(u64, Told)]) -> u64 {
    let first = told.partition_point(|(at_ns, _)| *at_ns <= gap.begin_ns);
    let turns = told[..first].iter().rev();
    let mut is_down = turns
        .map(|(_, told)| *told)
        .find(|told| *told != Told::Other)
        == Some(Told::Down);
    let (mut since_ns, mut longest) = (gap.begin_ns, 0);
    for &(at_ns, told) in &told[first..] {
        if at_ns >= gap.end_ns {
            break;
        }
        if !is_down {
            longest = longest.max(at_ns - since_ns);
        }
        match told {
            Told::Down => is_down = true,
            Told::Up => is_down = false,
            Told::Other => {}
        }
        since_ns = at_ns;
    }
    if is_down {
        longest
    } else {
        longest.max(gap.end_ns.saturating_sub(since_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Deliveries and events in milliseconds.
    fn untold_ms(delivered: &[u64], told: &[(u64, Told)]) -> u64 {
        let mut gaps = Gaps::default();
        delivered.iter().for_each(|at| gaps.delivered(at * MS));
        let told: Vec<_> = told.iter().map(|(at, told)| (at * MS, *told)).collect();
        longest_untold_ns(&gaps, &told) / MS
    }

    #[test]
    fn a_pause_that_nobody_is_told_of_counts_whole() {
        assert_eq!(untold_ms(&[10, 20, 500, 510], &[]), 480);
        assert_eq!(untold_ms(&[10, 20, 500], &[(5, Told::Up)]), 480);
    }

    #[test]
    fn short_pauses_are_the_schedulers() {
        assert_eq!(untold_ms(&[10, 25, 40], &[]), 0);
    }

    #[test]
    fn while_the_lane_is_known_to_be_down_nothing_is_expected() {
        let told = [(300, Told::Down), (5_000, Told::Up)];
        assert_eq!(untold_ms(&[100, 5_050], &told), 200);
        let early = [(90, Told::Down), (5_000, Told::Up)];
        assert_eq!(untold_ms(&[100, 5_050], &early), 50);
        assert_eq!(untold_ms(&[100, 5_050], &[(90, Told::Down)]), 0);
    }

    #[test]
    fn a_lane_that_is_up_and_silent_counts_again() {
        let told = [(110, Told::Down), (120, Told::Up)];
        assert_eq!(untold_ms(&[100, 1_000], &told), 880);
        let reported = [(110, Told::Down), (120, Told::Up), (600, Told::Other)];
        assert_eq!(untold_ms(&[100, 1_000], &reported), 480);
    }

    #[test]
    fn a_lane_that_went_down_is_down_until_it_is_up() {
        let told = [
            (1, Told::Up),
            (10, Told::Down),
            (12, Told::Down),
            (15, Told::Other),
            (20, Told::Up),
            (30, Told::Down),
            (31, Told::Up),
            (40, Told::Down),
        ];
        assert_eq!(down(&told), (2, 11));
    }

    #[test]
    fn too_many_gaps_lose_the_shortest() {
        let mut gaps = Gaps::default();
        let mut now = 1;
        for round in 0..2 * GAPS_MAX as u64 {
            now += if round == 5 { 900 * MS } else { 30 * MS };
            gaps.delivered(now);
        }
        assert!(gaps.gaps.len() <= GAPS_MAX);
        assert_eq!(longest_untold_ns(&gaps, &[]), 900 * MS);
    }
}
