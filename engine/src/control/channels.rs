//! The control shard's part of the channel table: channels are added, retuned and removed as applications
//! wish, one after the other.
//!
//! It gives each channel a place in the table and a range of lanes at each peer, and takes them back when nobody
//! remembers the channel: its lanes have ended on every shard, no sender has anything reserved, and its messages
//! in inboxes are read. It moves no message: the shards drain what is there.

use std::sync::Arc;
use std::time::Instant;

use super::Control;
use crate::channel_plan::{ChannelEntry, ChannelPhase, ChannelPlan, caps};
use crate::channel_table::{
    CHANNEL_PLACES_MAX, ChannelWish, Done, Pending, Plans, Unsettled, Wished,
};
use crate::config::{CHANNELS_MAX, ChannelConfig, ConfigError, Place, differences, retunable};
use crate::error::ChannelError;
use crate::events::Event;
use crate::peer::{LANES_MAX, LaneRange};
use crate::restraint::{Restraint, Side};
use crate::ring::inbox::Unread;

/// Changes that are made, and not everywhere yet.
#[derive(Debug, Default)]
pub(super) struct Changing {
    /// To be said when every shard has adopted that epoch.
    adopting: Vec<(u64, Pending, Done)>,
    /// On their way out: shards drain them.
    leaving: Vec<(Arc<ChannelEntry>, Pending)>,
    /// Gone from every shard, and remembered by messages that are unread, or by senders.
    remembered: Vec<Remembered>,
    /// Where this node is while the cluster is parted.
    side: Option<Side>,
}

#[derive(Debug)]
struct Remembered {
    entry: Arc<ChannelEntry>,
    unread: Vec<Unread>,
}

impl Control {
    /// Carries out what is wished of the channel table, and says what is done everywhere by now.
    pub(super) fn follow_channels(&mut self) {
        for Wished { wish, pending } in self.fabric.channels.wishes.take() {
            let made = match wish {
                ChannelWish::Add(config) => self.add_channel(&config, &pending),
                ChannelWish::Retune { from, to } => self.retune_channel(&from, *to, &pending),
                ChannelWish::Remove { name, deadline } => {
                    self.remove_channel(&name, deadline, &pending)
                }
                ChannelWish::Partition(side) => {
                    self.part(side, &pending);
                    Ok(())
                }
            };
            if let Err(error) = made {
                pending.give(Err(error));
            }
        }
        self.tell_left_channels();
        self.tell_adopted_channels();
        self.forget_channels();
    }

    /// Its outcome is given when every shard has adopted the epoch.
    fn when_adopted(&mut self, epoch: u64, pending: &Pending, done: Done) {
        self.changing.adopting.push((epoch, pending.clone(), done));
        self.fabric.ring_all();
    }

    fn add_channel(
        &mut self,
        config: &ChannelConfig,
        pending: &Pending,
    ) -> Result<(), ChannelError> {
        config.validate()?;
        self.forget_channels();
        let node = &self.fabric.config;
        let (_, plans) = self.fabric.channels.snapshot();
        check_new(&plans, config, node.connections_max)?;
        node.check_session_of(config)?;
        self.check_hints(config)?;
        let index = free_place(&plans).ok_or(ChannelError::StillInUse)?;
        let lanes = usize::from(config.parallelism);
        let first_lane = free_lanes(&plans, lanes).ok_or(ChannelError::StillInUse)?;
        let shards = self.fabric.shards.len();
        let plan = ChannelPlan::new(node, config, index, first_lane, shards)
            .map_err(|error| misnamed(&config.name, &error))?;
        self.fabric.mailboxes.add_rings(&plan.rings);
        self.fabric
            .wishes
            .add_channel(plan.lanes(), plan.gate_limits());
        let entry = Arc::clone(&plan.entry);
        self.restrain(&plan);
        self.fabric.rules.bind(&entry);
        let epoch = self.fabric.channels.write(index, Some(Arc::new(plan)));
        self.when_adopted(epoch, pending, Done::Added(entry));
        Ok(())
    }

    fn retune_channel(
        &mut self,
        from: &Arc<ChannelPlan>,
        to: ChannelConfig,
        pending: &Pending,
    ) -> Result<(), ChannelError> {
        let current = self.channel(&from.name)?;
        if !Arc::ptr_eq(&current, from) {
            pending.give(Ok(Done::Outrun));
            return Ok(());
        }
        to.validate()?;
        let parameters = changed(&from.config, &to)?;
        if parameters.is_empty() {
            pending.give(Ok(Done::Unchanged));
            return Ok(());
        }
        if parameters.contains(&"hints") {
            self.check_hints(&to)?;
        }
        let plan = from
            .retuned(&self.fabric.config, &to)
            .map_err(|error| misnamed(&to.name, &error))?;
        plan.retune(&to);
        if caps(&from.config) != caps(&to) {
            self.fabric.set_rate_caps(&plan, caps(&to));
        }
        self.restrain(&plan);
        self.fabric
            .wishes
            .retune_channel(plan.lanes(), plan.gate_limits());
        let index = plan.index;
        let channel = Arc::clone(&plan.name);
        let epoch = self.fabric.channels.write(index, Some(Arc::new(plan)));
        let done = Done::Retuned {
            channel,
            parameters: parameters.into(),
        };
        self.when_adopted(epoch, pending, done);
        Ok(())
    }

    fn remove_channel(
        &mut self,
        name: &str,
        deadline: Instant,
        pending: &Pending,
    ) -> Result<(), ChannelError> {
        let plan = self.channel(name)?;
        plan.note_removed();
        self.fabric.wishes.close_channel(plan.lanes());
        self.fabric.streams.channel_removed(plan.lanes());
        for room in &plan.rooms {
            room.notify(usize::MAX);
        }
        let leaving = Arc::new(plan.in_phase(ChannelPhase::Leaving { deadline }));
        self.fabric.channels.write(plan.index, Some(leaving));
        let entry = Arc::clone(&plan.entry);
        self.changing.leaving.push((entry, pending.clone()));
        self.fabric.ring_all();
        Ok(())
    }

    /// The cluster is parted, or whole again: channels go by their policies from now on. Those that change get a new
    /// epoch, so that shards try again what they have kept from delivery.
    fn part(&mut self, side: Option<Side>, pending: &Pending) {
        self.changing.side = side;
        for plan in self.fabric.channels.open() {
            if self.restrain(&plan) {
                self.fabric.wishes.stir_channel(plan.lanes());
                for room in &plan.rooms {
                    room.notify(usize::MAX);
                }
                let again = Arc::new(plan.in_phase(plan.phase));
                self.fabric.channels.write(plan.index, Some(again));
            }
        }
        self.fabric.ring_all();
        pending.give(Ok(Done::Unchanged));
    }

    /// Whether a channel is restrained follows from its policy and the side that this node is on. True if that changed.
    fn restrain(&self, plan: &ChannelPlan) -> bool {
        let restraint = Restraint::of(plan.config.on_partition, self.changing.side);
        if plan.restrained.set(restraint) == restraint {
            return false;
        }
        self.link.publish(&Event::ChannelRestrained {
            channel: Arc::clone(&plan.name),
            restraint,
        });
        true
    }

    /// Hints lead to channels that there are, and to the channel itself.
    fn check_hints(&self, channel: &ChannelConfig) -> Result<(), ChannelError> {
        let open = self.fabric.channels.open();
        let known = open.iter().map(|plan| &*plan.name);
        let known: Vec<_> = known.chain([&*channel.name]).collect();
        Ok(channel.check_hints(&known)?)
    }

    /// The channel of that name, if it is there to be changed.
    fn channel(&self, name: &str) -> Result<Arc<ChannelPlan>, ChannelError> {
        let channels = &self.fabric.channels;
        match channels.find(name) {
            Some(plan) if plan.is_control() => Err(unknown(name, &channels.open())),
            Some(plan) if plan.phase == ChannelPhase::Open => Ok(plan),
            Some(_) => Err(ChannelError::Leaving {
                name: name.to_owned(),
            }),
            None => Err(unknown(name, &channels.open())),
        }
    }

    fn tell_adopted_channels(&mut self) {
        let adopted = self.fabric.channels.adopted_by_all();
        let adopting = std::mem::take(&mut self.changing.adopting);
        for (epoch, pending, done) in adopting {
            if epoch > adopted {
                self.changing.adopting.push((epoch, pending, done));
                continue;
            }
            match &done {
                Done::Added(entry) => self.link.publish(&Event::ChannelAdded {
                    channel: Arc::clone(&entry.name),
                }),
                Done::Retuned {
                    channel,
                    parameters,
                } => self.link.publish(&Event::ChannelRetuned {
                    channel: Arc::clone(channel),
                    parameters: Arc::clone(parameters),
                }),
                Done::Unchanged | Done::Outrun | Done::Removed(_) => {}
            }
            pending.give(Ok(done));
        }
    }

    /// Every shard has drained them: their names are free, their places not yet.
    fn tell_left_channels(&mut self) {
        let leaving = std::mem::take(&mut self.changing.leaving);
        for (entry, pending) in leaving {
            if !entry.leave.is_over() {
                self.changing.leaving.push((entry, pending));
                continue;
            }
            let (reported, dropped) = entry.leave.unsettled();
            let unread = self.fabric.inboxes.unread();
            self.fabric.mailboxes.add_rings(&[]);
            if let Some(plan) = self.fabric.channels.at(entry.index) {
                let gone = Arc::new(plan.in_phase(ChannelPhase::Gone));
                self.fabric.channels.write(entry.index, Some(gone));
            }
            self.link.publish(&Event::ChannelRemoved {
                channel: Arc::clone(&entry.name),
                reported,
                dropped,
            });
            pending.give(Ok(Done::Removed(Unsettled { reported, dropped })));
            self.changing.remembered.push(Remembered { entry, unread });
        }
    }

    /// Places and lanes of those that nobody remembers are others' from now on.
    fn forget_channels(&mut self) {
        let Self {
            fabric, changing, ..
        } = self;
        changing.remembered.retain_mut(|gone| {
            gone.unread.retain(|unread| !unread.is_read());
            if !gone.unread.is_empty() || !fabric.wishes.release_channel(gone.entry.lanes()) {
                return true;
            }
            fabric.channels.write(gone.entry.index, None);
            false
        });
    }
}

/// Whether there may be that channel besides those that there are.
fn check_new(
    plans: &Plans,
    config: &ChannelConfig,
    connections_max: usize,
) -> Result<(), ChannelError> {
    let present = plans.iter().flatten();
    let present: Vec<_> = present
        .filter(|plan| plan.phase != ChannelPhase::Gone)
        .collect();
    let name = || config.name.clone();
    match present.iter().find(|plan| *plan.name == *config.name) {
        Some(plan) if plan.phase == ChannelPhase::Open => {
            return Err(ChannelError::Exists { name: name() });
        }
        Some(_) => return Err(ChannelError::Leaving { name: name() }),
        None => {}
    }
    // The engine's own is among them.
    if present.len() > CHANNELS_MAX {
        let channels_max = CHANNELS_MAX;
        return Err(ChannelError::TooMany { channels_max });
    }
    let lanes = present.iter().map(|plan| plan.lanes().count);
    let lanes = lanes.sum::<usize>() + usize::from(config.parallelism);
    if lanes > connections_max {
        return Err(ChannelError::TooManyLanes {
            lanes,
            connections_max,
        });
    }
    Ok(())
}

/// The first place in the table that is free.
fn free_place(plans: &Plans) -> Option<usize> {
    let free = plans.iter().position(Option::is_none);
    let place = free.unwrap_or(plans.len());
    (place < CHANNEL_PLACES_MAX).then_some(place)
}

/// The first of so many lanes beside one another that no channel has.
fn free_lanes(plans: &Plans, count: usize) -> Option<usize> {
    let mut taken: Vec<LaneRange> = plans.iter().flatten().map(|plan| plan.lanes()).collect();
    taken.sort_by_key(|lanes| lanes.first);
    let mut free_from = 0;
    for lanes in taken {
        if lanes.first - free_from >= count {
            break;
        }
        free_from = lanes.offsets().end;
    }
    (free_from + count <= LANES_MAX).then_some(free_from)
}

/// The parameters that change, if all of them can.
fn changed(is: &ChannelConfig, wanted: &ChannelConfig) -> Result<Vec<&'static str>, ChannelError> {
    let fixed = |parameter, is, wanted_value| ChannelError::Fixed {
        name: wanted.name.clone(),
        parameter,
        is,
        wanted: wanted_value,
    };
    if is.name != wanted.name {
        return Err(fixed("name", is.name.clone(), wanted.name.clone()));
    }
    let mut changed = Vec::new();
    for (parameter, is, value) in differences(is, wanted) {
        if retunable(parameter).is_none() {
            return Err(fixed(parameter, is, value));
        }
        changed.push(parameter);
    }
    Ok(changed)
}

fn unknown(name: &str, open: &[Arc<ChannelPlan>]) -> ChannelError {
    let known: Vec<_> = open.iter().map(|plan| &*plan.name).collect();
    ChannelError::Unknown {
        name: name.to_owned(),
        known: known.join(", "),
    }
}

fn misnamed(name: &str, why: &crate::wire::NameError) -> ChannelError {
    ChannelError::Config(ConfigError::Refused {
        place: Place::Code,
        key: "channel name".to_owned(),
        value: name.to_owned(),
        right: why.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn plans(channels: &[(u16, usize)]) -> Plans {
        let node = Config::default();
        let plan = |(index, (lanes, first)): (usize, &(u16, usize))| {
            let channel = ChannelConfig::new(format!("c{index}")).parallelism(*lanes);
            let plan = ChannelPlan::new(&node, &channel, index, *first, 0);
            Some(Arc::new(plan.expect("a good name")))
        };
        channels.iter().enumerate().map(plan).collect()
    }

    #[test]
    fn lanes_go_where_there_is_room_for_all_of_them() {
        assert_eq!(free_lanes(&plans(&[]), 3), Some(0));
        let laid_out = plans(&[(1, 0), (2, 4), (8, 6)]);
        assert_eq!(free_lanes(&laid_out, 3), Some(1));
        assert_eq!(free_lanes(&laid_out, 4), Some(14));
        let full = plans(&[(64, LANES_MAX - 64), (64, 64)]);
        assert_eq!(free_lanes(&full, 64), Some(0));
        assert_eq!(free_place(&full), Some(2));
    }

    /// Channels that come and go at random: each has lanes of its own, and there is always room for as many as
    /// there may be.
    #[test]
    fn lanes_are_never_given_to_two_channels_and_never_run_out() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut present: Vec<(u16, usize)> = Vec::new();
        for _ in 0..3000 {
            if present.len() == CHANNELS_MAX || random.u8(..3) == 0 && !present.is_empty() {
                present.swap_remove(random.usize(..present.len()));
                continue;
            }
            let lanes = *[1, 1, 2, 3, 16, 64].get(random.usize(..6)).expect("six");
            let first = free_lanes(&plans(&present), usize::from(lanes));
            let first = first.expect("there is room");
            let overlaps = |&(count, at): &(u16, usize)| {
                first < at + usize::from(count) && at < first + usize::from(lanes)
            };
            assert!(!present.iter().any(overlaps), "{present:?} and {first}");
            present.push((lanes, first));
        }
    }

    #[test]
    fn what_is_promised_of_messages_cannot_be_retuned() {
        let is = ChannelConfig::new("data");
        let wanted = is.clone().priority(2).floor_bytes(5);
        assert_eq!(changed(&is, &wanted), Ok(vec!["priority", "floor_bytes"]));
        let wanted = is.clone().parallelism(2);
        let error = changed(&is, &wanted).expect_err("lanes follow from it");
        assert!(
            error
                .to_string()
                .contains("parallelism of channel `data` is 1"),
            "{error}"
        );
    }
}
