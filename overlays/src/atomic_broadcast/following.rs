//! The side of a member in a ballot that another one leads: what it answers.
//!
//! Called by `mod` for what leaders say. Each answer is a promise that this life of the node keeps, so it is given once and
//! repeated for a second copy.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ended::Past;
use super::round::Round;
use super::{AtomicBroadcast, Outputs, Says, View};
use crate::event::Peer;
use crate::payload::Payload;
use crate::store::MessageId;
use crate::time::Time;

impl<P: Peer> AtomicBroadcast<P> {
    /// How long a member waits for another one's ballot before it leads one itself. Not all at once.
    pub(super) fn patience(&self, round: &Round<P>) -> Duration {
        let place = round.view.place(self.me).unwrap_or_default();
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        self.pace.answer_within() * place.saturating_add(2)
    }

    /// Whether this node is in a view, in its present life; if not, what to say.
    fn is_in(&self, view: &View<P>, from: P) -> Result<(), Option<Says<P>>> {
        let incarnation = self.incarnation;
        match view.incarnation(self.me) {
            Some(life) if life == incarnation && view.place(from).is_some() => Ok(()),
            Some(_) => Err(Some(Says::Stranger { incarnation })),
            None => Err(None),
        }
    }

    /// What to say of a round that is not under way here, to who is in `ballot`; none if it is new.
    fn past(&mut self, id: MessageId, ballot: u32) -> Option<Says<P>> {
        match self.ended.find(id) {
            Past::Unknown => None,
            Past::Forgotten => Some(Says::Forgotten),
            Past::Ended(end) => Some(Says::Decide {
                ballot: end.ballot.max(ballot),
                commit: end.commit,
            }),
        }
    }

    pub(super) fn on_prepare(
        &mut self,
        now: Time,
        from: P,
        id: MessageId,
        view: View<P>,
        payload: Payload,
    ) -> Option<Says<P>> {
        if let Err(answer) = self.is_in(&view, from) {
            return answer;
        }
        if let Some(round) = self.rounds.get(&id) {
            let prepared = round.sender == from;
            return prepared.then_some(Says::Vote { prepared });
        }
        match self.past(id, 0) {
            Some(Says::Forgotten) => return Some(Says::Vote { prepared: false }),
            Some(decide) => return Some(decide),
            None => {}
        }
        let prepared = self.has_room(from, payload.len());
        if prepared {
            let mut round = Round::new(now, from, view, payload, now);
            round.due = now + self.config.vote_within + self.patience(&round);
            self.rounds.insert(id, round);
        } else {
            self.refuse(now, id);
        }
        Some(Says::Vote { prepared })
    }

    /// This node will never be prepared for a round, which therefore nobody commits.
    fn refuse(&mut self, now: Time, id: MessageId) {
        let most = self.config.ends_max;
        self.ended
            .insert(now, id, 0, false, BTreeSet::new(), now, most);
    }

    pub(super) fn on_ask(
        &mut self,
        now: Time,
        from: P,
        id: MessageId,
        ballot: u32,
        view: &View<P>,
    ) -> Option<Says<P>> {
        if let Err(answer) = self.is_in(view, from) {
            return answer;
        }
        if !self.rounds.contains_key(&id) && self.past(id, ballot).is_none() {
            self.refuse(now, id);
        }
        let Some(round) = self.rounds.get_mut(&id) else {
            return self.past(id, ballot);
        };
        if round.view.leader(round.sender, ballot) != Some(from) || ballot == 0 {
            return None;
        }
        let accepted = round.promise(ballot);
        let promised = round.promised();
        self.wait(now, id);
        Some(match accepted {
            Some(accepted) => Says::Promise { ballot, accepted },
            None => Says::Outranked { ballot: promised },
        })
    }

    /// Another member leads: it gets its time.
    pub(super) fn wait(&mut self, now: Time, id: MessageId) {
        let Some(round) = self.rounds.get(&id) else {
            return;
        };
        let due = now + self.patience(round) * 2;
        if let Some(round) = self.rounds.get_mut(&id)
            && round.lead.is_none()
        {
            round.due = due;
        }
    }

    pub(super) fn on_accept(
        &mut self,
        now: Time,
        from: P,
        id: MessageId,
        ballot: u32,
        commit: bool,
    ) -> Option<Says<P>> {
        let incarnation = self.incarnation;
        let Some(round) = self.rounds.get_mut(&id) else {
            let past = self.past(id, ballot);
            return past.or(Some(Says::Stranger { incarnation }));
        };
        if round.view.leader(round.sender, ballot) != Some(from) {
            return None;
        }
        let accepted = round.accept(ballot, commit);
        let promised = round.promised();
        self.wait(now, id);
        Some(if accepted {
            Says::Accepted { ballot }
        } else {
            Says::Outranked { ballot: promised }
        })
    }

    pub(super) fn on_decide(
        &mut self,
        now: Time,
        from: P,
        id: MessageId,
        ballot: u32,
        commit: bool,
        out: &mut Outputs<P>,
    ) -> Option<Says<P>> {
        let Some(round) = self.rounds.get(&id) else {
            // In another life, or ended.
            return Some(Says::Done);
        };
        if round.view.place(from).is_none() || !round.believes(ballot) {
            return None;
        }
        // Who leads has others waiting for it.
        let tells = round.lead.is_some();
        self.end(now, id, ballot, commit, tells, out);
        Some(Says::Done)
    }
}
