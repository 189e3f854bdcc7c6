//! The driver's part in changes of channels on all nodes: ordered here, told to neighbors, passed on, compared with each new
//! neighbor, and answered.
//!
//! Called for orders, for what the resident says of their making, and for what control shards of others say. What is added or set is made at
//! this node before anybody is told, so a mistake stays here; a removal is told at once, so that all nodes drain together. Answers go
//! back the way that the change came, from neighbor to neighbor, so a large cluster needs no lanes for them.

use std::time::Duration;

use overlane_overlays::Time;

use super::{Deed, Driver, Timer};
use crate::cluster::channels::agreed::{Operation, Taken};
use crate::cluster::channels::change::{Answered, Change, ChangeEpoch, ChangeHeads};
use crate::cluster::channels::orders::{ChannelChange, OrderEnd, Wish};
use crate::cluster::identity::NodeId;
use crate::cluster::machine::Readings as _;
use crate::cluster::words::Word;
use crate::error::ChannelError;
use crate::events::Event;

/// How often open orders are looked at. 250 ms: a guess, below what a person who waits notices.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Driver {
    /// The application wants a channel changed on every node.
    pub(super) fn change_channel(&mut self, now: Time, wish: Wish, out: &mut Vec<Deed>) {
        let token = wish.token;
        if self.channel_orders.is_full() || !self.has_room_for(&wish.channel) {
            let end = OrderEnd::Full;
            out.push(Deed::ChannelOrderEnded { token, end });
            return;
        }
        if self.channel_orders.has(&wish.channel) {
            self.channel_orders.wait(wish);
            return;
        }
        let is_removal = matches!(wish.operation, Operation::Remove { .. });
        let (by, incarnation) = (&self.identity.name, self.identity.incarnation);
        let (channel, operation) = (&wish.channel, wish.operation);
        let change = self.channels.propose(channel, operation, by, incarnation);
        if let Err(bytes) = change.check_size() {
            let end = OrderEnd::TooLarge { bytes };
            out.push(Deed::ChannelOrderEnded { token, end });
            return;
        }
        if self.channel_orders.is_empty() {
            self.timers.set_after(now, LOOK_EVERY, Timer::Changes);
        }
        let until = now + wish.within;
        self.channel_orders.open(token, change.clone(), until);
        out.push(Deed::ChangeChannel(change.clone()));
        if is_removal {
            self.put_in_force(now, token, &change, out);
        }
    }

    /// Whether the change can be kept once it is made here, and those that are being tried before it.
    fn has_room_for(&self, channel: &str) -> bool {
        let open = self.channel_orders.channels();
        let unknown = open.filter(|channel| !self.channels.knows(channel));
        self.channels.knows(channel) || unknown.count() < self.channels.room()
    }

    /// Goes on with orders that waited for another one of their channel, once that has ended.
    fn go_on_with_orders(&mut self, now: Time, out: &mut Vec<Deed>) {
        for wish in self.channel_orders.take_waiting() {
            self.change_channel(now, wish, out);
        }
    }

    /// A change was made at this node, or was not.
    pub(super) fn channel_changed(
        &mut self,
        now: Time,
        channel: &str,
        epoch: ChangeEpoch,
        outcome: Result<(), ChannelError>,
        out: &mut Vec<Deed>,
    ) {
        if let Some((token, change)) = self.channel_orders.on_trial(channel, epoch) {
            let change = change.clone();
            match outcome {
                Err(error) => {
                    self.end_order(token, OrderEnd::Refused(error), out);
                    // What is in force may have waited behind the trial, and been left for it.
                    out.extend(self.channels.unmade(channel).map(Deed::ChangeChannel));
                }
                Ok(()) => {
                    self.put_in_force(now, token, &change, out);
                    self.made_here(now, channel, epoch, Ok(()), out);
                }
            }
        } else {
            let outcome = outcome.map_err(|error| error.to_string());
            self.made_here(now, channel, epoch, outcome, out);
        }
        self.go_on_with_orders(now, out);
    }

    /// An order of this node counts from now on, unless another node was first: everybody is told.
    fn put_in_force(&mut self, now: Time, token: u64, change: &Change, out: &mut Vec<Deed>) {
        match self.channels.take(change, None) {
            Taken::New => {}
            Taken::Older(other) => {
                let by = other.by.as_str().into();
                self.end_order(token, OrderEnd::Outrun { by }, out);
                return;
            }
            Taken::Known | Taken::Refused => {
                self.end_order(token, OrderEnd::Full, out);
                return;
            }
        }
        let members = self.machine.members().iter();
        let live = members.filter(|entry| entry.status.is_live());
        let members = live.map(|entry| entry.peer).chain([self.me]).collect();
        self.channel_orders
            .told(&change.channel, change.epoch, members);
        self.tell_change(change, out);
        self.pass_change_on(change, None, out);
        self.end_orders(now, out);
    }

    /// Notes how a change ended here, and says so to the node that ordered it.
    fn made_here(
        &mut self,
        now: Time,
        channel: &str,
        epoch: ChangeEpoch,
        outcome: Result<(), String>,
        out: &mut Vec<Deed>,
    ) {
        if !self.channels.made(channel, epoch, outcome.clone()) {
            return;
        }
        if let Err(why) = &outcome {
            out.push(Deed::Tell(Event::ChannelChangeRefused {
                channel: channel.into(),
                epoch: epoch.number,
                why: why.as_str().into(),
            }));
        }
        let why_not = outcome.err();
        let answer = Answered::new(channel, epoch, self.me, why_not.as_deref());
        self.heard_answered(now, answer, out);
    }

    /// A change came from a peer.
    pub(super) fn heard_change(
        &mut self,
        now: Time,
        from: NodeId,
        change: &Change,
        out: &mut Vec<Deed>,
    ) {
        match self.channels.take(change, Some(from)) {
            Taken::New => {
                for token in self.channel_orders.outrun(change) {
                    let by = change.by.as_str().into();
                    let end = OrderEnd::Outrun { by };
                    out.push(Deed::ChannelOrderEnded { token, end });
                }
                self.tell_change(change, out);
                self.pass_change_on(change, Some(from), out);
                out.push(Deed::ChangeChannel(change.clone()));
            }
            // Told again by the node itself: it has not got the answer.
            Taken::Known if from == change.epoch.by => {
                let outcome = self.channels.outcome(&change.channel, change.epoch);
                if let Some(outcome) = outcome {
                    let why_not = outcome.as_ref().err().map(String::as_str);
                    let answer = Answered::new(&change.channel, change.epoch, self.me, why_not);
                    self.send_word(from, Word::of_answered(&answer), None, out);
                }
            }
            Taken::Known => {}
            Taken::Older(newer) => self.send_word(from, Word::of_change(&newer), None, out),
            Taken::Refused => {
                let channel = &change.channel;
                tracing::warn!(channel, "changes of too many channels are kept already");
            }
        }
        self.end_orders(now, out);
        self.go_on_with_orders(now, out);
    }

    /// How a member did with a change: for this node, or for the one that it goes back to.
    pub(super) fn heard_answered(&mut self, now: Time, answered: Answered, out: &mut Vec<Deed>) {
        if answered.epoch.by == self.me {
            self.channel_orders.answered(answered);
            self.end_orders(now, out);
            self.go_on_with_orders(now, out);
        } else if let Some(back) = self.channels.way_back(&answered.channel, answered.epoch)
            && self.lanes.contains_key(&back)
        {
            self.send_word(back, Word::of_answered(&answered), None, out);
        }
    }

    /// A new neighbor hears which changes are known here.
    pub(super) fn compare_changes(&mut self, neighbor: NodeId, out: &mut Vec<Deed>) {
        if !self.channels.is_empty() {
            self.ask_for_changes(neighbor, out);
        }
    }

    /// The same of a node that knows of none: it may have missed the first.
    pub(super) fn ask_for_changes(&mut self, neighbor: NodeId, out: &mut Vec<Deed>) {
        let heads = self.channels.heads(false);
        self.send_word(neighbor, Word::of_change_heads(&heads), None, out);
    }

    pub(super) fn heard_change_heads(
        &mut self,
        from: NodeId,
        theirs: &ChangeHeads,
        out: &mut Vec<Deed>,
    ) {
        let (lacking, is_behind) = self.channels.compare(theirs);
        for change in lacking {
            self.send_word(from, Word::of_change(&change), None, out);
        }
        // Who has got what it lacked can forget what is forgotten here.
        let is_to_forget = self.channels.has_forgotten_more(theirs);
        if is_to_forget || is_behind && !theirs.is_answer {
            let heads = self.channels.heads(true);
            self.send_word(from, Word::of_change_heads(&heads), None, out);
        }
    }

    /// Looks whether orders have ended, and tells members again that do not answer.
    pub(super) fn look_at_changes(&mut self, now: Time, out: &mut Vec<Deed>) {
        self.end_orders(now, out);
        if self.channel_orders.is_empty() {
            // The one that comes next sets the timer.
            self.go_on_with_orders(now, out);
            return;
        }
        self.timers.set_after(now, LOOK_EVERY, Timer::Changes);
        for (member, change) in self.channel_orders.look() {
            if member != self.me {
                self.send_word(member, Word::of_change(&change), None, out);
            }
        }
        self.go_on_with_orders(now, out);
    }

    fn end_orders(&mut self, now: Time, out: &mut Vec<Deed>) {
        let (me, members) = (self.me, self.machine.members());
        let is_live =
            |id: NodeId| id == me || members.get(&id).is_some_and(|entry| entry.status.is_live());
        for (token, tally) in self.channel_orders.take_ended(now, is_live) {
            let end = OrderEnd::Ended(tally);
            out.push(Deed::ChannelOrderEnded { token, end });
        }
    }

    fn end_order(&mut self, token: u64, end: OrderEnd, out: &mut Vec<Deed>) {
        self.channel_orders.close(token);
        out.push(Deed::ChannelOrderEnded { token, end });
    }

    fn tell_change(&self, change: &Change, out: &mut Vec<Deed>) {
        out.push(Deed::Tell(Event::ChannelOrdered {
            channel: change.channel.as_str().into(),
            epoch: change.epoch.number,
            by: change.by.as_str().into(),
            change: change.wanted.to_string().into(),
        }));
    }

    fn pass_change_on(&mut self, change: &Change, from: Option<NodeId>, out: &mut Vec<Deed>) {
        let word = Word::of_change(change);
        for neighbor in self.machine.neighbors() {
            if Some(neighbor) != from {
                self.send_word(neighbor, word.clone(), None, out);
            }
        }
    }

    /// What was ordered of channels, by channel.
    pub(in crate::cluster) fn channel_changes(&self) -> Vec<ChannelChange> {
        let all = self.channels.all().map(|(change, made)| ChannelChange {
            channel: change.channel.clone(),
            epoch: change.epoch.number,
            by: change.by.clone(),
            change: change.wanted.to_string(),
            is_made: matches!(made, Some(Ok(()))),
            why_not: made.and_then(|made| made.as_ref().err().cloned()),
        });
        all.collect()
    }

    /// The name of a member, for a report.
    pub(in crate::cluster) fn name_of(&self, id: NodeId) -> String {
        self.book.name(id).to_string()
    }
}
