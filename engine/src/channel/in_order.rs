//! Sending on a causal channel: a message gets its number and its causes, and a place in the ring, in one step.
//!
//! Numbers of a lane have to ascend, and what a message follows is what was sent and received when it was accepted; so
//! all who send on such a channel take turns, for as long as it takes to copy the message. Called by `channel` for each
//! attempt; handlers and tasks on a shard take the same way.

use super::{Channel, Hindrance, NotAccepted};
use crate::admission::Way;
use crate::attributes::AttributesError;
use crate::causal::CausalOrder;
use crate::extended::with_causes;
use crate::message::Destination;
use crate::payload::Payload;

impl Channel {
    /// Tries once. Where more is open than a message can say, that counts as a full ring: acknowledgements make room.
    #[cold]
    pub(super) fn attempt_in_order<'p>(
        &self,
        order: &CausalOrder,
        to: &Destination,
        way: Way,
        payload: Payload<'p>,
    ) -> Result<(), NotAccepted<'p>> {
        let pool = &self.fabric.payloads;
        let inline_bytes_max = self.fabric.config.inline_bytes_max;
        let message = payload.as_slice();
        let sent = order.send(to.peer.name(), |stamp| {
            with_causes(
                pool,
                inline_bytes_max,
                (message, way.head),
                &stamp.causes,
                |extended| {
                    let way = Way {
                        head: extended.head,
                        ..way
                    };
                    let attempted = self.attempt_as_it_is(to, way, extended.payload);
                    attempted.map_err(|refused| refused.why)
                },
            )
            .unwrap_or_else(|error| Err(self.too_much_said(order, error, stamp.is_without_needs())))
        });
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(NotAccepted { why, payload }),
            None => Err(NotAccepted {
                why: Hindrance::RingFull,
                payload,
            }),
        }
    }

    /// Its causes do not fit beside its metadata.
    fn too_much_said(&self, order: &CausalOrder, error: AttributesError, alone: bool) -> Hindrance {
        if alone {
            return Hindrance::Error(error.into());
        }
        order.want_room();
        Hindrance::RingFull
    }
}
