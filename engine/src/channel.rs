//! Steps 1 to 3 of a message's way: capacity check, ring, doorbell.
//!
//! Called by application threads (and, for lanes of another shard, by a shard). Never blocks in
//! `try_send`, never opens a connection, never decides between priorities: that is step 4.

use std::sync::Arc;

use event_listener::{EventListener, Listener};

use crate::admission::{Admission, admit, check_size, lane_offset, refused};
use crate::channel_plan::ChannelPlan;
use crate::config::Overflow;
use crate::error::SendError;
use crate::fabric::Fabric;
use crate::message::{Destination, MailboxId, Payload};
use crate::peer::{LaneAddress, Peer};
use crate::ring::gate::{GateState, Refusal};
use crate::ring::{PushError, Tag};

/// A named class of traffic, ready to send on. Cheap to clone, usable from any thread.
#[doc = include_str!("../doc/channel.md")]
#[derive(Clone, Debug)]
pub struct Channel {
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) index: usize,
}

/// What a broadcast came to.
#[derive(Clone, Debug, Default)]
pub struct Broadcast {
    /// Peers whose lane accepted the message.
    pub accepted: usize,
    /// Peers that did not get it, and why.
    pub refused: Vec<(Arc<Peer>, SendError)>,
}

impl Channel {
    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan().name
    }

    /// Largest payload in bytes that this channel takes.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.plan().config.message_bytes_max
    }

    pub(crate) fn plan(&self) -> &ChannelPlan {
        &self.fabric.channels[self.index]
    }

    /// Accepts a message, or says at once why not. Never blocks.
    ///
    /// An accepted message on a reliable channel ends acknowledged or reported; on a best-effort
    /// channel, sent or dropped (and a message that finds no room or no peer counts as accepted and
    /// dropped).
    ///
    /// # Errors
    /// [`SendError::Full`] if the lane's queue is at its bound (policies `reject` and `block`),
    /// [`SendError::Unreachable`] without a lane, [`SendError::TooLarge`] above `message_bytes_max`,
    /// [`SendError::Closed`] once the node stops.
    pub fn try_send<'a>(
        &self,
        to: &Destination,
        payload: impl Into<Payload<'a>>,
    ) -> Result<(), SendError> {
        self.try_send_on(to, lane_offset(self.plan(), to), payload.into())
    }

    #[inline]
    pub(crate) fn try_send_on(
        &self,
        to: &Destination,
        offset: usize,
        payload: Payload<'_>,
    ) -> Result<(), SendError> {
        self.attempt(to, offset, payload)
            .map_err(NotAccepted::into_error)
    }

    /// Tries once, on the peer's lane at `offset`.
    #[inline]
    fn attempt(
        &self,
        to: &Destination,
        offset: usize,
        payload: Payload<'_>,
    ) -> Result<(), NotAccepted> {
        let plan = self.plan();
        let lane = to.peer.lane(offset);
        check_size(plan, payload.len()).map_err(NotAccepted::Error)?;
        match admit(plan, &lane.gate, payload.len()) {
            Ok(Admission::Queue) => {}
            Ok(Admission::Dropped) => return Ok(()),
            Err(SendError::Full) => return Err(NotAccepted::LaneFull),
            Err(error) => return Err(NotAccepted::Error(error)),
        }
        let tag = Tag {
            lane: to.peer.lane_number(offset),
            mailbox: to.mailbox.0,
            extra: 0,
        };
        self.push(lane, tag, payload)
    }

    /// Steps 2 and 3: into the ring of the lane's shard, and its doorbell.
    #[inline]
    fn push(&self, lane: &LaneAddress, tag: Tag, payload: Payload<'_>) -> Result<(), NotAccepted> {
        let shard = &self.fabric.shards[usize::from(lane.shard)];
        let ring = &shard.rings[self.index];
        let bytes = payload.len();
        let pushed = if bytes <= self.fabric.config.inline_bytes_max {
            ring.try_push(tag, payload.as_slice())
        } else {
            let shared = payload.into_shared(&self.fabric.payloads);
            ring.try_push_shared(tag, shared)
                .map_err(|(error, _)| error)
        };
        match pushed {
            Ok(()) => {
                shard.doorbell.ring();
                Ok(())
            }
            Err(error) => self.not_pushed(lane, bytes, error),
        }
    }

    /// The ring had no room: the lane's policy decides, as for a full queue.
    #[cold]
    fn not_pushed(
        &self,
        lane: &LaneAddress,
        bytes: usize,
        error: PushError,
    ) -> Result<(), NotAccepted> {
        lane.gate.take_back(1, bytes as u64);
        match error {
            PushError::Closed => Err(NotAccepted::Error(SendError::Closed)),
            PushError::Full | PushError::TooLarge if self.plan().drops_overflow() => {
                lane.gate.count_drop(1);
                Ok(())
            }
            PushError::Full | PushError::TooLarge => Err(NotAccepted::RingFull),
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
        let plan = self.plan();
        // What is too large ends a run, and is refused by itself.
        let inline_bytes_max = self.fabric.config.inline_bytes_max;
        let run_bytes_max = inline_bytes_max.min(self.message_bytes_max());
        let mut done = 0;
        while done < payloads.len() {
            let rest = &payloads[done..];
            let run = rest
                .iter()
                .take_while(|payload| payload.len() <= run_bytes_max)
                .count();
            let sent = if run > 1 && !plan.drops_overflow() {
                self.send_run(to, &rest[..run])
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
        let plan = self.plan();
        let offset = lane_offset(plan, to);
        let lane = to.peer.lane(offset);
        // A reservation is all or nothing: halve the run until it fits.
        let mut count = payloads.len();
        let reserved = loop {
            let bytes: u64 = payloads[..count]
                .iter()
                .map(|payload| payload.len() as u64)
                .sum();
            match lane.gate.reserve_many(count as u64, bytes) {
                Ok(()) => break bytes,
                Err(Refusal::Full) if count > 1 => count /= 2,
                Err(refusal) => return refused(plan, &lane.gate, refusal).map(|_| 1),
            }
        };
        let shard = &self.fabric.shards[usize::from(lane.shard)];
        let tag = Tag {
            lane: to.peer.lane_number(offset),
            mailbox: to.mailbox.0,
            extra: 0,
        };
        match shard.rings[self.index].try_push_many(tag, &payloads[..count]) {
            Ok(pushed) => {
                let taken: u64 = payloads[..pushed]
                    .iter()
                    .map(|payload| payload.len() as u64)
                    .sum();
                lane.gate
                    .take_back((count - pushed) as u64, reserved - taken);
                shard.doorbell.ring();
                Ok(pushed)
            }
            Err(error) => {
                lane.gate.take_back(count as u64, reserved);
                Err(if error == PushError::Closed {
                    SendError::Closed
                } else {
                    SendError::Full
                })
            }
        }
    }

    /// Sends to a mailbox of every peer whose lane on this channel is up now; of parallel lanes, the
    /// first counts and is taken. This node itself is left out.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] for the payload; what single peers refused is in the result.
    pub fn broadcast<'a>(
        &self,
        mailbox: MailboxId,
        payload: impl Into<Payload<'a>>,
    ) -> Result<Broadcast, SendError> {
        let payload = payload.into();
        check_size(self.plan(), payload.len())?;
        // A large payload is made shared once, not once for each peer.
        let payload = if payload.len() > self.fabric.config.inline_bytes_max {
            Payload::Shared(payload.into_shared(&self.fabric.payloads))
        } else {
            payload
        };
        let mut outcome = Broadcast::default();
        for route in &self.fabric.routes.snapshot().routes {
            let lane = route.peer.lane(self.plan().first_lane);
            if route.peer.is_self() || lane.gate.state() == GateState::Down {
                continue;
            }
            let to = Destination {
                peer: Arc::clone(&route.peer),
                mailbox,
                key: None,
            };
            match self.try_send_on(&to, self.plan().first_lane, payload.clone()) {
                Ok(()) => outcome.accepted += 1,
                Err(error) => outcome.refused.push((to.peer, error)),
            }
        }
        Ok(outcome)
    }

    /// Accepts a message, waiting for room if the channel's policy is `block`; any other policy
    /// answers as [`try_send`](Self::try_send) does. Runs on any async runtime; dropping the future
    /// before it is ready means that the message was not accepted.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send); never [`SendError::Full`] under `block`.
    pub async fn send<'a>(
        &self,
        to: &Destination,
        payload: impl Into<Payload<'a>>,
    ) -> Result<(), SendError> {
        self.send_on(to, lane_offset(self.plan(), to), payload.into())
            .await
    }

    pub(crate) async fn send_on(
        &self,
        to: &Destination,
        offset: usize,
        payload: Payload<'_>,
    ) -> Result<(), SendError> {
        loop {
            let full = match self.attempt(to, offset, payload.clone()) {
                Err(full) if self.waits() && full.is_full() => full,
                outcome => return outcome.map_err(NotAccepted::into_error),
            };
            let room = self.listen_for_room(to.peer.lane(offset), &full);
            match self.attempt(to, offset, payload.clone()) {
                Err(again) if again.is_full() => {
                    if again.is_same(&full) {
                        room.await;
                    }
                }
                outcome => return outcome.map_err(NotAccepted::into_error),
            }
        }
    }

    /// [`send`](Self::send) for a thread that may block. Not for a handler on a shard: it would wait
    /// for itself.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_blocking<'a>(
        &self,
        to: &Destination,
        payload: impl Into<Payload<'a>>,
    ) -> Result<(), SendError> {
        let payload = payload.into();
        let offset = lane_offset(self.plan(), to);
        loop {
            let full = match self.attempt(to, offset, payload.clone()) {
                Err(full) if self.waits() && full.is_full() => full,
                outcome => return outcome.map_err(NotAccepted::into_error),
            };
            let room = self.listen_for_room(to.peer.lane(offset), &full);
            match self.attempt(to, offset, payload.clone()) {
                Err(again) if again.is_full() => {
                    if again.is_same(&full) {
                        room.wait();
                    }
                }
                outcome => return outcome.map_err(NotAccepted::into_error),
            }
        }
    }

    pub(crate) fn waits(&self) -> bool {
        self.plan().overflow == Overflow::Block
    }

    fn listen_for_room(&self, lane: &LaneAddress, full: &NotAccepted) -> EventListener {
        match full {
            NotAccepted::RingFull => {
                self.fabric.shards[usize::from(lane.shard)].rooms[self.index].listen()
            }
            NotAccepted::LaneFull | NotAccepted::Error(_) => lane.gate.listen(),
        }
    }
}

/// Why an attempt was not accepted: for those who wait, it matters what is full.
enum NotAccepted {
    /// The lane's queue is at its bound.
    LaneFull,
    /// The ring that all lanes of this channel on that shard share has no room.
    RingFull,
    Error(SendError),
}

impl NotAccepted {
    fn is_full(&self) -> bool {
        matches!(self, Self::LaneFull | Self::RingFull)
    }

    /// Whether the same is full: waiting for room in the other would be in vain.
    fn is_same(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    fn into_error(self) -> SendError {
        match self {
            Self::LaneFull | Self::RingFull => SendError::Full,
            Self::Error(error) => error,
        }
    }
}
