//! What an application can send to all members, or to those who subscribe, and what of that is counted.
//!
//! Leaves orders for the control shard, and waits only where its documentation says so.

use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use overlane_overlays::payload::PAYLOAD_BYTES_MAX;

use super::counts::BroadcastCounts;
use super::error::{AtomicError, BroadcastError, TopicError};
use super::handle::Cluster;
use super::kind::BroadcastKind;
use super::orders::Order;
use super::outcome::atomic_result;
use super::payload::{Addressed, Sort};
use super::topics::topic_id;
use crate::deadline::deadline_in;
use crate::threads;

impl Cluster {
    /// Sends a message to that mailbox on every other member, on that channel, passed on from node to node along the
    /// overlay. It comes to a member once; a receiver finds the name of this node under the key
    /// [`ORIGIN_KEY`](super::ORIGIN_KEY) of its metadata. Does not wait: what comes of it, the broadcast
    /// layer sees to, and [`broadcast_counts`](Self::broadcast_counts) counts.
    ///
    /// # Errors
    /// [`BroadcastError`].
    pub fn broadcast(
        &self,
        channel: &str,
        mailbox: &str,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), BroadcastError> {
        self.broadcast_as(BroadcastKind::Plain, channel, mailbox, payload)
    }

    /// [`broadcast`](Self::broadcast) of a kind. An event tells how an atomic one ends
    /// ([`Event::AtomicEnded`](crate::Event::AtomicEnded)), and what causal ones this node will not deliver
    /// ([`Event::BroadcastsMissed`](crate::Event::BroadcastsMissed)).
    ///
    /// # Errors
    /// [`BroadcastError`].
    pub fn broadcast_as(
        &self,
        kind: BroadcastKind,
        channel: &str,
        mailbox: &str,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), BroadcastError> {
        let sort = Sort::Broadcast(kind);
        let body = self.addressed(sort, channel, mailbox, payload.as_ref())?;
        let answer = None;
        self.order(Order::Broadcast { kind, body, answer })
            .map_err(BroadcastError::from)
    }

    /// Sends a message to that mailbox on all other live members or on none of them, and waits until it is decided.
    /// The members are those that this node counts as live now; one that goes away meanwhile, or has no room, makes
    /// it end as none.
    ///
    /// # Errors
    /// [`AtomicError`] says why nobody delivers it, or that it is not known.
    pub fn broadcast_atomic(
        &self,
        channel: &str,
        mailbox: &str,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<(), AtomicError> {
        if threads::is_own() {
            return Err(AtomicError::WouldDeadlock);
        }
        let kind = BroadcastKind::Atomic;
        let sort = Sort::Broadcast(kind);
        let body = self.addressed(sort, channel, mailbox, payload.as_ref())?;
        let (answer, answered) = bounded(1);
        let answer = Some(answer);
        self.order(Order::Broadcast { kind, body, answer })
            .map_err(BroadcastError::from)?;
        match answered.recv_deadline(deadline_in(timeout)) {
            Ok(end) => atomic_result(end),
            Err(RecvTimeoutError::Timeout) => Err(AtomicError::TimedOut { waited: timeout }),
            Err(RecvTimeoutError::Disconnected) => {
                Err(BroadcastError::from(super::ClusterError::Closed).into())
            }
        }
    }

    /// Has what is published to a topic from now on come to that mailbox of this node, but for what this node itself
    /// publishes. A topic that is subscribed to already gets that mailbox in the place of the one it had. A receiver finds
    /// the topic under [`TOPIC_KEY`](super::TOPIC_KEY) and the publisher under [`ORIGIN_KEY`](super::ORIGIN_KEY).
    ///
    /// # Errors
    /// [`TopicError`].
    pub fn subscribe(&self, topic: &str, mailbox: &str) -> Result<(), TopicError> {
        let id = topic_id(topic)?;
        self.fabric.mailboxes.get(mailbox)?;
        let most = self.fabric.config.pub_sub.topics_max;
        let order = || {
            self.order(Order::Subscribe(id))
                .map_err(|error| BroadcastError::from(error).into())
        };
        self.state.topics.subscribe(topic, mailbox, most, order)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`TopicError`].
    pub fn unsubscribe(&self, topic: &str) -> Result<(), TopicError> {
        let id = topic_id(topic)?;
        let order = || {
            self.order(Order::Unsubscribe(id))
                .map_err(|error| BroadcastError::from(error).into())
        };
        self.state.topics.unsubscribe(topic, order)
    }

    /// The topics that this node subscribes to, and the mailbox of each.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<(String, String)> {
        self.state.topics.all()
    }

    /// Sends a message to every other node that subscribes to a topic, on that channel. In a publish-subscribe overlay only
    /// those carry it; other overlays carry it to every member, and where nobody subscribes it ends. Does not wait.
    ///
    /// # Errors
    /// [`TopicError`].
    pub fn publish(
        &self,
        channel: &str,
        topic: &str,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), TopicError> {
        let id = topic_id(topic)?;
        let body = self.write(Sort::Topic, channel, topic, payload.as_ref())?;
        self.order(Order::Publish { topic: id, body })
            .map_err(|error| BroadcastError::from(error).into())
    }

    /// Counts of this node's part in broadcasts and publications.
    #[must_use]
    pub fn broadcast_counts(&self) -> BroadcastCounts {
        self.state.counters.read()
    }

    /// As it travels to a mailbox, which must be one.
    fn addressed(
        &self,
        sort: Sort,
        channel: &str,
        mailbox: &str,
        payload: &[u8],
    ) -> Result<bytes::Bytes, BroadcastError> {
        self.fabric.mailboxes.get(mailbox)?;
        self.write(sort, channel, mailbox, payload)
    }

    fn write(
        &self,
        sort: Sort,
        channel: &str,
        to: &str,
        payload: &[u8],
    ) -> Result<bytes::Bytes, BroadcastError> {
        if self.fabric.channels.find(channel).is_none() {
            return Err(BroadcastError::NoChannel(channel.to_owned()));
        }
        let body = Addressed::write(sort, channel, to, payload);
        let bytes_max = PAYLOAD_BYTES_MAX - (body.len() - payload.len());
        if payload.len() > bytes_max {
            let bytes = payload.len();
            return Err(BroadcastError::TooLarge { bytes, bytes_max });
        }
        Ok(body)
    }
}
