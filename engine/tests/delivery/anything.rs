//! What applications do, at random and all at once: nodes, channels of every kind, receipts, requests, cuts, moves and
//! restarts. At the end each message has ended once, as its channel promises.

mod flows;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_lite::future::{block_on, poll_once};
use overlane::config::{ChannelConfig, Compression, Ordering, Overflow, Reliability};
use overlane::{
    Channel, Envelope, Inbox, Message, Metrics, Node, OwnedMessage, Receipt, Reported, RequestError,
};
use overlane_proxy::Proxy;

use self::flows::{Flows, Written};
use crate::support::accounting::check_accounting;
use crate::support::{GENEROUS, config, start, wait_until};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Where messages go: two that shards take, one that a thread takes, one that nobody has.
const MAILBOXES: [&str; 4] = ["in", "too", "box", "nobody"];
const DEEDS: usize = 1500;
/// Open receipts and requests that are kept until the end.
const KEPT_MAX: usize = 5000;

/// A kind of channel, and what can be asked of it.
struct Kind {
    name: &'static str,
    reliability: Reliability,
    ordering: Ordering,
    lanes: u16,
    is_compressed: bool,
}

const fn kind(name: &'static str, reliability: Reliability, ordering: Ordering) -> Kind {
    Kind {
        name,
        reliability,
        ordering,
        lanes: 1,
        is_compressed: false,
    }
}

const KINDS: [Kind; 8] = [
    kind("loss", Reliability::BestEffort, Ordering::Fifo),
    kind("plain", Reliability::Reliable, Ordering::Fifo),
    kind("newest", Reliability::Reliable, Ordering::Monotonic),
    kind("once", Reliability::AtLeastOnce, Ordering::Fifo),
    kind("sure", Reliability::Guaranteed, Ordering::Fifo),
    kind("cause", Reliability::Guaranteed, Ordering::Causal),
    Kind {
        lanes: 3,
        ..kind("wide", Reliability::Guaranteed, Ordering::Unordered)
    },
    Kind {
        is_compressed: true,
        ..kind("small", Reliability::Guaranteed, Ordering::Fifo)
    },
];

impl Kind {
    fn config(&self) -> ChannelConfig {
        let config = ChannelConfig::new(self.name)
            .reliability(self.reliability)
            .ordering(self.ordering)
            .parallelism(self.lanes)
            .resume_timeout_ms(3000_u64)
            .overflow(match self.reliability {
                Reliability::BestEffort => Overflow::DropOldest,
                Reliability::Reliable => Overflow::DropNewest,
                _ => Overflow::Reject,
            });
        match self.is_compressed {
            true => config.compression(Compression::Lz4),
            false => config,
        }
    }

    fn is_in_order(&self) -> bool {
        self.lanes == 1 && self.reliability != Reliability::AtLeastOnce
    }
}

/// From which start of a node, over which channel, to which node, and to which of its mailboxes with which key: large messages let
/// those with other keys pass.
type Way = (u32, usize, usize, usize);

/// What came, in its order.
type Came = Arc<Mutex<BTreeMap<Way, Vec<u64>>>>;

fn small(number: usize) -> u8 {
    u8::try_from(number).expect("there are few")
}

fn payload(way: Way, number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(bytes + 20);
    payload.extend(way.0.to_le_bytes());
    payload.extend([way.1, way.2, way.3].map(small));
    payload.extend(number.to_le_bytes());
    payload.extend((0..bytes as u64).map(|at| (number + at / 7).to_le_bytes()[0]));
    payload
}

fn note(came: &Came, bytes: &[u8]) {
    let life = u32::from_le_bytes(bytes[..4].try_into().expect("four"));
    let way = (life, bytes[4].into(), bytes[5].into(), bytes[6].into());
    let number = u64::from_le_bytes(bytes[7..15].try_into().expect("eight"));
    assert_eq!(bytes, payload(way, number, bytes.len() - 15), "whole");
    let mut came = came.lock().expect("no test thread panics with it");
    came.entry(way).or_default().push(number);
}

/// A node, and what it has to do with messages.
struct Running {
    node: Node,
    inbox: Option<Inbox>,
    life: u32,
    channels: Vec<Channel>,
}

type Asked = Pin<Box<dyn Future<Output = Result<OwnedMessage, RequestError>>>>;

struct World {
    random: Rng,
    came: Came,
    lives: u32,
    nodes: Vec<Running>,
    /// From one to another.
    proxies: BTreeMap<(usize, usize), Proxy>,
    /// The next number on a way.
    numbers: BTreeMap<Way, u64>,
    /// What was accepted on a way.
    accepted: BTreeMap<Way, BTreeSet<u64>>,
    receipts: Vec<(Way, u64, Receipt)>,
    requests: Vec<(Vec<u8>, Asked)>,
    flows: Flows,
}

fn run(came: &Came, number: usize, listen: Option<SocketAddr>, life: u32) -> Running {
    let mut builder = config(NAMES[number]);
    if let Some(listen) = listen {
        builder = builder.listen(listen);
    }
    for kind in &KINDS {
        builder = builder.channel(kind.config());
    }
    let node = start(builder);
    for mailbox in &MAILBOXES[..2] {
        let came = Arc::clone(came);
        let take = move |_: &mut overlane::ShardContext<'_>, message: Message<'_>| {
            note(&came, message.payload());
        };
        node.handle(mailbox, take).expect("free");
    }
    let inbox = Some(node.inbox(MAILBOXES[2]).expect("free"));
    let channels: Vec<_> = KINDS
        .iter()
        .map(|kind| node.channel(kind.name).expect("configured"))
        .collect();
    let replies = channels.clone();
    node.handle("calls", move |shard, message| {
        let asker = message.reply_handle().expect("it is a request");
        let channel = &replies[message.payload()[0] as usize];
        // One that finds no room is not answered: the request ends by its deadline.
        let _ = shard.try_reply(channel, &asker, message.payload());
    })
    .expect("free");
    Running {
        node,
        inbox,
        life,
        channels,
    }
}

impl World {
    fn begin(seed: u64) -> Self {
        let came = Came::default();
        let nodes: Vec<_> = (0..3)
            .map(|number| run(&came, number, None, small(number).into()))
            .collect();
        let mut proxies = BTreeMap::new();
        for from in 0..3 {
            for to in (0..3).filter(|to| *to != from) {
                let target = nodes[to].node.local_addr();
                proxies.insert((from, to), Proxy::start(target).expect("a free port"));
            }
        }
        let mut world = Self {
            random: Rng::with_seed(seed),
            came,
            lives: 3,
            nodes,
            proxies,
            numbers: BTreeMap::new(),
            accepted: BTreeMap::new(),
            receipts: Vec::new(),
            requests: Vec::new(),
            flows: Flows::default(),
        };
        for from in 0..3 {
            world
                .flows
                .accept(&world.nodes[from].node, world.random.u64(..));
            world.connect(from);
        }
        world
    }

    fn connect(&self, from: usize) {
        for to in (0..3).filter(|to| *to != from) {
            let at = self.proxies[&(from, to)].address();
            self.nodes[from]
                .node
                .connect(NAMES[to], at)
                .expect("a name");
        }
    }

    fn send(&mut self) {
        let (from, kind, to) = (
            self.random.usize(..3),
            self.random.usize(..KINDS.len()),
            self.random.usize(..3),
        );
        let mailbox = self.random.usize(..MAILBOXES.len());
        let key = self
            .random
            .choice([None, None, None, Some(0), Some(1), Some(2)]);
        let key = key.expect("there are some");
        let flow = mailbox + MAILBOXES.len() * key.map_or(0, |key: usize| key + 1);
        let way = (self.nodes[from].life, kind, to, flow);
        let running = &self.nodes[from];
        let mut destination = running
            .node
            .destination(NAMES[to], MAILBOXES[mailbox])
            .expect("names");
        if let Some(key) = key {
            destination = destination.with_key(key as u64);
        }
        let channel = &running.channels[kind];
        let next = self.numbers.entry(way).or_default();
        for _ in 0..self.random.usize(1..20) {
            let bytes = match self.random.u8(..20) {
                0 => self.random.usize(..200_000),
                1..4 => self.random.usize(..5000),
                _ => self.random.usize(..100),
            };
            let payload = payload(way, *next, bytes);
            let sent = match self.random.u8(..4) {
                0 => channel
                    .send_many(&destination, &[&payload])
                    .map(|sent| sent == 1),
                1 if self.receipts.len() < KEPT_MAX
                    && KINDS[kind].reliability != Reliability::BestEffort =>
                {
                    channel
                        .try_send_with_receipt(&destination, &payload)
                        .map(|receipt| {
                            self.receipts.push((way, *next, receipt));
                            true
                        })
                }
                2 => {
                    let deadline = Duration::from_millis(self.random.u64(1..2000));
                    let sent = channel.try_send(
                        &destination,
                        Envelope::new(&payload).deadline(deadline).message_type("t"),
                    );
                    sent.map(|()| true)
                }
                _ => channel.try_send(&destination, &payload).map(|()| true),
            };
            if sent.is_ok_and(|sent| sent) {
                self.accepted.entry(way).or_default().insert(*next);
            }
            *next += 1;
        }
    }

    fn ask(&mut self) {
        let (from, kind, to) = (
            self.random.usize(..3),
            self.random.usize(1..KINDS.len()),
            self.random.usize(..3),
        );
        if self.requests.len() == KEPT_MAX {
            return;
        }
        let running = &self.nodes[from];
        let destination = running.node.destination(NAMES[to], "calls").expect("names");
        let mut question = vec![small(kind)];
        question.resize(self.random.usize(1..3000), 7);
        let channel = running.channels[kind].clone();
        let bytes = question.clone();
        let deadline = Duration::from_millis(self.random.u64(1..3000));
        let mut asked: Asked =
            Box::pin(async move { channel.request(&destination, bytes, deadline).await });
        match block_on(poll_once(&mut asked)) {
            Some(ended) => ends_well(&question, ended),
            None => self.requests.push((question, asked)),
        }
    }

    fn flow(&mut self) {
        let (from, kind, to) = (
            self.random.usize(..3),
            self.random.usize(1..KINDS.len()),
            self.random.usize(..3),
        );
        let running = &self.nodes[from];
        let destination = running.node.destination(NAMES[to], "flows").expect("names");
        let random = self.random.fork();
        self.flows
            .begin(&running.channels[kind], &destination, random);
    }

    /// Starts it again, at its address, and checks what the one before says at its end.
    fn restart(&mut self) {
        let number = self.random.usize(..3);
        let listen = self.nodes[number].node.local_addr();
        let old = self.nodes.remove(number);
        drop(old.channels);
        let report = old.node.stop(Duration::from_millis(self.random.u64(..300)));
        assert!(report.metrics.identity_holds(), "{:#?}", report.metrics);
        assert!(report.metrics.is_drained(), "{:#?}", report.metrics);
        let new = run(&self.came, number, Some(listen), self.lives);
        self.lives += 1;
        self.flows.accept(&new.node, self.random.u64(..));
        self.nodes.insert(number, new);
        self.connect(number);
    }

    fn read_some(&mut self) {
        let number = self.random.usize(..3);
        let messages = self.random.usize(..200);
        self.read(number, messages);
    }

    /// As an application that has nothing else to do, for a while.
    fn wait_for_one(&mut self) {
        let number = self.random.usize(..3);
        let patience = Duration::from_millis(self.random.u64(..20));
        if let Some(inbox) = &mut self.nodes[number].inbox
            && let Ok(message) = inbox.recv_timeout(patience)
        {
            note(&self.came, message.payload());
        }
    }

    fn read(&mut self, number: usize, messages: usize) {
        let Some(inbox) = &mut self.nodes[number].inbox else {
            return;
        };
        for _ in 0..messages {
            let Some(message) = inbox.try_recv() else {
                return;
            };
            note(&self.came, message.payload());
        }
    }

    fn deed(&mut self, is_restarting: bool) {
        match self.random.u8(..100) {
            0..58 => self.send(),
            58..60 => self.flow(),
            60..70 => self.ask(),
            70..80 => self.read_some(),
            80..84 => {
                let (from, to) = self.two();
                self.proxies[&(from, to)].cut();
            }
            84..86 => {
                let (from, to) = self.two();
                let stalled = self.random.bool();
                self.proxies[&(from, to)].stall(stalled);
            }
            86..88 => {
                let (from, to) = self.two();
                self.nodes[from].node.disconnect(NAMES[to]).expect("a name");
            }
            88..91 => {
                let from = self.random.usize(..3);
                self.connect(from);
            }
            91..93 => {
                let number = self.random.usize(..3);
                let running = &mut self.nodes[number];
                running.inbox = match running.inbox.take() {
                    Some(_) => None,
                    None => running.node.inbox(MAILBOXES[2]).ok(),
                };
            }
            93..95 => {
                let (number, kind) = (self.random.usize(..3), self.random.usize(..KINDS.len()));
                let priority = self.random.u8(1..=7);
                let retuned = self.nodes[number]
                    .node
                    .retune_channel(KINDS[kind].name, |is| is.priority(priority));
                retuned.expect("a priority can change");
            }
            95..97 => self.wait_for_one(),
            97.. if is_restarting && self.random.u8(..3) == 0 => self.restart(),
            _ => {}
        }
    }

    fn two(&mut self) -> (usize, usize) {
        let from = self.random.usize(..3);
        (from, (from + self.random.usize(1..3)) % 3)
    }

    /// Everything is mended, read and drained.
    fn rest(&mut self) -> Vec<Written> {
        for proxy in self.proxies.values() {
            proxy.stall(false);
        }
        for number in 0..3 {
            self.connect(number);
            if self.nodes[number].inbox.is_none() {
                self.nodes[number].inbox =
                    Some(self.nodes[number].node.inbox(MAILBOXES[2]).expect("free"));
            }
        }
        let written = || {
            self.read_all();
            let nodes = self.nodes.iter();
            let metrics: Vec<_> = nodes.map(|running| running.node.metrics()).collect();
            (self.flows.unwritten(), metrics)
        };
        wait_until("all streams are written", written, |(unwritten, _)| {
            unwritten.is_empty()
        });
        let written = self.flows.written();
        for (question, asked) in self.requests.drain(..) {
            ends_well(&question, block_on(asked));
        }
        let drained = || {
            self.read_all();
            let nodes = self.nodes.iter();
            nodes
                .map(|running| running.node.metrics())
                .collect::<Vec<_>>()
        };
        wait_until("all nodes are drained", drained, |metrics| {
            metrics.iter().all(Metrics::is_drained)
        });
        self.read_all();
        written
    }

    fn read_all(&mut self) {
        for number in 0..3 {
            self.read(number, usize::MAX);
        }
    }

    fn judge(mut self, is_restarting: bool, written: &[Written]) {
        let nodes: Vec<_> = self.nodes.iter().map(|running| &running.node).collect();
        let metrics = if is_restarting {
            nodes.iter().map(|node| node.metrics()).collect()
        } else {
            check_accounting(&nodes)
        };
        for metrics in &metrics {
            assert!(metrics.identity_holds(), "{metrics:#?}");
        }
        let came = self.came.lock().expect("nobody panics");
        for (way, numbers) in came.iter() {
            let kind = &KINDS[way.1];
            let once: BTreeSet<_> = numbers.iter().copied().collect();
            let accepted = &self.accepted[way];
            assert!(
                once.is_subset(accepted),
                "{} {way:?}: what was not accepted came",
                kind.name
            );
            if kind.reliability != Reliability::AtLeastOnce {
                assert_eq!(
                    once.len(),
                    numbers.len(),
                    "{} {way:?}: once each",
                    kind.name
                );
            }
            if kind.is_in_order() {
                assert!(numbers.is_sorted(), "{} {way:?}: in order", kind.name);
            }
        }
        for (way, number, mut receipt) in self.receipts.drain(..) {
            let kind = KINDS[way.1].name;
            let outcome = receipt.wait(GENEROUS).expect("it ends");
            let has_come = came.get(&way).is_some_and(|came| came.contains(&number));
            match outcome {
                // An inbox that went took with it what nobody had read.
                Ok(()) => {}
                Err(Reported::Unknown { .. }) => {}
                Err(why) => assert!(
                    !has_come,
                    "{kind} {way:?} {number} came, and its receipt says {why}"
                ),
            }
        }
        drop(came);
        self.nodes.clear();
        self.flows.judge(written);
    }
}

/// An answer is to its question, and an end has a reason of those that there can be.
fn ends_well(question: &[u8], ended: Result<OwnedMessage, RequestError>) {
    if let Ok(reply) = ended {
        assert_eq!(reply.payload(), question);
    }
}

fn anything(seed: u64, is_restarting: bool) {
    println!("seed {seed}");
    let mut world = World::begin(seed);
    for _ in 0..DEEDS {
        world.deed(is_restarting);
    }
    let written = world.rest();
    world.judge(is_restarting, &written);
}

fn seed() -> u64 {
    match std::env::var("OVERLANE_SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => fastrand::u64(..),
    }
}

#[test]
fn what_applications_do_at_random_is_accounted_for() {
    anything(seed(), false);
}

#[test]
fn nodes_that_start_again_at_random_account_for_everything() {
    anything(seed(), true);
}
