//! Step 7: a filled buffer becomes frames, in place; `arrival` gives each to what it is for.
//!
//! Called by the turn with the buffers the kernel has filled, urgent lanes first. A frame that
//! straddles two buffers is put together in the lane's carry, or, if it is large, in memory of its own
//! (`landing`); everything else is read where it lies. An error here ends the lane that sent the bytes and nothing else.

use std::time::Instant;

use bytes::Bytes;

use super::Core;
use super::arrival::{Located, take_frame, take_run};
use super::connection::Inflow;
use super::control_frames::count_control;
use super::deliver::{InBuffer, Receivers, Source};
use super::hand_over::Flow;
use super::inbound::Inbound;
use super::landing::{LANDING_BYTES_MIN, Landing, StrayFragment};
use super::ordering::{deliver_ready, held_by};
use crate::io::operation::OperationKind;
use crate::io::receive_buffers::Filled;
use crate::payload::Payload;
use crate::wire::fragment::Fragment;
use crate::wire::frame::message_header;
use crate::wire::{CloseReason, FrameKind, FrameLimits, HEADER_BYTES, Next, next_frame};

/// Where reading stopped.
enum Stop {
    /// All whole frames are read.
    Incomplete,
    /// An inbox has no room.
    Blocked,
    /// The slice of time is over.
    Paused,
}

impl Stop {
    /// Where reading stops behind a part that was read: nowhere, if that had to end for lack of bytes of its own.
    fn unless_incomplete(self) -> Option<Self> {
        (!matches!(self, Self::Incomplete)).then_some(self)
    }
}

/// What reads a lane's bytes: its receiving half and its connection's landing, both taken out so that a
/// handler may send on the very same lane.
struct Reader {
    lane: u32,
    inbound: Box<Inbound>,
    landing: Option<Box<Landing>>,
    /// When to stop, if there is more.
    until: Option<Instant>,
    /// What is read was compressed.
    is_unpacking: bool,
}

/// Messages read between two looks at the clock.
const MESSAGES_PER_LOOK: u32 = 16;

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

/// Hands over the frame that has landed, if one has.
fn deliver_landed(
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

impl Reader {
    /// What the frames that are read now may be.
    #[inline]
    fn limits(&self) -> FrameLimits {
        let limits = self.inbound.limits;
        if self.is_unpacking {
            FrameLimits {
                codec: None,
                ..limits
            }
        } else {
            limits
        }
    }

    /// Takes the halves out of a lane and its connection.
    fn take(core: &mut Core, lane: u32, until: Option<Instant>) -> Option<Self> {
        let state = &mut core.lanes[lane as usize];
        let inbound = state.link.inbound.take()?;
        let connection = state.state.connection();
        let landing = connection
            .and_then(|connection| core.connections.get(connection))
            .and_then(|connection| connection.landing.take());
        Some(Self {
            lane,
            inbound,
            landing,
            until,
            is_unpacking: false,
        })
    }

    /// Puts the halves back, notes what is owed, and ends the lane if the peer broke the rules.
    fn finish(self, core: &mut Core, outcome: Result<Stop, CloseReason>) {
        let Self {
            lane,
            mut inbound,
            landing,
            ..
        } = self;
        let now = core.now;
        let state = &mut core.lanes[lane as usize];
        let due = inbound.ledger.ack_is_due(now);
        let ack_deadline = inbound.ledger.ack_deadline();
        let blocked = inbound.blocked;
        let landing_bytes = landing.as_ref().map_or(0, |landing| landing.filled_bytes());
        let is_filling = landing.as_ref().is_some_and(|landing| landing.is_filling());
        inbound.note_partial(now, landing_bytes);
        inbound.shrink_carry();
        state.link.inbound = Some(inbound);
        if let Some(connection) = state.state.connection()
            && let Some(carrier) = core.connections.get(connection)
        {
            carrier.landing = landing;
            if is_filling && carrier.lands() && carrier.receiving == Some(OperationKind::Receive) {
                core.call_off_receive(connection);
            }
        }
        let state = &mut core.lanes[lane as usize];
        if let Some(deadline) = ack_deadline {
            core.sending.owe_ack(lane, state, deadline);
        }
        if due {
            core.mark_ready(lane);
        }
        if let Some(mailbox) = blocked {
            core.note_blocked(lane, mailbox);
        }
        if let Err(reason) = outcome {
            core.end_lane(lane, reason);
        }
    }

    /// A fragment of a message begins.
    fn begin_fragment(&mut self, core: &Core, fragment: &Fragment) -> Result<(), CloseReason> {
        let landing = self.landing.get_or_insert_with(|| Box::new(Landing::new()));
        let mut begun = Ok(());
        if let Some(first) = fragment.first {
            let header = message_header(first, fragment.word);
            let message_bytes = HEADER_BYTES + first.message_bytes as usize;
            let block = core.fabric.payloads.block(message_bytes);
            begun = landing.begin_message(block, &header);
        }
        begun
            .and_then(|()| landing.begin_fragment(fragment.bytes))
            .map_err(|StrayFragment| CloseReason::FrameMalformed)
    }

    /// The peer is told of fragments as they come, so that it need not wait for those of a message to go on.
    fn end_fragment(&mut self, now: Instant) {
        let landing = self.landing.as_mut();
        if let Some(bytes) = landing.and_then(|landing| landing.end_fragment()) {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.inbound.ledger.fragment(bytes, now);
        }
    }

    /// Takes what belongs to the incomplete frame or fragment from the front of `bytes`; says how much.
    fn fill_landing(&mut self, bytes: &[u8]) -> usize {
        let landing = self.landing.as_mut();
        landing.map_or(0, |landing| landing.fill_from(bytes))
    }

    /// The frame at the start of `bytes` is incomplete: from `LANDING_BYTES_MIN` up it lands, which takes
    /// all of `bytes`. False if it is too small for that.
    fn land(&mut self, core: &Core, frame_bytes: usize, bytes: &[u8]) -> bool {
        if frame_bytes < LANDING_BYTES_MIN {
            return false;
        }
        let landing = self.landing.get_or_insert_with(|| Box::new(Landing::new()));
        landing.begin(core.fabric.payloads.block(frame_bytes));
        landing.fill_from(bytes);
        true
    }
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

/// Reads bytes that will not be there later.
fn read_bytes(
    core: &mut Core,
    receivers: &mut Receivers,
    reader: &mut Reader,
    source: &mut impl Source,
) -> Result<Stop, CloseReason> {
    read_source(core, receivers, reader, source, &mut 0)
}

/// Reads `source` from `at` on: what completes an earlier frame, then whole frames, in place. What is
/// left at the end is kept in the landing or the carry.
fn read_source(
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
            if reader.until.is_some_and(|until| Instant::now() >= until) {
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
