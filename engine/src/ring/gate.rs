//! The gate of a lane: may a message for it be accepted, and is the lane there, or can it be made.
//!
//! Shared by every thread that sends and the one shard that owns the lane. Senders reserve room
//! before they touch a ring, so that no peer can fill the ring that others share; the shard releases
//! it when the bytes are with the kernel (or reported). Holds numbers only, never a message.
//!
//! Below its bounds a gate has two watermarks: from the high one on it is overloaded, until the low one is
//! reached. Senders that look at that pause before anything is refused, and not for every message.

mod level;
mod state;
#[cfg(all(test, not(overlane_loom)))]
mod tests;

use event_listener::{Event, EventListener};

use super::sync::{AtomicBool, AtomicU8, AtomicU64, Ordering};
pub(crate) use level::GateLimits;
use level::{Level, packed, unpacked};
use state::{CLOSED, state_of};
pub(crate) use state::{GateState, OpenFor};

/// More than a ring of any size holds.
const MESSAGES_ANY: u64 = 1 << 27;

/// Why a gate let nothing through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Down,
    Closed,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Gate {
    queued: AtomicU64,
    /// Bytes of `queued` that are the shard's own matter, and stand in nobody's way.
    beside: AtomicU64,
    /// What keeps it open, and whether it is closed for good.
    state: AtomicU8,
    /// How much may wait; from which level on it is overloaded, and to which that lasts. Retuned while
    /// senders look at them: each by itself is one that was meant.
    bounds: Level,
    high: Level,
    low: Level,
    overloaded: AtomicBool,
    /// How often it became overloaded.
    overloads: AtomicU64,
    /// It is overloaded no more.
    eased: Event,
    /// Accepted and dropped at once, by an overflow policy, without reaching the shard.
    dropped: AtomicU64,
    room: Event,
    /// What has left since those who wait for room were woken.
    left: Level,
}

impl Gate {
    /// A gate that is down. The limits stay below 2^27 messages and 2^35 bytes (configuration
    /// refuses more), so that twice a limit and one message above it fit their halves of the word.
    pub(crate) fn new(limits: GateLimits) -> Self {
        Self {
            queued: AtomicU64::new(0),
            beside: AtomicU64::new(0),
            state: AtomicU8::new(0),
            bounds: Level::new((limits.messages_max, limits.bytes_max)),
            high: Level::new(limits.watermark(limits.high_percent)),
            low: Level::new(limits.watermark(limits.low_percent)),
            overloaded: AtomicBool::new(false),
            overloads: AtomicU64::new(0),
            eased: Event::new(),
            dropped: AtomicU64::new(0),
            room: Event::new(),
            left: Level::new((0, 0)),
        }
    }

    #[inline]
    pub(crate) fn state(&self) -> GateState {
        state_of(self.state.load(Ordering::Acquire))
    }

    /// A shard's: the gate is open for that reason from now on. Whoever waits for room looks again.
    pub(crate) fn open(&self, why: OpenFor) {
        self.state.fetch_or(why as u8, Ordering::SeqCst);
        self.stir();
    }

    /// A shard's: the gate is not open for that reason any more. Whoever waits for room looks again.
    pub(crate) fn shut(&self, why: OpenFor) {
        self.state.fetch_and(!(why as u8), Ordering::SeqCst);
        self.stir();
    }

    /// A shard's: the lane waits for its peer no longer, in one step.
    pub(crate) fn give_up(&self) {
        let waits = OpenFor::Absence as u8 | OpenFor::Return as u8;
        self.state.fetch_and(!waits, Ordering::SeqCst);
        self.stir();
    }

    /// The node stops, or the channel goes: the gate never opens again for this lane.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::SeqCst);
        self.stir();
    }

    /// Other limits from now on. What waits already stays, and whoever waits for room looks again.
    pub(crate) fn retune(&self, limits: GateLimits) {
        self.bounds.set((limits.messages_max, limits.bytes_max));
        self.high.set(limits.watermark(limits.high_percent));
        self.low.set(limits.watermark(limits.low_percent));
        self.ease(self.queued.load(Ordering::SeqCst));
        self.room.notify(usize::MAX);
    }

    /// The gate is another lane's from now on, open for those reasons. What the old one counted has been
    /// taken, and nothing is reserved, but for senders on the old lane's channel that are about to find that
    /// it is gone.
    pub(crate) fn renew(&self, limits: GateLimits, open_for: &[OpenFor]) {
        self.take_dropped();
        self.take_overloads();
        self.retune(limits);
        let bits = open_for.iter().fold(0, |bits, why| bits | *why as u8);
        self.state.store(bits, Ordering::SeqCst);
    }

    /// Whoever waits looks again at what the gate is.
    pub(crate) fn stir(&self) {
        self.room.notify(usize::MAX);
        self.eased.notify(usize::MAX);
    }

    /// Whether it is open for nothing else than that the peer can be reached, or is expected back.
    pub(crate) fn is_only_hoped_for(&self) -> bool {
        let hopes = OpenFor::Reach as u8 | OpenFor::Return as u8;
        let bits = self.state.load(Ordering::Acquire);
        bits != 0 && bits & !hopes == 0
    }

    /// Whether its lane is up.
    pub(crate) fn has_lane(&self) -> bool {
        self.state.load(Ordering::Acquire) & OpenFor::Lane as u8 != 0
    }

    /// Reserves room for one message of `bytes`. A message larger than the whole bound passes when
    /// nothing else is queued, so that a limit can delay but never forbid what `message_bytes_max`
    /// allows.
    #[inline]
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), Refusal> {
        self.reserve_many(1, bytes)
    }

    /// Reserves room for `messages` of `bytes` in all, or for none.
    #[inline]
    pub(crate) fn reserve_many(&self, messages: u64, bytes: u64) -> Result<(), Refusal> {
        self.reserve_within(messages, bytes, self.bounds.messages(), self.bounds.bytes())
    }

    #[inline]
    fn reserve_within(
        &self,
        messages: u64,
        bytes: u64,
        messages_max: u64,
        bytes_max: u64,
    ) -> Result<(), Refusal> {
        match self.state() {
            GateState::Open => {}
            GateState::Down => return Err(Refusal::Down),
            GateState::Closed => return Err(Refusal::Closed),
        }
        let add = packed(messages, bytes);
        let beside = self.beside.load(Ordering::Relaxed);
        let bytes_max = bytes_max + beside;
        // Looked at before it is added: a reservation that does not fit must not even for a moment
        // stand in the way of one that does.
        let mut queued = self.queued.load(Ordering::Relaxed);
        loop {
            let (queued_messages, queued_bytes) = unpacked(queued);
            let fits =
                queued_messages + messages <= messages_max && queued_bytes + bytes <= bytes_max;
            let only_streams =
                beside > 0 && queued_bytes <= beside && queued_messages < messages_max;
            let is_alone = messages == 1 && (queued == 0 || only_streams);
            if !(fits || is_alone) {
                return Err(Refusal::Full);
            }
            match self.queued.compare_exchange_weak(
                queued,
                queued + add,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    if queued_messages + messages >= self.high.messages()
                        || queued_bytes + bytes >= self.high.bytes() + beside
                    {
                        self.note_overload();
                    }
                    return self.confirm(messages, bytes);
                }
                Err(changed) => queued = changed,
            }
        }
    }

    /// The lane may have ended between the look at the state and the reservation, and its peer given
    /// its place up: either that sees the reservation, or this sees that the gate is down.
    #[inline]
    fn confirm(&self, messages: u64, bytes: u64) -> Result<(), Refusal> {
        if state_of(self.state.load(Ordering::SeqCst)) == GateState::Open {
            return Ok(());
        }
        self.take_back(messages, bytes);
        Err(match self.state() {
            GateState::Closed => Refusal::Closed,
            GateState::Open | GateState::Down => Refusal::Down,
        })
    }

    /// Whether it lets nothing through, and nothing is reserved: then nothing will be until it opens.
    pub(crate) fn is_shut_and_unused(&self) -> bool {
        let state = state_of(self.state.load(Ordering::SeqCst));
        state != GateState::Open && self.is_unused()
    }

    /// Whether it would be that if the peer were not expected back.
    pub(crate) fn is_unused_but_for_return(&self) -> bool {
        let bits = self.state.load(Ordering::SeqCst) & !(OpenFor::Return as u8);
        state_of(bits) != GateState::Open && self.is_unused()
    }

    /// Whether nothing is reserved.
    pub(crate) fn is_unused(&self) -> bool {
        self.queued.load(Ordering::SeqCst) == 0
    }

    /// Reserves over the bounds: for policies that make room by dropping older messages, which the
    /// shard does when it takes the newer ones up. Until then they lie in a ring, which bounds their
    /// number; their bytes may lie outside of it, so they are bound here, by twice the limit.
    #[inline]
    pub(crate) fn reserve_over(&self, bytes: u64) -> Result<(), Refusal> {
        self.reserve_within(1, bytes, MESSAGES_ANY, self.bounds.bytes() * 2)
    }

    /// The shard's: reserves room for a message of a stream, which bounds are kept for elsewhere. Its bytes
    /// leave as those of any message do, and [`left_beside`](Self::left_beside) says so.
    ///
    /// A gate that is closed lets it through: the last words of streams go before the lane parts from its peer.
    pub(crate) fn reserve_beside(&self, bytes: u64) -> Result<(), Refusal> {
        let state = self.state();
        if state == GateState::Down {
            return Err(Refusal::Down);
        }
        // First: nobody is refused for them.
        self.beside.fetch_add(bytes, Ordering::Relaxed);
        self.queued.fetch_add(packed(1, bytes), Ordering::SeqCst);
        if state == GateState::Closed {
            return Ok(());
        }
        let confirmed = self.confirm(1, bytes);
        if confirmed.is_err() {
            self.left_beside(bytes);
        }
        confirmed
    }

    /// The shard's: so many bytes that were reserved beside have left.
    pub(crate) fn left_beside(&self, bytes: u64) {
        self.beside.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes a reservation back that led to nothing. Somebody may have been refused because of it;
    /// if nothing else is queued, no release will ever wake them.
    pub(crate) fn take_back(&self, messages: u64, bytes: u64) {
        let taken = packed(messages, bytes);
        let before = self.queued.fetch_sub(taken, Ordering::SeqCst);
        if before == taken {
            self.room.notify(usize::MAX);
        }
        self.ease(before - taken);
    }

    /// The shard's: so much has left the queue. Wakes who waits for room once half of the queue is empty: woken for each
    /// message that leaves, a thread would pay a change of context for each that it sends. TCP's sockets wake their
    /// writers in the same way, at a third. Where others fill what becomes empty, who waits is woken as often: each time
    /// that half of a queue has left. What is left is under way to a lane that is there, or is ended: the next release comes.
    pub(crate) fn release(&self, messages: u64, bytes: u64) {
        if messages == 0 {
            return;
        }
        let released = packed(messages, bytes);
        let queued = self.queued.fetch_sub(released, Ordering::SeqCst) - released;
        // Only the shard counts here; where a gate changes shards, a count that is lost costs a wake-up that comes later.
        let left = (self.left.messages() + messages, self.left.bytes() + bytes);
        if self.is_half_empty(queued) || self.is_half(left) {
            self.left.set((0, 0));
            self.room.notify(usize::MAX);
        } else {
            self.left.set(left);
        }
        self.ease(queued);
    }

    #[inline]
    fn is_half_empty(&self, queued: u64) -> bool {
        let (messages, bytes) = unpacked(queued);
        messages <= self.bounds.messages() / 2
            && bytes <= self.bounds.bytes() / 2 + self.beside.load(Ordering::Relaxed)
    }

    #[inline]
    fn is_half(&self, (messages, bytes): (u64, u64)) -> bool {
        messages >= self.bounds.messages().div_ceil(2) || bytes >= self.bounds.bytes().div_ceil(2)
    }

    /// The high watermark is reached.
    #[cold]
    fn note_overload(&self) {
        if !self.overloaded.swap(true, Ordering::SeqCst) {
            self.overloads.fetch_add(1, Ordering::Relaxed);
        }
        // What was released before the flag stood here was not compared with the low watermark.
        self.ease(self.queued.load(Ordering::SeqCst));
    }

    /// So much is left: an overload ends at the low watermark.
    #[inline]
    fn ease(&self, queued: u64) {
        if !self.overloaded.load(Ordering::SeqCst) {
            return;
        }
        let (messages, bytes) = unpacked(queued);
        if messages <= self.low.messages()
            && bytes <= self.low.bytes() + self.beside.load(Ordering::Relaxed)
            && self.overloaded.swap(false, Ordering::SeqCst)
        {
            self.eased.notify(usize::MAX);
        }
    }

    /// Whether the high watermark was reached, and since then not the low one.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.overloaded.load(Ordering::SeqCst)
    }

    /// How often it became overloaded.
    pub(crate) fn overloads(&self) -> u64 {
        self.overloads.load(Ordering::Relaxed)
    }

    /// The same, counted from nothing again, as [`take_dropped`](Self::take_dropped).
    pub(crate) fn take_overloads(&self) -> u64 {
        self.overloads.swap(0, Ordering::Relaxed)
    }

    /// Whether anything is reserved, or was counted since that was taken.
    pub(crate) fn has_counted(&self) -> bool {
        !self.is_unused() || self.dropped() > 0 || self.overloads() > 0
    }

    /// Listen, look, then wait: for the end of an overload, or a change of the gate's state.
    pub(crate) fn listen_for_ease(&self) -> EventListener {
        self.eased.listen()
    }

    /// Messages and bytes queued now.
    pub(crate) fn queued(&self) -> (u64, u64) {
        unpacked(self.queued.load(Ordering::Relaxed))
    }

    /// Whether more is queued than the limits allow (only [`Gate::reserve_over`] can do that).
    pub(crate) fn is_over(&self) -> bool {
        let (messages, bytes) = self.queued();
        messages > 1 && (messages > self.bounds.messages() || bytes > self.bounds.bytes())
    }

    /// A message was accepted and dropped in one step, at the gate.
    pub(crate) fn count_drop(&self, messages: u64) {
        self.dropped.fetch_add(messages, Ordering::Relaxed);
    }

    /// Messages dropped at the gate so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The same, counted from nothing again: its lane's counters go with the place of its peer.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Listen first, try again, then wait: room that came in between is not missed.
    pub(crate) fn listen(&self) -> EventListener {
        self.room.listen()
    }
}
