//! The deadlines of a shard: when to dial again, when a handshake has taken too long, when to look
//! for peers that stopped in the middle of a frame. No I/O; the time is an argument.

use std::collections::BTreeSet;
use std::time::Instant;

/// What a deadline is for. Whoever it is for checks whether it still matters (the generation tells a
/// connection from its successor), or takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// Dial the lane with this index on the shard.
    Dial { lane: u32 },
    /// Look whether that lane is idle.
    Rest { lane: u32 },
    /// This connection must have become a lane.
    Handshake { connection: u32, generation: u32 },
    /// Accept again: there was no descriptor left.
    Accept,
    /// Wake the task that sleeps under this key.
    Sleeper { key: u64 },
    /// Go on with making lanes anew.
    Renewal,
    /// A connection need not wait any longer for the end of the one before it.
    Early,
    /// That control lane must have been made anew.
    Linger { lane: u32 },
    /// Channels have waited long enough for the peer of that control lane.
    Absence { lane: u32 },
    /// Look for requests that nobody has answered in time.
    Requests,
    /// Look for messages on that lane that are worth nothing any more.
    Expiry { lane: u32 },
    /// Look whether channels that were removed are drained.
    Leaving,
    /// Look for messages of that causal channel that have waited too long for what they follow.
    HoldBack { channel: u16 },
    /// Tokens are back for that lane, whose channel is capped.
    Tokens { lane: u32 },
    /// What a fault on purpose has held back on that lane may go.
    Delay { lane: u32 },
    /// Look over the lanes for senders that are too slow.
    Sweep,
    /// The control shard, which lives here, has something to do.
    Control,
}

/// Deadlines in order.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Instant, Deadline)>,
    /// The deadline that the ring wakes the shard for.
    armed_for: Option<Instant>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, deadline: Deadline) {
        self.set.insert((at, deadline));
    }

    /// Cancels a deadline that was set for `at`.
    pub(crate) fn take_back(&mut self, at: Instant, deadline: Deadline) {
        self.set.remove(&(at, deadline));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.set.first().map(|(at, _)| *at)
    }

    /// The ring is to wake the shard at that deadline; false if it does already, or earlier.
    pub(crate) fn arm(&mut self, next: Instant) -> bool {
        let armed = self.armed_for.is_some_and(|armed| armed <= next);
        if !armed {
            self.armed_for = Some(next);
        }
        !armed
    }

    /// The ring has woken the shard, and will not again.
    pub(crate) fn fired(&mut self) {
        self.armed_for = None;
    }

    /// The earliest deadline that has passed, taken out.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Deadline> {
        if self.next()? > now {
            return None;
        }
        self.set.pop_first().map(|(_, deadline)| deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn deadlines_come_in_order_and_not_before_their_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.set(at(20), Deadline::Sweep);
        timers.set(at(10), Deadline::Dial { lane: 4 });
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.expired(at(9)), None);
        assert_eq!(timers.expired(at(25)), Some(Deadline::Dial { lane: 4 }));
        assert_eq!(timers.expired(at(25)), Some(Deadline::Sweep));
        assert_eq!(timers.expired(at(25)), None);
    }

    #[test]
    fn a_deadline_that_was_taken_back_does_not_come() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.set(at(30_000), Deadline::Dial { lane: 4 });
        timers.set(at(10), Deadline::Sweep);
        timers.take_back(at(30_000), Deadline::Dial { lane: 4 });
        timers.set(at(20), Deadline::Dial { lane: 4 });
        assert_eq!(timers.expired(at(40_000)), Some(Deadline::Sweep));
        assert_eq!(timers.expired(at(40_000)), Some(Deadline::Dial { lane: 4 }));
        assert_eq!(timers.next(), None);
    }
}
