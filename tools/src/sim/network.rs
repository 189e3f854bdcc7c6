//! What lies between the simulated nodes, as it is written on the command line: the same in every workload, from
//! the start to the end.

use std::time::Duration;

use clap::ValueEnum;
use overlane_overlays::sim::{Death, LaneConfig, Latency, NetworkConfig};

use super::{SimError, span};
use crate::span::{Milliseconds, Percent, parse_milliseconds, parse_percent};

/// The network of any workload.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct NetworkArguments {
    /// Least time that a message takes [default: 10]
    #[arg(long, value_name = "MS", value_parser = parse_milliseconds)]
    pub(super) latency_min_ms: Option<Milliseconds>,
    /// Most time that a message takes; drawn once per pair of nodes [default: 50]
    #[arg(long, value_name = "MS", value_parser = parse_milliseconds)]
    pub(super) latency_max_ms: Option<Milliseconds>,
    /// Draw the latency anew for each message, so that messages overtake each other
    #[arg(long)]
    latency_per_message: bool,
    /// Share of messages lost, from the start to the end, such as 5% [default: 0%]
    #[arg(long, value_parser = parse_percent)]
    pub(super) loss: Option<Percent>,
    /// What dials to crashed nodes meet
    #[arg(long, value_enum, default_value_t = DeadHosts::Refuse)]
    dead_hosts: DeadHosts,
    /// After how long a dial without an answer is given up
    #[arg(long, default_value = "3000", value_name = "MS", value_parser = parse_milliseconds)]
    dial_timeout_ms: Milliseconds,
    /// Share of messages lost besides, in one direction of each pair of nodes
    #[arg(long, default_value = "0%", value_parser = parse_percent)]
    one_way_loss: Percent,
    /// Share of pairs of nodes that can make no lane to each other, though others reach both
    #[arg(long, default_value = "0%", value_parser = parse_percent)]
    broken_pairs: Percent,
    /// Round trips from a dial until its lane carries messages, also those to a peer without a lane; TCP and the
    /// handshake take 2, with TLS 3 [default: 1, and messages need no lane]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    dial_round_trips: Option<u32>,
    /// Share of dials that are lost
    #[arg(long, default_value = "0%", value_parser = parse_percent)]
    dial_failures: Percent,
    /// Bytes that a lane sends per second [default: without a bound]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    lane_bytes_per_s: Option<u64>,
    /// Bytes that may wait for a lane, where --lane-bytes-per-s bounds it
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    lane_queue_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DeadHosts {
    /// A refusal within a round trip: the process is gone, its host is not
    Refuse,
    /// Nothing until the dial is given up, and lanes fall silent: the host is gone
    Silent,
    /// A reset after two round trips, as behind a proxy
    Reset,
}

impl NetworkArguments {
    /// The share of messages lost both ways.
    pub(super) fn loss(&self) -> f64 {
        self.loss.map_or(0.0, |loss| loss.share)
    }

    /// The same with another loss, 0 to 1, and another least and most latency, in milliseconds.
    pub(super) fn with(&self, loss: f64, latency: Option<(u64, u64)>) -> Self {
        let milliseconds = |number| Milliseconds {
            micros: 1_000 * number,
        };
        let (min, max) = latency
            .map(|(min, max)| (milliseconds(min), milliseconds(max)))
            .unzip();
        Self {
            loss: Some(Percent { share: loss }),
            latency_min_ms: min.or(self.latency_min_ms),
            latency_max_ms: max.or(self.latency_max_ms),
            ..self.clone()
        }
    }

    /// What lies between the nodes.
    ///
    /// # Errors
    /// The least latency is above the most.
    pub(super) fn config(&self) -> Result<NetworkConfig, SimError> {
        let bound = |given: Option<Milliseconds>, default| {
            given.map_or_else(|| Duration::from_millis(default), span)
        };
        let (min, max) = (
            bound(self.latency_min_ms, 10),
            bound(self.latency_max_ms, 50),
        );
        if min > max {
            return Err(SimError::Arguments(
                "--latency-min-ms must not be above --latency-max-ms",
            ));
        }
        let latency = if self.latency_per_message {
            Latency::PerMessage { min, max }
        } else {
            Latency::PerLink { min, max }
        };
        Ok(NetworkConfig {
            latency,
            loss: self.loss(),
            one_way_loss: self.one_way_loss.share,
            broken_pairs: self.broken_pairs.share,
            lanes: LaneConfig {
                dial_round_trips: self.dial_round_trips,
                dial_failures: self.dial_failures.share,
                bytes_per_s: self.lane_bytes_per_s,
                queue_bytes: self.lane_queue_bytes,
            },
            dial_timeout: span(self.dial_timeout_ms),
            death: match self.dead_hosts {
                DeadHosts::Refuse => Death::Refuses,
                DeadHosts::Silent => Death::Silent,
                DeadHosts::Reset => Death::Resets,
            },
            ..NetworkConfig::default()
        })
    }
}
