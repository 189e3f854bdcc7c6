//! Publish-subscribe: messages for those who asked for a topic, and only over them.
//!
//! All nodes are part of one overlay, a HyParView with a Plumtree, as on any other cluster. The
//! subscribers of each topic form another one of their own, so that a topic costs nobody else
//! anything. Subscriptions are spread by broadcast to all nodes, of which each remembers a few
//! subscribers per topic (`contacts`): enough to find the way in, or to publish from outside. The
//! overlays share their lanes (`lanes`). Parts of a topic that have lost each other find out by a
//! beacon that is sent both within the topic and to all nodes (`announce`).

mod announce;
mod config;
mod contacts;
mod lanes;
mod message;
mod outside;
#[cfg(test)]
mod tests;
mod timer;
mod topic;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rand::Rng;

use crate::event::{
    Command, Delivery, Event, Input, InputOf, Output, OutputOf, Overlay, Peer, Protocol, Refusal,
    TopicId, WhyDown,
};
use crate::hyparview::HyParView;
use crate::message::{decode, encode};
use crate::payload::Payload;
use crate::plumtree::Plumtree;
use crate::stack::Stack;
use crate::time::Time;
use contacts::Contacts;
use lanes::{Lanes, Swarm, Wanted};
use outside::Outside;
use topic::{SwarmOf, Topic};

pub use config::Config;
pub use message::{Message, News, SwarmMessage};
pub use timer::{SwarmTimer, Timer};

/// First byte of a payload of the application, to all nodes or within a topic.
const KIND_APPLICATION: u8 = 0;
/// First byte of a payload of the application that another node published, whose name and number follow.
const KIND_FOR_ANOTHER: u8 = 3;
/// First byte of news about subscriptions, to all nodes.
const KIND_NEWS: u8 = 1;
/// First byte of a beacon, within a topic.
const KIND_BEACON: u8 = 2;

/// What a node has refused or dropped since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Subscriptions refused because the node has too many.
    pub refused: u64,
    /// Publications dropped because they are too long, or nobody is known who takes part.
    pub unpublished: u64,
    /// Broadcasts that were not understood.
    pub malformed: u64,
}

type SwarmInput<P> = Input<P, SwarmMessage<P>, SwarmTimer>;
type Out<P> = Vec<Output<P, Message<P>, Timer>>;

/// The publish-subscribe overlay of one node.
#[derive(Debug)]
pub struct PubSub<P> {
    me: P,
    config: Config,
    base: SwarmOf<P>,
    topics: BTreeMap<TopicId, Topic<P>>,
    contacts: Contacts<P>,
    lanes: Lanes<P>,
    outside: Outside<P>,
    lives: u32,
    /// Inputs still to be given to the overlays, in order.
    work: VecDeque<(Swarm, SwarmInput<P>)>,
    counters: Counters,
}

impl<P: Peer> PubSub<P> {
    /// A node that knows nobody and takes part in no topic.
    #[must_use]
    pub fn new(me: P, config: Config) -> Self {
        let overlay = HyParView::new(me, config.base_overlay.clone());
        let broadcast = Plumtree::new(me, config.base_broadcast.clone());
        Self {
            me,
            base: Stack::new(overlay, broadcast),
            topics: BTreeMap::new(),
            contacts: Contacts::new(config.topics_known_max),
            config,
            lanes: Lanes::new(),
            outside: Outside::new(),
            lives: 0,
            work: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// The topics that this node takes part in.
    pub fn topics(&self) -> impl Iterator<Item = TopicId> {
        self.topics.keys().copied()
    }

    /// The neighbors of this node in a topic; none if it does not take part.
    #[must_use]
    pub fn topic_neighbors(&self, topic: TopicId) -> Vec<P> {
        let topic = self.topics.get(&topic);
        topic.map_or_else(Vec::new, |topic| topic.swarm.neighbors())
    }

    /// What this node has refused or dropped.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.topics.len() > self.config.topics_max {
            return Err(format!("{} topics subscribed", self.topics.len()));
        }
        if self.contacts.topics() > self.config.topics_known_max {
            return Err(format!("{} topics remembered", self.contacts.topics()));
        }
        self.outside.check()?;
        let swarms = self.topics.values().map(|topic| &topic.swarm);
        for swarm in swarms.chain([&self.base]) {
            swarm.lower.check()?;
            swarm.upper.check()?;
        }
        Ok(())
    }

    fn subscribe<R: Rng>(&mut self, now: Time, topic: TopicId, random: &mut R, out: &mut Out<P>) {
        if self.topics.contains_key(&topic) {
            return;
        }
        if self.topics.len() >= self.config.topics_max {
            self.counters.refused += 1;
            out.push(Output::Event(Event::Refused {
                command: Command::Subscribe(topic),
                why: Refusal::TooMany {
                    most: self.config.topics_max,
                },
            }));
            return;
        }
        self.lives = self.lives.wrapping_add(1);
        let overlay = HyParView::new(self.me, self.config.topic_overlay.clone());
        let broadcast = Plumtree::new(self.me, self.config.topic_broadcast.clone());
        let swarm = Stack::new(overlay, broadcast);
        let entry = Topic::new(self.lives, swarm, self.config.lonely_every);
        self.topics.insert(topic, entry);
        self.work.push_back((Some(topic), Input::Start));
        let near = self.base.lower.near().map(|peer| Command::Near {
            peer,
            is_near: true,
        });
        let near = near.map(|command| (Some(topic), Input::Command(command)));
        self.work.extend(near);
        for contact in self.contacts.of(topic).iter().take(2) {
            let join = Input::Command(Command::Join(*contact));
            self.work.push_back((Some(topic), join));
        }
        if self.contacts.of(topic).is_empty() {
            self.ask_neighbors(topic, out);
        }
        self.announce(now, topic, random, out);
    }

    /// Asks all neighbors who takes part in a topic.
    fn ask_neighbors(&self, topic: TopicId, out: &mut Out<P>) {
        for to in self.base.neighbors() {
            let message = Message::WhoIs(topic);
            out.push(Output::Send { to, message });
        }
    }

    fn unsubscribe<R: Rng>(&mut self, now: Time, topic: TopicId, random: &mut R, out: &mut Out<P>) {
        if !self.topics.contains_key(&topic) {
            return;
        }
        self.work
            .push_back((Some(topic), Input::Command(Command::Leave)));
        self.run(now, random, out);
        self.topics.remove(&topic);
        self.tell_all(&News::Gone {
            topic,
            peer: self.me,
        });
    }

    fn publish<R: Rng>(
        &mut self,
        topic: TopicId,
        payload: Bytes,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        if self.topics.contains_key(&topic) {
            let payload = Payload::from(payload);
            self.publish_within(topic, payload.marked(KIND_APPLICATION));
        } else {
            self.publish_from_outside(topic, payload, random, out);
        }
    }

    fn publish_within(&mut self, topic: TopicId, payload: Payload) {
        let broadcast = Input::Command(Command::Broadcast(payload));
        self.work.push_back((Some(topic), broadcast));
    }

    /// Publishes for a node that does not take part, and delivers it here, unless it came before.
    fn publish_for<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        (topic, number, payload): (TopicId, u64, Bytes),
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let Some(subscribed) = self.topics.get_mut(&topic) else {
            let message = Message::NotHere(topic);
            out.push(Output::Send { to: from, message });
            return;
        };
        let message = Message::Published { number };
        out.push(Output::Send { to: from, message });
        if !subscribed.numbers.note((from, number)) {
            return;
        }
        let name = postcard::to_stdvec(&(from, number)).unwrap_or_default();
        let payload = Payload::from(payload);
        self.publish_within(topic, payload.clone().marked_with(KIND_FOR_ANOTHER, &name));
        self.run(now, random, out);
        let subscribed = self.topics.get(&topic);
        if let Some(id) = subscribed.and_then(|topic| topic.swarm.upper.last_sent()) {
            out.push(Output::Event(Event::Delivered(Delivery {
                sender: from,
                id,
                topic: Some(topic),
                payload,
                hops: 1,
            })));
        }
    }

    fn beacon_within(&mut self, topic: TopicId, beacon: u64) {
        let payload = Payload::from(beacon.to_le_bytes().to_vec());
        self.publish_within(topic, payload.marked(KIND_BEACON));
    }

    fn tell_all(&mut self, news: &News<P>) {
        let payload = Payload::from(encode(news)).marked(KIND_NEWS);
        let broadcast = Input::Command(Command::Broadcast(payload));
        self.work.push_back((None, broadcast));
    }

    fn received<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        message: Message<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        match message {
            Message::Base(message) => {
                self.work
                    .push_back((None, Input::Received { from, message }));
            }
            Message::Topic { topic, message } if self.topics.contains_key(&topic) => {
                let input = Input::Received { from, message };
                self.work.push_back((Some(topic), input));
            }
            Message::Topic { topic, .. } => {
                let message = Message::NotHere(topic);
                out.push(Output::Send { to: from, message });
            }
            Message::NotHere(topic) => {
                self.contact_failed(from, Some(topic), random, out);
                if self.topics.contains_key(&topic) {
                    let down = Input::PeerDown {
                        peer: from,
                        why: WhyDown::Refused,
                    };
                    self.work.push_back((Some(topic), down));
                }
            }
            Message::WhoIs(topic) => {
                let mut peers = self.contacts.of(topic).to_vec();
                if self.topics.contains_key(&topic) {
                    peers.truncate(message::CONTACTS_MAX - 1);
                    peers.push(self.me);
                }
                if !peers.is_empty() {
                    let message = Message::Contacts { topic, peers };
                    out.push(Output::Send { to: from, message });
                }
            }
            Message::Contacts { topic, peers } => {
                self.learn_contacts(topic, peers, random);
                self.ask_new_contacts(topic, random, out);
            }
            Message::PublishFor {
                topic,
                number,
                payload,
            } => self.publish_for(now, from, (topic, number, payload), random, out),
            Message::Published { number } => self.published(from, number),
        }
    }

    /// Asked for when this node subscribed, or published, without knowing anybody.
    fn learn_contacts<R: Rng>(&mut self, topic: TopicId, peers: Vec<P>, random: &mut R) {
        let lonely = match self.topics.get(&topic) {
            Some(subscribed) => subscribed.is_lonely(),
            None if self.outside.wants(topic) => false,
            None => return,
        };
        for peer in peers {
            if peer != self.me {
                self.contacts.add(topic, peer, random);
                if lonely {
                    let join = Input::Command(Command::Join(peer));
                    self.work.push_back((Some(topic), join));
                }
            }
        }
    }

    fn command<R: Rng>(
        &mut self,
        now: Time,
        command: Command<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        if let Err(why) = command.check_size() {
            out.push(Output::Event(Event::Refused { command, why }));
            return;
        }
        match command {
            Command::Subscribe(topic) => self.subscribe(now, topic, random, out),
            Command::Unsubscribe(topic) => self.unsubscribe(now, topic, random, out),
            Command::Publish(topic, payload) => self.publish(topic, payload, random, out),
            Command::Broadcast(payload) => {
                let broadcast = Command::Broadcast(payload.marked(KIND_APPLICATION));
                self.work.push_back((None, Input::Command(broadcast)));
            }
            Command::Leave => {
                let topics: Vec<TopicId> = self.topics().collect();
                for topic in topics {
                    self.unsubscribe(now, topic, random, out);
                }
                self.work.push_back((None, Input::Command(Command::Leave)));
            }
            Command::Near { .. } | Command::Woken => self.give_all(&Input::Command(command)),
            other => self.work.push_back((None, Input::Command(other))),
        }
    }

    fn timer<R: Rng>(&mut self, now: Time, id: Timer, random: &mut R, out: &mut Out<P>) {
        let lives = |topic: &TopicId, life: u32| {
            let subscribed = self.topics.get(topic);
            subscribed.is_some_and(|subscribed| subscribed.life == life)
        };
        match id {
            Timer::Base(id) => self.work.push_back((None, Input::Timer(id))),
            Timer::Topic { topic, life, id } if lives(&topic, life) => {
                self.work.push_back((Some(topic), Input::Timer(id)));
            }
            Timer::Announce { topic, life, alarm } if lives(&topic, life) => {
                self.announce_due(now, topic, alarm, random, out);
            }
            Timer::AnswerDue { number, attempt } => {
                self.answer_due(number, attempt, random, out);
            }
            Timer::Check { topic, beacon } => self.check_beacon(topic, beacon),
            // Of a subscription that has ended.
            Timer::Topic { .. } | Timer::Announce { .. } => {}
        }
    }

    /// Lets all overlays have the same input.
    fn give_all(&mut self, input: &SwarmInput<P>) {
        let topics = self.topics.keys().map(|topic| Some(*topic));
        for user in topics.chain([None]) {
            self.work.push_back((user, input.clone()));
        }
    }

    /// Gives the overlays what is to be given, until nothing is left.
    fn run<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Out<P>) {
        while let Some((user, input)) = self.work.pop_front() {
            let swarm = match user {
                None => &mut self.base,
                Some(topic) => match self.topics.get_mut(&topic) {
                    Some(topic) => &mut topic.swarm,
                    None => continue,
                },
            };
            let mut swarm_out = Vec::new();
            swarm.handle(now, input, random, &mut swarm_out);
            for output in swarm_out {
                self.carry_out(now, user, output, random, out);
            }
        }
    }

    fn carry_out<R: Rng>(
        &mut self,
        now: Time,
        user: Swarm,
        output: OutputOf<SwarmOf<P>, P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        match output {
            Output::Send { to, message } => {
                let message = in_swarm(user, message);
                out.push(Output::Send { to, message });
            }
            Output::SendAll { to, message } => {
                let message = in_swarm(user, message);
                out.push(Output::SendAll { to, message });
            }
            Output::SetTimer { id, after } => {
                let life = user.and_then(|topic| self.topics.get(&topic));
                let life = life.map_or(0, |topic| topic.life);
                let id = match user {
                    None => Timer::Base(id),
                    Some(topic) => Timer::Topic { topic, life, id },
                };
                out.push(Output::SetTimer { id, after });
            }
            Output::Connect(peer) => match self.lanes.want(peer, user) {
                Wanted::Ask => out.push(Output::Connect(peer)),
                Wanted::Up => self.work.push_back((user, Input::PeerUp(peer))),
                Wanted::Wait => {}
            },
            Output::Disconnect(peer) => {
                if self.lanes.release(peer, user) {
                    out.push(Output::Disconnect(peer));
                }
            }
            Output::Event(event) => match user {
                None => self.base_event(now, event, random, out),
                Some(topic) => self.topic_event(now, topic, event, random, out),
            },
            // Nothing is below the overlays.
            Output::Below(_) => {}
        }
    }

    fn base_event<R: Rng>(&mut self, now: Time, event: Event<P>, random: &mut R, out: &mut Out<P>) {
        let Event::Delivered(delivery) = event else {
            out.push(Output::Event(event));
            return;
        };
        match delivery.payload.clone().unmark() {
            Some((KIND_APPLICATION, payload)) => {
                let delivery = Delivery {
                    payload,
                    ..delivery
                };
                out.push(Output::Event(Event::Delivered(delivery)));
            }
            Some((KIND_NEWS, news)) => match decode(&news.body) {
                Ok(news) => self.hear(now, news, random, out),
                Err(_) => self.counters.malformed += 1,
            },
            _ => self.counters.malformed += 1,
        }
    }

    fn topic_event<R: Rng>(
        &mut self,
        now: Time,
        topic: TopicId,
        event: Event<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        match event {
            Event::Delivered(delivery) => self.delivered(topic, delivery, out),
            Event::NeighborDown(_) => self.neighbor_lost(now, topic, random, out),
            // A topic's neighbors are no business of the layers above.
            _ => {}
        }
    }
}

impl<P: Peer> PubSub<P> {
    /// A message came within a topic.
    fn delivered(&mut self, topic: TopicId, delivery: Delivery<P>, out: &mut Out<P>) {
        let mut tell = |sender: P, payload: Payload| {
            out.push(Output::Event(Event::Delivered(Delivery {
                sender,
                topic: Some(topic),
                payload,
                ..delivery
            })));
        };
        match delivery.payload.clone().unmark() {
            Some((KIND_APPLICATION, payload)) => tell(delivery.sender, payload),
            Some((KIND_FOR_ANOTHER, payload)) => {
                let words = payload.words();
                match postcard::take_from_bytes::<(P, u64)>(words) {
                    Ok(((sender, number), rest)) => {
                        let name = words.len() - rest.len();
                        let subscribed = self.topics.get_mut(&topic);
                        if subscribed.is_some_and(|topic| topic.numbers.note((sender, number))) {
                            tell(sender, payload.without_words(name));
                        }
                    }
                    Err(_) => self.counters.malformed += 1,
                }
            }
            Some((KIND_BEACON, beacon)) => self.beacon_came(topic, &beacon.body),
            _ => self.counters.malformed += 1,
        }
    }
}

/// Whether a payload that an overlay carries is one of the application.
#[cfg(feature = "sim")]
pub(crate) fn is_of_application(payload: &Payload) -> bool {
    let kind = payload.words().first();
    kind.is_some_and(|kind| [KIND_APPLICATION, KIND_FOR_ANOTHER].contains(kind))
}

/// A message of one of the overlays, as it goes on the wire.
const fn in_swarm<P>(user: Swarm, message: SwarmMessage<P>) -> Message<P> {
    match user {
        None => Message::Base(message),
        Some(topic) => Message::Topic { topic, message },
    }
}

impl<P: Peer> Protocol<P> for PubSub<P> {
    type Message = Message<P>;
    type Timer = Timer;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Start => self.work.push_back((None, Input::Start)),
            Input::Received { from, message } => self.received(now, from, message, random, out),
            Input::PeerUp(peer) => {
                for user in self.lanes.up(peer) {
                    self.work.push_back((user, Input::PeerUp(peer)));
                }
            }
            Input::PeerDown { peer, why } => {
                self.lanes.down(peer);
                if why != WhyDown::Busy {
                    self.contact_failed(peer, None, random, out);
                }
                self.give_all(&Input::PeerDown { peer, why });
            }
            Input::Congested(peer) => self.give_all(&Input::Congested(peer)),
            Input::Drained(peer) => self.give_all(&Input::Drained(peer)),
            Input::Timer(id) => self.timer(now, id, random, out),
            Input::Command(command) => self.command(now, command, random, out),
            Input::Below(_) => {}
        }
        self.run(now, random, out);
    }
}

impl<P: Peer> Overlay<P> for PubSub<P> {
    fn neighbors(&self) -> Vec<P> {
        self.base.neighbors()
    }

    fn next_hop<R: Rng>(&self, to: P, came_from: Option<P>, random: &mut R) -> Option<P> {
        self.base.next_hop(to, came_from, random)
    }
}
