//! Messages that this node's senders have left to be relayed: begun, given up, and settled with what became of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::envelope::{Envelope, Kind, TurnedBack};
use super::super::held::Onward;
use super::{Carrier, Finding, LOOK_EVERY, Open, Turn};
use crate::cluster::identity::NodeId;
use crate::events::Event;
use crate::peer::Peer;
use crate::relay_book::{Offer, RelayEnd};

/// How long a way is looked for. 3 s: a guess, some round trips of a question over all hops.
const FIND_FOR: Duration = Duration::from_secs(3);
/// How long an answer of the receiver is waited for; as long as a channel waits for a peer that is away, by default.
const ANSWER_FOR: Duration = Duration::from_secs(30);

/// The same once the first node on the way is known to be gone: the answer may have taken another way, or be on its last
/// hop. 3 s: a guess, some round trips.
const LATE_ANSWER_FOR: Duration = Duration::from_secs(3);

/// Why a message does not even begin.
const NO_MEMBER: &str = "it was for a node that is no live member of the cluster";
const NOT_ALLOWED: &str = "peers_allowed of the channel does not name the member it was for";
/// Why nobody knows what became of one.
const UNANSWERED: &str = "it went over other nodes, and its receiver did not say that it has it";

impl Carrier {
    pub(super) fn take_offer(&mut self, offer: Offer, turn: &mut Turn<'_>) {
        self.number = self.number.wrapping_add(1);
        self.begin(self.number, offer, turn);
    }

    /// Sends it to the first node on its way, or has a way looked for.
    pub(super) fn begin(&mut self, number: u64, offer: Offer, turn: &mut Turn<'_>) {
        let to = NodeId::of(offer.to.name());
        if let Some(finding) = self.finding.get_mut(&to) {
            finding.waiting.push_back((number, offer));
            return;
        }
        if !turn.driver.is_live_member(offer.to.name()) {
            return self.give_up(&offer, NO_MEMBER, turn);
        }
        let plan = self.fabric.channels.find(&offer.channel);
        if plan.is_some_and(|plan| !plan.admits(offer.to.name())) {
            return self.give_up(&offer, NOT_ALLOWED, turn);
        }
        let Some(next) = turn.driver.way_to(offer.to.name(), turn.now) else {
            turn.finds.push((to, offer.ttl));
            let until = turn.instant + FIND_FOR;
            let waiting = VecDeque::from([(number, offer)]);
            self.finding.insert(to, Finding { until, waiting });
            self.look.get_or_insert(turn.instant + LOOK_EVERY);
            return;
        };
        let envelope = Envelope {
            kind: Kind::Message {
                is_awaited: offer.is_awaited,
            },
            ttl: offer.ttl,
            hops: 0,
            number,
            from: self.me.to_string(),
            to: offer.to.name().to_owned(),
            mailbox: offer.mailbox.to_string(),
            payload: offer.payload.clone(),
        };
        if offer.is_awaited {
            let open = Open {
                to: Arc::clone(&offer.to),
                channel: Arc::clone(&offer.channel),
                bytes: offer.payload.len(),
                until: turn.instant + ANSWER_FOR,
                via: Arc::clone(&next),
            };
            self.open.insert(number, open);
        }
        let lane = (next, Arc::clone(&offer.channel));
        let onward = Onward {
            bytes: envelope.write(),
            envelope,
            came_from: None,
        };
        if !offer.is_awaited {
            // Best effort waits for no room.
            let has_room = !self.held.waits_for(&lane);
            let end = if has_room && self.put_on_lane(&lane, &onward).is_ok() {
                RelayEnd::Sent
            } else {
                RelayEnd::Dropped
            };
            return self.settle(&offer, end);
        }
        if let Some((_, why)) = self.send(&lane, onward, turn) {
            self.answered(number, Some(why), turn);
        }
    }

    /// It surely does not reach its receiver.
    fn give_up(&self, offer: &Offer, why: &'static str, turn: &mut Turn<'_>) {
        self.settle_lost(offer);
        if offer.is_awaited {
            report(&offer.to, &offer.channel, (1, 0), why, &mut turn.events);
        }
    }

    pub(super) fn settle_lost(&self, offer: &Offer) {
        let end = if offer.is_awaited {
            RelayEnd::Reported
        } else {
            RelayEnd::Dropped
        };
        self.settle(offer, end);
    }

    fn settle(&self, offer: &Offer, end: RelayEnd) {
        let bytes = offer.payload.len();
        self.book.settle(offer.to.shared_name(), bytes, end);
    }

    pub(super) fn settle_open(&self, open: &Open, end: RelayEnd) {
        self.book.settle(open.to.shared_name(), open.bytes, end);
    }

    /// The receiver of a message has it, or somebody says why not.
    pub(super) fn answered(&mut self, number: u64, why: Option<TurnedBack>, turn: &mut Turn<'_>) {
        let Some(open) = self.open.remove(&number) else {
            return;
        };
        let end = match why {
            None => RelayEnd::Acknowledged,
            Some(_) => RelayEnd::Reported,
        };
        self.settle_open(&open, end);
        if let Some(why) = why {
            if matches!(why, TurnedBack::NoWay | TurnedBack::TooFar) {
                turn.driver.forget_way(open.to.name());
            }
            report(
                &open.to,
                &open.channel,
                (1, 0),
                why.sentence(),
                &mut turn.events,
            );
        }
    }

    /// A member is down or has left: what went over it has hardly a chance to be answered any more.
    pub(in crate::cluster) fn member_gone(&mut self, member: &str, turn: &Turn<'_>) {
        let until = turn.instant + LATE_ANSWER_FOR;
        for open in self.open.values_mut().filter(|open| *open.via == *member) {
            open.until = open.until.min(until);
        }
    }

    /// Messages that nobody has answered for, and those for which no way was found.
    pub(super) fn look_for_late(&mut self, turn: &mut Turn<'_>) {
        let late = self
            .open
            .extract_if(.., |_, open| open.until <= turn.instant);
        let late: Vec<_> = late.map(|(_, open)| open).collect();
        for open in late {
            turn.driver.forget_way(open.to.name());
            self.settle_open(&open, RelayEnd::Reported);
            report(
                &open.to,
                &open.channel,
                (0, 1),
                UNANSWERED,
                &mut turn.events,
            );
        }
        let found = |_: &NodeId, finding: &mut Finding| finding.until <= turn.instant;
        let lost = self.finding.extract_if(.., found);
        let lost: Vec<_> = lost.flat_map(|(_, finding)| finding.waiting).collect();
        for (_, offer) in lost {
            self.give_up(&offer, TurnedBack::NoWay.sentence(), turn);
        }
    }
}

/// Adds to what is reported in this turn of a member and a channel.
fn report(
    peer: &Arc<Peer>,
    channel: &Arc<str>,
    (undelivered, unknown): (u64, u64),
    why: &'static str,
    events: &mut Vec<Event>,
) {
    if let Some(Event::Reported {
        peer: known,
        channel: on,
        undelivered: so_far,
        unknown: unknown_so_far,
        why: known_why,
    }) = events.last_mut()
        && Arc::ptr_eq(known, peer)
        && on == channel
        && *known_why == why
    {
        *so_far += undelivered;
        *unknown_so_far += unknown;
        return;
    }
    events.push(Event::Reported {
        peer: Arc::clone(peer),
        channel: Arc::clone(channel),
        undelivered,
        unknown,
        why,
    });
}
