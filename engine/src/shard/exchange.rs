//! Requests and replies as they come to a shard: a reply goes to whoever waits for it, a request to its
//! mailbox, and what cannot be received is refused to the node that asks.
//!
//! Called by `receive` and `loopback` for messages with an extension. It knows which messages belong
//! together only through the node's book of requests.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Core;
use super::deliver::{Body, Source};
use super::outbox::OutgoingMessage;
use crate::admission::Way;
use crate::channel::Channel;
use crate::error::RequestError;
use crate::fabric::Fabric;
use crate::message::{Destination, OwnedMessage, deadline_after};
use crate::order_tag::OrderTag;
use crate::payload::Payload;
use crate::peer::Peer;
use crate::request::{asked, refusal};
use crate::spans::{SpanStatus, Subject};
use crate::wire::extension::{Correlation, Extension, Role, extension_block_bytes};

/// Characters of a refusal that are kept: it comes from another node.
const WHY_CHARACTERS_MAX: usize = 200;

/// Hands a reply or a refusal to whoever waits for it. False if the message is neither.
pub(crate) fn take_answer(
    fabric: &Fabric,
    from: &Arc<Peer>,
    channel: (usize, &Arc<str>),
    source: &mut impl Source,
    body: &Body,
    came: Instant,
) -> bool {
    let correlation = Extension::in_block(body.extension(source.bytes())).correlation();
    let Some(Correlation { id, role }) = correlation else {
        return false;
    };
    match role {
        Role::Request => return false,
        // Whoever answers looks at the deadline: there is nothing to be called off yet.
        Role::Cancel => {}
        Role::Reply => {
            let arriving = fabric.spans.arriving(body.extension(source.bytes()));
            let span_id = arriving.map(|standing| standing.span_id);
            fabric.requests.answer(id, from, || {
                Ok(OwnedMessage {
                    from: Arc::clone(from),
                    channel: Arc::clone(channel.1),
                    channel_index: channel.0,
                    mailbox: fabric.replies.clone(),
                    payload: source.keep(body.payload.clone()),
                    block: Bytes::copy_from_slice(body.extension(source.bytes())),
                    deadline: deadline_after(body.extension(source.bytes()), || came),
                    exchange: None,
                    replies: fabric.replies.clone(),
                    span_id,
                })
            });
            if let Some(standing) = arriving {
                let (peer, mailbox) = (from.shared_name(), fabric.replies.name());
                let subject = Subject::of(peer, channel.1, mailbox, body.payload.len());
                let spans = &fabric.spans;
                spans.delivered(standing, subject, came, SpanStatus::Ok);
            }
        }
        Role::Failure => {
            let why = String::from_utf8_lossy(&source.bytes()[body.payload.clone()]);
            fabric.requests.answer(id, from, || {
                Err(RequestError::Refused {
                    why: why.chars().take(WHY_CHARACTERS_MAX).collect(),
                })
            });
        }
    }
    true
}

impl Core {
    /// Nobody here will answer a request. If its lane has no room for saying so, the deadline of whoever
    /// asks says it.
    #[cold]
    pub(crate) fn refuse_request(&mut self, lane: u32, bytes: &[u8], body: &Body, why: &str) {
        let Some(exchange) = asked(body.extension(bytes), self.now) else {
            return;
        };
        let state = &mut self.lanes[lane as usize];
        if state.peer.is_self() {
            let why = why.to_owned();
            let refused = || Err(RequestError::Refused { why });
            self.fabric
                .requests
                .answer(exchange.id, &state.peer, refused);
            return;
        }
        let Some(reply) = refusal(&self.fabric.payloads, exchange.id, why) else {
            return;
        };
        let plan = &self.channels[state.channel];
        if plan.causal.is_some() {
            let channel = Channel::new(Arc::clone(&self.fabric), Arc::clone(&plan.entry));
            let to = Destination::new(Arc::clone(&state.peer), self.fabric.replies.clone());
            let head = extension_block_bytes(reply.as_slice());
            let way = Way::extended(state.offset, head);
            drop(channel.try_send_on(&to, way, Payload::Borrowed(reply.as_slice())));
            return;
        }
        let bytes = reply.len() as u64;
        if !state.accepts_messages() || state.address().gate.reserve(bytes).is_err() {
            return;
        }
        let message = OutgoingMessage {
            mailbox: self.fabric.replies.id(),
            order: OrderTag::WITHOUT_KEY,
            is_extended: true,
            payload: Payload::Borrowed(reply.as_slice()),
        };
        self.sending.put(lane, state, plan, &self.fabric, message);
        self.seek_demanded();
    }
}
