//! Steps 1 to 3 of a message's way: capacity check, ring, doorbell.
//!
//! Called by application threads (and, for lanes of another shard, by a shard). Never blocks in
//! `try_send`, never opens a connection, never decides between priorities: that is step 4.

mod in_order;
mod large;
mod relayed;
mod several;
mod traced;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admission::{
    Admission, Way, admit, check_partition, check_size, check_size_within, lane_offset,
    payload_bytes, refused, reserve_run, run_length, why_refused,
};
use crate::attributes::Attributes;
use crate::channel_plan::ChannelEntry;
use crate::deadline::{Moment, deadline_ms};
use crate::error::{SendError, Unsent};
use crate::extended::{Extended, extended, with_extended};
use crate::fabric::Fabric;
use crate::mailboxes::Home;
use crate::message::Destination;
use crate::order_tag::OrderTag;
use crate::payload::{IntoPayload, Payload};
use crate::peer::LaneAddress;
use crate::rates::RateCaps;
use crate::ring::gate::Refusal;
use crate::ring::{PushError, Tag};
use crate::wire::Correlation;
pub(crate) use relayed::RELAY_HEAD_BYTES_MAX;
pub use several::Broadcast;
pub(crate) use waiting::{Prepared, Waiting, given_back, told, unless_expired};

/// A named class of traffic, ready to send on. Cheap to clone, usable from any thread.
#[doc = include_str!("../doc/channel.md")]
#[derive(Clone)]
pub struct Channel {
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) entry: Arc<ChannelEntry>,
    /// The node that it is of.
    pub(crate) home: Home,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.entry.name).finish()
    }
}

impl Channel {
    pub(crate) fn new(fabric: Arc<Fabric>, entry: Arc<ChannelEntry>) -> Self {
        let home = fabric.mailboxes.home();
        Self {
            fabric,
            entry,
            home,
        }
    }

    /// The channel of that name, if there is one: of what a peer says, so that it may be on its way out.
    pub(crate) fn find(fabric: &Arc<Fabric>, name: &str) -> Option<Self> {
        let plan = fabric.channels.find(name)?;
        Some(Self::new(Arc::clone(fabric), Arc::clone(&plan.entry)))
    }

    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Largest payload in bytes that this channel takes.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.entry.message_bytes_max()
    }

    /// What caps it on this node now: as configured, or as [`set_rate_caps`](Self::set_rate_caps) or a retune has
    /// changed it.
    #[must_use]
    pub fn rate_caps(&self) -> RateCaps {
        self.entry.rates.caps()
    }

    /// Caps what this node sends on the channel from now on, in place of the caps there are. What waits by the old ones goes
    /// by the new. The new caps begin without a burst, so that changing them often does not get around them. They last until
    /// they are set again, or a parameter of them is retuned.
    pub fn set_rate_caps(&self, caps: RateCaps) {
        self.fabric.set_rate_caps(&self.entry, caps);
    }

    /// Accepts a message, or says at once why not. Never blocks. Its hints, and rules that override this channel, may lead
    /// it to another one: see [`Attributes::priority`](crate::Attributes::priority) and [`Rule`](crate::config::Rule).
    ///
    /// An accepted message on a reliable channel ends acknowledged or reported; on a best-effort
    /// channel, sent or dropped (and a message that finds no room or no peer counts as accepted and
    /// dropped). A payload that was handed over comes back with the error ([`Unsent`]).
    ///
    /// A payload above `message_bytes_max`, up to the channel's `large_bytes_max`, goes as a stream by itself and is one message
    /// again at the other node; such messages are counted in [`StreamMetrics`](crate::StreamMetrics), their chunks as the channel's
    /// messages. One with attributes or a receipt does not.
    ///
    /// # Errors
    /// [`SendError::Full`] if the lane's queue is at its bound (policies `reject` and `block`), or as many bytes go to the peer as streams as may,
    /// [`SendError::Unreachable`] if the peer is not connected (on a channel that keeps its messages, and not expected
    /// back), [`SendError::TooLarge`] above
    /// `message_bytes_max` and `large_bytes_max`, [`SendError::Attributes`], [`SendError::OldPeer`] and [`SendError::NoSuchHint`] for an
    /// [`Envelope`](crate::Envelope),
    /// [`SendError::OtherNode`] if the destination is of another node, [`SendError::Closed`] once the
    /// node stops.
    pub fn try_send<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        if self.may_steer(&payload) {
            let (channel, message) = self.steer(to, payload)?;
            return channel.try_send_as_named(to, message).map_err(P::unsent);
        }
        self.try_send_as_named(to, payload)
    }

    /// On this very channel, whatever rules say.
    #[inline]
    pub(crate) fn try_send_as_named<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        if let Some(attributes) = self.attributes(to, &payload) {
            return self.try_send_extended(to, attributes, payload);
        }
        let payload = payload.into_payload();
        if let Some(attributes) = self.begin_trace(to, &payload) {
            let sent = self.try_send_extended(to, attributes, payload);
            return sent.map_err(P::unsent);
        }
        self.try_send_on(to, Way::plain(self.lane_offset(to)), payload)
            .map_err(P::unsent)
    }

    /// What goes with a message besides its payload: on a monotonic channel, the destination's key.
    #[inline]
    pub(crate) fn attributes<'a>(
        &self,
        to: &Destination,
        payload: &impl IntoPayload<'a>,
    ) -> Option<Attributes<'a>> {
        let attributes = payload.attributes();
        match to.key {
            Some(key) if self.entry.monotonic => Some(attributes.unwrap_or_default().key(key)),
            _ => attributes,
        }
    }

    fn try_send_extended<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        attributes: Attributes<'a>,
        payload: P,
    ) -> Result<(), P::Error> {
        let payload = payload.into_payload();
        let sent = self.extend(to, attributes, &payload, |extended| {
            let way = Way::extended(self.lane_offset(to), extended.head);
            self.try_send_on(to, way, extended.payload)
                .map_err(SendError::from)
        });
        sent.map_err(|error| P::unsent(Unsent { error, payload }))
    }

    /// Puts a message together for `send`, which may not wait.
    pub(crate) fn extend(
        &self,
        to: &Destination,
        attributes: Attributes<'_>,
        payload: &Payload<'_>,
        send: impl FnOnce(Extended<'_>) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        check_size_within(self.message_bytes_max(), payload.len())?;
        let (_, due) = self.due(&attributes)?;
        let (attributes, span) = self.record(to, attributes, payload.len(), true);
        let inline_bytes_max = self.fabric.config.inline_bytes_max;
        let pool = &self.fabric.payloads;
        let payload = payload.as_slice();
        let sent = with_extended(pool, inline_bytes_max, &attributes, due, payload, send);
        let sent = sent.unwrap_or_else(|error| Err(error.into()));
        if let Some(span) = span {
            span.tried(sent.as_ref().err());
        }
        sent
    }

    /// Until when a message is worth anything, by both clocks; refused if it is not any more.
    fn due(
        &self,
        attributes: &Attributes<'_>,
    ) -> Result<(Option<Instant>, Option<Moment>), SendError> {
        let Some(worth) = attributes.worth() else {
            return Ok((None, None));
        };
        let ms = deadline_ms(worth);
        if ms == 0 {
            return Err(SendError::Expired);
        }
        let now = Instant::now();
        let moment = self.fabric.clock.ms(now).plus(ms);
        Ok((Some(now + Duration::from_millis(ms.into())), Some(moment)))
    }

    /// A message that may wait for its room, on the channel that it is led to.
    pub(crate) fn prepare<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Prepared<'a>, P::Error> {
        if !self.may_steer(&payload) {
            return self.prepare_as_named(to, payload);
        }
        let (channel, message) = self.steer(to, payload)?;
        let prepared = channel.prepare_as_named(to, message).map_err(P::unsent)?;
        Ok(Prepared {
            steered: Some(channel),
            ..prepared
        })
    }

    /// The same on this very channel, whatever rules say.
    pub(crate) fn prepare_as_named<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Prepared<'a>, P::Error> {
        let attributes = self.attributes(to, &payload);
        let payload = payload.into_payload();
        let attributes = attributes.or_else(|| self.begin_trace(to, &payload));
        let Some(attributes) = attributes else {
            return Ok(Prepared {
                steered: None,
                waiting: Waiting::plain(self.lane_offset(to), payload),
                original: None,
            });
        };
        match self.extend_to_wait(to, None, &attributes, &payload) {
            Ok(waiting) => Ok(Prepared {
                steered: None,
                waiting,
                original: Some(payload),
            }),
            Err(error) => Err(P::unsent(Unsent { error, payload })),
        }
    }

    /// Puts a message together that may wait for its room.
    pub(crate) fn extend_to_wait(
        &self,
        to: &Destination,
        correlation: Option<Correlation>,
        attributes: &Attributes<'_>,
        payload: &Payload<'_>,
    ) -> Result<Waiting<'static>, SendError> {
        check_size_within(self.message_bytes_max(), payload.len())?;
        let (deadline, due) = self.due(attributes)?;
        let (attributes, span) = self.record(to, *attributes, payload.len(), true);
        let pool = &self.fabric.payloads;
        let message = extended(pool, correlation, &attributes, due, payload.as_slice())?;
        Ok(Waiting {
            way: Way::extended(self.lane_offset(to), message.head),
            payload: message.payload,
            deadline,
            span,
        })
    }

    #[inline]
    pub(crate) fn lane_offset(&self, to: &Destination) -> usize {
        lane_offset(&self.entry, to)
    }

    #[inline]
    pub(crate) fn try_send_on<'p>(
        &self,
        to: &Destination,
        way: Way,
        payload: Payload<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        self.attempt(to, way, payload)
            .map_err(NotAccepted::into_unsent)
    }

    /// Tries once, on the peer's lane at `offset`.
    #[inline]
    fn attempt<'p>(
        &self,
        to: &Destination,
        way: Way,
        payload: Payload<'p>,
    ) -> Result<(), NotAccepted<'p>> {
        if to.home != self.home {
            return Err(NotAccepted::new(SendError::OtherNode, payload));
        }
        if let Some((book, ttl)) = self.relay_for(to, way) {
            return self.attempt_over_others(book, ttl, to, way, payload);
        }
        match &self.entry.causal {
            // What a node sends to itself goes no way on which it could be late.
            Some(order) if !to.peer.is_self() => self.attempt_in_order(order, to, way, payload),
            _ => self.attempt_as_it_is(to, way, payload),
        }
    }

    /// The same for a message that says all it is to say.
    #[inline]
    fn attempt_as_it_is<'p>(
        &self,
        to: &Destination,
        way: Way,
        payload: Payload<'p>,
    ) -> Result<(), NotAccepted<'p>> {
        let channel = &self.entry;
        let lane = to.peer.lane(way.offset);
        let admitted = check_partition(channel, &to.peer)
            .and_then(|()| check_size(channel, lane, way.head, payload.len()))
            .and_then(|()| admit(channel, &lane.gate, way, payload.len()));
        match admitted {
            Ok(Admission::Queue) => {}
            Ok(Admission::Dropped) => {
                self.fabric.note_dropped(way.head, &payload);
                return Ok(());
            }
            Err(error @ SendError::TooLarge { .. }) => {
                return self.attempt_as_stream(to, way, error, payload);
            }
            Err(error) => return Err(NotAccepted::new(error, payload)),
        }
        self.push(lane, way, tag_for(to, way), payload)
    }

    /// Steps 2 and 3: into the ring of the lane's shard, and its doorbell.
    #[inline]
    fn push<'p>(
        &self,
        lane: &LaneAddress,
        way: Way,
        tag: Tag,
        payload: Payload<'p>,
    ) -> Result<(), NotAccepted<'p>> {
        let shard = &self.fabric.shards[lane.shard()];
        let ring = &self.entry.rings[lane.shard()];
        let pushed = if payload.len() <= self.fabric.config.inline_bytes_max {
            ring.try_push(tag, payload.as_slice())
                .map_err(|error| (error, payload))
        } else {
            let shared = payload.into_shared(&self.fabric.payloads);
            let pushed = ring.try_push_shared(tag, shared);
            pushed.map_err(|(error, payload)| (error, Payload::Shared(payload)))
        };
        match pushed {
            Ok(()) => {
                shard.doorbell.ring();
                Ok(())
            }
            Err((error, payload)) => self.not_pushed(lane, way, error, payload),
        }
    }

    /// The ring had no room: the lane's policy decides, as for a full queue.
    #[cold]
    fn not_pushed<'p>(
        &self,
        lane: &LaneAddress,
        way: Way,
        error: PushError,
        payload: Payload<'p>,
    ) -> Result<(), NotAccepted<'p>> {
        lane.gate.take_back(1, payload.len() as u64);
        match error {
            PushError::Closed => {
                let error = why_refused(&self.entry, Refusal::Closed);
                Err(NotAccepted::new(error, payload))
            }
            PushError::Full | PushError::TooLarge
                if self.entry.drops_overflow() && !way.is_awaited =>
            {
                lane.gate.count_drop(1);
                self.fabric.note_dropped(way.head, &payload);
                Ok(())
            }
            PushError::Full | PushError::TooLarge => Err(NotAccepted {
                why: Hindrance::RingFull,
                payload,
            }),
        }
    }

    /// Accepts as many of `payloads`, in order, as there is room for at this moment: one claim in the
    /// ring and one doorbell for all of them. Returns how many; the rest are the caller's still.
    ///
    /// Payloads above `inline_bytes_max` are copied one by one, as with [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), if not even the first was accepted.
    pub fn send_many(&self, to: &Destination, payloads: &[&[u8]]) -> Result<usize, SendError> {
        if to.home != self.home {
            return Err(SendError::OtherNode);
        }
        let channel = &self.entry;
        let lane = to.peer.lane(channel.first_lane);
        let mut done = 0;
        while done < payloads.len() {
            let rest = &payloads[done..];
            let run = run_length(channel, lane, self.fabric.config.inline_bytes_max, rest);
            let steered = self.fabric.rules.may_override(channel);
            let sent = if run > 1 && channel.takes_runs() && !steered {
                self.send_in_parts(
                    self,
                    to,
                    &rest[..run],
                    |channel, plain| channel.send_run(to, plain),
                    |channel, attributes, payload| {
                        channel.try_send_extended(to, attributes, payload)
                    },
                )
            } else {
                self.try_send(to, rest[0]).map(|()| 1)
            };
            match sent {
                Ok(count) => done += count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Inline payloads, with one reservation and one claim.
    fn send_run(&self, to: &Destination, payloads: &[&[u8]]) -> Result<usize, SendError> {
        if to.home != self.home {
            return Err(SendError::OtherNode);
        }
        let channel = &self.entry;
        check_partition(channel, &to.peer)?;
        let offset = lane_offset(channel, to);
        let lane = to.peer.lane(offset);
        let (count, reserved) = match reserve_run(&lane.gate, payloads) {
            Ok(reserved) => reserved,
            Err(refusal) => return refused(channel, &lane.gate, refusal).map(|_| 1),
        };
        let shard = &self.fabric.shards[lane.shard()];
        let ring = &self.entry.rings[lane.shard()];
        match ring.try_push_many(tag_for(to, Way::plain(offset)), &payloads[..count]) {
            Ok(pushed) => {
                let taken = payload_bytes(&payloads[..pushed]);
                lane.gate
                    .take_back((count - pushed) as u64, reserved - taken);
                shard.doorbell.ring();
                Ok(pushed)
            }
            Err(error) => {
                lane.gate.take_back(count as u64, reserved);
                Err(if error == PushError::Closed {
                    why_refused(&self.entry, Refusal::Closed)
                } else {
                    SendError::Full
                })
            }
        }
    }
}

/// In a record's tag: its payload begins with an extension. The other bits are an [`OrderTag`]'s and the high
/// ones of a mailbox's number.
pub(crate) const EXTENDED: u32 = 1 << 31;

/// What the ring carries beside the payload.
#[inline]
fn tag_for(to: &Destination, way: Way) -> Tag {
    let (mailbox, high) = to.mailbox.id().to_words();
    let extra = OrderTag::of(to.key).beside(high);
    Tag {
        lane: to.peer.lane_number(way.offset).word(),
        mailbox,
        extra: if way.head > 0 {
            extra | EXTENDED
        } else {
            extra
        },
    }
}

/// A message that was not accepted.
struct NotAccepted<'p> {
    why: Hindrance,
    payload: Payload<'p>,
}

/// Why an attempt was not accepted: for those who wait, it matters what is full.
#[derive(PartialEq, Eq)]
enum Hindrance {
    /// The ring that all lanes of this channel on that shard share has no room.
    RingFull,
    /// If that is [`SendError::Full`], the lane's queue is at its bound.
    Error(SendError),
}

impl Hindrance {
    fn is_full(&self) -> bool {
        matches!(self, Self::RingFull | Self::Error(SendError::Full))
    }
}

impl<'p> NotAccepted<'p> {
    fn new(error: SendError, payload: Payload<'p>) -> Self {
        Self {
            why: Hindrance::Error(error),
            payload,
        }
    }

    fn into_unsent(self) -> Unsent<Payload<'p>> {
        Unsent {
            error: match self.why {
                Hindrance::RingFull => SendError::Full,
                Hindrance::Error(error) => error,
            },
            payload: self.payload,
        }
    }
}
