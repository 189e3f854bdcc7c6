//! Bytes become frames, in place, each given to what it is for by `arrival`.
//!
//! Called with a reader and a source by `receive` for what has come, and by `retry` for what had to wait. A frame that
//! straddles two sources is put together in the lane's carry, or, if it is large, in memory of its own (`landing`).
//! Frames that were compressed are read like all others, before what came behind them. An error ends the lane.

use std::time::Instant;

use bytes::Bytes;

use super::Core;
use super::arrival::{Located, take_frame, take_run};
use super::control_frames::count_control;
use super::deliver::{Receivers, Source};
use super::hand_over::Flow;
use super::landing::LANDING_BYTES_MIN;
use super::reader::{Reader, Stop};
use crate::payload::Payload;
use crate::wire::{CloseReason, FrameKind, FrameLimits, HEADER_BYTES, Next, next_frame};

/// Messages read between two looks at the clock.
const MESSAGES_PER_LOOK: u32 = 16;

/// Reads bytes that will not be there later.
pub(super) fn read_bytes(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    source: &mut impl Source,
) -> Result<Stop, CloseReason> {
    read_source(core, receivers, reader, source, &mut 0)
}

/// Reads `source` from `at` on: what completes an earlier frame, then whole frames, in place. What is
/// left at the end is kept in the landing or the carry.
pub(super) fn read_source(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    source: &mut impl Source,
    at: &mut usize,
) -> Result<Stop, CloseReason> {
    if reader.inbound.blocked.is_some() {
        reader
            .inbound
            .carry
            .extend_from_slice(&source.bytes()[*at..]);
        return Ok(Stop::Blocked);
    }
    // A message in fragments that waited for room, then what an earlier slice has left of a compressed frame,
    // which the last of those may have been in.
    let mut stop = deliver_waiting(core, receivers, reader)?;
    if matches!(stop, Stop::Incomplete) {
        stop = read_unpacked(core, receivers, reader)?;
    }
    match stop {
        Stop::Incomplete => {}
        Stop::Paused => return Ok(Stop::Paused),
        Stop::Blocked => {
            let rest = &source.bytes()[*at..];
            reader.inbound.carry.extend_from_slice(rest);
            return Ok(Stop::Blocked);
        }
    }
    *at += reader.fill_landing(&source.bytes()[*at..]);
    let mut stop = deliver_landed(core, receivers, reader)?;
    if matches!(stop, Stop::Incomplete) && !reader.inbound.carry.is_empty() {
        *at += complete_carry(core, receivers, reader, &source.bytes()[*at..])?;
        if reader.inbound.blocked.is_some() {
            stop = Stop::Blocked;
        } else if reader.inbound.unpacked.is_some() {
            stop = Stop::Paused;
        }
    }
    if matches!(stop, Stop::Incomplete) {
        stop = read_frames(core, receivers, reader, source, at)?;
    }
    if !matches!(stop, Stop::Paused) {
        let rest = &source.bytes()[*at..];
        let is_landing = matches!(stop, Stop::Incomplete)
            && frame_bytes(rest, reader).is_some_and(|bytes| reader.land(core, bytes, rest));
        if !is_landing {
            reader.inbound.carry.extend_from_slice(rest);
        }
    }
    Ok(stop)
}

/// The length of the incomplete frame that `bytes` begin, once its header is there.
fn frame_bytes(bytes: &[u8], reader: &Reader) -> Option<usize> {
    match next_frame(bytes, &reader.inbound.limits) {
        Ok(Next::Incomplete { needed_bytes }) if bytes.len() >= HEADER_BYTES => Some(needed_bytes),
        _ => None,
    }
}

/// Reads whole frames of `source` from `at` on; stops at an incomplete one, where it is blocked, or
/// when the time is over.
fn read_frames(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    source: &mut impl Source,
    at: &mut usize,
) -> Result<Stop, CloseReason> {
    let mut until_look = MESSAGES_PER_LOOK;
    let limits = reader.limits();
    // The header of a fragment was in the carry.
    *at += reader.fill_landing(&source.bytes()[*at..]);
    match deliver_landed(core, receivers, reader)? {
        Stop::Incomplete => {}
        stop => return Ok(stop),
    }
    loop {
        let bytes = &source.bytes()[*at..];
        let inbound = &mut reader.inbound;
        let (messages, taken) = take_run(core, receivers, inbound, bytes, &limits, until_look);
        *at += taken;
        until_look -= messages;
        if until_look > 0 {
            if let Some(stop) = read_one(core, receivers, reader, source, at, &limits)? {
                return Ok(stop);
            }
            until_look -= 1;
        }
        if until_look == 0 {
            until_look = MESSAGES_PER_LOOK;
            let seen = core.recording.take_seen();
            let is_over = |until| seen.unwrap_or_else(Instant::now) >= until;
            if reader.until.is_some_and(is_over) {
                return Ok(Stop::Paused);
            }
        }
    }
}

/// Reads the frame of `source` at `at`. Returns where reading stops, if it does.
fn read_one(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    source: &mut impl Source,
    at: &mut usize,
    limits: &FrameLimits,
) -> Result<Option<Stop>, CloseReason> {
    let next = next_frame(&source.bytes()[*at..], limits);
    let (located, consumed) = match next.map_err(|error| error.close_reason())? {
        Next::Frame(frame, consumed) => (Located::new(&frame, *at, consumed), consumed),
        Next::Fragment(fragment, consumed) => {
            *at += consumed;
            reader.begin_fragment(core, &fragment)?;
            *at += reader.fill_landing(&source.bytes()[*at..]);
            return deliver_landed(core, receivers, reader).map(Stop::unless_incomplete);
        }
        Next::Skip { consumed_bytes } => {
            count_control(core, &mut reader.inbound)?;
            *at += consumed_bytes;
            return Ok(None);
        }
        Next::Incomplete { .. } => return Ok(Some(Stop::Incomplete)),
    };
    if located.kind == FrameKind::Compressed {
        *at += consumed;
        let stop = unpack(core, receivers, reader, source, &located);
        return stop.map(Stop::unless_incomplete);
    }
    let inbound = &mut reader.inbound;
    match take_frame(core, receivers, reader.lane, inbound, source, located)? {
        Flow::Next => *at += consumed,
        Flow::Blocked => return Ok(Some(Stop::Blocked)),
    }
    Ok(None)
}

/// Reads what a compressed frame stands for.
#[cold]
fn unpack(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    source: &impl Source,
    frame: &Located,
) -> Result<Stop, CloseReason> {
    let body = &source.bytes()[frame.body.payload.clone()];
    let codec = reader.inbound.limits.codec;
    let pool = &core.fabric.payloads;
    let frames = core.packing.unpack(pool, codec, frame.word, body)?;
    reader.inbound.unpacked = Some((frames, 0));
    read_unpacked(core, receivers, reader)
}

/// Reads what is left of a compressed frame, if anything is: whole frames, none of which is compressed.
fn read_unpacked(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
) -> Result<Stop, CloseReason> {
    let Some((frames, mut at)) = reader.inbound.unpacked.take() else {
        return Ok(Stop::Incomplete);
    };
    let mut source = Payload::Shared(frames.clone());
    reader.is_unpacking = true;
    let stop = read_frames(core, receivers, reader, &mut source, &mut at);
    reader.is_unpacking = false;
    match stop? {
        Stop::Incomplete if at == frames.len() => Ok(Stop::Incomplete),
        Stop::Incomplete => Err(CloseReason::BadCompression),
        stop => {
            reader.inbound.unpacked = Some((frames, at));
            Ok(stop)
        }
    }
}

/// Adds to the incomplete frame in the carry until it is whole and handled, or lands. Returns how much
/// of `bytes` that took.
fn complete_carry(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    bytes: &[u8],
) -> Result<usize, CloseReason> {
    let mut at = 0;
    loop {
        let carry = &mut reader.inbound.carry;
        let next =
            next_frame(carry, &reader.inbound.limits).map_err(|error| error.close_reason())?;
        let Next::Incomplete { needed_bytes } = next else {
            break;
        };
        if needed_bytes >= LANDING_BYTES_MIN {
            let begun = std::mem::take(carry);
            reader.land(core, needed_bytes, &begun);
            at += reader.fill_landing(&bytes[at..]);
            deliver_landed(core, receivers, reader)?;
            return Ok(at);
        }
        if at == bytes.len() {
            return Ok(at);
        }
        let taken = (needed_bytes - carry.len()).min(bytes.len() - at);
        carry.extend_from_slice(&bytes[at..at + taken]);
        at += taken;
    }
    let mut whole = std::mem::take(&mut reader.inbound.carry);
    let mut read = 0;
    let stop = read_frames(
        core,
        receivers,
        reader,
        &mut Payload::Borrowed(&whole),
        &mut read,
    );
    if matches!(stop, Ok(Stop::Blocked)) && read < whole.len() {
        reader.inbound.carry = whole;
        return Ok(at);
    }
    stop?;
    whole.clear();
    reader.inbound.carry = whole;
    reader.inbound.partial_since = None;
    Ok(at)
}

/// Hands over the frame that has landed, if one has.
pub(super) fn deliver_landed(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
) -> Result<Stop, CloseReason> {
    reader.end_fragment(core.now);
    let landing = reader.landing.as_mut();
    match landing.and_then(|landing| landing.take_frame()) {
        Some(frame) => deliver_frame(core, receivers, reader, frame),
        None => Ok(Stop::Incomplete),
    }
}

/// Hands over the frame that was put back, if one was.
fn deliver_waiting(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
) -> Result<Stop, CloseReason> {
    let landing = reader.landing.as_mut();
    match landing.and_then(|landing| landing.take_waiting()) {
        Some(frame) => deliver_frame(core, receivers, reader, frame),
        None => Ok(Stop::Incomplete),
    }
}

fn deliver_frame(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    frame: Bytes,
) -> Result<Stop, CloseReason> {
    let mut at = 0;
    let mut frame = Payload::Shared(frame);
    let stop = read_frames(core, receivers, reader, &mut frame, &mut at)?;
    // A compressed frame is read, though some of what it stands for may have to wait.
    let is_read = at == frame.len();
    if let (Stop::Blocked, false, Some(landing), Payload::Shared(frame)) =
        (&stop, is_read, &mut reader.landing, frame)
    {
        landing.put_back(frame);
    }
    Ok(stop)
}
