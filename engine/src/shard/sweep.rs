//! Looking over the lanes: for peers that stopped in the middle of a frame, and for what overflow
//! policies dropped, which is told in sums, as there may be one for every message that is sent.

use std::time::{Duration, Instant};

use super::Core;
use crate::wire::CloseReason;

impl Core {
    /// Lanes whose frame has been incomplete for too long are ended.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let grace = Duration::from_millis(self.fabric.config.idle_timeout_ms);
        for lane in 0..self.lanes.len() {
            let Some(inbound) = &mut self.lanes[lane].link.inbound else {
                continue;
            };
            let Some((since, bytes)) = inbound.partial_since else {
                continue;
            };
            let waited = now.duration_since(since);
            if waited < grace {
                continue;
            }
            let came = inbound.partial_bytes.saturating_sub(bytes);
            let enough =
                PARTIAL_BYTES_PER_S_MIN * usize::try_from(waited.as_secs()).unwrap_or(usize::MAX);
            inbound.partial_since = Some((now, inbound.partial_bytes));
            if came < enough {
                self.end_lane(
                    u32::try_from(lane).unwrap_or(u32::MAX),
                    CloseReason::TooSlow,
                );
            }
        }
    }

    /// Tells of the messages that reliable channels dropped for want of room.
    pub(crate) fn tell_overflow(&mut self) {
        for lane in 0..self.lanes.len() {
            let state = &mut self.lanes[lane];
            let undelivered = state.take_overflow();
            if undelivered > 0 && self.fabric.channels[state.channel].reliable {
                let why = "their lane's queue was full: see overflow";
                self.report_undelivered(u32::try_from(lane).unwrap_or(u32::MAX), undelivered, why);
            }
        }
    }
}

/// A frame that has been incomplete for the idle timeout must have grown meanwhile by this much for
/// each second: slower is a peer that holds memory on purpose.
const PARTIAL_BYTES_PER_S_MIN: usize = 1024;

/// How often lanes are looked over.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(2);
