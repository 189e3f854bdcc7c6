//! Announcing topics: so that newcomers find a way in, and so that parts which have lost each other
//! notice.
//!
//! Now and then one subscriber announces a topic to all nodes and sends a beacon with the same number
//! within the topic. Who takes part and hears the announcement, but not the beacon, stands apart from
//! the announcer and joins the topic through it; it passes the beacon on in its own part, so that the
//! others there need not. Hearing an announcement puts off one's own, so that all subscribers of a
//! topic together make about one per `announce_every`, however many they are.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::message::News;
use super::{Out, PubSub, Timer};
use crate::event::{Command, Input, Output, Peer, TopicId};
use crate::time::Time;

/// A beacon may take this long through the topic. 2 s: several repairs of its tree.
const BEACON_WAIT_MIN: Duration = Duration::from_secs(2);
/// Who misses it acts at a random time until then, so that the first spares the others the effort.
const BEACON_WAIT_MAX: Duration = Duration::from_secs(10);

/// Least time until a timer that came too early comes again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

impl<P: Peer> PubSub<P> {
    /// Tells all nodes that this one takes part, and those within the topic the beacon's number.
    pub(super) fn announce<R: Rng>(
        &mut self,
        now: Time,
        topic: TopicId,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let beacon: u64 = random.random();
        self.tell_all(&News::Here {
            topic,
            peer: self.me,
            beacon,
        });
        self.beacon_within(topic, beacon);
        let every = self.config.announce_every;
        let Some(subscribed) = self.topics.get_mut(&topic) else {
            return;
        };
        subscribed.saw(beacon);
        let after = if subscribed.is_lonely() {
            let wait = subscribed.lonely_wait;
            subscribed.lonely_wait = (wait * 2).min(every);
            wait.mul_f64(random.random_range(1.0..2.0))
        } else {
            every.mul_f64(random.random_range(1.0..3.0))
        };
        self.announce_in(now, topic, after, out);
    }

    /// Sets the time of the next announcement, and the timer for it.
    fn announce_in(&mut self, now: Time, topic: TopicId, after: Duration, out: &mut Out<P>) {
        if let Some(subscribed) = self.topics.get_mut(&topic) {
            subscribed.announce_at = now + after;
            subscribed.alarm = subscribed.alarm.wrapping_add(1);
            let (life, alarm) = (subscribed.life, subscribed.alarm);
            let id = Timer::Announce { topic, life, alarm };
            out.push(Output::SetTimer { id, after });
        }
    }

    /// The timer of the last announcement ran out; others may have put the next one off.
    pub(super) fn announce_due<R: Rng>(
        &mut self,
        now: Time,
        topic: TopicId,
        alarm: u32,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        match self.topics.get(&topic) {
            Some(subscribed) if subscribed.alarm == alarm => {
                let after = subscribed.announce_at.since(now);
                if after.is_zero() {
                    self.announce(now, topic, random, out);
                } else {
                    self.announce_in(now, topic, after.max(LOOK_AGAIN_AFTER), out);
                }
            }
            _ => {}
        }
    }

    /// News about subscriptions came from somewhere.
    pub(super) fn hear<R: Rng>(
        &mut self,
        now: Time,
        news: News<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let (topic, peer, beacon) = match news {
            News::Here {
                topic,
                peer,
                beacon,
            } if peer != self.me => (topic, peer, beacon),
            News::Gone { topic, peer } => {
                self.contacts.remove(topic, peer);
                return;
            }
            News::Here { .. } => return,
        };
        self.contacts.add(topic, peer, random);
        let every = self.config.announce_every;
        let Some(subscribed) = self.topics.get_mut(&topic) else {
            return;
        };
        if subscribed.is_lonely() {
            let join = Input::Command(Command::Join(peer));
            self.work.push_back((Some(topic), join));
            return;
        }
        subscribed.announce_at = now + every.mul_f64(random.random_range(1.0..3.0));
        if subscribed.expect(beacon, peer) {
            let (least, most) = (BEACON_WAIT_MIN.as_secs_f64(), BEACON_WAIT_MAX.as_secs_f64());
            out.push(Output::SetTimer {
                id: Timer::Check { topic, beacon },
                after: Duration::from_secs_f64(random.random_range(least..most)),
            });
        }
    }

    /// A beacon came within a topic.
    pub(super) fn beacon_came(&mut self, topic: TopicId, payload: &[u8]) {
        match (payload.first_chunk::<8>(), self.topics.get_mut(&topic)) {
            (Some(number), Some(subscribed)) => subscribed.saw(u64::from_le_bytes(*number)),
            (None, _) => self.counters.malformed += 1,
            (Some(_), None) => {}
        }
    }

    /// A beacon that was announced should have come within the topic by now.
    pub(super) fn check_beacon(&mut self, topic: TopicId, beacon: u64) {
        let Some(subscribed) = self.topics.get_mut(&topic) else {
            return;
        };
        let Some(apart) = subscribed.missed(beacon) else {
            return;
        };
        subscribed.saw(beacon);
        let join = Input::Command(Command::Join(apart));
        self.work.push_back((Some(topic), join));
        self.beacon_within(topic, beacon);
    }

    /// A topic's overlay lost a neighbor. Who has none left asks for company soon.
    pub(super) fn neighbor_lost<R: Rng>(
        &mut self,
        now: Time,
        topic: TopicId,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let wait = self.config.lonely_every;
        let Some(subscribed) = self.topics.get_mut(&topic) else {
            return;
        };
        let after = wait.mul_f64(random.random_range(1.0..2.0));
        if !subscribed.is_lonely() || subscribed.announce_at <= now + after {
            return;
        }
        subscribed.lonely_wait = wait;
        self.announce_in(now, topic, after, out);
    }
}
