//! Sending from the shard itself: from a handler while it runs, and from a task that lives there.
//!
//! No ring and no doorbell when the lane is this shard's own: the message goes straight into the
//! lane's outbox. For a lane of another shard it goes the way of any thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::outbox::OutgoingMessage;
use super::timers::Deadline;
use super::{Core, Shard};
use crate::admission::{
    Admission, Way, admit, check_partition, check_size, refused, reserve_run, run_length,
};
use crate::attributes::Attributes;
use crate::channel::{Channel, Waiting, given_back, told, unless_expired};
use crate::deadline::deadline_in;
use crate::error::{SendError, Unsent};
use crate::fabric::Fabric;
use crate::mailboxes::MailboxId;
use crate::message::{Destination, ReplyHandle};
use crate::order_tag::OrderTag;
use crate::payload::{IntoPayload, Payload};

/// What a handler can do besides reading its message.
#[doc = include_str!("../../doc/shard_context.md")]
#[derive(Debug)]
pub struct ShardContext<'a> {
    pub(crate) core: &'a mut Core,
}

impl ShardContext<'_> {
    /// Accepts a message, or says at once why not; see [`Channel::try_send`].
    ///
    /// # Errors
    /// As [`Channel::try_send`].
    #[inline]
    pub fn try_send<'p, P: IntoPayload<'p>>(
        &mut self,
        channel: &Channel,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        self.core.try_send_here(channel, to, payload)
    }

    /// Answers a request, or says at once why not; see [`Channel::try_reply`].
    ///
    /// # Errors
    /// As [`Channel::try_send`].
    pub fn try_reply<'p, P: IntoPayload<'p>>(
        &mut self,
        channel: &Channel,
        to: &ReplyHandle,
        payload: P,
    ) -> Result<(), P::Error> {
        let attributes = payload.attributes().unwrap_or_default();
        let payload = payload.into_payload();
        let sent = channel
            .encode_reply(to, &attributes, &payload)
            .and_then(|reply| {
                let Waiting {
                    payload, way, span, ..
                } = reply;
                let sent = self.core.send_here(channel, &to.to, way, payload);
                Ok(told(span, sent)?)
            });
        sent.map_err(|error| P::unsent(Unsent { error, payload }))
    }

    /// Which shard this is, from 0.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.core.index
    }
}

/// A task's hold on its shard. It stays on the shard's thread.
#[doc = include_str!("../../doc/shard_handle.md")]
#[derive(Clone)]
pub struct ShardHandle {
    pub(crate) shard: Rc<RefCell<Shard>>,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) index: usize,
}

impl ShardHandle {
    /// Accepts a message, or says at once why not; see [`Channel::try_send`].
    ///
    /// # Errors
    /// As [`Channel::try_send`].
    #[inline]
    pub fn try_send<'p, P: IntoPayload<'p>>(
        &self,
        channel: &Channel,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        let core = &mut self.shard.borrow_mut().core;
        core.try_send_here(channel, to, payload)
    }

    #[inline]
    fn try_send_on<'p>(
        &self,
        channel: &Channel,
        to: &Destination,
        way: Way,
        payload: Payload<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let mut shard = self.shard.borrow_mut();
        shard.core.send_here(channel, to, way, payload)
    }

    /// Accepts as many of `payloads`, in order, as there is room for now; returns how many.
    ///
    /// # Errors
    /// As [`Channel::try_send`], if not even the first was accepted.
    pub fn send_many(
        &self,
        channel: &Channel,
        to: &Destination,
        payloads: &[&[u8]],
    ) -> Result<usize, SendError> {
        let mut shard = self.shard.borrow_mut();
        let mut sent = 0;
        while sent < payloads.len() {
            match shard.core.send_some_here(channel, to, &payloads[sent..]) {
                Ok(count) => sent += count,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Accepts a message, waiting for room if the channel's policy is `block`; meanwhile the shard
    /// goes on.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub async fn send<'p, P: IntoPayload<'p>>(
        &self,
        channel: &Channel,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        let prepared = channel.prepare(to, payload)?;
        let channel = prepared.steered.as_ref().unwrap_or(channel);
        let sent = self.send_on(channel, to, prepared.waiting).await;
        sent.map_err(|unsent| P::unsent(given_back(prepared.original, unsent)))
    }

    async fn send_on<'p>(
        &self,
        channel: &Channel,
        to: &Destination,
        mut waiting: Waiting<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let span = waiting.span.take();
        told(span, self.send_from_here(channel, to, waiting).await)
    }

    async fn send_from_here<'p>(
        &self,
        channel: &Channel,
        to: &Destination,
        waiting: Waiting<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        if !goes_straight(&self.fabric, channel, to)
            || to.peer.lane(waiting.way.offset).shard() != self.index
        {
            // It takes the way of any thread, where the ring can be full as well as the lane.
            return channel.send_on(to, waiting).await;
        }
        let (way, deadline, mut payload) = (waiting.way, waiting.deadline, waiting.payload);
        loop {
            match self.try_send_on(channel, to, way, payload) {
                Err(full) if full.error == SendError::Full && channel.waits() => {
                    payload = full.payload;
                }
                outcome => return outcome,
            }
            let room = to.peer.lane(way.offset).gate.listen();
            match self.try_send_on(channel, to, way, payload) {
                Err(full) if full.error == SendError::Full => {
                    room.await;
                    payload = unless_expired(deadline, full.payload)?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Lets the shard take a turn, and its other tasks run.
    pub async fn yield_now(&self) {
        let mut waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            self.shard.borrow_mut().core.tasks.turn_waiters.push(waker);
            Poll::Pending
        })
        .await;
    }

    /// Waits for `duration`, to the precision of a turn. The shard's own clock: timers of other
    /// runtimes work on a shard only if they wake from a thread of their own.
    pub async fn sleep(&self, duration: Duration) {
        let until = deadline_in(duration);
        let mut key = None;
        std::future::poll_fn(|context| {
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            let core = &mut self.shard.borrow_mut().core;
            let key = *key.get_or_insert_with(|| core.new_sleeper(until));
            core.tasks.sleepers.insert(key, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Which shard this is, from 0.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.index
    }
}

impl std::fmt::Debug for ShardHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ShardHandle")
            .field("shard", &self.index)
            .finish()
    }
}

impl Core {
    /// Sets the deadline of a task that sleeps; under the key returned its waker is looked for.
    fn new_sleeper(&mut self, until: Instant) -> u64 {
        let key = self.tasks.new_sleeper();
        self.timers.set(until, Deadline::Sleeper { key });
        key
    }

    /// Whether messages go [straight](goes_straight) to a lane of this node, and the channel is there: what lies at its
    /// place and its lanes may be another's otherwise.
    #[inline]
    fn is_of_here(&self, channel: &Channel, to: &Destination) -> bool {
        goes_straight(&self.fabric, channel, to) && !channel.entry.is_removed()
    }

    /// Sends from this very shard, on the channel that the message is led to.
    #[inline]
    fn try_send_here<'p, P: IntoPayload<'p>>(
        &mut self,
        channel: &Channel,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        if channel.may_steer(&payload) {
            let (channel, message) = channel.steer(to, payload)?;
            let sent = self.try_send_as_named_here(&channel, to, message);
            return sent.map_err(P::unsent);
        }
        self.try_send_as_named_here(channel, to, payload)
    }

    #[inline]
    fn try_send_as_named_here<'p, P: IntoPayload<'p>>(
        &mut self,
        channel: &Channel,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        if let Some(attributes) = channel.attributes(to, &payload) {
            return self.send_extended_here(channel, to, attributes, payload);
        }
        let payload = payload.into_payload();
        if let Some(attributes) = channel.begin_trace(to, &payload) {
            let sent = self.send_extended_here(channel, to, attributes, payload);
            return sent.map_err(P::unsent);
        }
        let way = Way::plain(channel.lane_offset(to));
        self.send_here(channel, to, way, payload).map_err(P::unsent)
    }

    /// Steps 1 to 4 in one, for a sender on this very shard.
    #[inline]
    pub(crate) fn send_here<'p>(
        &mut self,
        channel: &Channel,
        to: &Destination,
        way: Way,
        payload: Payload<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let is_here = self.is_of_here(channel, to);
        let lane = is_here.then(|| self.lane_numbered(to.peer.lane_number(way.offset)));
        let Some(index) = lane.flatten() else {
            // The lane is another shard's or another node's, or of a peer without a place.
            return channel.try_send_on(to, way, payload);
        };
        match self.admit_here(channel.entry.index, index, way, payload.len()) {
            Ok(Admission::Queue) => {}
            Ok(Admission::Dropped) => {
                self.fabric.note_dropped(way.head, &payload);
                return Ok(());
            }
            // It may go as a stream.
            Err(SendError::TooLarge { .. }) => return channel.try_send_on(to, way, payload),
            Err(error) => return Err(Unsent { error, payload }),
        }
        let payload = if payload.len() <= self.fabric.config.inline_bytes_max {
            Payload::Borrowed(payload.as_slice())
        } else {
            Payload::Shared(payload.into_shared(&self.fabric.payloads))
        };
        let plan = &self.channels[channel.entry.index];
        let lane = &mut self.lanes[index as usize];
        let message = OutgoingMessage {
            mailbox: to.mailbox.id(),
            order: OrderTag::of(to.key),
            is_extended: way.head > 0,
            payload,
        };
        self.sending.put(index, lane, plan, &self.fabric, message);
        self.seek_demanded();
        Ok(())
    }

    /// The same for a message that says more than its payload.
    fn send_extended_here<'p, P: IntoPayload<'p>>(
        &mut self,
        channel: &Channel,
        to: &Destination,
        attributes: Attributes<'p>,
        payload: P,
    ) -> Result<(), P::Error> {
        let payload = payload.into_payload();
        let sent = channel.extend(to, attributes, &payload, |extended| {
            let way = Way::extended(channel.lane_offset(to), extended.head);
            self.send_here(channel, to, way, extended.payload)
                .map_err(SendError::from)
        });
        sent.map_err(|error| P::unsent(Unsent { error, payload }))
    }

    /// Sends the first of `payloads`, and with it as many as can go together; returns how many.
    fn send_some_here(
        &mut self,
        channel: &Channel,
        to: &Destination,
        payloads: &[&[u8]],
    ) -> Result<usize, SendError> {
        if channel.may_steer(&payloads[0]) {
            return self.try_send_here(channel, to, payloads[0]).map(|()| 1);
        }
        let offset = channel.lane_offset(to);
        let plan = &channel.entry;
        // Without a key, messages of an unordered channel take each lane in turn.
        let one_lane = plan.parallelism == 1 || !plan.unordered || to.key.is_some();
        let takes_runs = one_lane && plan.takes_runs();
        if self.is_of_here(channel, to)
            && takes_runs
            && let Some(index) = self.lane_numbered(to.peer.lane_number(offset))
            && self.lanes[index as usize].takes_runs()
        {
            let lane = to.peer.lane(offset);
            let plan = &self.channels[channel.entry.index];
            let run = run_length(plan, lane, self.fabric.config.inline_bytes_max, payloads);
            if run > 1 {
                let place = (to.mailbox.id(), OrderTag::of(to.key));
                return channel.send_in_parts(
                    self,
                    to,
                    &payloads[..run],
                    |core, plain| core.send_run_here(channel.entry.index, index, place, plain),
                    |core, attributes, payload| {
                        core.send_extended_here(channel, to, attributes, payload)
                    },
                );
            }
        }
        self.try_send_as_named_here(channel, to, payloads[0])
            .map(|()| 1)
    }

    /// Copied payloads to a lane of this shard, with one reservation.
    fn send_run_here(
        &mut self,
        channel: usize,
        index: u32,
        to: (MailboxId, OrderTag),
        payloads: &[&[u8]],
    ) -> Result<usize, SendError> {
        let plan = &self.channels[channel];
        let lane = &mut self.lanes[index as usize];
        check_partition(plan, &lane.peer)?;
        let (count, _) = match reserve_run(&lane.address().gate, payloads) {
            Ok(reserved) => reserved,
            Err(refusal) => return refused(plan, &lane.address().gate, refusal).map(|_| 1),
        };
        let run = &payloads[..count];
        self.sending.put_run(index, lane, &self.fabric, to, run);
        Ok(count)
    }

    /// Step 1, for a lane of this shard.
    #[inline]
    fn admit_here(
        &self,
        channel: usize,
        index: u32,
        way: Way,
        bytes: usize,
    ) -> Result<Admission, SendError> {
        let plan = &self.channels[channel];
        let lane = &self.lanes[index as usize];
        check_partition(plan, &lane.peer)?;
        check_size(plan, lane.address(), way.head, bytes)?;
        let admission = admit(plan, &lane.address().gate, way, bytes)?;
        if matches!(admission, Admission::Queue) && !lane.accepts_messages() {
            lane.address().gate.take_back(1, bytes as u64);
            return Err(SendError::Unreachable);
        }
        Ok(admission)
    }
}

/// Whether both are of this node, and who sends on a shard puts messages into the lane: all who send on a causal channel,
/// or on one that passes messages on over others, take the way of any thread.
#[inline]
fn goes_straight(fabric: &Fabric, channel: &Channel, to: &Destination) -> bool {
    channel.home == fabric.mailboxes.home()
        && to.home == channel.home
        && channel.entry.causal.is_none()
        && channel.entry.relay_ttl().is_none()
}
