//! Messages to one node from sending to acknowledgement, or until they are given up.
//!
//! Owned by causal unicast, one per receiver. Says when a message is to be sent again, and what has ended
//! how; sends nothing itself.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::config::Config;
use super::message::{Ack, Need};
use crate::estimate::Estimate;
use crate::time::Time;

/// A message that is under way.
#[derive(Clone, Debug)]
pub(super) struct Unacked<P> {
    pub(super) payload: Bytes,
    pub(super) needs: Vec<Need<P>>,
    sent: Time,
    /// How often.
    sends: u32,
    pub(super) due: Time,
    /// Its receiver has it, and holds it back.
    is_held: bool,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was delivered.
    Delivered,
    /// Its receiver had given it up when it came.
    TooLate,
}

/// Messages to one node.
#[derive(Debug)]
pub(super) struct Outgoing<P> {
    /// Messages to it so far.
    pub(super) number: u64,
    /// Life of the receiver, by its acknowledgements; zero before the first.
    pub(super) to_incarnation: u64,
    unacked: BTreeMap<u64, Unacked<P>>,
    pub(super) bytes: usize,
    round_trip: Estimate,
    /// When something was sent last.
    pub(super) used: Time,
}

impl<P: Copy> Outgoing<P> {
    pub(super) const fn new() -> Self {
        Self {
            number: 0,
            to_incarnation: 0,
            unacked: BTreeMap::new(),
            bytes: 0,
            round_trip: Estimate::new(),
            used: Time::ZERO,
        }
    }

    /// Messages under way.
    pub(super) fn len(&self) -> usize {
        self.unacked.len()
    }

    /// The least number under way; the next one if none is.
    pub(super) fn base(&self) -> u64 {
        let first = self.unacked.keys().next();
        first.copied().unwrap_or(self.number + 1)
    }

    /// Takes in the next message, to be sent now. Its number.
    pub(super) fn push(
        &mut self,
        now: Time,
        payload: Bytes,
        needs: Vec<Need<P>>,
        config: &Config,
    ) -> u64 {
        self.number += 1;
        self.used = now;
        self.bytes += payload.len();
        let message = Unacked {
            payload,
            needs,
            sent: now,
            sends: 1,
            due: now + self.timeout(1, false, config),
            is_held: false,
        };
        self.unacked.insert(self.number, message);
        self.number
    }

    /// A message under way.
    pub(super) fn get(&self, number: u64) -> Option<&Unacked<P>> {
        self.unacked.get(&number)
    }

    /// Those under way of a range.
    pub(super) fn of(&self, first: u64, last: u64) -> impl Iterator<Item = u64> {
        let range = self.unacked.range(first..=last.max(first));
        range.map(|(number, _)| *number)
    }

    /// A message is sent once more. False if its time is over: then it is to be given up.
    pub(super) fn again(&mut self, now: Time, number: u64, config: &Config) -> bool {
        let sends = match self.unacked.get(&number) {
            Some(message) => message.sends.saturating_add(1),
            None => return false,
        };
        let is_held = self
            .unacked
            .get(&number)
            .is_some_and(|message| message.is_held);
        let timeout = self.timeout(sends, is_held, config);
        let Some(message) = self.unacked.get_mut(&number) else {
            return false;
        };
        let lasts = if is_held {
            config.outstanding_max()
        } else {
            config.give_up_after
        };
        let age = now.since(message.sent);
        if age >= lasts {
            return false;
        }
        message.sends = sends;
        message.due = now + timeout.min(lasts - age);
        self.used = now;
        true
    }

    /// Takes a message out. None if it is not under way.
    pub(super) fn take(&mut self, number: u64) -> Option<Unacked<P>> {
        let message = self.unacked.remove(&number)?;
        self.bytes -= message.payload.len();
        Some(message)
    }

    /// An acknowledgement came: which messages have ended, and how. Those that are held now are not sent
    /// again for a while: their new times.
    pub(super) fn acknowledged(
        &mut self,
        now: Time,
        ack: &Ack,
        config: &Config,
    ) -> (Vec<(u64, End)>, Vec<u64>) {
        let ended = self.unacked.range(..=ack.count).map(|(number, _)| {
            let is_missed = |(first, last): &(u64, u64)| (*first..=*last).contains(number);
            let end = if ack.missed.iter().any(is_missed) {
                End::TooLate
            } else {
                End::Delivered
            };
            (*number, end)
        });
        let ended: Vec<(u64, End)> = ended.collect();
        let news = ack.held.iter().filter(|number| {
            let message = self.unacked.get(number);
            **number > ack.count && message.is_some_and(|message| !message.is_held)
        });
        let held: Vec<u64> = news.copied().collect();
        let first_told = ended
            .iter()
            .map(|(number, _)| *number)
            .chain(held.iter().copied());
        for number in first_told.collect::<Vec<u64>>() {
            let message = self.unacked.get(&number);
            // Karn's rule: of a message that was sent twice nobody knows which copy was answered.
            if let Some(message) = message.filter(|message| message.sends == 1 && !message.is_held)
            {
                self.round_trip.add(now.since(message.sent));
            }
        }
        for number in &held {
            if let Some(message) = self.unacked.get_mut(number) {
                message.is_held = true;
                message.due = now + config.timeout_max;
            }
        }
        (ended, held)
    }

    fn timeout(&self, sends: u32, is_held: bool, config: &Config) -> Duration {
        if is_held {
            return config.timeout_max;
        }
        let first = self.round_trip.late_after();
        let first = first.map_or(config.first_timeout, |late| late.max(config.timeout_min));
        let doubled = first.saturating_mul(2_u32.saturating_pow(sends.saturating_sub(1)));
        doubled.min(config.timeout_max)
    }
}
