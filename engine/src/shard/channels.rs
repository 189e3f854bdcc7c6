//! A shard's view of the channel table, and what it does when that changes.
//!
//! At the start of a turn it takes the plans that are new: a channel that was added gets its ring drained and
//! its lanes made; one that was retuned goes on as its new plan says, on the lanes that are up; one that was
//! removed is drained (`leaving`). Asked by every step of a message's way; it moves no message.

mod leaving;

use std::ops::Index;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Core;
use super::dispatch::ChannelQueue;
use super::hand_over::parted;
use super::report::{ChannelName, LaneCounts};
use crate::channel_plan::{ChannelEntry, ChannelPhase, ChannelPlan};
use crate::config::OnLate;
use crate::io::operation::OperationKind;
use crate::io::socket;
use leaving::Leaving;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct ShardChannels {
    epoch: u64,
    /// By place in the table: the channels of which this shard has something.
    plans: Vec<Option<Arc<ChannelPlan>>>,
    /// Removed, and not drained yet.
    leaving: Vec<Leaving>,
    /// When it is looked at those next, whatever happens.
    look_at: Option<Instant>,
    /// Drained here, and in the table still.
    left: Vec<Arc<ChannelEntry>>,
    /// What those that are gone have counted, the oldest first.
    pub(super) past: Vec<(ChannelName, LaneCounts)>,
}

impl Index<usize> for ShardChannels {
    type Output = ChannelPlan;

    /// The channel of a lane or a ring of this shard.
    #[inline]
    fn index(&self, channel: usize) -> &ChannelPlan {
        let plan = self.plans[channel].as_deref();
        plan.expect("a channel is in the view as long as its lanes are")
    }
}

impl ShardChannels {
    /// The epoch of the table that the shard follows.
    #[inline]
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether there is a channel at that place.
    pub(super) fn knows(&self, channel: usize) -> bool {
        self.plans.get(channel).is_some_and(Option::is_some)
    }

    /// The channels of which this shard has something.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ChannelPlan> {
        self.plans.iter().flatten().map(|plan| &**plan)
    }

    pub(super) fn find(&self, name: &str) -> Option<&ChannelPlan> {
        self.iter().find(|plan| *plan.name == *name)
    }

    /// By place: what each may send in a turn once the budget is used up.
    pub(super) fn floors(&self) -> impl Iterator<Item = usize> {
        let plans = self.plans.iter();
        plans.map(|plan| plan.as_ref().map_or(0, |plan| plan.config.floor_bytes))
    }

    /// By place: what the channels are.
    pub(super) fn names(&self) -> Vec<Option<ChannelName>> {
        let plans = self.plans.iter();
        plans
            .map(|plan| Some(ChannelName::of(plan.as_ref()?)))
            .collect()
    }

    /// By place: the names of the channels, for those that deliver messages; those that are gone keep theirs.
    pub(super) fn names_into(&self, names: &mut Vec<Arc<str>>) {
        names.resize_with(self.plans.len().max(names.len()), || Arc::from(""));
        for plan in self.iter() {
            names[plan.index] = Arc::clone(&plan.name);
        }
    }

    /// Puts a plan into the view; returns the one that was there.
    fn put(&mut self, plan: &Arc<ChannelPlan>) -> Option<Arc<ChannelPlan>> {
        if self.plans.len() <= plan.index {
            self.plans.resize(plan.index + 1, None);
        }
        self.plans[plan.index].replace(Arc::clone(plan))
    }

    fn has_left(&self, plan: &ChannelPlan) -> bool {
        let mut left = self.left.iter();
        left.any(|entry| Arc::ptr_eq(entry, &plan.entry))
    }
}

impl Core {
    /// Takes what changed in the channel table since this shard last did.
    #[inline]
    pub(crate) fn follow_channels(&mut self) {
        if self.fabric.channels.epoch() != self.channels.epoch {
            self.adopt_channels();
        }
    }

    #[cold]
    fn adopt_channels(&mut self) {
        let (epoch, plans) = self.fabric.channels.snapshot();
        self.channels.epoch = epoch;
        let plans = plans.into_iter().flatten();
        let plans: Vec<_> = plans
            .filter(|plan| plan.phase != ChannelPhase::Gone)
            .collect();
        self.channels.left.retain(|entry| {
            let mut present = plans.iter();
            present.any(|plan| Arc::ptr_eq(&plan.entry, entry))
        });
        for plan in plans {
            self.adopt_channel(&plan);
        }
        let channels = &self.channels;
        self.queues
            .sort_by_key(|queue| channels[queue.channel].priority);
        self.fabric.channels.note_adopted(self.index, epoch);
        // Somebody may wait for it.
        self.control_link.look();
    }

    fn adopt_channel(&mut self, plan: &Arc<ChannelPlan>) {
        if self.channels.has_left(plan) {
            return;
        }
        match self.channels.put(plan) {
            None => self.open_channel(plan),
            Some(before) if !Arc::ptr_eq(&before, plan) => self.retune_channel(&before, plan),
            Some(_) => {}
        }
        if let ChannelPhase::Leaving { deadline } = plan.phase {
            self.begin_leaving(plan, deadline);
        }
    }

    fn open_channel(&mut self, plan: &Arc<ChannelPlan>) {
        let departed = &mut self.routing.departed;
        if departed.len() <= plan.index {
            departed.resize(plan.index + 1, LaneCounts::default());
        }
        if let Some(ring) = plan.take_ring(self.index) {
            let channel = plan.index;
            self.queues.push(ChannelQueue { ring, channel });
        }
        self.need_buffers_for(plan.priority);
        self.open_lanes_of(plan.lanes());
    }

    /// Lanes that are up go on, as the new plan says.
    fn retune_channel(&mut self, before: &ChannelPlan, plan: &ChannelPlan) {
        if plan.restrained.allows_delivery() {
            self.intake.waiting.room_was_made(parted(plan.index));
        }
        if before.config == plan.config {
            return;
        }
        self.need_buffers_for(plan.priority);
        self.packing.forget_channel(plan.index);
        for lane in self.lanes_of(plan.index) {
            self.retune_lane(lane, before, plan);
        }
    }

    /// The lanes of that channel.
    fn lanes_of(&self, channel: usize) -> Vec<u32> {
        let lanes = (0..).zip(&self.lanes);
        lanes
            .filter(|(_, lane)| !lane.retired && lane.channel == channel)
            .map(|(index, _)| index)
            .collect()
    }

    fn retune_lane(&mut self, lane: u32, before: &ChannelPlan, plan: &ChannelPlan) {
        let config = &plan.config;
        let state = &mut self.lanes[lane as usize];
        state.log.retune(plan);
        if plan.reliability.keeps_messages() {
            let patience = Duration::from_millis(config.resume_timeout_ms);
            state.state.persist(patience);
        }
        if let Some(inbound) = &mut state.link.inbound {
            inbound.refuses_late = config.on_late == OnLate::Refuse;
        }
        let connection = state.state.connection();
        if before.priority != plan.priority {
            self.move_lane(lane, plan.priority);
        }
        if before.options != plan.options
            && let Some(connection) = connection
            && let Some(carrier) = self.connections.get(connection)
            && let Some(descriptor) = &carrier.socket
            && let Err(error) =
                socket::apply(descriptor, &plan.options.changed_from(&before.options))
        {
            tracing::warn!(%error, channel = %plan.name, "a socket option was refused");
        }
        // What was held back may go now.
        self.mark_ready(lane);
    }

    /// A lane is served with those of another priority from now on, in both directions.
    fn move_lane(&mut self, lane: u32, priority: usize) {
        let state = &mut self.lanes[lane as usize];
        let before = std::mem::replace(&mut state.priority, priority);
        if std::mem::take(&mut state.is_ready) {
            self.sending.ready[before].retain(|ready| *ready != lane);
        }
        let Some(connection) = state.state.connection() else {
            return;
        };
        let operation = self
            .connections
            .operation(OperationKind::Receive, connection);
        let waiting = &mut self.intake.inflow[before];
        let had = waiting.len();
        waiting.retain(|unread| *unread != operation);
        if waiting.len() < had {
            self.intake.inflow[priority].push_back(operation);
        }
        // Its receive is armed again with the buffers of that priority.
        self.call_off_receive(connection);
    }
}

impl ChannelName {
    fn of(plan: &ChannelPlan) -> Self {
        Self {
            name: Arc::clone(&plan.name),
            reliable: plan.reliable,
        }
    }
}
