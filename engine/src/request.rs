//! Requests and replies: a message that asks for one reply, and the wait for it.
//!
//! A request is a message whose extension says so (`wire::extension`): it goes the way of any message,
//! to a handler or an inbox, and whoever receives it answers with a [`ReplyHandle`]. Which reply belongs
//! to which request, deadlines and lanes that end are `request_book`'s matter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_listener::Listener;

use crate::admission::{Way, check_size_within};
use crate::attributes::Attributes;
use crate::channel::{Channel, Waiting};
use crate::deadline::{deadline_in, deadline_ms};
use crate::error::{RequestError, SendError, Unsent};
use crate::extended::extended;
use crate::message::{Destination, Exchange, OwnedMessage, ReplyHandle};
use crate::payload::{IntoPayload, Payload};
use crate::request_book::{REQUESTS_MAX, RequestWaiter};
use crate::ring::PayloadPool;
use crate::spans::{OpenSpan, SpanStatus};
use crate::threads;
use crate::wire::extension::{Correlation, Extension, Role};

/// An open request. Dropping it closes it: a reply that comes later is counted and dropped.
struct OpenRequest<'c> {
    channel: &'c Channel,
    id: u64,
    waiter: Arc<RequestWaiter>,
    offset: usize,
    deadline: Instant,
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.channel.fabric.requests.cancel(self.id);
    }
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
        let mut waiting = open.encode(to, payload, deadline)?;
        let span = waiting.span.take();
        let sent = self.send_on(to, waiting);
        let accepted = async {
            match sent.await {
                // From here on only the book ends it.
                Ok(()) => std::future::pending().await,
                Err(unsent) => Err(not_sent(unsent.error)),
            }
        };
        let outcome = futures_lite::future::or(accepted, open.waiter.wait()).await;
        answered(span, outcome)
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
        let mut waiting = open.encode(to, payload, deadline)?;
        let span = waiting.span.take();
        let sent = self.send_blocking_on(to, waiting);
        let sent = sent.map_err(|unsent| not_sent(unsent.error));
        answered(span, sent.and_then(|()| open.wait_blocking()))
    }

    fn open(&self, to: &Destination, deadline: Duration) -> Result<OpenRequest<'_>, RequestError> {
        if to.home != self.home {
            return Err(RequestError::Send(SendError::OtherNode));
        }
        let waiter = Arc::new(RequestWaiter::default());
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
        let attributes = payload.attributes().unwrap_or_default();
        let payload = payload.into_payload();
        let sent = self
            .encode_reply(to, &attributes, &payload)
            .and_then(|reply| Ok(self.try_send_waiting(&to.to, reply)?));
        sent.map_err(|error| P::unsent(Unsent { error, payload }))
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
        let attributes = payload.attributes().unwrap_or_default();
        let payload = payload.into_payload();
        let sent = match self.encode_reply(to, &attributes, &payload) {
            Ok(reply) => {
                let sent = self.send_waiting(&to.to, reply).await;
                sent.map_err(SendError::from)
            }
            Err(error) => Err(error),
        };
        sent.map_err(|error| P::unsent(Unsent { error, payload }))
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
        let attributes = payload.attributes().unwrap_or_default();
        let payload = payload.into_payload();
        let sent = self
            .encode_reply(to, &attributes, &payload)
            .and_then(|reply| Ok(self.send_blocking_on(&to.to, reply)?));
        sent.map_err(|error| P::unsent(Unsent { error, payload }))
    }

    /// A reply as it is sent.
    pub(crate) fn encode_reply(
        &self,
        to: &ReplyHandle,
        attributes: &Attributes<'_>,
        payload: &Payload<'_>,
    ) -> Result<Waiting<'static>, SendError> {
        let correlation = Correlation {
            id: to.id,
            role: Role::Reply,
        };
        self.extend_to_wait(&to.to, Some(correlation), attributes, payload)
    }
}

/// How a request has ended, with the span of its lane told of it if it is recorded.
fn answered(
    span: Option<OpenSpan>,
    outcome: Result<OwnedMessage, RequestError>,
) -> Result<OwnedMessage, RequestError> {
    match (span, &outcome) {
        (None, _) => {}
        (Some(span), Ok(_)) => span.ended(SpanStatus::Ok),
        (Some(span), Err(RequestError::Send(error))) => span.tried(Some(error)),
        (Some(span), Err(error)) => span.ended(SpanStatus::Failed {
            what: "unanswered",
            why: error.to_string().into(),
        }),
    }
    outcome
}

/// How a request has ended that was not accepted.
fn not_sent(error: SendError) -> RequestError {
    match error {
        SendError::Expired => RequestError::DeadlinePassed,
        error => RequestError::Send(error),
    }
}

impl OpenRequest<'_> {
    /// Blocks the thread until it has ended.
    fn wait_blocking(&self) -> Result<OwnedMessage, RequestError> {
        loop {
            let done = self.waiter.listen();
            if let Some(outcome) = self.waiter.take() {
                return outcome;
            }
            if done.wait_deadline(self.deadline).is_none() {
                let outcome = self.waiter.take();
                return outcome.unwrap_or(Err(RequestError::DeadlinePassed));
            }
        }
    }

    fn encode<'a>(
        &self,
        to: &Destination,
        payload: impl IntoPayload<'a>,
        deadline: Duration,
    ) -> Result<Waiting<'static>, SendError> {
        let attributes = payload.attributes().unwrap_or_default();
        let payload = payload.into_payload();
        check_size_within(self.channel.message_bytes_max(), payload.len())?;
        let correlation = Correlation {
            id: self.id,
            role: Role::Request,
        };
        // Not less than a millisecond: the book ends it, not its lane.
        let (attributes, span) = self.channel.record(to, attributes, payload.len(), false);
        let fabric = &self.channel.fabric;
        let now = fabric.clock.ms(Instant::now());
        let due = Some(now.plus(deadline_ms(deadline).max(1)));
        let (pool, payload) = (&fabric.payloads, payload.as_slice());
        let message = extended(pool, Some(correlation), &attributes, due, payload)?;
        Ok(Waiting {
            way: Way {
                offset: self.offset,
                head: message.head,
                is_awaited: true,
            },
            payload: message.payload,
            deadline: Some(self.deadline),
            span,
        })
    }
}

/// The request that a message with that extension is, if it is one, and until when somebody waits for
/// the reply.
#[inline]
pub(crate) fn asked(block: &[u8], came: Instant) -> Option<Exchange> {
    if block.is_empty() {
        return None;
    }
    let extension = Extension::in_block(block);
    let correlation = extension.correlation()?;
    let deadline_ms = extension.deadline_ms();
    (correlation.role == Role::Request).then(|| Exchange {
        id: correlation.id,
        deadline: deadline_ms.map(|ms| came + Duration::from_millis(ms.into())),
    })
}

/// The refusal of a request by the node that received it, as it is sent back.
pub(crate) fn refusal(pool: &Arc<PayloadPool>, id: u64, why: &str) -> Option<Payload<'static>> {
    let correlation = Correlation {
        id,
        role: Role::Failure,
    };
    let message = extended(
        pool,
        Some(correlation),
        &Attributes::new(),
        None,
        why.as_bytes(),
    );
    message.ok().map(|message| message.payload)
}
