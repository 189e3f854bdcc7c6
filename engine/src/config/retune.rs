//! Which parameters of a channel can be changed while it is used, and from when on that counts.
//!
//! Asked when a channel is retuned, and by `docs/tuning.md`. What is not in the list is fixed as long as there
//! is the channel, because its lanes, its rings or what was promised for its messages follow from it.

use super::channel::{CHANNEL_PARAMETERS, ChannelConfig};

/// From when on a change counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// From the next turn of each shard on, also on lanes that are up.
    AtOnce,
    /// On lanes that are made from then on: both ends settle it in the handshake.
    NextConnection,
    /// On what was lowered, or turned off, at once; on what was raised, or turned on, with the next connection
    /// of each lane: the peer has to agree.
    LowerAtOnce,
}

impl Takes {
    /// For documentation.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NextConnection => "with the next connection",
            Self::LowerAtOnce => "lowered or off at once, else with the next connection",
        }
    }
}

const RETUNABLE: &[(&str, Takes)] = &[
    ("priority", Takes::AtOnce),
    ("on_restart", Takes::AtOnce),
    ("log_bytes_max", Takes::AtOnce),
    ("resume_timeout_ms", Takes::AtOnce),
    ("on_late", Takes::AtOnce),
    ("on_partition", Takes::AtOnce),
    ("reach", Takes::AtOnce),
    ("relay_ttl", Takes::AtOnce),
    ("compression", Takes::LowerAtOnce),
    ("compression_level", Takes::AtOnce),
    ("overflow", Takes::AtOnce),
    ("queue_messages_max", Takes::AtOnce),
    ("queue_bytes_max", Takes::AtOnce),
    ("high_watermark_percent", Takes::AtOnce),
    ("low_watermark_percent", Takes::AtOnce),
    ("unacknowledged_bytes_max", Takes::AtOnce),
    ("window_budget_us", Takes::AtOnce),
    ("fragment_bytes", Takes::NextConnection),
    ("message_bytes_max", Takes::LowerAtOnce),
    ("large_bytes_max", Takes::LowerAtOnce),
    ("send_quantum_bytes", Takes::AtOnce),
    ("floor_bytes", Takes::AtOnce),
    ("rate_bytes_max", Takes::AtOnce),
    ("rate_messages_max", Takes::AtOnce),
    ("peer_rate_bytes_max", Takes::AtOnce),
    ("peer_rate_messages_max", Takes::AtOnce),
    ("hints", Takes::AtOnce),
    ("peers_allowed", Takes::NextConnection),
    ("mailboxes_allowed", Takes::NextConnection),
    ("so_priority", Takes::AtOnce),
    ("dscp", Takes::AtOnce),
    ("notsent_lowat_bytes", Takes::AtOnce),
    ("send_buffer_bytes", Takes::NextConnection),
    ("receive_buffer_bytes", Takes::NextConnection),
];

/// When a change of that parameter of a channel counts; `None` if it is fixed as long as there is the channel.
#[must_use]
pub fn retunable(parameter: &str) -> Option<Takes> {
    let mut known = RETUNABLE.iter();
    known
        .find(|(name, _)| *name == parameter)
        .map(|(_, takes)| *takes)
}

/// The parameters that differ: name, value in `is`, value in `wanted`.
pub(crate) fn differences(
    is: &ChannelConfig,
    wanted: &ChannelConfig,
) -> Vec<(&'static str, String, String)> {
    let parameters = CHANNEL_PARAMETERS.iter();
    let values = parameters.map(|known| (known.name, known.get(is), known.get(wanted)));
    values.filter(|(_, is, wanted)| is != wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_retunable_parameter_is_one_of_a_channel() {
        for (name, _) in RETUNABLE {
            let mut known = CHANNEL_PARAMETERS.iter();
            assert!(known.any(|known| known.name == *name), "{name}");
        }
        for fixed in ["reliability", "ordering", "parallelism", "ring_bytes"] {
            assert_eq!(retunable(fixed), None, "{fixed}");
        }
    }
}
