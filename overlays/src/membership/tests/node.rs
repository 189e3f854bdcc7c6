//! One node, its timers, and what it puts out; and what two nodes make of each other's tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::event::{Command, Delivery, Event, Input, Output, Protocol};
use crate::membership::layer::KIND_NEWS;
use crate::membership::{
    Claim, Config, Details, Membership, Message, News, Statement, Status, Timer, Version,
};
use crate::message::{decode, encode};
use crate::payload::Payload;
use crate::store::MessageId;
use crate::time::Time;

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn version(incarnation: u64, revision: u32) -> Version {
    Version {
        incarnation,
        revision,
    }
}

pub(super) fn details(metadata: &[u8]) -> Arc<Details> {
    Arc::new(Details {
        metadata: metadata.to_vec(),
        ..Details::default()
    })
}

pub(super) fn alive(about: u32, version: Version) -> Statement<u32> {
    let claim = Claim::Alive(details(b""));
    Statement {
        about,
        version,
        claim,
    }
}

pub(super) fn claim(about: u32, version: Version, claim: Claim<u32>) -> Statement<u32> {
    Statement {
        about,
        version,
        claim,
    }
}

/// One node, its timers, and what it put out.
pub(super) struct Node {
    pub(super) membership: Membership<u32>,
    me: u32,
    pub(super) now: Time,
    random: SmallRng,
    timers: BTreeMap<(Time, u64), Timer<u32>>,
    set: u64,
    pub(super) events: Vec<Event<u32>>,
    pub(super) news: Vec<Statement<u32>>,
    pub(super) sent: Vec<(u32, Message<u32>)>,
    pub(super) joins: Vec<u32>,
}

impl Node {
    pub(super) fn new(me: u32) -> Self {
        Self::with(me, Config::default())
    }

    pub(super) fn with(me: u32, config: Config) -> Self {
        let membership = Membership::new(me, 1, Details::default(), config);
        let mut node = Self {
            membership: membership.expect("small details"),
            me,
            now: Time::ZERO,
            random: SmallRng::seed_from_u64(5),
            timers: BTreeMap::new(),
            set: 0,
            events: Vec::new(),
            news: Vec::new(),
            sent: Vec::new(),
            joins: Vec::new(),
        };
        node.input(Input::Start);
        node
    }

    pub(super) fn input(&mut self, input: Input<u32, Message<u32>, Timer<u32>>) {
        let mut out = Vec::new();
        self.membership
            .handle(self.now, input, &mut self.random, &mut out);
        for output in out {
            match output {
                Output::Send { to, message } => self.sent.push((to, message)),
                Output::SetTimer { id, after } => {
                    self.set += 1;
                    self.timers.insert((self.now + after, self.set), id);
                }
                Output::Event(event) => self.events.push(event),
                Output::Below(Command::Broadcast(payload)) => {
                    if let Some((KIND_NEWS, payload)) = payload.unmark() {
                        let News(news) = decode(&payload.body).expect("its own news");
                        self.news.extend(news);
                    }
                }
                Output::Below(Command::Join(contact)) => self.joins.push(contact),
                _ => {}
            }
        }
    }

    /// Everybody was told this.
    pub(super) fn told(&mut self, statement: Statement<u32>) {
        let payload = Payload::from(encode(&News(vec![statement]))).marked(KIND_NEWS);
        let delivery = Delivery {
            sender: 1,
            id: MessageId {
                sender: 1,
                number: 0,
            },
            topic: None,
            payload,
            hops: 1,
        };
        self.input(Input::Below(Event::Delivered(delivery)));
    }

    /// Everybody was told that a member is accused, and then that it is down.
    pub(super) fn told_dead(&mut self, about: u32, version: Version) {
        self.told(claim(about, version, Claim::Suspect { by: 200 }));
        self.told(claim(about, version, Claim::Down));
    }

    /// A table had this.
    pub(super) fn supplied(&mut self, statement: Statement<u32>) {
        let message = Message::Supply(vec![statement]);
        self.received(9, message);
    }

    pub(super) fn received(&mut self, from: u32, message: Message<u32>) {
        self.input(Input::Received { from, message });
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(first) = self.timers.first_entry() {
            if first.key().0 > end {
                break;
            }
            let ((at, _), id) = first.remove_entry();
            self.now = self.now.max(at);
            self.input(Input::Timer(id));
        }
        self.now = end;
    }

    /// Time passes in which nothing comes, nor do timers.
    pub(super) fn sleep(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    pub(super) fn belief(&self, about: u32) -> Option<(Version, Status)> {
        let entry = self.membership.table().get(&about)?;
        Some((entry.version, entry.status))
    }

    pub(super) fn events(&mut self) -> Vec<Event<u32>> {
        std::mem::take(&mut self.events)
    }
}

/// The messages of one exchange between two nodes, until there are none left.
pub(super) fn exchange(one: &mut Node, other: &mut Node) {
    for _ in 0..100 {
        let mut quiet = true;
        for (to, message) in std::mem::take(&mut one.sent) {
            if to == other.me && !matches!(message, Message::Probe(_)) {
                other.received(one.me, message);
                quiet = false;
            }
        }
        for (to, message) in std::mem::take(&mut other.sent) {
            if to == one.me && !matches!(message, Message::Probe(_)) {
                one.received(other.me, message);
                quiet = false;
            }
        }
        if quiet {
            return;
        }
    }
    panic!("the exchange does not end");
}

/// Two nodes, of which `one` begins to compare.
pub(super) fn compare(one: &mut Node, other: &mut Node) {
    one.sent.clear();
    other.sent.clear();
    one.input(Input::Below(Event::NeighborDown(other.me)));
    one.membership.exchange = None;
    one.input(Input::Below(Event::NeighborUp(other.me)));
    exchange(one, other);
}
