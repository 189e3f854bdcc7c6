//! The side of a node that leads a ballot: of the sender, which has ballot 0, and of a member that finds out how a round
//! ends whose leader is silent.
//!
//! Called by `mod` for what the application sends, for answers, and when something is due. It proposes nothing that another
//! ballot could have decided otherwise: `round` says what may be proposed.

use std::collections::BTreeSet;

use rand::Rng;

use super::ended::Past;
use super::round::{Lead, Phase, Round};
use super::{AtomicBroadcast, BALLOT_MAX, Outputs, Says, VIEW_MAX, View, send_all};
use crate::event::{AtomicOutcome, Event, Output, Peer, Refusal};
use crate::payload::Payload;
use crate::store::MessageId;
use crate::time::Time;

impl<P: Peer> AtomicBroadcast<P> {
    /// Begins a round.
    pub(super) fn begin<R: Rng>(
        &mut self,
        now: Time,
        view: Vec<(P, u64)>,
        payload: Payload,
        random: &mut R,
        out: &mut Outputs<P>,
    ) -> Result<(), Refusal> {
        let refused = Refusal::View { most: VIEW_MAX };
        let view = View::new(view).ok_or(refused)?;
        if view.incarnation(self.me) != Some(self.incarnation) {
            return Err(refused);
        }
        if !self.has_room(self.me, payload.len()) {
            return Err(Refusal::Busy);
        }
        let id = self.numbering.next(random);
        let due = now + self.pace.answer_within();
        let mut round = Round::new(now, self.me, view, payload, due);
        round.lead = Some(Lead {
            ballot: 0,
            phase: Phase::Prepare,
            answered: BTreeSet::from([self.me]),
        });
        self.rounds.insert(id, round);
        self.send_to_silent(id, out);
        self.advance(now, id, out);
        self.look_later(now, out);
        Ok(())
    }

    /// Sends what the own ballot waits for an answer to, to those who have not answered.
    pub(super) fn send_to_silent(&self, id: MessageId, out: &mut Outputs<P>) {
        let Some(round) = self.rounds.get(&id) else {
            return;
        };
        let Some(Lead { ballot, phase, .. }) = round.lead.as_ref() else {
            return;
        };
        let (ballot, view) = (*ballot, round.view.clone());
        let says = match *phase {
            Phase::Prepare => Says::Prepare {
                view,
                payload: round.payload.clone(),
            },
            Phase::Ask(_) => Says::Ask { ballot, view },
            Phase::Propose(commit) => Says::Accept { ballot, commit },
        };
        send_all(round.silent(self.me), id, says, out);
    }

    /// Takes the next step of the own ballot if all that it waits for is there.
    pub(super) fn advance(&mut self, now: Time, id: MessageId, out: &mut Outputs<P>) {
        let Some(round) = self.rounds.get_mut(&id) else {
            return;
        };
        let Some(Lead { ballot, phase, .. }) = round.lead else {
            return;
        };
        match phase {
            Phase::Prepare if round.all_voted() => self.propose(now, id, ballot, true, out),
            Phase::Ask(best) if round.has_quorum() => {
                self.propose(now, id, ballot, Round::<P>::proposal(best), out);
            }
            Phase::Propose(commit) if round.has_quorum() => {
                self.end(now, id, ballot, commit, true, out);
            }
            _ => {}
        }
    }

    fn propose(
        &mut self,
        now: Time,
        id: MessageId,
        ballot: u32,
        commit: bool,
        out: &mut Outputs<P>,
    ) {
        let due = now + self.pace.answer_within();
        let Some(round) = self.rounds.get_mut(&id) else {
            return;
        };
        if !round.accept(ballot, commit) {
            return;
        }
        round.lead = Some(Lead {
            ballot,
            phase: Phase::Propose(commit),
            answered: BTreeSet::from([self.me]),
        });
        (round.due, round.tries) = (due, 0);
        self.send_to_silent(id, out);
        self.advance(now, id, out);
    }

    /// The sender of a round gives it up, if it has not proposed anything: nobody else can commit it.
    pub(super) fn give_up(&mut self, now: Time, id: MessageId, out: &mut Outputs<P>) {
        let lead = self.rounds.get(&id).and_then(|round| round.lead.as_ref());
        if lead.is_some_and(|lead| lead.phase == Phase::Prepare) {
            self.end(now, id, 0, false, true, out);
        }
    }

    /// Leads a ballot, to find out how a round ends.
    pub(super) fn recover(&mut self, now: Time, id: MessageId, out: &mut Outputs<P>) {
        let me = self.me;
        let Some(round) = self.rounds.get_mut(&id) else {
            return;
        };
        let next = round.view.next_ballot(round.sender, me, round.highest);
        let Some(ballot) = next.filter(|ballot| *ballot <= BALLOT_MAX) else {
            return;
        };
        let Some(best) = round.promise(ballot) else {
            return;
        };
        round.forgetful.clear();
        round.lead = Some(Lead {
            ballot,
            phase: Phase::Ask(best),
            answered: BTreeSet::from([me]),
        });
        self.send_to_silent(id, out);
        self.advance(now, id, out);
    }

    /// Somebody answered the ballot that this node leads.
    pub(super) fn on_answer(
        &mut self,
        now: Time,
        from: P,
        id: MessageId,
        says: &Says<P>,
        out: &mut Outputs<P>,
    ) {
        let Some(round) = self.rounds.get_mut(&id) else {
            if let (Says::Stranger { .. }, Past::Ended(end)) = (says, self.ended.find(id)) {
                end.untold.remove(&from);
            }
            return;
        };
        let Some(life) = round.view.incarnation(from) else {
            return;
        };
        if let Says::Stranger { incarnation } = says {
            if *incarnation > life {
                round.gone.insert(from);
                self.give_up(now, id, out);
                self.advance(now, id, out);
            }
            return;
        }
        if let Says::Outranked { ballot } = says {
            round.give_way(*ballot);
            self.wait(now, id);
            return;
        }
        let Some(lead) = round.lead.as_mut() else {
            return;
        };
        match (says, &mut lead.phase) {
            (Says::Vote { prepared: true }, Phase::Prepare) => {
                if round.tries == 0 {
                    self.pace.answered(now, now.since(round.began));
                }
            }
            (Says::Vote { prepared: false }, Phase::Prepare) => {
                self.give_up(now, id, out);
                return;
            }
            (Says::Promise { ballot, accepted }, Phase::Ask(best)) if *ballot == lead.ballot => {
                *best = (*best).max(*accepted);
            }
            (Says::Accepted { ballot }, Phase::Propose(_)) if *ballot == lead.ballot => {}
            (Says::Forgotten, Phase::Ask(_) | Phase::Propose(_)) => {
                round.forgetful.insert(from);
                if round.is_beyond_finding_out() {
                    self.end_unknown(now, id, out);
                }
                return;
            }
            _ => return,
        }
        lead.answered.insert(from);
        self.advance(now, id, out);
    }

    /// Too few know how a round ended.
    fn end_unknown(&mut self, now: Time, id: MessageId, out: &mut Outputs<P>) {
        let Some(round) = self.rounds.remove(&id) else {
            return;
        };
        let most = self.config.ends_max;
        self.ended.insert_forgotten(now, id, most);
        out.push(Output::Event(Event::Atomic {
            sender: round.sender,
            id,
            outcome: AtomicOutcome::Unknown,
        }));
    }
}
