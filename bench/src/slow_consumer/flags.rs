//! What may be asked, and what is refused at once.

use clap::Args;
use overlane::config::Flags;

use crate::error::Outcome;
use crate::flags;
use crate::soak::MESSAGE_BYTES_MIN;

/// Flags of `slow-consumer`.
#[derive(Debug, Args)]
pub(crate) struct SlowConsumerFlags {
    /// Peers that are sent to; the first one's consumer stops
    #[arg(long, default_value_t = 64, value_name = "COUNT")]
    pub(super) peers: usize,
    /// How long it is stopped
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(super) seconds: u32,
    /// Messages per second to the first peer
    #[arg(long, default_value_t = 1_000, value_name = "HZ")]
    pub(super) rate: u32,
    /// Bytes of each of those
    #[arg(long, default_value_t = 1_000, value_name = "BYTES")]
    pub(super) payload: usize,
    /// Messages per second of 64 bytes to each other peer
    #[arg(long, default_value_t = 50, value_name = "HZ")]
    pub(super) others_rate: u32,
    /// One JSON object on one line instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) engine: Flags,
}

impl SlowConsumerFlags {
    /// Refuses what no run could be made of.
    pub(super) fn check(&self) -> Outcome<()> {
        flags::within("--peers", self.peers, 2, 1_000)?;
        flags::within("--seconds", self.seconds as usize, 1, 86_400)?;
        flags::within("--rate", self.rate as usize, 1, 1_000_000)?;
        flags::within("--others-rate", self.others_rate as usize, 1, 10_000)?;
        flags::within("--payload", self.payload, MESSAGE_BYTES_MIN, 1 << 20)
    }
}
