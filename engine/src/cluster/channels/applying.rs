//! Changes that this node is making: given to the control shard as wishes, one of each channel at a time, the newest next.
//!
//! Owned by the resident, which gives it a turn in each step and passes its outcomes to the driver. It remembers what
//! orders have made of each channel, so that what is not ordered any more goes back to what the node had by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::change::{CHANGED_MAX, Change, ChangeEpoch, Wanted};
use super::goal::{Before, Goal, goal};
use crate::channel_plan::{ChannelPhase, ChannelPlan};
use crate::channel_table::{ChannelTable, ChannelWish, Done, Outcome, Pending};
use crate::config::ChannelConfig;
use crate::deadline::deadline_in;
use crate::error::ChannelError;

/// How long what a channel has accepted may take where another one takes its place. 10 s: as long as a removal by hand
/// has where nobody says otherwise.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

/// How a change ended.
#[derive(Debug)]
pub(in crate::cluster) struct Made {
    pub(in crate::cluster) channel: String,
    pub(in crate::cluster) epoch: ChangeEpoch,
    pub(in crate::cluster) outcome: Result<(), ChannelError>,
}

/// A change on its way.
#[derive(Debug)]
struct UnderWay {
    change: Change,
    pending: Pending,
    /// To be added when the one that is there is gone.
    then: Option<ChannelConfig>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Applying {
    before: BTreeMap<String, Before>,
    due: BTreeMap<String, Change>,
    under_way: BTreeMap<String, UnderWay>,
}

impl Applying {
    /// That change is to be made, after the one that is under way.
    pub(in crate::cluster) fn add(&mut self, change: Change) {
        match self.due.get(&change.channel) {
            Some(due) if due.epoch > change.epoch => {}
            _ => drop(self.due.insert(change.channel.clone(), change)),
        }
    }

    /// Goes on with what there is. What has ended; and whether the control shard is to look at wishes.
    pub(in crate::cluster) fn turn(&mut self, channels: &ChannelTable) -> (Vec<Made>, bool) {
        let mut ended = Vec::new();
        let mut is_wish = false;
        let under_way: Vec<_> = self.under_way.keys().cloned().collect();
        for channel in under_way {
            let outcome = self.under_way[&channel].pending.outcome();
            if let Some(outcome) = outcome {
                is_wish |= self.go_on(&channel, outcome, channels, &mut ended);
            }
        }
        let due: Vec<_> = self.due.keys().cloned().collect();
        for channel in due {
            if !self.under_way.contains_key(&channel)
                && let Some(change) = self.due.remove(&channel)
            {
                is_wish |= self.begin(change, channels, &mut ended);
            }
        }
        (ended, is_wish)
    }

    /// True if a wish was left.
    fn begin(&mut self, change: Change, channels: &ChannelTable, ended: &mut Vec<Made>) -> bool {
        let plan = channels.find(&change.channel);
        if let Some(plan) = &plan
            && plan.phase != ChannelPhase::Open
        {
            // It is on its way out: looked at again when it is gone.
            self.due.insert(change.channel.clone(), change);
            return false;
        }
        let here = plan.as_ref().map(|plan| plan.config.clone());
        let before = self.before.entry(change.channel.clone()).or_default();
        match &before.made {
            // One that this node tried itself was greater.
            Some(made) if made.epoch > change.epoch => {
                ended.push(made_of(&change, Ok(())));
                return false;
            }
            Some(_) => {}
            None => before.own.clone_from(&here),
        }
        let goal = match goal(here.as_ref(), before, &change) {
            Ok(goal) => goal,
            Err(error) => {
                self.fail(&change, error, ended);
                return false;
            }
        };
        let Some((wish, then)) = wish_of(goal, &change, plan) else {
            self.note(&change);
            ended.push(made_of(&change, Ok(())));
            return false;
        };
        let under_way = UnderWay {
            pending: channels.wishes.leave(wish),
            then,
            change,
        };
        let channel = under_way.change.channel.clone();
        self.under_way.insert(channel, under_way);
        true
    }

    /// A wish has ended. True if another one was left.
    fn go_on(
        &mut self,
        channel: &str,
        outcome: Outcome,
        channels: &ChannelTable,
        ended: &mut Vec<Made>,
    ) -> bool {
        let Some(under_way) = self.under_way.remove(channel) else {
            return false;
        };
        let UnderWay { change, then, .. } = under_way;
        match (outcome, then) {
            // Somebody else was first: looked at anew, unless there is a newer change.
            (Ok(Done::Outrun), _) => {
                self.add(change);
                false
            }
            (Ok(_), Some(channel)) => {
                let pending = channels.wishes.leave(ChannelWish::Add(Box::new(channel)));
                let name = change.channel.clone();
                let then = None;
                let under_way = UnderWay {
                    change,
                    pending,
                    then,
                };
                self.under_way.insert(name, under_way);
                true
            }
            (Ok(_), None) => {
                self.note(&change);
                ended.push(made_of(&change, Ok(())));
                false
            }
            (Err(error), _) => {
                self.fail(&change, error, ended);
                false
            }
        }
    }

    /// That change is not made. Where none was, nothing is remembered: mistakes in names are not bounded.
    fn fail(&mut self, change: &Change, error: ChannelError, ended: &mut Vec<Made>) {
        let is_unmade = |before: &Before| before.made.is_none();
        if self.before.get(&change.channel).is_some_and(is_unmade) {
            self.before.remove(&change.channel);
        }
        ended.push(made_of(change, Err(error)));
    }

    /// That change is made.
    fn note(&mut self, change: &Change) {
        let before = self.before.entry(change.channel.clone()).or_default();
        before.made = Some(change.clone());
        if self.before.len() > CHANGED_MAX {
            let made = self
                .before
                .values()
                .filter_map(|before| before.made.as_ref());
            let removed = made.filter(|made| made.is_removal());
            let oldest = removed.min_by_key(|made| made.epoch);
            if let Some(channel) = oldest.map(|made| made.channel.clone()) {
                self.before.remove(&channel);
            }
        }
    }
}

fn made_of(change: &Change, outcome: Result<(), ChannelError>) -> Made {
    Made {
        channel: change.channel.clone(),
        epoch: change.epoch,
        outcome,
    }
}

/// What is wished of the control shard, and what is to be added after that.
fn wish_of(
    goal: Goal,
    change: &Change,
    plan: Option<Arc<ChannelPlan>>,
) -> Option<(ChannelWish, Option<ChannelConfig>)> {
    let remove = |within| ChannelWish::Remove {
        name: change.channel.clone(),
        deadline: deadline_in(within),
    };
    let within = match &change.wanted {
        Wanted::Absent { wait_ms } => Duration::from_millis(*wait_ms),
        Wanted::Present { .. } => REPLACED_WITHIN,
    };
    Some(match (goal, plan) {
        (Goal::Nothing, _) => return None,
        (Goal::Retune(to), Some(from)) => {
            let to = Box::new(to);
            (ChannelWish::Retune { from, to }, None)
        }
        (Goal::Add(channel) | Goal::Retune(channel), _) => {
            (ChannelWish::Add(Box::new(channel)), None)
        }
        (Goal::Remove, _) => (remove(within), None),
        (Goal::Replace(channel), _) => (remove(within), Some(channel)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::identity::NodeId;
    use crate::config::Config;

    fn plan(channel: &ChannelConfig) -> Arc<ChannelPlan> {
        let plan = ChannelPlan::new(&Config::default(), channel, 0, 0, 0);
        Arc::new(plan.expect("a good name"))
    }

    fn change(number: u64, value: u64) -> Change {
        let settings = vec![("queue_messages_max".to_owned(), value.to_string())];
        Change {
            channel: "data".to_owned(),
            epoch: ChangeEpoch::after(number, NodeId::of("n1"), 1),
            by: "n1".to_owned(),
            life: 0,
            wanted: Wanted::Present {
                added: None,
                settings,
            },
        }
    }

    /// Whatever a person mistypes, nothing stays of it.
    #[test]
    fn changes_that_cannot_be_made_leave_nothing() {
        let table = ChannelTable::new(vec![None], 0);
        let mut applying = Applying::default();
        for number in 0..10 {
            let channel = format!("mistyped-{number}");
            applying.add(Change {
                channel,
                ..change(number, 100)
            });
            let (ended, _) = applying.turn(&table);
            assert!(matches!(&ended[..], [made] if made.outcome.is_err()));
        }
        assert!(applying.before.is_empty(), "{:?}", applying.before);
    }

    /// In whichever order changes come, and however late they are made, the greatest is what stays.
    #[test]
    fn the_greatest_change_is_made_last() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let table = ChannelTable::new(vec![Some(plan(&ChannelConfig::new("data")))], 0);
            let mut applying = Applying::default();
            let mut numbers: Vec<u64> = (1..=8).collect();
            random.shuffle(&mut numbers);
            let mut ended = Vec::new();
            let mut wished = Vec::new();
            let mut coming = numbers.iter();
            let mut is_busy = true;
            while is_busy {
                let number = coming.as_slice().first().filter(|_| random.bool());
                if let Some(number) = number {
                    coming.next();
                    applying.add(change(*number, 100 + number));
                }
                ended.extend(applying.turn(&table).0);
                wished.extend(table.wishes.take());
                if random.bool() {
                    for wish in wished.drain(..) {
                        let ChannelWish::Retune { from, to } = wish.wish else {
                            panic!("{wish:?}");
                        };
                        let plan = from.retuned(&Config::default(), &to);
                        table.write(0, Some(Arc::new(plan.expect("it can be"))));
                        wish.pending.give(Ok(Done::Unchanged));
                    }
                }
                is_busy = !(coming.as_slice().is_empty()
                    && applying.due.is_empty()
                    && applying.under_way.is_empty());
            }
            let made = table.find("data").expect("it is there");
            assert_eq!(made.config.queue_messages_max, 108, "{numbers:?}");
            let greatest = ended.iter().map(|made| made.epoch).max();
            assert_eq!(greatest, Some(change(8, 0).epoch));
            assert!(ended.iter().all(|made| made.outcome.is_ok()));
        }
    }
}
