//! Direct broadcast: each message goes from its sender straight to every neighbor.
//!
//! A layer over [`crate::full_mesh`], where everybody is a neighbor: `n` messages per broadcast, one hop.
//! A tree ([`crate::plumtree`]) would announce each message on each of the n² links that it does not use.
//! One file per idea:
//!
//! - this file: inputs to handlers; sending and delivering
//! - `streams`: how far this node is with the messages of each sender
//! - `ring`: who tells whom how far it is, so that everybody hears of what it lacks
//! - `repair`: asking for what is missing, and answering
//!
//! Repair is by digests, as in Demers et al., "Epidemic algorithms for replicated database maintenance"
//! (PODC 1987), told along a ring instead of to random nodes, and until they are confirmed, so that it is
//! certain and not only likely that all are told. Acknowledgements to the sender would be as many
//! messages, would grow with the number of senders, and would not repair what a broken lane takes.
//! Messages of one sender may be delivered out of order.
//!
//! Back-pressure: over a congested link no payload is sent; the node at its other end hears from its
//! partners what it lacks, and asks them. While payloads that may still be asked for have no room in the
//! store, own broadcasts are refused.

mod message;
mod repair;
mod ring;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::Rng;
use serde::Serialize;

pub use message::{ENTRIES_MAX, Gossip, HOPS_MAX, Head, Message};

use crate::alarm::Alarm;
use crate::event::{
    Command, Delivery, Event, Input, InputOf, Output, OutputOf, Peer, Protocol, Refusal,
};
use crate::pace::Pace;
use crate::payload::Payload;
use crate::store::{Content, MessageId, Numbering, Seen, Store, StoreConfig};
use crate::time::Time;
use repair::Missing;
use ring::Ring;
use streams::Streams;

/// Settings of one node. All nodes of a cluster should have the same. How long to wait for what is no
/// setting: it follows from what the node measures (`crate::pace`).
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How long a node gathers before it tells its partners how far it is. Longer: fewer messages, and
    /// later repair. 50 ms: a guess, about one hop of a wide area network.
    pub tell_after: Duration,
    /// How far back a newcomer gets the messages of each sender, up to twice that. 3 s: a guess, longer
    /// than a lane takes to be made again.
    pub catch_up_for: Duration,
    /// How much is remembered, for who asks. `senders_max` also bounds the senders that this node knows;
    /// messages of more are dropped.
    pub store: StoreConfig,
    /// Most messages waited for at once. 4,096: a guess that bounds what a hostile neighbor can make a
    /// node remember.
    pub missing_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tell_after: Duration::from_millis(50),
            catch_up_for: Duration::from_secs(3),
            store: StoreConfig::default(),
            missing_max: 4_096,
        }
    }
}

/// Timers of the direct layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Timer {
    /// The partners can be told how far this node is.
    Tell,
    /// A missing message should have come by now.
    Ask,
    /// The next page for those who asked for much.
    Page,
    /// Old messages can be forgotten.
    Forget,
}

/// Repairs that a payload is kept for if there is room. 3: a guess; a node that was cut off has much to
/// ask for.
const FRESH_REPAIRS: u32 = 3;

type Outputs<P> = Vec<Output<P, Message<P>, Timer>>;

/// What stands between this node and one neighbor.
#[derive(Debug, Default)]
struct Link {
    /// The driver has no room for payloads to it.
    is_congested: bool,
    /// Messages that it asked for and that were not sent yet, in its order.
    owed: VecDeque<MessageId>,
    /// When a payload that was asked for last came from it.
    brought: Option<Time>,
}

/// The broadcast state of one node.
#[derive(Debug)]
pub struct Direct<P> {
    me: P,
    config: Config,
    neighbors: BTreeMap<P, Link>,
    numbering: Numbering,
    streams: Streams<P>,
    store: Store<P>,
    missing: Missing<P>,
    ring: Ring<P>,
    pace: Pace,
    telling: Alarm,
    asking: Alarm,
    is_paging: bool,
    is_forgetting: bool,
    given_up: u64,
}

impl<P: Peer> Direct<P> {
    /// A node without neighbors.
    #[must_use]
    pub fn new(me: P, config: Config) -> Self {
        Self {
            me,
            config,
            neighbors: BTreeMap::new(),
            numbering: Numbering::new(),
            streams: Streams::new(),
            store: Store::new(),
            missing: Missing::new(),
            ring: Ring::new(),
            pace: Pace::new(),
            telling: Alarm::new(),
            asking: Alarm::new(),
            is_paging: false,
            is_forgetting: false,
            given_up: 0,
        }
    }

    /// Messages that others delivered and this node never will: nobody had them any more, or there were
    /// too many to wait for.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// The messages that this node broadcast, as far as they are kept.
    pub(crate) fn own(&self) -> impl Iterator<Item = (MessageId, &Payload)> {
        self.store.own()
    }

    /// Whether a message came here.
    pub(crate) fn has_seen(&self, id: MessageId) -> bool {
        let stream = self.streams.get(id.sender);
        let is_below = stream.is_some_and(|stream| (stream.floor..stream.top).contains(&id.number));
        is_below && !self.missing.has(id)
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        self.store.check(&self.config.store)?;
        let (missing, streams) = (self.missing.len(), self.streams.len());
        if missing > self.config.missing_max || streams > self.config.store.senders_max {
            return Err(format!(
                "{missing} messages of {streams} senders are waited for"
            ));
        }
        Ok(())
    }

    /// Sends a payload of this node's own.
    fn broadcast<R: Rng>(
        &mut self,
        now: Time,
        payload: Payload,
        random: &mut R,
        out: &mut Outputs<P>,
    ) -> Result<(), Refusal> {
        let needed_for = self.pace.repaired_within();
        let config = &self.config.store;
        if self.store.is_short_of_room(now, needed_for, config) {
            return Err(Refusal::Busy);
        }
        let id = self.numbering.next(random);
        let catch_up_for = self.config.catch_up_for;
        let (sender, most) = (self.me, config.senders_max);
        let found = self.streams.find(now, id.sender, sender, id.number, most);
        let back = found.map_or(0, |stream| {
            let back = stream.back(now, id.number, catch_up_for);
            stream.came(now, id.number, false, catch_up_for);
            back
        });
        let links = self.neighbors.iter();
        let to: Vec<P> = links
            .filter(|(_, link)| !link.is_congested)
            .map(|(peer, _)| *peer)
            .collect();
        let content = Content { sender, payload };
        if !to.is_empty() {
            let message = Message::Gossip(Gossip {
                sender,
                id,
                back,
                hops: 0,
                late: false,
                payload: content.payload.clone(),
            });
            out.push(Output::SendAll { to, message });
        }
        self.keep(now, id, 0, None, content, out);
        Ok(())
    }

    /// Keeps a message for those who ask, and sees to it that the partners hear of it.
    fn keep(
        &mut self,
        now: Time,
        id: MessageId,
        hops: u16,
        from: Option<P>,
        content: Content<P>,
        out: &mut Outputs<P>,
    ) {
        self.tell_after(now, self.config.tell_after, out);
        self.forget_later(out);
        let fresh_for = self.pace.repaired_within() * FRESH_REPAIRS;
        self.store.payloads_fresh_for(fresh_for);
        let seen = Seen {
            hops,
            from,
            came: now,
            mark: None,
            late: false,
            asked: None,
            content: Some(content),
        };
        self.store.insert(now, id, seen, &self.config.store);
    }

    fn forget_later(&mut self, out: &mut Outputs<P>) {
        if !self.is_forgetting {
            self.is_forgetting = true;
            out.push(Output::SetTimer {
                id: Timer::Forget,
                after: self.config.store.keep_for,
            });
        }
    }

    fn forget(&mut self, now: Time, out: &mut Outputs<P>) {
        self.is_forgetting = false;
        self.store.tidy(now, &self.config.store);
        self.streams.forget(now, self.config.store.senders_for);
        self.forget_told();
        if self.streams.len() > 0 {
            self.forget_later(out);
        }
    }

    fn on_gossip(&mut self, now: Time, from: P, gossip: Gossip<P>, out: &mut Outputs<P>) {
        let (id, late) = (gossip.id, gossip.late);
        let hops = gossip.hops.saturating_add(1);
        let is_mine = self.numbering.last().map(|own| own.sender) == Some(id.sender);
        if hops > HOPS_MAX || is_mine {
            return;
        }
        let first = id.number.saturating_sub(gossip.back.into());
        let most = self.config.store.senders_max;
        let found = self
            .streams
            .find(now, id.sender, gossip.sender, first, most);
        let Some(stream) = found else { return };
        let (top, sender) = (stream.top, stream.sender);
        let wait = self.missing.remove(id);
        if id.number < top && wait.is_none() {
            return;
        }
        stream.came(now, id.number, late, self.config.catch_up_for);
        let skipped = id.number.saturating_sub(top);
        let room = self.config.missing_max.saturating_sub(self.missing.len());
        if skipped > 0 {
            // Some of these may be waited for already: an upper bound, off by what is in `missing`.
            self.given_up += skipped.saturating_sub(room as u64);
            self.word_of(now, id.sender, top, id.number, &[from, sender], out);
        }
        if let Some(wait) = wait {
            if let Some(apart) = wait.unasked_for(now).filter(|_| !late) {
                self.pace.copies_apart(now, apart);
            }
            if let Some(after) = wait.answered_by(now, from) {
                self.pace.answered(now, after);
            }
        }
        if late && let Some(link) = self.neighbors.get_mut(&from) {
            link.brought = Some(now);
        }
        let delivery = Delivery {
            sender,
            id,
            topic: None,
            payload: gossip.payload.clone(),
            hops,
        };
        out.push(Output::Event(Event::Delivered(delivery)));
        let payload = gossip.payload;
        self.keep(now, id, hops, Some(from), Content { sender, payload }, out);
    }

    fn command<R: Rng>(
        &mut self,
        now: Time,
        command: Command<P>,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let Command::Broadcast(payload) = &command else {
            out.push(Output::Below(command));
            return;
        };
        let sent = command
            .check_size()
            .and_then(|()| self.broadcast(now, payload.clone(), random, out));
        if let Err(why) = sent {
            out.push(Output::Event(Event::Refused { command, why }));
        }
    }

    fn below(&mut self, now: Time, event: Event<P>, out: &mut Outputs<P>) {
        match &event {
            Event::NeighborUp(peer) if *peer != self.me => {
                self.neighbors.entry(*peer).or_default();
                self.choose_partners(now, out);
            }
            Event::NeighborDown(peer) => {
                self.neighbors.remove(peer);
                self.choose_partners(now, out);
            }
            _ => {}
        }
        out.push(Output::Event(event));
    }

    fn received(&mut self, now: Time, from: P, message: Message<P>, out: &mut Outputs<P>) {
        match message {
            Message::Gossip(gossip) => self.on_gossip(now, from, gossip, out),
            Message::Heads { heads, again } => self.on_heads(now, from, &heads, again, out),
            Message::Want { ids } => self.on_want(from, ids, out),
            Message::Lacks { ids } => self.on_lacks(now, from, &ids, out),
        }
    }

    fn set_congested(&mut self, peer: P, is_congested: bool) {
        if let Some(link) = self.neighbors.get_mut(&peer) {
            link.is_congested = is_congested;
        }
    }
}

impl<P: Peer> Protocol<P> for Direct<P> {
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
            Input::Received { from, message } => self.received(now, from, message, out),
            Input::Timer(Timer::Tell) => self.tell(now, out),
            Input::Timer(Timer::Ask) => self.ask(now, out),
            Input::Timer(Timer::Page) => self.next_pages(out),
            Input::Timer(Timer::Forget) => self.forget(now, out),
            Input::Command(command) => self.command(now, command, random, out),
            Input::Below(event) => self.below(now, event, out),
            Input::Congested(peer) => self.set_congested(peer, true),
            Input::Drained(peer) => {
                self.set_congested(peer, false);
                self.next_page(peer, out);
            }
            Input::Start | Input::PeerUp(_) | Input::PeerDown { .. } => {}
        }
    }
}
