//! The one stream of what happens around a node: peers and lanes, up and down, with the reason.
//!
//! Shards tell the control shard, the control shard tells every subscriber. A subscriber that does
//! not read loses the oldest events, never messages, and is told how many it lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::peer::Peer;
use crate::wire::CloseReason;

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The first lane to a peer is up.
    PeerUp {
        /// The peer.
        peer: Arc<Peer>,
        /// The incarnation it runs as.
        incarnation: u64,
    },
    /// The last lane to a peer has ended.
    PeerDown {
        /// The peer.
        peer: Arc<Peer>,
        /// Why the last lane ended.
        reason: CloseReason,
    },
    /// A lane is up: messages for it are accepted.
    LaneUp {
        /// The peer.
        peer: Arc<Peer>,
        /// The channel's name.
        channel: Arc<str>,
        /// The lane's index within the channel.
        lane: u16,
        /// Whether this node dialled it.
        dialed: bool,
    },
    /// A lane has ended. What it had accepted and not got acknowledged is reported here.
    LaneDown {
        /// The peer.
        peer: Arc<Peer>,
        /// The channel's name.
        channel: Arc<str>,
        /// The lane's index within the channel.
        lane: u16,
        /// Why it ended.
        reason: CloseReason,
        /// Messages that surely did not arrive.
        undelivered: u64,
        /// Messages handed to the network and not acknowledged: delivered or not, nobody knows.
        unknown: u64,
    },
    /// Messages that were reported while or after their lane ended, refused by the receiver, or dropped
    /// by an overflow policy; of the last, sums are told every two seconds.
    Reported {
        /// The peer they were for.
        peer: Arc<Peer>,
        /// The channel's name.
        channel: Arc<str>,
        /// How many: surely not delivered.
        undelivered: u64,
        /// What became of them, in a sentence.
        why: &'static str,
    },
    /// Dialling a peer failed, or the peer refused the lane.
    DialFailed {
        /// The peer.
        peer: Arc<Peer>,
        /// The channel's name.
        channel: Arc<str>,
        /// The lane's index within the channel.
        lane: u16,
        /// Why.
        reason: CloseReason,
        /// What the peer, or the kernel, said.
        detail: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// A connection from outside was refused or lost before it became a lane.
    Refused {
        /// Where it came from, if the kernel still knew.
        address: Option<SocketAddr>,
        /// Why.
        reason: CloseReason,
        /// What was wrong with it.
        detail: String,
    },
    /// This subscriber did not read in time: so many events, older than the next one, were lost to
    /// it (see `events_queue_max`).
    Missed {
        /// How many.
        events: u64,
    },
}

/// A subscription. Dropping it ends it.
#[doc = include_str!("../doc/events.md")]
#[derive(Debug)]
pub struct Events {
    pub(crate) receiver: Receiver<Event>,
    /// Lost since they were last asked for.
    pub(crate) missed: Arc<AtomicU64>,
}

impl Events {
    /// The next event, or `None` when the node has stopped.
    #[must_use]
    pub fn recv(&self) -> Option<Event> {
        self.missed().or_else(|| self.receiver.recv().ok())
    }

    /// The next event, waiting until `deadline` at most.
    #[must_use]
    pub fn recv_deadline(&self, deadline: Instant) -> Option<Event> {
        self.missed()
            .or_else(|| self.receiver.recv_deadline(deadline).ok())
    }

    /// The next event if there is one.
    #[must_use]
    pub fn try_recv(&self) -> Option<Event> {
        self.missed().or_else(|| self.receiver.try_recv().ok())
    }

    /// The oldest were lost, so this comes before what is left.
    fn missed(&self) -> Option<Event> {
        if self.missed.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let events = self.missed.swap(0, Ordering::Relaxed);
        (events > 0).then_some(Event::Missed { events })
    }
}
