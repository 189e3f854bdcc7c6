//! A lane's receiving side: what was delivered, and when the peer is owed an acknowledgement.
//!
//! Owned by the lane of a shard, which calls [`Incoming::delivered`] or [`Incoming::refused`] for
//! each batch of messages it has processed. An acknowledgement goes out for free in front of any
//! batch that the lane sends anyway ([`Incoming::take_ack`] before each); alone it goes when
//! [`Incoming::ack_is_due`], for which a shard that sleeps is woken.
//!
//! An acknowledgement counts the refused messages that it covers and does not say which they are. So that the
//! sender can tell, one covers delivered messages alone or refused ones alone, as long as they do not alternate
//! more often than [`RUNS_MAX`] times. On a channel that keeps its messages it is remembered besides which were refused
//! ([`Incoming::refusals`]): what was acknowledged on a connection that ended may not have come.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::refusals::Refusals;
use crate::config::Reliability;
use crate::wire::Ack;
use crate::wire::endings::Ending;

/// When an acknowledgement goes out although the lane has nothing else to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckPolicy {
    /// After this many payload bytes. Default 256 KiB, a sixteenth of what a sender may have
    /// unacknowledged by default: an acknowledgement of its own for each message of 64 KiB took a tenth
    /// of the time of both shards.
    pub bytes: u64,
    /// After this many messages. Default 1,024: a guess, one Ack costs 1 % of their headers.
    pub messages: u64,
    /// After the first message that is not acknowledged has waited so long. Default 1 ms: a
    /// guess, below what a person or a heartbeat notices.
    pub delay: Duration,
}

impl Default for AckPolicy {
    fn default() -> Self {
        Self {
            bytes: 256 << 10,
            messages: 1024,
            delay: Duration::from_millis(1),
        }
    }
}

/// Acknowledgements that may be owed besides the last: memory of 512 bytes that a peer can cost which
/// alternates between mailboxes that exist and others, and does not read.
pub const RUNS_MAX: usize = 64;

/// The counts of one lane's receiving side.
#[derive(Clone, Debug)]
pub struct Incoming {
    reliability: Reliability,
    policy: AckPolicy,
    delivered: u64,
    refused: u64,
    late: u64,
    owed: Owed,
    /// Acknowledgements that come before the one of `owed`.
    runs: VecDeque<Ack>,
    /// Of a channel that keeps its messages: which were refused.
    refusals: Refusals,
    /// Bytes that came of messages that were not complete with them, modulo 2^32, and whether the peer is to be
    /// told of some.
    fragment_bytes: u32,
    owes_fragments: bool,
}

/// What was processed and is not acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    messages: u64,
    bytes: u64,
    since: Option<Instant>,
    /// Of the messages behind the last of `runs`: those delivered, and those refused.
    run_delivered: u64,
    run_refused: u64,
    /// Of those refused, either all came too late, or none.
    run_late: u64,
}

impl Incoming {
    /// Nothing received yet.
    #[must_use]
    pub fn new(reliability: Reliability, policy: AckPolicy) -> Self {
        Self {
            reliability,
            policy,
            delivered: 0,
            refused: 0,
            late: 0,
            owed: Owed::default(),
            runs: VecDeque::new(),
            refusals: Refusals::default(),
            fragment_bytes: 0,
            owes_fragments: false,
        }
    }

    /// `bytes` came of a message that is not complete with them.
    pub fn fragment(&mut self, bytes: u32, now: Instant) {
        if self.reliability.is_acknowledged() {
            self.fragment_bytes = self.fragment_bytes.wrapping_add(bytes);
            self.owes_fragments = true;
            self.owed.bytes += u64::from(bytes);
            self.owed.since.get_or_insert(now);
        }
    }

    /// The cumulative count of fragment bytes to acknowledge, modulo 2^32, if one is owed. Call it after
    /// [`take_ack`](Self::take_ack); the caller has to send it.
    pub fn take_fragment_ack(&mut self) -> Option<u32> {
        if !std::mem::take(&mut self.owes_fragments) {
            return None;
        }
        if self.owed.messages == 0 {
            self.owed = Owed::default();
        }
        Some(self.fragment_bytes)
    }

    /// `messages` with `bytes` of payload were given to handlers or inboxes.
    #[inline]
    pub fn delivered(&mut self, messages: u64, bytes: u64, now: Instant) {
        if self.owed.run_refused > 0 {
            self.end_run();
        }
        self.delivered += messages;
        self.owed.run_delivered += messages;
        self.owe(messages, bytes, now);
    }

    /// `messages` with `bytes` of payload were for mailboxes that do not exist here.
    #[inline]
    pub fn refused(&mut self, messages: u64, bytes: u64, now: Instant) {
        if self.owed.run_delivered + self.owed.run_late > 0 {
            self.end_run();
        }
        self.note_refused(messages, Ending::Refused);
        self.owed.run_refused += messages;
        self.owe(messages, bytes, now);
    }

    fn note_refused(&mut self, messages: u64, ending: Ending) {
        if self.reliability.keeps_messages() {
            let first = self.delivered + self.refused;
            self.refusals.note(first, messages, ending);
        }
        self.refused += messages;
    }

    /// What follows is not of the kind that came last.
    #[cold]
    fn end_run(&mut self) {
        if self.reliability.is_acknowledged() && self.runs.len() < RUNS_MAX {
            let run = self.end_of_run();
            self.runs.push_back(run);
        }
    }

    fn end_of_run(&mut self) -> Ack {
        let refused = std::mem::take(&mut self.owed.run_refused);
        let late = std::mem::take(&mut self.owed.run_late);
        self.owed.run_delivered = 0;
        Ack {
            processed: self.processed(),
            refused: u32::try_from(refused).unwrap_or(u32::MAX),
            late: u32::try_from(late).unwrap_or(u32::MAX),
        }
    }

    /// `messages` with `bytes` of payload came later than they were worth anything, and were refused for it.
    pub fn refused_late(&mut self, messages: u64, bytes: u64, now: Instant) {
        let others = self.owed.run_delivered + self.owed.run_refused - self.owed.run_late;
        if others > 0 {
            self.end_run();
        }
        self.note_refused(messages, Ending::Late);
        self.late += messages;
        self.owed.run_refused += messages;
        self.owed.run_late += messages;
        self.owe(messages, bytes, now);
    }

    #[inline]
    fn owe(&mut self, messages: u64, bytes: u64, now: Instant) {
        if messages == 0 || !self.reliability.is_acknowledged() {
            return;
        }
        self.owed.messages += messages;
        self.owed.bytes += bytes;
        self.owed.since.get_or_insert(now);
    }

    /// Whether an acknowledgement should go out now even if it has to go alone.
    #[inline]
    #[must_use]
    pub fn ack_is_due(&self, now: Instant) -> bool {
        self.owed.messages >= self.policy.messages
            || self.owed.bytes >= self.policy.bytes
            || self.ack_deadline().is_some_and(|deadline| now >= deadline)
    }

    /// When [`Incoming::ack_is_due`] turns true by itself; `None` if nothing is owed.
    #[must_use]
    pub fn ack_deadline(&self) -> Option<Instant> {
        self.owed.since.map(|since| since + self.policy.delay)
    }

    /// The first acknowledgement that is owed, due or not; the caller then has to send it, and to ask again.
    /// `None` if there is nothing new to say.
    pub fn take_ack(&mut self) -> Option<Ack> {
        if let Some(run) = self.runs.pop_front() {
            return Some(run);
        }
        if self.owed.messages == 0 {
            return None;
        }
        let last = self.end_of_run();
        self.owed = Owed::default();
        Some(last)
    }

    /// Messages given to handlers or inboxes.
    #[must_use]
    pub const fn delivered_total(&self) -> u64 {
        self.delivered
    }

    /// Of those refused: they came later than they were worth anything.
    #[must_use]
    pub const fn late_total(&self) -> u64 {
        self.late
    }

    /// Messages refused because their mailbox does not exist, or because they came too late.
    #[must_use]
    pub const fn refused_total(&self) -> u64 {
        self.refused
    }

    /// Which of the messages were refused, as far as it is remembered; none of a channel that keeps no messages.
    #[must_use]
    pub const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "counts on the wire are modulo 2^32"
    )]
    const fn processed(&self) -> u32 {
        (self.delivered + self.refused) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: AckPolicy = AckPolicy {
        bytes: 1000,
        messages: 10,
        delay: Duration::from_millis(5),
    };

    fn reliable() -> Incoming {
        Incoming::new(Reliability::Reliable, POLICY)
    }

    #[test]
    fn nothing_is_owed_before_a_message_came() {
        let mut incoming = reliable();
        let now = Instant::now();
        incoming.delivered(0, 0, now);
        assert!(!incoming.ack_is_due(now + POLICY.delay));
        assert_eq!((incoming.ack_deadline(), incoming.take_ack()), (None, None));
    }

    #[test]
    fn an_ack_is_due_by_count_or_bytes_or_age() {
        let now = Instant::now();
        for (messages, bytes) in [(10, 0), (1, 1000)] {
            let mut incoming = reliable();
            incoming.delivered(messages - 1, 0, now);
            assert!(
                !incoming.ack_is_due(now),
                "{messages} messages, {bytes} bytes"
            );
            incoming.delivered(1, bytes, now);
            assert!(
                incoming.ack_is_due(now),
                "{messages} messages, {bytes} bytes"
            );
        }
        let mut incoming = reliable();
        incoming.delivered(1, 1, now);
        incoming.delivered(1, 1, now + POLICY.delay / 2);
        assert_eq!(
            incoming.ack_deadline(),
            Some(now + POLICY.delay),
            "the first one counts"
        );
        assert!(!incoming.ack_is_due(now + POLICY.delay / 2));
        assert!(incoming.ack_is_due(now + POLICY.delay));
    }

    #[test]
    fn an_ack_counts_all_processed_and_the_newly_refused() {
        let now = Instant::now();
        let mut incoming = reliable();
        incoming.delivered(3, 30, now);
        incoming.refused(2, 20, now);
        let ack = |processed, refused, late| {
            Some(Ack {
                processed,
                refused,
                late,
            })
        };
        assert_eq!(incoming.take_ack(), ack(3, 0, 0));
        assert_eq!(incoming.take_ack(), ack(5, 2, 0));
        assert_eq!(incoming.take_ack(), None);
        assert!(!incoming.ack_is_due(now + POLICY.delay));
        incoming.delivered(1, 10, now);
        incoming.refused_late(1, 10, now);
        incoming.refused(1, 10, now);
        incoming.refused_late(1, 10, now);
        assert_eq!(incoming.take_ack(), ack(6, 0, 0));
        assert_eq!(incoming.take_ack(), ack(7, 1, 1));
        assert_eq!(incoming.take_ack(), ack(8, 1, 0));
        assert_eq!(incoming.take_ack(), ack(9, 1, 1));
        assert_eq!(
            (incoming.delivered_total(), incoming.refused_total()),
            (4, 5)
        );
        assert_eq!(incoming.late_total(), 2);
    }

    #[test]
    fn an_ack_is_owed_for_what_was_refused_and_nothing_else() {
        let refuse: [fn(&mut Incoming, Instant); 2] = [
            |incoming, now| incoming.refused(1, 10, now),
            |incoming, now| incoming.refused_late(1, 10, now),
        ];
        for refuse in refuse {
            let now = Instant::now();
            let mut incoming = reliable();
            refuse(&mut incoming, now);
            assert_eq!(incoming.ack_deadline(), Some(now + POLICY.delay));
            let ack = incoming.take_ack().expect("one is owed");
            assert_eq!((ack.processed, ack.refused), (1, 1));
        }
    }

    #[test]
    fn bytes_of_fragments_make_an_ack_due_as_those_of_messages_do() {
        let now = Instant::now();
        let mut incoming = reliable();
        incoming.fragment(999, now);
        assert!(!incoming.ack_is_due(now), "one byte is missing");
        incoming.fragment(1, now);
        assert!(incoming.ack_is_due(now));
        assert_eq!(incoming.take_ack(), None, "no message is whole");
        assert_eq!(incoming.take_fragment_ack(), Some(1000));
        assert_eq!(incoming.take_fragment_ack(), None);
        assert!(!incoming.ack_is_due(now + POLICY.delay));
        let mut incoming = Incoming::new(Reliability::BestEffort, POLICY);
        incoming.fragment(1000, now);
        assert_eq!(incoming.take_fragment_ack(), None);
    }

    #[test]
    fn only_a_channel_that_keeps_its_messages_remembers_which_were_refused() {
        let now = Instant::now();
        for (reliability, said) in [
            (Reliability::Reliable, ""),
            (Reliability::Guaranteed, "d2r1l1"),
        ] {
            let mut incoming = Incoming::new(reliability, POLICY);
            incoming.delivered(2, 20, now);
            incoming.refused(1, 10, now);
            incoming.refused_late(1, 10, now);
            let endings = incoming.refusals().endings(4);
            assert_eq!(endings.to_string(), said);
        }
    }

    #[test]
    fn refused_messages_are_told_from_delivered_ones_until_they_alternate_too_often() {
        let now = Instant::now();
        let mut incoming = reliable();
        let mut acks = Vec::new();
        for _ in 0..RUNS_MAX {
            incoming.delivered(1, 1, now);
            incoming.refused(1, 1, now);
        }
        acks.extend(std::iter::from_fn(|| incoming.take_ack()));
        assert_eq!(acks.len(), RUNS_MAX + 1, "the last one takes all the rest");
        let (last, runs) = acks.split_last().expect("there are many");
        let mut covered = 0;
        for run in runs {
            assert_eq!(run.processed, covered + 1);
            assert_eq!(run.refused, covered % 2);
            covered = run.processed;
        }
        let half = u32::try_from(RUNS_MAX).expect("it is small") / 2;
        assert_eq!((last.processed, last.refused), (4 * half, half));
        assert_eq!(incoming.take_ack(), None);
    }

    #[test]
    fn a_best_effort_channel_owes_nothing() {
        let now = Instant::now();
        let mut incoming = Incoming::new(Reliability::BestEffort, POLICY);
        incoming.delivered(100, 10_000, now);
        incoming.refused(1, 1, now);
        assert!(!incoming.ack_is_due(now + POLICY.delay));
        assert_eq!(incoming.take_ack(), None);
        assert_eq!(
            (incoming.delivered_total(), incoming.refused_total()),
            (100, 1)
        );
    }
}
