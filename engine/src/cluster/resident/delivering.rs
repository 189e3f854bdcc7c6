//! The end of a broadcast's way: into a mailbox of this node, by the node's lane to itself, within its bounds.
//!
//! Called by the resident for each broadcast and publication that came. What is for nobody here ends here.

use std::sync::Arc;

use super::ClusterResident;
use super::outgoing::channel_of;
use crate::cluster::counts::count;
use crate::cluster::payload::{Addressed, Sort};
use crate::envelope::Envelope;
use crate::message::Destination;

/// The key under which a broadcast names the node that sent it.
pub const ORIGIN_KEY: &str = "overlane.from";
/// The key under which it says how many nodes it passed, the last one included: two bytes, little-endian.
pub const HOPS_KEY: &str = "overlane.hops";
/// The key under which a publication names its topic.
pub const TOPIC_KEY: &str = "overlane.topic";

impl ClusterResident {
    /// Gives a broadcast or publication to its mailbox here.
    pub(super) fn deliver(&self, from: &str, hops: u16, message: Addressed) {
        let counters = self.state.counters.of(message.sort);
        let delivered = match message.sort {
            Sort::Broadcast(_) => {
                let mailbox = message.to.clone();
                self.give_to(&mailbox, from, hops, message, None)
            }
            Sort::Topic => {
                let Some(mailbox) = self.state.topics.mailbox(&message.to) else {
                    return;
                };
                let topic = message.to.clone();
                self.give_to(&mailbox, from, hops, message, Some(&topic))
            }
        };
        count(match delivered {
            Some(()) => &counters.delivered,
            None => &counters.missed,
        });
    }

    /// None if it finds no channel of its name, or no room on it.
    fn give_to(
        &self,
        mailbox: &str,
        from: &str,
        hops: u16,
        message: Addressed,
        topic: Option<&str>,
    ) -> Option<()> {
        let fabric = &self.fabric;
        let channel = channel_of(fabric, &message.channel)?;
        let itself = fabric.wishes.peer(&fabric.config.node_name).ok()?;
        let to = Destination::new(Arc::clone(&itself), fabric.mailboxes.get(mailbox).ok()?);
        let hops = hops.to_le_bytes();
        let mut payload = Envelope::new(message.payload)
            .metadata(ORIGIN_KEY, from)
            .metadata(HOPS_KEY, &hops);
        if let Some(topic) = topic {
            payload = payload.metadata(TOPIC_KEY, topic);
        }
        channel.try_send_as_named(&to, payload).ok()
    }
}
