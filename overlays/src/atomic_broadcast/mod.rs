//! Atomic broadcast: all members of a stated view deliver a message, or none does.
//!
//! A layer over any overlay; it sends straight to the members of the view, which the sender states with
//! their incarnations. It has no order of messages: for one log that all agree on, use consensus.
//!
//! # Protocol
//!
//! After Gray and Lamport, "Consensus on transaction commit" (TODS 2006), with one ballot box for the
//! outcome instead of one for each vote: the sender's votes and the first proposal stay in one hand, for
//! `5 n` small messages and one payload to each.
//!
//! 1. The sender sends the payload to all (*prepare*), who keep it and vote.
//! 2. When **all** have voted, it proposes to commit, in ballot 0, and each accepts. If one refuses, is
//!    known to be down, or does not vote in time, it aborts at once: nobody else can propose to commit.
//! 3. When a **majority** of the view has accepted, the round has ended, and it tells all.
//! 4. Who voted and hears nothing leads a later ballot of its own: a majority tells what it accepted last
//!    and promises to accept nothing older; what the greatest ballot accepted is proposed again, and if
//!    nothing was accepted, abort.
//!
//! Two-phase commit would block all who voted when the sender crashes between 2 and 3. Three-phase commit
//! does not, but two sides of a partition can end differently. This blocks only while fewer than a
//! majority of the view can talk to each other, and is then silent, never wrong. Nothing is decided by a
//! failure detector; what it says only makes somebody act earlier.
//!
//! # Restarts
//!
//! Nothing is on disk, so a node that starts again has forgotten what it promised. It is in no round of
//! its earlier lives: a view names incarnations, and a late or second copy of a message for an earlier
//! life is answered by the present one (*stranger*). For the round that is a member that crashed. It is
//! also proof that its life is over; so the members that are left go on without a majority once the lives
//! of **all** others are proven to be over ([`round`](self) says why that is safe). With two members, who
//! is left alone waits until the other starts again.
//!
//! # Bounds
//!
//! Rounds under way, of this node and for each peer, bytes kept for them, members of a view, ends that
//! are remembered. Who was cut off for so long that a majority has forgotten the end is told that it is
//! unknown. No round survives in memory without a timer.

mod ended;
mod following;
mod leading;
mod message;
mod round;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use serde::Serialize;

pub use message::{BALLOT_MAX, Message, Says};
pub use view::{VIEW_MAX, View};

use crate::alarm::Alarm;
use crate::event::{
    AtomicOutcome, Command, Delivery, Event, Input, InputOf, Output, OutputOf, Peer, Protocol,
};
use crate::pace::Pace;
use crate::store::{MessageId, Numbering};
use crate::time::Time;
use ended::{Ended, Past};
use round::{Phase, Round};

/// Settings of one node. All nodes of a cluster should have the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Rounds of its own that a node has under way at most; more are refused. 16: a guess.
    pub rounds_own_max: usize,
    /// Rounds that it is prepared for at most for one sender; it votes against more. 16: as many as that
    /// has under way.
    pub rounds_per_peer_max: usize,
    /// The same for all senders. 256: a guess.
    pub rounds_max: usize,
    /// Bytes of payloads kept for rounds under way. 16 MiB: a guess, 64 of the largest.
    pub payload_bytes_max: usize,
    /// How long a sender waits for votes. Who voted waits longer before it leads a ballot, unless it is
    /// told that the sender is down. 5 s: a guess, many round trips, so that messages may be lost.
    pub vote_within: Duration,
    /// Ends remembered. 4,096: a guess; about half a MiB.
    pub ends_max: usize,
    /// How long an end is remembered. 10 min: a guess, longer than a node is paused.
    pub keep_for: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rounds_own_max: 16,
            rounds_per_peer_max: 16,
            rounds_max: 256,
            payload_bytes_max: 16 << 20,
            vote_within: Duration::from_secs(5),
            ends_max: 4_096,
            keep_for: Duration::from_secs(600),
        }
    }
}

/// The only timer: something should have been answered by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Look;

/// Times that the wait before sending again doubles. 5: from two round trips to 64.
const DOUBLINGS_MAX: u32 = 5;

/// How often members are told of an end; who is cut off for longer asks. 8: for some minutes.
const TOLD_MAX: u32 = 8;

type Outputs<P> = Vec<Output<P, Message<P>, Look>>;

/// Atomic broadcast of one node.
#[derive(Debug)]
pub struct AtomicBroadcast<P> {
    me: P,
    incarnation: u64,
    config: Config,
    numbering: Numbering,
    rounds: BTreeMap<MessageId, Round<P>>,
    ended: Ended<P>,
    pace: Pace,
    alarm: Alarm,
}

impl<P: Peer> AtomicBroadcast<P> {
    /// A node in this life: a number that grows with each start of the node.
    #[must_use]
    pub const fn new(me: P, incarnation: u64, config: Config) -> Self {
        Self {
            me,
            incarnation,
            config,
            numbering: Numbering::new(),
            rounds: BTreeMap::new(),
            ended: Ended::new(),
            pace: Pace::new(),
            alarm: Alarm::new(),
        }
    }

    /// The last message that this node broadcast.
    #[must_use]
    pub const fn last_sent(&self) -> Option<MessageId> {
        self.numbering.last()
    }

    /// Rounds that have not ended here.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.rounds.len()
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        let (rounds, ends, bytes) = (self.rounds.len(), self.ended.len(), self.payload_bytes());
        let rounds_max = self.config.rounds_max + self.config.rounds_own_max;
        if rounds > rounds_max || ends > self.config.ends_max {
            return Err(format!("{rounds} rounds and {ends} ends are kept"));
        }
        if bytes > self.config.payload_bytes_max {
            return Err(format!("{bytes} bytes are kept"));
        }
        Ok(())
    }

    fn payload_bytes(&self) -> usize {
        self.rounds.values().map(|round| round.payload.len()).sum()
    }

    /// Whether there is room for one more round of this sender.
    fn has_room(&self, sender: P, bytes: usize) -> bool {
        let rounds = self.rounds.values();
        let of_sender = rounds.filter(|round| round.sender == sender).count();
        let (most, all) = if sender == self.me {
            (self.config.rounds_own_max, true)
        } else {
            let own = self.rounds.values().filter(|round| round.sender == self.me);
            let others = self.rounds.len() - own.count();
            (
                self.config.rounds_per_peer_max,
                others < self.config.rounds_max,
            )
        };
        of_sender < most && all && self.payload_bytes() + bytes <= self.config.payload_bytes_max
    }

    /// A round has ended here. Who decided it tells the others.
    fn end(
        &mut self,
        now: Time,
        id: MessageId,
        ballot: u32,
        commit: bool,
        tells: bool,
        out: &mut Outputs<P>,
    ) {
        let Some(round) = self.rounds.remove(&id) else {
            return;
        };
        let untold: BTreeSet<P> = if tells {
            let others = round.view.peers().filter(|peer| *peer != self.me);
            others.filter(|peer| !round.gone.contains(peer)).collect()
        } else {
            BTreeSet::new()
        };
        let says = Says::Decide { ballot, commit };
        send_all(untold.iter().copied().collect(), id, says, out);
        let due = now + self.pace.answer_within();
        let most = self.config.ends_max;
        self.ended
            .insert(now, id, ballot, commit, untold, due, most);
        let sender = round.sender;
        let event = if commit && sender != self.me {
            Event::Delivered(Delivery {
                sender,
                id,
                topic: None,
                payload: round.payload,
                hops: 1,
            })
        } else {
            let outcome = if commit {
                AtomicOutcome::Committed
            } else {
                let missing = match &round.lead {
                    Some(lead) if lead.phase == Phase::Prepare => round.silent(self.me),
                    _ => Vec::new(),
                };
                AtomicOutcome::Aborted { missing }
            };
            Event::Atomic {
                sender,
                id,
                outcome,
            }
        };
        out.push(Output::Event(event));
        self.look_later(now, out);
    }

    fn look_later(&mut self, now: Time, out: &mut Outputs<P>) {
        let rounds = self.rounds.values().map(|round| round.due);
        let untold = |end: &ended::End<P>| !end.untold.is_empty();
        let ends = self.ended.iter_mut().filter(|(_, end)| untold(end));
        let due = rounds.chain(ends.map(|(_, end)| end.due)).min();
        let after = match due {
            Some(due) => due.since(now),
            None if self.ended.len() > 0 => self.config.keep_for,
            None => return,
        };
        self.alarm.within(now, after, Look, out);
    }

    /// Sends again what was not answered, and finds out how rounds end whose leader is silent.
    fn look(&mut self, now: Time, out: &mut Outputs<P>) {
        self.alarm.came(now);
        let within = self.pace.answer_within();
        let due = self.rounds.iter().filter(|(_, round)| now >= round.due);
        let due: Vec<MessageId> = due.map(|(id, _)| *id).collect();
        for id in due {
            let Some(round) = self.rounds.get_mut(&id) else {
                continue;
            };
            round.due = now + within * (1 << round.tries.min(DOUBLINGS_MAX));
            round.tries = round.tries.saturating_add(1);
            let phase = round.lead.as_ref().map(|lead| lead.phase);
            let votes_due = round.began + self.config.vote_within;
            if phase == Some(Phase::Prepare) {
                round.due = round.due.min(votes_due);
            }
            let too_late = now >= votes_due;
            match phase {
                Some(Phase::Prepare) if too_late => self.give_up(now, id, out),
                Some(_) => self.send_to_silent(id, out),
                None => self.recover(now, id, out),
            }
        }
        for (id, end) in self.ended.iter_mut() {
            if now < end.due || end.untold.is_empty() {
                continue;
            }
            end.due = now + within * (1 << end.tries.min(DOUBLINGS_MAX));
            end.tries += 1;
            if end.tries > TOLD_MAX {
                end.untold.clear();
            }
            let (ballot, commit) = (end.ballot, end.commit);
            let untold = end.untold.iter().copied().collect();
            send_all(untold, id, Says::Decide { ballot, commit }, out);
        }
        self.ended.forget(now, self.config.keep_for);
        self.look_later(now, out);
    }

    /// A member is down, or said goodbye, as far as others know: no use in waiting for it.
    fn member_down(&mut self, now: Time, peer: P, out: &mut Outputs<P>) {
        let rounds = self.rounds.iter();
        let with_it = rounds.filter(|(_, round)| round.view.place(peer).is_some());
        let with_it: Vec<MessageId> = with_it.map(|(id, _)| *id).collect();
        for id in with_it {
            let Some(round) = self.rounds.get(&id) else {
                continue;
            };
            let patience = self.patience(round);
            match &round.lead {
                Some(lead) if !lead.answered.contains(&peer) => self.give_up(now, id, out),
                Some(_) => {}
                None => {
                    if let Some(round) = self.rounds.get_mut(&id) {
                        round.due = round.due.min(now + patience);
                    }
                }
            }
        }
        self.look_later(now, out);
    }

    fn received(&mut self, now: Time, from: P, message: Message<P>, out: &mut Outputs<P>) {
        let Message { id, says } = message;
        let answer = match says {
            Says::Prepare { view, payload } => self.on_prepare(now, from, id, view, payload),
            Says::Ask { ballot, view } => self.on_ask(now, from, id, ballot, &view),
            Says::Accept { ballot, commit } => self.on_accept(now, from, id, ballot, commit),
            Says::Decide { ballot, commit } => self.on_decide(now, from, id, ballot, commit, out),
            Says::Done => {
                if let Past::Ended(end) = self.ended.find(id) {
                    end.untold.remove(&from);
                }
                None
            }
            answer => {
                self.on_answer(now, from, id, &answer, out);
                None
            }
        };
        if let Some(says) = answer {
            let message = Message { id, says };
            out.push(Output::Send { to: from, message });
        }
        self.look_later(now, out);
    }

    fn command<R: Rng>(
        &mut self,
        now: Time,
        command: Command<P>,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let Command::AtomicBroadcast { view, payload } = &command else {
            out.push(Output::Below(command));
            return;
        };
        let begun = command
            .check_size()
            .and_then(|()| self.begin(now, view.clone(), payload.clone(), random, out));
        if let Err(why) = begun {
            out.push(Output::Event(Event::Refused { command, why }));
        }
    }
}

fn send_all<P: Peer>(to: Vec<P>, id: MessageId, says: Says<P>, out: &mut Outputs<P>) {
    if !to.is_empty() {
        let message = Message { id, says };
        out.push(Output::SendAll { to, message });
    }
}

impl<P: Peer> Protocol<P> for AtomicBroadcast<P> {
    type Message = Message<P>;
    type Timer = Look;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Received { from, message } => self.received(now, from, message, out),
            Input::Timer(Look) => self.look(now, out),
            Input::Command(command) => self.command(now, command, random, out),
            Input::Below(event) => {
                let down = match &event {
                    Event::MemberDown(peer) | Event::MemberLeft(peer) => Some(*peer),
                    _ => None,
                };
                out.push(Output::Event(event));
                if let Some(peer) = down {
                    self.member_down(now, peer, out);
                }
            }
            Input::Start
            | Input::PeerUp(_)
            | Input::PeerDown { .. }
            | Input::Congested(_)
            | Input::Drained(_) => {}
        }
    }
}
