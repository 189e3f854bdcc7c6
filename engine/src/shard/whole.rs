//! A message that came as a stream goes to its receiver, and its sender is told.
//!
//! Called for the word that ends such a stream (`hand_over`, `loopback`), as often as its inbox has no room. It puts
//! nothing together: that is the book of streams'.

use std::sync::Arc;

use super::Core;
use super::deliver::{Body, Delivery, Receivers};
use crate::mailboxes::MailboxId;
use crate::payload::Payload;
use crate::stream_book::{Incoming, WholeMessage};
use crate::wire::stream::{CancelReason, Side, Word};

/// A message that is whole, and the stream that it came as.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) stream: Arc<Incoming>,
    pub(super) message: WholeMessage,
}

/// Hands it over. The mailbox, if its inbox has no room now: then nothing has happened.
pub(super) fn hand_over_whole(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    channel: u16,
    arrived: Arrived,
) -> Option<MailboxId> {
    let Arrived { stream, message } = arrived;
    core.came = core.now;
    let mailbox = core.mailbox_for_peers(channel, &message.mailbox);
    let delivery = mailbox.map_or(Delivery::NoMailbox, |mailbox| {
        let body = Body::whole(&message.payload, false);
        let mut source = Payload::Shared(message.payload);
        receivers.deliver(core, &stream.peer, channel, mailbox, &mut source, body)
    });
    if delivery == Delivery::NoRoom {
        return mailbox;
    }
    core.fabric.streams.close_incoming(&stream);
    if delivery == Delivery::NoMailbox {
        core.cancel_stream(lane, stream.id, Side::Reader, CancelReason::NobodyAccepts);
    } else {
        core.fabric.streams.large.deliver();
        core.say_of_stream(lane, Word::Done { id: stream.id });
    }
    None
}
