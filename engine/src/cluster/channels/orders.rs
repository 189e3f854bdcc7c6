//! The changes of channels that this node has ordered and that have not ended, and how each member does with them.
//!
//! A state machine without I/O, owned by the driver. Those of one channel come one after the other. An order ends when every member that was live has answered or is gone, when
//! its time is over, or when a greater one takes its place. One that this node tries alone ends with that, however long it takes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use overlane_overlays::Time;

use super::agreed::Operation;
use super::change::{Answered, Change, ChangeEpoch};
use crate::cluster::identity::NodeId;
use crate::error::ChannelError;

/// Orders of this node that may be open at a time.
pub(in crate::cluster) const ORDERS_MAX: usize = 64;
/// Members that are told again in one go.
const TOLD_AGAIN_MAX: usize = 64;
/// Every so many looks at them, those who have not answered are told again, straight.
const LOOKS_BETWEEN: u32 = 8;

/// How a change of a channel on all nodes went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelChangeReport {
    /// Grows with each change of channels in the cluster.
    pub epoch: u64,
    /// Members where it is made, this node among them.
    pub made: Vec<String>,
    /// Members that cannot make it, and why. They keep what they have, and are asked again by the next change.
    pub refused: Vec<(String, String)>,
    /// Live members that did not answer in time. Those that are there make it all the same; those that come back learn of it.
    pub silent: Vec<String>,
}

/// A change of a channel that is in force in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelChange {
    /// The channel.
    pub channel: String,
    /// Grows with each change of channels in the cluster.
    pub epoch: u64,
    /// The node that ordered it.
    pub by: String,
    /// `add`, `set` or `remove`, and the parameters that were ordered.
    pub change: String,
    /// Whether it is made at this node.
    pub is_made: bool,
    /// Why it is not, if this node cannot.
    pub why_not: Option<String>,
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) enum OrderEnd {
    /// This node cannot make it itself: nobody was told.
    Refused(ChannelError),
    /// That node's order for the same channel took its place.
    Outrun { by: Arc<str> },
    /// Too many orders are open, or too many channels were changed.
    Full,
    /// With what was ordered before, it has too many bytes of parameters.
    TooLarge { bytes: usize },
    /// By identity: who has made it, who has not and why, who has not answered.
    Ended(Tally),
}

/// Who did what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cluster) struct Tally {
    pub(in crate::cluster) number: u64,
    pub(in crate::cluster) made: Vec<NodeId>,
    pub(in crate::cluster) refused: Vec<(NodeId, String)>,
    pub(in crate::cluster) silent: Vec<NodeId>,
}

#[derive(Debug)]
struct Open {
    /// By which whoever ordered it is found.
    token: u64,
    change: Change,
    until: Time,
    /// None while this node tries it alone.
    waits_for: Option<BTreeSet<NodeId>>,
    tally: Tally,
    looks: u32,
}

/// What an application wants of a channel.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Wish {
    /// By which whoever ordered it is found.
    pub(in crate::cluster) token: u64,
    pub(in crate::cluster) channel: String,
    pub(in crate::cluster) operation: Operation,
    /// How long members may take.
    pub(in crate::cluster) within: Duration,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(in crate::cluster) struct OpenOrders {
    open: Vec<Open>,
    /// Those that wait until another one of the same channel has ended.
    waiting: VecDeque<Wish>,
}

impl OpenOrders {
    pub(in crate::cluster) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(in crate::cluster) fn is_full(&self) -> bool {
        self.open.len() + self.waiting.len() >= ORDERS_MAX
    }

    /// Whether an order of that channel has not ended.
    pub(in crate::cluster) fn has(&self, channel: &str) -> bool {
        self.channels().any(|open| open == channel)
    }

    /// The channels of those that are open.
    pub(in crate::cluster) fn channels(&self) -> impl Iterator<Item = &str> {
        self.open.iter().map(|open| open.change.channel.as_str())
    }

    /// It is to wait for the one that is open.
    pub(in crate::cluster) fn wait(&mut self, wish: Wish) {
        self.waiting.push_back(wish);
    }

    /// Those that wait, in their order: looked at anew.
    pub(in crate::cluster) fn take_waiting(&mut self) -> VecDeque<Wish> {
        std::mem::take(&mut self.waiting)
    }

    pub(in crate::cluster) fn open(&mut self, token: u64, change: Change, until: Time) {
        let tally = Tally {
            number: change.epoch.number,
            ..Tally::default()
        };
        self.open.push(Open {
            token,
            change,
            until,
            waits_for: None,
            tally,
            looks: 0,
        });
    }

    /// The order of that epoch, if this node alone is trying it.
    pub(in crate::cluster) fn on_trial(
        &self,
        channel: &str,
        epoch: ChangeEpoch,
    ) -> Option<(u64, &Change)> {
        let open = self.find(channel, epoch)?;
        let open = &self.open[open];
        open.waits_for
            .is_none()
            .then_some((open.token, &open.change))
    }

    /// Everybody is told: these are waited for, this node among them.
    pub(in crate::cluster) fn told(
        &mut self,
        channel: &str,
        epoch: ChangeEpoch,
        members: BTreeSet<NodeId>,
    ) {
        if let Some(open) = self.find(channel, epoch) {
            self.open[open].waits_for = Some(members);
        }
    }

    /// A member has answered.
    pub(in crate::cluster) fn answered(&mut self, answer: Answered) {
        let Some(open) = self.find(&answer.channel, answer.epoch) else {
            return;
        };
        let Open {
            waits_for: Some(waits_for),
            tally,
            ..
        } = &mut self.open[open]
        else {
            return;
        };
        if waits_for.remove(&answer.member) {
            match answer.why_not {
                None => tally.made.push(answer.member),
                Some(why) => tally.refused.push((answer.member, why)),
            }
        }
    }

    /// Another change of that channel is in force. Those orders that it took the place of.
    pub(in crate::cluster) fn outrun(&mut self, by: &Change) -> Vec<u64> {
        let is_outrun =
            |open: &mut Open| open.change.channel == by.channel && open.change.epoch < by.epoch;
        let outrun = self.open.extract_if(.., is_outrun);
        outrun.map(|open| open.token).collect()
    }

    /// Takes an order out that has ended otherwise.
    pub(in crate::cluster) fn close(&mut self, token: u64) {
        self.open.retain(|open| open.token != token);
    }

    /// Those that have ended by now. `is_live` says of a member whether there is still something to be waited for.
    pub(in crate::cluster) fn take_ended(
        &mut self,
        now: Time,
        is_live: impl Fn(NodeId) -> bool,
    ) -> Vec<(u64, Tally)> {
        let has_ended = |open: &mut Open| {
            if let Some(waits_for) = &mut open.waits_for {
                waits_for.retain(|member| is_live(*member));
            }
            let is_answered = open.waits_for.as_ref().is_some_and(BTreeSet::is_empty);
            let is_told = open.waits_for.is_some();
            is_answered || is_told && now >= open.until
        };
        let ended = self.open.extract_if(.., has_ended);
        ended
            .map(|open| {
                let silent = open.waits_for.into_iter().flatten().collect();
                (
                    open.token,
                    Tally {
                        silent,
                        ..open.tally
                    },
                )
            })
            .collect()
    }

    /// Members that have not answered for a while, a few at a time, each with the change to send it again.
    pub(in crate::cluster) fn look(&mut self) -> Vec<(NodeId, Change)> {
        let mut again = Vec::new();
        for open in &mut self.open {
            open.looks += 1;
            if open.looks.is_multiple_of(LOOKS_BETWEEN) {
                let members = open.waits_for.iter().flatten().take(TOLD_AGAIN_MAX);
                again.extend(members.map(|member| (*member, open.change.clone())));
            }
        }
        again
    }

    fn find(&self, channel: &str, epoch: ChangeEpoch) -> Option<usize> {
        let mut open = self.open.iter();
        open.position(|open| open.change.channel == channel && open.change.epoch == epoch)
    }
}
