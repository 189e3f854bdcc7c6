//! How long something usually takes, and after how long it is time to do something about it.
//!
//! The estimator of TCP's retransmission timer (RFC 6298, section 2): a mean and a mean deviation that
//! follow the samples, and a time-out four deviations above the mean. Called by layers that wait for
//! others; holds no time of its own.

use std::time::Duration;

/// Deviations above the mean: RFC 6298's K.
const DEVIATIONS: u32 = 4;

/// What was measured so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    measured: Option<(Duration, Duration)>,
}

impl Estimate {
    /// Nothing measured.
    pub(crate) const fn new() -> Self {
        Self { measured: None }
    }

    /// Takes in one more sample.
    pub(crate) fn add(&mut self, sample: Duration) {
        let Some((mean, deviation)) = self.measured else {
            self.measured = Some((sample, sample / 2));
            return;
        };
        let off = mean.abs_diff(sample);
        let deviation = deviation - deviation / 4 + off / 4;
        self.measured = Some((mean - mean / 8 + sample / 8, deviation));
    }

    /// After this long it is late; none before the first sample.
    pub(crate) fn late_after(&self) -> Option<Duration> {
        let (mean, deviation) = self.measured?;
        Some(mean.saturating_add(deviation.saturating_mul(DEVIATIONS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_is_measured_and_leaves_room_for_what_varies() {
        let mut estimate = Estimate::new();
        assert_eq!(estimate.late_after(), None);
        let millis = Duration::from_millis;
        estimate.add(millis(100));
        assert_eq!(estimate.late_after(), Some(millis(300)));
        for _ in 0..100 {
            estimate.add(millis(100));
        }
        let steady = estimate.late_after().unwrap();
        assert!(steady >= millis(99) && steady <= millis(102), "{steady:?}");
        for round in 0..100 {
            estimate.add(millis(if round % 2 == 0 { 50 } else { 150 }));
        }
        let varied = estimate.late_after().unwrap();
        assert!(varied > millis(250), "{varied:?}");
    }
}
