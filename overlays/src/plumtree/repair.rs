//! Repair: messages that were announced and do not come, links that are lost.
//!
//! A node that lacks an announced message waits, then asks the announcers in turn until one delivers.
//! Where the tree is broken asking makes the link eager, so the tree grows together; where a message
//! was lost on its way and those before and after it came, the tree stays as it is.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::links::Push;
use super::message::{ANNOUNCEMENTS_MAX, Announcement, Message};
use super::shortening::Calm;
use super::{Outputs, Plumtree, Timer};
use crate::event::{Output, Peer};
use crate::store::{Look, MessageId};
use crate::time::Time;

/// How often each announcer of a message is asked for it. 6: a guess; at 20 % loss a question or its
/// answer is lost six times in a row once in 450 times, and a neighbor that is asked in vain for so long
/// has forgotten it.
const ASKED_MAX: u8 = 6;

/// How often the latest message of a sender is announced along the tree where messages are lost. 3: a
/// guess; at 10 % loss one in 10,000 is missed by a neighbor that has no other.
const TAIL_TOLD_MAX: u8 = 3;

/// How long after the last loss it is announced so often. 30 s: as [`ANSWERING_MAX`].
const LOSS_LASTS: Duration = Duration::from_secs(30);

/// Most announcers remembered for one message. 16: a guess, three times HyParView's active view.
const ANNOUNCERS_MAX: usize = 16;

/// Most messages that a new neighbor is told of. 1,024: a guess, some seconds of a hundred per second.
const CATCH_UP_MAX: usize = 4 * ANNOUNCEMENTS_MAX;

/// How long a message is waited for at most from a neighbor that sends others meanwhile. 30 s: as long
/// as messages are kept.
const ANSWERING_MAX: Duration = Duration::from_secs(30);

/// The latest message of a sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    announcement: Announcement,
    /// How often it was announced along the tree.
    told: u8,
}

/// Messages that were announced and have not come.
#[derive(Debug)]
pub(super) struct Missing<P> {
    waits: BTreeMap<MessageId, Wait<P>>,
}

#[derive(Debug)]
struct Wait<P> {
    since: Time,
    /// The first announcement was of a message on its normal way.
    in_time: bool,
    /// Somebody was asked, and has until then to answer. A timer is set for just after.
    asked_until: Time,
    /// Who has the message, first announcer first. Kept until it is here.
    announcers: Vec<Announcer<P>>,
    /// So many of the same sender before it have not come either, and are asked for once it is here.
    before: u64,
}

#[derive(Debug)]
struct Announcer<P> {
    peer: P,
    /// How often it was asked, and when last.
    asked: u8,
    at: Time,
}

impl<P: Peer> Wait<P> {
    fn add(&mut self, peer: P) {
        let known = self.announcers.iter().any(|known| known.peer == peer);
        if !known && self.announcers.len() < ANNOUNCERS_MAX {
            self.announcers.push(Announcer {
                peer,
                asked: 0,
                at: Time::ZERO,
            });
        }
    }

    /// A message that `peer` has.
    fn new(now: Time, peer: P, in_time: bool) -> Self {
        let mut wait = Self {
            since: now,
            in_time,
            asked_until: now,
            announcers: Vec::new(),
            before: 0,
        };
        wait.add(peer);
        wait
    }

    /// Gives who was asked time to answer: a hair less than `within`, after which a timer comes.
    fn answer_is_due(&mut self, now: Time, within: Duration) {
        self.asked_until = now + within * 7 / 8;
    }

    /// Asks `peer`, if it has the message and was not asked too often.
    fn ask(&mut self, now: Time, peer: P, within: Duration) -> bool {
        let known = self.announcers.iter_mut().find(|known| known.peer == peer);
        let Some(known) = known.filter(|known| known.asked < ASKED_MAX) else {
            return false;
        };
        known.asked += 1;
        known.at = now;
        self.answer_is_due(now, within);
        true
    }
}

/// How a message that was missing was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Since its first announcement, if that was in time.
    pub(super) announced_for: Option<Duration>,
    /// Since the one who brought it was asked.
    pub(super) asked_for: Option<Duration>,
    /// Somebody was asked for it; milliseconds since its first announcement.
    pub(super) asked: Option<u16>,
}

impl<P: Peer> Missing<P> {
    pub(super) const fn new() -> Self {
        Self {
            waits: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waits.len()
    }

    pub(super) fn has(&self, id: MessageId) -> bool {
        self.waits.contains_key(&id)
    }

    fn first(&self) -> Option<MessageId> {
        self.waits.keys().next().copied()
    }

    /// Ends the wait for a message that `from` brought.
    pub(super) fn found(&mut self, now: Time, id: MessageId, from: P) -> Found {
        if self.waits.is_empty() {
            return Found::default();
        }
        let Some(wait) = self.waits.remove(&id) else {
            return Found::default();
        };
        let mut asked = wait.announcers.iter().filter(|known| known.asked > 0);
        let it = asked.clone().find(|known| known.peer == from);
        Found {
            announced_for: wait.in_time.then(|| now.since(wait.since)),
            asked_for: it
                .filter(|known| known.asked == 1)
                .map(|known| now.since(known.at)),
            asked: asked.next().map(|_| {
                let millis = now.since(wait.since).as_millis();
                u16::try_from(millis).unwrap_or(u16::MAX)
            }),
        }
    }

    /// Of all messages waited for, `first` and those after it first, the ones that `peer` announced and
    /// that nobody is being asked for. It is now.
    fn ask(&mut self, now: Time, first: MessageId, peer: P, within: Duration) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for range in [
            (Bound::Included(first), Bound::Unbounded),
            (Bound::Unbounded, Bound::Excluded(first)),
        ] {
            for (id, wait) in self.waits.range_mut(range) {
                if ids.len() == ANNOUNCEMENTS_MAX {
                    return ids;
                }
                if now >= wait.asked_until && wait.ask(now, peer, within) {
                    ids.push(*id);
                }
            }
        }
        ids
    }
}

/// Whether a node has a link that brings it the messages of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// A message has come, and no eager link was lost since.
    Flowing,
    /// None came yet, or an eager link was lost, which may have been the one.
    Broken,
    /// A neighbor was asked to be the one at this time.
    Asked(Time),
}

/// The share of messages that had to be asked for, of about the last sixteen. A node that is cut off from
/// a part of the tree finds it great if that part is the greater one; so one side of each cut mends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    sixteenths: u16,
}

impl Trouble {
    pub(super) const fn new() -> Self {
        Self { sixteenths: 0 }
    }

    pub(super) const fn note(&mut self, asked: bool) {
        self.sixteenths -= self.sixteenths.div_ceil(16);
        if asked {
            self.sixteenths += 16;
        }
    }

    /// More than a quarter. A guess: in a tree ten links deep that loses 2 % on each link, a fifth of the
    /// messages has to be asked for, and the tree is not to blame.
    const fn is_great(self) -> bool {
        self.sixteenths > 64
    }
}

impl<P: Peer> Plumtree<P> {
    pub(super) fn on_announcement(
        &mut self,
        now: Time,
        from: P,
        announcement: Announcement,
        out: &mut Outputs<P>,
    ) {
        let Some(push) = self.links.get(from) else {
            return;
        };
        if push == Push::Untried {
            self.links.set(now, from, Push::Lazy);
        }
        let id = announcement.id;
        match self.store.look(id) {
            Look::Unseen => {}
            Look::Left => return,
            Look::Kept(seen) => {
                let (old, hops) = (seen.from, seen.hops);
                if !seen.late && !announcement.late && old != Some(from) {
                    self.pace.copies_apart(now, now.since(seen.came));
                }
                self.shorten(now, from, announcement, old, hops, out);
                return;
            }
        }
        if let Some(wait) = self.missing.waits.get_mut(&id) {
            wait.add(from);
            return;
        }
        if self.missing.len() >= self.config.missing_max {
            return;
        }
        let wait = Wait::new(now, from, !announcement.late);
        self.missing.waits.insert(id, wait);
        if push == Push::Eager {
            // It had the message before it knew that it feeds this node, or got it by a repair, and will
            // not push it.
            self.on_graft_due(now, id, out);
            return;
        }
        let answer_within = self.pace.answer_within();
        let after = match self.feed {
            Feed::Flowing => self.pace.graft_after(),
            Feed::Asked(since) if now.since(since) < answer_within => answer_within,
            Feed::Broken | Feed::Asked(_) => {
                self.on_graft_due(now, id, out);
                return;
            }
        };
        out.push(Output::SetTimer {
            id: Timer::GraftDue(id),
            after,
        });
    }

    /// A message is still missing: asks an announcer for it, and for all others that it has.
    pub(super) fn on_graft_due(&mut self, now: Time, id: MessageId, out: &mut Outputs<P>) {
        let after = self.pace.answer_within();
        let Some(wait) = self.missing.waits.get_mut(&id) else {
            return;
        };
        wait.announcers
            .retain(|known| self.links.get(known.peer).is_some());
        if now < wait.asked_until {
            return;
        }
        // One that is sending what it was asked for gets the time for it: payloads may be large.
        let is_answering = wait.announcers.iter().any(|known| {
            let brought = self.links.brought(known.peer);
            known.asked > 0 && brought.is_some_and(|brought| now.since(brought) < after)
        });
        if is_answering && now.since(wait.since) < ANSWERING_MAX {
            wait.answer_is_due(now, after);
            let id = Timer::GraftDue(id);
            out.push(Output::SetTimer { id, after });
            return;
        }
        // The least asked; of these one that is in the tree already, and need not be made so.
        let candidates = wait
            .announcers
            .iter()
            .filter(|known| known.asked < ASKED_MAX);
        let next = candidates.min_by_key(|known| {
            let push = self.links.get(known.peer);
            (known.asked, push != Some(Push::Eager))
        });
        let Some(to) = next.map(|known| known.peer) else {
            // All were asked in vain. The next announcement begins anew.
            let before = wait.before;
            self.missing.waits.remove(&id);
            let first = id.number.saturating_sub(before);
            self.given_up.note(id.sender, first..=id.number);
            return;
        };
        let grafts = self.feed != Feed::Flowing || self.trouble.is_great();
        let ids = self.missing.ask(now, id, to, after);
        for id in &ids {
            let id = Timer::GraftDue(*id);
            out.push(Output::SetTimer { id, after });
        }
        let message = if grafts {
            self.links.set(now, to, Push::Eager);
            self.feed = Feed::Asked(now);
            Message::Graft { ids }
        } else {
            Message::Want { ids }
        };
        out.push(Output::Send { to, message });
    }

    /// A message came. If some of the same sender should have come before it, whoever brought this one is asked for
    /// them in time: they may have been lost on a link whose ends have no other neighbor to announce them, or while
    /// others took this node for gone. Of a wide gap the last ones first; when they come, those before them. What is
    /// not asked for, as the last ones come from nobody or too much is missing, counts as given up.
    pub(super) fn look_for_gap(&mut self, now: Time, id: MessageId, from: P, out: &mut Outputs<P>) {
        // What was sent before this node first heard of the sender is not for it.
        let Some(earlier) = self.store.earlier(id) else {
            return;
        };
        let after = self.pace.graft_after();
        let gap = (earlier + 1..id.number).rev().take(ANNOUNCEMENTS_MAX);
        for number in gap {
            let before = MessageId { number, ..id };
            if self.missing.has(before) {
                return;
            }
            if self.missing.len() >= self.config.missing_max {
                self.given_up.note(id.sender, earlier + 1..=number);
                return;
            }
            let mut wait = Wait::new(now, from, false);
            if id.number - number == ANNOUNCEMENTS_MAX as u64 {
                wait.before = number - (earlier + 1);
            }
            self.missing.waits.insert(before, wait);
            let id = Timer::GraftDue(before);
            out.push(Output::SetTimer { id, after });
        }
    }

    /// A message had to be asked for, here or by a neighbor.
    pub(super) const fn note_loss(&mut self, now: Time) {
        self.lost = Some(now);
    }

    /// Remembers the latest message of each sender for [`Self::announce_tails`].
    pub(super) fn note_tail(&mut self, announcement: Announcement, out: &mut Outputs<P>) {
        let tail = Tail {
            announcement,
            told: 0,
        };
        if self.tails.is_empty() {
            out.push(Output::SetTimer {
                id: Timer::Tails,
                after: self.pace.graft_after(),
            });
        }
        let sender = announcement.id.sender;
        let room = self.tails.len() < ANNOUNCEMENTS_MAX;
        match self.tails.get_mut(&sender) {
            Some(before) if before.announcement.id < announcement.id => *before = tail,
            None if room => {
                self.tails.insert(sender, tail);
            }
            _ => {}
        }
    }

    /// Announces the latest message of each sender along the tree, a while after the payload: one that
    /// was lost with no other after it would be missed by nobody. More than once where messages are lost,
    /// as announcements are, too.
    pub(super) fn announce_tails(&mut self, now: Time, out: &mut Outputs<P>) {
        let is_lossy = self.lost.is_some_and(|lost| now.since(lost) < LOSS_LASTS);
        let most = if is_lossy { TAIL_TOLD_MAX } else { 1 };
        let mut news = Vec::new();
        self.tails.retain(|_, tail| {
            news.push(Announcement {
                late: true,
                ..tail.announcement
            });
            tail.told += 1;
            tail.told < most
        });
        if !self.tails.is_empty() {
            out.push(Output::SetTimer {
                id: Timer::Tails,
                after: self.pace.graft_after(),
            });
        }
        let message = Message::Ihave(news);
        let to: Vec<P> = self.eager_peers().collect();
        if !to.is_empty() {
            out.push(Output::SendAll { to, message });
        }
    }

    /// A neighbor is new. It may have lost others, and with them messages that are still under way.
    pub(super) fn link_made(&mut self, now: Time, peer: P, out: &mut Outputs<P>) {
        let is_first = self.links.iter().next().is_none();
        self.links.add(now, peer);
        self.calm = Calm::new();
        // What came here before it came to the lost neighbor, too. Before the first there was nobody it could go to.
        let span = if is_first {
            self.config.store.keep_for
        } else {
            self.config.catch_up_for.max(self.pace.spread() * 2)
        };
        let recent = self.store.recent(now, span).take(CATCH_UP_MAX);
        let recent: Vec<Announcement> = recent
            .map(|(id, seen)| Announcement {
                id,
                hops: seen.hops,
                late: true,
            })
            .collect();
        out.extend(recent.chunks(ANNOUNCEMENTS_MAX).map(|chunk| Output::Send {
            to: peer,
            message: Message::Ihave(chunk.to_vec()),
        }));
    }

    /// A neighbor is gone. If it was in the tree, this node may have been fed by it.
    pub(super) fn link_lost(&mut self, now: Time, peer: P, out: &mut Outputs<P>) {
        if self.links.remove(peer) == Some(Push::Eager) {
            self.feed = Feed::Broken;
            if let Some(id) = self.missing.first() {
                self.on_graft_due(now, id, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_great_when_much_has_to_be_asked_for_and_passes() {
        let mut trouble = Trouble::new();
        for number in 0..200 {
            trouble.note(number % 8 == 0);
            assert!(!trouble.is_great(), "an eighth is lost on the way");
        }
        for _ in 0..16 {
            trouble.note(true);
        }
        assert!(trouble.is_great());
        for _ in 0..64 {
            trouble.note(false);
        }
        assert!(!trouble.is_great());
        assert_eq!(trouble.sixteenths, 0);
    }
}
