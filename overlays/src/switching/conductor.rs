//! The conductor: proposes an overlay, follows the proposals of others, commits, rolls back.
//!
//! A layer above membership. The greatest epoch that anybody committed is in force, so a commit never
//! has to be taken back and may come late or twice; rolling back is clearing away what was not
//! committed. All rules of a change are in this file; what they do to the overlays is the business of
//! [`super::Switch`], far below.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};
use serde::Serialize;

use super::measuring::Measuring;
use super::message::Words;
use super::trial::{TrialRules, TrialTerms};
use crate::client_server::SERVERS_MAX;
use crate::coordinator::Nothing;
use crate::epoch::{Epoch, Order, OverlayKind, Proposal, Report, Step, WhyBack};
use crate::event::{
    Command, Delivery, Event, Input, InputOf, Output, OutputOf, Peer, Protocol, Refusal,
};
use crate::message::{decode, encode};
use crate::payload::{Payload, Spread};
use crate::time::Time;

/// First byte of a broadcast of the application.
const KIND_APPLICATION: u8 = 0;
/// First byte of a broadcast of conductors.
const KIND_WORDS: u8 = 1;

/// Settings of a [`Conductor`].
#[derive(Clone, Debug)]
pub struct ConductorConfig {
    /// How long a new overlay may take until all live members answer over it. 60 s: a guess, some of
    /// HyParView's periods, and as long as membership takes to tell the deaths of many.
    pub prepare_max: Duration,
    /// How often the proposer probes the new overlay. 1 s: as often as nodes try to get in.
    pub probe_every: Duration,
    /// Members for each server that is chosen, where nobody names them. 50: a guess.
    pub members_per_server: usize,
}

impl Default for ConductorConfig {
    fn default() -> Self {
        Self {
            prepare_max: Duration::from_secs(60),
            probe_every: Duration::from_secs(1),
            members_per_server: 50,
        }
    }
}

/// Probes that a member which came after the announcement is waited for at most; the next overlay is built by
/// it as by any that comes late. 10: a guess, more than it takes to get in. Without a bound, members that come
/// one after the other would hold a change up for as long as they come.
const NEWCOMER_PROBES_MAX: u32 = 10;

/// Probes after which the proposer makes a way to a member that did not answer any. 3: a guess; by then who answers
/// nothing is in a piece of the new overlay that grew by itself, where nobody lacks anything, or is late.
const PROBES_BEFORE_WAYS: u32 = 3;

/// Least servers that are chosen, if there are so many members. 3: one may fail, one be restarted.
const SERVERS_MIN: usize = 3;

/// Timers of a conductor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ConductorTimer {
    /// The new overlay can be probed again.
    Probe {
        /// Which change that this node took part in.
        change: u32,
    },
    /// The new overlay should have been committed by now.
    Deadline {
        /// Which change that this node took part in.
        change: u32,
    },
    /// The next sample of a trial is due.
    Sample {
        /// Which change that this node took part in.
        change: u32,
    },
}

pub(super) type Out<P> = Vec<Output<P, Nothing, ConductorTimer>>;

/// A change that is under way.
#[derive(Debug)]
pub(super) struct Change<P> {
    pub(super) proposal: Proposal<P>,
    /// Tells it from other changes to this node's timers.
    pub(super) number: u32,
    /// At the proposer of a trial, what has to hold; and what is measured, once it is.
    pub(super) rules: Option<TrialRules>,
    pub(super) measuring: Option<Measuring<P>>,
    /// Whom the new overlay reaches, at the proposer.
    reached: BTreeSet<P>,
    /// How many members had come before it was announced.
    came_before: u64,
    /// Probes that were ordered.
    probes: u32,
}

/// When a member came.
#[derive(Clone, Copy, Debug)]
struct Came {
    /// How many had come before it.
    order: u64,
    at: Time,
}

/// Decides for one node which overlay is in force.
#[derive(Debug)]
pub struct Conductor<P> {
    pub(super) me: P,
    config: ConductorConfig,
    pub(super) current: Proposal<P>,
    pub(super) change: Option<Change<P>>,
    changes: u32,
    /// The greatest epoch that was rolled back here: not to be built again, unless it is committed.
    given_up: Epoch<P>,
    /// Kinds of the epochs before, until they are retired.
    before: BTreeMap<Epoch<P>, OverlayKind>,
    /// Other live members.
    members: BTreeMap<P, Came>,
    came: u64,
    malformed: u64,
}

/// Most epochs whose kind is remembered until they are retired: two at a time, unless a retirement was lost.
const BEFORE_MAX: usize = 4;

impl<P: Peer> Conductor<P> {
    /// The conductor of a node that starts with this overlay: the same as its [`super::Switch`].
    #[must_use]
    pub const fn new(me: P, kind: OverlayKind, servers: Vec<P>, config: ConductorConfig) -> Self {
        Self {
            me,
            config,
            current: Proposal {
                epoch: Epoch::FIRST,
                kind,
                servers,
                trial: None,
            },
            change: None,
            changes: 0,
            given_up: Epoch::FIRST,
            before: BTreeMap::new(),
            members: BTreeMap::new(),
            came: 0,
            malformed: 0,
        }
    }

    /// The overlay in force.
    #[must_use]
    pub const fn current(&self) -> &Proposal<P> {
        &self.current
    }

    /// The overlay that is being built, if one is.
    #[must_use]
    pub fn next(&self) -> Option<&Proposal<P>> {
        self.change.as_ref().map(|change| &change.proposal)
    }

    /// At the proposer, the members that have not answered over the overlay that is being built, of those that are to
    /// build it.
    #[must_use]
    pub fn unreached(&self) -> Vec<P> {
        let Some(change) = &self.change else {
            return Vec::new();
        };
        let mut unreached = self.builders(&change.proposal).unwrap_or_default();
        unreached.retain(|peer| !change.reached.contains(peer));
        unreached
    }

    /// Broadcasts that were not understood.
    #[must_use]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    pub(super) fn others(&self) -> Vec<P> {
        self.members.keys().copied().collect()
    }

    pub(super) fn is_proposer(&self, proposal: &Proposal<P>) -> bool {
        proposal.epoch.proposer == Some(self.me)
    }

    /// The application wants another overlay.
    fn propose<R: Rng>(
        &mut self,
        kind: OverlayKind,
        mut servers: Vec<P>,
        terms: Option<&TrialTerms<P>>,
        random: &mut R,
        out: &mut Out<P>,
    ) -> Result<(), Refusal> {
        // A trial gives way to what somebody wants at once.
        if self.next().is_some_and(|next| next.trial.is_none()) {
            return Err(Refusal::SwitchUnderWay);
        }
        servers.sort_unstable();
        servers.dedup();
        if servers.len() > SERVERS_MAX {
            return Err(Refusal::TooMany { most: SERVERS_MAX });
        }
        let same_servers = servers.is_empty() || servers == self.current.servers;
        if kind == self.current.kind && (kind != OverlayKind::ClientServer || same_servers) {
            return Err(Refusal::AlreadyCurrent);
        }
        if kind != OverlayKind::ClientServer {
            servers.clear();
        } else if servers.is_empty() {
            servers = self.choose_servers();
        }
        let trial = terms.map(|terms| self.plan_trial(terms, &servers));
        let trial = trial.transpose()?;
        let last = self.current.epoch.number.max(self.given_up.number);
        let last = self.next().map_or(last, |next| last.max(next.epoch.number));
        let number = last.checked_add(1).ok_or(Refusal::NoWay)?;
        let epoch = Epoch {
            number,
            proposer: Some(self.me),
            nonce: random.random(),
        };
        let proposal = Proposal {
            epoch,
            kind,
            servers,
            trial,
        };
        self.roll_back(WhyBack::Overtaken, out);
        say(&Words::Announce(proposal.clone()), out);
        self.prepare(proposal, terms.map(|terms| terms.rules), out);
        Ok(())
    }

    /// Those that have been members for longest, this node first.
    fn choose_servers(&self) -> Vec<P> {
        let members = self.members.len() + 1;
        let count = members / self.config.members_per_server.max(1);
        let count = count.clamp(SERVERS_MIN, SERVERS_MAX);
        let mut oldest: Vec<(u64, P)> = (self.members.iter())
            .map(|(peer, came)| (came.order, *peer))
            .collect();
        oldest.sort_unstable();
        let oldest = oldest.into_iter().map(|(_, peer)| peer);
        let mut servers: Vec<P> = [self.me].into_iter().chain(oldest).take(count).collect();
        servers.sort_unstable();
        servers
    }

    /// Somebody proposes an overlay. It is built if it is greater than all that is known.
    fn hear_announcement(&mut self, proposal: Proposal<P>, out: &mut Out<P>) {
        let epoch = proposal.epoch;
        if epoch <= self.current.epoch || epoch <= self.given_up {
            return;
        }
        if self.is_adoption(&proposal) {
            return self.adopt(proposal, out);
        }
        if self.next().is_some_and(|next| epoch <= next.epoch) {
            return;
        }
        self.roll_back(WhyBack::Overtaken, out);
        self.prepare(proposal, None, out);
    }

    fn prepare(&mut self, proposal: Proposal<P>, rules: Option<TrialRules>, out: &mut Out<P>) {
        tell(&proposal, Step::Announced, out);
        self.build(proposal, rules, out);
    }

    /// The members that build an overlay, this node left out; none if it does not.
    fn builders(&self, proposal: &Proposal<P>) -> Option<Vec<P>> {
        let others = self.others();
        let Some(trial) = &proposal.trial else {
            return Some(others);
        };
        let in_part = |peer: &P| trial.part.contains(peer);
        in_part(&self.me).then(|| others.into_iter().filter(in_part).collect())
    }

    /// Builds the overlay, if it is for this node, and waits for it to be in force, or tried.
    pub(super) fn build(
        &mut self,
        proposal: Proposal<P>,
        rules: Option<TrialRules>,
        out: &mut Out<P>,
    ) {
        self.changes = self.changes.wrapping_add(1);
        let number = self.changes;
        if let Some(members) = self.builders(&proposal) {
            out.push(Output::Below(Command::Epoch(Order::Prepare {
                proposal: proposal.clone(),
                members,
            })));
        }
        // Others wait a little longer than the proposer, who gives up for all.
        let mut after = self.config.prepare_max;
        if self.is_proposer(&proposal) {
            out.push(Output::SetTimer {
                id: ConductorTimer::Probe { change: number },
                after: self.config.probe_every,
            });
        } else {
            let tried = proposal.trial.as_ref().map_or(0, |trial| trial.span_ms);
            after += self.config.prepare_max / 4 + Duration::from_millis(tried.into());
        }
        let id = ConductorTimer::Deadline { change: number };
        out.push(Output::SetTimer { id, after });
        self.change = Some(Change {
            proposal,
            number,
            rules,
            measuring: None,
            reached: BTreeSet::new(),
            came_before: self.came,
            probes: 0,
        });
    }

    /// The overlay that was being built is given up.
    pub(super) fn roll_back(&mut self, why: WhyBack, out: &mut Out<P>) {
        let Some(Change { proposal, .. }) = self.change.take() else {
            return;
        };
        let epoch = proposal.epoch;
        self.given_up = self.given_up.max(epoch);
        out.push(Output::Below(Command::Epoch(Order::Abandon(epoch))));
        tell(&proposal, Step::RolledBack(why), out);
    }

    /// An overlay was committed by its proposer. In force here too, if it is the greatest one that was.
    /// `by`: who told it, where it was not told to everybody.
    fn commit(&mut self, proposal: Proposal<P>, by: Option<P>, out: &mut Out<P>) {
        if proposal.epoch <= self.current.epoch {
            return;
        }
        let proposal = proposal.for_all();
        let next = self.next();
        let is_late = next.is_none_or(|next| next.epoch != proposal.epoch);
        if is_late {
            // Another change began from what is no longer in force.
            self.roll_back(WhyBack::Overtaken, out);
        } else {
            self.change = None;
        }
        if self.before.len() == BEFORE_MAX {
            self.before.pop_first();
        }
        self.before.insert(self.current.epoch, self.current.kind);
        self.current = proposal.clone();
        let mut members = self.others();
        members.extend(by.filter(|by| !self.members.contains_key(by)));
        tell(&proposal, Step::Committed, out);
        out.push(Output::Below(Command::Epoch(Order::Commit {
            proposal: proposal.clone(),
            members,
            is_late,
        })));
        if by.is_some() {
            // Others around this node may not know either.
            say(&Words::Commit(proposal), out);
        }
    }

    /// The proposer commits once every live member was reached, but for those that came just now. A trial is
    /// measured once all of its part were.
    fn commit_if_whole(&mut self, now: Time, out: &mut Out<P>) {
        let Some(change) = &self.change else {
            return;
        };
        let reached = &change.reached;
        let patience = self.config.probe_every * NEWCOMER_PROBES_MAX;
        let is_waited_for =
            |came: &Came| came.order <= change.came_before || now.since(came.at) >= patience;
        let trial = change.proposal.trial.as_ref();
        let in_part = |peer: &P| trial.is_none_or(|trial| trial.part.contains(peer));
        let mut members = self.members.iter().filter(|(peer, _)| in_part(peer));
        let all = members.all(|(peer, came)| reached.contains(peer) || !is_waited_for(came));
        if !self.is_proposer(&change.proposal) || !all || !reached.contains(&self.me) {
            return;
        }
        if trial.is_some() {
            return self.begin_trial(out);
        }
        let proposal = change.proposal.clone();
        tell(&proposal, Step::Verified, out);
        say(&Words::Commit(proposal.clone()), out);
        self.commit(proposal, None, out);
    }

    fn report(&mut self, now: Time, report: Report<P>, out: &mut Out<P>) {
        match report {
            Report::Reached { epoch, peers } => {
                let change = self.change.as_mut();
                if let Some(change) = change.filter(|change| change.proposal.epoch == epoch) {
                    let me = self.me;
                    let members = &self.members;
                    let known = |peer: &P| *peer == me || members.contains_key(peer);
                    change.reached.extend(peers.into_iter().filter(known));
                    self.commit_if_whole(now, out);
                }
            }
            Report::Sampled {
                overlay,
                round,
                peer,
                hops,
                copies,
            } => self.sampled(now, overlay, round, peer, (hops, copies)),
            Report::Told { by, current, next } => {
                self.commit(current, Some(by), out);
                if let Some(next) = next {
                    self.hear_announcement(next, out);
                }
            }
            Report::Ready(epoch) => {
                let next = self.next().filter(|next| next.epoch == epoch);
                if let Some(next) = next {
                    tell(next, Step::Prepared, out);
                }
            }
            // The broadcast below takes it.
            Report::Linked { .. } => {}
            Report::Retired(epoch) => {
                if let Some(kind) = self.before.remove(&epoch) {
                    let step = Step::Retired;
                    out.push(Output::Event(Event::Switching { epoch, kind, step }));
                }
            }
        }
    }

    fn member(&mut self, now: Time, peer: P, live: bool, out: &mut Out<P>) {
        if live {
            self.came += 1;
            let (order, at) = (self.came, now);
            self.members.insert(peer, Came { order, at });
        } else {
            self.members.remove(&peer);
        }
        if self.next().is_some_and(|next| next.trial.is_some()) {
            return self.member_in_trial(peer, live, out);
        }
        let Some(change) = &mut self.change else {
            return;
        };
        let order = Order::Member { peer, live };
        out.push(Output::Below(Command::Epoch(order)));
        if live {
            // One that is back has to be reached anew.
            change.reached.remove(&peer);
        } else if change.proposal.epoch.proposer == Some(peer) {
            self.roll_back(WhyBack::ProposerGone, out);
        } else {
            self.commit_if_whole(now, out);
        }
    }

    fn hear(&mut self, sender: P, words: Words<P>, out: &mut Out<P>) {
        match words {
            Words::Commit(proposal) => self.commit(proposal, None, out),
            Words::Announce(Proposal { epoch, .. }) | Words::Abort(epoch, _)
                if epoch.proposer != Some(sender) =>
            {
                self.malformed += 1;
            }
            Words::Announce(proposal) => self.hear_announcement(proposal, out),
            Words::Abort(epoch, why) => {
                if self.next().is_some_and(|next| next.epoch == epoch) {
                    self.roll_back(why, out);
                }
                self.given_up = self.given_up.max(epoch);
            }
        }
    }

    fn timer<R: Rng>(&mut self, now: Time, id: ConductorTimer, random: &mut R, out: &mut Out<P>) {
        let (ConductorTimer::Probe { change }
        | ConductorTimer::Deadline { change }
        | ConductorTimer::Sample { change }) = id;
        let under_way = self.change.as_ref();
        let Some(under_way) = under_way.filter(|under_way| under_way.number == change) else {
            return;
        };
        let epoch = under_way.proposal.epoch;
        match id {
            ConductorTimer::Probe { .. } if self.is_measuring() => {}
            ConductorTimer::Probe { .. } => {
                out.push(Output::SetTimer {
                    id,
                    after: self.config.probe_every,
                });
                out.push(Output::Below(Command::Epoch(Order::Probe(epoch))));
                self.make_way(random, out);
            }
            ConductorTimer::Deadline { .. } if self.is_measuring() => {}
            ConductorTimer::Deadline { .. } => self.give_up(WhyBack::Deadline, out),
            ConductorTimer::Sample { .. } => self.sample_due(now, id, out),
        }
    }

    /// Links the new overlay to one of those that have not answered for long, if there are some.
    fn make_way<R: Rng>(&mut self, random: &mut R, out: &mut Out<P>) {
        let to = self.unreached().into_iter().choose(random);
        let Some(change) = &mut self.change else {
            return;
        };
        change.probes = change.probes.saturating_add(1);
        let is_time = change.probes > PROBES_BEFORE_WAYS;
        if let Some(to) = to.filter(|_| is_time) {
            let epoch = change.proposal.epoch;
            out.push(Output::Below(Command::Epoch(Order::Link { epoch, to })));
        }
    }

    /// Rolls back; the proposer for everybody.
    pub(super) fn give_up(&mut self, why: WhyBack, out: &mut Out<P>) {
        let next = self.next().cloned();
        if let Some(next) = next.filter(|next| self.is_proposer(next)) {
            say(&Words::Abort(next.epoch, why), out);
        }
        self.roll_back(why, out);
    }

    fn below(&mut self, now: Time, event: Event<P>, out: &mut Out<P>) {
        match event {
            Event::Delivered(delivery) if delivery.topic.is_none() => {
                match delivery.payload.clone().unmark() {
                    Some((KIND_APPLICATION, payload)) => {
                        let delivery = Delivery {
                            payload,
                            ..delivery
                        };
                        out.push(Output::Event(Event::Delivered(delivery)));
                    }
                    Some((KIND_WORDS, words)) => match decode(&words.body) {
                        Ok(words) => self.hear(delivery.sender, words, out),
                        Err(_) => self.malformed += 1,
                    },
                    _ => self.malformed += 1,
                }
            }
            Event::Epoch(report) => self.report(now, report, out),
            Event::Refused {
                command: Command::Broadcast(payload),
                why,
            } => {
                // Whom own words do not reach learns the state of others when it speaks to them.
                if let Some((KIND_APPLICATION, payload)) = payload.unmark() {
                    let command = Command::Broadcast(payload);
                    out.push(Output::Event(Event::Refused { command, why }));
                }
            }
            event => {
                let member = match &event {
                    Event::MemberUp(peer) => Some((*peer, true)),
                    Event::MemberDown(peer) | Event::MemberLeft(peer) => Some((*peer, false)),
                    _ => None,
                };
                // First what happened, then what follows from it.
                out.push(Output::Event(event));
                if let Some((peer, live)) = member {
                    self.member(now, peer, live, out);
                }
            }
        }
    }

    fn command<R: Rng>(&mut self, command: Command<P>, random: &mut R, out: &mut Out<P>) {
        let done = match &command {
            Command::Broadcast(payload) => command.check_size().map(|()| {
                let marked = payload.clone().marked(KIND_APPLICATION);
                out.push(Output::Below(Command::Broadcast(marked)));
            }),
            Command::SwitchOverlay {
                kind,
                servers,
                trial,
            } => self.propose(*kind, servers.clone(), trial.as_deref(), random, out),
            Command::GiveUpTrial(why) => return self.give_up_trial(*why, out),
            _ => {
                if command == Command::Leave {
                    self.give_up(WhyBack::ProposerGone, out);
                }
                out.push(Output::Below(command));
                return;
            }
        };
        if let Err(why) = done {
            out.push(Output::Event(Event::Refused { command, why }));
        }
    }
}

/// Tells the application how far a change has come.
pub(super) fn tell<P: Peer>(proposal: &Proposal<P>, step: Step, out: &mut Out<P>) {
    let (epoch, kind) = (proposal.epoch, proposal.kind);
    out.push(Output::Event(Event::Switching { epoch, kind, step }));
}

/// Broadcasts something to the conductors of all nodes, over both overlays where there are two: a word that comes twice
/// is heard once.
pub(super) fn say<P: Peer>(words: &Words<P>, out: &mut Out<P>) {
    let payload = Payload::from(encode(words)).marked(KIND_WORDS);
    let payload = payload.spread_as(Spread::EveryWay);
    out.push(Output::Below(Command::Broadcast(payload)));
}

impl<P: Peer> Protocol<P> for Conductor<P> {
    type Message = Nothing;
    type Timer = ConductorTimer;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Below(event) => self.below(now, event, out),
            Input::Command(command) => self.command(command, random, out),
            Input::Timer(id) => self.timer(now, id, random, out),
            Input::Received { message, .. } => match message {},
            Input::Start
            | Input::PeerUp(_)
            | Input::PeerDown { .. }
            | Input::Congested(_)
            | Input::Drained(_) => {}
        }
    }
}
