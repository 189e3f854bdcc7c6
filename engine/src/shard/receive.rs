//! Step 7: what has come for a lane is read, piece by piece: a filled buffer, bytes that a session opened, or a large
//! frame that has landed.
//!
//! Called by `reading` with what the kernel has filled, urgent lanes first. It gives every buffer back, or what is left of it.
//! An error here ends the lane that sent the bytes and nothing else.

use std::time::Instant;

use super::Core;
use super::connection::Inflow;
use super::deliver::{InBuffer, Receivers};
use super::frames::{deliver_landed, read_bytes, read_source};
use super::reader::{Reader, Stop};
use crate::io::receive_buffers::Filled;
use crate::payload::Payload;
use crate::wire::CloseReason;

/// Reads one piece of the input of a connection that carries `lane`, until `until`; returns what is
/// left of it.
pub(super) fn receive(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    connection: u32,
    inflow: Inflow,
    until: Instant,
) -> Option<Inflow> {
    match inflow {
        Inflow::Filled { class, filled, at } => {
            if let Some(plain) = core.open_sealed(lane, connection, &filled) {
                core.intake.buffers[class].give_back(filled);
                return receive_opened(core, receivers, lane, plain?, 0, until);
            }
            receive_filled(core, receivers, lane, class, filled, at, until)
        }
        Inflow::Opened { plain, at } => receive_opened(core, receivers, lane, plain, at, until),
        Inflow::Landed { bytes } => {
            receive_landed(core, receivers, lane, connection, bytes);
            None
        }
        Inflow::End(reason) => {
            let reason = core.lanes[lane as usize].state.reason_of_end(reason);
            core.end_lane(lane, reason);
            None
        }
    }
}

fn receive_filled(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    class: usize,
    mut filled: Filled,
    mut at: usize,
    until: Instant,
) -> Option<Inflow> {
    let Some(mut reader) = Reader::take(core, lane, Some(until)) else {
        core.intake.buffers[class].give_back(filled);
        return None;
    };
    if at == 0 {
        core.lanes[lane as usize].log.tally.bytes_received += filled.bytes().len() as u64;
    }
    let outcome = read_buffer(core, receivers, &mut reader, class, &mut filled, &mut at);
    let is_paused = matches!(outcome, Ok(Stop::Paused));
    reader.finish(core, outcome);
    if is_paused {
        return Some(Inflow::Filled { class, filled, at });
    }
    core.intake.buffers[class].give_back(filled);
    None
}

/// What a session has opened: borrowed, so that its memory serves for what comes next.
fn receive_opened(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    plain: Vec<u8>,
    mut at: usize,
    until: Instant,
) -> Option<Inflow> {
    let mut reader = Reader::take(core, lane, Some(until))?;
    let source = &mut Payload::Borrowed(&plain);
    let outcome = read_source(core, receivers, &mut reader, source, &mut at);
    let is_paused = matches!(outcome, Ok(Stop::Paused));
    reader.finish(core, outcome);
    if is_paused {
        return Some(Inflow::Opened { plain, at });
    }
    core.keep_plain(plain);
    None
}

/// A receive into a landing: the frame it completes, and what is in the stage behind it.
fn receive_landed(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    connection: u32,
    bytes: usize,
) {
    let Some(mut reader) = Reader::take(core, lane, None) else {
        return;
    };
    core.lanes[lane as usize].log.tally.bytes_received += bytes as u64;
    let outcome = read_landed(core, receivers, &mut reader, bytes);
    reader.finish(core, outcome);
    core.starve(connection);
}

fn read_landed(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    bytes: usize,
) -> Result<Stop, CloseReason> {
    let Some(landing) = &mut reader.landing else {
        return Ok(Stop::Incomplete);
    };
    let staged = landing.received(bytes);
    // Copied, because the landing goes on with the next frame while these are read: they are few.
    let mut stage = landing.staged(staged).to_vec();
    let is_overrun = landing.is_overrun(staged);
    if let Stop::Blocked = deliver_landed(core, receivers, reader)? {
        reader.inbound.carry.append(&mut stage);
        return Ok(Stop::Blocked);
    }
    let stop = read_bytes(core, receivers, reader, &mut Payload::Borrowed(&stage))?;
    if is_overrun {
        reader.landing.take_if(|landing| landing.is_idle());
        if let Some(landing) = reader.landing.as_mut()
            && !landing.is_filling()
        {
            landing.step_aside();
        }
    }
    Ok(stop)
}

fn read_buffer(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    class: usize,
    filled: &mut Filled,
    at: &mut usize,
) -> Result<Stop, CloseReason> {
    // The buffers of the class are lent to the source so that it can pin this one.
    let mut buffers = std::mem::take(&mut core.intake.buffers);
    let mut source = InBuffer {
        filled,
        buffers: buffers.get_mut(class),
    };
    let stop = read_source(core, receivers, reader, &mut source, at);
    core.intake.buffers = buffers;
    stop
}
