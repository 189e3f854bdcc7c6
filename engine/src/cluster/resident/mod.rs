//! The cluster on the control shard: the driver, and what connects it to the node.
//!
//! It reads what control shards of peers say from two inboxes (the engine's own channel first), gives it to the driver
//! with the time, with what happens to lanes and with orders of applications (`following`), and does what the driver
//! says: sends on lanes (`outgoing`), writes wishes, tells events, changes channels (`changing`), delivers (`delivering`), gives the carrier of what is
//! relayed its turns (`carrying`). It copies no payload but where
//! several pieces have to become one, never waits, and does a bounded amount of work in each step.

mod carrying;
mod changing;
mod delivering;
mod following;
mod outgoing;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crossbeam_channel::Receiver;
use futures_core::Stream;
use overlane_overlays::{Command, Refusal, WhyDown};

use super::asking::{Asker, Asking};
use super::channels::applying::Applying;
use super::clock::Clock;
use super::counts::count;
use super::decisions::MergeCallback;
use super::driver::{Deed, Driver, Happening};
use super::identity::NodeId;
use super::orders::{ClusterState, Order};
use super::payload::{Addressed, Sort};
use super::relay::carrier::Carrier;
use super::summaries::{Counted, Summary};
use super::topology::{Gathering, Readings};
use crate::channel::Channel;
use crate::channel_plan::CONTROL;
use crate::channel_table::ChannelWish;
use crate::control::link::ControlLink;
use crate::control::resident::Resident;
use crate::control::wishes::WishBook;
use crate::error::NameError;
use crate::events::Event;
use crate::fabric::Fabric;
use crate::inbox::Inbox;
use crate::io::clock;
use crate::message::OwnedMessage;
use crate::shard::command::CommandSender;
use crate::wire::CloseReason;
use changing::Ordered;
use following::Awaited;
use outgoing::{Mailboxes, Outgoing};

pub use delivering::{HOPS_KEY, ORIGIN_KEY, TOPIC_KEY};

/// Messages taken from the inboxes in one step: then wishes, lanes and events have their turn.
const MESSAGES_PER_STEP: usize = 64;

/// What publishes an event.
type Tell<'a> = &'a mut dyn FnMut(Event);

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ClusterResident {
    fabric: Arc<Fabric>,
    link: Arc<ControlLink>,
    clock: Clock,
    driver: Driver,
    state: Arc<ClusterState>,
    orders: Receiver<Order>,
    asking: Asking,
    /// What shards count, for rules of the topology, and for other members.
    gathering: Gathering,
    counting: Gathering,
    started: Instant,
    /// What peers' control shards say here.
    words: Inbox,
    payloads: Inbox,
    waker: Waker,
    outgoing: Outgoing,
    awaited: Awaited,
    /// What the application does with decisions of others.
    merge: Option<MergeCallback>,
    /// Changes of channels that are being made here, and who waits for those on all nodes.
    applying: Applying,
    ordered: Ordered,
    /// What goes over this node, and from it over others.
    carrier: Carrier,
    /// What happened on shards since the last step.
    happened: Vec<Happening>,
}

/// What a [`ClusterResident`] is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) fabric: Arc<Fabric>,
    pub(super) link: Arc<ControlLink>,
    pub(super) clock: Clock,
    pub(super) driver: Driver,
    pub(super) state: Arc<ClusterState>,
    pub(super) orders: Receiver<Order>,
    pub(super) asker: Asker,
    pub(super) shards: Arc<[CommandSender]>,
    pub(super) control: Channel,
    pub(super) words: Inbox,
    pub(super) payloads: Inbox,
    pub(super) carrier: Carrier,
}

/// Has the control shard look.
#[derive(Debug)]
struct Look(Arc<ControlLink>);

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        self.0.look();
    }
}

impl ClusterResident {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            fabric,
            link,
            clock,
            driver,
            state,
            orders,
            asker,
            shards,
            control,
            words,
            payloads,
            carrier,
        } = parts;
        let mailboxes = Mailboxes {
            words: words.mailbox().clone(),
            payloads: payloads.mailbox().clone(),
        };
        Self {
            waker: Waker::from(Arc::new(Look(Arc::clone(&link)))),
            asking: Asking::new(asker, Arc::clone(&link)),
            gathering: Gathering::new(Arc::clone(&shards)),
            counting: Gathering::new(shards),
            started: Instant::now(),
            outgoing: Outgoing::new(Arc::clone(&fabric), Arc::clone(&state), control, mailboxes),
            fabric,
            link,
            clock,
            driver,
            state,
            orders,
            words,
            payloads,
            awaited: Awaited::default(),
            merge: None,
            applying: Applying::default(),
            ordered: Ordered::default(),
            carrier,
            happened: Vec::new(),
        }
    }

    /// Gives the driver what happened, and does what it says.
    fn give(&mut self, happening: Happening, tell: Tell<'_>) {
        let mut deeds = Vec::new();
        self.driver.handle(self.clock.now(), happening, &mut deeds);
        self.carry_out(deeds, tell);
    }

    /// Takes what peers said. True if there may be more.
    fn read(&mut self, tell: Tell<'_>) -> bool {
        for _ in 0..MESSAGES_PER_STEP {
            let Some(message) = self.next_message() else {
                return false;
            };
            let happening = Happening::Received {
                from: Arc::clone(message.from.shared_name()),
                bytes: message.payload,
            };
            self.give(happening, tell);
        }
        true
    }

    fn next_message(&mut self) -> Option<OwnedMessage> {
        let mut context = Context::from_waker(&self.waker);
        for inbox in [&mut self.words, &mut self.payloads] {
            if let Poll::Ready(Some(message)) = Pin::new(inbox).poll_next(&mut context) {
                return Some(message);
            }
        }
        None
    }

    /// Does what the driver says is to be done.
    fn carry_out(&mut self, deeds: Vec<Deed>, tell: Tell<'_>) {
        for deed in deeds {
            match deed {
                Deed::Send { to, word, channel } => {
                    if !self.outgoing.send(&to, word, channel) {
                        self.give(Happening::Congested(to), tell);
                    }
                }
                Deed::Keep { peer, addresses } => {
                    self.wish(|wishes| wishes.keep_at(&peer, &addresses).map(drop));
                }
                Deed::Reach { peer, addresses } if addresses.is_empty() => {
                    self.wish(|wishes| wishes.release(&peer));
                }
                Deed::Reach { peer, addresses } => {
                    self.wish(|wishes| wishes.reach(&peer, &addresses).map(drop));
                }
                Deed::Release(peer) => self.wish(|wishes| wishes.release(&peer)),
                Deed::TakeSide(side) => {
                    // Nobody waits for it: an event tells of each channel that changes.
                    let wishes = &self.fabric.channels.wishes;
                    drop(wishes.leave(ChannelWish::Partition(side)));
                    self.link.look();
                }
                Deed::Merge(decisions) => self.merge(decisions),
                Deed::ChangeChannel(change) => {
                    self.applying.add(change);
                    self.link.look();
                }
                Deed::ChannelOrderEnded { token, end } => self.order_ended(token, end),
                Deed::WayFound(to) => {
                    self.carry(tell, |carrier, turn| carrier.way_found(to, turn));
                }
                Deed::Measure => self.gathering.begin(),
                Deed::Count => self.counting.begin(),
                Deed::Ask(places) => self.asking.ask(places),
                Deed::Tell(event) => {
                    self.answer_switch(&event);
                    if let Event::MemberDown { member } | Event::MemberLeft { member } = &event {
                        self.carry(tell, |carrier, turn| carrier.member_gone(member, turn));
                    }
                    tell(event);
                }
                Deed::Deliver {
                    from,
                    hops,
                    message,
                } => self.deliver(&from, hops, message),
                Deed::Missed { sort, messages } => {
                    let counters = self.state.counters.of(sort);
                    counters.missed.fetch_add(messages, Ordering::Relaxed);
                }
                Deed::AtomicEnded { id, outcome } => self.atomic_ended(id, outcome),
                Deed::Refuse { command, why } => self.refused(&command, why),
                Deed::Accuse { peer, why } => {
                    count(&self.state.counters.malformed);
                    tracing::warn!(%peer, %why, "a peer's control shard broke the rules: its lanes end");
                    self.wish(|wishes| wishes.forget(&peer));
                }
            }
        }
    }

    fn wish(&self, order: impl FnOnce(&WishBook) -> Result<(), NameError>) {
        if let Err(error) = order(&self.fabric.wishes) {
            tracing::warn!(%error, "the cluster knows more nodes than this node can have as peers");
        }
        self.link.look();
    }

    /// The protocols did not carry an order out.
    fn refused(&self, command: &Command<NodeId>, why: Refusal) {
        if let Some(sort) = sort_of(command) {
            count(&self.state.counters.of(sort).refused);
            tracing::debug!(kind = sort.name(), %why, "a broadcast was refused");
        } else {
            tracing::warn!(?command, %why, "an order to the cluster was refused");
        }
    }

    /// Shows what is true now, if that is something else than before, and answers what waits for it.
    fn publish(&mut self) {
        let given_up = &self.state.counters.given_up;
        given_up.store(self.driver.given_up(), Ordering::Relaxed);
        let changed = self.driver.take_changed_view();
        if let Some(view) = changed {
            self.state.view.store(Arc::new(view));
            self.state.changed.notify(usize::MAX);
        } else if self.fabric.has_ended() {
            // Whoever waits for a view hears that there will be none.
            self.state.changed.notify(usize::MAX);
        }
        self.awaited.answer();
    }
}

/// What an order was to send, if it was of the application.
fn sort_of(command: &Command<NodeId>) -> Option<Sort> {
    let body = match command {
        Command::Broadcast(payload)
        | Command::CausalBroadcast(payload)
        | Command::AtomicBroadcast { payload, .. } => &payload.body,
        Command::Publish(_, body) => body,
        _ => return None,
    };
    Addressed::glance(body).map(|(sort, _)| sort)
}

impl Resident for ClusterResident {
    fn follow(&mut self, event: &Event) {
        let happening = match event {
            Event::PeerUp { peer, .. } if !peer.is_self() => {
                Happening::LaneUp(Arc::clone(peer.shared_name()))
            }
            Event::PeerDown { peer, reason } if !peer.is_self() => {
                Happening::LaneDown(Arc::clone(peer.shared_name()), why_down(*reason))
            }
            Event::DialFailed {
                peer,
                channel,
                reason,
                detail,
                ..
            } if **channel == *CONTROL
                && !is_settled_elsewhere(*reason)
                // A rival's connection may have come up meanwhile, and then nothing tells so again.
                && !peer.has_control() =>
            {
                let name = peer.shared_name();
                self.happened
                    .push(Happening::Refused(Arc::clone(name), detail.clone()));
                Happening::LaneDown(Arc::clone(name), why_down(*reason))
            }
            _ => return,
        };
        self.happened.push(happening);
    }

    fn step(&mut self, tell: &mut dyn FnMut(Event)) -> bool {
        for happening in std::mem::take(&mut self.happened) {
            self.give(happening, tell);
        }
        self.follow_orders(tell);
        while let Some(answer) = self.asking.take_answer() {
            self.give(Happening::Seed(answer), tell);
        }
        let is_more = self.read(tell) | self.carry(tell, Carrier::turn);
        if let Some(metrics) = self.gathering.take(&self.fabric) {
            self.give(Happening::Readings(Readings::of(&metrics)), tell);
        }
        if let Some(metrics) = self.counting.take(&self.fabric) {
            let summary = Summary::of(&Counted {
                metrics,
                processor_s: clock::of_process().as_secs(),
                uptime_s: self.started.elapsed().as_secs(),
            });
            self.give(Happening::Counted(summary), tell);
        }
        self.change_channels(tell);
        let mut deeds = Vec::new();
        self.driver.run_due(self.clock.now(), &mut deeds);
        self.carry_out(deeds, tell);
        let now = Instant::now();
        for peer in self.outgoing.find_room(now) {
            self.give(Happening::Drained(peer), tell);
        }
        for peer in self.outgoing.send_unsent(now) {
            self.give(Happening::Unsent(peer), tell);
        }
        self.publish();
        is_more
    }

    fn next(&self) -> Option<Instant> {
        let due = self.driver.next().map(|at| self.clock.instant(at));
        let times = [due, self.outgoing.next(), self.carrier.next()];
        times.into_iter().flatten().min()
    }
}

/// Why there is no lane, as protocols see it.
fn why_down(reason: CloseReason) -> WhyDown {
    match reason {
        CloseReason::ConnectRefused => WhyDown::Refused,
        CloseReason::ConnectTimeout
        | CloseReason::HandshakeTimeout
        | CloseReason::IdleTimeout
        | CloseReason::Unreachable => WhyDown::TimedOut,
        CloseReason::TooManyPeers | CloseReason::TooManyHandshakes => WhyDown::Busy,
        CloseReason::PeerStopped
        | CloseReason::PeerDisconnected
        | CloseReason::Disconnected
        | CloseReason::Idle => WhyDown::AskedFor,
        _ => WhyDown::Lost,
    }
}

/// Whether a dial failed because another connection of the same lane is there, or is being made.
const fn is_settled_elsewhere(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::SimultaneousDial | CloseReason::AlreadyUp | CloseReason::Replaced
    )
}
