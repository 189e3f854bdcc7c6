//! Drivers of several nodes with a simulated network between them: what they say to do is done, at a time that
//! the test keeps, in an order that a seed decides.

mod broadcasts;
mod channels;
mod idle;
mod parameters;
mod partitions;
mod pauses;
mod serving;
mod summaries;
mod topology;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use overlane_overlays::epoch::{OverlayKind, Step};
use overlane_overlays::membership::Fitness;
use overlane_overlays::{Command, Payload, Time, WhyDown};

use super::channels::orders::OrderEnd;
use super::decisions::Decision;
use super::driver::{Deed, Driver, Happening, Identity};
use super::identity::NodeId;
use super::kind::BroadcastKind;
use super::machine::MachineConfig;
use super::payload::{Addressed, Sort};
use super::seeds::SeedAnswer;
use super::topology::Readings;
use super::words::{Introduction, Word};
use crate::config::ChannelConfig;
use crate::events::Event;
use crate::restraint::Side;

/// From one node to the next.
const LATENCY: Duration = Duration::from_millis(2);

type Name = Arc<str>;

/// A node of the world.
struct Node {
    driver: Driver,
    address: SocketAddr,
    lanes: BTreeSet<Name>,
    told: Vec<Event>,
    delivered: Vec<(Name, Bytes)>,
    accused: usize,
    side: Option<Side>,
    merged: Vec<Decision>,
    ways: Vec<NodeId>,
    table: channels::Table,
    ordered: BTreeMap<u64, OrderEnd>,
    /// Words that it sent.
    sent: u64,
    /// Times that a timer woke it, and that anything at all did.
    timer_steps: u64,
    steps: u64,
    /// Views of it that were something else than the one before.
    views: u64,
}

/// See the module's text.
struct World {
    now: Time,
    nodes: BTreeMap<Name, Node>,
    /// What happens when to whom, in order.
    queue: BTreeMap<(Time, u64), (Name, Happening)>,
    queued: u64,
    /// In which part of a network that is split each node is: what is sent to another one is lost, and nobody is
    /// told. Those that are not here are in the first.
    parts: BTreeMap<Name, u16>,
    /// Nodes that do not run, and what has come for each meanwhile: their lanes stay up.
    stopped: BTreeMap<Name, Vec<Happening>>,
    random: fastrand::Rng,
    /// Of the nodes that start.
    config: MachineConfig,
    /// What shards count, on every node.
    readings: Readings,
    /// Messages that each node counts as accepted.
    accepted: BTreeMap<Name, u64>,
    /// The servers that nodes are told of.
    servers: Vec<String>,
    /// What those that start are fit for.
    fitness: Fitness,
    /// Their zone; empty: none.
    zone: String,
    /// The channels in the configuration of nodes that start.
    channels: Vec<ChannelConfig>,
}

impl World {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self {
            config: MachineConfig {
                summaries_every: Duration::from_secs(10),
                ..MachineConfig::default()
            },
            readings: Readings::default(),
            accepted: BTreeMap::new(),
            servers: Vec::new(),
            fitness: Fitness::default(),
            zone: String::new(),
            channels: vec![ChannelConfig::new("data")],
            now: Time::ZERO,
            nodes: BTreeMap::new(),
            queue: BTreeMap::new(),
            queued: 0,
            parts: BTreeMap::new(),
            stopped: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// A node that asks at that place.
    fn start(&mut self, number: u16, first: OverlayKind, seed: Option<u16>) {
        let name: Name = format!("n{number}").into();
        let identity = Identity {
            name: Arc::clone(&name),
            incarnation: self.now.as_micros() + 1,
            addresses: vec![address(number)],
            first,
            servers: self.servers.clone(),
            fitness: self.fitness,
            zone: self.zone.clone(),
            discoveries: Vec::new(),
        };
        let driver = Driver::new(identity, self.config.clone(), self.random.u64(..));
        let node = Node {
            driver: driver.expect("a small identity"),
            address: address(number),
            lanes: BTreeSet::new(),
            told: Vec::new(),
            delivered: Vec::new(),
            accused: 0,
            side: None,
            merged: Vec::new(),
            ways: Vec::new(),
            table: channels::Table::new(&self.channels),
            ordered: BTreeMap::new(),
            sent: 0,
            timer_steps: 0,
            steps: 0,
            views: 0,
        };
        self.nodes.insert(Arc::clone(&name), node);
        let places = seed.map(|number| address(number).to_string());
        self.happen(&name, Happening::Join(places.into_iter().collect()));
    }

    /// So many nodes that enter by the first, until all are members.
    fn begin(&mut self, nodes: u16, first: OverlayKind) {
        self.start(0, first, None);
        for number in 1..nodes {
            self.start(number, first, Some(0));
        }
        self.run_for(Duration::from_secs(30));
        self.assert_agreed();
    }

    /// A node is gone from one moment to the next; its lanes break.
    fn kill(&mut self, name: &str) {
        let node = self.nodes.remove(name).expect("it is there");
        for peer in node.lanes {
            self.nodes
                .get_mut(&peer)
                .map(|peer| peer.lanes.remove(name));
            self.happen(&peer, Happening::LaneDown(name.into(), WhyDown::Lost));
        }
    }

    /// Stops a node where it is, as SIGSTOP does.
    fn stop(&mut self, name: &str) {
        self.stopped.insert(name.into(), Vec::new());
    }

    /// Lets it go on: it reads what has come, then its timers are due.
    fn go_on(&mut self, name: &str) {
        let came = self.stopped.remove(name).expect("it was stopped");
        for happening in came {
            self.give(&name.into(), happening);
        }
    }

    fn happen(&mut self, to: &str, happening: Happening) {
        let jitter = Duration::from_micros(self.random.u64(0..500));
        let at = self.now + LATENCY + jitter;
        self.queue.insert((at, self.queued), (to.into(), happening));
        self.queued += 1;
    }

    fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let message = self.queue.first_key_value().map(|((at, _), _)| *at);
            let running = self.nodes.iter();
            let running = running.filter(|(name, _)| !self.stopped.contains_key(*name));
            let timers = running.filter_map(|(_, node)| node.driver.next());
            let next = timers.chain(message).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(first) = self.queue.first_entry()
                && first.key().0 <= self.now
            {
                let (to, happening) = first.remove();
                self.give(&to, happening);
            }
            self.run_timers();
        }
        self.now = until;
    }

    fn run_timers(&mut self) {
        let names: Vec<_> = self.nodes.keys().cloned().collect();
        for name in names {
            if self.stopped.contains_key(&name) {
                continue;
            }
            let node = self.nodes.get_mut(&name).expect("nobody goes meanwhile");
            if node.driver.next().is_some_and(|at| at <= self.now) {
                let mut deeds = Vec::new();
                node.driver.run_due(self.now, &mut deeds);
                node.timer_steps += 1;
                self.stepped(&name, deeds);
            }
        }
    }

    fn give(&mut self, to: &Name, happening: Happening) {
        if let Some(came) = self.stopped.get_mut(to) {
            came.push(happening);
        } else if let Some(node) = self.nodes.get_mut(to) {
            let mut deeds = Vec::new();
            node.driver.handle(self.now, happening, &mut deeds);
            self.stepped(to, deeds);
        }
    }

    /// As the resident does after each step.
    fn stepped(&mut self, name: &Name, deeds: Vec<Deed>) {
        let node = self.node(name);
        node.steps += 1;
        node.views += u64::from(node.driver.take_changed_view().is_some());
        self.carry_out(name, deeds);
    }

    fn carry_out(&mut self, by: &Name, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Send { to, word, channel } => {
                    self.node(by).sent += 1;
                    assert_eq!(channel.is_some(), is_payload(&word), "its own channel");
                    if self.is_cut(by, &to) {
                        continue;
                    }
                    if self.connect(by, &to) {
                        let from = Arc::clone(by);
                        self.happen(&to, Happening::Received { from, bytes: word });
                    }
                }
                Deed::Keep { peer, .. } if !self.is_cut(by, &peer) => {
                    self.connect(by, &peer);
                }
                Deed::Ask(places) => self.ask(by, places),
                Deed::Tell(event) => self.node(by).told.push(event),
                Deed::Deliver { from, message, .. } => {
                    let payload = message.payload;
                    self.node(by).delivered.push((from, payload));
                }
                Deed::TakeSide(side) => self.node(by).side = side,
                Deed::WayFound(to) => self.node(by).ways.push(to),
                Deed::Merge(decisions) => self.node(by).merged.extend(decisions),
                Deed::Accuse { .. } => self.node(by).accused += 1,
                Deed::ChangeChannel(change) => {
                    let changed = self.node(by).table.make(&change);
                    self.happen(by, changed);
                }
                Deed::ChannelOrderEnded { token, end } => {
                    let before = self.node(by).ordered.insert(token, end);
                    assert!(before.is_none(), "an order ends once");
                }
                Deed::Measure => {
                    let readings = self.readings.clone();
                    self.happen(by, Happening::Readings(readings));
                }
                Deed::Count => {
                    let summary = summaries::said_by(self.accepted.get(by));
                    self.happen(by, Happening::Counted(summary));
                }
                Deed::Keep { .. }
                | Deed::Reach { .. }
                | Deed::Release(_)
                | Deed::Refuse { .. }
                | Deed::Missed { .. }
                | Deed::AtomicEnded { .. } => {}
            }
        }
    }

    fn is_cut(&self, one: &Name, other: &Name) -> bool {
        self.part(one) != self.part(other)
    }

    fn part(&self, name: &Name) -> u16 {
        self.parts.get(name).copied().unwrap_or(0)
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).expect("it is there")
    }

    /// Makes a lane, if there is none. False if nobody is there.
    fn connect(&mut self, by: &Name, to: &Name) -> bool {
        if !self.nodes.contains_key(to) {
            self.happen(by, Happening::LaneDown(Arc::clone(to), WhyDown::Refused));
            return false;
        }
        if self.node(by).lanes.insert(Arc::clone(to)) {
            self.node(to).lanes.insert(Arc::clone(by));
            self.happen(by, Happening::LaneUp(Arc::clone(to)));
            self.happen(to, Happening::LaneUp(Arc::clone(by)));
        }
        true
    }

    fn ask(&mut self, by: &Name, places: Vec<String>) {
        for place in places {
            let there = self
                .nodes
                .iter()
                .find(|(_, node)| node.address.to_string() == place);
            let found = there
                .map(|(name, node)| (name.to_string(), node.address))
                .ok_or_else(|| "nobody".to_owned());
            self.happen(by, Happening::Seed(SeedAnswer { place, found }));
        }
    }

    /// The names that each node counts as live members.
    fn views(&self) -> BTreeMap<Name, BTreeSet<String>> {
        let views = self.nodes.iter().map(|(name, node)| {
            let view = node.driver.view();
            let live = view.members.iter().filter(|entry| entry.status.is_live());
            let live = live.map(|entry| entry.details.name.clone()).collect();
            (Arc::clone(name), live)
        });
        views.collect()
    }

    fn assert_agreed(&self) {
        let all: BTreeSet<_> = self.nodes.keys().map(ToString::to_string).collect();
        for (name, view) in self.views() {
            assert_eq!(view, all, "as {name} sees it");
            assert!(self.nodes[&name].driver.view().is_joined || all.len() == 1);
        }
    }

    fn broadcast(&mut self, by: &str, payload: &[u8]) {
        self.broadcast_as(BroadcastKind::Plain, by, payload);
    }

    fn broadcast_as(&mut self, kind: BroadcastKind, by: &str, payload: &[u8]) {
        let body = Addressed::write(Sort::Broadcast(kind), "data", "in", payload);
        let body = Payload::from(body);
        let happening = match kind {
            BroadcastKind::Plain => Happening::Order(Command::Broadcast(body)),
            BroadcastKind::Causal => Happening::Order(Command::CausalBroadcast(body)),
            BroadcastKind::Atomic => Happening::Atomic(body),
            BroadcastKind::Epidemic => Happening::Order(Command::Broadcast(body.epidemically())),
        };
        self.happen(by, happening);
    }

    fn order(&mut self, by: &str, command: Command<NodeId>) {
        self.happen(by, Happening::Order(command));
    }

    /// All nodes are to get that overlay, with servers that are chosen, if it has any.
    fn switch(&mut self, by: &str, kind: OverlayKind) {
        let order = Command::SwitchOverlay {
            kind,
            servers: Vec::new(),
            trial: None,
        };
        self.order(by, order);
    }
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7000 + number))
}

fn is_payload(word: &Bytes) -> bool {
    use overlane_overlays::Message;
    match Word::read(word) {
        Ok(Word::Machine(message)) => Addressed::glance(&message.tail()).is_some(),
        _ => false,
    }
}

const KINDS: [OverlayKind; 3] = [
    OverlayKind::FullMesh,
    OverlayKind::HyParView,
    OverlayKind::PubSub,
];

fn world(seed: u64, nodes: u16, first: OverlayKind) -> World {
    let mut world = World::new(seed);
    world.begin(nodes, first);
    world
}

#[test]
fn who_joins_by_an_address_becomes_a_member_everywhere_and_hears_broadcasts_once() {
    for (seed, kind) in KINDS.into_iter().enumerate() {
        let mut world = world(seed as u64, 25, kind);
        for number in 0..25 {
            world.broadcast(&format!("n{number}"), format!("from n{number}").as_bytes());
        }
        world.run_for(Duration::from_secs(10));
        for (name, node) in &world.nodes {
            let heard: BTreeSet<_> = node.delivered.iter().collect();
            assert_eq!((heard.len(), node.delivered.len()), (24, 24), "{name}");
            assert!(node.delivered.iter().all(|(from, payload)| {
                **payload == *format!("from {from}").as_bytes() && from != name
            }));
            assert_eq!(node.accused, 0);
        }
    }
}

#[test]
fn the_killed_are_told_down_and_come_back_in_another_incarnation() {
    let mut world = world(7, 20, OverlayKind::HyParView);
    for number in 5..11 {
        world.kill(&format!("n{number}"));
    }
    world.run_for(Duration::from_secs(60));
    world.assert_agreed();
    let told = &world.nodes["n0"].told;
    let down = told
        .iter()
        .filter(|event| matches!(event, Event::MemberDown { .. }));
    assert_eq!(down.count(), 6);
    for number in 5..11 {
        world.start(number, OverlayKind::HyParView, Some(0));
    }
    world.run_for(Duration::from_secs(30));
    world.assert_agreed();
}

#[test]
fn who_is_back_before_anybody_missed_it_is_a_member_in_its_new_incarnation() {
    for (seed, kind) in (40..).zip(KINDS.into_iter().cycle().take(12)) {
        let mut world = world(seed, 8, kind);
        for number in [3, 5] {
            world.kill(&format!("n{number}"));
            let pause = world.random.u64(0..30);
            world.run_for(Duration::from_millis(pause));
            world.start(number, kind, Some(0));
        }
        world.run_for(Duration::from_secs(20));
        world.assert_agreed();
        let incarnations = |node: &Node| {
            let view = node.driver.view();
            let known = view.members.iter();
            let known = known.map(|entry| (entry.details.name.clone(), entry.version.incarnation));
            known.collect::<BTreeMap<_, _>>()
        };
        let mut views = world.nodes.values().map(incarnations);
        let first = views.next().expect("eight");
        assert!(views.all(|view| view == first), "{kind}");
    }
}

#[test]
fn who_joins_at_the_same_moment_as_others_hears_of_all_of_them() {
    for (seed, kind) in (60..).zip(KINDS.into_iter().cycle().take(30)) {
        let mut world = World::new(seed);
        for number in 0..3 {
            world.start(number, kind, (number > 0).then_some(0));
            let pause = world.random.u64(0..10);
            world.run_for(Duration::from_millis(pause));
        }
        world.run_for(Duration::from_secs(10));
        world.assert_agreed();
    }
}

#[test]
fn a_split_is_told_with_both_sides_and_heals() {
    let cases = [(12, 2), (12, 3), (30, 3)].into_iter();
    let cases = cases.flat_map(|case| KINDS.map(|kind| (case, kind)));
    for (seed, ((nodes, ways), kind)) in (20..).zip(cases) {
        let mut world = world(seed, nodes, kind);
        for number in 0..nodes {
            world
                .parts
                .insert(format!("n{number}").into(), number % ways);
        }
        world.run_for(Duration::from_secs(45));
        for (name, view) in world.views() {
            let side = world.nodes.keys();
            let side = side.filter(|other| world.part(other) == world.part(&name));
            let side: BTreeSet<String> = side.map(ToString::to_string).collect();
            assert_eq!(view, side, "{kind} in {ways} parts as {name} sees it");
        }
        world.parts.clear();
        world.run_for(Duration::from_secs(60));
        world.assert_agreed();
        for (name, node) in &world.nodes {
            let parted = |event: &Event| matches!(event, Event::Partitioned { .. });
            assert!(node.told.iter().any(parted), "{kind} {name}");
            let healed = |event: &Event| matches!(event, Event::Healed { .. });
            assert!(node.told.iter().any(healed), "{kind} {name}");
        }
    }
}

#[test]
fn a_goodbye_is_told_as_one() {
    let mut world = world(8, 10, OverlayKind::FullMesh);
    world.order("n3", Command::Leave);
    world.run_for(Duration::from_secs(1));
    assert!(world.nodes["n3"].driver.view().has_left);
    world.kill("n3");
    world.run_for(Duration::from_secs(10));
    world.assert_agreed();
    for node in world.nodes.values() {
        let left =
            |event: &Event| matches!(event, Event::MemberLeft { member } if **member == *"n3");
        assert!(node.told.iter().any(left));
        assert!(
            !node
                .told
                .iter()
                .any(|event| matches!(event, Event::MemberDown { .. }))
        );
    }
}

#[test]
fn a_member_that_is_evicted_says_goodbye_and_is_told_by_whom() {
    let mut world = world(12, 8, OverlayKind::HyParView);
    world.happen("n2", Happening::Evict(NodeId::of("n5")));
    world.run_for(Duration::from_secs(1));
    let evicted = |event: &Event| matches!(event, Event::Evicted { by } if **by == *"n2");
    let told = &world.nodes["n5"].told;
    let left = |event: &Event| matches!(event, Event::Left);
    assert!(told.iter().any(evicted) && told.iter().any(left));
    world.kill("n5");
    world.run_for(Duration::from_secs(10));
    world.assert_agreed();
    for node in world.nodes.values() {
        let left =
            |event: &Event| matches!(event, Event::MemberLeft { member } if **member == *"n5");
        assert!(node.told.iter().any(left));
    }
}

#[test]
fn a_switch_of_the_overlay_is_told_on_all_nodes() {
    let mut world = world(9, 12, OverlayKind::FullMesh);
    let kind = OverlayKind::HyParView;
    world.switch("n4", kind);
    world.run_for(Duration::from_secs(60));
    for node in world.nodes.values() {
        let view = node.driver.view();
        assert_eq!((view.overlay.kind, view.next_overlay), (kind, None));
        let committed = |event: &Event| {
            let step = Step::Committed;
            matches!(event, Event::Overlay { epoch: 1, step: told, .. } if *told == step)
        };
        assert_eq!(node.told.iter().filter(|event| committed(event)).count(), 1);
    }
}

#[test]
fn words_that_break_the_rules_are_counted_and_harm_nobody() {
    let mut world = world(10, 5, OverlayKind::FullMesh);
    let forged = Word::of_greeting(&super::words::Greeting {
        first: OverlayKind::FullMesh,
        node: Introduction {
            name: "n4".to_owned(),
            addresses: vec![address(99)],
        },
    });
    for bytes in [
        forged,
        Bytes::new(),
        Bytes::from(vec![9; 100]),
        Bytes::from(vec![0; 70]),
    ] {
        world.happen(
            "n0",
            Happening::Received {
                from: "n1".into(),
                bytes,
            },
        );
    }
    world.run_for(Duration::from_secs(5));
    assert!(world.nodes["n0"].accused >= 3);
    world.assert_agreed();
}

#[test]
fn a_node_of_another_first_overlay_is_told() {
    let mut world = World::new(11);
    world.start(0, OverlayKind::FullMesh, None);
    world.start(1, OverlayKind::HyParView, Some(0));
    world.run_for(Duration::from_secs(5));
    for name in ["n0", "n1"] {
        let is_told = |event: &Event| matches!(event, Event::OtherOverlay { .. });
        assert!(world.nodes[name].told.iter().any(is_told), "{name}");
    }
}
