//! Timers of publish-subscribe: those of its overlays, and its own.

use serde::Serialize;

use crate::event::TopicId;
use crate::stack::Half;
use crate::{hyparview, plumtree};

/// Timers of an overlay with its broadcast.
pub type SwarmTimer = Half<hyparview::Timer, plumtree::Timer>;

/// Timers of publish-subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Timer {
    /// Of the overlay of all nodes, or its broadcast.
    Base(SwarmTimer),
    /// Of the overlay of a topic, or its broadcast.
    Topic {
        /// Which topic.
        topic: TopicId,
        /// Which subscription to it.
        life: u32,
        /// What the overlay or broadcast calls it.
        id: SwarmTimer,
    },
    /// The topic may be due to be announced.
    Announce {
        /// Which topic.
        topic: TopicId,
        /// Which subscription to it.
        life: u32,
        /// Which timer: only the last one set counts.
        alarm: u32,
    },
    /// The contact that was asked to publish something should have answered by now.
    AnswerDue {
        /// Which publication.
        number: u64,
        /// Which attempt: only the last one counts.
        attempt: u32,
    },
    /// The beacon that was announced should have come within the topic by now.
    Check {
        /// Which topic.
        topic: TopicId,
        /// Which beacon.
        beacon: u64,
    },
}
