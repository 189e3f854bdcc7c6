//! The log of a lane: what outlives its connections.
//!
//! The messages that wait for a connection or for their turn, the ledger of what became of every
//! message, and the counters. Bounded twice: what waits, by the gate that senders reserve at
//! (`queue_bytes_max`), and what is under way, here, by a window. Owned by the lane; it
//! knows neither connections nor gates.
//!
//! What is accepted while there is no connection is held (`held`) until there is one, or none can be made.
//!
//! When a connection ends, `end_link` settles everything, unless the channel keeps its messages until they
//! are acknowledged (`kept`): then all that is not goes back to what is held, `meet` trims it by what the
//! peer says on the next connection, and the rest is sent again, or given up after a while.

use std::time::{Duration, Instant};

use super::held::Held;
use super::kept::Kept;
use super::latest::Latest;
use crate::awaited::{Awaited, number};
use crate::channel_plan::ChannelPlan;
use crate::config::OnRestart;
use crate::deadline::{Moment, earlier};
use crate::delivery::{
    AckError, Acknowledged, BadProgress, Incoming, Met, Outgoing, Payoff, Receipts, Report, Window,
    WindowLimits,
};
use crate::mailboxes::{MailboxId, Mailboxes};
use crate::shard::outbox::{Batch, ChunkPool, Dropped, Expired, Fragments, Load, Outbox};
use crate::shard::tally::LaneTally;
use crate::spans::Spans;
use crate::wire::{Ack, Progress};

/// Why a connection cannot carry a message that was accepted, before there was one or for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// It has no id left for the mailbox.
    NoMailboxId,
    /// The peer takes less in one message.
    TooLarge,
    /// The peer reads no extensions.
    OldPeer,
    /// A fault on purpose drops it.
    Fault,
}

impl Unsendable {
    pub(crate) const ALL: [Self; 4] = [
        Self::NoMailboxId,
        Self::TooLarge,
        Self::OldPeer,
        Self::Fault,
    ];

    /// For whoever is told of it.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::NoMailboxId => "the lane carries no more mailboxes: see mailboxes_per_lane_max",
            Self::TooLarge => "larger than the peer takes: see its message_bytes_max",
            Self::OldPeer => {
                "the peer speaks version 1 of the wire, which has neither requests nor metadata nor deadlines"
            }
            Self::Fault => "a fault on purpose dropped it: see `overlane fault list`",
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Log {
    /// What waits for its turn on the connection.
    pub(crate) outbox: Outbox,
    /// What waits for a connection.
    pub(crate) held: Held,
    /// Of a monotonic channel: what waits until the connection can take it.
    pub(crate) latest: Latest,
    pub(crate) ledger: Outgoing,
    /// Of the messages that are under way.
    pub(crate) receipts: Receipts,
    /// Receipts of recorded messages that were just handed over, until they are told so.
    pub(crate) recorded: Vec<u64>,
    /// Of those of a causal channel: their numbers.
    numbers: Option<Box<Receipts>>,
    /// Of a channel that keeps its messages.
    kept: Option<Box<Kept>>,
    on_restart: OnRestart,
    /// What may be under way.
    window: Window,
    /// There are acknowledgements of another node, by which the window can go.
    adapts: bool,
    /// Messages wait until acknowledgements make room.
    held_back: bool,
    /// By cause: settled because the connection cannot carry them, and not reported yet.
    unsendable_unreported: [u64; Unsendable::ALL.len()],
    /// Ended by their deadline, and not reported yet.
    expired_unreported: Report,
    /// Dropped by the shard to make room; the gate counts those that senders dropped.
    overflowed: u64,
    /// How many of both have been reported, or need no report.
    overflow_reported: u64,
    /// Whether compressing pays.
    pub(crate) payoff: Payoff,
    pub(crate) tally: LaneTally,
}

impl Log {
    /// `id` is one that this node has given to no other log; 0 for a log that keeps no messages, whatever
    /// the channel does: that of the lane to this node itself, which nothing interrupts.
    pub(crate) fn new(plan: &ChannelPlan, id: u64) -> Self {
        let keeps = plan.reliability.keeps_messages() && id != 0;
        let adapts = id != 0 && plan.reliability.is_acknowledged();
        Self {
            kept: keeps.then(|| Box::new(Kept::new(id))),
            on_restart: plan.config.on_restart,
            // There are no ids on the lane to this node itself, and those of one connection mean nothing on
            // the next.
            outbox: if keeps || id == 0 {
                Outbox::noting_mailboxes()
            } else {
                Outbox::default()
            },
            held: Held::default(),
            latest: Latest::default(),
            receipts: Receipts::default(),
            recorded: Vec::new(),
            numbers: (plan.causal.is_some() && keeps).then(Box::default),
            ledger: Outgoing::new(plan.reliability),
            window: Window::new(window_limits(plan, adapts)),
            adapts,
            held_back: false,
            unsendable_unreported: [0; Unsendable::ALL.len()],
            expired_unreported: Report::default(),
            overflowed: 0,
            overflow_reported: 0,
            payoff: Payoff::default(),
            tally: LaneTally::default(),
        }
    }

    /// The channel's parameters are others from now on.
    pub(crate) fn retune(&mut self, plan: &ChannelPlan) {
        self.on_restart = plan.config.on_restart;
        self.window.retune(window_limits(plan, self.adapts));
        self.outbox.set_depth(self.window.bytes());
        self.payoff = Payoff::default();
    }

    /// Accepts a message that cannot be sent, and settles it at once.
    pub(crate) fn accept_unsent(&mut self) {
        self.ledger.accept(1);
        self.ledger.drop_queued(1);
    }

    /// Settles an accepted message that the connection cannot carry.
    pub(crate) fn settle_unsendable(&mut self, cause: Unsendable) {
        self.ledger.drop_queued(1);
        self.unsendable_unreported[cause as usize] += 1;
    }

    /// How many of those have not been reported yet; they count as reported now.
    pub(crate) fn take_unsendable(&mut self, cause: Unsendable) -> u64 {
        std::mem::take(&mut self.unsendable_unreported[cause as usize])
    }

    /// Drops the message that has waited longest, unless it is the only one.
    pub(crate) fn drop_oldest(&mut self, pool: &mut ChunkPool) -> Option<Dropped> {
        if self.waiting() <= 1 {
            return None;
        }
        let dropped = if !self.held.is_empty() {
            self.held.drop_front(pool)?
        } else if self.outbox.messages() > 0 {
            self.outbox.drop_front(pool)?
        } else {
            self.latest.drop_front()?
        };
        self.ledger.drop_queued(1);
        self.overflowed += 1;
        Some(dropped)
    }

    /// Not later than the deadline of any message that waits; `None` if none has one.
    #[inline]
    pub(crate) fn first_due(&self) -> Option<Moment> {
        let first_due = earlier(self.outbox.first_due(), self.held.first_due());
        earlier(first_due, self.latest.first_due())
    }

    /// Settles the messages that wait and are worth nothing any more. Returns what is charged no longer, and
    /// the receipts among them.
    pub(crate) fn expire(&mut self, now: Moment, pool: &mut ChunkPool) -> Gone {
        let Expired {
            mut load,
            places,
            receipts,
            numbers,
        } = self.outbox.expire(pool, now, 0);
        let mut unknown = 0;
        let mut gone = Gone {
            numbers,
            ..Gone::default()
        };
        if let Some(kept) = &mut self.kept {
            let were_sent = kept.close_expired(&places);
            unknown = were_sent;
            // Those that were sent are ahead of the others.
            let first_unsent = places.get(usize::try_from(were_sent).unwrap_or(usize::MAX));
            let first_unsent = first_unsent.copied().unwrap_or(u64::MAX);
            gone.note(receipts, first_unsent);
        } else {
            gone.note(receipts, 0);
        }
        let open = self.kept.as_ref().map_or(0, |kept| kept.open);
        if !self.held.is_empty() {
            let expired = self.held.expire(pool, now, open);
            load.messages += expired.load.messages;
            load.payload_bytes += expired.load.payload_bytes;
            gone.note(expired.receipts, open);
            gone.numbers.extend(expired.numbers);
            if let Some(kept) = &mut self.kept {
                let given_up = expired.places.into_iter().filter(|place| *place < open);
                let before = kept.given_up.len();
                kept.given_up.extend(given_up);
                unknown += (kept.given_up.len() - before) as u64;
                kept.given_up.sort_unstable();
            }
        }
        let (expired, receipts) = self.latest.expire(now);
        load.add(expired);
        gone.undelivered.extend(receipts);
        self.ledger.expire(load.messages - unknown, unknown);
        self.expired_unreported.undelivered += load.messages - unknown;
        self.expired_unreported.unknown += unknown;
        gone.load = load;
        gone
    }

    /// What ended by its deadline and nobody has reported yet; it counts as reported now.
    pub(crate) fn take_expired(&mut self) -> Report {
        std::mem::take(&mut self.expired_unreported)
    }

    /// Whether there is such.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired_unreported != Report::default()
    }

    /// Messages that wait for a connection, without those that were given up.
    fn held_messages(&self) -> u64 {
        let kept = self.kept.as_ref();
        self.held.messages() - kept.map_or(0, |kept| kept.given_up.len() as u64)
    }

    /// How many messages the overflow policy dropped and nobody has reported yet; they count as
    /// reported now. `at_gate` is how many senders dropped since the lane was made.
    pub(crate) fn take_overflow(&mut self, at_gate: u64) -> u64 {
        let all = self.overflowed + at_gate;
        let reported = std::mem::replace(&mut self.overflow_reported, all);
        all - reported
    }

    /// Moves what is next into `batch`: control frames, and messages up to `quantum` bytes as far as
    /// the bound on what is under way allows. A batch always passes when nothing is under way.
    pub(crate) fn hand_over(
        &mut self,
        batch: &mut Batch,
        pool: &mut ChunkPool,
        quantum: usize,
        now: Instant,
        moment: Moment,
    ) -> Load {
        let unacknowledged = self.ledger.unacknowledged_bytes();
        let room = self.window.bytes().saturating_sub(unacknowledged);
        let load = if room == 0 && unacknowledged > 0 {
            self.held_back = self.outbox.messages() > 0;
            if self.held_back {
                self.window.holds_back();
            }
            self.outbox.fill_control(batch)
        } else {
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            self.outbox.fill(batch, quantum.min(room), moment)
        };
        self.ledger.fragments_handed_over(load.ahead_bytes);
        let bytes = load.payload_bytes - load.earlier_bytes;
        self.ledger.handed_over(load.messages, bytes, now);
        if self.ledger.reliability().is_acknowledged() {
            self.window.handed_over(bytes + load.ahead_bytes, now);
        }
        self.note_receipts(batch, load.messages);
        if let Some(kept) = &mut self.kept {
            batch.settle(pool);
            batch.chunks().iter().for_each(|chunk| kept.keep(chunk));
        }
        load
    }

    fn note_receipts(&mut self, batch: &Batch, messages: u64) {
        let is_acknowledged = self.ledger.reliability().is_acknowledged();
        let mut receipts = Vec::new();
        let mut ahead = 0;
        for chunk in batch.chunks() {
            chunk.each_awaited(|place, awaited| {
                if let Awaited::Receipt(number) = awaited {
                    if Spans::is_recorded(number) {
                        self.recorded.push(number);
                    }
                    if is_acknowledged {
                        receipts.push((ahead + place, number));
                    }
                }
            });
            ahead += chunk.messages();
        }
        self.receipts.handed_over(messages, receipts);
        if let Some(numbers) = &mut self.numbers {
            note_numbers(numbers, batch, messages);
        }
    }

    /// Whether its messages have numbers, by which others wait for them.
    #[inline]
    pub(crate) fn has_numbers(&self) -> bool {
        self.numbers.is_some()
    }

    /// `messages` more are acknowledged: returns their numbers.
    pub(crate) fn acknowledge_numbers(&mut self, messages: u64) -> Vec<u64> {
        let numbers = self.numbers.as_mut();
        numbers.map_or_else(Vec::new, |numbers| numbers.acknowledge(messages).collect())
    }

    /// Takes an acknowledgement of the peer; `latency` is called with how long it took.
    pub(crate) fn acknowledge(
        &mut self,
        ack: Ack,
        now: Instant,
        latency: impl FnMut(Duration, u64),
    ) -> Result<Acknowledged, AckError> {
        let news = self.ledger.acknowledge(ack, now, latency)?;
        self.follow_window(now);
        if let Some(kept) = &mut self.kept {
            kept.resume.acknowledged(news.messages, news.refused);
        }
        Ok(news)
    }

    /// The same for what has come of a message in fragments; how many bytes of that are news.
    pub(crate) fn acknowledge_fragments(
        &mut self,
        bytes: u32,
        now: Instant,
    ) -> Result<u64, AckError> {
        let news = self.ledger.acknowledge_fragments(bytes)?;
        self.follow_window(now);
        Ok(news)
    }

    fn follow_window(&mut self, now: Instant) {
        let before = self.window.bytes();
        self.window
            .acknowledged(self.ledger.unacknowledged_bytes(), now);
        if self.window.bytes() != before {
            self.outbox.set_depth(self.window.bytes());
        }
    }

    /// `messages` more are acknowledged: returns what need not be kept for it any more.
    pub(crate) fn let_go(&mut self, messages: u64, pool: &mut ChunkPool) -> Load {
        let Some(kept) = &mut self.kept else {
            return Load::default();
        };
        let left = kept.acknowledge(messages, pool);
        if self.outbox.messages() == 0 {
            kept.give_names_back();
        }
        left
    }

    /// Whether messages are kept until they are acknowledged.
    #[inline]
    pub(crate) fn keeps_messages(&self) -> bool {
        self.kept.is_some()
    }

    /// Messages for that mailbox go into the outbox.
    #[inline]
    pub(crate) fn hold_name(&mut self, names: &Mailboxes, mailbox: MailboxId) {
        if let Some(kept) = &mut self.kept {
            kept.hold_name(names, mailbox);
        }
    }

    /// What to state of this lane in a handshake; see [`Resume::progress`](crate::delivery::Resume).
    pub(crate) fn progress(&self, to: Option<u64>) -> Progress {
        match &self.kept {
            Some(kept) => kept.resume.progress(to),
            None => Progress::default(),
        }
    }

    /// The process of the peer whose counts the log has, if it is kept over connections and there was one.
    pub(crate) fn peer_incarnation(&self) -> Option<u64> {
        self.kept.as_ref()?.resume.incarnation()
    }

    /// The id of the log, 0 if it is not kept over connections.
    pub(crate) fn id(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.resume.log())
    }

    /// There is a connection to the process of that incarnation, which has stated `theirs`: what it has
    /// processed already leaves what is held. See [`Resume::meet`](crate::delivery::Resume).
    ///
    /// # Errors
    /// The peer cannot mean it: the connection has to end.
    pub(crate) fn meet(
        &mut self,
        theirs: Progress,
        incarnation: u64,
        dialed: bool,
        renewed: u64,
        pool: &mut ChunkPool,
    ) -> Result<Resumed, BadProgress> {
        let Some(kept) = &mut self.kept else {
            return Ok(Resumed::default());
        };
        let met = kept
            .resume
            .meet(theirs, incarnation, kept.open, dialed, renewed)?;
        // Those have ended already, whatever the peer says of them.
        let given_up = std::mem::take(&mut kept.given_up);
        self.held.remove(pool, &given_up);
        kept.open -= given_up.len() as u64;
        let has_numbers = self.numbers.is_some();
        let mut resumed = Resumed::default();
        match met {
            Met::Known(runs) => {
                let mut place = 0;
                for run in runs {
                    let ends = place + run.messages;
                    let ended = given_up.partition_point(|ended| *ended < ends)
                        - given_up.partition_point(|ended| *ended < place);
                    place = ends;
                    let open = without(run, ended as u64);
                    self.ledger.cover(open);
                    kept.open -= open.messages;
                    let receipts = resumed.settle(open.messages, &mut self.held, has_numbers, pool);
                    resumed.processed.push((open, receipts));
                }
            }
            Met::Lost if self.on_restart == OnRestart::Report => {
                resumed.unknown = std::mem::take(&mut kept.open);
                self.ledger.give_up(resumed.unknown);
                resumed.lost = resumed.settle(resumed.unknown, &mut self.held, has_numbers, pool);
            }
            Met::Lost | Met::Fresh => {}
        }
        Ok(resumed)
    }

    /// Whether what is put into the outbox can leave it now; if not, the next acknowledgement is an occasion to
    /// ask again.
    pub(crate) fn has_window(&mut self) -> bool {
        let unacknowledged = self.ledger.unacknowledged_bytes();
        let is_open = unacknowledged == 0 || unacknowledged < self.window.bytes();
        if !is_open {
            self.held_back = true;
            self.window.holds_back();
        }
        is_open
    }

    /// Whether messages waited for acknowledgements and need wait no longer; asked once after each.
    pub(crate) fn may_go_on(&mut self) -> bool {
        let room = self.ledger.unacknowledged_bytes() < self.window.bytes();
        room && std::mem::take(&mut self.held_back)
    }

    /// A new connection: the peer counts from 0, and takes such fragments.
    pub(crate) fn start_link(&mut self, fragments: Option<Fragments>) {
        self.ledger.start_link();
        self.window.start_link();
        self.outbox.set_fragments(fragments);
        self.outbox.set_depth(self.window.bytes());
    }

    /// The connection has ended, on which so much of the peer's messages was `processed`: settles all that was for it, or keeps it
    /// for the next. `at_rest`, nothing was, and what waits in line waits on.
    /// Returns what is charged no longer, and what there is to report.
    pub(crate) fn end_link(
        &mut self,
        processed: Option<&Incoming>,
        at_rest: bool,
        pool: &mut ChunkPool,
    ) -> (Load, Report) {
        self.held_back = false;
        if let Some(kept) = &mut self.kept {
            // Their numbers stand in the messages, which are held.
            drop(self.receipts.end());
            if let Some(numbers) = &mut self.numbers {
                drop(numbers.end());
            }
            if let Some(processed) = processed {
                let refused = processed.refused_total();
                let messages = processed.delivered_total() + refused;
                let refusals = processed.refusals();
                kept.resume.processed(messages, refused, refusals);
            }
            let under_way = self.ledger.take_back();
            let left = kept.hold(&mut self.outbox, &mut self.held, under_way, pool);
            self.outbox.clear(pool);
            return (left, Report::default());
        }
        let mut queued = Load::default();
        if !at_rest {
            queued.add(self.latest.clear());
        }
        let waiting = self.held_messages() + self.latest.messages();
        let report = self.ledger.end_but(waiting);
        queued.add(self.outbox.clear(pool));
        (queued, report)
    }

    /// Messages at the front of what is held that were sent on an earlier connection.
    pub(crate) fn open(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.open)
    }

    /// There will be no connection: settles what is held. Returns what it was, and what there is to report.
    pub(crate) fn drop_held(&mut self, pool: &mut ChunkPool) -> (Load, Report) {
        let mut held = self.latest.clear();
        held.add(self.held.clear(pool));
        let mut unknown = 0;
        if let Some(kept) = &mut self.kept {
            let given_up = std::mem::take(&mut kept.given_up).len() as u64;
            held.messages -= given_up;
            let open = std::mem::take(&mut kept.open);
            kept.resume.give_up(open);
            unknown = open - given_up;
        }
        let undelivered = held.messages - unknown;
        self.ledger.give_up(unknown);
        self.ledger.drop_queued(undelivered);
        let report = Report {
            undelivered,
            unknown,
        };
        (held, report)
    }

    /// Whether everything accepted is settled and nothing is left to say.
    pub(crate) fn is_drained(&self) -> bool {
        self.outbox.is_empty() && self.ledger.is_drained()
    }

    /// Whether everything that was for the connection is settled, and nothing is left to say on it. While the lane
    /// comes to rest (`rests`), what waits in line is for the next one.
    pub(crate) fn is_link_drained(&self, rests: bool) -> bool {
        let in_line = if rests { self.latest.messages() } else { 0 };
        let queued = self.ledger.queued() - self.held_messages() - in_line;
        self.outbox.is_empty() && queued == 0 && self.ledger.in_flight() == 0
    }

    /// Messages that were put on a connection so far.
    pub(crate) fn put_on_links(&self) -> u64 {
        self.ledger.sent() + self.ledger.queued() - self.held_messages()
    }

    /// Messages that wait for their turn or a connection.
    pub(crate) fn waiting(&self) -> u64 {
        self.outbox.messages() + self.held_messages() + self.latest.messages()
    }
}

/// Notes the numbers of messages that are handed over.
#[cold]
fn note_numbers(numbers: &mut Receipts, batch: &Batch, messages: u64) {
    let mut places = Vec::new();
    let mut ahead = 0;
    for chunk in batch.chunks() {
        chunk.each_number(|place, number| places.push((ahead + place, number)));
        ahead += chunk.messages();
    }
    numbers.handed_over(messages, places);
}

/// Those of a lane's window.
fn window_limits(plan: &ChannelPlan, adapts: bool) -> WindowLimits {
    let mut limits = plan.window_limits;
    if !adapts {
        limits.budget = Duration::ZERO;
    }
    limits
}

/// What was ended by its deadline.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    /// What is charged at the gate no longer.
    pub(crate) load: Load,
    /// Receipts of messages that were surely not delivered, and of those that may have been.
    pub(crate) undelivered: Vec<u64>,
    pub(crate) unknown: Vec<u64>,
    /// The numbers that they all had on a causal channel.
    pub(crate) numbers: Vec<u64>,
}

impl Gone {
    /// Notes receipts with the places of their messages; those ahead of `unsent` were sent once.
    fn note(&mut self, receipts: Vec<(u64, u64)>, unsent: u64) {
        for (place, number) in receipts {
            if place < unsent {
                self.unknown.push(number);
            } else {
                self.undelivered.push(number);
            }
        }
    }
}

/// What came of meeting the peer on a new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// What is charged at the gate no longer.
    pub(crate) released: Load,
    /// Messages that the peer has processed after all, in order, with the receipts among them.
    pub(crate) processed: Vec<(Acknowledged, Vec<u64>)>,
    /// Messages of which it is not known what became of them, and the receipts among them.
    pub(crate) unknown: u64,
    pub(crate) lost: Vec<u64>,
    /// The numbers on a causal channel of all that is settled.
    pub(crate) numbers: Vec<u64>,
}

impl Resumed {
    /// Messages that the peer refused, and how many of those for being late.
    pub(crate) fn refused(&self) -> (u64, u64) {
        let each = self.processed.iter();
        each.fold((0, 0), |(refused, late), (processed, _)| {
            (refused + processed.refused, late + processed.late)
        })
    }

    /// The first `messages` that are held are settled. Returns their receipts.
    fn settle(
        &mut self,
        messages: u64,
        held: &mut Held,
        has_numbers: bool,
        pool: &mut ChunkPool,
    ) -> Vec<u64> {
        let mut receipts = Vec::new();
        for _ in 0..messages {
            if has_numbers {
                let front = held.front();
                let front = front.filter(|front| front.is_extended);
                let number = front.and_then(|front| number(front.payload.as_slice()));
                self.numbers.extend(number);
            }
            let Some(dropped) = held.drop_front(pool) else {
                break;
            };
            self.released.messages += 1;
            self.released.payload_bytes += dropped.bytes;
            if let Some(Awaited::Receipt(number)) = dropped.awaited {
                receipts.push(number);
            }
        }
        receipts
    }
}

/// The same without `messages` of those that it covers, which have ended already.
fn without(processed: Acknowledged, messages: u64) -> Acknowledged {
    let open = processed.messages - messages;
    Acknowledged {
        messages: open,
        refused: processed.refused.min(open),
        late: processed.late.min(open),
    }
}

#[cfg(test)]
mod tests;
