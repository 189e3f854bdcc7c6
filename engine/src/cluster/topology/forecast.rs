//! The forecast: where size and load will be some looks ahead, if they go on as they have.
//!
//! A state machine without I/O, owned by the topology: each look gives it what was measured. A straight line is laid through the last looks of each
//! measurement, by least squares; one that the values keep close to is a trend, all else is a spike or noise and says nothing. Whole numbers throughout,
//! so that every node comes to the same. It decides nothing: `judge` has the rules look at what it foresees.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::measurements::Measurements;
use super::rules::{Given, Verdict, verdicts};
use crate::config::TopologyConfig;

/// The greatest value that is taken as it is: products of a window of such values fit their numbers.
const VALUE_MAX: u64 = 1 << 32;

/// What the rules would say of the cluster some looks ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// How many looks ahead that is.
    pub looks: u32,
    /// How many looks the trends go back.
    pub window_looks: u32,
    /// What was foreseen of each measurement.
    pub trends: Vec<Trend>,
}

/// One measurement, and where it leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trend {
    /// Name of the measurement.
    pub what: String,
    /// Its value now.
    pub now: u64,
    /// On the line through the last looks, so many looks ahead.
    pub ahead: u64,
    /// How much of the ups and downs the line explains, in percent.
    pub fit_percent: u64,
    /// It is a trend: rules look at the value ahead.
    pub is_steady: bool,
    /// Why it is none; empty if it is one.
    pub why_not: String,
}

/// The measurements of which trends are kept: size, and what a node has to carry.
const FORESEEN: [Foreseen; 4] = [
    Foreseen {
        what: "members",
        get: |found| Some(found.members),
        set: |found, value| found.members = value,
    },
    Foreseen {
        what: "cpu_percent",
        get: |found| found.cpu_percent,
        set: |found, value| found.cpu_percent = Some(value),
    },
    Foreseen {
        what: "bandwidth_percent",
        get: |found| found.bandwidth_percent,
        set: |found, value| found.bandwidth_percent = Some(value),
    },
    Foreseen {
        what: "rtt_p99_us",
        get: |found| found.rtt_p99_us,
        set: |found, value| found.rtt_p99_us = Some(value),
    },
];

struct Foreseen {
    what: &'static str,
    get: fn(&Measurements) -> Option<u64>,
    set: fn(&mut Measurements, u64),
}

/// The last looks.
#[derive(Debug, Default)]
pub(super) struct Trends {
    values: BTreeMap<&'static str, VecDeque<u64>>,
}

impl Trends {
    /// Takes what a look has found. What is not known ends a trend, and so does a partition: members that are cut off have not gone.
    pub(super) fn look(&mut self, found: &Measurements, rules: &TopologyConfig) {
        if found.is_partitioned || rules.forecast_looks == 0 {
            self.forget();
            return;
        }
        for known in &FORESEEN {
            let Some(value) = (known.get)(found) else {
                self.values.remove(known.what);
                continue;
            };
            let window = self.values.entry(known.what).or_default();
            window.push_back(value.min(VALUE_MAX));
            while window.len() > usize::from(rules.forecast_window_looks) {
                window.pop_front();
            }
        }
    }

    /// After a switch load means something else, and with other rules a window may be of other looks.
    pub(super) fn forget(&mut self) {
        self.values.clear();
    }

    /// What is foreseen; none if that is turned off.
    pub(super) fn forecast(&self, rules: &TopologyConfig) -> Option<Forecast> {
        if rules.forecast_looks == 0 {
            return None;
        }
        let trends = self.values.iter();
        Some(Forecast {
            looks: rules.forecast_looks,
            window_looks: rules.forecast_window_looks.into(),
            trends: trends
                .filter_map(|(what, window)| trend(what, window, rules))
                .collect(),
        })
    }
}

impl Forecast {
    fn steady(&self, what: &str) -> Option<&Trend> {
        let mut trends = self.trends.iter();
        trends.find(|trend| trend.is_steady && trend.what == what)
    }

    /// What each rule says of the cluster ahead, where it says nothing yet of the cluster as it is. One that the rules would take back at once,
    /// with what is measured now, does not hold.
    pub(super) fn verdicts(&self, found: &Measurements, given: &Given<'_>) -> Vec<Verdict> {
        let mut ahead = found.clone();
        for known in &FORESEEN {
            if let Some(trend) = self.steady(known.what) {
                (known.set)(&mut ahead, trend.ahead);
            }
        }
        let given = Given {
            is_new: false,
            ..*given
        };
        let now = verdicts(found, &given);
        let of_ahead = verdicts(&ahead, &given).into_iter().zip(&now);
        let told = of_ahead.filter(|(ahead, now)| ahead.holds && !now.holds);
        told.map(|(ahead, _)| self.named(ahead, found, &given))
            .collect()
    }

    fn named(&self, mut verdict: Verdict, found: &Measurements, given: &Given<'_>) -> Verdict {
        let there = Given {
            current: verdict.to,
            ..*given
        };
        let back = verdicts(found, &there).into_iter().find(|back| back.holds);
        if let Some(back) = back {
            verdict.holds = false;
            verdict.why_not = format!("{} would lead away from {} now", back.rule, verdict.to);
        }
        for condition in verdict.all.iter_mut().chain(&mut verdict.any) {
            if self.steady(&condition.what).is_some() {
                condition.what = format!("{} in {} looks", condition.what, self.looks);
            }
        }
        verdict.rule = format!("forecast_{}", verdict.rule);
        verdict
    }
}

/// Where a window leads to. None as long as it is empty.
fn trend(what: &str, window: &VecDeque<u64>, rules: &TopologyConfig) -> Option<Trend> {
    let now = *window.back()?;
    let needed = usize::from(rules.forecast_window_looks);
    let line = Line::through(window, rules.forecast_looks);
    let fit_needed = rules.forecast_fit_percent;
    let why_not = if window.len() < needed {
        format!("{} of {needed} looks are there", window.len())
    } else if line.is_flat {
        "it does not change".to_owned()
    } else if line.fit_percent < fit_needed {
        format!(
            "a line explains {} % of it, not {fit_needed} %",
            line.fit_percent
        )
    } else {
        String::new()
    };
    Some(Trend {
        what: what.to_owned(),
        now,
        ahead: line.ahead,
        fit_percent: line.fit_percent,
        is_steady: why_not.is_empty(),
        why_not,
    })
}

/// A line through values at the places 0, 1, 2 and so on.
struct Line {
    ahead: u64,
    fit_percent: u64,
    is_flat: bool,
}

impl Line {
    fn through(values: &VecDeque<u64>, looks: u32) -> Self {
        let points = (0_i128..).zip(values.iter().copied().map(i128::from));
        let sums = points.fold(Sums::default(), Sums::with);
        let Sums {
            n,
            x,
            y,
            xx,
            xy,
            yy,
        } = sums;
        // With n points: n² times the variances and the covariance.
        let (over_x, over_y) = (n * xx - x * x, n * yy - y * y);
        let rise = n * xy - x * y;
        let is_flat = over_x == 0 || over_y == 0;
        let fit = (100 * rise * rise)
            .checked_div(over_x * over_y)
            .unwrap_or_default();
        let place = n - 1 + i128::from(looks);
        let ahead = (y * over_x + rise * (n * place - x))
            .checked_div(n * over_x)
            .unwrap_or_else(|| y.checked_div(n).unwrap_or_default());
        let whole = |value: i128| u64::try_from(value.max(0)).unwrap_or(u64::MAX);
        Self {
            ahead: whole(ahead),
            fit_percent: whole(fit),
            is_flat,
        }
    }
}

#[derive(Default)]
struct Sums {
    n: i128,
    x: i128,
    y: i128,
    xx: i128,
    xy: i128,
    yy: i128,
}

impl Sums {
    const fn with(self, (x, y): (i128, i128)) -> Self {
        Self {
            n: self.n + 1,
            x: self.x + x,
            y: self.y + y,
            xx: self.xx + x * x,
            xy: self.xy + x * y,
            yy: self.yy + y * y,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(values: &[u64], looks: u32) -> Line {
        Line::through(&values.iter().copied().collect(), looks)
    }

    #[test]
    fn a_line_goes_on_as_it_did_and_not_below_nothing() {
        let up = line(&[10, 12, 14, 16], 5);
        assert_eq!((up.ahead, up.fit_percent, up.is_flat), (26, 100, false));
        let down = line(&[30, 20, 10], 5);
        assert_eq!((down.ahead, down.fit_percent), (0, 100));
        let flat = line(&[7, 7, 7], 5);
        assert_eq!((flat.ahead, flat.is_flat), (7, true));
        for few in [&[][..], &[3]] {
            assert!(line(few, 5).is_flat);
        }
    }

    #[test]
    fn a_spike_a_step_and_a_metric_that_flaps_are_no_lines() {
        for values in [
            [5, 5, 5, 5, 90, 5, 5, 5, 5, 5],
            [5, 5, 5, 5, 5, 15, 15, 15, 15, 15],
            [5, 15, 5, 15, 5, 15, 5, 15, 5, 15],
            [5, 5, 5, 5, 5, 5, 5, 5, 5, 90],
        ] {
            let fit = line(&values, 5).fit_percent;
            assert!(fit < 90, "{values:?}: {fit} %");
        }
        // Growth that does not come in even steps is one.
        let fit = line(&[5, 5, 6, 8, 8, 9, 11, 11, 13, 14], 5).fit_percent;
        assert!(fit >= 90, "{fit} %");
    }

    proptest! {
        #[test]
        fn no_window_is_too_much_for_it(
            values in prop::collection::vec(0..=VALUE_MAX, 0..=120),
            looks in 1_u32..=120,
        ) {
            let line = line(&values, looks);
            prop_assert!(line.fit_percent <= 100);
        }
    }
}
