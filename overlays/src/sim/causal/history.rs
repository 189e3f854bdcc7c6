//! What was sent and delivered in a world, and whether the order of it was causal: a checker that shares
//! nothing with the protocols it checks.
//!
//! It keeps a vector clock for each life of each node (Fidge, Mattern), moved by what the application
//! sends and is delivered, and by nothing else. A delivery breaks the order if its node was delivered
//! something before that came causally after it. Messages are told by the number in their payload.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::event::{Command, Event};
use crate::sim::NodeId;
use crate::sim::deliveries::number_of;
use crate::sim::subject::{Observer, Subject};
use crate::time::Time;

/// One life of a node.
type Life = (NodeId, u32);
/// How many messages of each life came before.
type Clock = BTreeMap<Life, u64>;

/// A message as the application sent it.
#[derive(Debug)]
struct Sent {
    sender: Life,
    clock: Clock,
    /// To whom; to all if to nobody.
    to: Option<NodeId>,
    at: Time,
    /// As the layer counts it among its sender's.
    counted: Option<u64>,
    /// It was given back to its sender.
    is_refused: bool,
}

/// What one life of a node was told.
#[derive(Debug, Default)]
struct Told {
    clock: Clock,
    delivered: BTreeSet<u64>,
    /// Ranges of messages of a life that it was told it will not get.
    missed: Vec<(Life, u64, u64)>,
    /// When it was ready to deliver, if it was.
    ready: Option<Time>,
}

/// Messages and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Deliveries that could be expected: by nodes that were ready from the sending to the end.
    pub expected: u64,
    /// Of those, the ones that happened.
    pub delivered: u64,
    /// Told to their node as missed.
    pub missed: u64,
    /// Given back to the sender.
    pub refused: u64,
    /// Of messages that no node delivered which ran to the end: gone with those that had them.
    pub gone: u64,
    /// None of these: lost without a word.
    pub unheard: u64,
}

/// All that was sent and delivered.
#[derive(Debug, Default)]
pub struct History {
    lives: BTreeMap<NodeId, u32>,
    told: BTreeMap<Life, Told>,
    sent: Vec<Sent>,
    deliveries: u64,
    violation: Option<String>,
    /// Who delivered something lately, and from whom; the latest last.
    pub(super) latest: Vec<(NodeId, NodeId)>,
}

/// Deliveries remembered for those who decide what is sent next.
const LATEST_MAX: usize = 32;

impl History {
    /// A node begins a life.
    pub(super) fn born(&mut self, node: NodeId) {
        let life = self.lives.entry(node).or_insert(0);
        *life += 1;
        self.told.insert((node, *life), Told::default());
    }

    /// A node is ready to deliver.
    pub(super) fn is_ready(&mut self, at: Time, node: NodeId) {
        let life = self.life(node);
        let told = self.told.entry(life).or_default();
        told.ready.get_or_insert(at);
    }

    /// A node's life is over.
    pub(super) fn died(&mut self, node: NodeId) {
        self.latest.retain(|(at, _)| *at != node);
    }

    /// A node sends a message: the payload of `bytes` bytes, eight at least, that it should send.
    pub(super) fn send(
        &mut self,
        at: Time,
        node: NodeId,
        to: Option<NodeId>,
        bytes: usize,
    ) -> Bytes {
        let sender = self.life(node);
        let clock = &mut self.told.entry(sender).or_default().clock;
        *clock.entry(sender).or_default() += 1;
        let number = self.sent.len() as u64;
        self.sent.push(Sent {
            sender,
            clock: clock.clone(),
            to,
            at,
            counted: None,
            is_refused: false,
        });
        let mut payload = vec![0; bytes.max(8)];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        payload.into()
    }

    /// How the layer counts the message that was sent last.
    pub(super) fn is_counted(&mut self, counted: Option<u64>) {
        if let Some(last) = self.sent.last_mut() {
            last.counted = counted;
        }
    }

    /// Another node than this one to which a node has sent lately.
    pub(super) fn another_receiver(&self, sender: NodeId, than: NodeId) -> Option<NodeId> {
        let lately = self.sent.iter().rev().take(LATEST_MAX);
        let mut receivers = lately
            .filter(|sent| sent.sender.0 == sender)
            .filter_map(|sent| sent.to);
        receivers.find(|to| *to != than)
    }

    /// The first order or promise that was broken, if any was.
    #[must_use]
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// Messages sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.len() as u64
    }

    /// Deliveries, expected or not.
    #[must_use]
    pub const fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// What became of the messages, as far as nodes are concerned that are in `running` now.
    #[must_use]
    pub fn account(&self, running: &BTreeSet<NodeId>) -> Account {
        let mut account = Account::default();
        for (number, sent) in (0..).zip(&self.sent) {
            let is_receiver = |node: &&NodeId| {
                let told = &self.told[&self.life(**node)];
                let is_to = sent.to.is_none_or(|to| to == **node);
                let is_there = told.ready.is_some_and(|ready| ready <= sent.at);
                is_to && is_there && self.life(**node) != sent.sender
            };
            let receivers: Vec<NodeId> = running.iter().filter(is_receiver).copied().collect();
            let has = |node: &NodeId| self.told[&self.life(*node)].delivered.contains(&number);
            let somebody_has = receivers.iter().any(has);
            let (sender, _) = sent.sender;
            let is_sender_there = running.contains(&sender) && self.life(sender) == sent.sender;
            for node in &receivers {
                account.expected += 1;
                if has(node) {
                    account.delivered += 1;
                } else if self.was_told_missed(*node, sent) {
                    account.missed += 1;
                } else if sent.is_refused {
                    account.refused += 1;
                } else if !somebody_has && !is_sender_there {
                    account.gone += 1;
                } else {
                    account.unheard += 1;
                }
            }
        }
        account
    }

    fn life(&self, node: NodeId) -> Life {
        (node, self.lives.get(&node).copied().unwrap_or(0))
    }

    fn was_told_missed(&self, node: NodeId, sent: &Sent) -> bool {
        let missed = &self.told[&self.life(node)].missed;
        sent.counted.is_some_and(|number| {
            let is_it = |range: &&(Life, u64, u64)| {
                range.0 == sent.sender && (range.1..=range.2).contains(&number)
            };
            missed.iter().any(|range| is_it(&range))
        })
    }

    fn broken(&mut self, at: Time, node: NodeId, what: &str) {
        if self.violation.is_none() {
            self.violation = Some(format!("{at}: node {node}: {what}"));
        }
    }

    /// `counted`: as the layer counts it among its sender's.
    fn delivered(
        &mut self,
        at: Time,
        node: NodeId,
        from: NodeId,
        number: u64,
        counted: Option<u64>,
    ) {
        let life = self.life(node);
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let Some(sent) = self.sent.get_mut(index) else {
            return self.broken(at, node, "delivered what nobody sent");
        };
        let is_miscounted = sent.counted != counted;
        let told = self.told.entry(life).or_default();
        let again = !told.delivered.insert(number);
        let own_count = sent.clock.get(&sent.sender).copied().unwrap_or(0);
        let known = told.clock.get(&sent.sender).copied().unwrap_or(0);
        let later = told.delivered.iter().filter(|other| {
            let other = usize::try_from(**other)
                .ok()
                .and_then(|other| self.sent.get(other));
            let clock = other.and_then(|other| other.clock.get(&self.sent[index].sender));
            clock.is_some_and(|clock| *clock >= own_count)
        });
        // Delivered before, and causally after this one.
        let later = (known >= own_count).then(|| later.copied().find(|other| *other != number));
        let sent = &self.sent[index];
        for (life, count) in &sent.clock {
            let known = told.clock.entry(*life).or_default();
            *known = (*known).max(*count);
        }
        self.deliveries += 1;
        let is_own = sent.sender == life;
        let is_for_other = sent.to.is_some_and(|to| to != node);
        let is_forged = sent.sender.0 != from;
        self.latest.push((node, from));
        if self.latest.len() > LATEST_MAX {
            self.latest.remove(0);
        }
        if let Some(Some(later)) = later {
            let what = format!("delivered {number} after {later}, which depends on it");
            self.broken(at, node, &what);
        }
        if again || is_own || is_for_other || is_forged || is_miscounted {
            let what =
                format!("delivered {number} from {from}: again, its own, another's, or miscounted");
            self.broken(at, node, &what);
        }
    }
}

impl<X: Subject> Observer<X> for History {
    fn event(&mut self, at: Time, node: NodeId, _state: &X, event: &Event<NodeId>) {
        match event {
            Event::Delivered(delivery) => {
                if let Some(number) = number_of(&delivery.payload.body) {
                    let counted = Some(delivery.id.number);
                    self.delivered(at, node, delivery.sender, number, counted);
                }
            }
            Event::Relayed { from, payload } => {
                if let Some(number) = number_of(payload) {
                    self.delivered(at, node, *from, number, None);
                }
            }
            Event::Missed {
                sender,
                incarnation,
                first,
                last,
            } => {
                // The incarnation of a node is the number of its life.
                let life = u32::try_from(*incarnation).unwrap_or(0);
                let missed = ((*sender, life), *first, *last);
                let life = self.life(node);
                self.told.entry(life).or_default().missed.push(missed);
            }
            Event::Refused { command, .. } => {
                let payload = match command {
                    Command::Broadcast(payload) => &payload.body,
                    Command::Relay { payload, .. } => payload,
                    _ => return,
                };
                let number = number_of(payload).and_then(|number| usize::try_from(number).ok());
                if let Some(sent) = number.and_then(|number| self.sent.get_mut(number)) {
                    sent.is_refused = true;
                }
            }
            _ => {}
        }
    }

    fn stepped(&mut self, at: Time, node: NodeId, state: &X) {
        if let Err(what) = state.check() {
            self.broken(at, node, &what);
        }
    }
}
