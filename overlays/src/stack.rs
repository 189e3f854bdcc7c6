//! One protocol on top of another: a layer over an overlay, or over another stack.
//!
//! A stack is itself a protocol, so `Stack<Stack<HyParView, Plumtree>, Membership>` is one too. It
//! carries events up and commands down at once, in order, until nothing is left to carry, and wraps
//! messages and timers so that each comes back to the half that made it. It holds no rule of its own.

use std::collections::VecDeque;

use bytes::Bytes;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::event::{Command, Event, Input, InputOf, Output, OutputOf, Overlay, Peer, Protocol};
use crate::message::{DecodeError, Message};
use crate::time::Time;

/// What belongs to the lower or the upper half of a stack: a message or a timer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Half<L, U> {
    /// Of the lower half.
    Lower(L),
    /// Of the upper half.
    Upper(U),
}

impl<L: Message, U: Message> Message for Half<L, U> {
    const BYTES_MAX: usize = 1 + if L::BYTES_MAX > U::BYTES_MAX {
        L::BYTES_MAX
    } else {
        U::BYTES_MAX
    };

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Lower(message) => message.validate(),
            Self::Upper(message) => message.validate(),
        }
    }

    fn tail(&self) -> Bytes {
        match self {
            Self::Lower(message) => message.tail(),
            Self::Upper(message) => message.tail(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match self {
            Self::Lower(message) => message.attach(tail),
            Self::Upper(message) => message.attach(tail),
        }
    }
}

/// `upper` on top of `lower`.
#[derive(Debug)]
pub struct Stack<L, U> {
    /// The protocol below: the overlay, or a stack with the overlay at its bottom.
    pub lower: L,
    /// The layer above.
    pub upper: U,
}

impl<L, U> Stack<L, U> {
    /// Puts `upper` on top of `lower`.
    pub const fn new(lower: L, upper: U) -> Self {
        Self { lower, upper }
    }
}

/// What is still to be carried across the middle of a stack.
enum Crossing<P> {
    Up(Event<P>),
    Down(Command<P>),
}

impl<P: Peer, L: Protocol<P>, U: Protocol<P>> Protocol<P> for Stack<L, U> {
    type Message = Half<L::Message, U::Message>;
    type Timer = Half<L::Timer, U::Timer>;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        let mut crossings = VecDeque::new();
        match input {
            Input::Start => {
                self.lower(now, Input::Start, random, out, &mut crossings);
                self.upper(now, Input::Start, random, out, &mut crossings);
            }
            Input::Received {
                from,
                message: Half::Lower(message),
            } => {
                self.lower(
                    now,
                    Input::Received { from, message },
                    random,
                    out,
                    &mut crossings,
                );
            }
            Input::Received {
                from,
                message: Half::Upper(message),
            } => {
                self.upper(
                    now,
                    Input::Received { from, message },
                    random,
                    out,
                    &mut crossings,
                );
            }
            Input::PeerUp(peer) => {
                self.lower(now, Input::PeerUp(peer), random, out, &mut crossings);
            }
            Input::PeerDown { peer, why } => {
                let input = Input::PeerDown { peer, why };
                self.lower(now, input, random, out, &mut crossings);
            }
            Input::Congested(peer) => {
                self.lower(now, Input::Congested(peer), random, out, &mut crossings);
                self.upper(now, Input::Congested(peer), random, out, &mut crossings);
            }
            Input::Drained(peer) => {
                self.lower(now, Input::Drained(peer), random, out, &mut crossings);
                self.upper(now, Input::Drained(peer), random, out, &mut crossings);
            }
            Input::Timer(Half::Lower(id)) => {
                self.lower(now, Input::Timer(id), random, out, &mut crossings);
            }
            Input::Timer(Half::Upper(id)) => {
                self.upper(now, Input::Timer(id), random, out, &mut crossings);
            }
            // Comes only where this stack is itself the upper half of another one.
            Input::Below(event) => {
                self.lower(now, Input::Below(event), random, out, &mut crossings);
            }
            Input::Command(command) => {
                self.upper(now, Input::Command(command), random, out, &mut crossings);
            }
        }
        while let Some(crossing) = crossings.pop_front() {
            match crossing {
                Crossing::Up(event) => {
                    self.upper(now, Input::Below(event), random, out, &mut crossings);
                }
                Crossing::Down(command) => {
                    self.lower(now, Input::Command(command), random, out, &mut crossings);
                }
            }
        }
    }
}

impl<P: Peer, L: Overlay<P>, U: Protocol<P>> Overlay<P> for Stack<L, U> {
    fn neighbors(&self) -> Vec<P> {
        self.lower.neighbors()
    }

    fn next_hop<R: Rng>(&self, to: P, came_from: Option<P>, random: &mut R) -> Option<P> {
        self.lower.next_hop(to, came_from, random)
    }
}

impl<L, U> Stack<L, U> {
    /// Gives the lower half an input; its events cross, all else goes out.
    fn lower<P: Peer, R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<L, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
        crossings: &mut VecDeque<Crossing<P>>,
    ) where
        L: Protocol<P>,
        U: Protocol<P>,
    {
        let mut lower_out = Vec::new();
        self.lower.handle(now, input, random, &mut lower_out);
        for output in lower_out {
            match output {
                Output::Event(event) => crossings.push_back(Crossing::Up(event)),
                other => out.push(other.wrap(Half::Lower, Half::Lower)),
            }
        }
    }

    /// Gives the upper half an input; its commands to what is below cross, all else goes out.
    fn upper<P: Peer, R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<U, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
        crossings: &mut VecDeque<Crossing<P>>,
    ) where
        L: Protocol<P>,
        U: Protocol<P>,
    {
        let mut upper_out = Vec::new();
        self.upper.handle(now, input, random, &mut upper_out);
        for output in upper_out {
            match output {
                Output::Below(command) => crossings.push_back(Crossing::Down(command)),
                other => out.push(other.wrap(Half::Upper, Half::Upper)),
            }
        }
    }
}
