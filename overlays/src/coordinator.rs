//! The local coordinator: the one member that all who reach each other agree on.
//!
//! A layer above [`crate::membership`]. Among the members that this node counts as live, itself
//! included, it is the one of the least identity: no message, no vote, and nodes with equal views name
//! the same. In a partition each side has its own. It is a hint for who does a thing that does no harm
//! when two do it; what must not happen twice needs consensus.
//!
//! Owns the set of live members as it was told of them; must never decide who is live.

use std::collections::BTreeSet;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Input, InputOf, Output, OutputOf, Peer, Protocol};
use crate::message::{self, DecodeError};
use crate::time::Time;

/// A layer that sends nothing: there is no message, and no timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nothing {}

impl message::Message for Nothing {
    const BYTES_MAX: usize = 0;

    fn validate(&self) -> Result<(), DecodeError> {
        match *self {}
    }
}

/// The coordinator as one node sees it.
#[derive(Debug)]
pub struct Coordinator<P> {
    /// This node, and the members that are up. As many as the membership below has at most.
    live: BTreeSet<P>,
    told: Option<P>,
}

impl<P: Peer> Coordinator<P> {
    /// Of a node that knows only itself.
    #[must_use]
    pub fn new(me: P) -> Self {
        Self {
            live: BTreeSet::from([me]),
            told: None,
        }
    }

    /// Who coordinates those that this node reaches. None before the start.
    #[must_use]
    pub const fn coordinator(&self) -> Option<P> {
        self.told
    }

    fn tell_if_changed(&mut self, out: &mut Vec<OutputOf<Self, P>>) {
        let least = self.live.first().copied();
        if least != self.told
            && let Some(coordinator) = least
        {
            self.told = least;
            out.push(Output::Event(Event::Coordinator(coordinator)));
        }
    }
}

impl<P: Peer> Protocol<P> for Coordinator<P> {
    type Message = Nothing;
    type Timer = Nothing;

    fn handle<R: Rng>(
        &mut self,
        _now: Time,
        input: InputOf<Self, P>,
        _random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Below(event) => {
                match &event {
                    Event::MemberUp(peer) => {
                        self.live.insert(*peer);
                    }
                    Event::MemberDown(peer) | Event::MemberLeft(peer) => {
                        self.live.remove(peer);
                    }
                    _ => {}
                }
                // First what happened, then what follows from it.
                out.push(Output::Event(event));
            }
            Input::Command(command) => out.push(Output::Below(command)),
            Input::Received { message, .. } | Input::Timer(message) => match message {},
            Input::Start
            | Input::PeerUp(_)
            | Input::PeerDown { .. }
            | Input::Congested(_)
            | Input::Drained(_) => {}
        }
        self.tell_if_changed(out);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn told(coordinator: &mut Coordinator<u32>, event: Event<u32>) -> Option<u32> {
        let mut out = Vec::new();
        let mut random = SmallRng::seed_from_u64(1);
        let input = Input::Below(event.clone());
        coordinator.handle(Time::ZERO, input, &mut random, &mut out);
        assert_eq!(out[0], Output::Event(event), "the event itself goes on");
        match out.get(1) {
            Some(Output::Event(Event::Coordinator(peer))) => Some(*peer),
            _ => None,
        }
    }

    #[test]
    fn it_is_the_least_of_those_that_live() {
        let mut coordinator = Coordinator::new(5);
        let mut out = Vec::new();
        let mut random = SmallRng::seed_from_u64(1);
        coordinator.handle(Time::ZERO, Input::Start, &mut random, &mut out);
        assert_eq!(
            out,
            [Output::Event(Event::Coordinator(5))],
            "of itself at first"
        );
        assert_eq!(told(&mut coordinator, Event::MemberUp(7)), None);
        assert_eq!(told(&mut coordinator, Event::MemberUp(3)), Some(3));
        assert_eq!(told(&mut coordinator, Event::MemberUp(2)), Some(2));
        assert_eq!(told(&mut coordinator, Event::MemberSuspect(2)), None);
        assert_eq!(told(&mut coordinator, Event::MemberDown(3)), None);
        assert_eq!(told(&mut coordinator, Event::MemberLeft(2)), Some(5));
        assert_eq!(coordinator.coordinator(), Some(5));
    }
}
