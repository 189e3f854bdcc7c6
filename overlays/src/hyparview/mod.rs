//! HyParView: a small active view that the node is connected to, and a larger passive view of spares.
//!
//! After Leitão, Pereira and Rodrigues, "HyParView: a membership protocol for reliable gossip-based
//! broadcast" (DSN 2007). The active views are symmetric and together form a random graph that stays
//! connected when most nodes fail at once. One file per idea:
//!
//! - this file: inputs to handlers, and the two moves every handler is made of: `admit` and `drop_out`
//! - `join`: newcomers, and leaving
//! - `shuffle`: keeping the passive views fresh
//! - `repair`: replacing lost neighbors, one-sided views
//! - `part`: noticing and mending an overlay in several parts
//! - `xbot`: near neighbors instead of random ones (optional)
//! - `zone`: most neighbors from the node's own zone, some from others, where there are zones
//!
//! Beyond the paper: a sign of life per period, because a lost message can leave a view one-sided; a
//! name for each connected part, because parts that have lost each other would not notice; a memory of
//! lost neighbors, because two halves of a split cluster soon forget each other's names; an evicted
//! node is told who took its place, because that one is likely to have room.

mod config;
mod join;
mod message;
mod part;
mod repair;
mod shuffle;
#[cfg(test)]
mod tests;
mod view;
mod xbot;
mod zone;

use rand::Rng;
use serde::Serialize;

pub use config::{Config, XbotConfig};
pub use message::{Message, Part, SHUFFLE_PEERS_MAX, WALK_HOPS_MAX, XbotMessage};

use crate::event::{Command, Event, Input, InputOf, Output, OutputOf, Overlay, Peer, Protocol};
use crate::time::Time;
use part::Belonging;
use repair::{Asked, Backoff, Lost};
use view::{ActiveView, PassiveView};
use xbot::Xbot;
use zone::Zone;

/// Timers of HyParView.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Timer {
    /// One cycle is over.
    PeriodOver,
    /// The node asked to be a neighbor should have answered by now.
    AnswerDue {
        /// Which question.
        question: u32,
    },
    /// The exchange of neighbors should be done by now.
    XbotDue {
        /// Which exchange.
        exchange: u32,
    },
}

type Outputs<P> = Vec<Output<P, Message<P>, Timer>>;

/// The overlay state of one node.
#[derive(Debug)]
pub struct HyParView<P> {
    me: P,
    config: Config,
    active: ActiveView<P>,
    passive: PassiveView<P>,
    /// Nodes that this one joined through, tried again when nobody else is left.
    contacts: Vec<P>,
    /// The node that was asked to be a neighbor and has not answered.
    asked: Option<Asked<P>>,
    questions: u32,
    /// Nodes that refused in this period.
    refused: Vec<P>,
    /// The active view was at most half full when the last period ended.
    lonely: bool,
    backoff: Backoff,
    /// Neighbors still to be exchanged for random spares, one per period.
    mixes_due: u32,
    belonging: Belonging<P>,
    /// The neighbors have been told the part since the last period ended.
    told_part: bool,
    /// Periods from now on in each of which a node outside is hailed.
    hails_due: u32,
    /// The node that was hailed last and has not answered.
    hailed: Option<P>,
    lost: Vec<Lost<P>>,
    /// The sample of the last shuffle: the receiver has it now, so this node can do without.
    sample_sent: Vec<P>,
    xbot: Xbot<P>,
    zone: Zone<P>,
    periods: u32,
    left: bool,
}

impl<P: Peer> HyParView<P> {
    /// A node that knows nobody yet.
    #[must_use]
    pub fn new(me: P, config: Config) -> Self {
        Self {
            me,
            config,
            active: ActiveView::new(),
            passive: PassiveView::new(),
            contacts: Vec::new(),
            asked: None,
            questions: 0,
            refused: Vec::new(),
            lonely: false,
            backoff: Backoff::default(),
            mixes_due: repair::MIXES_AFTER_JOIN,
            belonging: Belonging::new(me),
            told_part: false,
            hails_due: part::HAILS_AFTER_CHANGE,
            hailed: None,
            lost: Vec::new(),
            sample_sent: Vec::new(),
            xbot: Xbot::default(),
            zone: Zone::new(),
            periods: 0,
            left: false,
        }
    }

    /// The spare nodes that this one knows of.
    #[must_use]
    pub fn passive_view(&self) -> &[P] {
        self.passive.peers()
    }

    /// Says what is wrong with the views, if anything is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        let active: Vec<P> = self.active.peers().collect();
        let passive = self.passive.peers();
        if active.len() > self.config.active_max || passive.len() > self.config.passive_max {
            return Err(format!(
                "views too large: {} and {}",
                active.len(),
                passive.len()
            ));
        }
        if active.contains(&self.me) || passive.contains(&self.me) {
            return Err("a node is in its own view".into());
        }
        if let Some(peer) = passive.iter().find(|peer| active.contains(peer)) {
            return Err(format!("{peer:?} is in both views"));
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.active.len() >= self.config.active_max
    }

    /// Takes a node into the active view, evicting another one if there is no room. Tells only the
    /// layer above: the caller tells the node.
    fn admit<R: Rng>(&mut self, peer: P, random: &mut R, out: &mut Outputs<P>) {
        if peer == self.me || self.left || self.active.contains(peer) {
            return;
        }
        while self.is_full() {
            let Some(evicted) = self.to_evict_for(peer, random) else {
                return;
            };
            let message = Message::Disconnect {
                leaving: false,
                instead: Some(peer),
            };
            out.push(Output::Send {
                to: evicted,
                message,
            });
            self.drop_out(evicted, out);
            self.learn(evicted, &[], random);
        }
        self.passive.remove(peer);
        self.lost.retain(|lost| lost.peer != peer);
        self.end_question(peer);
        self.active.push(peer);
        self.backoff = Backoff::default();
        out.push(Output::Connect(peer));
        out.push(Output::Event(Event::NeighborUp(peer)));
    }

    /// Takes a node out of the active view. Whether it was there.
    fn drop_out(&mut self, peer: P, out: &mut Outputs<P>) -> bool {
        let was_there = self.active.remove(peer);
        if was_there {
            self.backoff = Backoff::default();
            out.push(Output::Disconnect(peer));
            out.push(Output::Event(Event::NeighborDown(peer)));
        }
        was_there
    }

    /// Puts a node into the passive view, unless it has no business there.
    fn learn<R: Rng>(&mut self, peer: P, dispensable: &[P], random: &mut R) {
        if peer != self.me && !self.active.contains(peer) {
            self.passive
                .insert(peer, self.config.passive_max, dispensable, random);
        }
    }

    fn received<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        message: Message<P>,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        if from == self.me || self.left {
            return;
        }
        if let Some(neighbor) = self.active.get_mut(from) {
            neighbor.heard = true;
        }
        match message {
            Message::Join => self.on_join(from, random, out),
            Message::ForwardJoin { newcomer, hops } => {
                self.on_forward_join(from, newcomer, hops, random, out);
            }
            Message::Neighbor {
                high_priority,
                part,
            } => {
                self.on_neighbor(from, high_priority, random, out);
                self.hear_part(now, from, part, out);
            }
            Message::Accept { part } => {
                self.on_accept(from, random, out);
                self.hear_part(now, from, part, out);
            }
            Message::Refuse => self.on_refuse(from, random, out),
            Message::Disconnect { leaving, instead } => {
                self.on_disconnect(from, leaving, instead, random, out);
            }
            Message::Present { part } => {
                self.on_present(from, random, out);
                self.hear_part(now, from, part, out);
            }
            Message::Hail => self.on_hail(now, from, random, out),
            Message::Here { part, peers } => {
                self.on_here(now, from, part, &peers, random, out);
            }
            Message::Shuffle {
                origin,
                peers,
                hops,
            } => {
                self.on_shuffle(from, origin, peers, hops, random, out);
            }
            Message::ShuffleReply { peers } => self.on_shuffle_reply(&peers, random),
            Message::Xbot(message) => self.on_xbot(now, from, message, random, out),
        }
    }

    fn period_over<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Outputs<P>) {
        if self.left {
            return;
        }
        out.push(Output::SetTimer {
            id: Timer::PeriodOver,
            after: self.config.period,
        });
        self.periods = self.periods.wrapping_add(1);
        self.belonging.period_over(now, self.config.period);
        self.drop_silent(now, out);
        self.begin_shuffle(random, out);
        self.repair(now, random, out);
        self.hail(now, random, out);
        self.begin_xbot(now, random, out);
    }
}

/// Tells a node that it is no neighbor (any more), without naming another in its place.
fn turn_away<P>(peer: P, out: &mut Outputs<P>) {
    let message = Message::Disconnect {
        leaving: false,
        instead: None,
    };
    out.push(Output::Send { to: peer, message });
}

impl<P: Peer> Protocol<P> for HyParView<P> {
    type Message = Message<P>;
    type Timer = Timer;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Start => {
                // Nodes started together must not all shuffle at the same moment.
                let after = self.config.period.mul_f64(rand::RngExt::random(random));
                out.push(Output::SetTimer {
                    id: Timer::PeriodOver,
                    after,
                });
            }
            Input::Received { from, message } => self.received(now, from, message, random, out),
            Input::PeerUp(_) | Input::Congested(_) | Input::Drained(_) | Input::Below(_) => {}
            Input::PeerDown { peer, why } => self.on_peer_down(now, peer, why, random, out),
            Input::Timer(Timer::PeriodOver) => self.period_over(now, random, out),
            Input::Timer(Timer::AnswerDue { question }) => {
                self.on_answer_due(question, random, out);
            }
            Input::Timer(Timer::XbotDue { exchange }) => {
                self.on_xbot_due(exchange, random, out);
            }
            Input::Command(Command::Join(contact)) => self.join(contact, out),
            Input::Command(Command::Leave) => self.leave(out),
            Input::Command(Command::Measured { peer, rtt }) => self.measured(peer, rtt),
            Input::Command(Command::Near { peer, is_near }) => self.zone.note(peer, is_near),
            Input::Command(Command::Woken) => self.tell_part(out),
            // Orders for layers that this stack does not have.
            Input::Command(_) => {}
        }
    }
}

impl<P: Peer> Overlay<P> for HyParView<P> {
    fn neighbors(&self) -> Vec<P> {
        self.active.peers().collect()
    }

    fn next_hop<R: Rng>(&self, to: P, came_from: Option<P>, random: &mut R) -> Option<P> {
        self.hop_towards(to, came_from, random)
    }
}
