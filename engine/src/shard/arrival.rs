//! A frame that has come goes to what it is for: a message to its receiver, a stream, or whoever waits for the
//! answer that it is; all others to `control_frames`.
//!
//! Called by `receive` for each frame. It tells messages of causal channels from those whose turn has come
//! (`hand_over`); it never looks for the next frame.

use super::Core;
use super::control_frames::take_control;
use super::deliver::{Body, Receivers, Source};
use super::hand_over::{Addressee, Flow, take_in_turn, take_run_in_turn};
use super::inbound::Inbound;
use super::ordering::take_in_order;
use crate::wire::{
    CloseReason, Extension, Frame, FrameKind, FrameLimits, HEADER_BYTES, MessageRun,
};

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

/// Messages that `bytes` begin with, if they are plain ones for one mailbox, at most `messages_max`. Returns how many
/// there were and how many bytes they took; what is not of that kind is left to [`take_frame`].
#[inline]
pub(super) fn take_run(
    core: &mut Core,
    receivers: &mut Receivers,
    inbound: &mut Inbound,
    bytes: &[u8],
    limits: &FrameLimits,
    messages_max: u32,
) -> (u32, usize) {
    if inbound.is_quiet {
        return (0, 0);
    }
    let Some(mut run) = MessageRun::begin(bytes, limits) else {
        return (0, 0);
    };
    let handed = take_run_in_turn(core, receivers, inbound, &mut run, messages_max);
    if handed.messages > 0 {
        inbound.renamed_in_a_row = 0;
    }
    (handed.messages, bytes.len() - run.rest().len())
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
    if frame.body.head > 0 {
        core.came = inbound.waits_since.unwrap_or(core.now);
        if inbound.ordered.is_some() {
            return take_in_order(
                core,
                receivers,
                lane,
                inbound,
                source,
                (frame.word, &frame.body),
            );
        }
    }
    let announced = Addressee::Announced(frame.word);
    take_in_turn(
        core,
        receivers,
        lane,
        inbound,
        source,
        &frame.body,
        &announced,
    )
}
