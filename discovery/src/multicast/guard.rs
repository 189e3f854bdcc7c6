//! Whether a beacon is new, or a repetition by somebody who recorded it. No I/O; time is handed in.
//!
//! A beacon counts within a window around this host's clock, once, and after all that its sender sent before. What is
//! remembered of a sender is forgotten when its last beacon is outside the window: then the window refuses it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::packet::{Beacon, Rejected};

/// How far a beacon's time may be from this host's clock. A guess: hosts without a time service drift by seconds.
pub const WINDOW: Duration = Duration::from_secs(30);

/// Most senders that are remembered at a time: a thousand nodes in one network.
pub const SENDERS_MAX: usize = 1_024;

/// The last beacon of a sender.
#[derive(Clone, Copy, Debug)]
struct Last {
    incarnation: u64,
    sequence: u64,
    time_ms: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Guard {
    senders: BTreeMap<String, Last>,
}

impl Guard {
    /// Admits a beacon that is new.
    pub(super) fn admit(&mut self, beacon: &Beacon, now_ms: u64) -> Result<(), Rejected> {
        let window = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
        if beacon.time_ms.abs_diff(now_ms) > window {
            return Err(Rejected::Time);
        }
        let this = Last {
            incarnation: beacon.incarnation,
            sequence: beacon.sequence,
            time_ms: beacon.time_ms,
        };
        if let Some(last) = self.senders.get_mut(&beacon.node) {
            if (this.incarnation, this.sequence) <= (last.incarnation, last.sequence) {
                return Err(Rejected::Repeated);
            }
            // A sender whose clock goes back is not forgotten sooner for that.
            let time_ms = last.time_ms.max(this.time_ms);
            *last = Last { time_ms, ..this };
            return Ok(());
        }
        if self.senders.len() >= SENDERS_MAX {
            let is_fresh = |last: &Last| last.time_ms.saturating_add(window) >= now_ms;
            self.senders.retain(|_, last| is_fresh(last));
        }
        if self.senders.len() >= SENDERS_MAX {
            return Err(Rejected::Full);
        }
        self.senders.insert(beacon.node.clone(), this);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multicast::packet::tests::beacon;

    fn sent(node: &str, incarnation: u64, sequence: u64, time_ms: u64) -> Beacon {
        Beacon {
            node: node.into(),
            incarnation,
            sequence,
            time_ms,
            ..beacon()
        }
    }

    #[test]
    fn a_beacon_counts_once_and_in_order() {
        let mut guard = Guard::default();
        let now = 1_000_000;
        assert_eq!(guard.admit(&sent("a", 1, 5, now), now), Ok(()));
        assert_eq!(
            guard.admit(&sent("a", 1, 5, now), now),
            Err(Rejected::Repeated)
        );
        assert_eq!(
            guard.admit(&sent("a", 1, 4, now), now),
            Err(Rejected::Repeated)
        );
        assert_eq!(guard.admit(&sent("a", 1, 6, now), now), Ok(()));
        assert_eq!(
            guard.admit(&sent("a", 2, 1, now), now),
            Ok(()),
            "it was started again"
        );
        assert_eq!(
            guard.admit(&sent("a", 1, 7, now), now),
            Err(Rejected::Repeated)
        );
        assert_eq!(
            guard.admit(&sent("b", 1, 1, now), now),
            Ok(()),
            "another sender"
        );
    }

    #[test]
    fn a_beacon_counts_within_its_window() {
        let mut guard = Guard::default();
        let now = 1_000_000;
        for (time_ms, right) in [
            (now - 30_000, Ok(())),
            (now - 30_001, Err(Rejected::Time)),
            (now + 30_000, Ok(())),
            (now + 30_001, Err(Rejected::Time)),
        ] {
            assert_eq!(
                guard.admit(&sent(&time_ms.to_string(), 1, 1, time_ms), now),
                right
            );
        }
    }

    #[test]
    fn senders_are_bounded_and_what_is_forgotten_cannot_be_repeated() {
        let mut guard = Guard::default();
        let now = 1_000_000;
        for number in 0..SENDERS_MAX {
            assert_eq!(
                guard.admit(&sent(&number.to_string(), 1, 1, now), now),
                Ok(())
            );
        }
        assert_eq!(
            guard.admit(&sent("late", 1, 1, now), now),
            Err(Rejected::Full)
        );
        let later = now + 30_001;
        assert_eq!(guard.admit(&sent("late", 1, 1, later), later), Ok(()));
        assert_eq!(guard.senders.len(), 1, "the others are forgotten");
        assert_eq!(
            guard.admit(&sent("0", 1, 1, now), later),
            Err(Rejected::Time)
        );
    }
}
