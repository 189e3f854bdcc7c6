//! What may be asked of a soak, and what is refused at once.

use std::time::Duration;

use clap::{Args, ValueEnum};
use overlane::config::Flags;

use super::message::MESSAGE_BYTES_MIN;
use crate::error::Outcome;
use crate::flags;

/// What the channel under test promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Reliability {
    /// What is sent may be lost
    BestEffort,
    /// Acknowledged, or reported when its connection ends
    Reliable,
    /// Resumed over connections; duplicates are counted
    AtLeastOnce,
    /// Resumed over connections, without duplicates
    Guaranteed,
}

impl Reliability {
    /// As the configuration has it.
    pub(super) fn word(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Flags of `soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakFlags {
    /// What the channel promises
    #[arg(long, value_enum, default_value_t = Reliability::Guaranteed)]
    pub(super) reliability: Reliability,
    /// Messages per second, of all senders together
    #[arg(long, default_value_t = 50_000, value_name = "HZ")]
    pub(super) rate: u32,
    /// How long messages are sent
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(super) seconds: u32,
    /// How often all connections are cut, spread over the time
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub(super) cuts: u32,
    /// How often nothing passes for a while, spread over the time
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    pub(super) stalls: u32,
    /// The longest stall; each lasts a tenth of it to all of it, and half of its part of the time at most
    #[arg(long, default_value_t = 900, value_name = "MILLISECONDS")]
    pub(super) stall_ms: u32,
    /// Time there and back that the proxy adds
    #[arg(long, default_value_t = 0, value_name = "MILLISECONDS")]
    pub(super) rtt_ms: u32,
    /// Kills the receiver's process in the middle; another one takes its place
    #[arg(long)]
    pub(super) kill_receiver: bool,
    /// How long nothing may come without anybody being told why, before the run has failed
    #[arg(long, default_value_t = 1_000, value_name = "MILLISECONDS")]
    pub(super) gap_ms_max: u32,
    /// Bytes of each message
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(super) payload: usize,
    /// Threads that send; the order of each is its own
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    pub(super) senders: u32,
    /// When the proxy cuts and stalls follows from it [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
    /// One JSON object on one line instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) engine: Flags,
}

impl SoakFlags {
    /// Refuses what no run could be made of.
    pub(super) fn check(&self) -> Outcome<()> {
        let within =
            |flag, value: u32, least, most| flags::within(flag, value as usize, least, most);
        within("--rate", self.rate, 1, 10_000_000)?;
        within("--seconds", self.seconds, 1, 86_400)?;
        within("--cuts", self.cuts, 0, 1_000_000)?;
        within("--stalls", self.stalls, 0, 1_000_000)?;
        within("--stall-ms", self.stall_ms, 1, 600_000)?;
        within("--rtt-ms", self.rtt_ms, 0, 10_000)?;
        within("--gap-ms-max", self.gap_ms_max, 1, 86_400_000)?;
        within("--senders", self.senders, 1, 64)?;
        within("--rate", self.rate, self.senders as usize, 10_000_000)?;
        flags::within("--payload", self.payload, MESSAGE_BYTES_MIN, 1 << 20)
    }

    pub(super) fn lasts(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Length of the parts of the time that have one of `count` each.
    pub(super) fn each(&self, count: u32) -> Option<Duration> {
        self.lasts().checked_div(count)
    }
}
