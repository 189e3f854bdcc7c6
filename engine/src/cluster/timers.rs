//! What the protocols want to be woken for, in order of time.
//!
//! Timers cannot be cancelled and each comes once (the contract of `overlane_overlays::event`), so an
//! ordered map is all it takes. Owned by `driver`.

use std::collections::BTreeMap;

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
}
