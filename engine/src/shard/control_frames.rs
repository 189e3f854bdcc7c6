//! The frames of a lane's own, as they come: acknowledgements, names of mailboxes, Ping, Pong and Bye, and
//! the words about idle (`rest`) and missing lanes (`summons`).
//!
//! Called by `receive` for each frame that is no message. It updates what the lane knows of its peer and
//! bounds what such frames may cost; it never delivers anything.

use super::Core;
use super::inbound::{Inbound, KnownMailbox};
use crate::channel_plan::CONTROL_WORDS;
use crate::wire::control::{Rest, bye_reason};
use crate::wire::mailbox::Announced;
use crate::wire::stream::stream_place;
use crate::wire::{Ack, CloseReason, Frame, FrameKind};

pub(super) fn count_control(core: &Core, inbound: &mut Inbound) -> Result<(), CloseReason> {
    let frames_max = core.fabric.config.control_frames_per_second_max;
    if inbound.count_control_frame(core.now, frames_max) {
        Ok(())
    } else {
        Err(CloseReason::ControlFlood)
    }
}

#[cold]
pub(super) fn take_control(
    core: &mut Core,
    lane: u32,
    inbound: &mut Inbound,
    frame: &Frame<'_>,
) -> Result<(), CloseReason> {
    match frame.kind {
        FrameKind::Ack => return take_ack(core, lane, inbound, Ack::from_frame(frame)),
        FrameKind::FragmentAck => return take_fragment_ack(core, lane, inbound, frame.word),
        FrameKind::Mailbox => return announce(core, lane, inbound, frame),
        FrameKind::Bye => {
            inbound.said_bye = true;
            inbound.is_quiet = true;
            core.hear_bye(lane, bye_reason(frame));
        }
        FrameKind::Ping => {
            inbound.owe_pong(frame.word);
            core.mark_ready(lane);
        }
        FrameKind::Rest => core.hear_rest(lane, inbound, Rest::from_frame(frame)),
        FrameKind::Summon => core.hear_summon(lane, frame),
        FrameKind::Decline => core.hear_decline(lane, frame),
        FrameKind::Settled => core.hear_settled(inbound, frame.body),
        FrameKind::AskSettled => core.hear_ask_settled(lane, inbound, frame.body),
        // Messages, fragments and compressed frames never come here; of a Pong it matters that it came, as of
        // anything else.
        FrameKind::Message
        | FrameKind::FirstFragment
        | FrameKind::Fragment
        | FrameKind::Compressed
        | FrameKind::Pong => {}
    }
    count_control(core, inbound)
}

/// The number of new names has a bound of its own; other names for them come each with a message.
///
/// # Errors
/// Besides what a bad name comes to: on the control lane, by which a peer is served before all channels, there is one
/// mailbox.
fn announce(
    core: &Core,
    lane: u32,
    inbound: &mut Inbound,
    frame: &Frame<'_>,
) -> Result<(), CloseReason> {
    if frame.body != CONTROL_WORDS.as_bytes() && core.lanes[lane as usize].is_control() {
        return Err(CloseReason::BadMailbox);
    }
    let names = &core.fabric.mailboxes;
    let looked_at = names.version();
    let channel = inbound.channel;
    let resolve = |name: &str| KnownMailbox {
        name: Box::from(name),
        id: core.mailbox_for_peers(channel, name),
        looked_at,
        stream: stream_place(name),
    };
    let bytes_max = core.fabric.config.peer_names_bytes_max;
    let announced = inbound.announce(frame, bytes_max, resolve)?;
    if announced == Announced::Renamed && inbound.renamed_in_vain() {
        return count_control(core, inbound);
    }
    Ok(())
}

/// The peer has more of a message that is under way in fragments.
fn take_fragment_ack(
    core: &mut Core,
    lane: u32,
    inbound: &mut Inbound,
    bytes: u32,
) -> Result<(), CloseReason> {
    let log = &mut core.lanes[lane as usize].log;
    let news = log
        .acknowledge_fragments(bytes, core.now)
        .map_err(|error| error.close_reason())?;
    if log.may_go_on() {
        core.mark_ready(lane);
    }
    if news == 0 {
        count_control(core, inbound)
    } else {
        Ok(())
    }
}

/// Acknowledgements that say something new are as frequent as batches; those that do not count as
/// control frames, so that they cannot flood.
fn take_ack(
    core: &mut Core,
    lane: u32,
    inbound: &mut Inbound,
    ack: Ack,
) -> Result<(), CloseReason> {
    let state = &mut core.lanes[lane as usize];
    let channel = state.channel;
    let latencies = &mut core.tally.latencies;
    let news = state
        .log
        .acknowledge(ack, core.now, |latency, messages| {
            latencies.record(channel, latency, messages);
        })
        .map_err(|error| error.close_reason())?;
    let receipts = state.log.receipts.acknowledge(news.messages);
    core.fabric.receipts.processed(receipts, news);
    let left = state.log.let_go(news.messages, &mut core.sending.pool);
    let gate = &state.address().gate;
    gate.release(left.messages, left.payload_bytes);
    let streams_wait = state.settle_streams();
    if state.log.may_go_on() || state.state.wants_bye() || streams_wait {
        core.mark_ready(lane);
    }
    if core.lanes[lane as usize].log.has_numbers() {
        core.note_acknowledged(lane, news.messages);
    }
    if news.refused > 0 {
        core.report_refused(lane, news.refused, news.late);
    }
    if news.messages == 0 {
        count_control(core, inbound)
    } else {
        Ok(())
    }
}
