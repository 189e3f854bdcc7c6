//! A message to a member without a lane, on a channel that passes such on over others (`reach = relay`): it is left for
//! the control shard, which knows the ways.
//!
//! Called by `channel` for each attempt on such a channel. Never waits, and knows no way: whoever waits for room listens at
//! the gate of the member's lane, which is stirred when there is some.

use std::sync::Arc;

use super::{Channel, NotAccepted};
use crate::admission::{Way, check_partition, check_size_within};
use crate::error::SendError;
use crate::message::Destination;
use crate::payload::Payload;
use crate::relay_book::{Offer, RelayBook};
use crate::ring::gate::GateState;
use crate::wire::name::NAME_BYTES_MAX;

/// Bytes that go in front of a payload that is relayed, at most: some fixed ones and three names.
pub(crate) const RELAY_HEAD_BYTES_MAX: usize = 16 + 3 * (1 + NAME_BYTES_MAX);

impl Channel {
    /// Where a message to that destination is left, if it is to go over others.
    #[inline]
    pub(super) fn relay_for(&self, to: &Destination, way: Way) -> Option<(&Arc<RelayBook>, u8)> {
        let ttl = self.entry.relay_ttl()?;
        self.relay_to_member(to, way).map(|book| (book, ttl))
    }

    /// Whether there is room for more to a member that is reached over others; none if it has a lane, or makes one.
    pub(crate) fn relay_room(&self, to: &Destination, offset: usize) -> Option<bool> {
        let (book, _) = self.relay_for(to, Way::plain(offset))?;
        Some(book.has_room(&to.peer, offset))
    }

    #[cold]
    fn relay_to_member(&self, to: &Destination, way: Way) -> Option<&Arc<RelayBook>> {
        let has_lane = to.peer.is_connected() || to.peer.lane(way.offset).gate.has_lane();
        let says_more = way.head > 0 || way.is_awaited;
        if to.peer.is_self() || has_lane || says_more {
            return None;
        }
        self.fabric.relay.get()
    }

    /// Leaves it there.
    pub(super) fn attempt_over_others<'p>(
        &self,
        book: &RelayBook,
        ttl: u8,
        to: &Destination,
        way: Way,
        payload: Payload<'p>,
    ) -> Result<(), NotAccepted<'p>> {
        let bytes = payload.len();
        let bytes_max = self.entry.message_bytes_max();
        let admitted = check_partition(&self.entry, &to.peer)
            .and_then(|()| {
                let bytes_max = bytes_max.saturating_sub(RELAY_HEAD_BYTES_MAX);
                check_size_within(bytes_max, bytes)
            })
            .and_then(|()| match to.peer.lane(way.offset).gate.state() {
                _ if self.entry.is_removed() => Err(SendError::ChannelRemoved),
                GateState::Closed => Err(SendError::Closed),
                GateState::Open | GateState::Down => Ok(()),
            });
        if let Err(error) = admitted {
            return Err(NotAccepted::new(error, payload));
        }
        if !book.reserve(&to.peer, way.offset, bytes) {
            return Err(NotAccepted::new(SendError::Full, payload));
        }
        let offer = Offer {
            to: Arc::clone(&to.peer),
            channel: Arc::clone(&self.entry.name),
            mailbox: to.mailbox.name().into(),
            ttl,
            is_awaited: self.entry.reliable,
            payload: payload.into_shared(&self.fabric.payloads),
        };
        match book.offer(offer) {
            Ok(()) => Ok(()),
            Err(payload) => Err(NotAccepted::new(
                SendError::Closed,
                Payload::Shared(payload),
            )),
        }
    }

    /// Sends to a node on its lane, whatever the channel does for those without one.
    pub(crate) fn try_send_directly<'p>(
        &self,
        to: &Destination,
        payload: Payload<'p>,
    ) -> Result<(), SendError> {
        let way = Way::plain(self.lane_offset(to));
        self.attempt_as_it_is(to, way, payload)
            .map_err(|refused| refused.into_unsent().error)
    }
}
