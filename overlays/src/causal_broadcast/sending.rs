//! Sending: what a message needs is put in front of it; and what becomes of one that is refused below.

use super::kept::Broadcast;
use super::message::{WORDS_BYTES_MAX, Words};
use super::{CausalBroadcast, Out};
use crate::event::{Command, Event, Output, Peer, Refusal};
use crate::hold_back::Count;
use crate::payload::{HEAD_BYTES_MAX, Payload};

impl<P: Peer> CausalBroadcast<P> {
    pub(super) fn command(&mut self, command: Command<P>, out: &mut Out<P>) {
        let refusal = match &command {
            Command::Broadcast(payload) => command.check_size().and_then(|()| {
                let (bytes, bytes_max) = (payload.words().len(), HEAD_BYTES_MAX - WORDS_BYTES_MAX);
                if bytes > bytes_max {
                    return Err(Refusal::TooLarge { bytes, bytes_max });
                }
                Ok(())
            }),
            _ => Ok(()),
        };
        match (refusal, command) {
            (Err(why), command) => out.push(Output::Event(Event::Refused { command, why })),
            (Ok(()), Command::Broadcast(payload)) => self.broadcast(payload, out),
            (Ok(()), command) => out.push(Output::Below(command)),
        }
    }

    /// Sends a message with what it needs. Needs that find no room go ahead, in broadcasts of their own.
    fn broadcast(&mut self, payload: Payload, out: &mut Out<P>) {
        let needs = std::mem::take(&mut self.needs).into_iter();
        let needs: Vec<Count<P>> = needs.map(|(life, count)| Count { life, count }).collect();
        let mut lists = Words::split(&needs);
        let last = lists.pop().unwrap_or_default();
        for needs in lists {
            self.counters.needs_only += 1;
            self.send(needs, false, Payload::default(), out);
        }
        self.send(last, true, payload, out);
    }

    fn send(&mut self, needs: Vec<Count<P>>, is_message: bool, payload: Payload, out: &mut Out<P>) {
        self.number += 1;
        self.clock = self.clock.saturating_add(1);
        let words = Words {
            incarnation: self.me.incarnation,
            number: self.number,
            stamp: self.clock,
            needs,
        };
        let before = payload.words().len();
        let marked = words.mark(is_message, payload.clone());
        self.counters.sent += 1;
        self.counters.words_bytes += (marked.words().len() - before) as u64;
        let broadcast = Broadcast {
            stamp: words.stamp,
            needs: words.needs,
            is_message,
            hops: 0,
            payload,
        };
        self.kept.insert((self.me, self.number), broadcast);
        out.push(Output::Below(Command::Broadcast(marked)));
    }

    /// A broadcast of this node was refused below. If it is the last, its number is free again;
    /// otherwise what stands for it is a broadcast that brings nothing, which others will ask for.
    pub(super) fn refused(&mut self, payload: Payload, why: Refusal, out: &mut Out<P>) {
        let Some((words, is_message, payload)) = Words::unmark(payload) else {
            self.counters.malformed += 1;
            return;
        };
        let key = (self.me, words.number);
        self.kept.remove(&key);
        if words.number == self.number {
            self.number -= 1;
            for need in words.needs {
                let count = self.needs.entry(need.life).or_default();
                *count = need.count.max(*count);
            }
        } else {
            let instead = Broadcast {
                stamp: words.stamp,
                needs: words.needs,
                is_message: false,
                hops: 0,
                payload: Payload::default(),
            };
            self.kept.insert(key, instead);
        }
        if is_message {
            let command = Command::Broadcast(payload);
            out.push(Output::Event(Event::Refused { command, why }));
        }
    }
}
