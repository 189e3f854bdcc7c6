//! Sending that waits for room: as a future, or with a thread that may block.
//!
//! Called by applications and by `in_order`. It waits for the gate of the lane or for the ring, whichever is full, never for a
//! connection, and not at all where the channel's policy is another than `block`.

use std::time::Instant;

use event_listener::{EventListener, Listener};

use super::{Channel, Hindrance};
use crate::admission::Way;
use crate::config::Overflow;
use crate::error::{SendError, Unsent};
use crate::message::Destination;
use crate::payload::{IntoPayload, Payload};
use crate::peer::LaneAddress;
use crate::spans::OpenSpan;
use crate::threads;

impl Channel {
    /// Accepts a message, waiting for room if the channel's policy is `block`; any other policy
    /// answers as [`try_send`](Self::try_send) does. Runs on any async runtime; dropping the future
    /// before it is ready means that the message was not accepted. The deadline of a message is looked at
    /// whenever there is room: it does not end the wait by itself.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send); never [`SendError::Full`] under `block`. [`SendError::Expired`] if
    /// the deadline of the message passed meanwhile.
    pub async fn send<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        let prepared = self.prepare(to, payload)?;
        self.send_prepared(to, prepared).await.map_err(P::unsent)
    }

    /// Sends what was prepared on this channel, or on the one that it was led to from here. Never blocks.
    pub(crate) fn try_send_prepared<'p>(
        &self,
        to: &Destination,
        prepared: Prepared<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let channel = prepared.steered.as_ref().unwrap_or(self);
        let sent = channel.try_send_waiting(to, prepared.waiting);
        sent.map_err(|unsent| given_back(prepared.original, unsent))
    }

    /// The same, waiting for room if that is the channel's policy.
    pub(crate) async fn send_prepared<'p>(
        &self,
        to: &Destination,
        prepared: Prepared<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let channel = prepared.steered.as_ref().unwrap_or(self);
        let sent = channel.send_waiting(to, prepared.waiting).await;
        sent.map_err(|unsent| given_back(prepared.original, unsent))
    }

    /// The same for a thread that may block.
    pub(crate) fn send_blocking_prepared<'p>(
        &self,
        to: &Destination,
        prepared: Prepared<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let channel = prepared.steered.as_ref().unwrap_or(self);
        let sent = channel.send_blocking_on(to, prepared.waiting);
        sent.map_err(|unsent| given_back(prepared.original, unsent))
    }

    /// Tries once.
    pub(crate) fn try_send_waiting<'p>(
        &self,
        to: &Destination,
        waiting: Waiting<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let Waiting {
            payload, way, span, ..
        } = waiting;
        told(span, self.try_send_on(to, way, payload))
    }

    pub(crate) async fn send_waiting<'p>(
        &self,
        to: &Destination,
        mut waiting: Waiting<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let span = waiting.span.take();
        told(span, self.send_on(to, waiting).await)
    }

    /// The same; its span is told by the caller.
    pub(crate) async fn send_on<'p>(
        &self,
        to: &Destination,
        waiting: Waiting<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let (way, deadline, mut payload) = (waiting.way, waiting.deadline, waiting.payload);
        loop {
            match self.attempt_or_listen(to, way, payload)? {
                Attempt::Accepted => return Ok(()),
                Attempt::Full { room, unsent } => {
                    room.await;
                    payload = unsent;
                }
            }
            payload = unless_expired(deadline, payload)?;
        }
    }

    /// [`send`](Self::send) for a thread that may block; it waits until the message's deadline at most.
    ///
    /// # Errors
    /// As [`send`](Self::send); on a channel whose policy is `block`, [`SendError::WouldDeadlock`] on a
    /// thread of the engine, in a handler or a task, whether there is room or not.
    pub fn send_blocking<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        let prepared = self.prepare(to, payload)?;
        self.send_blocking_prepared(to, prepared).map_err(P::unsent)
    }

    pub(crate) fn send_blocking_on<'p>(
        &self,
        to: &Destination,
        mut waiting: Waiting<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let span = waiting.span.take();
        told(span, self.block_on(to, waiting))
    }

    fn block_on<'p>(
        &self,
        to: &Destination,
        waiting: Waiting<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        let (way, deadline, mut payload) = (waiting.way, waiting.deadline, waiting.payload);
        if self.waits() && threads::is_own() {
            let error = SendError::WouldDeadlock;
            return Err(Unsent { error, payload });
        }
        loop {
            match self.attempt_or_listen(to, way, payload)? {
                Attempt::Accepted => return Ok(()),
                Attempt::Full { room, unsent } => {
                    match deadline {
                        None => room.wait(),
                        Some(deadline) => drop(room.wait_deadline(deadline)),
                    }
                    payload = unless_expired(deadline, unsent)?;
                }
            }
        }
    }

    /// Tries until it is accepted, refused, or to wait for room that nobody has made since it was tried.
    pub(crate) fn attempt_or_listen<'p>(
        &self,
        to: &Destination,
        way: Way,
        mut payload: Payload<'p>,
    ) -> Result<Attempt<'p>, Unsent<Payload<'p>>> {
        let mut listening: Option<(Hindrance, EventListener)> = None;
        loop {
            let full = match self.attempt(to, way, payload) {
                Ok(()) => return Ok(Attempt::Accepted),
                Err(full) if self.waits() && full.why.is_full() => full,
                Err(refused) => return Err(refused.into_unsent()),
            };
            match listening.take() {
                // Waiting for room in the one would be in vain if by now the other is full.
                Some((why, room)) if why == full.why => {
                    return Ok(Attempt::Full {
                        room,
                        unsent: full.payload,
                    });
                }
                _ => {
                    let room = self.listen_for_room(to.peer.lane(way.offset), &full.why);
                    listening = Some((full.why, room));
                    payload = full.payload;
                }
            }
        }
    }

    pub(crate) fn waits(&self) -> bool {
        self.entry.overflow() == Overflow::Block
    }

    fn listen_for_room(&self, lane: &LaneAddress, full: &Hindrance) -> EventListener {
        match full {
            Hindrance::RingFull => self.entry.rooms[lane.shard()].listen(),
            Hindrance::Error(_) => lane.gate.listen(),
        }
    }
}

/// A message that is about to be sent and may wait for its room.
pub(crate) struct Prepared<'p> {
    /// The channel that it goes on in place of the one that was named.
    pub(crate) steered: Option<Channel>,
    pub(crate) waiting: Waiting<'p>,
    /// The payload as it was given, if the message is put together from it and other things.
    pub(crate) original: Option<Payload<'p>>,
}

/// What goes back to the caller if the message is not accepted.
pub(crate) fn given_back<'p>(
    original: Option<Payload<'p>>,
    unsent: Unsent<Payload<'p>>,
) -> Unsent<Payload<'p>> {
    match original {
        Some(payload) => Unsent { payload, ..unsent },
        None => unsent,
    }
}

/// A message that may wait for its room.
pub(crate) struct Waiting<'p> {
    pub(crate) payload: Payload<'p>,
    pub(crate) way: Way,
    /// When it is worth nothing any more.
    pub(crate) deadline: Option<Instant>,
    /// If it is recorded.
    pub(crate) span: Option<OpenSpan>,
}

impl<'p> Waiting<'p> {
    pub(super) fn plain(offset: usize, payload: Payload<'p>) -> Self {
        Self {
            payload,
            way: Way::plain(offset),
            deadline: None,
            span: None,
        }
    }
}

/// What sending a message came to, with its span told of it if it is recorded.
pub(crate) fn told<'p>(
    span: Option<OpenSpan>,
    sent: Result<(), Unsent<Payload<'p>>>,
) -> Result<(), Unsent<Payload<'p>>> {
    if let Some(span) = span {
        span.tried(sent.as_ref().err().map(|unsent| &unsent.error));
    }
    sent
}

/// The payload, unless the deadline has passed.
pub(crate) fn unless_expired(
    deadline: Option<Instant>,
    payload: Payload<'_>,
) -> Result<Payload<'_>, Unsent<Payload<'_>>> {
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        let error = SendError::Expired;
        return Err(Unsent { error, payload });
    }
    Ok(payload)
}

/// What trying came to, for those who wait.
pub(crate) enum Attempt<'p> {
    Accepted,
    /// There was no room; `room` hears of what was made since.
    Full {
        room: EventListener,
        unsent: Payload<'p>,
    },
}
