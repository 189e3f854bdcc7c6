//! Broadcasts of all kinds side by side: plain, epidemic, causal, atomic; each message is of one.
//!
//! A layer over membership, at the top of a node's stack. A plain or epidemic payload is the business of the
//! broadcast below, a causal one goes through [`crate::causal_broadcast`], an atomic one through
//! [`crate::atomic_broadcast`]. It only tells them apart, by one byte in front of what is broadcast; it holds no
//! rule of its own. A node that never uses causal or atomic broadcast has none of their timers.

use rand::Rng;

use crate::atomic_broadcast::{self, AtomicBroadcast};
use crate::causal_broadcast::{self, CausalBroadcast};
use crate::event::{Command, Delivery, Event, Input, InputOf, Output, OutputOf, Peer, Protocol};
use crate::payload::Payload;
use crate::stack::{Half, Stack};
use crate::store::MessageId;
use crate::time::Time;

#[cfg(test)]
mod tests;

/// First byte of a broadcast in no order.
const KIND_UNORDERED: u8 = 0;
/// First byte of a broadcast of the causal layer.
const KIND_CAUSAL: u8 = 1;

/// Settings of one node. All nodes of a cluster should have the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Of causal broadcast.
    pub causal: causal_broadcast::Config,
    /// Of atomic broadcast.
    pub atomic: atomic_broadcast::Config,
}

type Ordered<P> = Stack<CausalBroadcast<P>, AtomicBroadcast<P>>;

/// Messages between the layers of several nodes; broadcasts are not among them.
pub type Message<P> = Half<causal_broadcast::Message<P>, atomic_broadcast::Message<P>>;
/// Their timers.
pub type Timer = Half<causal_broadcast::Timer, atomic_broadcast::Look>;

type Out<P> = Vec<Output<P, Message<P>, Timer>>;

/// The kinds of broadcast of one node.
#[derive(Debug)]
pub struct BroadcastKinds<P> {
    ordered: Ordered<P>,
    malformed: u64,
}

impl<P: Peer> BroadcastKinds<P> {
    /// A node in this life, which has sent and delivered nothing. `incarnation` as for
    /// [`crate::membership::Membership::new`].
    #[must_use]
    pub fn new(me: P, incarnation: u64, config: Config) -> Self {
        let causal = CausalBroadcast::new(me, incarnation, config.causal);
        let atomic = AtomicBroadcast::new(me, incarnation, config.atomic);
        Self {
            ordered: Stack::new(causal, atomic),
            malformed: 0,
        }
    }

    /// The last atomic broadcast of this node.
    #[must_use]
    pub const fn last_atomic(&self) -> Option<MessageId> {
        self.ordered.upper.last_sent()
    }

    /// Causal messages that are held back now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.ordered.lower.held()
    }

    /// Broadcasts that were not understood.
    #[must_use]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        self.ordered.lower.check()?;
        self.ordered.upper.check()
    }

    /// Gives the ordered kinds an input. What they broadcast is marked as theirs, and what of theirs was refused is
    /// named as it was ordered.
    fn ordered<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Ordered<P>, P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let mut inner = Vec::new();
        self.ordered.handle(now, input, random, &mut inner);
        out.extend(inner.into_iter().map(|output| match output {
            Output::Below(Command::Broadcast(payload)) => {
                Output::Below(Command::Broadcast(payload.marked(KIND_CAUSAL)))
            }
            Output::Event(Event::Refused {
                command: Command::Broadcast(payload),
                why,
            }) => Output::Event(Event::Refused {
                command: Command::CausalBroadcast(payload),
                why,
            }),
            other => other,
        }));
    }

    fn command<R: Rng>(
        &mut self,
        now: Time,
        command: Command<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        if let Err(why) = command.check_size() {
            out.push(Output::Event(Event::Refused { command, why }));
            return;
        }
        match command {
            Command::Broadcast(payload) => {
                let marked = payload.marked(KIND_UNORDERED);
                out.push(Output::Below(Command::Broadcast(marked)));
            }
            Command::CausalBroadcast(payload) => {
                let broadcast = Input::Command(Command::Broadcast(payload));
                self.ordered(now, broadcast, random, out);
            }
            other => self.ordered(now, Input::Command(other), random, out),
        }
    }

    fn below<R: Rng>(&mut self, now: Time, event: Event<P>, random: &mut R, out: &mut Out<P>) {
        match event {
            Event::Delivered(delivery) if delivery.topic.is_none() => {
                self.arrived(now, delivery, random, out);
            }
            Event::Refused {
                command: Command::Broadcast(payload),
                why,
            } => match payload.unmark() {
                Some((KIND_CAUSAL, payload)) => {
                    let command = Command::Broadcast(payload);
                    let refused = Event::Refused { command, why };
                    self.ordered(now, Input::Below(refused), random, out);
                }
                Some((_, payload)) => {
                    let command = Command::Broadcast(payload);
                    out.push(Output::Event(Event::Refused { command, why }));
                }
                None => self.malformed += 1,
            },
            other => self.ordered(now, Input::Below(other), random, out),
        }
    }

    fn arrived<R: Rng>(
        &mut self,
        now: Time,
        delivery: Delivery<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let with = |payload: Payload| {
            Event::Delivered(Delivery {
                payload,
                ..delivery.clone()
            })
        };
        match delivery.payload.clone().unmark() {
            Some((KIND_UNORDERED, payload)) => out.push(Output::Event(with(payload))),
            Some((KIND_CAUSAL, payload)) => {
                self.ordered(now, Input::Below(with(payload)), random, out);
            }
            _ => self.malformed += 1,
        }
    }
}

impl<P: Peer> Protocol<P> for BroadcastKinds<P> {
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
            Input::Command(command) => self.command(now, command, random, out),
            Input::Below(event) => self.below(now, event, random, out),
            input => self.ordered(now, input, random, out),
        }
    }
}
