//! The order of a causal channel at one node: what its messages follow, and whether what a message that came follows is
//! there.
//!
//! The rule is [`Order`] of the overlays; here is what it needs of lanes. Senders on any thread number their messages and
//! put them into the ring under one lock, so that numbers and lanes agree; the shard that all lanes of the channel belong
//! to says what was acknowledged, and asks whether a message's turn has come. It moves no message and knows no lane.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use overlane_overlays::causal_unicast::{Arrival, Need, Order};
use overlane_overlays::{Count, Gap, Life, Time};

use crate::config::{ChannelConfig, Config};
use crate::wire::causes::{Cause, Causes, Told, encode_causes, node_number};

/// A message that came before what it follows.
#[derive(Clone, Debug)]
pub(crate) struct HeldMessage {
    /// The lane it came on, by its index on the shard.
    pub(crate) lane: u32,
    pub(crate) mailbox: Box<str>,
    /// Its extension and its payload, and how much of that is the extension.
    pub(crate) bytes: Bytes,
    pub(crate) head: usize,
    pub(crate) came: Instant,
}

/// Besides its bytes, what a message that is held takes.
const HELD_OVERHEAD_BYTES: usize = 256;

/// So often in the longest wait it is looked whether the node that is waited for can be asked.
const LOOKS: u32 = 32;

/// What a look at the held messages has found.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) given_up: Vec<Gap<u64>>,
    /// The nodes whose messages are waited for, by their numbers.
    pub(crate) waited_for: Vec<u64>,
    /// Nodes, and which messages of others to them they are to be asked about.
    pub(crate) questions: Vec<(u64, Vec<Told>)>,
    pub(crate) again: Option<Instant>,
}

/// What a message that was delivered or held, or a word of a peer, has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// Messages are ready.
    pub(crate) is_ready: bool,
    /// When to look at what is held and carried, if the shard does not know.
    pub(crate) look: Option<Instant>,
}

fn count_of(told: Told) -> Count<u64> {
    Count {
        life: Life {
            peer: told.sender,
            incarnation: told.incarnation,
        },
        count: told.count,
    }
}

fn told_of(count: Count<u64>) -> Told {
    Told {
        sender: count.life.peer,
        incarnation: count.life.incarnation,
        count: count.count,
    }
}

/// A message that came, in what others have to be delivered before it.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) life: Life<u64>,
    pub(crate) number: u64,
    needs: Vec<Need<u64>>,
}

impl Came {
    pub(crate) fn new(life: Life<u64>, causes: Causes<'_>) -> Self {
        let needs = causes.needs().map(|cause| Need {
            to: cause.to,
            of: Count {
                life: Life {
                    peer: cause.sender,
                    incarnation: cause.incarnation,
                },
                count: cause.count,
            },
        });
        Self {
            life,
            number: causes.number,
            needs: needs.collect(),
        }
    }
}

/// What a message is sent with.
#[derive(Debug)]
pub(crate) struct Stamp {
    to: u64,
    number: u64,
    needs: Vec<Need<u64>>,
    /// As they go over the wire.
    pub(crate) causes: Vec<u8>,
}

impl Stamp {
    /// Whether it is as short as any.
    pub(crate) fn is_without_needs(&self) -> bool {
        self.needs.is_empty()
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct CausalOrder {
    began: Instant,
    wait: Duration,
    held_bytes_max: usize,
    held_messages_max: usize,
    state: Mutex<State>,
    /// Somebody was refused because too much is open.
    is_wanted: AtomicBool,
}

#[derive(Debug)]
struct State {
    me: Life<u64>,
    order: Order<u64, HeldMessage>,
    /// By the receiver's number.
    sent: HashMap<u64, Sent>,
    /// When the shard looks for what has waited too long, if it is to.
    look: Option<Time>,
}

/// What was sent to one node.
#[derive(Debug, Default)]
struct Sent {
    number: u64,
    /// Not settled yet, each with what of others it needs at that node.
    open: BTreeMap<u64, Vec<Need<u64>>>,
}

impl CausalOrder {
    pub(crate) fn new(node: &Config, channel: &ChannelConfig) -> Self {
        let me = Life {
            peer: node_number(&node.node_name),
            incarnation: node.incarnation.unwrap_or(1),
        };
        let wait = Duration::from_millis(channel.hold_back_wait_ms);
        // A clock may be a quarter slow.
        let lasts = (Duration::from_millis(channel.resume_timeout_ms) + wait) * 5 / 4;
        Self {
            began: Instant::now(),
            wait,
            held_bytes_max: channel.hold_back_bytes_max,
            held_messages_max: channel.hold_back_messages_max,
            state: Mutex::new(State {
                me,
                order: Order::new(me, lasts),
                sent: HashMap::new(),
                look: None,
            }),
            is_wanted: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time(&self, at: Instant) -> Time {
        let since = at.saturating_duration_since(self.began).as_micros();
        Time::from_micros(u64::try_from(since).unwrap_or(u64::MAX))
    }

    fn instant(&self, time: Time) -> Instant {
        self.began + time.since(Time::ZERO)
    }

    /// Sends a message to that node by `send`, which is given its stamp and may not wait, and notes that it was sent if
    /// that accepts it. `None` if more is open than a message can say: [`acknowledged`](Self::acknowledged) makes room.
    pub(crate) fn send<R, E>(
        &self,
        to: &str,
        send: impl FnOnce(&Stamp) -> Result<R, E>,
    ) -> Option<Result<R, E>> {
        let to = node_number(to);
        let now = self.time(Instant::now());
        let mut state = self.lock();
        let Some(stamp) = state.stamp(to, now) else {
            self.is_wanted.store(true, Ordering::Relaxed);
            return None;
        };
        let sent = send(&stamp);
        if sent.is_ok() {
            state.sent(now, stamp);
        }
        Some(sent)
    }

    /// A message was not sent because its causes do not fit beside what else it says.
    pub(crate) fn want_room(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// The shard's: that node has delivered these messages, or refused them. True if it does not know yet that those
    /// behind them come no more.
    pub(crate) fn acknowledged(&self, to: &str, numbers: &[u64]) -> bool {
        let settled = self.lock().end(node_number(to), numbers, true);
        numbers.last().is_some_and(|last| *last < settled)
    }

    /// The shard's: that node will not get these messages, or nobody knows whether it has.
    pub(crate) fn ended(&self, to: &str, numbers: &[u64]) {
        self.lock().end(node_number(to), numbers, false);
    }

    /// The shard's: `is_idle` says under the lock of senders whether no message to that node is open any more.
    pub(crate) fn ended_all(&self, to: &str, is_idle: impl FnOnce() -> bool) {
        let to = node_number(to);
        let mut state = self.lock();
        if is_idle() {
            state.end_all(to);
        }
    }

    /// Whether somebody waits for room that the shard may have made.
    pub(crate) fn take_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed) && self.is_wanted.swap(false, Ordering::Relaxed)
    }

    /// What is to become of a message that came. If its turn has come, what is sent from now on follows it.
    pub(crate) fn arrive(&self, came: &Came, now: Instant) -> Arrival {
        let now = self.time(now);
        let order = &mut self.lock().order;
        let arrival = order.arrive(now, came.life, came.number, &came.needs);
        if arrival == Arrival::Due {
            order.delivering(now, came.life, &came.needs);
        }
        arrival
    }

    /// A message whose turn had come was delivered.
    pub(crate) fn delivered(&self, came: &Came, now: Instant) -> News {
        let now = self.time(now);
        let mut state = self.lock();
        state.order.delivered(now, came.life, came.number);
        self.news(&mut state, now)
    }

    /// Holds a message that is early, if its sender has room for it.
    pub(crate) fn hold(
        &self,
        came: Came,
        message: HeldMessage,
        now: Instant,
    ) -> Result<News, NoRoom> {
        let bytes = message.bytes.len() + message.mailbox.len() + HELD_OVERHEAD_BYTES;
        let mut state = self.lock();
        let (messages_held, bytes_held) = state.order.load_of(&came.life.peer);
        // One message of the largest size always fits.
        let is_full = messages_held >= self.held_messages_max
            || (messages_held > 0 && bytes_held + bytes > self.held_bytes_max);
        if is_full {
            return Err(NoRoom);
        }
        let now = self.time(now);
        let key = (came.life, came.number);
        state.order.hold(now, key, came.needs, bytes, message);
        Ok(self.news(&mut state, now))
    }

    /// The first message that is ready and came on that lane; what is sent from now on follows it.
    pub(crate) fn next_ready(
        &self,
        lane: u32,
        now: Instant,
    ) -> Option<((Life<u64>, u64), HeldMessage)> {
        let now = self.time(now);
        let order = &mut self.lock().order;
        let ready = order.ready().find(|(_, held)| held.lane == lane);
        let (key, held) = ready.map(|(key, held)| (key, held.clone()))?;
        order.delivering_ready(now, key);
        Some((key, held))
    }

    /// It was delivered.
    pub(crate) fn delivered_ready(&self, key: (Life<u64>, u64), now: Instant) -> News {
        let now = self.time(now);
        let mut state = self.lock();
        state.order.delivered_ready(now, key);
        self.news(&mut state, now)
    }

    /// The lanes on which messages came that are ready.
    pub(crate) fn ready_lanes(&self) -> Vec<u32> {
        let mut lanes: Vec<u32> = self
            .lock()
            .order
            .ready()
            .map(|(_, held)| held.lane)
            .collect();
        lanes.sort_unstable();
        lanes.dedup();
        lanes
    }

    /// The connection to a node has ended: what is held of it comes again, or never.
    pub(crate) fn let_go_of(&self, life: Life<u64>) {
        self.lock().order.let_go_of(&life.peer);
    }

    /// There is a connection to that life of a node. What is waited for no longer.
    pub(crate) fn lives_as(&self, life: Life<u64>, now: Instant) -> Vec<Gap<u64>> {
        let now = self.time(now);
        self.lock().order.lives_as(now, life)
    }

    /// That node says so of its own messages, and of those of others to it.
    pub(crate) fn told(
        &self,
        by: Life<u64>,
        told: impl Iterator<Item = Told>,
        now: Instant,
    ) -> News {
        let now = self.time(now);
        let mut state = self.lock();
        for count in told.map(count_of) {
            if count.life == by {
                state.order.settled_by(now, by, count.count);
            } else {
                state.order.answered(now, by.peer, &[count]);
            }
        }
        self.news(&mut state, now)
    }

    /// What this node has of the messages to it that it is asked about.
    pub(crate) fn answer(&self, asked: impl Iterator<Item = Told>) -> Vec<Told> {
        let asked: Vec<Count<u64>> = asked.map(count_of).collect();
        let have = self.lock().order.answer(&asked);
        have.into_iter().map(told_of).collect()
    }

    /// Of this life, to that node: what is settled, if anything is.
    pub(crate) fn own_settled(&self, to: &str) -> Option<Told> {
        let state = self.lock();
        let count = state.sent.get(&node_number(to)).map_or(0, Sent::settled);
        let life = state.me;
        (count > 0).then(|| told_of(Count { life, count }))
    }

    fn news(&self, state: &mut State, now: Time) -> News {
        let is_ready = state.order.ready().next().is_some();
        News {
            is_ready,
            look: self.next_look(state, now),
        }
    }

    /// The shard looks: gives up what messages have waited for too long, and says what they wait for still.
    pub(crate) fn look(&self, now: Instant) -> Looked {
        let mut state = self.lock();
        state.look = None;
        let wait = u64::try_from(self.wait.as_micros()).unwrap_or(u64::MAX);
        let now = self.time(now);
        let given_up = match now.as_micros().checked_sub(wait) {
            Some(since) => state.order.give_up_older(now, Time::from_micros(since)),
            None => Vec::new(),
        };
        Looked {
            given_up,
            waited_for: state.order.waited_for(),
            questions: state.questions(now),
            again: self.next_look(&mut state, now),
        }
    }

    /// When to look, if the shard does not know.
    fn next_look(&self, state: &mut State, now: Time) -> Option<Instant> {
        if state.look.is_some() {
            return None;
        }
        // Not at once: what is late now has just been looked at, and may find no room.
        let soon = now + self.wait / (LOOKS * 32);
        let waiting = state.order.waiting_since();
        let waiting = waiting.map(|since| (since + self.wait).max(soon));
        if waiting.is_none() && !state.order.knows_of_others() {
            return None;
        }
        let next = now + self.wait / LOOKS;
        let look = waiting.map_or(next, |waiting| waiting.min(next));
        state.look = Some(look);
        Some(self.instant(look))
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        self.lock().order.held()
    }
}

/// The sender of a message has as much on hold as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl State {
    fn stamp(&mut self, to: u64, now: Time) -> Option<Stamp> {
        let needs = self.order.needs(now)?;
        let number = self.sent.get(&to).map_or(0, |sent| sent.number) + 1;
        // That a lane's own messages follow each other needs no word.
        let me = self.me;
        let others = needs
            .iter()
            .filter(|need| need.to != to || need.of.life != me);
        let causes = others.map(|need| Cause {
            sender: need.of.life.peer,
            incarnation: need.of.life.incarnation,
            to: need.to,
            count: need.of.count,
        });
        let causes = encode_causes(number, causes)?;
        Some(Stamp {
            to,
            number,
            needs,
            causes,
        })
    }

    fn sent(&mut self, now: Time, stamp: Stamp) {
        let Stamp {
            to,
            number,
            mut needs,
            ..
        } = stamp;
        needs.retain(|need| need.to == to);
        let sent = self.sent.entry(to).or_default();
        sent.number = number;
        sent.open.insert(number, needs);
        self.order.sent(now, to, number);
    }

    fn questions(&mut self, now: Time) -> Vec<(u64, Vec<Told>)> {
        let questions = self.order.to_ask(now).into_iter();
        let told = questions.map(|(to, counts)| (to, counts.into_iter().map(told_of).collect()));
        told.collect()
    }

    /// Up to which number all are settled then.
    fn end(&mut self, to: u64, numbers: &[u64], is_delivered: bool) -> u64 {
        let Some(sent) = self.sent.get_mut(&to) else {
            return 0;
        };
        for number in numbers {
            if let Some(needs) = sent.open.remove(number)
                && is_delivered
            {
                self.order.delivered_at(to, &needs);
            }
        }
        let settled = sent.settled();
        self.order.settled(to, settled);
        settled
    }

    fn end_all(&mut self, to: u64) {
        if let Some(sent) = self.sent.get_mut(&to) {
            sent.open.clear();
            let settled = sent.settled();
            self.order.settled(to, settled);
        }
    }
}

impl Sent {
    /// Up to this number, all are settled.
    fn settled(&self) -> u64 {
        let first = self.open.first_key_value();
        first.map_or(self.number, |(number, _)| number - 1)
    }
}

#[cfg(test)]
mod tests;
