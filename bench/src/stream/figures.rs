//! What the rounds of a stream run came to: a ratio, whether the hashes agree, and the verdict.

use std::time::Duration;

use serde::Serialize;

use super::protocol::Way;
use crate::error::{BenchError, Outcome};
use crate::pair::{Pair, Spread};
use crate::sample::figure;
use crate::shown::show;
use crate::table;

/// A transfer that both ends hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) way: Way,
    pub(super) sent: String,
    pub(super) received: String,
}

/// The transfers of one round.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) hashed: Vec<Hashed>,
    /// How long the same took without hashing: a raw connection, and right after it a stream.
    pub(super) raw: Duration,
    pub(super) stream: Duration,
}

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// Bytes per second of a stream, to those of a raw connection.
    ratio_to_raw: f64,
    /// Whether every transfer that was hashed had the same hash at both ends.
    hash_ok: bool,
}

/// All rounds.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) bytes: u64,
    pub(super) rounds: Vec<Round>,
}

impl Measured {
    fn mib_per_s(&self, took: Duration) -> f64 {
        figure(self.bytes) / (1024.0 * 1024.0) / took.as_secs_f64()
    }

    fn ratio(&self) -> Outcome<Spread> {
        let pairs = self.rounds.iter().map(|round| Pair {
            ours: self.mib_per_s(round.stream),
            raw: self.mib_per_s(round.raw),
        });
        let pairs: Vec<Pair> = pairs.collect();
        Spread::of_ratios(&pairs).ok_or_else(no_time)
    }

    fn differing(&self) -> impl Iterator<Item = &Hashed> {
        let hashed = self.rounds.iter().flat_map(|round| &round.hashed);
        hashed.filter(|hashed| hashed.sent != hashed.received)
    }

    fn figures(&self) -> Outcome<Figures> {
        Ok(Figures {
            ratio_to_raw: (self.ratio()?.median * 1e3).round() / 1e3,
            hash_ok: self.differing().next().is_none(),
        })
    }

    /// Prints one object, or `what` and a table.
    pub(super) fn show(&self, what: &str, json: bool) -> Outcome<()> {
        if json {
            let line = serde_json::to_string(&self.figures()?).expect("figures are plain data");
            show!("{line}");
            return Ok(());
        }
        let rate = |of: fn(&Round) -> Duration| {
            let rates = self.rounds.iter().map(|round| self.mib_per_s(of(round)));
            let rate = Spread::of(rates).ok_or_else(no_time)?;
            Ok::<_, BenchError>(table::number(rate.median))
        };
        let row = vec![
            "MiB/s".to_owned(),
            rate(|round| round.stream)?,
            rate(|round| round.raw)?,
            table::spread(self.ratio()?),
        ];
        show!("{what}");
        let header = ["median of rounds", "stream", "raw", "ratio to raw"];
        show!("{}", table::of(&header, &[row]));
        if self.figures()?.hash_ok {
            let hashed = self.rounds.iter().flat_map(|round| &round.hashed);
            if let Some(hashed) = hashed.last() {
                show!("BLAKE3 is the same at both ends: {}", hashed.received);
            }
        }
        Ok(())
    }

    /// Fails if anything came otherwise than it was sent.
    pub(super) fn verdict(&self) -> Outcome<()> {
        let Some(hashed) = self.differing().next() else {
            return Ok(());
        };
        let Hashed {
            way,
            sent,
            received,
        } = hashed;
        let what = match way {
            Way::Raw => "the raw connection",
            Way::Stream => "the stream",
        };
        Err(BenchError::CheckFailed(format!(
            "what came over {what} is not what was sent: BLAKE3 {received} instead of {sent}"
        )))
    }
}

fn no_time() -> BenchError {
    BenchError::CheckFailed("a transfer took no time; give more --bytes".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn measured(received: &str) -> Measured {
        let round = |raw_ms, stream_ms| Round {
            hashed: Way::BOTH
                .map(|way| Hashed {
                    way,
                    sent: "ab".to_owned(),
                    received: match way {
                        Way::Raw => "ab".to_owned(),
                        Way::Stream => received.to_owned(),
                    },
                })
                .into(),
            raw: Duration::from_millis(raw_ms),
            stream: Duration::from_millis(stream_ms),
        };
        Measured {
            bytes: 1 << 20,
            rounds: vec![round(90, 100), round(50, 100), round(80, 80)],
        }
    }

    #[test]
    fn the_keys_are_the_promised_ones_and_the_ratio_is_the_median_of_rounds() {
        let line = serde_json::to_string(&measured("ab").figures().unwrap()).unwrap();
        assert_eq!(line, r#"{"ratio_to_raw":0.9,"hash_ok":true}"#);
    }

    #[test]
    fn a_hash_that_differs_is_told_and_ends_the_run_with_1() {
        assert!(measured("ab").verdict().is_ok());
        let measured = measured("cd");
        assert!(!measured.figures().unwrap().hash_ok);
        let error = measured.verdict().unwrap_err();
        assert_eq!((error.exit(), error.exit().code()), (Exit::Failed, 1));
        let told = "what came over the stream is not what was sent: BLAKE3 cd instead of ab";
        assert_eq!(error.to_string(), told);
    }
}
