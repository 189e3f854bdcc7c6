//! Whose input is read in a turn, and for how long: urgent lanes first, and those of one priority in
//! turn, a slice of time each.
//!
//! Called by the turn. The budget keeps a slow handler, or a flood of small messages, from holding what
//! arrives meanwhile; what is not read stays in its buffers, and so in the sender's socket. It never
//! looks at a byte: `receive` does.

use std::time::Instant;

use super::deliver::Receivers;
use super::receive::receive;
use super::{Core, PRIORITIES};
use crate::io::operation::Operation;

/// How many connections of a priority, at least, are heard in a turn that is full.
const SLICES_PER_TURN: u32 = 4;

/// Reads what came, urgent lanes first, within the turn's budget of time: each connection gets a slice,
/// in turn with the others of its priority. True if anything was read.
pub(super) fn take_inflow(core: &mut Core, receivers: &mut Receivers) -> bool {
    let until = core.now + core.intake.budget;
    let mut any = false;
    for priority in 0..PRIORITIES {
        while let Some(operation) = core.intake.inflow[priority].pop_front() {
            let now = Instant::now();
            if any && now >= until {
                core.intake.inflow[priority].push_front(operation);
                return true;
            }
            any = true;
            read_slice(core, receivers, priority, operation, now);
        }
    }
    any
}

/// Reads one piece of a connection's input, for a slice of time at most. By now that connection may be
/// gone, and another in its place.
fn read_slice(
    core: &mut Core,
    receivers: &mut Receivers,
    priority: usize,
    operation: Operation,
    now: Instant,
) {
    let slice = core.intake.budget / SLICES_PER_TURN;
    let Some(connection) = core.connections.of(operation) else {
        return;
    };
    let (Some(lane), Some(inflow)) = (connection.lane(), connection.input.pop_front()) else {
        return;
    };
    let rest = receive(core, receivers, lane, operation.index, inflow, now + slice);
    // Reading it may have ended the lane.
    let Some(connection) = core.connections.of(operation) else {
        return;
    };
    if let Some(rest) = rest {
        connection.input.push_front(rest);
    }
    if !connection.input.is_empty() {
        core.intake.inflow[priority].push_back(operation);
    }
}
