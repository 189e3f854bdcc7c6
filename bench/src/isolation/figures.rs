//! The medians of all rounds of an isolation run, as one JSON object and as a table.

use super::Plan;
use super::phases::Round;
use super::plain::PlainRound;
use crate::error::{BenchError, Outcome};
use crate::latencies::Latencies;
use crate::pair::Spread;
use crate::record::Record;
use crate::sample::Window;
use crate::shown::show;
use crate::table;

/// The percentiles that are printed; the second is the one that is promised.
const PERCENTILES: [f64; 3] = [50.0, 99.0, 99.9];

/// The medians of all rounds.
pub(super) struct Figures {
    idle: Percentiles,
    loaded: Percentiles,
    loaded_from_due: Percentiles,
    shared: Percentiles,
    bulk: Spread,
    bulk_alone: Spread,
    bulk_kept: Spread,
    plain: Option<PlainFigures>,
}

/// Those of plain sockets.
struct PlainFigures {
    loaded: Percentiles,
    bulk: Spread,
    bulk_alone: Spread,
    bulk_ratio: Spread,
}

type Percentiles = [Spread; 3];

impl Figures {
    pub(super) fn of(rounds: &[Round]) -> Outcome<Self> {
        let kept = |round: &Round| round.bulk.mib_per_s() / round.bulk_alone.mib_per_s();
        Ok(Self {
            idle: percentiles(rounds.iter().map(|round| &round.idle.begun))?,
            loaded: percentiles(rounds.iter().map(|round| &round.loaded.begun))?,
            loaded_from_due: percentiles(rounds.iter().map(|round| &round.loaded.due))?,
            shared: percentiles(rounds.iter().map(|round| &round.shared.begun))?,
            bulk: mib_per_s(rounds.iter().map(|round| &round.bulk))?,
            bulk_alone: mib_per_s(rounds.iter().map(|round| &round.bulk_alone))?,
            bulk_kept: spread(rounds.iter().map(kept))?,
            plain: PlainFigures::of(rounds)?,
        })
    }

    pub(super) fn record(&self, plan: &Plan<'_>) -> Record {
        let [idle_p50, idle_p99, _] = self.idle;
        let [loaded_p50, loaded_p99, loaded_p999] = self.loaded;
        let plain = self.plain.as_ref();
        let plain_at = |place: usize| plain.map(|plain| plain.loaded[place].median);
        Record {
            test: "isolation".into(),
            producer: Some(plan.flags.producer),
            loop_kind: Some(plan.flags.loop_kind),
            payload_bytes: Some(plan.heartbeat_bytes as u64),
            idle_p50_us: Some(idle_p50.median),
            idle_p99_us: Some(idle_p99.median),
            loaded_p50_us: Some(loaded_p50.median),
            loaded_p99_us: Some(loaded_p99.median),
            loaded_p999_us: Some(loaded_p999.median),
            loaded_from_due_p99_us: Some(self.loaded_from_due[1].median),
            shared_lane_p99_us: Some(self.shared[1].median),
            bulk_mib_per_s: Some(self.bulk.median),
            bulk_alone_mib_per_s: Some(self.bulk_alone.median),
            raw_loaded_p50_us: plain_at(0),
            raw_loaded_p99_us: plain_at(1),
            raw_loaded_p999_us: plain_at(2),
            raw_bulk_mib_per_s: plain.map(|plain| plain.bulk.median),
            raw_bulk_alone_mib_per_s: plain.map(|plain| plain.bulk_alone.median),
            ..Record::default()
        }
    }

    pub(super) fn print(&self) {
        let mut rows = vec![
            row("idle", &self.idle),
            row("beside bulk", &self.loaded),
            row("beside bulk, from when due", &self.loaded_from_due),
            row("in one lane with bulk", &self.shared),
        ];
        if let Some(plain) = &self.plain {
            rows.push(row("plain sockets, beside bulk", &plain.loaded));
        }
        let header = [
            "heartbeat, median of rounds",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "p99 of rounds",
        ];
        show!("{}", table::of(&header, &rows));
        show!(
            "bulk {} MiB/s beside heartbeats, {} alone: {} kept",
            table::number(self.bulk.median),
            table::number(self.bulk_alone.median),
            table::spread(self.bulk_kept)
        );
        if let Some(plain) = &self.plain {
            show!(
                "plain sockets: bulk {} MiB/s beside heartbeats, {} alone; ratio to them beside heartbeats {}",
                table::number(plain.bulk.median),
                table::number(plain.bulk_alone.median),
                table::spread(plain.bulk_ratio)
            );
        }
    }
}

impl PlainFigures {
    fn of(rounds: &[Round]) -> Outcome<Option<Self>> {
        let plain: Option<Vec<&PlainRound>> =
            rounds.iter().map(|round| round.plain.as_ref()).collect();
        let Some(plain) = plain else {
            return Ok(None);
        };
        let ratios = rounds.iter().zip(&plain);
        let ratios = ratios.map(|(ours, plain)| ours.bulk.mib_per_s() / plain.bulk.mib_per_s());
        Ok(Some(Self {
            loaded: percentiles(plain.iter().map(|round| &round.loaded.begun))?,
            bulk: mib_per_s(plain.iter().map(|round| &round.bulk))?,
            bulk_alone: mib_per_s(plain.iter().map(|round| &round.bulk_alone))?,
            bulk_ratio: spread(ratios)?,
        }))
    }
}

fn percentiles<'a>(windows: impl Iterator<Item = &'a Latencies> + Clone) -> Outcome<Percentiles> {
    let at = |percent| spread(windows.clone().map(|window| window.percentile_us(percent)));
    let [median, promised, rare] = PERCENTILES;
    Ok([at(median)?, at(promised)?, at(rare)?])
}

fn mib_per_s<'a>(windows: impl Iterator<Item = &'a Window>) -> Outcome<Spread> {
    spread(windows.map(Window::mib_per_s))
}

fn spread(figures: impl Iterator<Item = f64>) -> Outcome<Spread> {
    Spread::of(figures).ok_or_else(|| {
        BenchError::CheckFailed("a window without messages; give longer --seconds".into())
    })
}

fn row(name: &str, percentiles: &Percentiles) -> Vec<String> {
    let mut cells = vec![name.to_owned()];
    let medians = percentiles
        .iter()
        .map(|spread| table::number(spread.median));
    cells.extend(medians);
    cells.push(format!(
        "{} to {}",
        table::number(percentiles[1].min),
        table::number(percentiles[1].max)
    ));
    cells
}
