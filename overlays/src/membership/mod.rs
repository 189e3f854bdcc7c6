//! Membership: every member known on every node, above any overlay that has a broadcast.
//!
//! A layer: changes are spread by the broadcast below, and what that loses is mended by anti-entropy
//! with one random neighbor per period ([`exchange`]). The failure detector accuses; an accused
//! member refutes by a higher version of itself, or is down when its time is over ([`rules`]). The
//! dead are forgotten after a bounded time and do not come back by gossip of those who missed it.
//!
//! The application's own broadcasts pass through, marked by one byte so that they are told apart.
//!
//! Cost per node and period, while nothing changes: one probe and its answer, one summary.

mod config;
mod exchange;
mod graveyard;
mod message;
mod record;
mod rules;
mod suspicion;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};
use serde::Serialize;

use crate::event::{Command, Event, Input, InputOf, Output, OutputOf, Peer, Protocol};
use crate::failure_detector::{self as detector, Detector};
use crate::message::{DecodeError, decode, encode};
use crate::time::Time;
use exchange::Session;
use graveyard::Graveyard;
use suspicion::Suspicions;

pub(crate) use table::hash_of;

pub use config::Config;
pub use message::{Listed, Message, News};
pub use record::{
    ADDRESSES_MAX, Claim, Details, METADATA_BYTES_MAX, NAME_BYTES_MAX, Statement, Status, Version,
};
pub use table::{BUCKET_MEMBERS_MAX, BUCKETS, Entry, Table, TableFull, bucket_of};

/// First byte of a broadcast of the application.
const KIND_APPLICATION: u8 = 0;
/// First byte of a broadcast of membership.
const KIND_NEWS: u8 = 1;
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
    /// Times that this node refuted its own suspicion or death.
    pub refutations: u64,
    /// Statements about new members refused because the table was full.
    pub refused: u64,
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
    graveyard: Graveyard<P>,
    exchange: Option<Session<P>>,
    /// Statements to be broadcast when the input at hand is dealt with.
    news: Vec<Statement<P>>,
    /// This node has something to say of itself, from `announce_after` on.
    announce: bool,
    announce_after: Time,
    has_left: bool,
    last_period: Time,
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
            config,
            table,
            suspicions: Suspicions::new(),
            graveyard: Graveyard::new(),
            exchange: None,
            news: Vec::new(),
            announce: true,
            announce_after: Time::ZERO,
            has_left: false,
            last_period: Time::ZERO,
            periods: 0,
            counters: Counters::default(),
        })
    }

    /// The same, knowing a table from the start, its own entry included: for experiments that begin
    /// with a complete cluster. Costs next to nothing, as tables share their buckets.
    #[must_use]
    pub fn with_table(mut self, table: Table<P>) -> Self {
        if table.get(&self.me).is_some() {
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

    fn start<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Out<P>) {
        self.last_period = now;
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
                let watched = Around {
                    me: &self.me,
                    table: &self.table,
                };
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
        if now.since(self.last_period) > self.config.forget_after / 2 {
            self.drop_others(out);
        }
        self.last_period = now;
        self.periods = self.periods.wrapping_add(1);
        for peer in self.graveyard.forgotten(now) {
            self.table.remove(&peer);
        }
        if self
            .periods
            .is_multiple_of(self.config.revisit_every.max(1))
            && let Some(to) = self.graveyard.any(random)
        {
            // The number does not matter: that it answers at all says enough.
            let message = Message::Probe(detector::Message::Ping(0));
            out.push(Output::Send { to, message });
        }
        let given_up = period * EXCHANGE_PERIODS;
        self.exchange
            .take_if(|session| !session.is_listing() || now.since(session.progress()) >= given_up);
        if self.exchange.is_none()
            && let Some(with) = self.detector.neighbors().iter().choose(random)
        {
            self.compare_with(now, *with, out);
        }
    }

    fn received(&mut self, now: Time, from: P, message: Message<P>, out: &mut Out<P>) {
        self.heard_from(from, &message, out);
        match message {
            Message::Probe(message) => {
                let mut actions = Vec::new();
                self.detector.received(from, &message, &mut actions);
                self.act(now, actions, out);
            }
            Message::Accused(version) => self.about_me(version, Status::Suspect),
            Message::Summary { sum, .. } if sum == self.table.sum() => {}
            Message::Summary { .. } => out.push(Output::Send {
                to: from,
                message: Message::Buckets {
                    sums: self.table.bucket_sums(),
                    members: self.live_members(),
                },
            }),
            Message::Buckets { sums, members } => {
                self.continue_exchange(from, out, |session, table| {
                    session.sums_came(now, sums, members, table)
                });
            }
            Message::Listing { buckets, members } => {
                let found = exchange::compare(&self.table, &buckets, &members);
                self.apply_all(now, found.deaths, Source::Exchange, out);
                out.push(Output::Send {
                    to: from,
                    message: Message::Answer {
                        statements: found.statements,
                        wanted: found.wanted,
                        more: found.more,
                    },
                });
            }
            Message::Answer {
                statements,
                wanted,
                more,
            } => {
                self.apply_all(now, statements, Source::Exchange, out);
                self.supply(from, &wanted, out);
                self.continue_exchange(from, out, |session, table| {
                    session.answer_came(now, more, table)
                });
            }
            Message::Supply(statements) => {
                self.apply_all(now, statements, Source::Exchange, out);
            }
        }
    }

    /// A member that this node thinks dead or dying speaks: tell it, so that it can refute.
    fn heard_from(&self, from: P, message: &Message<P>, out: &mut Out<P>) {
        let answers = matches!(message, Message::Probe(detector::Message::Ack(_)));
        let speaks = matches!(
            message,
            Message::Probe(detector::Message::Ping(_)) | Message::Summary { .. }
        );
        if !(answers || speaks) {
            return;
        }
        let Some(entry) = self.table.get(&from) else {
            return;
        };
        if entry.status == Status::Alive {
            return;
        }
        out.push(Output::Send {
            to: from,
            message: Message::Accused(entry.version),
        });
        if answers && entry.status == Status::Down && !self.detector.neighbors().contains(&from) {
            // It answers again: the partition between us is over, so the overlay must cross it too.
            out.push(Output::Below(Command::Join(from)));
        }
    }

    fn compare_with(&mut self, now: Time, with: P, out: &mut Out<P>) {
        self.exchange = Some(Session::begin(now, with));
        out.push(Output::Send {
            to: with,
            message: Message::Summary {
                sum: self.table.sum(),
                members: self.live_members(),
            },
        });
    }

    fn continue_exchange(
        &mut self,
        from: P,
        out: &mut Out<P>,
        step: impl FnOnce(&mut Session<P>, &Table<P>) -> Option<Message<P>>,
    ) {
        let Some(mut session) = self.exchange.take_if(|session| *session.with() == from) else {
            return;
        };
        if let Some(message) = step(&mut session, &self.table) {
            self.exchange = Some(session);
            out.push(Output::Send { to: from, message });
        }
    }

    fn supply(&self, to: P, wanted: &[P], out: &mut Out<P>) {
        let known = wanted.iter().filter_map(|peer| self.table.get(peer));
        let statements: Vec<Statement<P>> = known.map(exchange::statement_of).collect();
        if !statements.is_empty() {
            let message = Message::Supply(statements);
            out.push(Output::Send { to, message });
        }
    }

    fn live_members(&self) -> u32 {
        u32::try_from(self.table.live()).unwrap_or(u32::MAX)
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

    fn command(&mut self, command: Command<P>, out: &mut Out<P>) {
        match command {
            Command::Broadcast(payload) => {
                let marked = mark(KIND_APPLICATION, &payload);
                out.push(Output::Below(Command::Broadcast(marked)));
            }
            Command::SetMetadata(metadata) => self.set_metadata(&metadata),
            Command::Leave => {
                self.leave();
                self.tell_news(out);
                out.push(Output::Below(Command::Leave));
            }
            other => out.push(Output::Below(other)),
        }
    }

    fn below<R: Rng>(&mut self, now: Time, event: Event<P>, random: &mut R, out: &mut Out<P>) {
        match event {
            Event::NeighborUp(peer) => {
                out.push(Output::Event(event));
                self.detector.neighbor_up(peer, random);
                if self.exchange.is_none() {
                    self.compare_with(now, peer, out);
                }
            }
            Event::NeighborDown(peer) => {
                out.push(Output::Event(event));
                self.detector.neighbor_down(peer);
                self.exchange.take_if(|session| *session.with() == peer);
            }
            Event::Delivered(mut delivery) if delivery.topic.is_none() => {
                match delivery.payload.split_first() {
                    Some((&KIND_APPLICATION, _)) => {
                        delivery.payload = delivery.payload.slice(1..);
                        out.push(Output::Event(Event::Delivered(delivery)));
                    }
                    Some((&KIND_NEWS, news)) => match decode::<News<P>>(news) {
                        Ok(News(news)) => {
                            self.apply_all(now, news, Source::Broadcast, out);
                        }
                        Err(_) => self.counters.malformed += 1,
                    },
                    _ => self.counters.malformed += 1,
                }
            }
            other => out.push(Output::Event(other)),
        }
    }

    /// Broadcasts what the input at hand gave to say.
    fn tell_news(&mut self, out: &mut Out<P>) {
        for chunk in std::mem::take(&mut self.news).chunks(message::STATEMENTS_MAX) {
            let encoded = encode(&News(chunk.to_vec()));
            let marked = mark(KIND_NEWS, &encoded);
            out.push(Output::Below(Command::Broadcast(marked)));
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
    me: &'a P,
    table: &'a Table<P>,
}

impl<P: Peer> detector::Watched<P> for Around<'_, P> {
    fn is_live(&self, peer: &P) -> bool {
        let entry = self.table.get(peer);
        entry.is_some_and(|entry| entry.status.is_live())
    }

    fn following(&self) -> Option<P> {
        self.table.following(*self.me).next()
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
            return;
        }
        match input {
            Input::Start => self.start(now, random, out),
            Input::Received { from, message } => self.received(now, from, message, out),
            Input::Timer(id) => self.timer(now, id, random, out),
            Input::Command(command) => self.command(command, out),
            Input::Below(event) => self.below(now, event, random, out),
            // Lanes are the overlay's.
            Input::PeerUp(_) | Input::PeerDown(_) => {}
        }
        self.announce_if_due(now);
        self.tell_news(out);
    }
}

fn mark(kind: u8, payload: &[u8]) -> Bytes {
    let mut marked = BytesMut::with_capacity(1 + payload.len());
    marked.put_u8(kind);
    marked.put_slice(payload);
    marked.freeze()
}
