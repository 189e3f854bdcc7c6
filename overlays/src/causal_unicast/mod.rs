//! Causal unicast: messages from node to node, in causal order at each receiver.
//!
//! When A sends one message to B, then another to C, and C sends B a third, B is delivered the first
//! before the third, however slow it was. A message carries what it depends on directly: pairs of receiver and
//! count, per sender, of messages that were not acknowledged when it was sent, as far as its sender knew
//! (`barrier`). Pairs go as they are acknowledged, so a message in a calm cluster carries hardly any. This
//! is the way of Raynal, Schiper and Toueg ("The Causal Ordering Abstraction and a Simple Way to Implement
//! It", 1991) with the matrix cut down to what is open and immediate, as Prakash, Raynal and Singhal
//! (1997) and Kshemkalyani and Singhal ("Necessary and Sufficient Conditions on Information for Causal
//! Message Ordering and Their Optimal Implementation", 1998) show that it may be; but for one saving of
//! theirs, which needs that nobody dies: a later message to a receiver stands for those of its own sender
//! there, not for those of others. Partisan sends the entry of the destination alone and delivers the third
//! message first.
//!
//! It owns [`Command::Relay`] and answers with [`Event::Relayed`]; a driver must be able to reach each
//! receiver ([`Output::Send`]). Each message is sent until it is acknowledged, which is when it is delivered,
//! or given back ([`Event::Refused`]): nothing is lost without a word. The receiver holds back within
//! bounds, asks the sender of what is missing, and gives it up after [`Config::wait_max`]
//! ([`Event::Missed`]); what comes after that goes back to its sender.
//!
//! Each life of a node (its incarnation) counts for itself, as a sender and as a receiver: a message is for
//! the life that its sender knew, and goes back when that has ended. A message that was given up, or acknowledged,
//! is no dependency any more: should a copy of the first kind still come from the network, its place in
//! the order is not kept.
//!
//! A layer over anything; what it does not own, it passes on.

mod barrier;
mod config;
mod message;
mod order;
mod outgoing;
mod receiving;
mod sending;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use serde::Serialize;

use crate::event::{Command, Event, Input, InputOf, Output, OutputOf, Peer, Protocol, Refusal};
use crate::hold_back::{Gap, HoldBack, Life};
use crate::time::Time;
use barrier::Barrier;
use outgoing::{Outgoing, Unacked};
use receiving::Item;

pub use config::Config;
pub use message::{Ack, Data, Message, NEEDS_MAX, Need, RANGES_MAX};
pub use order::{Arrival, Order};

/// Timers of causal unicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Timer {
    /// What is over is to be looked for.
    Period,
    /// A message may have to be sent again.
    Resend,
    /// A held message may have waited long enough to ask, or too long.
    Look,
}

/// What a node has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages sent, once each.
    pub sent: u64,
    /// Bytes of what they need.
    pub needs_bytes: u64,
    /// Copies sent again.
    pub resent: u64,
    /// Messages acknowledged as delivered.
    pub acknowledged: u64,
    /// Messages given back: not acknowledged in time, or too late.
    pub given_back: u64,
    /// Messages passed over, each told by [`Event::Missed`].
    pub missed: u64,
    /// Copies that came when the message was held, delivered or passed over.
    pub late: u64,
    /// Questions sent for messages that are missing.
    pub asked: u64,
    /// Questions sent whether a node has messages of others.
    pub pairs_asked: u64,
}

type Out<P> = Vec<Output<P, Message<P>, Timer>>;

/// The causal unicast of one node.
#[derive(Debug)]
pub struct CausalUnicast<P> {
    me: Life<P>,
    config: Config,
    barrier: Barrier<P>,
    outgoing: BTreeMap<P, Outgoing<P>>,
    /// When each message under way is to be sent again.
    due: BTreeSet<(Time, P, u64)>,
    bytes: usize,
    armed: Option<Time>,
    hold: HoldBack<P, Item<P>>,
    /// Ranges of each life's messages that were passed over, as far as their sender may still send them.
    missed: BTreeMap<Life<P>, Vec<(u64, u64)>>,
    /// Lives to which an acknowledgement is owed.
    owed: BTreeSet<Life<P>>,
    is_looking: bool,
    counters: Counters,
}

impl<P: Peer> CausalUnicast<P> {
    /// A node that has sent and delivered nothing. `incarnation` must be above zero and greater than at
    /// any earlier start of a node with this identity.
    #[must_use]
    pub fn new(me: P, incarnation: u64, config: Config) -> Self {
        let me = Life {
            peer: me,
            incarnation,
        };
        Self {
            me,
            barrier: Barrier::new(me, config.need_lasts()),
            outgoing: BTreeMap::new(),
            due: BTreeSet::new(),
            bytes: 0,
            armed: None,
            hold: HoldBack::new(config.hold_back),
            missed: BTreeMap::new(),
            owed: BTreeSet::new(),
            is_looking: false,
            config,
            counters: Counters::default(),
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Messages held back now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.hold.held()
    }

    /// Most messages ever held back at once.
    #[must_use]
    pub const fn most_held(&self) -> usize {
        self.hold.most_held()
    }

    /// Needs that were not waited for, as no honest node has them.
    #[must_use]
    pub const fn waived(&self) -> u64 {
        self.hold.waived()
    }

    /// Messages sent and not acknowledged.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.due.len()
    }

    /// Pairs of receiver and sender that the next message would carry.
    #[must_use]
    pub fn open_needs(&self) -> usize {
        self.barrier.len()
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        self.hold.check()?;
        let under_way: usize = self.outgoing.values().map(Outgoing::len).sum();
        let bytes: usize = self.outgoing.values().map(|outgoing| outgoing.bytes).sum();
        if under_way != self.due.len() || bytes != self.bytes {
            return Err(format!(
                "{under_way} messages with {bytes} bytes are under way, {} with {} are counted",
                self.due.len(),
                self.bytes
            ));
        }
        if under_way > self.config.messages_max || bytes > self.config.bytes_max {
            return Err(format!("{under_way} messages, {bytes} bytes under way"));
        }
        if self.outgoing.len() > self.config.receivers_max {
            return Err(format!("{} receivers", self.outgoing.len()));
        }
        Ok(())
    }

    fn command(&mut self, now: Time, command: Command<P>, out: &mut Out<P>) {
        match command {
            Command::Relay { to, payload } => {
                if let Err(why) = self.relay(now, to, &payload, out) {
                    let command = Command::Relay { to, payload };
                    out.push(Output::Event(Event::Refused { command, why }));
                }
            }
            Command::Leave => {
                let under_way: Vec<(P, u64)> = self
                    .due
                    .iter()
                    .map(|(_, to, number)| (*to, *number))
                    .collect();
                for (to, number) in under_way {
                    self.give_back(to, number, Refusal::Unacknowledged, out);
                }
                out.push(Output::Below(Command::Leave));
            }
            other => out.push(Output::Below(other)),
        }
    }

    fn received(&mut self, now: Time, from: P, message: Message<P>, out: &mut Out<P>) {
        if from == self.me.peer {
            return;
        }
        match message {
            Message::Hello { incarnation } => {
                self.owed.insert(Life {
                    peer: from,
                    incarnation,
                });
            }
            Message::Data(data) => self.data(now, from, data),
            Message::Have { counts } => self.answer_have(from, counts, out),
            Message::Settled { counts } => self.barrier.settled_by(from, &counts),
            Message::Ack(ack) => self.acknowledged(now, from, &ack, out),
            Message::Ask {
                incarnation,
                first,
                last,
            } => self.asked(now, from, incarnation, (first, last), out),
            Message::Base { incarnation, base } => self.base_told(now, from, incarnation, base),
            Message::NoSuch {
                incarnation,
                first,
                last,
            } => {
                let life = Life {
                    peer: from,
                    incarnation,
                };
                self.hold.there_are_none(now, Gap { life, first, last });
            }
        }
    }

    fn period(&mut self, now: Time, out: &mut Out<P>) {
        out.push(Output::SetTimer {
            id: Timer::Period,
            after: self.config.period(),
        });
        self.barrier.forget(now);
        self.ask_have(now, out);
        let forget_after = self.config.forget_after;
        self.outgoing.retain(|_, outgoing| {
            outgoing.len() > 0 || now.since(outgoing.used) < forget_after * 2
        });
        if now.since(Time::ZERO) > forget_after {
            let micros = u64::try_from(forget_after.as_micros()).unwrap_or(u64::MAX);
            let since = Time::from_micros(now.as_micros() - micros);
            self.hold.forget(since, |_| false);
            let hold = &self.hold;
            self.missed.retain(|life, _| hold.knows(life));
        }
    }

    /// Says to the application that a message will not be delivered, or may not have been.
    fn give_back(&mut self, to: P, number: u64, why: Refusal, out: &mut Out<P>) {
        if let Some(message) = self.end(to, number) {
            self.counters.given_back += 1;
            let payload = message.payload;
            let command = Command::Relay { to, payload };
            out.push(Output::Event(Event::Refused { command, why }));
        }
    }

    /// A message is under way no more.
    fn end(&mut self, to: P, number: u64) -> Option<Unacked<P>> {
        let outgoing = self.outgoing.get_mut(&to)?;
        let message = outgoing.take(number)?;
        self.due.remove(&(message.due, to, number));
        self.bytes -= message.payload.len();
        let settled = outgoing.base() - 1;
        self.barrier.settled(to, settled);
        Some(message)
    }
}

impl<P: Peer> Protocol<P> for CausalUnicast<P> {
    type Message = Message<P>;
    type Timer = Timer;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        _random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Start => out.push(Output::SetTimer {
                id: Timer::Period,
                after: self.config.period(),
            }),
            Input::Received { from, message } => self.received(now, from, message, out),
            Input::Timer(Timer::Period) => self.period(now, out),
            Input::Timer(Timer::Resend) => self.resend_due(now, out),
            Input::Timer(Timer::Look) => self.look(now, out),
            Input::Command(command) => self.command(now, command, out),
            Input::Below(event) => out.push(Output::Event(event)),
            // Lanes are the overlay's; what a congested one drops is sent again.
            Input::PeerUp(_) | Input::PeerDown { .. } | Input::Congested(_) | Input::Drained(_) => {
            }
        }
        self.tell(now, out);
        self.acknowledge(out);
        self.resend_later(now, out);
        self.look_later(now, out);
    }
}
