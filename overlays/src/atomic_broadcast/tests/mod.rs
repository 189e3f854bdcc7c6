//! Atomic broadcast: every single crash, omission and late copy, and pairs of them, enumerated in clusters
//! of one to five nodes; then any mixture at random. The net that all of them run in is here.

mod enumerated;
mod mixed;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

/// Time that a message takes unless a test says otherwise.
const LATENCY: u64 = 10_000;
/// Long enough for every wait of a round.
const LONG: Duration = Duration::from_secs(900);

type Node = AtomicBroadcast<u32>;

/// A node in one of its lives.
type Life = (u32, u64);

enum What {
    Message(u32, Message<u32>),
    Timer(u64),
}

/// What one life has told of the rounds: what it delivered or committed, and what it was told aborted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    done: Vec<MessageId>,
    aborted: Vec<MessageId>,
    unknown: Vec<MessageId>,
}

/// The mischief of a run: what happens to the messages sent, counted from zero, and to nodes.
type Mischief<'m> = Box<dyn FnMut(&mut Net, usize, u32) -> Fate + 'm>;

/// What becomes of a message that is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    IsLost,
    ArrivesTwice(u64),
    /// It takes this much longer.
    IsLate(u64),
}

/// Nodes, and all that is under way.
struct Net {
    now: u64,
    nodes: BTreeMap<u32, Node>,
    lives: BTreeMap<u32, u64>,
    queue: BTreeMap<(u64, usize), (u32, What)>,
    happened: usize,
    sent: usize,
    random: SmallRng,
    told: BTreeMap<Life, Told>,
}

impl Net {
    fn new(count: u32) -> Self {
        let mut net = Self {
            now: 0,
            nodes: BTreeMap::new(),
            lives: BTreeMap::new(),
            queue: BTreeMap::new(),
            happened: 0,
            sent: 0,
            random: SmallRng::seed_from_u64(4),
            told: BTreeMap::new(),
        };
        for node in 0..count {
            net.start(node);
        }
        net
    }

    fn start(&mut self, node: u32) {
        let life = self.lives.entry(node).or_insert(0);
        *life += 1;
        let config = Config::default();
        self.nodes
            .insert(node, AtomicBroadcast::new(node, *life, config));
    }

    fn crash(&mut self, node: u32) {
        self.nodes.remove(&node);
    }

    fn view(&self) -> Vec<(u32, u64)> {
        self.lives
            .iter()
            .map(|(node, life)| (*node, *life))
            .collect()
    }

    fn schedule(&mut self, after: u64, node: u32, what: What) {
        self.happened += 1;
        let key = (self.now + after, self.happened);
        self.queue.insert(key, (node, what));
    }

    /// A node broadcasts to all.
    fn broadcast(&mut self, node: u32, mischief: &mut Mischief<'_>) -> MessageId {
        let (view, payload) = (self.view(), vec![1, 2, 3].into());
        let command = Command::AtomicBroadcast { view, payload };
        self.input(node, Input::Command(command), mischief);
        let sent = self.nodes.get(&node).and_then(AtomicBroadcast::last_sent);
        sent.unwrap_or(MessageId {
            sender: 0,
            number: 0,
        })
    }

    fn input(
        &mut self,
        node: u32,
        input: Input<u32, Message<u32>, Look>,
        mischief: &mut Mischief<'_>,
    ) {
        let Some(state) = self.nodes.get_mut(&node) else {
            return;
        };
        let mut out = Vec::new();
        let now = Time::from_micros(self.now);
        state.handle(now, input, &mut self.random, &mut out);
        state.check().unwrap();
        let life = self.lives[&node];
        for output in out {
            // Mischief may end it between two messages.
            if !self.nodes.contains_key(&node) {
                break;
            }
            match output {
                Output::Send { to, message } => self.send(node, to, &message, mischief),
                Output::SendAll { to, message } => {
                    for to in to {
                        self.send(node, to, &message, mischief);
                    }
                }
                Output::SetTimer { after, .. } => {
                    let after = u64::try_from(after.as_micros()).unwrap();
                    self.schedule(after, node, What::Timer(life));
                }
                Output::Event(event) => self.tell(node, event),
                Output::Connect(_) | Output::Disconnect(_) | Output::Below(_) => {}
            }
        }
    }

    fn send(&mut self, from: u32, to: u32, message: &Message<u32>, mischief: &mut Mischief<'_>) {
        if !self.nodes.contains_key(&from) {
            return;
        }
        assert_ne!(from, to);
        let bytes = crate::encode(message);
        assert_eq!(crate::decode::<Message<u32>>(&bytes).as_ref(), Ok(message));
        let number = self.sent;
        self.sent += 1;
        let fate = mischief(self, number, to);
        if !self.nodes.contains_key(&from) {
            return;
        }
        let arrives = |net: &mut Self, after| {
            net.schedule(after, to, What::Message(from, message.clone()));
        };
        match fate {
            Fate::Arrives => arrives(self, LATENCY),
            Fate::IsLost => {}
            Fate::ArrivesTwice(later) => {
                arrives(self, LATENCY);
                arrives(self, LATENCY + later);
            }
            Fate::IsLate(by) => arrives(self, LATENCY + by),
        }
    }

    fn tell(&mut self, node: u32, event: Event<u32>) {
        let told = self.told.entry((node, self.lives[&node])).or_default();
        match event {
            Event::Delivered(delivery) => {
                assert_ne!(delivery.sender, node);
                assert_eq!(delivery.payload, vec![1, 2, 3].into());
                told.done.push(delivery.id);
            }
            Event::Atomic { id, outcome, .. } => match outcome {
                AtomicOutcome::Committed => told.done.push(id),
                AtomicOutcome::Aborted { .. } => told.aborted.push(id),
                AtomicOutcome::Unknown => told.unknown.push(id),
            },
            other => panic!("{other:?}"),
        }
    }

    /// One thing happens. False if nothing is left.
    fn step(&mut self, until: u64, mischief: &mut Mischief<'_>) -> bool {
        let Some(next) = self.queue.first_key_value().map(|(key, _)| *key) else {
            return false;
        };
        if next.0 > until {
            return false;
        }
        let Some((node, what)) = self.queue.remove(&next) else {
            return false;
        };
        self.now = next.0;
        match what {
            What::Message(from, message) => {
                self.input(node, Input::Received { from, message }, mischief);
            }
            What::Timer(life) if self.lives[&node] == life => {
                self.input(node, Input::Timer(Look), mischief);
            }
            What::Timer(_) => {}
        }
        true
    }

    fn run_for(&mut self, span: Duration, mischief: &mut Mischief<'_>) {
        let until = self.now + u64::try_from(span.as_micros()).unwrap();
        while self.step(until, mischief) {}
        self.now = until;
    }

    /// The lives that never ended.
    fn living(&self) -> impl Iterator<Item = Life> + '_ {
        self.nodes.keys().map(|node| (*node, self.lives[node]))
    }

    /// No life tells a round twice, and of two lives of `among` not one delivers what another was told to
    /// be aborted.
    fn check_agreement(&self, among: &BTreeSet<Life>) -> Result<(), String> {
        let (mut done, mut aborted) = (BTreeSet::new(), BTreeSet::new());
        for (life, told) in &self.told {
            let all = || told.done.iter().chain(&told.aborted).chain(&told.unknown);
            let different: BTreeSet<&MessageId> = all().collect();
            if different.len() != all().count() {
                return Err(format!("{life:?} told twice: {told:?}"));
            }
            if among.contains(life) {
                done.extend(told.done.iter().copied());
                aborted.extend(told.aborted.iter().copied());
            }
        }
        if done.is_disjoint(&aborted) {
            Ok(())
        } else {
            Err(format!("delivered and aborted: {:?}", self.told))
        }
    }

    /// All living lives of `among` have ended all their rounds, known how.
    fn check_ended(&self, among: &BTreeSet<Life>) -> Result<(), String> {
        for life in self.living().filter(|life| among.contains(life)) {
            let under_way = self.nodes[&life.0].under_way();
            let unknown = self.told.get(&life).map_or(0, |told| told.unknown.len());
            if under_way + unknown > 0 {
                return Err(format!("{life:?} has {under_way} rounds under way"));
            }
        }
        Ok(())
    }
}

fn nothing<'m>() -> Mischief<'m> {
    Box::new(|_, _, _| Fate::Arrives)
}
