//! Receiving: holding back, acknowledging, asking for what is missing and giving it up.

use bytes::Bytes;

use super::message::{Ack, Data, Message, Need, RANGES_MAX};
use super::{CausalUnicast, Out, Timer};
use crate::event::{Event, Output, Peer};
use crate::hold_back::{Count, Gap, Life, Offer, Step};
use crate::time::Time;

/// What is held of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item<P> {
    needs: Vec<Need<P>>,
    payload: Bytes,
}

/// Most gaps asked for at once.
const GAPS_MAX: usize = 64;
/// A held message's gaps are asked for when a 32nd of the longest wait is over, then after twice that, four
/// times in all.
const ASK_PARTS: u32 = 32;

impl<P: Peer> CausalUnicast<P> {
    pub(super) fn data(&mut self, now: Time, from: P, data: Data<P>) {
        let life = Life {
            peer: from,
            incarnation: data.incarnation,
        };
        self.owed.insert(life);
        if data.to_incarnation != self.me.incarnation {
            // For another life of this node: its sender hears of this one.
            return;
        }
        let before = Count {
            life,
            count: data.base - 1,
        };
        if self.hold.knows(&life) {
            self.hold.will_not_come(now, before);
        } else {
            self.hold.begin_at(now, before);
        }
        if let Some(missed) = self.missed.get_mut(&life) {
            missed.retain(|(_, last)| *last >= data.base);
        }
        let here = data.needs.iter().filter(|need| need.to == self.me.peer);
        let here: Vec<Count<P>> = here.map(|need| need.of).collect();
        let bytes = data.payload.len();
        let item = Item {
            needs: data.needs,
            payload: data.payload,
        };
        let key = (life, data.number);
        match self.hold.offer(now, key, 0, &here, bytes, item) {
            Offer::Taken => {}
            Offer::Again | Offer::Late | Offer::Closed => self.counters.late += 1,
        }
    }

    pub(super) fn base_told(&mut self, now: Time, from: P, incarnation: u64, base: u64) {
        let life = Life {
            peer: from,
            incarnation,
        };
        if self.hold.knows(&life) || self.hold.is_waited_for(&life) {
            let count = base.saturating_sub(1);
            self.hold.will_not_come(now, Count { life, count });
        }
    }

    /// Tells what became of messages since the last input.
    pub(super) fn tell(&mut self, now: Time, out: &mut Out<P>) {
        for step in self.hold.take_steps() {
            match step {
                Step::Deliver { key, item, .. } => {
                    let (life, _) = key;
                    self.owed.insert(life);
                    self.barrier.delivered(now, life, &item.needs);
                    out.push(Output::Event(Event::Relayed {
                        from: life.peer,
                        payload: item.payload,
                    }));
                }
                Step::Missed(gap) => self.missed(gap, out),
            }
        }
    }

    fn missed(&mut self, gap: Gap<P>, out: &mut Out<P>) {
        let Gap { life, first, last } = gap;
        let missed = (last - first).saturating_add(1);
        self.counters.missed = self.counters.missed.saturating_add(missed);
        let ranges = self.missed.entry(life).or_default();
        ranges.push((first, last));
        if ranges.len() > RANGES_MAX {
            ranges.remove(0);
        }
        out.push(Output::Event(Event::Missed {
            sender: life.peer,
            incarnation: life.incarnation,
            first,
            last,
        }));
    }

    /// Tells senders what this node has of theirs.
    pub(super) fn acknowledge(&mut self, out: &mut Out<P>) {
        for life in std::mem::take(&mut self.owed) {
            let ack = Ack {
                incarnation: life.incarnation,
                by_incarnation: self.me.incarnation,
                count: self.hold.have(&life),
                held: self.hold.held_of(&life).take(RANGES_MAX).collect(),
                missed: self.missed.get(&life).cloned().unwrap_or_default(),
            };
            out.push(Output::Send {
                to: life.peer,
                message: Message::Ack(ack),
            });
        }
    }

    /// Asks for what held messages need, and gives up what they waited for long enough.
    pub(super) fn look(&mut self, now: Time, out: &mut Out<P>) {
        self.is_looking = false;
        let wait_max = u64::try_from(self.config.wait_max.as_micros()).unwrap_or(u64::MAX);
        if let Some(since) = now.as_micros().checked_sub(wait_max) {
            self.hold.give_up_older(now, Time::from_micros(since));
        }
        let ask_after = self.config.wait_max / ASK_PARTS;
        let wanting = self.hold.wanting(now, ask_after, GAPS_MAX);
        for gap in wanting.into_iter().flat_map(|wanting| wanting.gaps) {
            let Gap { life, first, last } = gap;
            if life.peer == self.me.peer {
                continue;
            }
            self.counters.asked += 1;
            out.push(Output::Send {
                to: life.peer,
                message: Message::Ask {
                    incarnation: life.incarnation,
                    first,
                    last,
                },
            });
        }
    }

    /// Sets the timer for the next look, if anything is held and it is not set.
    pub(super) fn look_later(&mut self, now: Time, out: &mut Out<P>) {
        let Some(oldest) = self.hold.oldest().filter(|_| !self.is_looking) else {
            return;
        };
        let end = oldest + self.config.wait_max;
        let ask = self.hold.next_ask(self.config.wait_max / ASK_PARTS);
        let next = ask.map_or(end, |ask| ask.min(end));
        self.is_looking = true;
        out.push(Output::SetTimer {
            id: Timer::Look,
            // Not at once: what is due now has just been looked at.
            after: next.since(now).max(self.config.wait_max / 1_000),
        });
    }

    /// Asks nodes for messages of others that they may not have, as far as that is known here.
    pub(super) fn ask_have(&mut self, now: Time, out: &mut Out<P>) {
        for (to, counts) in self.barrier.to_ask(now) {
            self.counters.pairs_asked += 1;
            let message = Message::Have { counts };
            out.push(Output::Send { to, message });
        }
    }

    /// Says what this node has delivered, or passed over, of what it was asked about.
    pub(super) fn answer_have(&self, to: P, mut counts: Vec<Count<P>>, out: &mut Out<P>) {
        counts.retain(|count| self.hold.have(&count.life) >= count.count);
        if !counts.is_empty() {
            let message = Message::Settled { counts };
            out.push(Output::Send { to, message });
        }
    }
}
