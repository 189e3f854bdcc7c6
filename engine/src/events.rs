//! The one stream of what happens around a node: peers and lanes, up and down, with the reason.
//!
//! Shards tell the control shard, the control shard tells every subscriber. A subscriber that does
//! not read loses the oldest events, never messages, and learns how many it lost.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use event_listener::EventListener;
use futures_core::Stream;
use overlane_overlays::AtomicOutcome;
use overlane_overlays::epoch::{OverlayKind, Step as OverlayStep};
use overlane_overlays::switching::TrialReport;

use crate::error::RecvError;
use crate::faults::FaultCounts;
use crate::peer::Peer;
use crate::restraint::Restraint;
use crate::threads;
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
    /// The last lane to a peer has ended. For [`CloseReason::Idle`] both have parted as there was nothing to
    /// send ([`Node::reach`](crate::Node::reach)); that says nothing against the peer.
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
    /// by an overflow policy; the last are reported as sums every two seconds.
    Reported {
        /// The peer they were for.
        peer: Arc<Peer>,
        /// The channel's name.
        channel: Arc<str>,
        /// How many: surely not delivered.
        undelivered: u64,
        /// How many more: the peer may have got them.
        unknown: u64,
        /// What became of them, in a sentence.
        why: &'static str,
    },
    /// On a causal channel, messages were given up that others follow: they did not come for `hold_back_wait_ms`, or
    /// their sender was started again. If they come after all, they are refused.
    GivenUp {
        /// The channel's name.
        channel: Arc<str>,
        /// Who sent them, if it is a peer.
        sender: Option<Arc<str>>,
        /// The incarnation that sent them.
        incarnation: u64,
        /// How many to this node, at most: its sender may have given up some of them itself.
        messages: u64,
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
        /// How long until it is tried again at the earliest: by itself if the lane is kept up, otherwise
        /// by the next message.
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
    /// A channel was added, on every shard.
    ChannelAdded {
        /// Its name.
        channel: Arc<str>,
    },
    /// Parameters of a channel were changed, on every shard.
    ChannelRetuned {
        /// Its name.
        channel: Arc<str>,
        /// Those that are others now.
        parameters: Arc<[&'static str]>,
    },
    /// A channel was removed: what it had accepted is settled, and its name is free.
    ChannelRemoved {
        /// Its name.
        channel: Arc<str>,
        /// Messages that were reported since its removal began.
        reported: u64,
        /// Messages that were dropped since then, on a best-effort channel.
        dropped: u64,
    },
    /// A node has ordered a change of a channel on all nodes, and it counts from now on; this node makes it next. It may take the place
    /// of another change of that channel, which was ordered at the same time, or on the other side of a partition.
    ChannelOrdered {
        /// The channel's name.
        channel: Arc<str>,
        /// Grows with each change of channels in the cluster.
        epoch: u64,
        /// The node that ordered it.
        by: Arc<str>,
        /// `add`, `set` or `remove`, and the parameters that are ordered.
        change: Arc<str>,
    },
    /// This node cannot make a change that was ordered for all nodes: the channel is as it was here.
    ChannelChangeRefused {
        /// The channel's name.
        channel: Arc<str>,
        /// The number of the change.
        epoch: u64,
        /// Why not, and what would help.
        why: Arc<str>,
    },
    /// A partition of the cluster takes that from the channel on this node from now on, by its `on_partition`; or it
    /// is over, or the policy another one, and nothing is taken any more ([`Restraint::None`]).
    ChannelRestrained {
        /// Its name.
        channel: Arc<str>,
        /// What it does not do.
        restraint: Restraint,
    },
    /// A node became a member of the cluster, was started again, or proved to be alive. Messages to it are
    /// accepted from now on.
    MemberUp {
        /// Its name.
        member: Arc<str>,
        /// The number of this start of the node.
        incarnation: u64,
    },
    /// A member changed its addresses or its metadata.
    MemberChanged {
        /// Its name.
        member: Arc<str>,
    },
    /// A member does not answer some of the others, and is down unless it says otherwise in time.
    MemberSuspect {
        /// Its name.
        member: Arc<str>,
    },
    /// A member is down.
    MemberDown {
        /// Its name.
        member: Arc<str>,
    },
    /// A member has said goodbye.
    MemberLeft {
        /// Its name.
        member: Arc<str>,
    },
    /// The overlay connects this node to another one from now on.
    NeighborUp {
        /// Its name.
        node: Arc<str>,
    },
    /// It does not any more.
    NeighborDown {
        /// Its name.
        node: Arc<str>,
    },
    /// The member that all who reach one another agree on has changed.
    Coordinator {
        /// Its name.
        member: Arc<str>,
    },
    /// A good part of the members was lost at once: the network has split, as far as this node can tell.
    Partitioned {
        /// Members that this node reaches, itself among them.
        here: Arc<[Arc<str>]>,
        /// Members that were lost.
        there: Arc<[Arc<str>]>,
    },
    /// Most of those that were lost in a partition are back.
    Healed {
        /// Those that are not.
        missing: Arc<[Arc<str>]>,
    },
    /// A change of the overlay has come a step further on this node.
    Overlay {
        /// The number of the overlay that is changed to, or retired. Two changes at once have the same, and one
        /// of them gives way.
        epoch: u64,
        /// Which overlay.
        kind: OverlayKind,
        /// The step.
        step: OverlayStep,
    },
    /// An overlay was tried on a part of the cluster, at the order of this node: what was measured, and whether it is
    /// adopted. The step that follows says so on every node.
    OverlayTried {
        /// The number of the overlay that was tried.
        epoch: u64,
        /// What came of it.
        report: Arc<TrialReport>,
    },
    /// A node is configured for a cluster that began with another overlay: the two do not understand each
    /// other.
    OtherOverlay {
        /// Its name.
        node: Arc<str>,
        /// The overlay of its configuration.
        theirs: OverlayKind,
        /// The overlay of this node's.
        ours: OverlayKind,
    },
    /// Another member has had this node say goodbye; [`Left`](Self::Left) follows.
    Evicted {
        /// Its name.
        by: Arc<str>,
    },
    /// Broadcasts that this node does not wait for any more: causal ones of a sender that did not come in time, which are
    /// not delivered if they come after all, or such as others had and nobody brought when they were asked for.
    BroadcastsMissed {
        /// Who sent them, where that is known.
        sender: Option<Arc<str>>,
        /// How many.
        messages: u64,
    },
    /// An atomic broadcast has ended: told to its sender, and to who was ready to deliver it and does not.
    AtomicEnded {
        /// Who sent it.
        sender: Arc<str>,
        /// How, with the names of members that were not ready.
        outcome: AtomicOutcome<Arc<str>>,
    },
    /// A discovery found places where it had found none, or finds some no more. Who was a member there stays one.
    Discovered {
        /// Its name.
        discovery: Arc<str>,
        /// Places that are new: `host:port`.
        fresh: Arc<[String]>,
        /// Places that are not found any more.
        gone: Arc<[String]>,
    },
    /// A discovery could not look, or its answer had lost all its places. What it had found before stays.
    DiscoveryFailed {
        /// Its name.
        discovery: Arc<str>,
        /// Why.
        why: String,
        /// How long until it looks again.
        retry_in: Duration,
    },
    /// A fault on purpose is open from now on.
    FaultAdded {
        /// By which it is removed.
        id: u64,
        /// What it does, and where.
        fault: Arc<str>,
        /// For how long.
        lasts: Duration,
    },
    /// A fault on purpose is over, or was removed.
    FaultEnded {
        /// Its number.
        id: u64,
        /// What it did, and where.
        fault: Arc<str>,
        /// How much of it.
        done: FaultCounts,
    },
    /// This node takes no new peers and no new lanes any more, and is to be stopped soon.
    LameDuck,
    /// This node has said goodbye to the cluster.
    Left,
    /// This subscriber did not read in time: so many events, older than the next one, were lost to
    /// it (see `events_queue_max`).
    Missed {
        /// How many.
        events: u64,
    },
}

/// A subscription. Dropping it ends it. As a [`Stream`] it is read in a task of any runtime.
#[doc = include_str!("../doc/events.md")]
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Event>,
    /// Lost since they were last asked for.
    missed: Arc<AtomicU64>,
    arrived: Arc<event_listener::Event>,
    /// Of the stream, while it waits.
    arrival: Option<EventListener>,
}

impl Events {
    /// The reading end of a subscription: `arrived` is notified after each event and at the end.
    pub(crate) fn new(
        receiver: Receiver<Event>,
        missed: Arc<AtomicU64>,
        arrived: Arc<event_listener::Event>,
    ) -> Self {
        Self {
            receiver,
            missed,
            arrived,
            arrival: None,
        }
    }

    /// The next event, blocking the thread until it comes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] when the node has stopped and everything that happened has been read,
    /// [`RecvError::WouldDeadlock`] on a thread of the engine.
    pub fn recv(&self) -> Result<Event, RecvError> {
        if threads::is_own() {
            return Err(RecvError::WouldDeadlock);
        }
        match self.missed() {
            Some(missed) => Ok(missed),
            None => self.receiver.recv().map_err(|_| RecvError::Closed),
        }
    }

    /// The next event, blocking the thread until `deadline` at most.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`]; besides, as [`recv`](Self::recv).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<Event, RecvError> {
        if threads::is_own() {
            return Err(RecvError::WouldDeadlock);
        }
        match self.missed() {
            Some(missed) => Ok(missed),
            None => self
                .receiver
                .recv_deadline(deadline)
                .map_err(|error| match error {
                    RecvTimeoutError::Timeout => RecvError::TimedOut,
                    RecvTimeoutError::Disconnected => RecvError::Closed,
                }),
        }
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

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let events = self.get_mut();
        loop {
            if let Some(arrival) = &mut events.arrival {
                ready!(Pin::new(arrival).poll(context));
                events.arrival = None;
            }
            // Listen, look, then wait: an event that comes in between is not missed.
            let arrival = events.arrived.listen();
            if let Some(missed) = events.missed() {
                return Poll::Ready(Some(missed));
            }
            match events.receiver.try_recv() {
                Ok(event) => return Poll::Ready(Some(event)),
                Err(TryRecvError::Disconnected) => return Poll::Ready(None),
                Err(TryRecvError::Empty) => events.arrival = Some(arrival),
            }
        }
    }
}
