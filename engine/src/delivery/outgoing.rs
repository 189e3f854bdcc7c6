//! The ledger of a lane's sending side: each accepted message ends in exactly one column. It lives as
//! long as the lane, over all its connections.
//!
//! Owned by the lane of a shard, which calls it as messages move: [`Outgoing::accept`] when an
//! application's message is taken, [`Outgoing::handed_over`] when its bytes are given to the
//! kernel, [`Outgoing::acknowledge`] for each Ack of the peer, [`Outgoing::end`] when the connection
//! is gone, [`Outgoing::start_link`] when there is a new one. Columns: best effort `accepted = sent + dropped`; reliable
//! `accepted = acknowledged + reported`, where reported is refused (the peer has no such mailbox),
//! undelivered (never handed over), expired (not handed over by its deadline; on a best-effort channel that is
//! dropped) or unknown (handed over, never acknowledged); on a monotonic channel, `replaced` besides.
//!
//! A channel that keeps its messages (`at_least_once`, `guaranteed`) calls [`Outgoing::take_back`] when a
//! connection ends: what was under way waits again. What the peer then says that it has processed is
//! [`Outgoing::cover`]ed; the rest is handed over once more, or given up with [`Outgoing::give_up`].
use std::time::{Duration, Instant};

use super::latency::HandOverMarks;
use crate::config::Reliability;
use crate::wire::{Ack, CloseReason};

/// What an acknowledgement newly covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Messages that it covers for the first time, refused ones included.
    pub messages: u64,
    /// How many of those the peer refused, because it has no such mailbox or they came too late.
    pub refused: u64,
    /// How many of those refused came too late.
    pub late: u64,
}

/// What was left of a lane when its connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Accepted and never handed over: the peer surely did not get these. On a best-effort
    /// channel they are counted as dropped.
    pub undelivered: u64,
    /// Handed over and not acknowledged: the peer may have got these.
    pub unknown: u64,
}

/// An acknowledgement that no well-behaved peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// It covers messages that were not handed over, or takes back what was acknowledged.
    #[error(
        "the peer acknowledged up to {processed} (modulo 2^32) where {acknowledged} were \
         acknowledged before and {in_flight} are under way"
    )]
    OutOfRange {
        /// The count in the acknowledgement.
        processed: u32,
        /// The last count that was taken.
        acknowledged: u32,
        /// Messages handed over and not yet acknowledged.
        in_flight: u64,
    },
    /// It refuses more messages than it covers, or more for being late than it refuses.
    #[error(
        "the peer refused {refused} messages, {late} for being late, in an acknowledgement of {messages}"
    )]
    RefusedTooMany {
        /// Messages that it says were refused.
        refused: u32,
        /// How many of those, as it says, came too late.
        late: u32,
        /// Messages that it newly covers.
        messages: u32,
    },
    /// It covers more bytes of fragments than were handed over.
    #[error(
        "the peer acknowledged {bytes} bytes of fragments (modulo 2^32) where {under_way} are under way"
    )]
    FragmentsOutOfRange {
        /// The count in the acknowledgement.
        bytes: u32,
        /// Bytes of fragments that were handed over and not acknowledged.
        under_way: u64,
    },
    /// The channel is best effort: nothing is acknowledged on it.
    #[error("the peer acknowledged messages of a best-effort channel")]
    NotExpected,
}

impl AckError {
    /// The reason to close the lane with.
    #[must_use]
    pub const fn close_reason(&self) -> CloseReason {
        CloseReason::BadAck
    }
}

/// The ledger of one lane, from its first message on.
#[derive(Clone, Debug)]
pub struct Outgoing {
    reliability: Reliability,
    accepted: u64,
    handed_over: u64,
    /// Handed-over messages that an Ack covered, refused ones included.
    covered: u64,
    /// What `covered` was when the current connection began: the peer counts from there.
    covered_before: u64,
    refused: u64,
    late: u64,
    /// Dropped before they were handed over.
    dropped: u64,
    /// Replaced by newer ones before they were handed over.
    replaced: u64,
    undelivered: u64,
    unknown: u64,
    /// Thrown away before they were handed over, because their deadline had come.
    expired: u64,
    /// Of `unknown`: given up because their deadline came before the next connection.
    expired_unknown: u64,
    /// Hand-overs that were taken back, because their connection ended.
    taken_back: u64,
    /// Bytes of messages that are handed over in part, over the current connection, and how many of them the
    /// peer has acknowledged.
    fragments_out: u64,
    fragments_covered: u64,
    marks: HandOverMarks,
}

impl Outgoing {
    /// An empty ledger.
    #[must_use]
    pub fn new(reliability: Reliability) -> Self {
        Self {
            reliability,
            accepted: 0,
            handed_over: 0,
            covered: 0,
            covered_before: 0,
            refused: 0,
            late: 0,
            dropped: 0,
            replaced: 0,
            undelivered: 0,
            unknown: 0,
            expired: 0,
            expired_unknown: 0,
            taken_back: 0,
            fragments_out: 0,
            fragments_covered: 0,
            marks: HandOverMarks::default(),
        }
    }

    /// A new connection: the peer counts what it processes from 0 again. Nothing may be under way:
    /// [`end`](Self::end) has settled what the last connection left.
    pub fn start_link(&mut self) {
        debug_assert!(
            self.in_flight() == 0,
            "the last connection left messages under way"
        );
        self.covered_before = self.covered;
        self.fragments_out = 0;
        self.fragments_covered = 0;
    }

    /// `messages` were accepted from the application and wait to be handed over.
    #[inline]
    pub fn accept(&mut self, messages: u64) {
        self.accepted += messages;
    }

    /// `messages` of those waiting, with `bytes` of payload, were given to the kernel, as one batch.
    #[inline]
    pub fn handed_over(&mut self, messages: u64, bytes: u64, now: Instant) {
        debug_assert!(
            messages <= self.queued(),
            "handed over what was never accepted"
        );
        self.handed_over += messages;
        if self.reliability.is_acknowledged() && messages > 0 {
            self.marks.push(messages, bytes, now);
        }
    }

    /// `bytes` of a message that waits were given to the kernel; the rest of it is still to come.
    #[inline]
    pub fn fragments_handed_over(&mut self, bytes: u64) {
        if self.reliability.is_acknowledged() {
            self.fragments_out += bytes;
        }
    }

    /// The peer has so many bytes, counted over the connection and modulo 2^32, of messages that were handed
    /// over in part. Returns how many of them are news.
    ///
    /// # Errors
    /// [`AckError::FragmentsOutOfRange`] if it cannot have them.
    pub fn acknowledge_fragments(&mut self, bytes: u32) -> Result<u64, AckError> {
        let acknowledged = count_modulo(self.fragments_covered);
        let news = u64::from(bytes.wrapping_sub(acknowledged));
        let under_way = self.fragments_out - self.fragments_covered;
        if news > under_way {
            return Err(AckError::FragmentsOutOfRange { bytes, under_way });
        }
        self.fragments_covered += news;
        Ok(news)
    }

    /// `messages` of those waiting were thrown away by the channel's overflow policy. On a
    /// reliable channel they count as reported, and the caller has to report them.
    #[inline]
    pub fn drop_queued(&mut self, messages: u64) {
        debug_assert!(messages <= self.queued(), "dropped what was never accepted");
        if self.reliability.is_acknowledged() {
            self.undelivered += messages;
        } else {
            self.dropped += messages;
        }
    }

    /// The deadline of `queued` messages that wait has come, and of `taken_back` others that were sent on an
    /// earlier connection. On a reliable channel both count as reported, and the caller has to report them.
    pub fn expire(&mut self, queued: u64, taken_back: u64) {
        debug_assert!(queued <= self.queued(), "expired what was never accepted");
        self.expired += queued;
        self.expired_unknown += taken_back;
        self.give_up(taken_back);
    }

    /// A message that waited was replaced by a newer one, as its channel is to do: dropped by design, and on no
    /// channel reported.
    pub fn replace_queued(&mut self) {
        debug_assert!(self.queued() > 0, "replaced what was never accepted");
        self.replaced += 1;
    }

    /// Takes an acknowledgement of the peer. `latency` is called with the time from hand-over to
    /// `now` and the number of messages that took so long, once for each batch that it covers.
    ///
    /// # Errors
    /// [`AckError`] if the peer cannot mean it; the ledger is unchanged and the lane has to be
    /// closed.
    pub fn acknowledge(
        &mut self,
        ack: Ack,
        now: Instant,
        latency: impl FnMut(Duration, u64),
    ) -> Result<Acknowledged, AckError> {
        if !self.reliability.is_acknowledged() {
            return Err(AckError::NotExpected);
        }
        let acknowledged = count_modulo(self.covered - self.covered_before);
        let newly = ack.processed.wrapping_sub(acknowledged);
        let in_flight = self.in_flight();
        if u64::from(newly) > in_flight {
            let processed = ack.processed;
            return Err(AckError::OutOfRange {
                processed,
                acknowledged,
                in_flight,
            });
        }
        if ack.refused > newly || ack.late > ack.refused {
            return Err(AckError::RefusedTooMany {
                refused: ack.refused,
                late: ack.late,
                messages: newly,
            });
        }
        let (messages, refused) = (u64::from(newly), u64::from(ack.refused));
        self.covered += messages;
        self.refused += refused;
        self.marks.acknowledge(messages, now, latency);
        let late = u64::from(ack.late);
        self.late += late;
        Ok(Acknowledged {
            messages,
            refused,
            late,
        })
    }

    /// The connection is gone: settles all that is open. A second call finds nothing left.
    pub fn end(&mut self) -> Report {
        self.end_but(0)
    }

    /// As [`end`](Self::end), but for `kept` messages that wait for the next connection.
    pub fn end_but(&mut self, kept: u64) -> Report {
        debug_assert!(kept <= self.queued(), "what is kept has to be queued");
        let report = Report {
            undelivered: self.queued().saturating_sub(kept),
            unknown: self.in_flight(),
        };
        self.drop_queued(report.undelivered);
        self.unknown += report.unknown;
        self.marks.clear();
        report
    }

    /// The connection is gone, and the channel keeps its messages: those under way wait once more, ahead of
    /// those that waited. Returns how many.
    pub fn take_back(&mut self) -> u64 {
        let messages = self.in_flight();
        self.taken_back += messages;
        self.marks.clear();
        messages
    }

    /// Messages that were taken back had been processed all the same.
    pub fn cover(&mut self, processed: Acknowledged) {
        self.hand_over_after_all(processed.messages);
        self.covered += processed.messages;
        self.refused += processed.refused;
        self.late += processed.late;
    }

    /// What became of `messages` that were taken back will never be known.
    pub fn give_up(&mut self, messages: u64) {
        self.hand_over_after_all(messages);
        self.unknown += messages;
    }

    fn hand_over_after_all(&mut self, messages: u64) {
        debug_assert!(
            messages <= self.taken_back,
            "settled more than was taken back"
        );
        self.taken_back -= messages;
    }

    /// What the channel promises.
    #[must_use]
    pub const fn reliability(&self) -> Reliability {
        self.reliability
    }

    /// Messages accepted from the application.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Messages that the peer delivered and said so.
    #[must_use]
    pub const fn acknowledged(&self) -> u64 {
        self.covered - self.refused
    }

    /// Messages reported to the application: refused, undelivered or unknown.
    #[must_use]
    pub const fn reported(&self) -> u64 {
        self.refused
            + self.undelivered
            + self.unknown
            + if self.reliability.is_acknowledged() {
                self.expired
            } else {
                0
            }
    }

    /// Messages that the peer refused, a part of those reported.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Of those refused, as far as the peer said so: they came too late.
    #[must_use]
    pub const fn refused_late(&self) -> u64 {
        self.late
    }

    /// Messages given to the kernel; one that was sent on two connections counts twice.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.handed_over
    }

    /// Messages of a best-effort channel that were thrown away.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        if self.reliability.is_acknowledged() {
            0
        } else {
            self.dropped + self.expired
        }
    }

    /// Messages that ended by their deadline, a part of those reported or dropped.
    #[must_use]
    pub const fn expired(&self) -> u64 {
        self.expired + self.expired_unknown
    }

    /// Messages that newer ones replaced.
    #[must_use]
    pub const fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Messages accepted and waiting to be handed over.
    #[must_use]
    pub const fn queued(&self) -> u64 {
        let ended = self.dropped + self.undelivered + self.expired + self.replaced;
        self.accepted
            .saturating_sub(self.handed_over - self.taken_back + ended)
    }

    /// Messages handed over and still to be acknowledged; 0 on a best-effort channel. The caller
    /// keeps it far below 2^31, or an acknowledgement would be ambiguous.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        if !self.reliability.is_acknowledged() {
            return 0;
        }
        self.handed_over
            .saturating_sub(self.covered + self.unknown + self.taken_back)
    }

    /// Bytes of payload handed over and still to be acknowledged, fragments included, exact to a batch; 0 on a
    /// best-effort channel.
    #[must_use]
    pub const fn unacknowledged_bytes(&self) -> u64 {
        self.marks.bytes() + self.fragments_out - self.fragments_covered
    }

    /// How long the oldest message under way has waited for its acknowledgement.
    #[must_use]
    pub fn oldest_in_flight(&self, now: Instant) -> Option<Duration> {
        self.marks.oldest_age(now)
    }

    /// Whether nothing is open: every accepted message has ended in a column.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.queued() == 0 && self.in_flight() == 0
    }

    /// The accounting identity: every accepted message ended in exactly one column. Exact once
    /// [`Outgoing::is_drained`], false while messages are open or after a wrong call.
    #[must_use]
    pub const fn identity_holds(&self) -> bool {
        let settled = if self.reliability.is_acknowledged() {
            self.acknowledged() + self.reported()
        } else {
            self.sent() + self.dropped()
        };
        self.accepted == settled + self.replaced
    }
}

/// A count as it goes over the wire.
#[expect(
    clippy::cast_possible_truncation,
    reason = "counts on the wire are modulo 2^32"
)]
const fn count_modulo(count: u64) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests;
