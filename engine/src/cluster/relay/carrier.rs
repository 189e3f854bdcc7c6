//! What is relayed, on the control shard: passed on, delivered, answered, and settled for this node's senders.
//!
//! Owned by `resident`, which gives it a turn in each of its steps. Senders leave messages in the book
//! (`crate::relay_book`), peers in a mailbox of each channel; the driver knows the ways. Each hop is a message of its
//! channel, on a lane of it, within its bounds; at its end one goes through the node's lane to itself. It never waits, and
//! does a bounded amount of work in each turn.

mod hop;
mod offers;

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Receiver;
use futures_core::Stream;
use overlane_overlays::Time;

use super::envelope::{ENVELOPE_BYTES_MAX, Envelope, Kind, TurnedBack};
use super::held::{Held, Onward};
use crate::channel::RELAY_HEAD_BYTES_MAX;
use crate::cluster::driver::Driver;
use crate::cluster::identity::NodeId;
use crate::events::Event;
use crate::fabric::Fabric;
use crate::inbox::Inbox;
use crate::mailboxes::Mailbox;
use crate::peer::Peer;
use crate::relay_book::{Offer, RelayBook, RelayEnd};

const _: () = assert!(ENVELOPE_BYTES_MAX <= RELAY_HEAD_BYTES_MAX);

/// Messages taken from the book, and from peers, in one turn.
const TAKEN_PER_TURN: usize = 128;
/// How often it is looked for messages that nobody has answered for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A message of this node's that has not ended.
#[derive(Debug)]
struct Open {
    to: Arc<Peer>,
    channel: Arc<str>,
    bytes: usize,
    until: Instant,
    /// The first node on its way.
    via: Arc<str>,
}

/// Messages that wait for a way.
#[derive(Debug)]
struct Finding {
    until: Instant,
    waiting: VecDeque<(u64, Offer)>,
}

/// See the module's text.
#[derive(Debug)]
pub(in crate::cluster) struct Carrier {
    fabric: Arc<Fabric>,
    book: Arc<RelayBook>,
    offers: Receiver<Offer>,
    /// What peers pass on.
    inbox: Inbox,
    mailbox: Mailbox,
    me: Arc<str>,
    number: u64,
    open: BTreeMap<u64, Open>,
    finding: BTreeMap<NodeId, Finding>,
    held: Held,
    try_again: Option<Instant>,
    look: Option<Instant>,
}

/// What is there to be carried with, for one turn.
pub(in crate::cluster) struct Turn<'a> {
    pub(in crate::cluster) driver: &'a mut Driver,
    /// By the clock of the protocols, and by that of threads.
    pub(in crate::cluster) now: Time,
    pub(in crate::cluster) instant: Instant,
    pub(in crate::cluster) waker: &'a Waker,
    /// Ways that are to be asked for: to whom, over how many nodes.
    pub(in crate::cluster) finds: Vec<(NodeId, u8)>,
    pub(in crate::cluster) events: Vec<Event>,
}

impl Carrier {
    pub(in crate::cluster) fn new(
        fabric: Arc<Fabric>,
        book: Arc<RelayBook>,
        offers: Receiver<Offer>,
        inbox: Inbox,
    ) -> Self {
        Self {
            me: fabric.config.node_name.as_str().into(),
            mailbox: inbox.mailbox().clone(),
            // Another one in each life: an answer to an earlier one is nobody's.
            number: fastrand::u64(..),
            fabric,
            book,
            offers,
            inbox,
            open: BTreeMap::new(),
            finding: BTreeMap::new(),
            held: Held::default(),
            try_again: None,
            look: None,
        }
    }

    /// When it wants a turn at the latest.
    pub(in crate::cluster) fn next(&self) -> Option<Instant> {
        self.try_again.into_iter().chain(self.look).min()
    }

    /// Does what there is to do. True if there may be more.
    pub(in crate::cluster) fn turn(&mut self, turn: &mut Turn<'_>) -> bool {
        self.try_held(turn);
        let mut is_more = false;
        for taken in 0..TAKEN_PER_TURN {
            let Ok(offer) = self.offers.try_recv() else {
                break;
            };
            self.take_offer(offer, turn);
            is_more |= taken + 1 == TAKEN_PER_TURN;
        }
        for taken in 0..TAKEN_PER_TURN {
            let mut context = Context::from_waker(turn.waker);
            let Poll::Ready(Some(message)) = Pin::new(&mut self.inbox).poll_next(&mut context)
            else {
                break;
            };
            let channel = Arc::clone(&message.channel);
            self.take(message.from.shared_name(), channel, message.payload, turn);
            is_more |= taken + 1 == TAKEN_PER_TURN;
        }
        if self.look.is_some_and(|at| at <= turn.instant) {
            self.look_for_late(turn);
        }
        let busy = !self.open.is_empty() || !self.finding.is_empty();
        self.look = busy.then(|| {
            let next = turn.instant + LOOK_EVERY;
            self.look.filter(|at| *at > turn.instant).unwrap_or(next)
        });
        is_more
    }

    /// There is a way to that member now.
    pub(in crate::cluster) fn way_found(&mut self, to: NodeId, turn: &mut Turn<'_>) {
        if let Some(found) = self.finding.remove(&to) {
            for (number, offer) in found.waiting {
                self.begin(number, offer, turn);
            }
        }
    }
}

/// The node stops: what is open is reported, as nobody will say what became of it.
impl Drop for Carrier {
    fn drop(&mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            self.settle_open(&open, RelayEnd::Reported);
        }
        let finding = std::mem::take(&mut self.finding).into_values();
        let waiting = finding.flat_map(|finding| finding.waiting);
        let left = waiting.map(|(_, offer)| offer).collect::<Vec<_>>();
        for offer in left.into_iter().chain(self.offers.try_iter()) {
            self.settle_lost(&offer);
        }
    }
}

/// What comes from other nodes.
impl Carrier {
    fn take(&mut self, from: &Arc<str>, channel: Arc<str>, bytes: Bytes, turn: &mut Turn<'_>) {
        let Some(mut envelope) = Envelope::read(&bytes) else {
            tracing::warn!(peer = %from, "what came to be relayed is not well formed");
            self.book.count_turned_back();
            return;
        };
        let hops = envelope.hops.saturating_add(1);
        if *envelope.from != **from {
            turn.driver.learn_way(&envelope.from, from, hops, turn.now);
        }
        if *envelope.to == *self.me {
            return self.arrive(from, &channel, envelope, turn);
        }
        if envelope.ttl == 0 || !turn.driver.relays_for_others() {
            let why = if envelope.ttl == 0 {
                TurnedBack::TooFar
            } else {
                TurnedBack::NoWay
            };
            return self.turn_back(from, &channel, &envelope, why, turn);
        }
        let next = turn.driver.way_to(&envelope.to, turn.now);
        // Back to where it came from is no way.
        let Some(next) = next.filter(|next| next != from) else {
            turn.driver.forget_way(&envelope.to);
            return self.turn_back(from, &channel, &envelope, TurnedBack::NoWay, turn);
        };
        let lane = (next, channel);
        // Then nobody else holds the bytes.
        envelope.payload = Bytes::new();
        let onward = Onward {
            bytes: envelope.a_hop_on(bytes),
            envelope,
            came_from: Some(Arc::clone(from)),
        };
        match self.send(&lane, onward, turn) {
            None => self.book.count_passed_on(),
            Some((onward, why)) => {
                self.turn_back(from, &lane.1, &onward.envelope, why, turn);
            }
        }
    }

    /// It is for this node.
    fn arrive(
        &mut self,
        from: &Arc<str>,
        channel: &Arc<str>,
        envelope: Envelope,
        turn: &mut Turn<'_>,
    ) {
        match envelope.kind {
            Kind::Receipt => self.answered(envelope.number, None, turn),
            Kind::TurnedBack(why) => self.answered(envelope.number, Some(why), turn),
            Kind::Message { .. } => {
                let lane = (Arc::clone(&self.me), Arc::clone(channel));
                let onward = Onward {
                    bytes: envelope.payload.clone(),
                    envelope,
                    came_from: Some(Arc::clone(from)),
                };
                if let Some((onward, why)) = self.send(&lane, onward, turn) {
                    self.turn_back(from, channel, &onward.envelope, why, turn);
                }
            }
        }
    }

    /// It goes no further: whoever waits for it is told why.
    fn turn_back(
        &mut self,
        from: &Arc<str>,
        channel: &Arc<str>,
        envelope: &Envelope,
        why: TurnedBack,
        turn: &mut Turn<'_>,
    ) {
        self.book.count_turned_back();
        if envelope.kind == (Kind::Message { is_awaited: true }) {
            self.answer(from, channel, envelope, Kind::TurnedBack(why), turn);
        }
    }

    /// Says to the sender of a message what became of it, by the way that the message came: another one that is known may
    /// lead over a node that died since. An answer that finds no way is lost: the sender reports its message as
    /// unknown.
    fn answer(
        &mut self,
        from: &Arc<str>,
        channel: &Arc<str>,
        envelope: &Envelope,
        kind: Kind,
        turn: &mut Turn<'_>,
    ) {
        let answer = envelope.answer(&self.me, kind);
        let back = turn.driver.has_lane(from).then(|| Arc::clone(from));
        let next = back.or_else(|| turn.driver.way_to(&answer.to, turn.now));
        let Some(next) = next else {
            return self.book.count_turned_back();
        };
        let lane = (next, Arc::clone(channel));
        let onward = Onward {
            bytes: answer.write(),
            envelope: answer,
            came_from: Some(Arc::clone(from)),
        };
        if self.send(&lane, onward, turn).is_some() {
            self.book.count_turned_back();
        }
    }
}
