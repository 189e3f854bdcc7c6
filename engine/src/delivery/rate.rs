//! How much may go when: token buckets for bytes and messages per second, whose tokens are granted in turn.
//!
//! One [`Meter`] for what is capped together: a channel of this node, or a channel and a peer. Whoever has something to
//! send reserves it and is told when it may go: at once while there are tokens, later when those that were reserved before
//! have gone. So nobody who waits is overtaken, however large the message is that he waits with, and each wakes once. What was
//! reserved and not sent is given back ([`Meter::settle`]). Sent when it may, what goes in any stretch of time `t` is at most
//! `rate * t` and a burst (or the largest reservation, if that is larger), and what waits goes at the rate.
//! No clock, no lock, no message: the time is an argument.

use std::time::{Duration, Instant};

/// What may go at once after a pause: as much as goes in so many milliseconds.
const BURST_MS: u64 = 100;

/// Parts of a burst that one reservation takes at most, unless a single message is larger.
const PIECES_OF_BURST: u64 = 4;

/// Picoseconds in a second: fine enough that rounding up costs nothing at any rate a host can send.
const PER_SECOND: u128 = 1_000_000_000_000;

/// So many messages, and what their frames take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Bytes of frames, headers included, before compression.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

impl Amount {
    /// No bound.
    pub const MAX: Self = Self {
        bytes: u64::MAX,
        messages: u64::MAX,
    };

    /// The smaller of both, in each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.min(other.bytes),
            messages: self.messages.min(other.messages),
        }
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.messages == 0
    }
}

/// Tokens of one kind. Its times are picoseconds since its meter began.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_second: u64,
    burst: u64,
    /// When it will be full again; it is fuller the nearer that is.
    full_at: u128,
}

impl Bucket {
    /// A full one; `None` for the rate 0, which is no cap.
    fn full(per_second: u64) -> Option<Self> {
        (per_second > 0).then(|| Self {
            per_second,
            burst: (per_second / (1000 / BURST_MS)).max(1),
            full_at: 0,
        })
    }

    /// The most that one reservation takes.
    fn piece(&self) -> u64 {
        (self.burst / PIECES_OF_BURST).max(1)
    }

    /// How long that many tokens take to come, rounded up.
    fn cost(&self, tokens: u64) -> u128 {
        (u128::from(tokens) * PER_SECOND).div_ceil(u128::from(self.per_second))
    }

    /// When that many tokens may be taken: more than a burst, as soon as it is full.
    fn slot(&self, now: u128, tokens: u64) -> u128 {
        let full_after = self.full_at.max(now) + self.cost(tokens);
        let earlier = self.cost(tokens.max(self.burst));
        full_after.saturating_sub(earlier).max(now)
    }

    /// Takes that many at `slot`.
    fn take(&mut self, slot: u128, tokens: u64) {
        self.full_at = self.full_at.max(slot) + self.cost(tokens);
    }

    /// What was taken goes at `slot`, later than it was to.
    fn postpone(&mut self, slot: u128, tokens: u64) {
        self.full_at = self.full_at.max(slot + self.cost(tokens));
    }

    /// Other than `reserved`, `sent` went.
    fn settle(&mut self, reserved: u64, sent: u64) {
        let unused = self.cost(reserved.saturating_sub(sent));
        let owed = self.cost(sent.saturating_sub(reserved));
        self.full_at = (self.full_at + owed).saturating_sub(unused);
    }
}

/// What was reserved.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// When it may go.
    pub at: Instant,
    /// What may go.
    pub amount: Amount,
    /// Of the caps that it was granted under.
    generation: u64,
}

/// The buckets of what is capped together. See the module's text.
#[derive(Clone, Debug)]
pub struct Meter {
    began: Instant,
    bytes: Option<Bucket>,
    messages: Option<Bucket>,
    /// How often the caps were changed.
    generation: u64,
}

impl Meter {
    /// With so many bytes and messages per second, 0 for no cap; a burst may go at once.
    #[must_use]
    pub fn new(per_second: Amount, now: Instant) -> Self {
        Self {
            began: now,
            bytes: Bucket::full(per_second.bytes),
            messages: Bucket::full(per_second.messages),
            generation: 0,
        }
    }

    /// Other caps from now on. The buckets begin empty, so that changing caps often grants no more than they do. What was
    /// reserved and has not gone is forgotten: it is to be reserved anew.
    pub fn retune(&mut self, per_second: Amount, now: Instant) {
        let generation = self.generation + 1;
        *self = Self::new(per_second, now);
        self.generation = generation;
        for bucket in self.buckets_mut() {
            bucket.full_at = bucket.cost(bucket.burst);
        }
    }

    /// The most that is to be reserved at once: small, so that those who wait go in turn. A message that is larger is
    /// reserved by itself.
    #[must_use]
    pub fn piece(&self) -> Amount {
        let of = |bucket: &Option<Bucket>| bucket.as_ref().map_or(u64::MAX, Bucket::piece);
        Amount {
            bytes: of(&self.bytes),
            messages: of(&self.messages),
        }
    }

    /// Reserves that much, behind what was reserved before.
    pub fn reserve(&mut self, amount: Amount, now: Instant) -> Grant {
        let since = self.since(now);
        let slots = self
            .pairs(amount)
            .map(|(bucket, tokens)| bucket.slot(since, tokens));
        let slot = slots.max().unwrap_or(since);
        for (bucket, tokens) in self.pairs_mut(amount) {
            bucket.take(slot, tokens);
        }
        Grant {
            at: self.began + whole(slot),
            amount,
            generation: self.generation,
        }
    }

    /// What was granted goes later than it could: what it leaves room for comes later too.
    pub fn postpone(&mut self, grant: &Grant, to: Instant) {
        if grant.generation != self.generation {
            return;
        }
        let slot = self.since(to);
        for (bucket, tokens) in self.pairs_mut(grant.amount) {
            bucket.postpone(slot, tokens);
        }
    }

    /// In place of what was granted, `sent` went: less is given back, more is owed.
    pub fn settle(&mut self, grant: &Grant, sent: Amount) {
        if grant.generation != self.generation {
            return;
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.settle(grant.amount.bytes, sent.bytes);
        }
        if let Some(bucket) = &mut self.messages {
            bucket.settle(grant.amount.messages, sent.messages);
        }
    }

    fn since(&self, at: Instant) -> u128 {
        at.saturating_duration_since(self.began).as_nanos() * 1000
    }

    fn buckets_mut(&mut self) -> impl Iterator<Item = &mut Bucket> {
        self.bytes.iter_mut().chain(&mut self.messages)
    }

    /// Each bucket with its part of an amount.
    fn pairs(&self, amount: Amount) -> impl Iterator<Item = (&Bucket, u64)> {
        let bytes = self.bytes.iter().map(move |bucket| (bucket, amount.bytes));
        let messages = self.messages.iter();
        bytes.chain(messages.map(move |bucket| (bucket, amount.messages)))
    }

    fn pairs_mut(&mut self, amount: Amount) -> impl Iterator<Item = (&mut Bucket, u64)> {
        let bytes = self.bytes.iter_mut();
        let messages = self.messages.iter_mut();
        bytes
            .map(move |bucket| (bucket, amount.bytes))
            .chain(messages.map(move |bucket| (bucket, amount.messages)))
    }
}

/// Picoseconds in whole nanoseconds, rounded up.
fn whole(picoseconds: u128) -> Duration {
    let nanoseconds = picoseconds.div_ceil(1000);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX >> 1))
}

#[cfg(test)]
mod tests;
