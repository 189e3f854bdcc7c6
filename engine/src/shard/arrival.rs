//! A frame that has come goes to what it is for: a message to its receiver, a stream, or whoever waits for the
//! answer that it is; all others to `control_frames`.
//!
//! Called by `receive` for each frame. It notes in the lane's ledger what became of each message; it never
//! looks for the next frame.

use super::control_frames::take_control;
use super::deliver::{Body, Delivery, Receivers, Source};
use super::inbound::Inbound;
use super::{Core, exchange};
use crate::mailboxes::MailboxId;
use crate::message::deadline_after;
use crate::wire::{CloseReason, Extension, Frame, FrameKind, HEADER_BYTES};

/// What to do after a frame.
pub(super) enum Flow {
    Next,
    /// The inbox it is for has no room: this frame and all after it wait.
    Blocked,
}

/// Where a frame lies in its source, copied out of the borrow.
pub(super) struct Located {
    pub(super) kind: FrameKind,
    pub(super) word: u32,
    pub(super) body: Body,
}

impl Located {
    /// For a frame that begins at `at` and takes `whole_bytes`: its body is the end of it.
    pub(super) fn new(frame: &Frame<'_>, at: usize, whole_bytes: usize) -> Self {
        let end = at + whole_bytes;
        Self {
            kind: frame.kind,
            word: frame.word,
            body: Body {
                head: whole_bytes - HEADER_BYTES - frame.body.len(),
                payload: end - frame.body.len()..end,
            },
        }
    }
}

#[inline]
pub(super) fn take_frame(
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
        extension: Extension::NONE,
        body: &source.bytes()[body.payload],
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
    if inbound.is_quiet {
        core.message_after_quiet(lane, inbound)?;
    }
    inbound.renamed_in_a_row = 0;
    let bytes = frame.body.payload.len() as u64;
    let channel = usize::from(inbound.channel);
    if frame.body.head > 0 {
        let came = inbound.waits_since.unwrap_or(core.now);
        core.came = came;
        if exchange::take_answer(
            &core.fabric,
            &inbound.peer,
            (channel, &core.channels[channel].name),
            source,
            &frame.body,
            came,
        ) {
            inbound.ledger.delivered(1, bytes, core.now);
            return Ok(Flow::Next);
        }
        let block = frame.body.extension(source.bytes());
        if inbound.refuses_late && deadline_after(block, || came).is_some_and(|at| at <= core.now) {
            refuse_late(core, lane, inbound, bytes);
            return Ok(Flow::Next);
        }
    }
    let known = inbound
        .mailboxes
        .get(frame.word)
        .map_err(|error| error.close_reason())?;
    if let Some(place) = known.stream {
        core.take_of_stream(lane, place, source, &frame.body)?;
        inbound.ledger.delivered(1, bytes, core.now);
        return Ok(Flow::Next);
    }
    let mut mailbox = known.id;
    let delivery = loop {
        let delivery = match mailbox {
            Some(mailbox) => receivers.deliver(
                core,
                &inbound.peer,
                inbound.channel,
                mailbox,
                source,
                frame.body.clone(),
            ),
            None => Delivery::NoMailbox,
        };
        if delivery != Delivery::NoMailbox {
            break delivery;
        }
        match resolve_late(core, inbound, frame.word) {
            Some(other) if mailbox != Some(other) => mailbox = Some(other),
            _ => break delivery,
        }
    };
    let reliable = core.channels[channel].reliable;
    if frame.body.head > 0
        && let Some(why) = delivery.refusal(reliable)
    {
        core.refuse_request(lane, source.bytes(), &frame.body, why);
    }
    match delivery {
        Delivery::Delivered | Delivery::Panicked => inbound.ledger.delivered(1, bytes, core.now),
        Delivery::NoRoom if reliable => {
            inbound.blocked = mailbox;
            inbound.waits_since.get_or_insert(core.now);
            return Ok(Flow::Blocked);
        }
        Delivery::NoMailbox if reliable => inbound.ledger.refused(1, bytes, core.now),
        Delivery::NoRoom | Delivery::NoMailbox => {
            core.lanes[lane as usize].log.tally.receive_dropped += 1;
        }
    }
    Ok(Flow::Next)
}

/// It is worth nothing any more, and its channel is not to deliver such.
#[cold]
fn refuse_late(core: &mut Core, lane: u32, inbound: &mut Inbound, bytes: u64) {
    inbound.ledger.refused_late(1, bytes, core.now);
    if !core.channels[usize::from(inbound.channel)].reliable {
        core.lanes[lane as usize].log.tally.receive_dropped += 1;
    }
}

/// A name that meant nothing when it was announced, or something that is gone, may have a receiver by
/// now.
#[cold]
fn resolve_late(core: &Core, inbound: &mut Inbound, id: u32) -> Option<MailboxId> {
    let version = core.fabric.mailboxes.version();
    let known = inbound.mailboxes.get_mut(id).ok()?;
    if known.looked_at == version {
        return None;
    }
    known.looked_at = version;
    known.id = core.fabric.mailboxes.find(&known.name);
    known.id
}
