//! One round at one member: what it promised and accepted, and, while it leads a ballot, who answered.
//!
//! Paxos for one value, commit or abort. The rules that safety hangs on are here and nowhere else:
//! [`Round::promise`], [`Round::accept`], [`Round::has_quorum`], [`Round::proposal`] and
//! [`Round::believes`]. No messages, no time.

use std::collections::BTreeSet;

use super::view::View;
use crate::event::Peer;
use crate::payload::Payload;
use crate::time::Time;

/// What a leader waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The votes of all, in the first ballot.
    Prepare,
    /// Promises. The accepted outcome of the greatest ballot told so far.
    Ask(Option<(u32, bool)>),
    /// Acceptance of this outcome.
    Propose(bool),
}

/// A ballot that this member leads.
#[derive(Clone, Debug)]
pub(super) struct Lead<P> {
    pub(super) ballot: u32,
    pub(super) phase: Phase,
    pub(super) answered: BTreeSet<P>,
}

/// A round that has not ended here.
#[derive(Debug)]
pub(super) struct Round<P> {
    pub(super) sender: P,
    pub(super) view: View<P>,
    pub(super) payload: Payload,
    promised: u32,
    accepted: Option<(u32, bool)>,
    /// The greatest ballot heard of.
    pub(super) highest: u32,
    pub(super) lead: Option<Lead<P>>,
    /// Members whose life in the view is known to be over.
    pub(super) gone: BTreeSet<P>,
    /// Members that have forgotten how the round ended.
    pub(super) forgetful: BTreeSet<P>,
    pub(super) began: Time,
    /// When what is missing is asked for again.
    pub(super) due: Time,
    pub(super) tries: u32,
}

impl<P: Peer> Round<P> {
    pub(super) const fn new(
        now: Time,
        sender: P,
        view: View<P>,
        payload: Payload,
        due: Time,
    ) -> Self {
        Self {
            sender,
            view,
            payload,
            promised: 0,
            accepted: None,
            highest: 0,
            lead: None,
            gone: BTreeSet::new(),
            forgetful: BTreeSet::new(),
            began: now,
            due,
            tries: 0,
        }
    }

    pub(super) const fn promised(&self) -> u32 {
        self.promised
    }

    fn hear_of(&mut self, ballot: u32) {
        self.highest = self.highest.max(ballot);
    }

    /// Takes part in no ballot below this one any more: what was accepted last. None if it has promised
    /// a later one.
    pub(super) fn promise(&mut self, ballot: u32) -> Option<Option<(u32, bool)>> {
        self.hear_of(ballot);
        if ballot < self.promised {
            return None;
        }
        self.promised = ballot;
        self.give_way(ballot);
        Some(self.accepted)
    }

    /// Accepts an outcome, unless a later ballot was promised.
    pub(super) fn accept(&mut self, ballot: u32, commit: bool) -> bool {
        self.hear_of(ballot);
        if ballot < self.promised {
            return false;
        }
        self.promised = ballot;
        self.accepted = Some((ballot, commit));
        self.give_way(ballot);
        true
    }

    /// A later ballot than the own one is under way.
    pub(super) fn give_way(&mut self, ballot: u32) {
        self.hear_of(ballot);
        self.lead = self.lead.take().filter(|lead| lead.ballot >= ballot);
    }

    /// Whether the answers to the own ballot are enough: of a majority of the view; or of all whose life
    /// in it is not over. Where a majority answered each of two ballots, one member answered both. Where
    /// all that are left answered the later one, those of them who answered the earlier did, and if there
    /// are none, nobody is left who could have acted on it ([`Self::believes`]).
    pub(super) fn has_quorum(&self) -> bool {
        let Some(lead) = &self.lead else { return false };
        let left = self.view.peers().filter(|peer| !self.gone.contains(peer));
        lead.answered.len() * 2 > self.view.len()
            || left.into_iter().all(|peer| lead.answered.contains(&peer))
    }

    /// What the leader of a later ballot must propose once it has a quorum of promises: what the greatest
    /// ballot may have decided. Where nothing was accepted, none could have committed.
    pub(super) const fn proposal(best: Option<(u32, bool)>) -> bool {
        matches!(best, Some((_, true)))
    }

    /// Whether an end told in this ballot is taken at its word. Not below what was promised: if all that
    /// are left have promised, they may decide otherwise than somebody who is gone.
    pub(super) const fn believes(&self, ballot: u32) -> bool {
        ballot >= self.promised
    }

    /// All of the view are prepared.
    pub(super) fn all_voted(&self) -> bool {
        let lead = self.lead.as_ref();
        lead.is_some_and(|lead| lead.answered.len() == self.view.len())
    }

    /// Too many have forgotten how the round ended for the rest ever to find out.
    pub(super) fn is_beyond_finding_out(&self) -> bool {
        let lost = self.gone.union(&self.forgetful).count();
        !self.forgetful.is_empty() && (self.view.len() - lost) * 2 <= self.view.len()
    }

    /// Those who have not answered the own ballot.
    pub(super) fn silent(&self, me: P) -> Vec<P> {
        let answered = self.lead.as_ref().map(|lead| &lead.answered);
        let is_silent = |peer: &P| {
            *peer != me
                && !self.gone.contains(peer)
                && answered.is_none_or(|answered| !answered.contains(peer))
        };
        self.view.peers().filter(is_silent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(members: u32) -> Round<u32> {
        let view = View::new((0..members).map(|peer| (peer, 1)).collect()).unwrap();
        Round::new(Time::ZERO, 0, view, Payload::default(), Time::ZERO)
    }

    #[test]
    fn a_promise_binds() {
        let mut round = round(3);
        assert!(round.accept(0, true));
        assert_eq!(round.promise(4), Some(Some((0, true))));
        assert!(!round.accept(3, false) && round.promise(3).is_none());
        assert!(!round.believes(3) && round.believes(4));
        assert!(round.accept(4, false));
        assert_eq!(round.promise(5), Some(Some((4, false))));
    }

    #[test]
    fn a_quorum_is_a_majority_or_all_that_are_left() {
        let mut round = round(4);
        round.lead = Some(Lead {
            ballot: 1,
            phase: Phase::Ask(None),
            answered: BTreeSet::from([1, 2]),
        });
        assert!(!round.has_quorum());
        round.gone.insert(0);
        assert!(!round.has_quorum(), "3 may live");
        round.gone.insert(3);
        assert!(round.has_quorum());
        round.gone.clear();
        let lead = round.lead.as_mut().unwrap();
        lead.answered.insert(3);
        assert!(round.has_quorum());
    }

    #[test]
    fn ballots_are_led_in_turn_and_the_sender_leads_the_first() {
        let view = View::new(vec![(7, 1), (3, 4), (5, 2)]).unwrap();
        let leaders = (0..5).map(|ballot| view.leader(5, ballot).unwrap());
        assert_eq!(leaders.collect::<Vec<u32>>(), [5, 7, 3, 5, 7]);
        assert_eq!(view.next_ballot(5, 5, 0), Some(3));
        assert_eq!(view.next_ballot(5, 3, 2), Some(5));
        assert_eq!(view.incarnation(3), Some(4));
        assert!(View::new(vec![(1_u32, 1), (1, 2)]).is_none());
        assert!(View::<u32>::new(Vec::new()).is_none());
    }
}
