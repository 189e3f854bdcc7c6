//! Requests and replies: a message that asks for one reply, and the wait for it.
//!
//! A request is a message whose extension says so (`wire::extension`): it goes the way of any message,
//! to a handler or an inbox, and whoever receives it answers with a [`ReplyHandle`]. Which reply belongs
//! to which request, deadlines and lanes that end are `request_book`'s matter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_listener::Listener;

use crate::admission::Way;
use crate::channel::{Attempt, Channel};
use crate::deadline::deadline_in;
use crate::error::{RequestError, SendError, Unsent};
use crate::message::{Destination, Exchange, IntoPayload, OwnedMessage, Payload, ReplyHandle};
use crate::request_book::{REQUESTS_MAX, Waiter};
use crate::threads;
use crate::wire::extension::{
    Correlation, Extension, ExtensionWriter, Role, extension_block_bytes,
};

/// Room for what a request or reply carries: a correlation and a deadline.
const ENTRIES_BYTES_MAX: usize = 32;

/// An open request. Dropping it closes it: a reply that comes later is counted and dropped.
struct OpenRequest<'c> {
    channel: &'c Channel,
    id: u64,
    waiter: Arc<Waiter>,
    offset: usize,
    deadline: Instant,
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.channel.fabric.requests.cancel(self.id);
    }
}

/// A message with its extension in front, and how long that is.
struct Extended {
    bytes: Bytes,
    head: usize,
}

impl Channel {
    /// Sends a request and waits for its reply, in a task of any runtime. Dropping the future cancels
    /// it. `deadline` counts from now, and travels along: whoever answers can see how long somebody
    /// waits.
    ///
    /// # Errors
    /// [`RequestError`]: it could not be sent, was refused, got no reply by the deadline, or its lane
    /// ended.
    pub async fn request<'a>(
        &self,
        to: &Destination,
        payload: impl IntoPayload<'a>,
        deadline: Duration,
    ) -> Result<OwnedMessage, RequestError> {
        let open = self.open(to, deadline)?;
        let message = open.encode(&payload.into_payload(), deadline)?;
        let way = open.way(&message);
        let sent = self.send_on(to, way, Payload::Shared(message.bytes));
        let ended = async {
            loop {
                let done = open.waiter.listen();
                if let Some(outcome) = open.waiter.take() {
                    return outcome;
                }
                done.await;
            }
        };
        let accepted = async {
            match sent.await {
                // From here on only the book ends it.
                Ok(()) => std::future::pending().await,
                Err(unsent) => Err(RequestError::Send(unsent.error)),
            }
        };
        futures_lite::future::or(accepted, ended).await
    }

    /// [`request`](Self::request) for a thread that may block.
    ///
    /// # Errors
    /// As [`request`](Self::request); on a thread of the engine, in a handler or a task,
    /// [`SendError::WouldDeadlock`].
    pub fn request_blocking<'a>(
        &self,
        to: &Destination,
        payload: impl IntoPayload<'a>,
        deadline: Duration,
    ) -> Result<OwnedMessage, RequestError> {
        if threads::is_own() {
            return Err(RequestError::Send(SendError::WouldDeadlock));
        }
        let open = self.open(to, deadline)?;
        let message = open.encode(&payload.into_payload(), deadline)?;
        let way = open.way(&message);
        self.send_by(to, way, Payload::Shared(message.bytes), open.deadline)?;
        loop {
            let done = open.waiter.listen();
            if let Some(outcome) = open.waiter.take() {
                return outcome;
            }
            if done.wait_deadline(open.deadline).is_none() {
                return open
                    .waiter
                    .take()
                    .unwrap_or(Err(RequestError::DeadlinePassed));
            }
        }
    }

    /// Waits for room until the deadline at most.
    fn send_by(
        &self,
        to: &Destination,
        way: Way,
        mut payload: Payload<'_>,
        deadline: Instant,
    ) -> Result<(), RequestError> {
        loop {
            let attempt = self.attempt_or_listen(to, way, payload);
            match attempt.map_err(|unsent| RequestError::Send(unsent.error))? {
                Attempt::Accepted => return Ok(()),
                Attempt::Full { room, unsent } => {
                    if room.wait_deadline(deadline).is_none() {
                        return Err(RequestError::DeadlinePassed);
                    }
                    payload = unsent;
                }
            }
        }
    }

    fn open(&self, to: &Destination, deadline: Duration) -> Result<OpenRequest<'_>, RequestError> {
        if to.home != self.home {
            return Err(RequestError::Send(SendError::OtherNode));
        }
        let waiter = Arc::new(Waiter::default());
        let (offset, deadline) = (self.lane_offset(to), deadline_in(deadline));
        let opened = self
            .fabric
            .requests
            .open(&to.peer, offset, &waiter, deadline);
        let Some((id, is_first)) = opened else {
            let requests_max = REQUESTS_MAX;
            return Err(RequestError::TooMany { requests_max });
        };
        if is_first {
            self.fabric.shards[0].doorbell.ring();
        }
        Ok(OpenRequest {
            channel: self,
            id,
            waiter,
            offset,
            deadline,
        })
    }

    /// Answers a request, or says at once why not; on any channel to that peer.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_reply<'a, P: IntoPayload<'a>>(
        &self,
        to: &ReplyHandle,
        payload: P,
    ) -> Result<(), P::Error> {
        let payload = payload.into_payload();
        let (reply, way) = self.encode_reply(to, &payload);
        self.try_send_on(&to.to, way, reply)
            .map_err(|unsent| give_back::<P>(unsent, payload))
    }

    /// Answers a request, waiting for room as [`send`](Self::send) does.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn reply<'a, P: IntoPayload<'a>>(
        &self,
        to: &ReplyHandle,
        payload: P,
    ) -> Result<(), P::Error> {
        let payload = payload.into_payload();
        let (reply, way) = self.encode_reply(to, &payload);
        self.send_on(&to.to, way, reply)
            .await
            .map_err(|unsent| give_back::<P>(unsent, payload))
    }

    /// [`reply`](Self::reply) for a thread that may block.
    ///
    /// # Errors
    /// As [`send_blocking`](Self::send_blocking).
    pub fn reply_blocking<'a, P: IntoPayload<'a>>(
        &self,
        to: &ReplyHandle,
        payload: P,
    ) -> Result<(), P::Error> {
        let payload = payload.into_payload();
        let (reply, way) = self.encode_reply(to, &payload);
        self.send_blocking_on(&to.to, way, reply)
            .map_err(|unsent| give_back::<P>(unsent, payload))
    }

    /// A reply as it is sent, and its way.
    pub(crate) fn encode_reply(
        &self,
        to: &ReplyHandle,
        payload: &Payload<'_>,
    ) -> (Payload<'static>, Way) {
        let correlation = Correlation {
            id: to.id,
            role: Role::Reply,
        };
        let message = encode(correlation, None, payload.as_slice());
        let way = Way {
            offset: self.lane_offset(&to.to),
            head: message.head,
            is_request: false,
        };
        (Payload::Shared(message.bytes), way)
    }
}

/// The caller's payload with the error that its reply met.
pub(crate) fn give_back<'a, P: IntoPayload<'a>>(
    unsent: Unsent<Payload<'_>>,
    payload: Payload<'a>,
) -> P::Error {
    P::unsent(unsent.map(|_| payload))
}

impl OpenRequest<'_> {
    fn way(&self, message: &Extended) -> Way {
        Way {
            offset: self.offset,
            head: message.head,
            is_request: true,
        }
    }

    fn encode(&self, payload: &Payload<'_>, deadline: Duration) -> Result<Extended, RequestError> {
        let bytes_max = self.channel.message_bytes_max();
        let bytes = payload.len();
        if bytes > bytes_max {
            return Err(RequestError::Send(SendError::TooLarge { bytes, bytes_max }));
        }
        let correlation = Correlation {
            id: self.id,
            role: Role::Request,
        };
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        Ok(encode(correlation, Some(deadline_ms), payload.as_slice()))
    }
}

/// Extension and payload in one piece, as they stand in a frame.
fn encode(correlation: Correlation, deadline_ms: Option<u32>, payload: &[u8]) -> Extended {
    let mut buffer = [0; ENTRIES_BYTES_MAX];
    let mut writer = ExtensionWriter::new(&mut buffer);
    let written = writer
        .correlation(correlation)
        .and_then(|()| deadline_ms.map_or(Ok(()), |deadline_ms| writer.deadline_ms(deadline_ms)));
    debug_assert_eq!(written, Ok(()), "the buffer has room for both");
    let entries = writer.finish().encoded();
    let length = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(size_of::<u16>() + entries.len() + payload.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(entries);
    let head = bytes.len();
    bytes.extend_from_slice(payload);
    Extended {
        bytes: bytes.into(),
        head,
    }
}

/// What the extension in front of a payload says; `block` has its length in front, or is empty. It was
/// checked when its frame was decoded, or made here.
pub(crate) fn extension(block: &[u8]) -> Extension<'_> {
    let entries = block.get(size_of::<u16>()..).unwrap_or_default();
    Extension::check(entries).unwrap_or(Extension::NONE)
}

/// The request that a message with that extension is, if it is one, and until when somebody waits for
/// the reply.
#[inline]
pub(crate) fn asked(block: &[u8], came: Instant) -> Option<Exchange> {
    if block.is_empty() {
        return None;
    }
    let extension = extension(block);
    let correlation = extension.correlation()?;
    let deadline_ms = extension.deadline_ms();
    (correlation.role == Role::Request).then(|| Exchange {
        id: correlation.id,
        deadline: deadline_ms.map(|ms| came + Duration::from_millis(ms.into())),
    })
}

/// The number of the request that a message of this node's own is, if it is one. Its extension stands in
/// front of the payload.
pub(crate) fn request_id(bytes: &[u8]) -> Option<u64> {
    let block = bytes.get(..extension_block_bytes(bytes))?;
    let correlation = extension(block).correlation()?;
    (correlation.role == Role::Request).then_some(correlation.id)
}

/// The refusal of a request by the node that received it, as it is sent back.
pub(crate) fn refusal(id: u64, why: &str) -> (Payload<'static>, usize) {
    let correlation = Correlation {
        id,
        role: Role::Failure,
    };
    let message = encode(correlation, None, why.as_bytes());
    (Payload::Shared(message.bytes), message.head)
}
