//! What the application sends to all, or to those who subscribe; and what of others' is known not to come.
//!
//! Called by the driver. It knows which members there are and which overlay is in force, and leaves the rest to the
//! protocols.

use bytes::Bytes;
use overlane_overlays::epoch::OverlayKind;
use overlane_overlays::{Command, Input, Payload, TopicId};

use super::{Deed, Driver};
use crate::cluster::machine::Readings as _;
use crate::events::Event;

impl Driver {
    /// To all members that are live as this node sees them, or to none.
    pub(super) fn broadcast_atomically(&mut self, payload: Payload) {
        let members = self.machine.members().iter();
        let live = members.filter(|entry| entry.status.is_live());
        let view = live.map(|entry| (entry.peer, entry.version.incarnation));
        let view = view.collect();
        let command = Command::AtomicBroadcast { view, payload };
        self.give(Input::Command(command), None);
    }

    /// Along the topic's own overlay where there is one, otherwise to every member: those who do not subscribe let it go.
    pub(super) fn publish(&mut self, topic: TopicId, body: Bytes) {
        let command = match self.machine.overlay().kind {
            OverlayKind::PubSub => Command::Publish(topic, body),
            _ => Command::Broadcast(body.into()),
        };
        self.give(Input::Command(command), None);
    }

    /// Broadcasts of others that are known not to come here any more. One that comes after all is counted no more.
    pub(in crate::cluster) fn given_up(&self) -> u64 {
        self.machine.given_up()
    }

    /// Tells what was given up since it was told last.
    pub(super) fn tell_given_up(&mut self, out: &mut Vec<Deed>) {
        let messages = self.given_up().saturating_sub(self.given_up);
        if messages > 0 {
            self.given_up += messages;
            out.push(Deed::Tell(Event::BroadcastsMissed {
                sender: None,
                messages,
            }));
        }
    }
}
