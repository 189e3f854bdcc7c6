//! Heartbeats in an open loop: when each is due, and how late it came, whatever held it up.
//!
//! A heartbeat carries the time at which it should have been sent, not the time at which it was: a
//! sender that was held up does not hide its delay (no coordinated omission).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock;
use crate::error::Outcome;

/// Bytes of one heartbeat.
pub(crate) const HEARTBEAT_BYTES: usize = 50;

/// One heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    /// When it should have been sent, by the machine's monotonic clock.
    pub(crate) due_ns: u64,
    /// Its place among those of its sender.
    pub(crate) sequence: u64,
}

impl Heartbeat {
    /// The heartbeat as a message of `message_bytes`, at least 16.
    pub(crate) fn encode(self, message: &mut [u8]) {
        message[..8].copy_from_slice(&self.due_ns.to_le_bytes());
        message[8..16].copy_from_slice(&self.sequence.to_le_bytes());
    }

    /// The heartbeat of a message; `None` for what is too short.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let (due_ns, rest) = message.split_first_chunk()?;
        let sequence = rest.first_chunk()?;
        Some(Self {
            due_ns: u64::from_le_bytes(*due_ns),
            sequence: u64::from_le_bytes(*sequence),
        })
    }
}

/// When heartbeats are due: a fixed period from a fixed begin, however late one was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    begin_ns: u64,
    hz: u64,
    next: u64,
}

impl Schedule {
    /// `hz` heartbeats a second, the first at `begin_ns`.
    pub(crate) fn new(begin_ns: u64, hz: u32) -> Self {
        Self {
            begin_ns,
            hz: u64::from(hz.max(1)),
            next: 0,
        }
    }

    /// When the next heartbeat is due.
    pub(crate) fn due_ns(&self) -> u64 {
        // In whole seconds and a rest, so that no rounding adds up.
        let (seconds, rest) = (self.next / self.hz, self.next % self.hz);
        self.begin_ns + seconds * 1_000_000_000 + rest * 1_000_000_000 / self.hz
    }

    /// The next heartbeat, if it is due at `now_ns`; the one after it becomes the next.
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<Heartbeat> {
        let due_ns = self.due_ns();
        if due_ns > now_ns {
            return None;
        }
        let heartbeat = Heartbeat {
            due_ns,
            sequence: self.next,
        };
        self.next += 1;
        Some(heartbeat)
    }
}

/// Does `work` in this thread each time that it is due, until it is time to stop or it fails.
pub(crate) fn each_due(
    hz: u32,
    stop: &AtomicBool,
    mut work: impl FnMut(Heartbeat) -> Outcome<()>,
) -> Outcome<()> {
    let mut schedule = Schedule::new(clock::now_ns(), hz);
    while !stop.load(Ordering::Relaxed) {
        let now_ns = clock::now_ns();
        match schedule.take(now_ns) {
            Some(beat) => work(beat)?,
            None => std::thread::sleep(Duration::from_nanos(schedule.due_ns() - now_ns)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_up_sender_catches_up_with_the_times_that_were_intended() {
        let mut schedule = Schedule::new(1_000, 1_000);
        assert_eq!(schedule.take(999), None);
        let late = 1_000 + 3_500_000;
        let due: Vec<u64> = std::iter::from_fn(|| schedule.take(late))
            .map(|h| h.due_ns)
            .collect();
        assert_eq!(due, [1_000, 1_001_000, 2_001_000, 3_001_000]);
        assert_eq!(schedule.due_ns(), 4_001_000);
    }

    #[test]
    fn odd_rates_do_not_drift() {
        let mut schedule = Schedule::new(0, 7);
        for _ in 0..7 * 1_000 {
            schedule.take(u64::MAX).unwrap();
        }
        assert_eq!(schedule.due_ns(), 1_000 * 1_000_000_000);
    }

    #[test]
    fn heartbeats_survive_the_wire_and_short_messages_are_refused() {
        let heartbeat = Heartbeat {
            due_ns: 5,
            sequence: 9,
        };
        let mut message = [0_u8; HEARTBEAT_BYTES];
        heartbeat.encode(&mut message);
        assert_eq!(Heartbeat::decode(&message), Some(heartbeat));
        assert_eq!(Heartbeat::decode(&message[..15]), None);
    }
}
