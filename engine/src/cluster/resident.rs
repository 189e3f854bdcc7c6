//! The cluster on the control shard: the driver, and what connects it to the node.
//!
//! It reads what control shards of peers say from two inboxes (the engine's own channel first), gives it to the driver
//! with the time, with what happens to lanes and with orders of applications, and does what the driver says: sends on lanes,
//! writes wishes, tells events. It copies no payload but where several pieces have to become one, never waits, and
//! does a bounded amount of work in each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use futures_core::Stream;
use overlane_overlays::epoch::{OverlayKind, Step};
use overlane_overlays::{Command, WhyDown};

use super::asking::{Asker, Asking};
use super::clock::Clock;
use super::decisions::{Decision, MergeCallback};
use super::driver::{Deed, Driver, Happening};
use super::identity::NodeId;
use super::orders::{ClusterState, Order};
use super::outcome::SwitchOutcome;
use super::payload::Addressed;
use super::relay::carrier::{Carrier, Turn};
use super::topology::{Gathering, OrderedBy, TopologyOrder};
use crate::capacity::Capacity;
use crate::channel::Channel;
use crate::channel_plan::CONTROL;
use crate::channel_table::ChannelWish;
use crate::control::link::ControlLink;
use crate::control::resident::Resident;
use crate::control::wishes::WishBook;
use crate::envelope::Envelope;
use crate::error::{NameError, SendError};
use crate::events::Event;
use crate::fabric::Fabric;
use crate::inbox::Inbox;
use crate::mailboxes::Mailbox;
use crate::message::{Destination, OwnedMessage};
use crate::shard::command::CommandSender;
use crate::wire::CloseReason;

/// Messages taken from the inboxes in one step: then wishes, lanes and events have their turn.
const MESSAGES_PER_STEP: usize = 64;
/// Words that wait for a lane at a time, each of some hundred bytes as a rule.
const UNSENT_MAX: usize = 4_096;
/// How long they do: as long as a dial.
const UNSENT_FOR: Duration = Duration::from_secs(3);
/// How often they are tried again: a turn or two of a shard.
const UNSENT_EVERY: Duration = Duration::from_millis(2);
/// How often it is looked whether a lane that was full has room again.
const ROOM_EVERY: Duration = Duration::from_millis(20);

/// The key under which a broadcast names the node that sent it.
pub const ORIGIN_KEY: &str = "overlane.from";
/// The key under which it says how many nodes it passed, the last one included: two bytes, little-endian.
pub const HOPS_KEY: &str = "overlane.hops";

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
    /// What shards count.
    gathering: Gathering,
    /// The engine's own channel.
    control: Channel,
    /// Where peers' control shards hear of protocols, and of payloads.
    mailboxes: Mailboxes,
    /// What they say here.
    words: Inbox,
    payloads: Inbox,
    waker: Waker,
    /// Lanes that were full when they were looked at last.
    congested: BTreeMap<(Arc<str>, String), Destination>,
    look_for_room: Option<Instant>,
    /// Words that no lane took yet: a peer that is reached from now on is so a moment later.
    unsent: VecDeque<Unsent>,
    /// When they are tried again.
    send_again: Option<Instant>,
    /// Orders to switch the overlay, by the epoch that they led to.
    switching: Vec<(u64, Sender<SwitchOutcome>)>,
    /// How some of them ended: told once the view shows it.
    switched: Vec<(Sender<SwitchOutcome>, SwitchOutcome)>,
    /// What the application does with decisions of others.
    merge: Option<MergeCallback>,
    /// What goes over this node, and from it over others.
    carrier: Carrier,
    /// What happened on shards since the last step.
    happened: Vec<Happening>,
}

/// A word that waits for a lane.
#[derive(Debug)]
struct Unsent {
    to: Destination,
    word: Bytes,
    /// Then it is given up.
    until: Instant,
}

/// The mailboxes of control shards.
#[derive(Debug)]
struct Mailboxes {
    words: Mailbox,
    payloads: Mailbox,
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
        Self {
            waker: Waker::from(Arc::new(Look(Arc::clone(&link)))),
            asking: Asking::new(asker, Arc::clone(&link)),
            gathering: Gathering::new(shards),
            mailboxes: Mailboxes {
                words: words.mailbox().clone(),
                payloads: payloads.mailbox().clone(),
            },
            fabric,
            link,
            clock,
            driver,
            state,
            orders,
            control,
            words,
            payloads,
            congested: BTreeMap::new(),
            look_for_room: None,
            unsent: VecDeque::new(),
            send_again: None,
            switching: Vec::new(),
            switched: Vec::new(),
            merge: None,
            carrier,
            happened: Vec::new(),
        }
    }

    /// Gives the driver what happened, and does what it says.
    fn give(&mut self, happening: Happening, tell: &mut dyn FnMut(Event)) {
        let mut deeds = Vec::new();
        self.driver.handle(self.clock.now(), happening, &mut deeds);
        self.carry_out(deeds, tell);
    }

    /// Takes what peers said. True if there may be more.
    fn read(&mut self, tell: &mut dyn FnMut(Event)) -> bool {
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

    fn follow_orders(&mut self, tell: &mut dyn FnMut(Event)) {
        while let Ok(order) = self.orders.try_recv() {
            self.state.taken(&order);
            let command = match order {
                Order::Join(places) => {
                    self.give(Happening::Join(places), tell);
                    continue;
                }
                Order::Switch {
                    kind,
                    servers,
                    answer,
                } => {
                    let servers = servers.iter().map(|name| NodeId::of(name)).collect();
                    self.switch(kind, servers, OrderedBy::Hand, answer, tell);
                    continue;
                }
                Order::Evict(name) => {
                    self.give(Happening::Evict(NodeId::of(&name)), tell);
                    continue;
                }
                Order::Decide(payload) => {
                    self.give(Happening::Decide(payload), tell);
                    continue;
                }
                Order::OnMerge(callback) => {
                    self.merge = Some(callback);
                    self.merge(self.driver.decisions_of_others());
                    continue;
                }
                Order::Topology(order) => {
                    self.follow_topology(order, tell);
                    continue;
                }
                Order::Leave => Command::Leave,
                Order::Broadcast(body) => {
                    self.state.counters.started.fetch_add(1, Ordering::Relaxed);
                    Command::Broadcast(body.into())
                }
                Order::SetMetadata(metadata) => Command::SetMetadata(metadata),
            };
            self.give(Happening::Order(command), tell);
        }
    }

    /// What is ordered and asked of the topology. Whoever does not wait for an answer any more does not hear it.
    fn follow_topology(&mut self, order: TopologyOrder, tell: &mut dyn FnMut(Event)) {
        let now = self.clock.now();
        match order {
            TopologyOrder::Analyze(answer) => drop(answer.send(self.driver.analyze(now))),
            TopologyOrder::History(answer) => drop(answer.send(self.driver.switches(now))),
            TopologyOrder::Rules(answer) => drop(answer.send(self.driver.rules().clone())),
            TopologyOrder::SetRules(rules, answer) => {
                let _ = answer.send(self.driver.set_rules(now, *rules));
            }
            TopologyOrder::SetGauge(name, value, answer) => {
                let _ = answer.send(self.driver.set_gauge(name, value));
            }
            TopologyOrder::Workload(workload, answer) => {
                let wanted = self.driver.choose_workload(now, workload);
                let begun = wanted.map(|wanted| {
                    let (kind, by) = wanted?;
                    Some(self.begin_switch(kind, by, tell))
                });
                let _ = answer.send(begun);
            }
            TopologyOrder::FollowRules(answer) => {
                let wanted = self.driver.choose_by_rules(now);
                let begun = wanted.map(|(kind, by)| Some(self.begin_switch(kind, by, tell)));
                let _ = answer.send(begun);
            }
        }
    }

    /// Orders a switch. Its outcome comes out of the receiver.
    fn begin_switch(
        &mut self,
        kind: OverlayKind,
        by: OrderedBy,
        tell: &mut dyn FnMut(Event),
    ) -> Receiver<SwitchOutcome> {
        let (answer, outcome) = bounded(1);
        self.switch(kind, Vec::new(), by, answer, tell);
        outcome
    }

    fn switch(
        &mut self,
        kind: OverlayKind,
        servers: Vec<NodeId>,
        by: OrderedBy,
        answer: Sender<SwitchOutcome>,
        tell: &mut dyn FnMut(Event),
    ) {
        let mut deeds = Vec::new();
        let order = Happening::Switch { kind, servers, by };
        self.driver.handle(self.clock.now(), order, &mut deeds);
        let refusal = deeds.iter().find_map(|deed| match deed {
            Deed::Refuse { command, why } => {
                matches!(**command, Command::SwitchOverlay { .. }).then_some(*why)
            }
            _ => None,
        });
        match (refusal, self.driver.next_epoch()) {
            (Some(why), _) => self.switched.push((answer, SwitchOutcome::Refused(why))),
            (None, Some(epoch)) => self.switching.push((epoch, answer)),
            // A node alone has switched at once.
            (None, None) => self.switched.push((answer, SwitchOutcome::Committed)),
        }
        self.carry_out(deeds, tell);
    }

    /// Looks whether lanes that were full have room.
    fn find_room(&mut self, now: Instant, tell: &mut dyn FnMut(Event)) {
        if self.look_for_room.is_none_or(|at| at > now) {
            return;
        }
        self.look_for_room = None;
        let mut drained = Vec::new();
        let fabric = &self.fabric;
        self.congested.retain(|(peer, channel), to| {
            let is_full = Channel::find(fabric, channel)
                .is_some_and(|channel| channel.capacity(to) == Ok(Capacity::Overloaded));
            if !is_full {
                drained.push(Arc::clone(peer));
            }
            is_full
        });
        drained.retain(|peer| !self.congested.keys().any(|(full, _)| full == peer));
        for peer in drained {
            self.give(Happening::Drained(peer), tell);
        }
        if !self.congested.is_empty() {
            self.look_for_room = Some(now + ROOM_EVERY);
        }
    }
}

/// What the driver says is to be done.
impl ClusterResident {
    fn carry_out(&mut self, deeds: Vec<Deed>, tell: &mut dyn FnMut(Event)) {
        for deed in deeds {
            match deed {
                Deed::Send { to, word, channel } => self.send(&to, word, channel, tell),
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
                Deed::Measure => self.gathering.begin(),
                Deed::Ask(places) => self.asking.ask(places),
                Deed::Tell(event) => {
                    self.answer_switch(&event);
                    tell(event);
                }
                Deed::Deliver {
                    from,
                    hops,
                    message,
                } => self.deliver(&from, hops, message),
                Deed::Merge(decisions) => self.merge(decisions),
                Deed::WayFound(to) => {
                    self.carry(tell, |carrier, turn| carrier.way_found(to, turn));
                }
                Deed::Refuse { command, why } => {
                    tracing::warn!(?command, %why, "an order to the cluster was refused");
                }
                Deed::Accuse { peer, why } => {
                    self.state
                        .counters
                        .malformed
                        .fetch_add(1, Ordering::Relaxed);
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

    fn send(
        &mut self,
        to: &Arc<str>,
        word: Bytes,
        channel: Option<String>,
        tell: &mut dyn FnMut(Event),
    ) {
        let Ok(peer) = self.fabric.wishes.peer(to) else {
            return;
        };
        let Some(name) = channel else {
            let until = Instant::now() + UNSENT_FOR;
            let to = Destination::new(peer, self.mailboxes.words.clone());
            self.send_in_turn(Unsent { to, word, until });
            return;
        };
        let destination = Destination::new(peer, self.mailboxes.payloads.clone());
        let sent = match Channel::find(&self.fabric, &name) {
            Some(channel) => channel
                .try_send_as_named(&destination, word)
                .map_err(|unsent| unsent.error),
            None => Err(SendError::ChannelRemoved),
        };
        let Err(error) = sent else {
            return;
        };
        self.state.counters.unsent.fetch_add(1, Ordering::Relaxed);
        if error == SendError::Full {
            self.congested.insert((Arc::clone(to), name), destination);
            let look = Instant::now() + ROOM_EVERY;
            self.look_for_room.get_or_insert(look);
            self.give(Happening::Congested(Arc::clone(to)), tell);
        }
    }

    /// Sends a word on the engine's own channel, behind those that wait for the same peer.
    fn send_in_turn(&mut self, mut unsent: Unsent) {
        let mut before = self.unsent.iter();
        if !before.any(|waiting| waiting.to.peer().name() == unsent.to.peer().name()) {
            match self.control.try_send_as_named(&unsent.to, unsent.word) {
                Ok(()) => return,
                Err(refused) => unsent.word = refused.payload,
            }
        }
        if self.unsent.len() < UNSENT_MAX {
            self.unsent.push_back(unsent);
            let again = Instant::now() + UNSENT_EVERY;
            self.send_again.get_or_insert(again);
        } else {
            self.state.counters.unsent.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tries again what no lane took. A peer that takes nothing for long has no lane: the protocols hear so.
    fn send_unsent(&mut self, now: Instant, tell: &mut dyn FnMut(Event)) {
        if self.send_again.is_none_or(|at| at > now) {
            return;
        }
        self.send_again = None;
        let mut lost = BTreeSet::new();
        for unsent in std::mem::take(&mut self.unsent) {
            let name = unsent.to.peer().shared_name();
            if unsent.until > now && !lost.contains(name) {
                self.send_in_turn(unsent);
            } else {
                self.state.counters.unsent.fetch_add(1, Ordering::Relaxed);
                lost.insert(Arc::clone(name));
            }
        }
        for name in lost {
            self.give(Happening::Unsent(name), tell);
        }
    }

    /// Gives a broadcast to its mailbox here: by the node's lane to itself, which has its bounds.
    fn deliver(&self, from: &str, hops: u16, message: Addressed) {
        let Addressed {
            channel,
            mailbox,
            payload,
        } = message;
        let delivered = (|| {
            let channel = Channel::find(&self.fabric, &channel)?;
            let itself = self
                .fabric
                .wishes
                .peer(&self.fabric.config.node_name)
                .ok()?;
            let mailbox = self.fabric.mailboxes.get(&mailbox).ok()?;
            let hops = hops.to_le_bytes();
            let payload = Envelope::new(payload)
                .metadata(ORIGIN_KEY, from)
                .metadata(HOPS_KEY, &hops);
            let to = Destination::new(itself, mailbox);
            channel.try_send_as_named(&to, payload).ok()
        })();
        let counters = &self.state.counters;
        let count = match delivered {
            Some(()) => &counters.delivered,
            None => &counters.missed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives the carrier a turn, and does what comes of it.
    fn carry<T>(
        &mut self,
        tell: &mut dyn FnMut(Event),
        carry: impl FnOnce(&mut Carrier, &mut Turn<'_>) -> T,
    ) -> T {
        let mut turn = Turn {
            driver: &mut self.driver,
            now: self.clock.now(),
            instant: Instant::now(),
            waker: &self.waker,
            finds: Vec::new(),
            events: Vec::new(),
        };
        let carried = carry(&mut self.carrier, &mut turn);
        let Turn { finds, events, .. } = turn;
        for event in events {
            tell(event);
        }
        for (to, ttl) in finds {
            self.give(Happening::FindWay { to, ttl }, tell);
        }
        carried
    }

    /// The application takes what others have decided, once it has said how.
    fn merge(&mut self, decisions: Vec<Decision>) {
        if decisions.is_empty() {
            return;
        }
        if let Some(MergeCallback(merge)) = &mut self.merge
            && catch_unwind(AssertUnwindSafe(|| merge(decisions))).is_err()
        {
            tracing::error!("the callback for decisions of other nodes panicked");
        }
    }

    /// Whoever ordered a switch learns how it ended.
    fn answer_switch(&mut self, event: &Event) {
        let Event::Overlay { epoch, step, .. } = event else {
            return;
        };
        let outcome = match step {
            Step::Committed => SwitchOutcome::Committed,
            Step::RolledBack(why) => SwitchOutcome::RolledBack(*why),
            _ => return,
        };
        let ended = self
            .switching
            .extract_if(.., |(ordered, _)| ordered == epoch);
        self.switched
            .extend(ended.map(|(_, answer)| (answer, outcome)));
    }

    /// Shows what is true now, and answers what waits for it.
    fn publish(&mut self) {
        self.state.view.store(Arc::new(self.driver.view()));
        self.state.changed.notify(usize::MAX);
        for (answer, outcome) in self.switched.drain(..) {
            // Whoever does not wait for it any more does not hear it.
            let _ = answer.send(outcome);
        }
    }
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
        if let Some(readings) = self.gathering.take(&self.fabric) {
            self.give(Happening::Readings(readings), tell);
        }
        let mut deeds = Vec::new();
        self.driver.run_due(self.clock.now(), &mut deeds);
        self.carry_out(deeds, tell);
        let now = Instant::now();
        self.find_room(now, tell);
        self.send_unsent(now, tell);
        self.publish();
        is_more
    }

    fn next(&self) -> Option<Instant> {
        let due = self.driver.next().map(|at| self.clock.instant(at));
        let carrier = self.carrier.next();
        let times = [due, carrier, self.look_for_room, self.send_again];
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
