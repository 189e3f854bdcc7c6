//! A histogram of latency on its way to other nodes: what was recorded alone, in few bytes.
//!
//! Called by `summary` and `total`. It has two digits less than a node's own, so that hundreds can be sent and merged; what
//! it says of a quantile is right to a sixteenth.

use hdrhistogram::{Counter, Histogram};
use overlane_overlays::DecodeError;

use super::counted::COUNT_MAX;

/// The longest that is told apart, in microseconds: 67 s, more than any lane waits.
const LATENCY_US_MAX: u64 = 1 << 26;

/// Steps to the next value that was recorded, and how often it was.
pub(super) type Steps = Vec<(u64, u64)>;

/// The most of them: values that the histogram tells apart.
pub(super) const STEPS_MAX: usize = 512;

/// One to merge others into.
pub(super) fn coarse() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 1).expect("the bounds are fixed and valid")
}

/// What was recorded in one of a node.
pub(super) fn steps_of<T: Counter>(latency: &Histogram<T>) -> Steps {
    let mut coarse = coarse();
    for recorded in latency.iter_recorded() {
        let (value, times) = (
            recorded.value_iterated_to(),
            recorded.count_since_last_iteration(),
        );
        // What took less than a microsecond is there as 0, which no step leads to.
        coarse.saturating_record_n(value.clamp(1, LATENCY_US_MAX), times.min(COUNT_MAX));
    }
    let mut before = 0;
    let steps = coarse.iter_recorded().map(|recorded| {
        let value = recorded.value_iterated_to();
        let step = value - before;
        before = value;
        (step, recorded.count_since_last_iteration().min(COUNT_MAX))
    });
    steps.collect()
}

/// Whether that can be steps.
pub(super) fn check(steps: &Steps) -> Result<(), DecodeError> {
    let mut value = 0_u64;
    for (step, times) in steps {
        value = value.saturating_add(*step);
        let is_told = *step > 0 && value <= 2 * LATENCY_US_MAX;
        if !is_told || *times == 0 || *times > COUNT_MAX {
            return Err(DecodeError::Invalid { field: "latency" });
        }
    }
    Ok(())
}

/// Records what they say.
pub(super) fn merge(steps: &Steps, into: &mut Histogram<u64>) {
    let mut value = 0_u64;
    for (step, times) in steps {
        value = value.saturating_add(*step);
        into.saturating_record_n(value.min(LATENCY_US_MAX), *times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::tally::new_histogram;

    #[test]
    fn quantiles_are_the_same_on_the_other_side_to_a_sixteenth() {
        let mut own = new_histogram();
        for value in 1..=20_000_u64 {
            own.saturating_record(value * value % 3_000_000);
        }
        let steps = steps_of(&own);
        assert!(steps.len() <= STEPS_MAX);
        check(&steps).expect("it was made so");
        let mut there = coarse();
        merge(&steps, &mut there);
        assert_eq!(there.len(), own.len());
        for quantile in [0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let (here, there) = (
                own.value_at_quantile(quantile),
                there.value_at_quantile(quantile),
            );
            assert!(there.abs_diff(here) * 15 <= here.max(15), "{here} {there}");
        }
        // What was passed on is passed on as it came.
        let again = steps_of(&there);
        assert_eq!(again, steps);
    }

    #[test]
    fn the_most_values_that_can_be_told_apart_fit() {
        let mut all = coarse();
        for value in (0..26).flat_map(|power| (0..64).map(move |part| (64 + part) << power >> 6)) {
            all.saturating_record(value);
        }
        all.saturating_record(LATENCY_US_MAX);
        let steps = steps_of(&all);
        assert!((300..STEPS_MAX).contains(&steps.len()), "{}", steps.len());
        check(&steps).expect("all that can be");
    }

    #[test]
    fn what_is_recorded_nowhere_is_refused() {
        for bad in [
            vec![(0, 1)],
            vec![(1, 0)],
            vec![(u64::MAX, 1)],
            vec![(1, u64::MAX)],
        ] {
            assert!(check(&bad).is_err(), "{bad:?}");
        }
        let far = vec![(LATENCY_US_MAX, 1), (LATENCY_US_MAX + 1, 1)];
        assert!(check(&far).is_err());
    }
}
