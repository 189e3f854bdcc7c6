//! The medians of all rounds of a link run, as one JSON object and as a table.

use overlane_proxy::Rate;
use serde::Serialize;

use crate::error::{BenchError, Outcome};
use crate::latencies::Latencies;
use crate::pair::Spread;
use crate::sample::{Window, figure};
use crate::shown::show;
use crate::table;

/// The windows of one round.
pub(super) struct Round {
    pub(super) alone: Latencies,
    pub(super) beside: Latencies,
    pub(super) shared: Latencies,
    pub(super) bulk: Window,
}

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// Payload of bulk beside heartbeats, to what the link passes.
    link_utilisation: f64,
    /// Half of the heartbeats alone are faster.
    base_rtt_us: f64,
    /// 99 % of the heartbeats beside bulk are faster.
    heartbeat_p99_us: f64,
    /// The same in one lane with bulk.
    shared_lane_p99_us: f64,
}

impl Figures {
    pub(super) fn of(rounds: &[Round], rate: Rate) -> Outcome<Self> {
        let median = |of: &dyn Fn(&Round) -> f64| {
            let spread = Spread::of(rounds.iter().map(of));
            let none = || BenchError::CheckFailed("a window without messages".into());
            let median = spread.ok_or_else(none)?.median;
            Ok::<_, BenchError>((median * 1e3).round() / 1e3)
        };
        let bytes_per_s = figure(rate.bytes_per_s().get());
        let used = |round: &Round| {
            let bytes = figure(round.bulk.bytes) / round.bulk.lasted.as_secs_f64();
            bytes / bytes_per_s
        };
        Ok(Self {
            link_utilisation: median(&used)?,
            base_rtt_us: median(&|round| round.alone.percentile_us(50.0))?,
            heartbeat_p99_us: median(&|round| round.beside.percentile_us(99.0))?,
            shared_lane_p99_us: median(&|round| round.shared.percentile_us(99.0))?,
        })
    }

    /// Prints them; `what` says what the link was.
    pub(super) fn show(&self, what: &str, json: bool) {
        if json {
            let line = serde_json::to_string(self).expect("figures are numbers");
            show!("{line}");
            return;
        }
        let row = |name: &str, us: f64| vec![name.to_owned(), table::number(us)];
        let rows = [
            row("alone, p50", self.base_rtt_us),
            row("beside bulk, p99", self.heartbeat_p99_us),
            row("in one lane with bulk, p99", self.shared_lane_p99_us),
        ];
        show!("{what}");
        show!(
            "{}",
            table::of(&["heartbeats, median of rounds", "us"], &rows)
        );
        show!("bulk uses {:.3} of the link", self.link_utilisation);
    }
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn the_keys_are_the_promised_ones() {
        let figures = Figures {
            link_utilisation: 0.9,
            base_rtt_us: 1.0,
            heartbeat_p99_us: 2.0,
            shared_lane_p99_us: 3.5,
        };
        let line = serde_json::to_string(&figures).unwrap();
        assert_eq!(
            line,
            r#"{"link_utilisation":0.9,"base_rtt_us":1.0,"heartbeat_p99_us":2.0,"shared_lane_p99_us":3.5}"#
        );
    }
}
