//! Membership as a layer: what it takes from above and from below, and what it passes on.
//!
//! Its broadcasts share the layer below with those of the application, so each payload begins with
//! one byte that tells whose it is.

use rand::Rng;

use super::message::{News, STATEMENTS_MAX};
use super::{Membership, Out, Source};
use crate::event::{Command, Delivery, Event, Output, Peer};
use crate::message::{decode, encode};
use crate::payload::Payload;
use crate::time::Time;

/// First byte of a broadcast of the application.
const KIND_APPLICATION: u8 = 0;
/// First byte of a broadcast of membership.
pub(super) const KIND_NEWS: u8 = 1;
/// First and only byte of a beacon.
pub(super) const KIND_BEACON: u8 = 2;

impl<P: Peer> Membership<P> {
    pub(super) fn command(&mut self, command: Command<P>, out: &mut Out<P>) {
        if let Err(why) = command.check_size() {
            out.push(Output::Event(Event::Refused { command, why }));
            return;
        }
        match command {
            Command::Broadcast(payload) => {
                let marked = payload.marked(KIND_APPLICATION);
                out.push(Output::Below(Command::Broadcast(marked)));
            }
            Command::SetMetadata(metadata) => self.set_metadata(&metadata),
            Command::Leave => {
                self.leave();
                self.tell_news(out);
                out.push(Output::Below(Command::Leave));
            }
            other => out.push(Output::Below(other)),
        }
    }

    pub(super) fn below<R: Rng>(
        &mut self,
        now: Time,
        event: Event<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        match event {
            Event::NeighborUp(peer) => {
                out.push(Output::Event(event));
                self.detector.neighbor_up(peer, random);
                if self.exchange.is_none() {
                    self.compare_with(now, peer, out);
                }
            }
            Event::NeighborDown(peer) => {
                out.push(Output::Event(event));
                self.detector.neighbor_down(peer);
                self.exchange.take_if(|session| *session.with() == peer);
            }
            Event::Delivered(delivery) if delivery.topic.is_none() => {
                match delivery.payload.clone().unmark() {
                    Some((KIND_APPLICATION, payload)) => {
                        let delivery = Delivery {
                            payload,
                            ..delivery
                        };
                        out.push(Output::Event(Event::Delivered(delivery)));
                    }
                    Some((KIND_NEWS, news)) => match decode::<News<P>>(&news.body) {
                        Ok(News(news)) => {
                            self.apply_all(now, news, Source::Broadcast, out);
                        }
                        Err(_) => self.counters.malformed += 1,
                    },
                    Some((KIND_BEACON, _)) => self.beacon_seen = now,
                    _ => self.counters.malformed += 1,
                }
            }
            Event::Refused {
                command: Command::Broadcast(payload),
                why,
            } => {
                // Own news that was refused comes round by exchange.
                if let Some((KIND_APPLICATION, payload)) = payload.unmark() {
                    let command = Command::Broadcast(payload);
                    out.push(Output::Event(Event::Refused { command, why }));
                }
            }
            other => out.push(Output::Event(other)),
        }
    }

    /// Tells the overlay who is near, as far as the input at hand has changed that.
    pub(super) fn tell_nearness(&mut self, out: &mut Out<P>) {
        let changes = self.nearness.take_changes();
        let orders = changes.map(|(peer, is_near)| Command::Near { peer, is_near });
        out.extend(orders.map(Output::Below));
    }

    /// Broadcasts what the input at hand gave to say.
    pub(super) fn tell_news(&mut self, out: &mut Out<P>) {
        for chunk in std::mem::take(&mut self.news).chunks(STATEMENTS_MAX) {
            let news = Payload::from(encode(&News(chunk.to_vec())));
            let marked = news.marked(KIND_NEWS);
            out.push(Output::Below(Command::Broadcast(marked)));
        }
    }
}
