//! The lanes of a peer as senders see them: where each is owned, what it carries, and its gate.
//!
//! Lanes lie in cells, which are there for as long as the peer's handle is: whoever sends holds on to none of
//! them. The control shard gives a channel that is added a range of cells, the same for each peer, and gives
//! them to another when nobody remembers the first. More cells are made as channels are added; those that a
//! peer was made with are found with one look.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

use crate::ring::gate::{Gate, GateLimits, OpenFor};

/// Bits of a lane's number that are its offset among the lanes of its peer. The rest is the peer's place, of
/// which there are three for each of `peers_max`, at most 65,537.
const OFFSET_BITS: u32 = 14;

/// Cells of one peer. 64 channels of 64 lanes take a quarter: removed ones leave gaps.
pub(crate) const LANES_MAX: usize = 1 << OFFSET_BITS;

/// A cell that no channel has.
const NO_CHANNEL: u16 = u16::MAX;

/// The lanes of one channel among those of each peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneRange {
    /// The channel's place in the channel table.
    pub(crate) channel: usize,
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// All of them, at each peer, are one shard's: what comes on them has one order.
    pub(crate) on_one_shard: bool,
    /// What is accepted on them is kept until it is acknowledged, or has waited too long.
    pub(crate) keeps_messages: bool,
}

impl LaneRange {
    pub(crate) fn offsets(self) -> Range<usize> {
        self.first..self.first + self.count
    }
}

/// One lane of a peer as senders see it.
#[derive(Debug)]
pub(crate) struct LaneAddress {
    shard: AtomicU16,
    channel: AtomicU16,
    index: AtomicU16,
    pub(crate) gate: Gate,
    keeps_messages: AtomicBool,
    /// The largest payload that both ends of the lane take, once it has been up.
    payload_bytes_max: AtomicU32,
    /// The largest message that both ends take as a stream, once it has been up; 0 is none.
    large_bytes_max: AtomicU32,
    takes_extensions: AtomicBool,
}

/// Nothing waits at the gate of a cell without a channel.
const SHUT: GateLimits = GateLimits {
    messages_max: 0,
    bytes_max: 0,
    high_percent: 100,
    low_percent: 0,
};

impl LaneAddress {
    /// A cell that no channel has.
    fn unassigned(shard: u16) -> Self {
        let gate = Gate::new(SHUT);
        gate.close();
        Self {
            shard: AtomicU16::new(shard),
            channel: AtomicU16::new(NO_CHANNEL),
            index: AtomicU16::new(0),
            gate,
            keeps_messages: AtomicBool::new(false),
            payload_bytes_max: AtomicU32::new(u32::MAX),
            large_bytes_max: AtomicU32::new(u32::MAX),
            takes_extensions: AtomicBool::new(true),
        }
    }

    /// The shard that owns the lane, for as long as it carries its channel.
    #[inline]
    pub(crate) fn shard(&self) -> usize {
        usize::from(self.shard.load(Ordering::Relaxed))
    }

    /// The place in the channel table of the channel that it carries.
    pub(crate) fn channel(&self) -> usize {
        usize::from(self.channel.load(Ordering::Acquire))
    }

    /// Its index among the channel's parallel lanes.
    pub(crate) fn index(&self) -> u16 {
        self.index.load(Ordering::Relaxed)
    }

    /// Whether what it has accepted is kept until it is acknowledged, or has waited too long.
    pub(crate) fn keeps_messages(&self) -> bool {
        self.keeps_messages.load(Ordering::Relaxed)
    }

    pub(super) fn is_assigned(&self) -> bool {
        self.channel.load(Ordering::Acquire) != NO_CHANNEL
    }

    /// The largest payload that the peer takes on this lane, as far as is known; this node's own
    /// bound is the channel's.
    #[inline]
    pub(crate) fn payload_bytes_max(&self) -> usize {
        usize::try_from(self.payload_bytes_max.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// The largest message that the peer takes on this lane as a stream, as far as is known.
    pub(crate) fn large_bytes_max(&self) -> usize {
        usize::try_from(self.large_bytes_max.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Whether the peer knows extensions, as far as is known.
    #[inline]
    pub(crate) fn takes_extensions(&self) -> bool {
        self.takes_extensions.load(Ordering::Relaxed)
    }

    /// The shard's: the handshake of the lane has settled it.
    pub(crate) fn settle_extensions(&self, taken: bool) {
        self.takes_extensions.store(taken, Ordering::Relaxed);
    }

    /// The shard's: the handshake of the lane has settled it.
    pub(crate) fn settle_large_bytes_max(&self, bytes_max: u32) {
        self.large_bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// The shard's: the handshake of the lane has settled it.
    pub(crate) fn settle_payload_bytes_max(&self, bytes_max: u32) {
        self.payload_bytes_max.store(bytes_max, Ordering::Relaxed);
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct LaneCells {
    /// Spreads the lanes of different peers over the shards.
    spread: u64,
    shards: u16,
    control_offset: usize,
    /// Those that were made with the peer.
    first: Box<[LaneAddress]>,
    /// Those that channels were added for since: each block is twice as long as the one before.
    grown: [OnceLock<Box<[LaneAddress]>>; BLOCKS],
}

/// The first block of cells that are made later.
const BLOCK_CELLS: usize = 8;

/// Together they have more cells than there are offsets.
const BLOCKS: usize = 12;

/// Which of the later blocks a cell is in, and where; `beyond` counts from the first of them.
#[inline]
fn block_of(beyond: usize) -> (usize, usize) {
    let block = (beyond / BLOCK_CELLS + 1).ilog2() as usize;
    (block, beyond - BLOCK_CELLS * ((1 << block) - 1))
}

impl LaneCells {
    /// Cells for `count` lanes, of no channel yet.
    pub(crate) fn new(spread: u64, shards: u16, control_offset: usize, count: usize) -> Self {
        let mut cells = Self {
            spread,
            shards,
            control_offset,
            first: Box::default(),
            grown: Default::default(),
        };
        cells.first = (0..count).map(|offset| cells.make(offset)).collect();
        cells
    }

    fn make(&self, offset: usize) -> LaneAddress {
        LaneAddress::unassigned(self.shard_of(self.spread.wrapping_add(offset as u64)))
    }

    /// The shard that a number comes to.
    fn shard_of(&self, number: u64) -> u16 {
        let shard = number % u64::from(self.shards.max(1));
        u16::try_from(shard).unwrap_or(0)
    }

    pub(super) fn control_offset(&self) -> usize {
        self.control_offset
    }

    #[inline]
    pub(super) fn at(&self, offset: usize) -> &LaneAddress {
        match self.first.get(offset) {
            Some(lane) => lane,
            None => self.later(offset),
        }
    }

    fn later(&self, offset: usize) -> &LaneAddress {
        let (block, place) = block_of(offset - self.first.len());
        let cells = self.grown[block].get_or_init(|| {
            let start = offset - place;
            let count = BLOCK_CELLS << block;
            (start..start + count).map(|at| self.make(at)).collect()
        });
        &cells[place]
    }

    /// All cells that were made, and their offsets.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &LaneAddress)> {
        let first = self.first.iter().enumerate();
        let later = self.grown.iter().enumerate();
        let later = later.filter_map(|(block, cells)| Some((block, cells.get()?)));
        first.chain(later.flat_map(|(block, cells)| {
            let start = self.first.len() + BLOCK_CELLS * ((1 << block) - 1);
            let cells = cells.iter().enumerate();
            cells.map(move |(place, lane)| (start + place, lane))
        }))
    }

    /// How many of them carry a channel.
    pub(super) fn count(&self) -> usize {
        let assigned = self.all().filter(|(_, lane)| lane.is_assigned());
        assigned.count()
    }

    pub(super) fn assign(&self, range: LaneRange, limits: GateLimits, open_for: &[OpenFor]) {
        for (index, offset) in range.offsets().enumerate() {
            let lane = self.at(offset);
            lane.settle_payload_bytes_max(u32::MAX);
            lane.settle_large_bytes_max(u32::MAX);
            lane.settle_extensions(true);
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            lane.index.store(index, Ordering::Relaxed);
            let number = if range.on_one_shard {
                range.channel as u64
            } else {
                self.spread.wrapping_add(offset as u64)
            };
            lane.shard.store(self.shard_of(number), Ordering::Relaxed);
            let keeps = range.keeps_messages;
            lane.keeps_messages.store(keeps, Ordering::Relaxed);
            let channel = u16::try_from(range.channel).unwrap_or(NO_CHANNEL);
            lane.channel.store(channel, Ordering::Release);
            lane.gate.renew(limits, open_for);
        }
    }

    pub(super) fn release(&self, range: LaneRange) {
        for offset in range.offsets() {
            self.at(offset).channel.store(NO_CHANNEL, Ordering::Release);
        }
    }
}

/// The number of a lane among all lanes of this node, by which senders name it and its shard finds it. Not
/// its index among the lanes of that shard, and not its offset among those of its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneNumber(u32);

impl LaneNumber {
    /// That of a peer's lane at `offset`.
    #[inline]
    pub(crate) fn new(place: u32, offset: usize) -> Self {
        // An offset is below LANES_MAX, and a place of a peer has 18 bits.
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        Self(place << OFFSET_BITS | offset)
    }

    /// As a record in a ring carries it.
    #[inline]
    pub(crate) const fn word(self) -> u32 {
        self.0
    }

    /// What [`word`](Self::word) said.
    #[inline]
    pub(crate) const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The place of its peer.
    #[inline]
    pub(crate) const fn place(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    /// Its offset among the lanes of its peer.
    #[inline]
    pub(crate) const fn offset(self) -> usize {
        self.0 as usize % LANES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_offset_has_a_cell_of_its_own_wherever_it_lies() {
        let cells = LaneCells::new(3, 4, 2, 5);
        let mut seen = std::collections::HashSet::new();
        for offset in (0..LANES_MAX).rev() {
            let cell = cells.at(offset);
            assert_eq!(cell.shard(), (3 + offset) % 4, "{offset}");
            assert!(seen.insert(std::ptr::from_ref(cell)), "{offset}");
        }
        let offsets = cells.all().map(|(offset, _)| offset);
        assert!(offsets.take(LANES_MAX).eq(0..LANES_MAX));
        assert_eq!(cells.count(), 0);
    }

    #[test]
    fn a_number_is_a_place_and_an_offset() {
        for (place, offset) in [(0, 0), (7, 3), (196_611, LANES_MAX - 1)] {
            let number = LaneNumber::from_word(LaneNumber::new(place, offset).word());
            assert_eq!((number.place(), number.offset()), (place as usize, offset));
        }
    }
}
