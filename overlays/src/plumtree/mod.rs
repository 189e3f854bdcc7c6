//! Plumtree: payloads along a tree, announcements along all other links, which repair the tree.
//!
//! After Leitão, Pereira and Rodrigues, "Epidemic broadcast trees" (SRDS 2007). One tree for all
//! senders, as every link has one state. A layer over any overlay: it lives on `NeighborUp` and
//! `NeighborDown`. One file per idea:
//!
//! - this file: inputs to handlers; pushing a message on
//! - `links`: eager, lazy, untried
//! - `pruning`: which messages take links out of the tree
//! - `repair`: announced messages that do not come, and links that are lost
//! - `given_up`: of those the ones that nobody brought
//! - `pages`: answers to those who ask
//! - `shortening`: shorter paths for the sender that sends most
//!
//! Beyond the paper: new links are neither eager nor lazy but *untried*, so that neither a join nor
//! the first broadcast floods; a node that lost its way into the tree asks at the first announcement
//! instead of waiting, and for all that it lacks; only some messages prune, one at a time;
//! a message that was lost on its way is asked for without a change of the tree, and from then on
//! announced along the tree instead of pushed, as most of those behind have asked for it too;
//! and a shorter path is also taken when its announcement comes after the payload, as gathered ones do.
//!
//! How long things take here, and with it every timer, is measured by `crate::pace`.
//!
//! Back-pressure: over a congested link payloads are announced, not pushed, and the peer is told to look
//! for another one to be fed by; what it asks for is sent when there is room. While more payloads wait
//! for being asked for than the store has room for, own broadcasts are refused.

mod config;
mod given_up;
mod links;
mod message;
mod pages;
mod pruning;
mod repair;
mod shortening;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use serde::Serialize;

pub use config::Config;
pub use message::{ANNOUNCEMENTS_MAX, Announcement, Gossip, HOPS_MAX, Message};

use crate::event::{
    Command, Delivery, Event, Input, InputOf, Output, OutputOf, Peer, Protocol, Refusal,
};
use crate::pace::Pace;
use crate::pages::PAGE_BYTES;
use crate::payload::Payload;
use crate::store::{Content, Look, MessageId, Numbering, Seen, Store};
use crate::time::Time;
use given_up::GivenUp;
use links::{Links, Push};
use pruning::Pruning;
use repair::{Feed, Missing, Tail, Trouble};
use shortening::{Calm, MainSender};

/// Timers of Plumtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Timer {
    /// Send what was gathered for lazy links.
    Announce,
    /// An announced message should have come by now.
    GraftDue(MessageId),
    /// All marked messages of this round should have come by now.
    Prune(u32),
    /// The latest messages can be announced along the tree.
    Tails,
    /// The next page for those who asked for much.
    Page,
    /// Old messages can be forgotten.
    Forget,
}

/// Repairs that a payload is kept for if there is room. 3: a guess; a node that was cut off has much to
/// ask for, and its neighbors send it page by page.
const FRESH_REPAIRS: u32 = 3;

type Outputs<P> = Vec<Output<P, Message<P>, Timer>>;

/// The broadcast state of one node.
#[derive(Debug)]
pub struct Plumtree<P> {
    me: P,
    config: Config,
    links: Links<P>,
    store: Store<P>,
    numbering: Numbering,
    main_sender: MainSender,
    calm: Calm,
    pruning: Pruning,
    pace: Pace,
    /// A timer for the next pages is set.
    paging: bool,
    /// Announcements gathered for lazy links, with the link that each is not for.
    gathered: Vec<(Announcement, Option<P>)>,
    missing: Missing<P>,
    given_up: GivenUp,
    feed: Feed,
    trouble: Trouble,
    /// The latest message of each sender that was not announced along the tree often enough yet.
    tails: BTreeMap<u64, Tail>,
    /// When a message last had to be asked for, here or by a neighbor.
    lost: Option<Time>,
}

impl<P: Peer> Plumtree<P> {
    /// A node without neighbors.
    #[must_use]
    pub const fn new(me: P, config: Config) -> Self {
        Self {
            me,
            links: Links::new(),
            store: Store::new(),
            numbering: Numbering::new(),
            main_sender: MainSender::new(),
            calm: Calm::new(),
            pruning: Pruning::new(),
            pace: Pace::new(),
            paging: false,
            gathered: Vec::new(),
            missing: Missing::new(),
            given_up: GivenUp::new(),
            feed: Feed::Broken,
            trouble: Trouble::new(),
            tails: BTreeMap::new(),
            lost: None,
            config,
        }
    }

    /// The last message that this node broadcast.
    pub(crate) const fn last_sent(&self) -> Option<MessageId> {
        self.numbering.last()
    }

    /// Messages that others announced and that came from nobody: all who announced them were asked in vain, or are
    /// gone.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up.count()
    }

    /// The messages that this node broadcast, as far as they are kept.
    pub(crate) fn own(&self) -> impl Iterator<Item = (MessageId, &Payload)> {
        self.store.own()
    }

    /// Whether a message came here.
    pub(crate) fn has_seen(&self, id: MessageId) -> bool {
        self.store.has_seen(id)
    }

    /// The neighbors that payloads are sent to at once.
    pub fn eager_peers(&self) -> impl Iterator<Item = P> + '_ {
        let links = self.links.iter();
        links
            .filter(|link| link.push == Push::Eager)
            .map(|link| link.peer)
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        self.store.check(&self.config.store)?;
        let missing = self.missing.len();
        if missing > self.config.missing_max {
            return Err(format!("{missing} messages are waited for"));
        }
        Ok(())
    }

    fn command<R: Rng>(
        &mut self,
        now: Time,
        command: Command<P>,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let sent = match &command {
            Command::Broadcast(payload) => command
                .check_size()
                .and_then(|()| self.broadcast(now, payload.clone(), random, out)),
            Command::Leave => {
                self.leave(now, out);
                return;
            }
            _ => {
                out.push(Output::Below(command));
                return;
            }
        };
        if let Err(why) = sent {
            out.push(Output::Event(Event::Refused { command, why }));
        }
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
        if self
            .store
            .is_short_of_room(now, needed_for, &self.config.store)
        {
            return Err(Refusal::Busy);
        }
        let mark = self.pruning.mark(now, self.pace.marks_spread());
        let id = self.numbering.next(random);
        let content = Content {
            sender: self.me,
            payload,
        };
        let seen = Seen {
            hops: 0,
            from: None,
            came: now,
            mark,
            late: false,
            asked: None,
            content: Some(content),
        };
        self.push_on(now, id, seen, out);
        Ok(())
    }

    /// Keeps a message that was not seen before, and sends it on over every link but the one it came
    /// by.
    fn push_on(&mut self, now: Time, id: MessageId, seen: Seen<P>, out: &mut Outputs<P>) {
        let (hops, from, late) = (seen.hops, seen.from, seen.late);
        self.note_mark(now, id, &seen, out);
        let announcement = Announcement { id, hops, late };
        let (mut push, mut offer, mut gather) = (Vec::new(), Vec::new(), false);
        for link in self.links.iter().filter(|link| Some(link.peer) != from) {
            match link.push {
                // Most of those behind this node have found it missing too, and asked others.
                Push::Eager if late => offer.push(link.peer),
                Push::Eager if link.congested => gather = true,
                Push::Eager => push.push(link.peer),
                Push::Untried => offer.push(link.peer),
                Push::Lazy => gather = true,
            }
        }
        if !push.is_empty()
            && let Some(Content { sender, payload }) = seen.content.clone()
        {
            let message = Message::Gossip(Gossip {
                sender,
                id,
                hops,
                mark: seen.mark,
                late,
                payload,
            });
            out.push(Output::SendAll { to: push, message });
        }
        if !offer.is_empty() {
            let message = Message::Ihave(vec![announcement]);
            out.push(Output::SendAll { to: offer, message });
        }
        self.note_tail(announcement, out);
        if gather {
            if self.gathered.is_empty() {
                let after = self.config.announce_after;
                out.push(Output::SetTimer {
                    id: Timer::Announce,
                    after,
                });
            }
            self.gathered.push((announcement, from));
        }
        if self.store.is_empty() {
            out.push(Output::SetTimer {
                id: Timer::Forget,
                after: self.config.store.keep_for,
            });
        }
        self.store
            .payloads_fresh_for(self.pace.repaired_within() * FRESH_REPAIRS);
        self.store.insert(now, id, seen, &self.config.store);
    }

    fn on_gossip(&mut self, now: Time, from: P, gossip: Gossip<P>, out: &mut Outputs<P>) {
        let Gossip {
            sender,
            id,
            hops,
            mark,
            late,
            payload,
        } = gossip;
        match self.store.look(id) {
            Look::Unseen => {}
            // A copy that the network made of the first one says nothing about the tree.
            Look::Kept(seen) if seen.from == Some(from) => return,
            Look::Kept(seen) => {
                // Had it not been asked for, it would have been waited for until now.
                let waited = seen.asked.unwrap_or_default().into();
                if !late && (!seen.late || seen.asked.is_some()) {
                    let apart = now.since(seen.came) + Duration::from_millis(waited);
                    self.pace.copies_apart(now, apart);
                }
                let first = seen.from.and_then(|first| self.links.get(first));
                if !late && seen.late && first != Some(Push::Eager) {
                    // It was fetched over a link outside of the tree; this is how the tree brings it.
                    if let Some(seen) = self.store.get_mut(id) {
                        seen.from = Some(from);
                    }
                    return;
                }
                let marked = mark.filter(|mark| self.pruning.is_of_now(*mark));
                self.on_redundant(now, from, marked.map(|_| id), out);
                return;
            }
            Look::Left => {
                self.on_redundant(now, from, None, out);
                return;
            }
        }
        let hops = hops.saturating_add(1);
        if hops > HOPS_MAX {
            return;
        }
        self.given_up.came(id);
        let found = self.missing.found(now, id, from);
        if let Some(after) = found.announced_for.filter(|_| !late) {
            self.pace.copies_apart(now, after);
        }
        if let Some(after) = found.asked_for {
            self.pace.answered(now, after);
        }
        self.feed = Feed::Flowing;
        self.trouble.note(found.asked.is_some());
        if found.asked.is_some() {
            self.note_loss(now);
        }
        self.look_for_gap(now, id, from, out);
        self.main_sender.has_sent(id.sender);
        let grace = self.pace.answer_within();
        self.links.brought_first(now, from, late, grace);
        let delivery = Delivery {
            sender,
            id,
            topic: None,
            payload: payload.clone(),
            hops,
        };
        out.push(Output::Event(Event::Delivered(delivery)));
        let seen = Seen {
            hops,
            from: Some(from),
            came: now,
            mark,
            late,
            asked: found.asked,
            content: Some(Content { sender, payload }),
        };
        self.push_on(now, id, seen, out);
    }

    /// A link brought a message that this node has; `marked` is its id if it may prune in this round.
    fn on_redundant(
        &mut self,
        now: Time,
        from: P,
        marked: Option<MessageId>,
        out: &mut Outputs<P>,
    ) {
        let grace = self.pace.answer_within();
        if self.links.brought_again(now, from, marked, grace) {
            self.links.set(now, from, Push::Lazy);
            out.push(Output::Send {
                to: from,
                message: Message::Prune,
            });
        }
    }

    fn announce(&mut self, out: &mut Outputs<P>) {
        let links = self.links.iter();
        let to = links.filter(|link| link.push != Push::Eager || link.congested);
        for to in to.map(|link| link.peer) {
            self.announce_gathered(to, out);
        }
        self.gathered.clear();
    }

    fn announce_gathered(&self, to: P, out: &mut Outputs<P>) {
        let news = self
            .gathered
            .iter()
            .filter(|(_, not_for)| *not_for != Some(to));
        let news: Vec<Announcement> = news.map(|(announcement, _)| *announcement).collect();
        for chunk in news.chunks(ANNOUNCEMENTS_MAX) {
            out.push(Output::Send {
                to,
                message: Message::Ihave(chunk.to_vec()),
            });
        }
    }

    /// There is no room for payloads to a peer: it is to be fed by another.
    fn congested(&mut self, now: Time, peer: P, out: &mut Outputs<P>) {
        let Some(link) = self.links.find_mut(peer) else {
            return;
        };
        link.congested = true;
        if link.push == Push::Eager {
            self.links.set(now, peer, Push::Lazy);
            out.push(Output::Send {
                to: peer,
                message: Message::Prune,
            });
        }
    }

    fn drained(&mut self, peer: P, out: &mut Outputs<P>) {
        if let Some(link) = self.links.find_mut(peer) {
            link.congested = false;
            self.next_page(peer, out);
        }
    }

    /// Nobody will be able to ask this node any more: what it has only announced goes out itself.
    fn leave(&mut self, now: Time, out: &mut Outputs<P>) {
        let links = self.links.iter();
        let to: Vec<P> = links
            .filter(|link| link.push != Push::Eager || link.congested)
            .map(|link| link.peer)
            .collect();
        if !to.is_empty() {
            let recent = self.store.recent(now, self.pace.repaired_within());
            let mut bytes = 0;
            let own = recent.filter(|(_, seen)| seen.from.is_none());
            let own = own.take_while(|(_, seen)| {
                bytes += seen.bytes();
                bytes <= PAGE_BYTES
            });
            let messages = own.filter_map(|(id, seen)| gossip(id, seen));
            out.extend(messages.map(|message| {
                let to = to.clone();
                Output::SendAll { to, message }
            }));
        }
        out.push(Output::Below(Command::Leave));
    }

    fn below(&mut self, now: Time, event: Event<P>, out: &mut Outputs<P>) {
        match event {
            Event::NeighborUp(peer) => self.link_made(now, peer, out),
            Event::NeighborDown(peer) => self.link_lost(now, peer, out),
            _ => {}
        }
        out.push(Output::Event(event));
    }
}

/// A message as it is sent to who asks for it; none if its payload is gone.
fn gossip<P: Peer>(id: MessageId, seen: &Seen<P>) -> Option<Message<P>> {
    let Content { sender, payload } = seen.content.clone()?;
    Some(Message::Gossip(Gossip {
        sender,
        id,
        hops: seen.hops,
        mark: seen.mark,
        late: true,
        payload,
    }))
}

impl<P: Peer> Protocol<P> for Plumtree<P> {
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
            Input::Received {
                from,
                message: Message::Gossip(gossip),
            } => {
                self.on_gossip(now, from, gossip, out);
            }
            Input::Received {
                from,
                message: Message::Ihave(announcements),
            } => {
                for announcement in announcements {
                    self.on_announcement(now, from, announcement, out);
                }
            }
            Input::Received {
                from,
                message: Message::Graft { ids },
            } => {
                self.on_asked(now, from, ids, true, out);
            }
            Input::Received {
                from,
                message: Message::Want { ids },
            } => {
                self.on_asked(now, from, ids, false, out);
            }
            Input::Received {
                from,
                message: Message::Prune,
            } => {
                self.links.set(now, from, Push::Lazy);
            }
            Input::Timer(Timer::Announce) => self.announce(out),
            Input::Timer(Timer::GraftDue(id)) => self.on_graft_due(now, id, out),
            Input::Timer(Timer::Prune(round)) => self.prune(now, round, out),
            Input::Timer(Timer::Tails) => self.announce_tails(now, out),
            Input::Timer(Timer::Page) => self.next_pages(out),
            Input::Timer(Timer::Forget) => {
                if self.store.tidy(now, &self.config.store) {
                    let after = self.config.store.keep_for;
                    out.push(Output::SetTimer {
                        id: Timer::Forget,
                        after,
                    });
                }
            }
            Input::Command(command) => self.command(now, command, random, out),
            Input::Below(event) => self.below(now, event, out),
            Input::Congested(peer) => self.congested(now, peer, out),
            Input::Drained(peer) => self.drained(peer, out),
            Input::Start | Input::PeerUp(_) | Input::PeerDown { .. } => {}
        }
    }
}
