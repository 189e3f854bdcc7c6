//! Since when a lane has been idle, and whether the peer has agreed to close it: a state machine without I/O.
//!
//! Owned by the lane; `rest` looks at it and decides by it.

use std::time::{Duration, Instant};

/// Since when a lane has been idle, as far as anybody has looked: a look compares counts, so that a message
/// costs nothing. A lane closes between one and one and a half times the idle time after its last message.
#[derive(Debug)]
pub(super) struct Quiet {
    /// When to look next, while the lane is up.
    pub(super) look_at: Option<Instant>,
    messages: u64,
    since: Instant,
    /// What was put on the lane when it was last proposed for closing.
    proposed: Option<u64>,
}

impl Quiet {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            look_at: None,
            messages: 0,
            since: now,
            proposed: None,
        }
    }

    /// How long nothing has gone, if `messages` have gone so far, in both directions.
    pub(super) fn look(&mut self, messages: u64, now: Instant) -> Duration {
        if messages != self.messages {
            self.messages = messages;
            self.since = now;
        }
        now.saturating_duration_since(self.since)
    }

    /// The lane is needed just now, though no message goes on it.
    pub(super) fn touch(&mut self, now: Instant) {
        self.since = now;
    }

    /// Notes a proposal; returns the number that its frame carries.
    pub(super) fn propose(&mut self, put: u64) -> u32 {
        self.proposed = Some(put);
        number_of(put)
    }

    /// The peer has agreed to a proposal: whether that is the last one, and nothing was `put` on the lane since.
    pub(super) fn is_agreed(&self, proposal: u32, put: u64) -> bool {
        self.proposed == Some(put) && proposal == number_of(put)
    }
}

/// A count as proposals carry it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it only tells one proposal from the next"
)]
const fn number_of(put: u64) -> u32 {
    put as u32 & (u32::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_quiet_from_the_look_that_found_nothing_new() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut quiet = Quiet::new(start);
        assert_eq!(quiet.look(0, at(5)), Duration::from_millis(5));
        assert_eq!(quiet.look(3, at(10)), Duration::ZERO);
        assert_eq!(quiet.look(3, at(15)), Duration::from_millis(5));
        assert_eq!(quiet.look(4, at(20)), Duration::ZERO);
    }

    #[test]
    fn an_agreement_holds_for_the_last_proposal_while_nothing_is_sent() {
        let mut quiet = Quiet::new(Instant::now());
        let first = quiet.propose(7);
        assert!(!quiet.is_agreed(first, 8), "a message went out since");
        let second = quiet.propose(8);
        assert!(!quiet.is_agreed(first, 8), "it answers the one before");
        assert!(quiet.is_agreed(second, 8), "whatever came late before it");
    }
}
