//! Orders of applications to the cluster's driver, and how they are answered.
//!
//! Given from any thread; the control shard takes them in order. Broadcasts that wait are bounded in bytes, all
//! else in number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use overlane_overlays::TopicId;
use overlane_overlays::epoch::OverlayKind;

use super::channels::agreed::Operation;
use super::channels::{ChannelChange, ChannelChangeReport};
use super::counts::Counters;
use super::decisions::MergeCallback;
use super::discovered::{Discoveries, Sighting};
use super::error::ChannelChangeError;
use super::kind::BroadcastKind;
use super::outcome::{AtomicEnd, SwitchOutcome};
use super::summaries::Held;
use super::topics::Topics;
use super::topology::{OverlayTrial, TopologyOrder};
use super::view::View;
use crate::config::DiscoveryConfig;

/// Orders that wait at a time.
const ORDERS_MAX: usize = 1_024;
/// Bytes of broadcasts that wait to be given to the overlay: 16 of the largest.
const BROADCAST_BYTES_MAX: usize = 4 << 20;

/// What an application wants of the cluster.
#[derive(Debug)]
pub(super) enum Order {
    /// Enter it at one of these places.
    Join(Vec<String>),
    /// That came of a discovery's look.
    Discovered(Sighting),
    /// Say goodbye.
    Leave,
    /// Broadcast this, channel and mailbox included. How an atomic one ends is answered.
    Broadcast {
        kind: BroadcastKind,
        body: Bytes,
        answer: Option<Sender<AtomicEnd>>,
    },
    /// Publish this to that topic, channel and topic included.
    Publish { topic: TopicId, body: Bytes },
    /// Take part in that topic.
    Subscribe(TopicId),
    /// No longer take part in it.
    Unsubscribe(TopicId),
    /// Switch the overlay.
    Switch {
        kind: OverlayKind,
        servers: Vec<String>,
        /// Where and for how long it is tried first; none: it is not.
        trial: Option<OverlayTrial>,
        answer: Sender<SwitchOutcome>,
    },
    /// Let every member know that of this node.
    SetMetadata(Bytes),
    /// Have that member say goodbye.
    Evict(String),
    /// Let every other node know that this one has decided that.
    Decide(Bytes),
    /// Call that with decisions of others.
    OnMerge(MergeCallback),
    /// Change that channel on every node.
    ChangeChannel {
        channel: String,
        operation: Operation,
        within: Duration,
        answer: Sender<Result<ChannelChangeReport, ChannelChangeError>>,
    },
    /// Say what was ordered of channels.
    ChannelChanges(Sender<Vec<ChannelChange>>),
    /// Something of the topology.
    Topology(TopologyOrder),
    /// Hand out what members say of what they count.
    Summaries(Sender<Held>),
}

/// What applications and the driver share.
#[derive(Debug)]
pub(crate) struct ClusterState {
    pub(super) view: ArcSwap<View>,
    /// Notified when there is another view.
    pub(super) changed: event_listener::Event,
    orders: Sender<Order>,
    broadcast_bytes: AtomicUsize,
    /// How often it was ordered to join.
    joins: AtomicU64,
    pub(super) topics: Topics,
    pub(super) counters: Counters,
    pub(super) discoveries: Discoveries,
}

/// Why an order was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// As many as may be wait.
    Full,
    /// The node has stopped.
    Ended,
}

impl ClusterState {
    /// With that first view and those discoveries. The orders come out of the receiver.
    pub(super) fn new(view: View, discoveries: &[DiscoveryConfig]) -> (Arc<Self>, Receiver<Order>) {
        let (orders, taken) = bounded(ORDERS_MAX);
        let state = Self {
            view: ArcSwap::from_pointee(view),
            changed: event_listener::Event::new(),
            orders,
            broadcast_bytes: AtomicUsize::new(0),
            joins: AtomicU64::new(0),
            topics: Topics::default(),
            counters: Counters::default(),
            discoveries: Discoveries::new(discoveries),
        };
        (Arc::new(state), taken)
    }

    /// How often it was ordered to join: a view that has followed fewer says nothing of the last.
    pub(super) fn joins(&self) -> u64 {
        self.joins.load(Ordering::Acquire)
    }

    /// Leaves an order for the driver.
    pub(super) fn order(&self, order: Order) -> Result<(), NotTaken> {
        if matches!(order, Order::Join(_)) {
            self.joins.fetch_add(1, Ordering::AcqRel);
        }
        let bytes = order.broadcast_bytes();
        let before = self.broadcast_bytes.fetch_add(bytes, Ordering::Relaxed);
        let taken = if bytes > 0 && before > 0 && before + bytes > BROADCAST_BYTES_MAX {
            Err(NotTaken::Full)
        } else {
            self.orders.try_send(order).map_err(|error| match error {
                TrySendError::Full(_) => NotTaken::Full,
                TrySendError::Disconnected(_) => NotTaken::Ended,
            })
        };
        if taken.is_err() {
            self.broadcast_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    /// The driver has taken an order.
    pub(super) fn taken(&self, order: &Order) {
        let bytes = order.broadcast_bytes();
        self.broadcast_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Order {
    fn broadcast_bytes(&self) -> usize {
        match self {
            Self::Broadcast { body, .. } | Self::Publish { body, .. } => body.len(),
            _ => 0,
        }
    }
}
