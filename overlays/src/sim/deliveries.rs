//! Watches broadcasts: how many nodes each reached, over how many hops, when, at how many copies.
//!
//! A broadcast is told by the number in the first eight bytes of its payload.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::NodeId;
use super::subject::{Observer, Subject};
use crate::event::Event;
use crate::time::Time;

/// A payload that tells its number.
pub(super) fn numbered(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

/// The number that a payload tells.
pub(super) fn number_of(payload: &Bytes) -> Option<u64> {
    payload.first_chunk().copied().map(u64::from_le_bytes)
}

/// What became of one broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Round {
    /// When it was sent, in microseconds of world time.
    pub sent_micros: u64,
    /// Running nodes that should get it: all but its sender.
    pub receivers: u32,
    /// Nodes that delivered it.
    pub delivered: u32,
    /// Messages that carried its payload to a running node.
    pub payloads: u32,
    /// Hops to the node that needed most.
    pub hops_max: u16,
    /// From sending to the last delivery, in microseconds.
    pub last_micros: u64,
}

impl Round {
    /// Relative message redundancy: copies per receiver beyond the first. 0 is a perfect tree.
    #[must_use]
    pub fn redundancy(&self) -> f64 {
        if self.delivered == 0 {
            return 0.0;
        }
        f64::from(self.payloads) / f64::from(self.delivered) - 1.0
    }

    /// Receivers that did not get it.
    #[must_use]
    pub const fn missed(&self) -> u32 {
        self.receivers.saturating_sub(self.delivered)
    }

    /// Share of receivers that got it, in percent.
    #[must_use]
    pub fn reach_percent(&self) -> f64 {
        if self.receivers == 0 {
            return 100.0;
        }
        100.0 * f64::from(self.delivered) / f64::from(self.receivers)
    }

    /// From sending to the last delivery.
    #[must_use]
    pub const fn time_to_last(&self) -> Duration {
        Duration::from_micros(self.last_micros)
    }
}

/// All broadcasts of a world.
#[derive(Debug, Default)]
pub struct Deliveries {
    rounds: Vec<Round>,
    /// Who delivered each of them, one bit a node.
    delivered: Vec<Vec<u64>>,
    neighbor_ups: u64,
}

impl Deliveries {
    /// The broadcasts so far, in the order in which they were sent.
    #[must_use]
    pub fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    /// How often any node has told of a new neighbor: lanes that the overlay had made.
    #[must_use]
    pub const fn neighbor_ups(&self) -> u64 {
        self.neighbor_ups
    }

    /// Begins a round: the payload to broadcast, `bytes` long but at least eight.
    pub(super) fn begin(&mut self, now: Time, receivers: u32, bytes: usize) -> Bytes {
        let mut payload = vec![0; bytes.max(8)];
        payload[..8].copy_from_slice(&(self.rounds.len() as u64).to_le_bytes());
        self.rounds.push(Round {
            sent_micros: now.as_micros(),
            receivers,
            delivered: 0,
            payloads: 0,
            hops_max: 0,
            last_micros: 0,
        });
        payload.into()
    }

    /// Whether this node had delivered it before: it counts once.
    fn is_again(&mut self, node: NodeId, payload: &Bytes) -> bool {
        let round = number_of(payload).and_then(|number| usize::try_from(number).ok());
        let Some(round) = round.filter(|round| *round < self.rounds.len()) else {
            return false;
        };
        if self.delivered.len() <= round {
            self.delivered.resize_with(round + 1, Vec::new);
        }
        let nodes = &mut self.delivered[round];
        let (word, bit) = (node as usize / 64, 1_u64 << (node % 64));
        if nodes.len() <= word {
            nodes.resize(word + 1, 0);
        }
        let again = nodes[word] & bit != 0;
        nodes[word] |= bit;
        again
    }

    fn round_mut(&mut self, payload: &Bytes) -> Option<&mut Round> {
        let number = number_of(payload)?;
        self.rounds.get_mut(usize::try_from(number).ok()?)
    }
}

impl<X: Subject> Observer<X> for Deliveries {
    fn event(&mut self, at: Time, node: NodeId, _state: &X, event: &Event<NodeId>) {
        if matches!(event, Event::NeighborUp(_)) {
            self.neighbor_ups += 1;
        }
        let Event::Delivered(delivery) = event else {
            return;
        };
        if self.is_again(node, &delivery.payload.body) {
            return;
        }
        if let Some(round) = self.round_mut(&delivery.payload.body) {
            round.delivered += 1;
            round.hops_max = round.hops_max.max(delivery.hops);
            round.last_micros = at.as_micros() - round.sent_micros;
        }
    }

    fn payload_received(&mut self, _at: Time, _node: NodeId, payload: &Bytes) {
        if let Some(round) = self.round_mut(payload) {
            round.payloads += 1;
        }
    }
}
