//! Figures in pairs: one of ours and one of the raw limit, taken right after one another.
//!
//! On a shared machine one absolute figure moves by a factor of three between runs, the two of a pair
//! move together. What is printed is the median of the pairs' ratios, with the smallest and largest.

/// One A B round: what the engine did, and what raw sockets did just before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pair {
    /// The engine's figure.
    pub(crate) ours: f64,
    /// The raw figure of the same round, same unit.
    pub(crate) raw: f64,
}

impl Pair {
    /// Ours through raw; infinite or not a number when raw is nothing, which the caller refuses.
    pub(crate) fn ratio(self) -> f64 {
        self.ours / self.raw
    }
}

/// Median with the smallest and the largest of some figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// Half of the figures do not exceed this one.
    pub(crate) median: f64,
    /// The smallest figure.
    pub(crate) min: f64,
    /// The largest figure.
    pub(crate) max: f64,
}

impl Spread {
    /// `None` when there is no figure, or one that is not finite.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        if sorted.is_empty() || sorted.iter().any(|figure| !figure.is_finite()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self {
            median,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        })
    }

    /// The spread of the ratios of pairs.
    pub(crate) fn of_ratios(pairs: &[Pair]) -> Option<Self> {
        Self::of(pairs.iter().map(|pair| pair.ratio()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        let odd = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        let even = Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((even.median, even.min, even.max), (2.5, 1.0, 4.0));
        assert_eq!(Spread::of([7.0]).unwrap().median, 7.0);
    }

    #[test]
    fn the_median_of_ratios_is_not_the_ratio_of_medians() {
        let pairs = [
            Pair {
                ours: 1.0,
                raw: 1.0,
            },
            Pair {
                ours: 2.0,
                raw: 4.0,
            },
            Pair {
                ours: 30.0,
                raw: 50.0,
            },
        ];
        assert_eq!(Spread::of_ratios(&pairs).unwrap().median, 0.6);
    }

    #[test]
    fn nothing_and_infinity_have_no_spread() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(
            Spread::of_ratios(&[Pair {
                ours: 1.0,
                raw: 0.0
            }]),
            None
        );
    }
}
