//! A channel as the data path uses it: what its configuration comes to, worked out once.
//!
//! Its **entry** is what is fixed as long as there is the channel, and the few numbers that senders look at
//! for each message; its **plan** is what one epoch of the channel table says of it, and shards go by that.
//! Made by the control shard (`control::channels`); read by senders (admission, ring) and by shards (terms,
//! quanta, socket options). Numbers and names only: it decides nothing.
//!
//! The engine's own channel is among them, with one lane to each peer that is kept up: by it nodes know
//! that a peer is there, and ask it for other lanes.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use event_listener::Event;

use crate::causal::CausalOrder;
use crate::config::{
    self, ChannelConfig, Config, Overflow, Priority, RESERVED_PREFIX, Reach, Reliability,
};
use crate::delivery::WindowLimits;
use crate::io::socket::SocketOptions;
use crate::peer::LaneRange;
use crate::rates::{ChannelRates, RateCaps};
use crate::restraint::Restrained;
use crate::ring::gate::GateLimits;
use crate::ring::{Consumer, Producer, byte_ring};
use crate::wire::codec::Codec;
use crate::wire::{self, ChannelTerms, Name};

/// The name of the engine's own channel. Configurations cannot have it.
pub(crate) const CONTROL: &str = "overlane.control";

/// The mailbox of the engine's own channel, in which control shards hear from one another. It has no other.
pub(crate) const CONTROL_WORDS: &str = "overlane.cluster";

/// The engine's own channel: served before all others.
fn control_channel() -> ChannelConfig {
    ChannelConfig::new(CONTROL)
        .priority(Priority::ENGINE)
        .message_bytes_max(CONTROL_BYTES_MAX)
        .queue_bytes_max(CONTROL_QUEUE_BYTES_MAX)
        .ring_bytes(CONTROL_RING_BYTES)
}

/// What a message on the engine's own channel may take: the longest lists of members.
const CONTROL_BYTES_MAX: usize = 128 << 10;
/// What may wait on it for one peer: two of those.
const CONTROL_QUEUE_BYTES_MAX: usize = 2 * CONTROL_BYTES_MAX;
/// One control shard fills it, a little at a time.
const CONTROL_RING_BYTES: usize = 64 << 10;

/// What is fixed as long as there is the channel, and what senders see of the rest.
#[derive(Debug)]
pub(crate) struct ChannelEntry {
    /// Its place in the channel table; another channel's once this one is removed and forgotten.
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
    pub(crate) wire_name: Name,
    pub(crate) reliability: Reliability,
    pub(crate) reliable: bool,
    /// Messages without a key take any lane.
    pub(crate) unordered: bool,
    /// A newer message with the key of one that waits stands for it.
    pub(crate) monotonic: bool,
    /// No message is delivered before what it follows, whoever sent that.
    pub(crate) causal: Option<Arc<CausalOrder>>,
    /// The first of its lanes among a peer's lanes, and how many there are.
    pub(crate) first_lane: usize,
    pub(crate) parallelism: u64,
    /// Its ring on each shard, and who waits for room in it. The engine's own channel has one in a cluster alone.
    pub(crate) rings: Box<[Producer]>,
    pub(crate) rooms: Box<[Event]>,
    /// The other ends of those, until the shards have taken them.
    drained: Box<[Mutex<Option<Consumer>>]>,
    overflow: AtomicU8,
    message_bytes_max: AtomicUsize,
    large_bytes_max: AtomicUsize,
    /// How many nodes pass a message on to a member without a lane, at most; 0: it makes a lane.
    relay_ttl: AtomicU8,
    removed: AtomicBool,
    /// What caps it, if anything does.
    pub(crate) rates: ChannelRates,
    /// What a partition takes from it now.
    pub(crate) restrained: Restrained,
    /// Of its removal.
    pub(crate) leave: Leave,
}

/// How far the removal of a channel has come.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    /// Shards that have something of it.
    shards: AtomicUsize,
    /// Messages that were reported, or dropped, since it began.
    reported: AtomicU64,
    dropped: AtomicU64,
}

impl Leave {
    /// A shard has nothing of the channel any more. True if it was the last.
    pub(crate) fn note_left(&self, reported: u64, dropped: u64) -> bool {
        self.reported.fetch_add(reported, Ordering::Relaxed);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.shards.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(crate) fn is_over(&self) -> bool {
        self.shards.load(Ordering::Acquire) == 0
    }

    /// Messages that were reported, and that were dropped.
    pub(crate) fn unsettled(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.reported), load(&self.dropped))
    }
}

impl ChannelEntry {
    /// The shard's own end of its ring, once.
    pub(crate) fn take_ring(&self, shard: usize) -> Option<Consumer> {
        let ring = self.drained.get(shard)?;
        ring.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether it is the engine's own.
    pub(crate) fn is_control(&self) -> bool {
        *self.name == *CONTROL
    }

    /// What becomes of messages that find no room.
    #[inline]
    pub(crate) fn overflow(&self) -> Overflow {
        Overflow::from_number(self.overflow.load(Ordering::Relaxed))
    }

    /// The largest payload that this node sends on it.
    #[inline]
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.message_bytes_max.load(Ordering::Relaxed)
    }

    /// The largest message that this node sends on it as a stream; 0 is none.
    pub(crate) fn large_bytes_max(&self) -> usize {
        self.large_bytes_max.load(Ordering::Relaxed)
    }

    /// How many nodes may pass a message on to a member without a lane; none if it makes one.
    #[inline]
    pub(crate) fn relay_ttl(&self) -> Option<u8> {
        let ttl = self.relay_ttl.load(Ordering::Relaxed);
        (ttl > 0).then_some(ttl)
    }

    /// Whether it was removed: nothing is accepted on it any more.
    #[inline]
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// The control shard's: nothing is accepted on it from now on.
    pub(crate) fn note_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// The control shard's: what senders go by from now on.
    pub(crate) fn retune(&self, config: &ChannelConfig) {
        self.overflow
            .store(config.overflow.number(), Ordering::Relaxed);
        self.message_bytes_max
            .store(config.message_bytes_max, Ordering::Relaxed);
        self.large_bytes_max
            .store(config.large_bytes_max, Ordering::Relaxed);
        self.relay_ttl.store(relay_ttl(config), Ordering::Relaxed);
    }

    /// Whether messages can be taken over in runs: each of them goes the same way as its neighbours.
    pub(crate) fn takes_runs(&self) -> bool {
        !self.drops_overflow()
            && !self.monotonic
            && self.causal.is_none()
            && self.relay_ttl().is_none()
    }

    /// Whether nothing that it accepts is dropped while its lane lives. Chunks of streams have no causes.
    pub(crate) fn carries_streams(&self) -> bool {
        self.reliable && !self.drops_overflow() && self.causal.is_none()
    }

    /// Whether the overflow policy accepts a message that finds no room, and drops one.
    pub(crate) fn drops_overflow(&self) -> bool {
        matches!(self.overflow(), Overflow::DropOldest | Overflow::DropNewest)
    }

    /// Its lanes among those of each peer.
    pub(crate) fn lanes(&self) -> LaneRange {
        LaneRange {
            channel: self.index,
            first: self.first_lane,
            // At most 64.
            count: usize::try_from(self.parallelism).unwrap_or(1),
            on_one_shard: self.causal.is_some(),
            keeps_messages: self.reliability.keeps_messages(),
        }
    }
}

/// Whether a channel takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelPhase {
    Open,
    /// It was removed: what was accepted is settled until then, or reported.
    Leaving {
        deadline: Instant,
    },
    /// No shard has anything of it any more; messages that are unread remember its name.
    Gone,
}

/// What one epoch of the channel table says of a channel. Its entry is at hand in it.
#[derive(Debug)]
pub(crate) struct ChannelPlan {
    pub(crate) entry: Arc<ChannelEntry>,
    pub(crate) phase: ChannelPhase,
    pub(crate) config: ChannelConfig,
    /// 0 to 7.
    pub(crate) priority: usize,
    pub(crate) overflow: Overflow,
    pub(crate) send_quantum_bytes: usize,
    /// Larger messages go out in fragments, if any do.
    pub(crate) fragments_above_bytes: Option<usize>,
    /// Of what may be under way on a lane.
    pub(crate) window_limits: WindowLimits,
    /// How its batches are compressed, if they are.
    pub(crate) codec: Option<Codec>,
    pub(crate) options: SocketOptions,
    /// What both ends of a lane settle in its handshake.
    pub(crate) terms: ChannelTerms,
}

impl Deref for ChannelPlan {
    type Target = ChannelEntry;

    fn deref(&self) -> &ChannelEntry {
        &self.entry
    }
}

impl ChannelPlan {
    /// Whether there may be lanes to that peer.
    pub(crate) fn admits(&self, peer: &str) -> bool {
        let allowed = &self.config.peers_allowed;
        allowed.is_empty() || allowed.has(peer)
    }

    /// Whether peers may send to that mailbox of this node. The engine's own are parts of what a channel does.
    pub(crate) fn opens(&self, mailbox: &str) -> bool {
        let allowed = &self.config.mailboxes_allowed;
        allowed.is_empty() || mailbox.starts_with(RESERVED_PREFIX) || allowed.has(mailbox)
    }

    /// The first plan of a channel at that place in the table, with a ring on each shard.
    pub(crate) fn new(
        node: &Config,
        channel: &ChannelConfig,
        index: usize,
        first_lane: usize,
        shards: usize,
    ) -> Result<Self, wire::NameError> {
        let is_unused = channel.name == CONTROL && node.overlay.kind().is_none();
        let with_rings = if is_unused { 0 } else { shards };
        let rings = (0..with_rings).map(|_| byte_ring(channel.ring_bytes));
        let (rings, consumers): (Vec<_>, Vec<_>) = rings.unzip();
        let entry = ChannelEntry {
            index,
            name: Arc::from(channel.name.as_str()),
            wire_name: Name::new(&channel.name)?,
            reliability: channel.reliability,
            reliable: channel.reliability != Reliability::BestEffort,
            unordered: channel.ordering == config::Ordering::Unordered,
            monotonic: channel.ordering == config::Ordering::Monotonic,
            causal: (channel.ordering == config::Ordering::Causal)
                .then(|| Arc::new(CausalOrder::new(node, channel))),
            first_lane,
            parallelism: u64::from(channel.parallelism),
            rooms: rings.iter().map(|_| Event::new()).collect(),
            rings: rings.into(),
            drained: consumers
                .into_iter()
                .map(|consumer| Mutex::new(Some(consumer)))
                .collect(),
            overflow: AtomicU8::new(channel.overflow.number()),
            message_bytes_max: AtomicUsize::new(channel.message_bytes_max),
            large_bytes_max: AtomicUsize::new(channel.large_bytes_max),
            relay_ttl: AtomicU8::new(relay_ttl(channel)),
            removed: AtomicBool::new(false),
            rates: ChannelRates::new(caps(channel)),
            restrained: Restrained::default(),
            leave: Leave {
                shards: AtomicUsize::new(shards),
                ..Leave::default()
            },
        };
        Self::of_entry(node, channel, Arc::new(entry))
    }

    fn of_entry(
        node: &Config,
        channel: &ChannelConfig,
        entry: Arc<ChannelEntry>,
    ) -> Result<Self, wire::NameError> {
        Ok(Self {
            entry,
            phase: ChannelPhase::Open,
            priority: usize::from(channel.priority.0),
            overflow: channel.overflow,
            // A batch is out of reach of `drop_oldest`: half the queue stays where it can make room.
            send_quantum_bytes: channel
                .send_quantum_bytes
                .unwrap_or(node.send_quantum_bytes)
                .min(channel.queue_bytes_max / 2),
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
                mailboxes_max: u32::try_from(node.mailboxes_per_lane_max).unwrap_or(u32::MAX),
                fragments: true,
                large_bytes_max: u32::try_from(channel.large_bytes_max).unwrap_or(u32::MAX),
            },
            fragments_above_bytes: fragments_above_bytes(channel),
            window_limits: window_limits(node, channel),
            codec: Codec::from_name(channel.compression.word()),
            config: channel.clone(),
        })
    }

    /// The plan of the same channel with other parameters.
    pub(crate) fn retuned(
        &self,
        node: &Config,
        channel: &ChannelConfig,
    ) -> Result<Self, wire::NameError> {
        Self::of_entry(node, channel, Arc::clone(&self.entry))
    }

    /// The plan of the same channel on its way out.
    pub(crate) fn in_phase(&self, phase: ChannelPhase) -> Self {
        Self {
            entry: Arc::clone(&self.entry),
            phase,
            config: self.config.clone(),
            terms: self.terms.clone(),
            ..*self
        }
    }

    /// How much may wait at the gate of each of its lanes.
    pub(crate) fn gate_limits(&self) -> GateLimits {
        let channel = &self.config;
        GateLimits {
            messages_max: channel.queue_messages_max as u64,
            bytes_max: channel.bytes_accepted_max() as u64,
            high_percent: channel.high_watermark_percent.into(),
            low_percent: channel.low_watermark_percent.into(),
        }
    }
}

fn relay_ttl(channel: &ChannelConfig) -> u8 {
    match channel.reach {
        Reach::Dial => 0,
        Reach::Relay => channel.relay_ttl,
    }
}

/// A newer message could not replace one that is in fragments, nor would it wait for it.
fn fragments_above_bytes(channel: &ChannelConfig) -> Option<usize> {
    let has_fragments = matches!(
        channel.ordering,
        config::Ordering::Fifo | config::Ordering::Unordered
    );
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

/// The channels of a configuration, laid out, and behind them the engine's own.
pub(crate) fn plan_channels(
    config: &Config,
    shards: usize,
) -> Result<Vec<Option<Arc<ChannelPlan>>>, wire::NameError> {
    let mut plans = Vec::new();
    let mut first_lane = 0;
    let control = control_channel();
    let channels = config.channels.iter().chain([&control]);
    for (index, channel) in channels.enumerate() {
        let plan = ChannelPlan::new(config, channel, index, first_lane, shards)?;
        plans.push(Some(Arc::new(plan)));
        first_lane += usize::from(channel.parallelism);
    }
    Ok(plans)
}

/// The caps that a configuration states.
pub(crate) fn caps(channel: &ChannelConfig) -> RateCaps {
    RateCaps {
        bytes_max: channel.rate_bytes_max,
        messages_max: channel.rate_messages_max,
        peer_bytes_max: channel.peer_rate_bytes_max,
        peer_messages_max: channel.peer_rate_messages_max,
    }
}
