//! Lanes that had to stop go on: where an inbox has room again, and where messages of a causal channel have what they
//! waited for.
//!
//! Called by the turn. What has come in the meantime is in the lane's carry.

use super::Core;
use super::deliver::Receivers;
use super::frames::read_bytes;
use super::ordering::{deliver_ready, held_by};
use super::reader::{Reader, Stop};
use crate::payload::Payload;

/// Delivers what was held of a causal channel on that lane, and whose turn has come.
fn release_lane(core: &mut Core, receivers: &mut Receivers, lane: u32) {
    let Some(mut reader) = Reader::take(core, lane, None) else {
        return;
    };
    let outcome = deliver_ready(core, receivers, lane, &mut reader.inbound);
    reader.finish(core, outcome.map(|()| Stop::Incomplete));
}

/// Tries again what an inbox had no room for.
pub(super) fn retry_blocked(core: &mut Core, receivers: &mut Receivers, lane: u32) {
    let Some(mut reader) = Reader::take(core, lane, None) else {
        return;
    };
    reader.inbound.blocked = None;
    if let Err(reason) = deliver_ready(core, receivers, lane, &mut reader.inbound) {
        return reader.finish(core, Err(reason));
    }
    let waiting = std::mem::take(&mut reader.inbound.carry);
    let outcome = read_bytes(
        core,
        receivers,
        &mut reader,
        &mut Payload::Borrowed(&waiting),
    );
    let unblocked = reader.inbound.blocked.is_none();
    if unblocked {
        reader.inbound.waits_since = None;
    }
    reader.finish(core, outcome);
    if unblocked {
        core.resume_receiving(lane);
    }
}

/// Delivers what has become ready on lanes that are not being read now. True if there was any.
pub(super) fn release_ready(core: &mut Core, receivers: &mut Receivers) -> bool {
    let mut any = false;
    while let Some(channel) = core.ready_channels.pop() {
        let Some(order) = core.order_of(channel) else {
            continue;
        };
        for lane in order.ready_lanes() {
            let inbound = core.lanes[lane as usize].link.inbound.as_ref();
            if inbound.is_some_and(|inbound| inbound.blocked.is_none_or(|on| on == held_by(lane))) {
                any = true;
                release_lane(core, receivers, lane);
            }
        }
    }
    any
}
