//! Epidemic broadcast: every node sends a message it sees for the first time to some neighbors.
//!
//! No state about links and nothing to repair, at the price of `fan_out` copies per node. A layer over
//! any overlay. With a fan-out as large as the overlay's view it is flooding, which reaches everybody
//! whom the overlay connects.

use bytes::Bytes;
use rand::Rng;
use rand::seq::IteratorRandom;
use serde::{Deserialize, Serialize};

use crate::event::{
    Command, Delivery, Event, Input, InputOf, Output, OutputOf, PAYLOAD_BYTES_MAX, Peer, Protocol,
};
use crate::message::{self, DecodeError};
use crate::payload::Payload;
use crate::store::{MessageId, Numbering, Seen, Store, StoreConfig};
use crate::time::Time;

/// Most hops that a node may ask for.
const TTL_MAX: u16 = 1_024;

/// Settings of [`Epidemic`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Neighbors that each node sends a new message to. 4: the HyParView paper's, one less than its
    /// active view, that is flooding.
    pub fan_out: usize,
    /// Hops that a message may make. 32: a guess, four times what 10,000 nodes need.
    pub ttl: u16,
    /// How much is remembered. Payloads are not kept: nobody asks for them.
    pub store: StoreConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fan_out: 4,
            ttl: 32,
            store: StoreConfig::default(),
        }
    }
}

/// The only message: a payload on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<P> {
    /// Who broadcast it.
    pub sender: P,
    /// Which broadcast.
    pub id: MessageId,
    /// Hops that it took to the sender of this message.
    pub hops: u16,
    /// Hops left.
    pub ttl: u16,
    /// What was broadcast.
    pub payload: Payload,
}

impl<P: Peer> message::Message for Message<P> {
    const BYTES_MAX: usize =
        P::BYTES_MAX + MessageId::BYTES_MAX + 3 + 3 + Payload::HEAD_ENCODED_MAX + PAYLOAD_BYTES_MAX;

    fn tail(&self) -> Bytes {
        self.payload.body.clone()
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        self.payload.body = tail;
        Ok(())
    }

    fn validate(&self) -> Result<(), DecodeError> {
        if self.hops > TTL_MAX || self.ttl > TTL_MAX {
            return Err(DecodeError::Invalid { field: "ttl" });
        }
        self.payload.validate()
    }
}

/// The only timer: old messages can be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Forget;

/// The broadcast state of one node.
#[derive(Debug)]
pub struct Epidemic<P> {
    me: P,
    config: Config,
    neighbors: Vec<P>,
    store: Store<()>,
    numbering: Numbering,
}

impl<P: Peer> Epidemic<P> {
    /// A node without neighbors.
    #[must_use]
    pub const fn new(me: P, config: Config) -> Self {
        Self {
            me,
            config,
            neighbors: Vec::new(),
            store: Store::new(),
            numbering: Numbering::new(),
        }
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        self.store.check(&self.config.store)
    }

    /// Remembers a message and sends it to some neighbors other than `from`.
    fn spread<R: Rng>(
        &mut self,
        now: Time,
        message: &Message<P>,
        from: Option<P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        if self.store.is_empty() {
            out.push(Output::SetTimer {
                id: Forget,
                after: self.config.store.keep_for,
            });
        }
        let seen = Seen {
            hops: message.hops,
            from: None,
            came: now,
            mark: None,
            late: false,
            asked: None,
            content: None,
        };
        self.store.insert(now, message.id, seen, &self.config.store);
        if message.ttl == 0 {
            return;
        }
        let others = self
            .neighbors
            .iter()
            .copied()
            .filter(|peer| Some(*peer) != from);
        let to = others.sample(random, self.config.fan_out);
        if !to.is_empty() {
            out.push(Output::SendAll {
                to,
                message: message.clone(),
            });
        }
    }

    fn received<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        mut message: Message<P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        if self.store.has_seen(message.id) || message.ttl == 0 {
            return;
        }
        message.hops = message.hops.saturating_add(1);
        message.ttl = (message.ttl - 1).min(self.config.ttl);
        let payload = message.payload.clone();
        let delivery = Delivery {
            sender: message.sender,
            id: message.id,
            topic: None,
            payload,
            hops: message.hops,
        };
        out.push(Output::Event(Event::Delivered(delivery)));
        self.spread(now, &message, Some(from), random, out);
    }
}

impl<P: Peer> Protocol<P> for Epidemic<P> {
    type Message = Message<P>;
    type Timer = Forget;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Received { from, message } => self.received(now, from, message, random, out),
            Input::Timer(Forget) => {
                if self.store.tidy(now, &self.config.store) {
                    let after = self.config.store.keep_for;
                    out.push(Output::SetTimer { id: Forget, after });
                }
            }
            Input::Command(command) => match (command.check_size(), command) {
                (Err(why), command) => out.push(Output::Event(Event::Refused { command, why })),
                (Ok(()), Command::Broadcast(payload)) => {
                    let message = Message {
                        sender: self.me,
                        id: self.numbering.next(random),
                        hops: 0,
                        ttl: self.config.ttl,
                        payload,
                    };
                    self.spread(now, &message, None, random, out);
                }
                (Ok(()), command) => out.push(Output::Below(command)),
            },
            Input::Below(event) => {
                match event {
                    Event::NeighborUp(peer) if !self.neighbors.contains(&peer) => {
                        self.neighbors.push(peer);
                    }
                    Event::NeighborDown(peer) => self.neighbors.retain(|known| *known != peer),
                    _ => {}
                }
                out.push(Output::Event(event));
            }
            Input::Start
            | Input::PeerUp(_)
            | Input::PeerDown { .. }
            | Input::Congested(_)
            | Input::Drained(_) => {}
        }
    }
}
