//! One hop of what is relayed: onto the lane to the next node, or behind what waits for room on it.

use std::time::Duration;

use super::super::envelope::{Envelope, Kind, TurnedBack};
use super::super::held::{LaneName, Onward};
use super::{Carrier, Turn};
use crate::channel::Channel;
use crate::cluster::{HOPS_KEY, ORIGIN_KEY};
use crate::config::RESERVED_PREFIX;
use crate::envelope::Envelope as Message;
use crate::error::SendError;
use crate::mailboxes::Mailbox;
use crate::message::Destination;
use crate::payload::Payload;

/// How often what waits for room is tried again: a turn or two of a shard.
const AGAIN_EVERY: Duration = Duration::from_millis(2);

impl Carrier {
    /// Puts it on the lane, or behind what waits for that. Gives it back, and says why, if it goes no further.
    pub(super) fn send(
        &mut self,
        lane: &LaneName,
        onward: Onward,
        turn: &mut Turn<'_>,
    ) -> Option<(Onward, TurnedBack)> {
        if !self.held.waits_for(lane) {
            match self.put_on_lane(lane, &onward) {
                Ok(()) => {
                    self.has_gone(lane, &onward, turn);
                    return None;
                }
                Err(None) => {}
                Err(Some(why)) => return Some((onward, why)),
            }
        }
        let refused = self.held.put(lane, onward);
        self.try_again.get_or_insert(turn.instant + AGAIN_EVERY);
        refused.map(|onward| (onward, TurnedBack::NoRoom))
    }

    /// Why the lane did not take it; none if it has no room now.
    pub(super) fn put_on_lane(
        &self,
        lane: &LaneName,
        onward: &Onward,
    ) -> Result<(), Option<TurnedBack>> {
        let (next, channel) = lane;
        let fabric = &self.fabric;
        let channel = Channel::find(fabric, channel).ok_or(Some(TurnedBack::NoChannel))?;
        let peer = fabric
            .wishes
            .peer(next)
            .map_err(|_| Some(TurnedBack::NoWay))?;
        let sent = if *next == self.me {
            let envelope = &onward.envelope;
            let mailbox = self.mailbox_for(channel.name(), envelope).map_err(Some)?;
            let hops = u16::from(envelope.hops.saturating_add(1)).to_le_bytes();
            let message = Message::new(onward.bytes.clone())
                .metadata(ORIGIN_KEY, envelope.from.as_bytes())
                .metadata(HOPS_KEY, &hops);
            let to = Destination::new(peer, mailbox);
            let sent = channel.try_send_as_named(&to, message);
            sent.map_err(|unsent| unsent.error)
        } else {
            let to = Destination::new(peer, self.mailbox.clone());
            channel.try_send_directly(&to, Payload::Shared(onward.bytes.clone()))
        };
        sent.map_err(|error| match error {
            SendError::Full => None,
            SendError::TooLarge { .. } | SendError::ChannelRemoved => Some(TurnedBack::NoChannel),
            _ => Some(TurnedBack::NoWay),
        })
    }

    /// The mailbox that it is for. On the node's lane to itself nothing is asked any more, so it is asked here whether the
    /// channel is for its sender, and the mailbox for peers: those of the engine are not.
    fn mailbox_for(&self, channel: &str, envelope: &Envelope) -> Result<Mailbox, TurnedBack> {
        let plan = self.fabric.channels.find(channel);
        let plan = plan.filter(|plan| plan.admits(&envelope.from));
        let plan = plan.ok_or(TurnedBack::NoChannel)?;
        let name = &*envelope.mailbox;
        let is_open = plan.opens(name) && !name.starts_with(RESERVED_PREFIX);
        let mailbox = self.fabric.mailboxes.received(name);
        mailbox.filter(|_| is_open).ok_or(TurnedBack::NoMailbox)
    }

    /// The lane has taken it.
    fn has_gone(&mut self, lane: &LaneName, onward: &Onward, turn: &mut Turn<'_>) {
        let is_here = *lane.0 == *self.me;
        let (true, Some(from)) = (is_here, onward.came_from.clone()) else {
            return;
        };
        self.book.count_delivered();
        if onward.envelope.kind == (Kind::Message { is_awaited: true }) {
            self.answer(&from, &lane.1, &onward.envelope, Kind::Receipt, turn);
        }
    }

    /// Tries again what waits for room, in its order.
    pub(super) fn try_held(&mut self, turn: &mut Turn<'_>) {
        if self.try_again.is_none_or(|at| at > turn.instant) {
            return;
        }
        self.try_again = None;
        for lane in self.held.lanes() {
            while let Some(first) = self.held.first(&lane) {
                let put = self.put_on_lane(&lane, first);
                if put == Err(None) {
                    break;
                }
                let Some(onward) = self.held.take_first(&lane) else {
                    break;
                };
                match put {
                    Err(Some(why)) => self.is_lost(&lane, &onward, why, turn),
                    _ => self.has_gone(&lane, &onward, turn),
                }
            }
        }
        if !self.held.is_empty() {
            self.try_again = Some(turn.instant + AGAIN_EVERY);
        }
    }

    /// What waited for a lane goes no further.
    fn is_lost(&mut self, lane: &LaneName, onward: &Onward, why: TurnedBack, turn: &mut Turn<'_>) {
        match &onward.came_from {
            Some(from) => self.turn_back(&from.clone(), &lane.1, &onward.envelope, why, turn),
            None => self.answered(onward.envelope.number, Some(why), turn),
        }
    }
}
