//! A channel as the data path uses it: what its configuration comes to, worked out once.
//!
//! Made when the node starts; read by senders (admission, ring) and by shards (terms, quanta, socket
//! options). Numbers and names only: it decides nothing.
//!
//! The last channel is the engine's own, with one lane to each peer that is kept up: by it nodes know
//! that a peer is there, and ask it for other lanes.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{ChannelConfig, Config, Ordering, Overflow, Priority, Reliability};
use crate::delivery::WindowLimits;
use crate::io::socket::SocketOptions;
use crate::rates::{ChannelRates, RateCaps};
use crate::wire::codec::Codec;
use crate::wire::{self, ChannelTerms, Name};

/// The name of the engine's own channel. Configurations cannot have it.
pub(crate) const CONTROL: &str = "overlane.control";

/// The engine's own channel: served before all others.
fn control() -> ChannelConfig {
    ChannelConfig::new(CONTROL)
        .priority(Priority::ENGINE)
        .message_bytes_max(CONTROL_BYTES_MAX)
        .queue_bytes_max(CONTROL_BYTES_MAX)
}

/// What a message on the engine's own channel may take, and what may wait on it.
const CONTROL_BYTES_MAX: usize = 64 << 10;

/// A channel as the data path uses it.
#[derive(Debug)]
pub(crate) struct ChannelPlan {
    /// Its place in the configuration.
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
    pub(crate) wire_name: Name,
    pub(crate) config: ChannelConfig,
    /// 0 to 7.
    pub(crate) priority: usize,
    pub(crate) reliability: Reliability,
    pub(crate) reliable: bool,
    /// Messages without a key take any lane.
    pub(crate) unordered: bool,
    /// A newer message with the key of one that waits stands for it.
    pub(crate) monotonic: bool,
    pub(crate) overflow: Overflow,
    /// The first of its lanes among a peer's lanes, and how many there are.
    pub(crate) first_lane: usize,
    pub(crate) parallelism: u64,
    pub(crate) send_quantum_bytes: usize,
    /// Larger messages go out in fragments, if any do.
    pub(crate) fragments_above_bytes: Option<usize>,
    /// How its batches are compressed, if they are.
    pub(crate) codec: Option<Codec>,
    /// Of what may be under way on a lane.
    pub(crate) window_limits: WindowLimits,
    pub(crate) options: SocketOptions,
    /// What caps it, if anything does.
    pub(crate) rates: Arc<ChannelRates>,
    /// What both ends of a lane settle in its handshake.
    pub(crate) terms: ChannelTerms,
}

impl ChannelPlan {
    /// Whether it is the engine's own.
    pub(crate) fn is_control(&self) -> bool {
        *self.name == *CONTROL
    }

    /// Whether messages can be taken over in runs: each of them goes the same way as its neighbours.
    pub(crate) fn takes_runs(&self) -> bool {
        !self.drops_overflow() && !self.monotonic
    }

    /// Whether nothing that it accepts is dropped while its lane lives.
    pub(crate) fn carries_streams(&self) -> bool {
        self.reliable && !self.drops_overflow()
    }

    /// Whether the overflow policy accepts a message that finds no room, and drops one.
    pub(crate) fn drops_overflow(&self) -> bool {
        matches!(self.overflow, Overflow::DropOldest | Overflow::DropNewest)
    }
}

/// A newer message could not replace one that is in fragments, nor would it wait for it.
fn fragments_above_bytes(channel: &ChannelConfig) -> Option<usize> {
    let has_fragments = matches!(channel.ordering, Ordering::Fifo | Ordering::Unordered);
    (has_fragments && channel.fragment_bytes > 0).then_some(channel.fragment_bytes)
}

/// An acknowledgement may be put off by the peer, which is not to look like a queue.
fn window_limits(config: &Config, channel: &ChannelConfig) -> WindowLimits {
    let budget_us = match channel.window_budget_us {
        0 => 0,
        budget_us => budget_us.max(2 * config.ack_delay_us),
    };
    WindowLimits {
        bytes_max: channel.unacknowledged_bytes_max as u64,
        budget: Duration::from_micros(budget_us),
    }
}

/// The number of the configured channel of that name.
pub(crate) fn channel_number(plans: &[ChannelPlan], name: &str) -> Option<usize> {
    let mut plans = plans.iter().filter(|plan| !plan.is_control());
    plans
        .find(|plan| *plan.name == *name)
        .map(|plan| plan.index)
}

/// The channels of a configuration, laid out, and behind them the engine's own.
pub(crate) fn plan_channels(config: &Config) -> Result<Vec<ChannelPlan>, wire::NameError> {
    let mut plans = Vec::new();
    let mut first_lane = 0;
    let control = control();
    let channels = config.channels.iter().chain([&control]);
    for (index, channel) in channels.enumerate() {
        plans.push(plan(config, index, channel, first_lane)?);
        first_lane += usize::from(channel.parallelism);
    }
    Ok(plans)
}

fn plan(
    config: &Config,
    index: usize,
    channel: &ChannelConfig,
    first_lane: usize,
) -> Result<ChannelPlan, wire::NameError> {
    Ok(ChannelPlan {
        index,
        name: Arc::from(channel.name.as_str()),
        wire_name: Name::new(&channel.name)?,
        priority: usize::from(channel.priority.0),
        reliability: channel.reliability,
        reliable: channel.reliability != Reliability::BestEffort,
        unordered: channel.ordering == Ordering::Unordered,
        monotonic: channel.ordering == Ordering::Monotonic,
        overflow: channel.overflow,
        first_lane,
        parallelism: u64::from(channel.parallelism),
        // A batch is out of reach of `drop_oldest`: half the queue stays where it can make room.
        send_quantum_bytes: channel
            .send_quantum_bytes
            .unwrap_or(config.send_quantum_bytes)
            .min(channel.queue_bytes_max / 2),
        fragments_above_bytes: fragments_above_bytes(channel),
        window_limits: window_limits(config, channel),
        options: SocketOptions {
            priority: channel.so_priority,
            dscp: channel.dscp,
            notsent_lowat_bytes: channel.notsent_lowat_bytes,
            send_buffer_bytes: channel.send_buffer_bytes,
            receive_buffer_bytes: channel.receive_buffer_bytes,
        },
        terms: ChannelTerms {
            reliability: Name::new(channel.reliability.word())?,
            ordering: Name::new(channel.ordering.word())?,
            compression: Name::new(channel.compression.word())?,
            parallelism: channel.parallelism,
            body_bytes_max: u32::try_from(channel.message_bytes_max).unwrap_or(u32::MAX),
            mailboxes_max: u32::try_from(config.mailboxes_per_lane_max).unwrap_or(u32::MAX),
            fragments: true,
        },
        codec: Codec::from_name(channel.compression.word()),
        rates: Arc::new(ChannelRates::new(caps(channel))),
        config: channel.clone(),
    })
}

/// The caps that a configuration states.
fn caps(channel: &ChannelConfig) -> RateCaps {
    RateCaps {
        bytes_max: channel.rate_bytes_max,
        messages_max: channel.rate_messages_max,
        peer_bytes_max: channel.peer_rate_bytes_max,
        peer_messages_max: channel.peer_rate_messages_max,
    }
}
