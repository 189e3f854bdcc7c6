//! Step 1 of a message's way: may it be accepted? Its size, the lane that takes it, and room at that
//! lane's gate.
//!
//! Asked by `channel` for senders on any thread and by `shard::context` for senders on the shard
//! itself, so that both have the same rules. Never moves a message, never waits.

use std::cell::Cell;
use std::ops::Range;

use crate::channel_plan::ChannelEntry;
use crate::config::Overflow;
use crate::error::SendError;
use crate::message::Destination;
use crate::peer::{LaneAddress, Peer};
use crate::ring::gate::{Gate, Refusal};

/// What the gate says of one message.
pub(crate) enum Admission {
    /// Its room is reserved.
    Queue,
    /// The overflow policy accepts it and drops it in one step; it is counted.
    Dropped,
}

/// Which of a peer's lanes a message takes, and how much of its bytes is an extension, its length
/// included, in front of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) offset: usize,
    pub(crate) head: usize,
    /// Somebody waits to hear of it: the overflow policy refuses it instead of dropping it.
    pub(crate) is_awaited: bool,
}

impl Way {
    /// For a message without an extension.
    #[inline]
    pub(crate) const fn plain(offset: usize) -> Self {
        Self {
            offset,
            head: 0,
            is_awaited: false,
        }
    }

    /// For a message of which `head` bytes are an extension.
    #[inline]
    pub(crate) const fn extended(offset: usize, head: usize) -> Self {
        Self {
            offset,
            head,
            is_awaited: false,
        }
    }
}

/// The lane that a destination's key picks; without a key, the first, or any if order does not
/// matter.
#[inline]
pub(crate) fn lane_offset(channel: &ChannelEntry, to: &Destination) -> usize {
    let index = match to.key {
        _ if channel.parallelism == 1 => 0,
        Some(key) => key % channel.parallelism,
        None if channel.unordered => next_in_turn() % channel.parallelism,
        None => 0,
    };
    // parallelism is at most 64.
    channel.first_lane + usize::try_from(index).unwrap_or(0)
}

/// All that a destination may take.
pub(crate) fn lane_offsets(channel: &ChannelEntry, to: &Destination) -> Range<usize> {
    if channel.unordered && to.key.is_none() {
        // parallelism is at most 64.
        let lanes = usize::try_from(channel.parallelism).unwrap_or(1);
        channel.first_lane..channel.first_lane + lanes
    } else {
        let offset = lane_offset(channel, to);
        offset..offset + 1
    }
}

/// Counts up, for each thread by itself.
fn next_in_turn() -> u64 {
    thread_local!(static TURN: Cell<u64> = const { Cell::new(0) });
    TURN.replace(TURN.get().wrapping_add(1))
}

/// Whether a partition keeps the channel from sending to that node. What a node sends to itself goes on.
#[inline]
pub(crate) fn is_restrained(channel: &ChannelEntry, to: &Peer) -> bool {
    !channel.restrained.allows_sending() && !to.is_self()
}

/// Refuses a message, and counts that, while a partition keeps the channel from sending.
#[inline]
pub(crate) fn check_partition(channel: &ChannelEntry, to: &Peer) -> Result<(), SendError> {
    if is_restrained(channel, to) {
        channel.restrained.count_refusal();
        return Err(partitioned(channel));
    }
    Ok(())
}

#[cold]
pub(crate) fn partitioned(channel: &ChannelEntry) -> SendError {
    SendError::Partitioned {
        channel: channel.name.to_string(),
    }
}

/// Holds a payload against what this node sends on the channel, and the peer takes on the lane.
#[inline]
pub(crate) fn check_size(
    channel: &ChannelEntry,
    lane: &LaneAddress,
    head: usize,
    bytes: usize,
) -> Result<(), SendError> {
    if head > 0 && !lane.takes_extensions() {
        return Err(SendError::OldPeer);
    }
    let bytes_max = channel.message_bytes_max().min(lane.payload_bytes_max());
    check_size_within(bytes_max, bytes - head)
}

/// Holds a payload against a bound.
#[inline]
pub(crate) fn check_size_within(bytes_max: usize, bytes: usize) -> Result<(), SendError> {
    if bytes > bytes_max {
        Err(SendError::TooLarge { bytes, bytes_max })
    } else {
        Ok(())
    }
}

/// Step 1: reserves room for a message of `bytes`, by the channel's policy.
#[inline]
pub(crate) fn admit(
    channel: &ChannelEntry,
    gate: &Gate,
    way: Way,
    bytes: usize,
) -> Result<Admission, SendError> {
    let reserved = match channel.overflow() {
        Overflow::DropOldest => gate.reserve_over(bytes as u64),
        Overflow::Reject | Overflow::Block | Overflow::DropNewest => gate.reserve(bytes as u64),
    };
    match reserved {
        Ok(()) => Ok(Admission::Queue),
        Err(refusal) if way.is_awaited => Err(why_refused(channel, refusal)),
        Err(refusal) => refused(channel, gate, refusal),
    }
}

/// Step 1 for a run of messages: reserves room for as many of `payloads`, from the first on, as a few
/// tries find. Returns how many, and their bytes.
pub(crate) fn reserve_run(gate: &Gate, payloads: &[&[u8]]) -> Result<(usize, u64), Refusal> {
    // A reservation is all or nothing: halve the run until it fits.
    let mut count = payloads.len();
    loop {
        let bytes = payload_bytes(&payloads[..count]);
        match gate.reserve_many(count as u64, bytes) {
            Ok(()) => return Ok((count, bytes)),
            Err(Refusal::Full) if count > 1 => count /= 2,
            Err(refusal) => return Err(refusal),
        }
    }
}

/// The bytes of all of them.
pub(crate) fn payload_bytes(payloads: &[&[u8]]) -> u64 {
    payloads.iter().map(|payload| payload.len() as u64).sum()
}

/// How many of `payloads`, from the first on, can go together: those that are copied and not too large.
/// What is too large ends a run, and is refused by itself.
pub(crate) fn run_length(
    channel: &ChannelEntry,
    lane: &LaneAddress,
    inline_bytes_max: usize,
    payloads: &[&[u8]],
) -> usize {
    let bytes_max = channel.message_bytes_max().min(lane.payload_bytes_max());
    let bytes_max = inline_bytes_max.min(bytes_max);
    let fits = |payload: &&&[u8]| payload.len() <= bytes_max;
    payloads.iter().take_while(fits).count()
}

#[cold]
pub(crate) fn refused(
    channel: &ChannelEntry,
    gate: &Gate,
    refusal: Refusal,
) -> Result<Admission, SendError> {
    match refusal {
        Refusal::Down if !channel.reliable && !channel.is_removed() => {}
        Refusal::Full if channel.drops_overflow() && !channel.is_removed() => {}
        Refusal::Closed | Refusal::Down | Refusal::Full => {
            return Err(why_refused(channel, refusal));
        }
    }
    gate.count_drop(1);
    Ok(Admission::Dropped)
}

/// What a refusal at a gate, or at a ring that is closed, means for whoever sends on the channel. Of one that was
/// removed, the gate may be another's by now.
#[cold]
pub(crate) fn why_refused(channel: &ChannelEntry, refusal: Refusal) -> SendError {
    match refusal {
        _ if channel.is_removed() => SendError::ChannelRemoved,
        Refusal::Closed => SendError::Closed,
        Refusal::Down => SendError::Unreachable,
        Refusal::Full => SendError::Full,
    }
}
