//! Messages that go over other nodes to members without a lane (`reach = relay`).
//!
//! `envelope` is what travels, `router` knows the ways (and belongs to the driver), `carrier` passes on, delivers, and
//! settles what this node's senders have left (`crate::relay_book`), `held` bounds what waits for room on its way.

pub(super) mod carrier;
pub(super) mod envelope;
pub(super) mod held;
pub(super) mod router;
