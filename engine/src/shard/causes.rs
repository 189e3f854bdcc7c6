//! What nodes tell each other of messages on causal channels, besides the messages: which were acknowledged or given up,
//! which come no more, who was started again, and what somebody has got.
//!
//! Called by whoever learns what became of this node's own messages, for the frames `Settled` and `AskSettled`, and by the turn
//! when it is time to look at what is held. It decides nothing: the order does (`crate::causal`).

use std::sync::Arc;
use std::time::Instant;

use overlane_overlays::Gap;

use super::Core;
use super::inbound::Inbound;
use super::timers::Deadline;
use crate::causal::{CausalOrder, News};
use crate::control::link::Notice;
use crate::events::Event;
use crate::wire::FrameKind;
use crate::wire::causes::{Told, node_number};

/// A peer that does not read this much of what is said of messages is not answered.
const ANSWERS_BYTES_MAX: usize = 64 << 10;

impl Core {
    /// That of a channel, which may have been removed meanwhile.
    pub(super) fn order_of(&self, channel: u16) -> Option<Arc<CausalOrder>> {
        let channel = usize::from(channel);
        let is_known = self.channels.knows(channel);
        is_known.then(|| self.channels[channel].causal.clone())?
    }

    /// A message of that channel may be ready.
    fn note_ready(&mut self, channel: u16) {
        if !self.ready_channels.contains(&channel) {
            self.ready_channels.push(channel);
        }
    }

    pub(super) fn note_news(&mut self, channel: u16, news: News) {
        if news.is_ready {
            self.note_ready(channel);
        }
        self.look_at_order(channel, news.look);
    }

    fn look_at_order(&mut self, channel: u16, at: Option<Instant>) {
        if let Some(at) = at {
            self.timers.set(at, Deadline::HoldBack { channel });
        }
    }

    /// Messages of that channel may have waited long enough, and what others have not got may have come.
    pub(super) fn look_at_held(&mut self, channel: u16) {
        let Some(order) = self.order_of(channel) else {
            return;
        };
        let looked = order.look(self.now);
        self.look_at_order(channel, looked.again);
        self.tell_given_up(channel, looked.given_up);
        self.seek_causes(channel, &looked.waited_for);
        self.ask_settled(channel, looked.questions);
    }

    /// Messages of these nodes are waited for. If there is no lane to one, nobody has said whether they will come.
    fn seek_causes(&mut self, channel: u16, nodes: &[u64]) {
        for (_, lane) in self.lanes_to(channel, |node| nodes.contains(&node)) {
            if !self.lanes[lane as usize].is_up() {
                self.demand_lane(lane);
            }
        }
    }

    /// Asks nodes what they have; those that there is no lane to are asked when there is one.
    fn ask_settled(&mut self, channel: u16, mut questions: Vec<(u64, Vec<Told>)>) {
        let is_asked = |node| questions.iter().any(|(to, _)| *to == node);
        for (node, lane) in self.lanes_to(channel, is_asked) {
            let of_node = questions.iter_mut().find(|(to, _)| *to == node);
            let asked = of_node.map_or_else(Vec::new, |(_, asked)| std::mem::take(asked));
            if self.lanes[lane as usize].is_up() {
                self.say_of_causes(lane, FrameKind::AskSettled, asked);
            } else {
                self.demand_lane(lane);
            }
        }
    }

    /// The lanes of a channel to the nodes whose numbers are wanted.
    fn lanes_to(&mut self, channel: u16, is_wanted: impl Fn(u64) -> bool) -> Vec<(u64, u32)> {
        let offset = self.channels[usize::from(channel)].first_lane;
        let mut lanes = Vec::new();
        for route in self.fabric.routes.all() {
            let node = node_number(route.peer.name());
            if !route.peer.is_self()
                && is_wanted(node)
                && let Some(lane) = self.lane_to(&route.peer, offset)
            {
                lanes.push((node, lane));
            }
        }
        lanes
    }

    fn tell_given_up(&mut self, channel: u16, gaps: Vec<Gap<u64>>) {
        self.note_ready(channel);
        let name = &self.channels[usize::from(channel)].name;
        let name = Arc::clone(name);
        for gap in gaps {
            let messages = (gap.last - gap.first).saturating_add(1);
            self.tally.given_up = self.tally.given_up.saturating_add(messages);
            let routes = self.fabric.routes.all();
            let sender = routes
                .iter()
                .find(|route| node_number(route.peer.name()) == gap.life.peer);
            let sender = sender.map(|route| Arc::clone(route.peer.shared_name()));
            self.tell(Notice::Event(Event::GivenUp {
                channel: Arc::clone(&name),
                sender,
                incarnation: gap.life.incarnation,
                messages,
            }));
        }
    }

    /// The peer says what comes no more, and what it has.
    pub(super) fn hear_settled(&mut self, inbound: &Inbound, body: &[u8]) {
        if let Some(ordered) = &inbound.ordered {
            let news = ordered.order.told(ordered.life, Told::read(body), self.now);
            self.note_news(inbound.channel, news);
        }
    }

    /// The peer asks what this node has. If it does not read answers, it gets none: it asks again.
    pub(super) fn hear_ask_settled(&mut self, lane: u32, inbound: &Inbound, body: &[u8]) {
        let outbox = &self.lanes[lane as usize].log.outbox;
        if let Some(ordered) = &inbound.ordered
            && outbox.control_bytes() < ANSWERS_BYTES_MAX
        {
            let answer = ordered.order.answer(Told::read(body));
            self.say_of_causes(lane, FrameKind::Settled, answer);
        }
    }

    /// Says to the peer what does not come of this node's messages: others may wait there for some that were given up.
    fn say_settled(&mut self, lane: u32) {
        let state = &self.lanes[lane as usize];
        let order = self.channels[state.channel].causal.as_ref();
        let settled = order.and_then(|order| order.own_settled(state.peer.name()));
        self.say_of_causes(lane, FrameKind::Settled, settled);
    }

    fn say_of_causes(&mut self, lane: u32, kind: FrameKind, told: impl IntoIterator<Item = Told>) {
        let body = Told::body(told);
        let state = &mut self.lanes[lane as usize];
        if state.is_up() && !body.is_empty() {
            state.log.outbox.push_control(kind, 0, &body);
            self.mark_ready(lane);
        }
    }

    /// There is a connection to that process of the peer: of its predecessors nothing will come. It is told what does
    /// not come of this node's, as it may be new.
    pub(super) fn know_life(&mut self, lane: u32) {
        let state = &self.lanes[lane as usize];
        let inbound = state.link.inbound.as_ref();
        let Some(ordered) = inbound.and_then(|inbound| inbound.ordered.as_ref()) else {
            return;
        };
        let channel = u16::try_from(state.channel).unwrap_or(u16::MAX);
        ordered.order.let_go_of(ordered.life);
        let gaps = ordered.order.lives_as(ordered.life, self.now);
        self.tell_given_up(channel, gaps);
        self.say_settled(lane);
    }

    /// The peer has acknowledged `messages` more.
    #[cold]
    pub(super) fn note_acknowledged(&mut self, lane: u32, messages: u64) {
        let numbers = self.lanes[lane as usize].log.acknowledge_numbers(messages);
        let mut is_news = false;
        self.with_order(lane, |order, peer| {
            is_news = order.acknowledged(peer, &numbers);
        });
        if is_news {
            self.say_settled(lane);
        }
    }

    /// What the peer said on a new connection has settled these messages; `is_known` says that it has processed them.
    #[cold]
    pub(super) fn note_resumed(&mut self, lane: u32, is_known: bool, numbers: &[u64]) {
        self.with_order(lane, |order, peer| {
            if is_known {
                order.acknowledged(peer, numbers);
            } else {
                order.ended(peer, numbers);
            }
        });
    }

    /// The peer does not get these messages, or nobody knows whether it has.
    #[cold]
    pub(super) fn note_ended(&mut self, lane: u32, numbers: &[u64]) {
        self.with_order(lane, |order, peer| order.ended(peer, numbers));
        self.say_settled(lane);
    }

    /// Messages of the lane have ended without an acknowledgement: it may have none any more.
    #[cold]
    pub(super) fn note_idle(&mut self, lane: u32) {
        self.with_order(lane, |_, _| {});
    }

    fn with_order(&mut self, lane: u32, note: impl FnOnce(&CausalOrder, &str)) {
        let state = &self.lanes[lane as usize];
        let plan = &self.channels[state.channel];
        let Some(order) = &plan.causal else {
            return;
        };
        let peer = state.peer.name();
        note(order, peer);
        // Whatever ended in another way: room at the gate is reserved by those who hold the order.
        let gate = &state.address().gate;
        if gate.is_unused() {
            order.ended_all(peer, || gate.is_unused());
        }
        if order.take_wanted() {
            plan.rooms[self.index].notify(usize::MAX);
        }
    }

    /// Whether a message has become ready on another lane than the one that was read.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready_channels.is_empty()
    }
}
