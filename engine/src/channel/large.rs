//! A message that is too large for a frame, on a channel that takes such: it goes as a stream by itself.
//!
//! Called by `channel` when a message is above what a lane carries. The thread that sends makes its checksum; the shard of the lane sends it in chunks, between which
//! other messages go, and the other node hands it over when it is whole. Bounded by `large_bytes_max` for each peer, and
//! `streams_max`. Never waits.

use std::sync::Arc;

use super::{Channel, NotAccepted};
use crate::admission::{Way, why_refused};
use crate::error::SendError;
use crate::message::Destination;
use crate::payload::Payload;
use crate::ring::gate::{GateState, Refusal};
use crate::stream_book::{LargeMessage, Owed};

impl Channel {
    /// Refuses it with `too_large` if it is too large for this way too, or has to say more than its payload.
    #[cold]
    pub(super) fn attempt_as_stream<'p>(
        &self,
        to: &Destination,
        way: Way,
        too_large: SendError,
        payload: Payload<'p>,
    ) -> Result<(), NotAccepted<'p>> {
        let channel = &self.entry;
        let lane = to.peer.lane(way.offset);
        let bytes_max = channel.large_bytes_max().min(lane.large_bytes_max());
        let bytes = payload.len();
        if bytes_max == 0 || way.head > 0 || way.is_awaited {
            return Err(NotAccepted::new(too_large, payload));
        }
        let refused = match lane.gate.state() {
            _ if bytes > bytes_max => Some(SendError::TooLarge { bytes, bytes_max }),
            GateState::Open => None,
            GateState::Down => Some(why_refused(channel, Refusal::Down)),
            GateState::Closed => Some(why_refused(channel, Refusal::Closed)),
        };
        if let Some(error) = refused {
            return Err(NotAccepted::new(error, payload));
        }
        let message = LargeMessage {
            mailbox: to.mailbox.name(),
            channel: &channel.name,
            bytes: bytes as u64,
            bytes_max: bytes_max as u64,
        };
        let streams = &self.fabric.streams;
        let names = &self.fabric.mailboxes;
        let Some(stream) = streams.open_message(&to.peer, names, way.offset, message) else {
            let error = if self.fabric.is_stopping() {
                SendError::Closed
            } else {
                SendError::Full
            };
            return Err(NotAccepted::new(error, payload));
        };
        // Looked at behind its registration: either the shard that ends the channel's streams finds it, or this finds
        // that the channel is gone.
        if channel.is_removed() && streams.call_off(&stream) {
            return Err(NotAccepted::new(SendError::ChannelRemoved, payload));
        }
        let payload = payload.into_shared(&self.fabric.payloads);
        streams.put_message(&stream, &payload);
        self.fabric.owe_stream(Owed::Ready(Arc::clone(&stream)));
        Ok(())
    }
}
