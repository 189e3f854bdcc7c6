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
//! - `shortening`: shorter paths for the sender that sends most
//!
//! Beyond the paper: new links are neither eager nor lazy but *untried*, so that neither a join nor
//! the first broadcast floods; a node that lost its way into the tree asks at the first announcement
//! instead of waiting, and for all that it lacks; only some messages prune, one at a time;
//! and a shorter path is also taken when its announcement comes after the payload, as gathered ones do.

mod config;
mod links;
mod message;
mod pruning;
mod repair;
mod shortening;
#[cfg(test)]
mod tests;

use rand::Rng;
use serde::Serialize;

pub use config::Config;
pub use message::{ANNOUNCEMENTS_MAX, Announcement, Gossip, HOPS_MAX, Message};

use crate::event::{Command, Delivery, Event, Input, InputOf, Output, OutputOf, Peer, Protocol};
use crate::payload::Payload;
use crate::store::{Content, Look, MessageId, Numbering, Seen, Store};
use crate::time::Time;
use links::{Links, Push};
use pruning::Pruning;
use repair::{Feed, Missing};
use shortening::{Calm, MainSender};

/// Timers of Plumtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Timer {
    /// Send what was gathered for lazy links.
    Announce,
    /// An announced message should have come by now.
    GraftDue(MessageId),
    /// Old messages can be forgotten.
    Forget,
}

/// Most payload bytes sent for one `Graft`, plus one payload. The asker asks others for the rest.
const GRAFT_BYTES_MAX: usize = 1 << 20;

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
    /// Announcements gathered for lazy links, with the link that each is not for.
    gathered: Vec<(Announcement, Option<P>)>,
    missing: Missing<P>,
    feed: Feed,
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
            gathered: Vec::new(),
            missing: Missing::new(),
            feed: Feed::Broken,
            config,
        }
    }

    /// The last message that this node broadcast.
    pub(crate) const fn last_sent(&self) -> Option<MessageId> {
        self.numbering.last()
    }

    /// The neighbors that payloads are sent to at once.
    pub fn eager_peers(&self) -> impl Iterator<Item = P> + '_ {
        self.links
            .iter()
            .filter(|(_, push)| *push == Push::Eager)
            .map(|(peer, _)| peer)
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

    fn broadcast<R: Rng>(
        &mut self,
        now: Time,
        payload: Payload,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let id = self.numbering.next(random);
        let content = Content {
            sender: self.me,
            payload,
        };
        let seen = Seen {
            hops: 0,
            from: None,
            prunes: self.pruning.decide(now, random),
            content: Some(content),
        };
        self.push_on(now, id, seen, out);
    }

    /// Keeps a message that was not seen before, and sends it on over every link but the one it came
    /// by.
    fn push_on(&mut self, now: Time, id: MessageId, seen: Seen<P>, out: &mut Outputs<P>) {
        let Seen {
            hops, from, prunes, ..
        } = seen;
        let Some(Content { sender, payload }) = seen.content.clone() else {
            return;
        };
        self.pruning.note(now, prunes, from.is_none());
        let announcement = Announcement { id, hops };
        let to = |wanted: Push| -> Vec<P> {
            let links = self.links.iter();
            links
                .filter(|(peer, push)| *push == wanted && Some(*peer) != from)
                .map(|(peer, _)| peer)
                .collect()
        };
        let gossip = Message::Gossip(Gossip {
            sender,
            id,
            hops,
            prunes,
            payload,
        });
        send_all(to(Push::Eager), gossip, out);
        send_all(to(Push::Untried), Message::Ihave(vec![announcement]), out);
        if !to(Push::Lazy).is_empty() {
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
        self.store.insert(now, id, seen, &self.config.store);
    }

    fn on_gossip(&mut self, now: Time, from: P, gossip: Gossip<P>, out: &mut Outputs<P>) {
        let Gossip {
            sender,
            id,
            hops,
            prunes,
            payload,
        } = gossip;
        match self.store.look(id) {
            Look::Unseen => {}
            // A copy that the network made of the first one says nothing about the tree.
            Look::Kept(seen) if seen.from == Some(from) => return,
            Look::Kept(_) | Look::Left => {
                self.on_redundant(now, from, prunes, out);
                return;
            }
        }
        let hops = hops.saturating_add(1);
        if hops > HOPS_MAX {
            return;
        }
        self.missing.found(id);
        self.feed = Feed::Flowing;
        self.main_sender.has_sent(id.sender);
        let grace = self.config.graft_again_after;
        self.links.brought_first(now, from, grace);
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
            prunes,
            content: Some(Content { sender, payload }),
        };
        self.push_on(now, id, seen, out);
    }

    fn on_redundant(&mut self, now: Time, from: P, prunes: bool, out: &mut Outputs<P>) {
        let grace = self.config.graft_again_after;
        if self.links.may_be_pruned(now, from, prunes, grace) {
            self.links.set(now, from, Push::Lazy);
            out.push(Output::Send {
                to: from,
                message: Message::Prune,
            });
        }
    }

    fn announce(&mut self, out: &mut Outputs<P>) {
        for (to, _) in self.links.iter().filter(|(_, push)| *push != Push::Eager) {
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

    fn on_graft(&mut self, now: Time, from: P, ids: &[MessageId], out: &mut Outputs<P>) {
        self.links.set(now, from, Push::Eager);
        // What was gathered is neither pushed nor, over an eager link, announced later.
        self.announce_gathered(from, out);
        let mut bytes = 0;
        for id in ids {
            let Look::Kept(seen) = self.store.look(*id) else {
                continue;
            };
            let Some(Content { sender, payload }) = seen.content.clone() else {
                continue;
            };
            bytes += payload.len();
            if bytes > GRAFT_BYTES_MAX {
                break;
            }
            let message = Message::Gossip(Gossip {
                sender,
                id: *id,
                hops: seen.hops,
                prunes: seen.prunes,
                payload,
            });
            out.push(Output::Send { to: from, message });
        }
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

fn send_all<P>(to: Vec<P>, message: Message<P>, out: &mut Outputs<P>) {
    if !to.is_empty() {
        out.push(Output::SendAll { to, message });
    }
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
                self.on_graft(now, from, &ids, out);
            }
            Input::Received {
                from,
                message: Message::Prune,
            } => {
                self.links.set(now, from, Push::Lazy);
            }
            Input::Timer(Timer::Announce) => self.announce(out),
            Input::Timer(Timer::GraftDue(id)) => self.on_graft_due(now, id, out),
            Input::Timer(Timer::Forget) => {
                if self.store.tidy(now, &self.config.store) {
                    let after = self.config.store.keep_for;
                    out.push(Output::SetTimer {
                        id: Timer::Forget,
                        after,
                    });
                }
            }
            Input::Command(command) => match (command.check_size(), command) {
                (Err(why), command) => out.push(Output::Event(Event::Refused { command, why })),
                (Ok(()), Command::Broadcast(payload)) => {
                    self.broadcast(now, payload, random, out);
                }
                (Ok(()), command) => out.push(Output::Below(command)),
            },
            Input::Below(event) => self.below(now, event, out),
            Input::Start
            | Input::PeerUp(_)
            | Input::PeerDown { .. }
            | Input::Congested(_)
            | Input::Drained(_) => {}
        }
    }
}
