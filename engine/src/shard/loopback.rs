//! Messages of a node to itself: from the lane's outbox to the receiver, without a socket.
//!
//! Called by the turn for the lanes to this very node. The frames are the same as those that cross
//! the network, and so are the ledgers: delivered is acknowledged at once.

use std::sync::Arc;

use super::deliver::{Body, Delivery, Receivers, Source};
use super::outbox::Outbox;
use super::whole::hand_over_whole;
use super::{Core, Shard, exchange};
use crate::awaited::Awaited;
use crate::config::Reliability;
use crate::deadline::Moment;
use crate::delivery::Acknowledged;
use crate::mailboxes::MailboxId;
use crate::payload::Payload;
use crate::peer::Peer;
use crate::wire::extension::{deadline_of, set_deadline};

/// Messages that loop back in one turn before other lanes are looked at.
const MESSAGES_PER_TURN: usize = 4096;

impl Shard {
    /// Delivers what waits in the outbox of a lane to this node itself. True if anything moved.
    pub(crate) fn loop_back(&mut self, lane: u32) -> bool {
        if self.core.lanes[lane as usize].log.first_due().is_some() {
            self.core.mind_deadlines(lane);
        }
        let Self { core, receivers } = self;
        // Taken out, so that a handler may send to its own node.
        let taken = &mut core.lanes[lane as usize].log.outbox;
        let mut outbox = std::mem::replace(taken, Outbox::noting_mailboxes());
        let mut moved = 0;
        while moved < MESSAGES_PER_TURN {
            let Some((delivery, mailbox)) = deliver_front(core, receivers, lane, &outbox) else {
                break;
            };
            let reliable =
                core.lanes[lane as usize].log.ledger.reliability() != Reliability::BestEffort;
            if delivery == Delivery::NoRoom && reliable {
                core.note_blocked(lane, mailbox);
                break;
            }
            let Some(dropped) = outbox.drop_front(&mut core.sending.pool) else {
                break;
            };
            if let Some(Awaited::Receipt(number)) = dropped.awaited {
                let processed = Acknowledged {
                    messages: 1,
                    refused: u64::from(delivery == Delivery::NoMailbox),
                    late: 0,
                };
                core.fabric.receipts.processed([number], processed);
            }
            settle(core, lane, delivery, dropped.bytes);
            moved += 1;
        }
        let state = &mut core.lanes[lane as usize];
        // What handlers sent meanwhile goes behind what was there.
        let newer = std::mem::replace(&mut state.log.outbox, outbox);
        state.log.outbox.append(newer);
        if moved == MESSAGES_PER_TURN || (!state.log.outbox.is_empty() && !state.is_waiting()) {
            core.mark_ready(lane);
        }
        moved > 0
    }
}

/// What becomes of the message at the front, and at which mailbox.
fn deliver_front(
    core: &mut Core,
    receivers: &mut Receivers,
    lane: u32,
    outbox: &Outbox,
) -> Option<(Delivery, MailboxId)> {
    let front = outbox.front()?;
    let state = &core.lanes[lane as usize];
    let channel = u16::try_from(state.channel).unwrap_or(u16::MAX);
    let peer = state.peer.clone();
    let mut to = Front {
        peer,
        channel,
        mailbox: front.mailbox?,
        lane,
    };
    let mut payload = front.payload;
    if front.is_extended
        && let Some(due) = deadline_of(payload.as_slice())
    {
        // As a batch has it that goes to the kernel: what is left of it.
        let left_ms = Moment(due).left_ms(core.fabric.clock.ms(core.now));
        let mut bytes = payload.as_slice().to_vec();
        set_deadline(&mut bytes, left_ms.unwrap_or(0));
        payload = Payload::Shared(bytes.into());
    }
    let body = Body::whole(payload.as_slice(), front.is_extended);
    let delivery = to.deliver(core, receivers, &mut payload, body);
    Some((delivery, to.mailbox))
}

/// The message at the front of a lane to this node itself, without its bytes.
struct Front {
    peer: Arc<Peer>,
    channel: u16,
    mailbox: MailboxId,
    lane: u32,
}

impl Front {
    fn deliver(
        &mut self,
        core: &mut Core,
        receivers: &mut Receivers,
        source: &mut impl Source,
        body: Body,
    ) -> Delivery {
        let channel = usize::from(self.channel);
        core.came = core.now;
        if body.head > 0
            && exchange::take_answer(
                &core.fabric,
                &self.peer,
                (channel, &core.channels[channel].name),
                source,
                &body,
                core.now,
            )
        {
            return Delivery::Delivered;
        }
        let delivery = receivers.deliver(
            core,
            &self.peer,
            self.channel,
            self.mailbox,
            source,
            body.clone(),
        );
        if delivery == Delivery::NoMailbox
            && let Some(place) = core.own_stream_place(self.mailbox)
        {
            let taken = core.take_of_stream(self.lane, place, source, &body);
            debug_assert!(taken.is_ok(), "a node keeps its own rules");
            let arrived = taken.ok().flatten();
            let full = arrived.and_then(|arrived| {
                hand_over_whole(core, receivers, self.lane, self.channel, arrived)
            });
            let Some(full) = full else {
                return Delivery::Delivered;
            };
            self.mailbox = full;
            return Delivery::NoRoom;
        }
        let reliable = core.channels[channel].reliable;
        if body.head > 0
            && let Some(why) = delivery.refusal(reliable)
        {
            core.refuse_request(self.lane, source.bytes(), &body, why);
        }
        delivery
    }
}

/// Both ledgers at once: handed over, delivered or refused, acknowledged.
fn settle(core: &mut Core, lane: u32, delivery: Delivery, bytes: u64) {
    let now = core.now;
    let state = &mut core.lanes[lane as usize];
    state.address().gate.release(1, bytes);
    state.log.ledger.handed_over(1, bytes, now);
    if state.settle_streams() {
        core.sending.mark_ready(lane, state);
    }
    let Some(inbound) = &mut state.link.inbound else {
        return;
    };
    match delivery {
        Delivery::Delivered | Delivery::Panicked => inbound.ledger.delivered(1, bytes, now),
        Delivery::NoMailbox if state.log.ledger.reliability() != Reliability::BestEffort => {
            inbound.ledger.refused(1, bytes, now);
        }
        Delivery::NoMailbox | Delivery::NoRoom => state.log.tally.receive_dropped += 1,
    }
    let Some(ack) = inbound.ledger.take_ack() else {
        return;
    };
    let channel = state.channel;
    let latencies = &mut core.tally.latencies;
    let taken = state.log.acknowledge(ack, now, |latency, messages| {
        latencies.record(channel, latency, messages);
    });
    debug_assert!(
        taken.is_ok(),
        "a node acknowledges to itself what it sent to itself"
    );
    if ack.refused > 0 {
        core.report_refused(lane, u64::from(ack.refused), u64::from(ack.late));
    }
}
