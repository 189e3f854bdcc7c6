//! Which messages are recorded: those whose trace is sampled, and of those without a trace a part.
//!
//! Asked by `channel` before a message is put together. Randomness is an argument, so that a test can repeat it.

use crate::wire::TraceContext;
use crate::wire::trace::SAMPLED;

/// All of them, in parts per million.
pub(crate) const ALL_PPM: u32 = 1_000_000;

/// See the module's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    ppm: u32,
}

impl Sampler {
    pub(crate) const fn new(ppm: u32) -> Self {
        Self { ppm }
    }

    /// Whether messages without a trace get one at all.
    #[inline]
    pub(crate) const fn begins_traces(self) -> bool {
        self.ppm > 0
    }

    /// The root of a trace for a message without one, if it is among the part that gets one.
    pub(crate) fn begin(self, mut random: impl FnMut() -> u64) -> Option<TraceContext> {
        // The upper half of 64 random bits times a million: as even as 32 bits are.
        let drawn = ((random() >> 32) * u64::from(ALL_PPM)) >> 32;
        if drawn >= u64::from(self.ppm) {
            return None;
        }
        let (high, low) = (random(), random());
        let trace_id = ((u128::from(high) << 64) | u128::from(low)).max(1);
        Some(TraceContext {
            trace_id: trace_id.to_be_bytes(),
            span_id: random().max(1).to_be_bytes(),
            flags: SAMPLED,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(ppm: u32, tries: usize) -> usize {
        let mut generator = fastrand::Rng::with_seed(7);
        let sampler = Sampler::new(ppm);
        let begun = (0..tries).filter_map(|_| sampler.begin(|| generator.u64(..)));
        begun.inspect(|root| assert!(root.is_sampled())).count()
    }

    #[test]
    fn the_part_that_gets_a_trace_is_the_one_that_was_asked_for() {
        assert_eq!((begun(0, 10_000), begun(ALL_PPM, 10_000)), (0, 10_000));
        let some = begun(100_000, 100_000);
        assert!((9_700..10_300).contains(&some), "{some}");
        assert!(!Sampler::new(0).begins_traces() && Sampler::new(1).begins_traces());
    }

    #[test]
    fn no_number_of_a_trace_is_nothing() {
        let root = Sampler::new(ALL_PPM).begin(|| 0).expect("all get one");
        assert!(root.trace_id != [0; 16] && root.span_id != [0; 8]);
    }
}
