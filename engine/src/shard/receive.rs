//! Step 7: a filled buffer becomes frames, in place, and each frame goes to what it is for.
//!
//! Called by the turn with the buffers the kernel has filled, urgent lanes first. A frame that
//! straddles two buffers is put together in the lane's carry; everything else is read where it
//! lies. An error here ends the lane that sent the bytes and nothing else.

use std::ops::Range;

use super::Core;
use super::deliver::{Assembled, Delivery, InBuffer, Receivers, Source};
use super::inbound::{Inbound, KnownMailbox};
use super::intake::Inflow;
use crate::delivery::Incoming;
use crate::io::operation::Operation;
use crate::io::receive_buffers::Filled;
use crate::wire::control::bye_reason;
use crate::wire::{Ack, CloseReason, Frame, FrameKind, HEADER_BYTES, Next, next_frame};

/// What to do after a frame.
enum Flow {
    Next,
    /// The inbox it is for has no room: this frame and all after it wait.
    Blocked,
}

/// Where a frame lies in its source, copied out of the borrow.
struct Located {
    kind: FrameKind,
    word: u32,
    body: Range<usize>,
}

impl Located {
    fn new(frame: &Frame<'_>, at: usize) -> Self {
        let start = at + HEADER_BYTES;
        Self {
            kind: frame.kind,
            word: frame.word,
            body: start..start + frame.body.len(),
        }
    }
}

/// One connection's input of this turn: bytes, or its end. By now that connection may be gone, and
/// another in its place.
pub(crate) fn receive(
    core: &mut Core,
    receivers: &mut Receivers,
    operation: Operation,
    inflow: Inflow,
) {
    let lane = core
        .connections
        .of(operation)
        .and_then(|connection| connection.lane());
    match (inflow, lane) {
        (Inflow::Filled { class, filled }, Some(lane)) => {
            receive_filled(core, receivers, lane, class, filled);
        }
        (Inflow::Filled { class, filled }, None) => core.intake.buffers[class].give_back(filled),
        (Inflow::End(reason), Some(lane)) => {
            let reason = core.lanes[lane as usize].farewell.heard.unwrap_or(reason);
            core.end_lane(lane, reason);
        }
        (Inflow::End(_), None) => {}
    }
}

fn receive_filled(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    class: usize,
    mut filled: Filled,
) {
    let Some(mut inbound) = core.lanes[lane as usize].inbound.take() else {
        return core.intake.buffers[class].give_back(filled);
    };
    let bytes = filled.bytes().len();
    core.lanes[lane as usize].tally.bytes_received += bytes as u64;
    let outcome = read_buffer(core, receivers, lane, &mut inbound, class, &mut filled);
    core.intake.buffers[class].give_back(filled);
    finish(core, lane, inbound, outcome);
}

/// Puts the inbound half back, notes what is owed, and ends the lane if the peer broke the rules.
fn finish(core: &mut Core, lane: u32, mut inbound: Box<Inbound>, outcome: Result<(), CloseReason>) {
    let now = core.now;
    let state = &mut core.lanes[lane as usize];
    let due = inbound.ledger.ack_is_due(now);
    let owes = inbound.ledger.ack_deadline().is_some();
    let blocked = inbound.blocked;
    inbound.note_partial(now);
    state.inbound = Some(inbound);
    if owes && !state.owes_ack {
        state.owes_ack = true;
        core.sending.owing.push(lane);
    }
    if due {
        core.mark_ready(lane);
    }
    if blocked {
        core.note_blocked(lane);
    }
    if let Err(reason) = outcome {
        core.end_lane(lane, reason);
    }
}

fn read_buffer(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    inbound: &mut Inbound,
    class: usize,
    filled: &mut Filled,
) -> Result<(), CloseReason> {
    let length = filled.bytes().len();
    if inbound.blocked {
        inbound.carry.extend_from_slice(filled.bytes());
        return Ok(());
    }
    let mut at = 0;
    if !inbound.carry.is_empty() {
        at = complete_carry(core, receivers, lane, inbound, filled.bytes())?;
        if inbound.blocked {
            inbound.carry.extend_from_slice(&filled.bytes()[at..]);
            return Ok(());
        }
    }
    // The buffers of the class are lent to the source so that it can pin this one.
    let mut buffers = std::mem::take(&mut core.intake.buffers);
    let mut source = InBuffer {
        filled,
        buffers: buffers.get_mut(class),
    };
    let outcome = read_frames(core, receivers, lane, inbound, &mut source, &mut at);
    core.intake.buffers = buffers;
    outcome?;
    if at < length {
        let rest = &filled.bytes()[at..];
        inbound.carry.reserve(rest.len());
        inbound.carry.extend_from_slice(rest);
    }
    Ok(())
}

/// Reads whole frames of `source` from `at` on; stops at an incomplete one, or where it is blocked.
fn read_frames(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    inbound: &mut Inbound,
    source: &mut impl Source,
    at: &mut usize,
) -> Result<(), CloseReason> {
    loop {
        let next = next_frame(&source.bytes()[*at..], &inbound.limits);
        let (located, consumed) = match next.map_err(|error| error.close_reason())? {
            Next::Frame(frame, consumed) => (Located::new(&frame, *at), consumed),
            Next::Skip { consumed_bytes } => {
                count_control(core, inbound)?;
                *at += consumed_bytes;
                continue;
            }
            Next::Incomplete { .. } => return Ok(()),
        };
        match take_frame(core, receivers, lane, inbound, source, located)? {
            Flow::Next => *at += consumed,
            Flow::Blocked => {
                inbound.blocked = true;
                return Ok(());
            }
        }
    }
}

/// Adds to the incomplete frame in the carry until it is whole and handled. Returns how much of
/// `bytes` that took.
fn complete_carry(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    inbound: &mut Inbound,
    bytes: &[u8],
) -> Result<usize, CloseReason> {
    let mut at = 0;
    loop {
        let next =
            next_frame(&inbound.carry, &inbound.limits).map_err(|error| error.close_reason())?;
        let located = match next {
            Next::Incomplete { needed_bytes } => {
                if at == bytes.len() {
                    return Ok(at);
                }
                let missing = needed_bytes - inbound.carry.len();
                let taken = missing.min(bytes.len() - at);
                inbound.carry.reserve_exact(missing);
                inbound.carry.extend_from_slice(&bytes[at..at + taken]);
                at += taken;
                continue;
            }
            Next::Frame(frame, _) => Some(Located::new(&frame, 0)),
            Next::Skip { .. } => {
                count_control(core, inbound)?;
                None
            }
        };
        let mut assembled = std::mem::take(&mut inbound.carry);
        if let Some(located) = located {
            let flow = take_frame(
                core,
                receivers,
                lane,
                inbound,
                &mut Assembled(&mut assembled),
                located,
            );
            if matches!(flow, Ok(Flow::Blocked)) {
                inbound.blocked = true;
                inbound.carry = assembled;
                return Ok(at);
            }
            flow?;
        }
        assembled.clear();
        inbound.carry = assembled;
        inbound.partial_since = None;
        return Ok(at);
    }
}

/// Tries again what an inbox had no room for.
pub(crate) fn retry_blocked(core: &mut Core, receivers: &mut Receivers, lane: u32) {
    let Some(mut inbound) = core.lanes[lane as usize].inbound.take() else {
        return;
    };
    inbound.blocked = false;
    let mut waiting = std::mem::take(&mut inbound.carry);
    let mut at = 0;
    let outcome = read_frames(
        core,
        receivers,
        lane,
        &mut inbound,
        &mut Assembled(&mut waiting),
        &mut at,
    );
    waiting.drain(..at);
    inbound.carry = waiting;
    let unblocked = !inbound.blocked;
    finish(core, lane, inbound, outcome);
    if unblocked {
        core.resume_receiving(lane);
    }
}

#[inline]
fn take_frame(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    inbound: &mut Inbound,
    source: &mut impl Source,
    frame: Located,
) -> Result<Flow, CloseReason> {
    if frame.kind == FrameKind::Message {
        return take_message(core, receivers, lane, inbound, source, frame);
    }
    let Located { kind, word, body } = frame;
    let frame = Frame {
        kind,
        word,
        body: &source.bytes()[body],
    };
    take_control(core, lane, inbound, &frame).map(|()| Flow::Next)
}

#[inline]
fn take_message(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    inbound: &mut Inbound,
    source: &mut impl Source,
    frame: Located,
) -> Result<Flow, CloseReason> {
    if inbound.said_bye {
        return Err(CloseReason::AfterBye);
    }
    let known = inbound
        .mailboxes
        .get(frame.word)
        .map_err(|error| error.close_reason())?;
    let mailbox = match known.id {
        Some(id) => Some(id),
        None => resolve_late(core, inbound, frame.word),
    };
    let bytes = frame.body.len() as u64;
    let delivery = match mailbox {
        Some(mailbox) => receivers.deliver(
            core,
            &inbound.peer,
            inbound.channel,
            mailbox,
            source,
            frame.body,
        ),
        None => Delivery::NoMailbox,
    };
    let reliable = core.fabric.channels[usize::from(inbound.channel)].reliable;
    match delivery {
        Delivery::Delivered => inbound.ledger.delivered(1, bytes, core.now),
        Delivery::NoRoom if reliable => return Ok(Flow::Blocked),
        Delivery::NoMailbox if reliable => inbound.ledger.refused(1, bytes, core.now),
        Delivery::NoRoom | Delivery::NoMailbox => {
            core.lanes[lane as usize].tally.receive_dropped += 1;
        }
    }
    Ok(Flow::Next)
}

/// A name that meant nothing when it was announced may have a receiver by now.
#[cold]
fn resolve_late(core: &Core, inbound: &mut Inbound, id: u32) -> Option<crate::message::MailboxId> {
    let version = core.fabric.mailboxes.version();
    let known = inbound.mailboxes.get_mut(id).ok()?;
    if known.looked_at == version {
        return None;
    }
    known.looked_at = version;
    known.id = core.fabric.mailboxes.find(known.name.as_deref()?);
    known.id
}

fn count_control(core: &Core, inbound: &mut Inbound) -> Result<(), CloseReason> {
    let frames_max = core.fabric.config.control_frames_per_second_max;
    if inbound.count_control_frame(core.now, frames_max) {
        Ok(())
    } else {
        Err(CloseReason::ControlFlood)
    }
}

#[cold]
fn take_control(
    core: &mut Core,
    lane: u32,
    inbound: &mut Inbound,
    frame: &Frame<'_>,
) -> Result<(), CloseReason> {
    match frame.kind {
        FrameKind::Ack => return take_ack(core, lane, inbound, Ack::from_frame(frame)),
        // Their number has a bound of its own.
        FrameKind::Mailbox => return announce(core, inbound, frame),
        FrameKind::Bye => {
            inbound.said_bye = true;
            core.hear_bye(lane, bye_reason(frame));
        }
        FrameKind::Ping => {
            core.lanes[lane as usize]
                .outbox
                .push_control(FrameKind::Pong, frame.word, &[]);
            core.mark_ready(lane);
        }
        // A message never comes here; a Pong answers a Ping of somebody's tool, not of this engine.
        FrameKind::Message | FrameKind::Pong => {}
    }
    count_control(core, inbound)
}

fn announce(core: &Core, inbound: &mut Inbound, frame: &Frame<'_>) -> Result<(), CloseReason> {
    let names = &core.fabric.mailboxes;
    let looked_at = names.version();
    let resolve = |name: &str| {
        let id = names.find(name);
        let name = id.is_none().then(|| Box::from(name));
        KnownMailbox {
            name,
            id,
            looked_at,
        }
    };
    inbound
        .mailboxes
        .announce(frame, resolve)
        .map_err(|error| error.close_reason())
}

/// Acknowledgements that say something new are as frequent as batches; those that do not count as
/// control frames, so that they cannot flood.
fn take_ack(
    core: &mut Core,
    lane: u32,
    inbound: &mut Inbound,
    ack: Ack,
) -> Result<(), CloseReason> {
    let now = core.now;
    let state = &mut core.lanes[lane as usize];
    let tally = &mut state.tally;
    let news = state
        .ledger
        .acknowledge(ack, now, |latency, messages| {
            tally.record_latency(latency, messages)
        })
        .map_err(|error| error.close_reason())?;
    if news.refused > 0 {
        core.report_refused(lane, news.refused);
    }
    if core.lanes[lane as usize].farewell.wanted.is_some() {
        core.mark_ready(lane);
    }
    if news.messages == 0 {
        count_control(core, inbound)
    } else {
        Ok(())
    }
}

/// What this side has delivered on a lane so far, for the tally.
pub(crate) fn incoming(inbound: Option<&Inbound>) -> Option<&Incoming> {
    inbound.map(|inbound| &inbound.ledger)
}
