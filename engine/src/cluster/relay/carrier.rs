//! What is relayed, on the control shard: passed on, delivered, answered, and settled for this node's senders.
//!
//! Owned by `resident`, which gives it a turn in each of its steps. Senders leave messages in the book
//! (`crate::relay_book`), peers in a mailbox of each channel; the driver knows the ways. Each hop is a message of its
//! channel, on a lane of it, within its bounds; at its end one goes through the node's lane to itself. It never waits, and
//! does a bounded amount of work in each turn.

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
use super::held::{Held, LaneName, Onward};
use crate::channel::{Channel, RELAY_HEAD_BYTES_MAX};
use crate::cluster::driver::Driver;
use crate::cluster::identity::NodeId;
use crate::cluster::{HOPS_KEY, ORIGIN_KEY};
use crate::config::RESERVED_PREFIX;
use crate::envelope::Envelope as Message;
use crate::error::SendError;
use crate::events::Event;
use crate::fabric::Fabric;
use crate::inbox::Inbox;
use crate::mailboxes::Mailbox;
use crate::message::Destination;
use crate::payload::Payload;
use crate::peer::Peer;
use crate::relay_book::{Offer, RelayBook, RelayEnd};

const _: () = assert!(ENVELOPE_BYTES_MAX <= RELAY_HEAD_BYTES_MAX);

/// Messages taken from the book, and from peers, in one turn.
const TAKEN_PER_TURN: usize = 128;
/// How long a way is looked for. 3 s: a guess, some round trips of a question over all hops.
const FIND_FOR: Duration = Duration::from_secs(3);
/// How often what waits for room is tried again: a turn or two of a shard.
const AGAIN_EVERY: Duration = Duration::from_millis(2);
/// How often it is looked for messages that nobody has answered for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long an answer of the receiver is waited for; as long as a channel waits for a peer that is away, by default.
const ANSWER_FOR: Duration = Duration::from_secs(30);

/// A message of this node's that has not ended.
#[derive(Debug)]
struct Open {
    to: Arc<Peer>,
    channel: Arc<str>,
    bytes: usize,
    until: Instant,
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
        for offer in left
            .into_iter()
            .chain(self.offers.try_iter().collect::<Vec<_>>())
        {
            let end = if offer.is_awaited {
                RelayEnd::Reported
            } else {
                RelayEnd::Dropped
            };
            self.settle(&offer, end);
        }
    }
}

/// What this node's senders have left.
impl Carrier {
    fn take_offer(&mut self, offer: Offer, turn: &mut Turn<'_>) {
        self.number = self.number.wrapping_add(1);
        self.begin(self.number, offer, turn);
    }

    /// Sends it to the first node on its way, or has a way looked for.
    fn begin(&mut self, number: u64, offer: Offer, turn: &mut Turn<'_>) {
        let to = NodeId::of(offer.to.name());
        if let Some(finding) = self.finding.get_mut(&to) {
            finding.waiting.push_back((number, offer));
            return;
        }
        if !turn.driver.is_live_member(offer.to.name()) {
            return self.give_up(&offer, NO_MEMBER, turn);
        }
        let plan = self.fabric.channels.find(&offer.channel);
        if plan.is_some_and(|plan| !plan.admits(offer.to.name())) {
            return self.give_up(&offer, NOT_ALLOWED, turn);
        }
        let Some(next) = turn.driver.way_to(offer.to.name(), turn.now) else {
            turn.finds.push((to, offer.ttl));
            let until = turn.instant + FIND_FOR;
            let waiting = VecDeque::from([(number, offer)]);
            self.finding.insert(to, Finding { until, waiting });
            self.look.get_or_insert(turn.instant + LOOK_EVERY);
            return;
        };
        let envelope = Envelope {
            kind: Kind::Message {
                is_awaited: offer.is_awaited,
            },
            ttl: offer.ttl,
            hops: 0,
            number,
            from: self.me.to_string(),
            to: offer.to.name().to_owned(),
            mailbox: offer.mailbox.to_string(),
            payload: offer.payload.clone(),
        };
        if offer.is_awaited {
            let open = Open {
                to: Arc::clone(&offer.to),
                channel: Arc::clone(&offer.channel),
                bytes: offer.payload.len(),
                until: turn.instant + ANSWER_FOR,
            };
            self.open.insert(number, open);
        }
        let lane = (next, Arc::clone(&offer.channel));
        let onward = Onward {
            bytes: envelope.write(),
            envelope,
            came_from: None,
        };
        if !offer.is_awaited {
            // Best effort waits for no room.
            let has_room = !self.held.waits_for(&lane);
            let end = if has_room && self.put_on_lane(&lane, &onward).is_ok() {
                RelayEnd::Sent
            } else {
                RelayEnd::Dropped
            };
            return self.settle(&offer, end);
        }
        if let Some((_, why)) = self.send(&lane, onward, turn) {
            self.answered(number, Some(why), turn);
        }
    }

    /// It surely does not reach its receiver.
    fn give_up(&self, offer: &Offer, why: &'static str, turn: &mut Turn<'_>) {
        if !offer.is_awaited {
            return self.settle(offer, RelayEnd::Dropped);
        }
        self.settle(offer, RelayEnd::Reported);
        report(&offer.to, &offer.channel, (1, 0), why, &mut turn.events);
    }

    fn settle(&self, offer: &Offer, end: RelayEnd) {
        let bytes = offer.payload.len();
        self.book.settle(offer.to.shared_name(), bytes, end);
    }

    fn settle_open(&self, open: &Open, end: RelayEnd) {
        self.book.settle(open.to.shared_name(), open.bytes, end);
    }

    /// The receiver of a message has it, or somebody says why not.
    fn answered(&mut self, number: u64, why: Option<TurnedBack>, turn: &mut Turn<'_>) {
        let Some(open) = self.open.remove(&number) else {
            return;
        };
        let end = match why {
            None => RelayEnd::Acknowledged,
            Some(_) => RelayEnd::Reported,
        };
        self.settle_open(&open, end);
        if let Some(why) = why {
            if matches!(why, TurnedBack::NoWay | TurnedBack::TooFar) {
                turn.driver.forget_way(open.to.name());
            }
            report(
                &open.to,
                &open.channel,
                (1, 0),
                why.sentence(),
                &mut turn.events,
            );
        }
    }

    /// Messages that nobody has answered for, and those for which no way was found.
    fn look_for_late(&mut self, turn: &mut Turn<'_>) {
        let late = self
            .open
            .extract_if(.., |_, open| open.until <= turn.instant);
        let late: Vec<_> = late.map(|(_, open)| open).collect();
        for open in late {
            turn.driver.forget_way(open.to.name());
            self.settle_open(&open, RelayEnd::Reported);
            report(
                &open.to,
                &open.channel,
                (0, 1),
                UNANSWERED,
                &mut turn.events,
            );
        }
        let found = |_: &NodeId, finding: &mut Finding| finding.until <= turn.instant;
        let lost = self.finding.extract_if(.., found);
        let lost: Vec<_> = lost.flat_map(|(_, finding)| finding.waiting).collect();
        for (_, offer) in lost {
            self.give_up(&offer, TurnedBack::NoWay.sentence(), turn);
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

    /// Says to the sender of a message what became of it. An answer that finds no way is lost: the sender reports its
    /// message as unknown.
    fn answer(
        &mut self,
        from: &Arc<str>,
        channel: &Arc<str>,
        envelope: &Envelope,
        kind: Kind,
        turn: &mut Turn<'_>,
    ) {
        let answer = envelope.answer(&self.me, kind);
        let Some(next) = turn.driver.way_to(&answer.to, turn.now) else {
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

/// One hop.
impl Carrier {
    /// Puts it on the lane, or behind what waits for that. Gives it back, and says why, if it goes no further.
    fn send(
        &mut self,
        lane: &LaneName,
        onward: Onward,
        turn: &mut Turn<'_>,
    ) -> Option<(Onward, TurnedBack)> {
        if !self.held.waits_for(lane) {
            match self.put_on_lane(lane, &onward) {
                Ok(()) => {
                    self.has_gone(lane, &onward, turn);
                    return None;
                }
                Err(None) => {}
                Err(Some(why)) => return Some((onward, why)),
            }
        }
        let refused = self.held.put(lane, onward);
        self.try_again.get_or_insert(turn.instant + AGAIN_EVERY);
        refused.map(|onward| (onward, TurnedBack::NoRoom))
    }

    /// Why the lane did not take it; none if it has no room now.
    fn put_on_lane(&self, lane: &LaneName, onward: &Onward) -> Result<(), Option<TurnedBack>> {
        let (next, channel) = lane;
        let fabric = &self.fabric;
        let channel = Channel::find(fabric, channel).ok_or(Some(TurnedBack::NoChannel))?;
        let peer = fabric
            .wishes
            .peer(next)
            .map_err(|_| Some(TurnedBack::NoWay))?;
        let sent = if *next == self.me {
            let envelope = &onward.envelope;
            let mailbox = self.mailbox_for(channel.name(), envelope).map_err(Some)?;
            let hops = u16::from(envelope.hops.saturating_add(1)).to_le_bytes();
            let message = Message::new(onward.bytes.clone())
                .metadata(ORIGIN_KEY, envelope.from.as_bytes())
                .metadata(HOPS_KEY, &hops);
            let to = Destination::new(peer, mailbox);
            let sent = channel.try_send_as_named(&to, message);
            sent.map_err(|unsent| unsent.error)
        } else {
            let to = Destination::new(peer, self.mailbox.clone());
            channel.try_send_directly(&to, Payload::Shared(onward.bytes.clone()))
        };
        sent.map_err(|error| match error {
            SendError::Full => None,
            SendError::TooLarge { .. } | SendError::ChannelRemoved => Some(TurnedBack::NoChannel),
            _ => Some(TurnedBack::NoWay),
        })
    }

    /// The mailbox that it is for. On the node's lane to itself nothing is asked any more, so it is asked here whether the
    /// channel is for its sender, and the mailbox for peers: those of the engine are not.
    fn mailbox_for(&self, channel: &str, envelope: &Envelope) -> Result<Mailbox, TurnedBack> {
        let plan = self.fabric.channels.find(channel);
        let plan = plan.filter(|plan| plan.admits(&envelope.from));
        let plan = plan.ok_or(TurnedBack::NoChannel)?;
        let name = &*envelope.mailbox;
        let is_open = plan.opens(name) && !name.starts_with(RESERVED_PREFIX);
        let mailbox = self.fabric.mailboxes.received(name);
        mailbox.filter(|_| is_open).ok_or(TurnedBack::NoMailbox)
    }

    /// The lane has taken it.
    fn has_gone(&mut self, lane: &LaneName, onward: &Onward, turn: &mut Turn<'_>) {
        let is_here = *lane.0 == *self.me;
        let (true, Some(from)) = (is_here, onward.came_from.clone()) else {
            return;
        };
        self.book.count_delivered();
        if onward.envelope.kind == (Kind::Message { is_awaited: true }) {
            self.answer(&from, &lane.1, &onward.envelope, Kind::Receipt, turn);
        }
    }

    /// Tries again what waits for room, in its order.
    fn try_held(&mut self, turn: &mut Turn<'_>) {
        if self.try_again.is_none_or(|at| at > turn.instant) {
            return;
        }
        self.try_again = None;
        for lane in self.held.lanes() {
            while let Some(first) = self.held.first(&lane) {
                let put = self.put_on_lane(&lane, first);
                if put == Err(None) {
                    break;
                }
                let Some(onward) = self.held.take_first(&lane) else {
                    break;
                };
                match put {
                    Err(Some(why)) => self.is_lost(&lane, &onward, why, turn),
                    _ => self.has_gone(&lane, &onward, turn),
                }
            }
        }
        if !self.held.is_empty() {
            self.try_again = Some(turn.instant + AGAIN_EVERY);
        }
    }

    /// What waited for a lane goes no further.
    fn is_lost(&mut self, lane: &LaneName, onward: &Onward, why: TurnedBack, turn: &mut Turn<'_>) {
        match &onward.came_from {
            Some(from) => self.turn_back(&from.clone(), &lane.1, &onward.envelope, why, turn),
            None => self.answered(onward.envelope.number, Some(why), turn),
        }
    }
}

/// Why a message does not even begin.
const NO_MEMBER: &str = "it was for a node that is no live member of the cluster";
const NOT_ALLOWED: &str = "peers_allowed of the channel does not name the member it was for";
/// Why nobody knows what became of one.
const UNANSWERED: &str = "it went over other nodes, and its receiver did not say that it has it";

/// Adds to what is reported in this turn of a member and a channel.
fn report(
    peer: &Arc<Peer>,
    channel: &Arc<str>,
    (undelivered, unknown): (u64, u64),
    why: &'static str,
    events: &mut Vec<Event>,
) {
    if let Some(Event::Reported {
        peer: known,
        channel: on,
        undelivered: so_far,
        unknown: unknown_so_far,
        why: known_why,
    }) = events.last_mut()
        && Arc::ptr_eq(known, peer)
        && on == channel
        && *known_why == why
    {
        *so_far += undelivered;
        *unknown_so_far += unknown;
        return;
    }
    events.push(Event::Reported {
        peer: Arc::clone(peer),
        channel: Arc::clone(channel),
        undelivered,
        unknown,
        why,
    });
}
