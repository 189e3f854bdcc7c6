//! A histogram of latencies that can travel from a child process to its parent.
//!
//! Recording is HDR (three significant digits, 1 ns to 60 s); what travels are its non-empty buckets.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart from longer ones.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Latencies in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

/// The non-empty buckets of a histogram: (nanoseconds, how often).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Buckets(pub(crate) Vec<(u64, u64)>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        Self {
            histogram: histogram.expect("the bounds are constants that the crate accepts"),
        }
    }
}

impl Latencies {
    /// Records one latency; longer than 60 s counts as 60 s.
    #[inline]
    pub(crate) fn record(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns.max(1));
    }

    /// Adds what was recorded elsewhere.
    pub(crate) fn add(&mut self, buckets: &Buckets) {
        for &(latency_ns, times) in &buckets.0 {
            self.histogram.saturating_record_n(latency_ns, times);
        }
    }

    /// How many latencies were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency in microseconds that `percent` of all do not exceed.
    pub(crate) fn percentile_us(&self, percent: f64) -> f64 {
        micros(self.histogram.value_at_percentile(percent))
    }

    /// The longest latency in microseconds.
    pub(crate) fn max_us(&self) -> f64 {
        micros(self.histogram.max())
    }

    /// The non-empty buckets, to be sent to another process.
    pub(crate) fn buckets(&self) -> Buckets {
        let filled = self.histogram.iter_recorded();
        let pairs =
            filled.map(|step| (step.value_iterated_to(), step.count_since_last_iteration()));
        Buckets(pairs.collect())
    }

    /// Forgets everything recorded so far.
    pub(crate) fn reset(&mut self) {
        self.histogram.reset();
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "60 s in nanoseconds is far below 2^53"
)]
fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_carry_count_and_percentiles_to_another_histogram() {
        let mut here = Latencies::default();
        for latency_ns in 1..=10_000_u64 {
            here.record(latency_ns * 100);
        }
        let mut there = Latencies::default();
        there.add(&here.buckets());
        assert_eq!(there.count(), 10_000);
        for percent in [50.0, 99.0, 99.9] {
            assert!((there.percentile_us(percent) - here.percentile_us(percent)).abs() < 1e-9);
        }
        let p50 = there.percentile_us(50.0);
        assert!((p50 - 500.0).abs() < 1.0, "p50 {p50}");
        there.reset();
        assert_eq!(there.count(), 0);
    }

    #[test]
    fn zero_and_more_than_a_minute_are_recorded_at_the_ends() {
        let mut latencies = Latencies::default();
        latencies.record(0);
        latencies.record(u64::MAX);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max_us() >= 59_000_000.0);
    }
}
