//! Sending, sending again, and what becomes of it.

use bytes::Bytes;

use super::message::{Ack, Data, Message};
use super::outgoing::{End, Outgoing};
use super::{CausalUnicast, Out, Timer};
use crate::event::{Command, Event, Output, Peer, Refusal};
use crate::message::encode_part;
use crate::time::Time;

impl<P: Peer> CausalUnicast<P> {
    /// Sends a message of the application, if there is room for it.
    pub(super) fn relay(
        &mut self,
        now: Time,
        to: P,
        payload: &Bytes,
        out: &mut Out<P>,
    ) -> Result<(), Refusal> {
        let command = Command::Relay {
            to,
            payload: payload.clone(),
        };
        command.check_size()?;
        if to == self.me.peer {
            out.push(Output::Event(Event::Relayed {
                from: to,
                payload: payload.clone(),
            }));
            return Ok(());
        }
        self.check_room(to, payload.len())?;
        let needs = self.barrier.needs(now).ok_or(Refusal::Busy)?;
        let outgoing = self.outgoing.entry(to).or_insert_with(Outgoing::new);
        self.counters.sent += 1;
        self.counters.needs_bytes += encode_part(&needs).len() as u64;
        let number = outgoing.push(now, payload.clone(), needs, &self.config);
        if let Some(message) = outgoing.get(number) {
            self.due.insert((message.due, to, number));
        }
        self.bytes += payload.len();
        self.barrier.sent(now, to, number);
        self.send(to, number, out);
        Ok(())
    }

    fn check_room(&self, to: P, bytes: usize) -> Result<(), Refusal> {
        let config = &self.config;
        let (under_way, bytes_under_way) = match self.outgoing.get(&to) {
            Some(outgoing) => (outgoing.len(), outgoing.bytes),
            None if self.outgoing.len() >= config.receivers_max => {
                return Err(Refusal::TooMany {
                    most: config.receivers_max,
                });
            }
            None => (0, 0),
        };
        let is_full = under_way >= config.window_messages_max
            || bytes_under_way + bytes > config.window_bytes_max
            || self.due.len() >= config.messages_max
            || self.bytes + bytes > config.bytes_max;
        if is_full { Err(Refusal::Busy) } else { Ok(()) }
    }

    /// Sends a message, or asks for whom it is if that is not known.
    fn send(&self, to: P, number: u64, out: &mut Out<P>) {
        let Some(outgoing) = self.outgoing.get(&to) else {
            return;
        };
        let incarnation = self.me.incarnation;
        if outgoing.to_incarnation == 0 {
            if number == outgoing.base() {
                let message = Message::Hello { incarnation };
                out.push(Output::Send { to, message });
            }
            return;
        }
        let Some(message) = outgoing.get(number) else {
            return;
        };
        let data = Data {
            incarnation,
            to_incarnation: outgoing.to_incarnation,
            number,
            base: outgoing.base(),
            needs: message.needs.clone(),
            payload: message.payload.clone(),
        };
        out.push(Output::Send {
            to,
            message: Message::Data(data),
        });
    }

    /// Sends again what was not acknowledged in time, and gives back what was not for too long.
    pub(super) fn resend_due(&mut self, now: Time, out: &mut Out<P>) {
        if self.armed.is_some_and(|armed| armed > now) {
            return;
        }
        self.armed = None;
        while let Some((due, to, number)) = self.due.first().copied() {
            if due > now {
                return;
            }
            self.again(now, to, number, out);
        }
    }

    fn again(&mut self, now: Time, to: P, number: u64, out: &mut Out<P>) {
        let Some(outgoing) = self.outgoing.get_mut(&to) else {
            return;
        };
        let before = outgoing.get(number).map(|message| message.due);
        if !outgoing.again(now, number, &self.config) {
            return self.give_back(to, number, Refusal::Unacknowledged, out);
        }
        let after = outgoing.get(number).map(|message| message.due);
        if let (Some(before), Some(after)) = (before, after) {
            self.due.remove(&(before, to, number));
            self.due.insert((after, to, number));
        }
        self.counters.resent += 1;
        self.send(to, number, out);
    }

    /// Sets the timer for the next message to be sent again, if it is not set early enough.
    pub(super) fn resend_later(&mut self, now: Time, out: &mut Out<P>) {
        let Some((due, _, _)) = self.due.first() else {
            return;
        };
        if self.armed.is_none_or(|armed| armed > *due) {
            self.armed = Some(*due);
            out.push(Output::SetTimer {
                id: Timer::Resend,
                after: due.since(now),
            });
        }
    }

    pub(super) fn acknowledged(&mut self, now: Time, from: P, ack: &Ack, out: &mut Out<P>) {
        let Some(outgoing) = self.outgoing.get_mut(&from) else {
            return;
        };
        if ack.incarnation != self.me.incarnation || ack.by_incarnation < outgoing.to_incarnation {
            return;
        }
        if ack.by_incarnation > outgoing.to_incarnation {
            let known = std::mem::replace(&mut outgoing.to_incarnation, ack.by_incarnation);
            return self.new_life(now, from, known, out);
        }
        let dues =
            |outgoing: &Outgoing<P>, number: u64| outgoing.get(number).map(|message| message.due);
        let before: Vec<Option<Time>> = ack
            .held
            .iter()
            .map(|number| dues(outgoing, *number))
            .collect();
        let (ended, held) = outgoing.acknowledged(now, ack, &self.config);
        for (number, before) in ack.held.iter().zip(before) {
            let after = dues(outgoing, *number);
            if let (true, Some(before), Some(after)) = (held.contains(number), before, after) {
                self.due.remove(&(before, from, *number));
                self.due.insert((after, from, *number));
            }
        }
        for (number, end) in ended {
            match end {
                End::Delivered => {
                    if let Some(message) = self.end(from, number) {
                        self.counters.acknowledged += 1;
                        self.barrier.delivered_at(from, &message.needs);
                    }
                }
                End::TooLate => self.give_back(from, number, Refusal::TooLate, out),
            }
        }
    }

    /// A receiver is not the one that was known: what was for that one goes back. If none was known, what
    /// waits can be sent.
    fn new_life(&mut self, now: Time, to: P, known: u64, out: &mut Out<P>) {
        let Some(outgoing) = self.outgoing.get(&to) else {
            return;
        };
        for number in outgoing.of(1, u64::MAX).collect::<Vec<u64>>() {
            if known == 0 {
                self.again(now, to, number, out);
            } else {
                self.give_back(to, number, Refusal::Unacknowledged, out);
            }
        }
    }

    /// Somebody waits for messages of this node to it, or of an earlier life.
    pub(super) fn asked(
        &mut self,
        now: Time,
        from: P,
        incarnation: u64,
        (first, last): (u64, u64),
        out: &mut Out<P>,
    ) {
        let outgoing = self.outgoing.get(&from);
        let outgoing = outgoing.filter(|_| incarnation == self.me.incarnation);
        let (base, number) = match outgoing {
            // Of an earlier life, or forgotten: nothing of it will come.
            None => (last.saturating_add(1), last),
            Some(outgoing) => {
                for number in outgoing.of(first, last).collect::<Vec<u64>>() {
                    self.again(now, from, number, out);
                }
                let outgoing = self.outgoing.get(&from);
                outgoing.map_or((1, last), |outgoing| (outgoing.base(), outgoing.number))
            }
        };
        let message = Message::Base { incarnation, base };
        out.push(Output::Send { to: from, message });
        if number < last {
            let message = Message::NoSuch {
                incarnation,
                first: number + 1,
                last,
            };
            out.push(Output::Send { to: from, message });
        }
    }
}
