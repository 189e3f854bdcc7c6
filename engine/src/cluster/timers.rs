//! What the protocols want to be woken for, in order of time.
//!
//! Timers cannot be cancelled and each comes once (the contract of `overlane_overlays::event`), so an
//! ordered map is all it takes. They may come late, so those that fall close together come at one moment: an idle
//! node wakes for its timers and little else. Owned by `driver`.

use std::collections::BTreeMap;
use std::time::Duration;

use overlane_overlays::Time;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Timers<T> {
    /// By time, then in the order they were set in.
    due: BTreeMap<(Time, u64), T>,
    set: u64,
}

impl<T> Timers<T> {
    pub(super) const fn new() -> Self {
        Self {
            due: BTreeMap::new(),
            set: 0,
        }
    }

    /// After a span, and up to the sixteenth part of it later: at a moment that other timers share.
    pub(super) fn set_after(&mut self, now: Time, after: Duration, id: T) {
        let grid = grid_of(after);
        let at = (now + after)
            .as_micros()
            .div_ceil(grid)
            .saturating_mul(grid);
        self.set(Time::from_micros(at), id);
    }

    /// At that very time.
    pub(super) fn set(&mut self, at: Time, id: T) {
        self.due.insert((at, self.set), id);
        self.set += 1;
    }

    /// When the first of them is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// One that is due, the earliest first.
    pub(super) fn take_due(&mut self, now: Time) -> Option<T> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Microseconds between the moments for timers of that span: a power of two, so that those for short spans are among
/// those for long ones.
fn grid_of(after: Duration) -> u64 {
    let part = u64::try_from(after.as_micros() / 16).unwrap_or(u64::MAX);
    1 << part.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_order_of_time_and_once() {
        let at = Time::from_micros;
        let mut timers = Timers::new();
        for (time, id) in [(30, 'c'), (10, 'a'), (20, 'b'), (10, 'A')] {
            timers.set(at(time), id);
        }
        assert_eq!(timers.next(), Some(at(10)));
        let mut due = |now| std::iter::from_fn(|| timers.take_due(at(now))).collect::<String>();
        assert_eq!(due(9), "");
        assert_eq!(due(20), "aAb");
        assert_eq!(due(20), "");
        assert_eq!(due(99), "c");
    }

    #[test]
    fn timers_of_about_the_same_span_come_together_and_none_early_or_much_too_late() {
        let mut timers = Timers::new();
        let second = Duration::from_secs(1);
        let mut moments = std::collections::BTreeSet::new();
        for number in 0..1_000 {
            let now = Time::from_micros(number * 1_000);
            timers.set_after(now, second, number);
            let (at, _) = timers.due.last_key_value().unwrap().0;
            assert!(*at >= now + second && *at <= now + second + second / 16);
            moments.insert(*at);
        }
        assert!(moments.len() <= 32, "{} moments in a second", moments.len());
        for span in [Duration::ZERO, Duration::from_micros(20), Duration::MAX] {
            timers.set_after(Time::from_micros(5), span, 0);
        }
        assert_eq!(timers.next(), Some(Time::from_micros(5)));
    }
}
