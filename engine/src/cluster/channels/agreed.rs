//! What was ordered of each channel of the cluster, as far as this node knows, and how far it is made here.
//!
//! A state machine without I/O, owned by the driver. Of two changes of a channel the greater epoch counts, wherever they meet: at
//! once where two nodes order at the same time, later where a partition kept them apart. Neighbors compare what they
//! know when they meet, so a newcomer and a node that was away learn the rest. It changes no channel and knows no lanes.

use std::collections::BTreeMap;

use super::change::{CHANGED_MAX, Change, ChangeEpoch, ChangeHeads, Settings, Wanted};
use crate::cluster::identity::NodeId;

/// What is known of a channel.
#[derive(Clone, Debug)]
struct Known {
    change: Change,
    /// Who told it first: what members say of it goes back that way.
    from: Option<NodeId>,
    /// How it ended here; none while it is being made.
    made: Option<Result<(), String>>,
}

/// What a node orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Operation {
    Add(Settings),
    Set(Settings),
    Remove { wait_ms: u64 },
}

/// What is new of a change that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Taken {
    /// It is in force from now on.
    New,
    /// It was known.
    Known,
    /// A greater one is in force.
    Older(Box<Change>),
    /// There is no room for one more channel.
    Refused,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(in crate::cluster) struct AgreedChannels {
    known: BTreeMap<String, Known>,
    /// The greatest number of an epoch that was seen, or given out.
    newest: u64,
    /// Removals up to this number were forgotten for want of room: what is older of channels that are not known is not taken.
    forgotten: u64,
}

impl AgreedChannels {
    /// The change that this order comes to, after all that is known. No other one gets its epoch.
    pub(in crate::cluster) fn propose(
        &mut self,
        channel: &str,
        operation: Operation,
        by: &str,
        incarnation: u64,
    ) -> Change {
        let epoch = ChangeEpoch::after(self.newest, NodeId::of(by), incarnation);
        let known = self.known.get(channel).map(|known| &known.change);
        let life = known.map_or(0, |change| change.life);
        let (life, wanted) = match (operation, known.map(|change| &change.wanted)) {
            (Operation::Remove { wait_ms }, _) => (life + 1, Wanted::Absent { wait_ms }),
            (Operation::Set(new), Some(Wanted::Present { added, settings })) => {
                let settings = laid_over(settings, new);
                let added = *added;
                (life, Wanted::Present { added, settings })
            }
            (Operation::Set(settings), _) => {
                let added = None;
                (life, Wanted::Present { added, settings })
            }
            (Operation::Add(settings), _) => {
                let added = Some(epoch);
                (life, Wanted::Present { added, settings })
            }
        };
        self.newest = epoch.number;
        Change {
            channel: channel.to_owned(),
            epoch,
            by: by.to_owned(),
            life,
            wanted,
        }
    }

    /// Takes a change of this node, or one that a peer told.
    pub(in crate::cluster) fn take(&mut self, change: &Change, from: Option<NodeId>) -> Taken {
        match self.known.get(&change.channel) {
            Some(known) if known.change.epoch == change.epoch => return Taken::Known,
            Some(known) if known.change.epoch > change.epoch => {
                return Taken::Older(Box::new(known.change.clone()));
            }
            Some(_) => {}
            None if !self.takes(&change.channel, change.epoch) => return Taken::Refused,
            None => self.make_room(),
        }
        self.newest = self.newest.max(change.epoch.number);
        let known = Known {
            change: change.clone(),
            from,
            made: None,
        };
        self.known.insert(change.channel.clone(), known);
        Taken::New
    }

    /// Whether something was ordered of that channel, as far as it was not forgotten.
    pub(in crate::cluster) fn knows(&self, channel: &str) -> bool {
        self.known.contains_key(channel)
    }

    /// Channels of which nothing is known yet for which there is room: removals make room.
    pub(in crate::cluster) fn room(&self) -> usize {
        let known = self.known.values();
        let present = known.filter(|known| !known.change.is_removal());
        CHANGED_MAX.saturating_sub(present.count())
    }

    /// Whether that change would be taken.
    fn takes(&self, channel: &str, epoch: ChangeEpoch) -> bool {
        match self.known.get(channel) {
            Some(known) => known.change.epoch < epoch,
            None => epoch.number > self.forgotten && self.room() > 0,
        }
    }

    /// Forgets the oldest removal, if it has to.
    fn make_room(&mut self) {
        if self.known.len() < CHANGED_MAX {
            return;
        }
        let removed = self
            .known
            .values()
            .filter(|known| known.change.is_removal());
        let oldest = removed.min_by_key(|known| known.change.epoch);
        if let Some((channel, number)) =
            oldest.map(|known| (known.change.channel.clone(), known.change.epoch.number))
        {
            self.known.remove(&channel);
            self.forgotten = self.forgotten.max(number);
        }
    }

    /// A change was made here, or was not and why. False if another one is in force by now.
    pub(in crate::cluster) fn made(
        &mut self,
        channel: &str,
        epoch: ChangeEpoch,
        outcome: Result<(), String>,
    ) -> bool {
        let known = self.known.get_mut(channel);
        let in_force = known.filter(|known| known.change.epoch == epoch);
        in_force.map(|known| known.made = Some(outcome)).is_some()
    }

    /// How a change ended here, if it is in force and has.
    pub(in crate::cluster) fn outcome(
        &self,
        channel: &str,
        epoch: ChangeEpoch,
    ) -> Option<&Result<(), String>> {
        let known = self.known.get(channel)?;
        let is_it = known.change.epoch == epoch;
        known.made.as_ref().filter(|_| is_it)
    }

    /// The change of a channel that is in force and has not ended here.
    pub(in crate::cluster) fn unmade(&self, channel: &str) -> Option<Change> {
        let known = self.known.get(channel)?;
        known.made.is_none().then(|| known.change.clone())
    }

    /// The neighbor from which a change came, if it is in force.
    pub(in crate::cluster) fn way_back(&self, channel: &str, epoch: ChangeEpoch) -> Option<NodeId> {
        let known = self.known.get(channel)?;
        known.from.filter(|_| known.change.epoch == epoch)
    }

    /// Which changes are known here.
    pub(in crate::cluster) fn heads(&self, is_answer: bool) -> ChangeHeads {
        let known = self.known.iter();
        let heads = known.map(|(channel, known)| (channel.clone(), known.change.epoch));
        ChangeHeads {
            is_answer,
            forgotten: self.forgotten,
            heads: heads.collect(),
        }
    }

    /// Nobody has ordered anything.
    pub(in crate::cluster) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What somebody who knows these lacks; and whether they know of something that is not here.
    ///
    /// What they have forgotten is forgotten here too, but not before the rest is known: their older changes of channels
    /// that are not known here would not be taken any more.
    pub(in crate::cluster) fn compare(&mut self, theirs: &ChangeHeads) -> (Vec<Change>, bool) {
        self.newest = self.newest.max(theirs.forgotten);
        let there: BTreeMap<&str, ChangeEpoch> = theirs
            .heads
            .iter()
            .map(|(channel, epoch)| (channel.as_str(), *epoch))
            .collect();
        let lacks = |known: &&Known| {
            let epoch = known.change.epoch;
            match there.get(known.change.channel.as_str()) {
                Some(theirs) => *theirs < epoch,
                None => epoch.number > theirs.forgotten,
            }
        };
        let lacking = self.known.values().filter(lacks);
        let lacking = lacking.map(|known| known.change.clone()).collect();
        let mut there = there.iter();
        let is_behind = there.any(|(channel, epoch)| self.takes(channel, *epoch));
        if !is_behind {
            self.forgotten = self.forgotten.max(theirs.forgotten);
        }
        (lacking, is_behind)
    }

    /// Whether more was forgotten here than there.
    pub(in crate::cluster) const fn has_forgotten_more(&self, theirs: &ChangeHeads) -> bool {
        self.forgotten > theirs.forgotten
    }

    /// All changes in force, by channel, and how each ended here.
    pub(in crate::cluster) fn all(
        &self,
    ) -> impl Iterator<Item = (&Change, Option<&Result<(), String>>)> {
        let known = self.known.values();
        known.map(|known| (&known.change, known.made.as_ref()))
    }
}

/// Settings with others over them.
fn laid_over(under: &Settings, over: Settings) -> Settings {
    let is_kept = |(key, _): &&(String, String)| !over.iter().any(|(other, _)| other == key);
    let mut laid: Settings = under.iter().filter(is_kept).cloned().collect();
    laid.extend(over);
    laid
}
