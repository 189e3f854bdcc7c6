//! How long a shard without work looks for some before it sleeps.
//!
//! Spinning saves both ends the time of a wake-up, which on an idle core of a virtual machine is tens of
//! microseconds. The core is offered to others all the while, by the turn; where another thread takes it,
//! it is the very thread that would bring work: a shard that lost its core while it spun stops, and does
//! not spin for a while. No clock of its own: the turn hands the time in.

use std::time::{Duration, Instant};

/// A gap in the spinning that only another thread on the core explains: an interrupt takes a few
/// microseconds, a look at the rings less than two.
const PREEMPTED_AFTER: Duration = Duration::from_micros(30);

/// For how long a core that was wanted by others is left to them. Some time slices of the kernel's
/// scheduler, so that what wanted the core has had it by then.
const PAUSE: Duration = Duration::from_millis(10);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Spin {
    limit: Duration,
    paused_until: Option<Instant>,
}

/// A spin under way.
#[derive(Debug)]
pub(super) struct Spinning {
    until: Instant,
    last: Instant,
}

impl Spin {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            paused_until: None,
        }
    }

    /// Starts to spin, unless the core is left to others or spinning is off.
    pub(super) fn start(&self, now: Instant) -> Option<Spinning> {
        if self.limit.is_zero() || self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        Some(Spinning {
            until: now + self.limit,
            last: now,
        })
    }

    /// Whether to look on; `spinning` began or was asked for last at its own time.
    pub(super) fn goes_on(&mut self, spinning: &mut Spinning, now: Instant) -> bool {
        if now.duration_since(spinning.last) > PREEMPTED_AFTER {
            self.paused_until = Some(now + PAUSE);
            return false;
        }
        spinning.last = now;
        now < spinning.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    #[test]
    fn it_ends_after_its_limit() {
        let mut spin = Spin::new(50 * MICROSECOND);
        let start = Instant::now();
        let mut spinning = spin.start(start).expect("it may spin");
        for micros in 1..50 {
            assert!(spin.goes_on(&mut spinning, start + micros * MICROSECOND));
        }
        assert!(!spin.goes_on(&mut spinning, start + 50 * MICROSECOND));
        assert!(spin.start(start + 50 * MICROSECOND).is_some());
    }

    #[test]
    fn a_core_that_others_want_is_left_to_them_for_a_while() {
        let mut spin = Spin::new(1000 * MICROSECOND);
        let start = Instant::now();
        let mut spinning = spin.start(start).expect("it may spin");
        assert!(spin.goes_on(&mut spinning, start + MICROSECOND));
        let back = start + 200 * MICROSECOND;
        assert!(!spin.goes_on(&mut spinning, back), "it was preempted");
        assert!(spin.start(back + PAUSE / 2).is_none());
        assert!(spin.start(back + PAUSE).is_some());
    }

    #[test]
    fn without_a_limit_it_never_starts() {
        assert!(Spin::new(Duration::ZERO).start(Instant::now()).is_none());
    }
}
