//! A message whose turn has come goes to whom it is for: its receiver, a stream, or whoever waits for the answer
//! that it is.
//!
//! Called by `arrival` for messages as they come, and by `ordering` for those that had to wait for others. It notes in
//! the lane's ledger what became of each.

use super::deliver::{Body, Delivery, Handed, Receivers, Source};
use super::inbound::Inbound;
use super::whole::hand_over_whole;
use super::{Core, exchange};
use crate::mailboxes::MailboxId;
use crate::message::deadline_after;
use crate::wire::{CloseReason, MessageRun};

/// What to do after a frame.
pub(super) enum Flow {
    Next,
    /// The inbox it is for has no room: this frame and all after it wait.
    Blocked,
}

/// Whom a message is for.
pub(super) enum Addressee<'a> {
    /// A mailbox whose name the peer has announced.
    Announced(u32),
    /// A mailbox of this name.
    Named(&'a str),
}

/// A message whose turn has come. If it has an extension, it had come by `Core::came`.
#[inline]
pub(super) fn take_in_turn(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    inbound: &mut Inbound,
    source: &mut impl Source,
    body: &Body,
    addressee: &Addressee<'_>,
) -> Result<Flow, CloseReason> {
    let bytes = body.payload.len() as u64;
    let channel = usize::from(inbound.channel);
    if !core.channels[channel].restrained.allows_delivery() {
        return Ok(keep_from_delivery(core, lane, inbound));
    }
    if body.head > 0 {
        let came = core.came;
        if exchange::take_answer(
            &core.fabric,
            &inbound.peer,
            (channel, &core.channels[channel].name),
            source,
            body,
            came,
        ) {
            inbound.ledger.delivered(1, bytes, core.now);
            return Ok(Flow::Next);
        }
        let block = body.extension(source.bytes());
        if inbound.refuses_late && deadline_after(block, || came).is_some_and(|at| at <= core.now) {
            refuse_late(core, lane, inbound, bytes);
            return Ok(Flow::Next);
        }
    }
    let mut mailbox = match addressee {
        Addressee::Named(name) => core.mailbox_for_peers(inbound.channel, name),
        Addressee::Announced(id) => {
            let known = inbound.mailboxes.get(*id);
            let known = known.map_err(|error| error.close_reason())?;
            if let Some(place) = known.stream {
                let arrived = core.take_of_stream(lane, place, source, body)?;
                let full = arrived.and_then(|arrived| {
                    hand_over_whole(core, receivers, lane, inbound.channel, arrived)
                });
                if full.is_some() {
                    inbound.blocked = full;
                    inbound.waits_since.get_or_insert(core.now);
                    return Ok(Flow::Blocked);
                }
                inbound.ledger.delivered(1, bytes, core.now);
                return Ok(Flow::Next);
            }
            known.id
        }
    };
    let delivery = loop {
        let delivery = match mailbox {
            Some(mailbox) => receivers.deliver(
                core,
                &inbound.peer,
                inbound.channel,
                mailbox,
                source,
                body.clone(),
            ),
            None => Delivery::NoMailbox,
        };
        if delivery != Delivery::NoMailbox {
            break delivery;
        }
        match resolve_late(core, inbound, addressee) {
            Some(other) if mailbox != Some(other) => mailbox = Some(other),
            _ => break delivery,
        }
    };
    let reliable = core.channels[channel].reliable;
    if body.head > 0
        && let Some(why) = delivery.refusal(reliable)
    {
        core.refuse_request(lane, source.bytes(), body, why);
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

/// No mailbox has this number: lanes that wait for it wait for the end of a partition.
const PARTED: u32 = u32::MAX - 1;

/// What the lanes of a channel wait for that does not deliver while the cluster is parted.
pub(super) const fn parted(channel: usize) -> MailboxId {
    // A channel's place is a small number.
    #[expect(clippy::cast_possible_truncation, reason = "places are few")]
    MailboxId::from_words(channel as u32, PARTED)
}

/// A partition keeps the channel from delivering: its lanes wait, as if an inbox were full.
#[cold]
fn keep_from_delivery(core: &mut Core, lane: u32, inbound: &mut Inbound) -> Flow {
    let channel = usize::from(inbound.channel);
    if !core.channels[channel].reliable {
        core.lanes[lane as usize].log.tally.receive_dropped += 1;
        return Flow::Next;
    }
    inbound.blocked = Some(parted(channel));
    inbound.waits_since.get_or_insert(core.now);
    Flow::Blocked
}

/// Messages whose turn has come, those of a run: the same as [`take_in_turn`] for each of them, at most `messages_max`,
/// with what is the same for all done once. It leaves to that what is not as usual, the first of them too if need be.
#[inline]
pub(super) fn take_run_in_turn(
    core: &mut Core,
    receivers: &mut Receivers,
    inbound: &mut Inbound,
    run: &mut MessageRun<'_>,
    messages_max: u32,
) -> Handed {
    let channel = usize::from(inbound.channel);
    if !core.channels[channel].restrained.allows_delivery() {
        return Handed::default();
    }
    let known = inbound.mailboxes.get(run.mailbox()).ok();
    let known = known.filter(|known| known.stream.is_none());
    let Some(mailbox) = known.and_then(|known| known.id) else {
        return Handed::default();
    };
    let (peer, channel) = (&inbound.peer, inbound.channel);
    let handed = receivers.deliver_run(core, peer, channel, mailbox, run, messages_max);
    if handed.messages > 0 {
        let messages = u64::from(handed.messages);
        inbound
            .ledger
            .delivered(messages, handed.payload_bytes, core.now);
    }
    handed
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
fn resolve_late(
    core: &Core,
    inbound: &mut Inbound,
    addressee: &Addressee<'_>,
) -> Option<MailboxId> {
    let Addressee::Announced(id) = addressee else {
        return None;
    };
    let version = core.fabric.mailboxes.version();
    let known = inbound.mailboxes.get_mut(*id).ok()?;
    if known.looked_at == version {
        return None;
    }
    known.looked_at = version;
    known.id = core.mailbox_for_peers(inbound.channel, &known.name);
    known.id
}

impl Core {
    /// The mailbox of that name, if peers may send to it on the channel.
    pub(super) fn mailbox_for_peers(&self, channel: u16, name: &str) -> Option<MailboxId> {
        let opens = self.channels[usize::from(channel)].opens(name);
        self.fabric.mailboxes.find(name).filter(|_| opens)
    }
}
