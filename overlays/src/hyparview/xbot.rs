//! X-BOT: exchange a far neighbor for a near spare, four nodes at a time, so that every node keeps
//! as many neighbors as it had.
//!
//! After Leitão, Marques, Pereira and Rodrigues, "X-BOT: a protocol for resilient optimization of
//! unstructured overlays" (2009). The initiator wants a near `candidate` instead of its farthest
//! neighbor `old`; the candidate, if full, gives up its own farthest, the `disconnected` one, which
//! takes `old` if that is nearer to it than the candidate was. Distance is round-trip time, by own
//! pings or as the driver measured it. A first ping may have to wait for a lane to be dialed, so the
//! second one counts. When a ping was sent is kept here, under a number that nobody can guess: a peer
//! that answers must have got it, and cannot make itself nearer than it is.

use std::collections::VecDeque;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::message::{Message, XbotMessage};
use super::{HyParView, Outputs, Timer, turn_away};
use crate::event::{Output, Peer};
use crate::time::Time;

/// An exchange that this node takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role<P> {
    /// Pinging spares to find a near one.
    Comparing,
    /// Waiting for the candidate.
    Initiator { candidate: P, old: P },
    /// Waiting for the neighbor to be given up.
    Candidate { disconnected: P },
    /// Pinging `old`, then waiting for it.
    Disconnected { initiator: P, candidate: P, old: P },
}

/// Pings that are remembered until they are answered. 16: a full view, candidates, and room.
const PINGS_MAX: usize = 16;

/// A ping without an answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PingSent<P> {
    to: P,
    nonce: u64,
    at: Time,
    /// Its answer only shows that there is a lane.
    first: bool,
}

/// What a node remembers for X-BOT.
#[derive(Debug)]
pub(super) struct Xbot<P> {
    role: Option<Role<P>>,
    exchanges: u32,
    pings: VecDeque<PingSent<P>>,
}

impl<P> Default for Xbot<P> {
    fn default() -> Self {
        Self {
            role: None,
            exchanges: 0,
            pings: VecDeque::new(),
        }
    }
}

impl<P: Peer> Xbot<P> {
    /// Whether losing this neighbor is part of an exchange that will bring another.
    pub(super) fn expects_to_lose(&self, peer: P) -> bool {
        match self.role {
            Some(Role::Initiator { old, .. }) => old == peer,
            Some(Role::Candidate { disconnected }) => disconnected == peer,
            _ => false,
        }
    }
}

impl<P: Peer> HyParView<P> {
    pub(super) fn measured(&mut self, peer: P, rtt: Duration) {
        if let Some(neighbor) = self.active.get_mut(peer) {
            neighbor.rtt_micros = u64::try_from(rtt.as_micros()).ok();
        }
    }

    pub(super) fn begin_xbot<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Outputs<P>) {
        let Some(config) = self.config.xbot.clone() else {
            return;
        };
        let unmeasured = self
            .active
            .entries()
            .iter()
            .filter(|peer| peer.rtt_micros.is_none());
        let unmeasured: Vec<P> = unmeasured.map(|neighbor| neighbor.peer).collect();
        for peer in unmeasured {
            self.measure(now, peer, random, out);
        }
        let due = self.periods.is_multiple_of(config.periods_between.max(1));
        if due && self.is_full() && self.xbot.role.is_none() {
            self.take_role(Role::Comparing, out);
            for candidate in self.passive.sample(random, config.candidates) {
                self.measure(now, candidate, random, out);
            }
        }
    }

    pub(super) fn on_xbot_due<R: Rng>(
        &mut self,
        exchange: u32,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        if self.xbot.exchanges == exchange && self.xbot.role.take().is_some() {
            self.seek(random, out);
        }
    }

    pub(super) fn on_xbot<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        message: XbotMessage<P>,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        match message {
            XbotMessage::Ping { nonce } => self.say(from, XbotMessage::Pong { nonce }, out),
            // Nobody sends the others to a node that does not exchange neighbors.
            _ if self.config.xbot.is_none() => {}
            XbotMessage::Pong { nonce } => self.on_pong(now, from, nonce, random, out),
            XbotMessage::Optimize { old } => self.on_optimize(from, old, random, out),
            XbotMessage::Replace { initiator, old } => {
                self.on_replace(now, from, [initiator, old], random, out);
            }
            XbotMessage::Switch {
                initiator,
                candidate,
            } => {
                let reply = XbotMessage::SwitchReply {
                    initiator,
                    candidate,
                    accepted: self.trade(initiator, from, random, out),
                };
                self.say(from, reply, out);
            }
            XbotMessage::SwitchReply {
                initiator,
                candidate,
                accepted,
            } => self.on_switch_reply(from, initiator, candidate, accepted, random, out),
            XbotMessage::ReplaceReply {
                initiator,
                old,
                accepted,
            } => self.on_replace_reply(from, initiator, old, accepted, random, out),
            XbotMessage::OptimizeReply { old, accepted } => {
                self.on_optimize_reply(from, old, accepted, random, out);
            }
        }
    }

    /// The node that was to become the neighbor of the one given up has answered.
    fn on_switch_reply<R: Rng>(
        &mut self,
        old: P,
        initiator: P,
        candidate: P,
        accepted: bool,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let role = Role::Disconnected {
            initiator,
            candidate,
            old,
        };
        if self.end_role(role) {
            let reply = XbotMessage::ReplaceReply {
                initiator,
                old,
                accepted: accepted && self.trade(candidate, old, random, out),
            };
            self.say(candidate, reply, out);
        }
    }

    /// The neighbor that was to be given up has answered.
    fn on_replace_reply<R: Rng>(
        &mut self,
        from: P,
        initiator: P,
        old: P,
        accepted: bool,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        if self.end_role(Role::Candidate { disconnected: from }) {
            if accepted {
                self.drop_out(from, out);
                self.admit(initiator, random, out);
            }
            self.say(initiator, XbotMessage::OptimizeReply { old, accepted }, out);
        }
    }

    /// The candidate has answered.
    fn on_optimize_reply<R: Rng>(
        &mut self,
        from: P,
        old: P,
        accepted: bool,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let role = Role::Initiator {
            candidate: from,
            old,
        };
        if self.end_role(role) && accepted {
            self.part_from(old, random, out);
            self.admit(from, random, out);
        }
        self.seek(random, out);
    }

    fn on_optimize<R: Rng>(&mut self, from: P, old: P, random: &mut R, out: &mut Outputs<P>) {
        if !self.active.contains(from) && !self.is_full() {
            self.admit(from, random, out);
            self.say(
                from,
                XbotMessage::OptimizeReply {
                    old,
                    accepted: true,
                },
                out,
            );
            return;
        }
        let farthest = self.farthest(from).map(|(peer, _)| peer);
        let free = self.xbot.role.is_none() && !self.active.contains(from);
        match farthest.filter(|_| free) {
            Some(disconnected) => {
                self.take_role(Role::Candidate { disconnected }, out);
                let message = XbotMessage::Replace {
                    initiator: from,
                    old,
                };
                self.say(disconnected, message, out);
            }
            None => self.say(
                from,
                XbotMessage::OptimizeReply {
                    old,
                    accepted: false,
                },
                out,
            ),
        }
    }

    fn on_replace<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        [initiator, old]: [P; 2],
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let possible = self.active.contains(from)
            && !self.active.contains(old)
            && old != self.me
            && self.may_exchange(from, old);
        if possible && self.xbot.role.is_none() {
            self.take_role(
                Role::Disconnected {
                    initiator,
                    candidate: from,
                    old,
                },
                out,
            );
            self.measure(now, old, random, out);
        } else {
            self.say(
                from,
                XbotMessage::ReplaceReply {
                    initiator,
                    old,
                    accepted: false,
                },
                out,
            );
        }
    }

    fn on_pong<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        nonce: u64,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let answered = |ping: &PingSent<P>| ping.to == from && ping.nonce == nonce;
        let index = self.xbot.pings.iter().position(answered);
        match index.and_then(|index| self.xbot.pings.remove(index)) {
            Some(ping) if ping.first => self.ping(now, from, false, random, out),
            Some(ping) => self.on_rtt(from, now.since(ping.at), out),
            // Asked too long ago, or never.
            None => {}
        }
    }

    fn on_rtt(&mut self, from: P, rtt: Duration, out: &mut Outputs<P>) {
        self.measured(from, rtt);
        let nearer_than = |rtt_micros: u64| rtt < Duration::from_micros(rtt_micros);
        match self.xbot.role {
            Some(Role::Comparing) if !self.active.contains(from) => {
                if let Some((old, rtt_micros)) = self.farthest(from)
                    && nearer_than(rtt_micros)
                {
                    self.xbot.role = Some(Role::Initiator {
                        candidate: from,
                        old,
                    });
                    self.say(from, XbotMessage::Optimize { old }, out);
                }
            }
            Some(Role::Disconnected {
                initiator,
                candidate,
                old,
            }) if old == from => {
                let rtt_micros = self
                    .active
                    .get_mut(candidate)
                    .and_then(|peer| peer.rtt_micros);
                if rtt_micros.is_some_and(nearer_than) {
                    self.say(
                        old,
                        XbotMessage::Switch {
                            initiator,
                            candidate,
                        },
                        out,
                    );
                } else {
                    self.xbot.role = None;
                    let reply = XbotMessage::ReplaceReply {
                        initiator,
                        old,
                        accepted: false,
                    };
                    self.say(candidate, reply, out);
                }
            }
            _ => {}
        }
    }

    /// Gives one neighbor up for another node. False if it was no neighbor any more, or stays for the sake of the zones.
    fn trade<R: Rng>(&mut self, give_up: P, take: P, random: &mut R, out: &mut Outputs<P>) -> bool {
        let was_there = self.active.contains(give_up) && self.may_exchange(give_up, take);
        if was_there {
            self.part_from(give_up, random, out);
            self.admit(take, random, out);
        }
        was_there
    }

    fn part_from<R: Rng>(&mut self, peer: P, random: &mut R, out: &mut Outputs<P>) {
        if self.active.contains(peer) {
            turn_away(peer, out);
            self.drop_out(peer, out);
            self.learn(peer, &[], random);
        }
    }

    /// The farthest neighbor that may be given up for that node, and its round-trip time. The very farthest ones
    /// stay: they are the long links that keep the overlay in one piece.
    fn farthest(&self, for_peer: P) -> Option<(P, u64)> {
        let kept = self.config.xbot.as_ref()?.unbiased;
        let measured = self.active.entries().iter();
        let mut measured: Vec<(u64, P)> = measured
            .filter_map(|neighbor| Some((neighbor.rtt_micros?, neighbor.peer)))
            .collect();
        measured.sort_unstable_by(|one, other| other.cmp(one));
        let mut others = measured.into_iter().skip(kept);
        let farthest = others.find(|(_, peer)| self.may_exchange(*peer, for_peer));
        farthest.map(|(rtt_micros, peer)| (peer, rtt_micros))
    }

    fn measure<R: Rng>(&mut self, now: Time, peer: P, random: &mut R, out: &mut Outputs<P>) {
        self.ping(now, peer, true, random, out);
    }

    fn ping<R: Rng>(
        &mut self,
        now: Time,
        to: P,
        first: bool,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        if self.xbot.pings.len() == PINGS_MAX {
            self.xbot.pings.pop_front();
        }
        let nonce = random.random();
        self.xbot.pings.push_back(PingSent {
            to,
            nonce,
            at: now,
            first,
        });
        self.say(to, XbotMessage::Ping { nonce }, out);
    }

    fn say(&self, to: P, message: XbotMessage<P>, out: &mut Outputs<P>) {
        if to != self.me {
            out.push(Output::Send {
                to,
                message: Message::Xbot(message),
            });
        }
    }

    fn take_role(&mut self, role: Role<P>, out: &mut Outputs<P>) {
        self.xbot.exchanges = self.xbot.exchanges.wrapping_add(1);
        self.xbot.role = Some(role);
        let id = Timer::XbotDue {
            exchange: self.xbot.exchanges,
        };
        out.push(Output::SetTimer {
            id,
            after: self.config.answer_timeout,
        });
    }

    /// Whether this node still had this role.
    fn end_role(&mut self, role: Role<P>) -> bool {
        let had = self.xbot.role == Some(role);
        if had {
            self.xbot.role = None;
        }
        had
    }
}
