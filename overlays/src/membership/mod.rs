//! Membership: every member known on every node, above any overlay that has a broadcast.
//!
//! A layer: changes are spread by the broadcast below, and what that loses is repaired by anti-entropy
//! with one random neighbor per period (`exchange`). The failure detector accuses; an accused
//! member refutes by a higher version of itself, or is down when its time is over (`rules`). The
//! dead are forgotten after a bounded time and do not come back by gossip of those who missed it.
//!
//! A beacon that everybody must hear finds parts that the overlay has lost (`beacon`).
//!
//! Cost per node and period, while nothing changes: one probe and its answer, one summary, and its
//! share of a beacon.

mod beacon;
mod config;
mod dispute;
mod exchange;
mod graveyard;
mod layer;
mod message;
mod nearness;
mod own;
mod received;
mod record;
mod rules;
mod sleep;
mod suspicion;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};
use serde::Serialize;

use crate::event::{Event, Input, InputOf, Output, OutputOf, Peer, Protocol};
use crate::failure_detector::{self as detector, Detector};
use crate::message::DecodeError;
use crate::time::Time;
use dispute::Disputes;
use exchange::Session;
use graveyard::Graveyard;
use nearness::Nearness;
use suspicion::Suspicions;

pub use crate::event::METADATA_BYTES_MAX;
pub use config::Config;
pub use message::{Listed, Message, News};
pub use record::{
    ADDRESSES_MAX, Claim, Details, Fitness, NAME_BYTES_MAX, RoleWish, Statement, Status, Version,
    ZONE_BYTES_MAX, is_zone,
};
pub use table::{BUCKET_MEMBERS_MAX, BUCKETS, Entry, Table, TableFull, bucket_of};

/// Periods after which an exchange that makes no progress is given up.
const EXCHANGE_PERIODS: u32 = 3;

/// Timers of membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Timer<P> {
    /// Of the failure detector.
    Probe(detector::Timer),
    /// A period is over: compare, forget, revisit.
    Period,
    /// The time of this suspect may be over.
    Grace {
        /// The suspect.
        suspect: P,
        /// The version that is suspected.
        version: Version,
    },
}

/// What did not go as it should. Each counts from the start of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Members that this node's own probes accused.
    pub accusations: u64,
    /// Accusations that were not made, as the member had refuted others just before.
    pub held_back: u64,
    /// Times that this node refuted its own suspicion or death.
    pub refutations: u64,
    /// Statements about new members refused because the table was full.
    pub refused: u64,
    /// Times that this node joined the overlay once more because it missed the beacon.
    pub rejoins: u64,
    /// Times that this node did not run for more than two periods.
    pub sleeps: u64,
    /// Broadcasts that were not understood.
    pub malformed: u64,
}

type Out<P> = Vec<Output<P, Message<P>, Timer<P>>>;

/// The membership layer of one node.
#[derive(Debug)]
pub struct Membership<P> {
    me: P,
    config: Config,
    table: Table<P>,
    detector: Detector<P>,
    suspicions: Suspicions<P>,
    disputes: Disputes<P>,
    graveyard: Graveyard<P>,
    nearness: Nearness<P>,
    exchange: Option<Session<P>>,
    /// Statements to be broadcast when the input at hand is dealt with.
    news: Vec<Statement<P>>,
    /// This node has something to say of itself, from `announce_after` on.
    announce: bool,
    announce_after: Time,
    has_left: bool,
    last_input: Time,
    /// When members of whom nothing was heard since this node slept are given up.
    doubt_until: Time,
    beacon_seen: Time,
    periods: u32,
    counters: Counters,
}

impl<P: Peer> Membership<P> {
    /// The membership of a node that knows only itself. `incarnation` must be greater than at any
    /// earlier start of a node with this identity: a wall clock in milliseconds does.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] names the part of `details` that is out of bounds.
    pub fn new(
        me: P,
        incarnation: u64,
        details: Details,
        config: Config,
    ) -> Result<Self, DecodeError> {
        details.validate()?;
        let nearness = Nearness::new(me, &details.zone);
        let mut table = Table::new(config.members_max.max(1));
        let own = Entry {
            peer: me,
            version: Version::first(incarnation),
            status: Status::Alive,
            details: Arc::new(details),
        };
        // An empty table with room for one takes one.
        let _ = table.set(own);
        Ok(Self {
            me,
            detector: Detector::new(me, config.detector.clone()),
            disputes: Disputes::new(config.grace_least),
            config,
            table,
            suspicions: Suspicions::new(),
            graveyard: Graveyard::new(),
            nearness,
            exchange: None,
            news: Vec::new(),
            announce: true,
            announce_after: Time::ZERO,
            has_left: false,
            last_input: Time::ZERO,
            doubt_until: Time::ZERO,
            beacon_seen: Time::ZERO,
            periods: 0,
            counters: Counters::default(),
        })
    }

    /// The same, knowing a table from the start, its own entry included: for experiments that begin
    /// with a complete cluster. Costs next to nothing, as tables share their buckets.
    #[must_use]
    pub fn with_table(mut self, table: Table<P>) -> Self {
        if table.get(&self.me).is_some() {
            self.nearness.note_all(&table);
            self.table = table;
            self.announce = false;
        }
        self
    }

    /// What this node knows of every member, itself included. A clone is a cheap snapshot.
    #[must_use]
    pub const fn table(&self) -> &Table<P> {
        &self.table
    }

    /// What went wrong so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How many times longer than usual this node waits for others: 1 when it trusts itself.
    #[must_use]
    pub const fn patience(&self) -> u32 {
        self.detector.patience()
    }

    /// Says which promise this layer has broken about its own state, if any.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        let known = self.table.known();
        if known > self.config.members_max {
            return Err(format!("{known} members are known"));
        }
        match self.table.get(&self.me) {
            Some(own) if own.status == Status::Alive => Ok(()),
            own => Err(format!("the node believes of itself: {own:?}")),
        }
    }

    fn start<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Out<P>) {
        self.beacon_seen = now;
        let mut actions = Vec::new();
        self.detector.start(now, random, &mut actions);
        self.act(now, actions, out);
        let phase = random.random_range(0.0..=1.0);
        out.push(Output::SetTimer {
            id: Timer::Period,
            after: self.config.detector.period.mul_f64(phase),
        });
    }

    fn timer<R: Rng>(&mut self, now: Time, id: Timer<P>, random: &mut R, out: &mut Out<P>) {
        match id {
            Timer::Probe(id) => {
                let mut actions = Vec::new();
                let watched = Around { table: &self.table };
                self.detector.timer(now, id, &watched, random, &mut actions);
                self.act(now, actions, out);
            }
            Timer::Period => self.period(now, random, out),
            Timer::Grace { suspect, version } => self.grace_over(now, suspect, version, out),
        }
    }

    fn period<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Out<P>) {
        let period = self.config.detector.period;
        out.push(Output::SetTimer {
            id: Timer::Period,
            after: period,
        });
        self.periods = self.periods.wrapping_add(1);
        for peer in self.graveyard.forgotten(now) {
            self.forget(&peer);
        }
        self.end_doubt(now, out);
        self.look_at_suspects(now, out);
        if self
            .periods
            .is_multiple_of(self.config.revisit_every.max(1))
            && let Some(to) = self.graveyard.any(random)
        {
            // The number does not matter: that it answers at all says enough.
            let message = Message::Probe(detector::Message::Ping(0));
            out.push(Output::Send { to, message });
        }
        self.beacon(now, random, out);
        let given_up = period * EXCHANGE_PERIODS;
        self.exchange
            .take_if(|session| !session.is_listing() || now.since(session.progress()) >= given_up);
        if self.exchange.is_none()
            && let Some(with) = self.detector.neighbors().iter().choose(random)
        {
            self.compare_with(now, *with, out);
        }
    }

    /// Carries out what the failure detector wants.
    fn act(&mut self, now: Time, actions: Vec<detector::Action<P>>, out: &mut Out<P>) {
        for action in actions {
            match action {
                detector::Action::Send { to, message } => out.push(Output::Send {
                    to,
                    message: Message::Probe(message),
                }),
                detector::Action::SetTimer { id, after } => out.push(Output::SetTimer {
                    id: Timer::Probe(id),
                    after,
                }),
                detector::Action::Accuse(peer) => self.accuse(now, peer, out),
            }
        }
    }
}

/// Where a statement came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Somebody saw it happen, and told everybody.
    Broadcast,
    /// Somebody's table has it, perhaps since long.
    Exchange,
}

/// The members around this node, as the failure detector sees them.
struct Around<'a, P> {
    table: &'a Table<P>,
}

impl<P: Peer> detector::Watched<P> for Around<'_, P> {
    fn is_live(&self, peer: &P) -> bool {
        let entry = self.table.get(peer);
        entry.is_some_and(|entry| entry.status.is_live())
    }

    fn following(&self, peer: P) -> Option<P> {
        self.table.following(peer).next()
    }

    fn near(&self, random: u64) -> Option<P> {
        self.table.near(random)
    }
}

impl<P: Peer> Protocol<P> for Membership<P> {
    type Message = Message<P>;
    type Timer = Timer<P>;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        if self.has_left {
            // What is below still tells of the neighbors that it parts from, and that it has.
            if let Input::Below(
                event @ (Event::NeighborUp(_) | Event::NeighborDown(_) | Event::Left),
            ) = input
            {
                out.push(Output::Event(event));
            }
            return;
        }
        self.notice_sleep(now, &input, out);
        match input {
            Input::Start => self.start(now, random, out),
            Input::Received { from, message } => self.received(now, from, message, out),
            Input::Timer(id) => self.timer(now, id, random, out),
            Input::Command(command) => self.command(command, out),
            Input::Below(event) => self.below(now, event, random, out),
            // Lanes are the overlay's.
            Input::PeerUp(_) | Input::PeerDown { .. } | Input::Congested(_) | Input::Drained(_) => {
            }
        }
        self.announce_if_due(now);
        self.tell_news(out);
        self.tell_nearness(out);
    }
}
