//! Messages of causal channels as they come: each is delivered after what it follows, or held until that is there.
//!
//! All lanes of such a channel are one shard's, so what one lane brings is what another waits for on the same thread;
//! senders share the order under its lock (`crate::causal`). A message that is held is not acknowledged, and so are
//! those behind it on its lane, whose other frames are read meanwhile: acknowledgements must not wait for messages. What
//! is held is bounded for each peer; beyond that its lane is not read, as if an inbox were full.
//!
//! Called by `arrival` for each message with an extension, and by `receive` for what has become ready. Whether a message's
//! turn has come, the order decides.

use std::sync::Arc;

use overlane_overlays::causal_unicast::Arrival;

use super::Core;
use super::deliver::{Body, Receivers, Source};
use super::hand_over::{Addressee, Flow, take_in_turn};
use super::inbound::Inbound;
use crate::causal::{Came, CausalOrder, HeldMessage, NoRoom};
use crate::mailboxes::MailboxId;
use crate::payload::Payload;
use crate::wire::{CloseReason, Extension};

/// No mailbox has this number: lanes that wait for it wait for what they hold themselves.
const HELD: u32 = u32::MAX;

/// What a lane waits for that holds as much as it may.
pub(super) const fn held_by(lane: u32) -> MailboxId {
    MailboxId::from_words(lane, HELD)
}

/// A message on a causal channel, with an extension.
pub(super) fn take_in_order(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    inbound: &mut Inbound,
    source: &mut impl Source,
    (word, body): (u32, &Body),
) -> Result<Flow, CloseReason> {
    let announced = Addressee::Announced(word);
    let causes = Extension::in_block(body.extension(source.bytes())).causes();
    // A peer that says none has none: its own loss.
    let (Some(ordered), Some(causes)) = (&inbound.ordered, causes) else {
        return take_in_turn(core, receivers, lane, inbound, source, body, &announced);
    };
    let order = Arc::clone(&ordered.order);
    let came = Came::new(ordered.life, causes);
    let bytes = body.payload.len() as u64;
    match order.arrive(&came, core.now) {
        Arrival::Due => {
            let flow = take_in_turn(core, receivers, lane, inbound, source, body, &announced)?;
            if matches!(flow, Flow::Next) {
                let news = order.delivered(&came, core.now);
                core.note_news(inbound.channel, news);
            }
            return Ok(flow);
        }
        Arrival::Again => inbound.ledger.delivered(1, bytes, core.now),
        Arrival::GivenUp => inbound.ledger.refused(1, bytes, core.now),
        Arrival::Early => return hold(core, &order, lane, inbound, source, (word, body), came),
    }
    Ok(Flow::Next)
}

fn hold(
    core: &mut Core,
    order: &CausalOrder,
    lane: u32,
    inbound: &mut Inbound,
    source: &mut impl Source,
    (word, body): (u32, &Body),
    came: Came,
) -> Result<Flow, CloseReason> {
    let known = inbound
        .mailboxes
        .get(word)
        .map_err(|error| error.close_reason())?;
    let held = HeldMessage {
        lane,
        mailbox: known.name.clone(),
        bytes: source.keep(body.all()),
        head: body.head,
        came: core.came,
    };
    match order.hold(came, held, core.now) {
        Ok(news) => {
            core.lanes[lane as usize].log.tally.held_back += 1;
            core.note_news(inbound.channel, news);
            Ok(Flow::Next)
        }
        Err(NoRoom) => {
            inbound.blocked = Some(held_by(lane));
            inbound.waits_since.get_or_insert(core.now);
            Ok(Flow::Blocked)
        }
    }
}

/// Delivers what came on a lane and is ready, as far as there is room for it.
pub(super) fn deliver_ready(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    inbound: &mut Inbound,
) -> Result<(), CloseReason> {
    let Some(ordered) = &inbound.ordered else {
        return Ok(());
    };
    let order = Arc::clone(&ordered.order);
    while inbound.blocked.is_none_or(|waits| waits == held_by(lane))
        && let Some((key, held)) = order.next_ready(lane, core.now)
    {
        let body = Body {
            head: held.head,
            payload: held.head..held.bytes.len(),
        };
        core.came = held.came;
        let mut source = Payload::Shared(held.bytes);
        let named = Addressee::Named(&held.mailbox);
        match take_in_turn(core, receivers, lane, inbound, &mut source, &body, &named)? {
            Flow::Next => {
                let news = order.delivered_ready(key, core.now);
                core.note_news(inbound.channel, news);
            }
            Flow::Blocked => break,
        }
        if inbound.blocked.is_some() {
            // It has room again for what it has to hold.
            core.intake.waiting.room_was_made(held_by(lane));
        }
    }
    Ok(())
}
