//! A log whose messages have deadlines and tags, and of which large ones go out in fragments, held against a
//! list of what each message has come to, over random sends, acknowledgements, cuts, times away and new
//! connections.

use super::*;
use crate::attributes::Attributes;
use crate::config::Reliability;
use crate::delivery::schedules::seeds;
use crate::extended::extended;
use crate::mailboxes::Mailboxes;
use crate::ring::PayloadPool;
use crate::shard::outbox::Fragments;
use crate::wire::extension::{deadline_of, extension_block_bytes};
use crate::wire::frame::message_header;
use crate::wire::{Endings, FrameKind, FrameLimits, Next, next_frame};

const LOG: u64 = 1;
const PEER: u64 = 5;
const SCHEDULES: u64 = 3000;

/// What the model knows of a message that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    id: u32,
    mailbox: MailboxId,
    due: Option<u32>,
    order: OrderTag,
    /// It was held while there was no connection: its tag is not known any more.
    was_held: bool,
    /// Some of it is out, in fragments.
    is_begun: bool,
    /// On an earlier connection.
    was_sent: bool,
    /// Its deadline came while there was no connection, and the peer may have it.
    given_up: bool,
}

#[derive(Debug, Default)]
struct Ended {
    acknowledged: u64,
    undelivered: u64,
    unknown: u64,
}

struct Schedule {
    random: fastrand::Rng,
    log: Log,
    keeps: bool,
    pool: ChunkPool,
    batch: Batch,
    payloads: std::sync::Arc<PayloadPool>,
    names: Mailboxes,
    mailboxes: [MailboxId; 3],
    ms: u32,
    next: u32,
    /// In order: what is under way, then what waits.
    open: Vec<Open>,
    under_way: usize,
    is_up: bool,
    /// Of this log, over all connections: by the peer, and as far as this end knows.
    processed: u64,
    known: u64,
    has_met: bool,
    processed_on_link: u64,
    ended: Ended,
    keeps_order: bool,
    wire: Wire,
}

/// What has come out on the connection.
#[derive(Default)]
struct Wire {
    /// The message that is put together, and how many bytes of it are still to come.
    assembly: Option<(Vec<u8>, usize)>,
    /// Of fragments that did not complete their message, modulo 2^32.
    fragment_bytes: u32,
    fragments: u64,
    messages: u64,
}

const LIMITS: FrameLimits = FrameLimits {
    body_bytes_max: 1 << 20,
    extensions: true,
    codec: None,
    fragments: true,
};

impl Wire {
    /// Takes the bytes of a batch. Returns the messages that are complete, by id.
    fn take(&mut self, mut bytes: &[u8]) -> Vec<u32> {
        let mut complete = Vec::new();
        loop {
            match next_frame(bytes, &LIMITS).expect("well formed") {
                Next::Frame(frame, consumed) => {
                    if frame.kind == FrameKind::Message {
                        complete.push(id_of(frame.body));
                    }
                    bytes = &bytes[consumed..];
                }
                Next::Fragment(fragment, consumed) => {
                    let (now, rest) = bytes[consumed..].split_at(fragment.bytes);
                    bytes = rest;
                    if let Some(first) = fragment.first {
                        assert!(self.assembly.is_none(), "one at a time");
                        let header = message_header(first, fragment.word).to_vec();
                        self.assembly = Some((header, first.message_bytes as usize));
                    }
                    let (message, left) = self.assembly.as_mut().expect("it has begun");
                    message.extend_from_slice(now);
                    *left -= now.len();
                    self.fragments += 1;
                    if *left == 0 {
                        let (message, _) = self.assembly.take().expect("it is there");
                        complete.extend(Self::default().take(&message));
                    } else {
                        let bytes = u32::try_from(now.len()).expect("short");
                        self.fragment_bytes = self.fragment_bytes.wrapping_add(bytes);
                    }
                }
                Next::Skip { .. } => unreachable!("nothing optional is sent"),
                Next::Incomplete { .. } => {
                    assert!(bytes.is_empty(), "batches end with a frame");
                    self.messages += complete.len() as u64;
                    return complete;
                }
            }
        }
    }

    /// The message that is in fragments.
    fn begun(&self) -> Option<u32> {
        let (message, left) = self.assembly.as_ref()?;
        // As if it were complete: only its first bytes matter.
        let whole = [&message[..], &vec![0; *left]].concat();
        match next_frame(&whole, &LIMITS) {
            Ok(Next::Frame(frame, _)) => Some(id_of(frame.body)),
            other => panic!("{other:?}"),
        }
    }
}

fn id_of(body: &[u8]) -> u32 {
    body.first_chunk().map_or(0, |id| u32::from_le_bytes(*id))
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let keeps = random.bool();
        let config = ChannelConfig::new("data").unacknowledged_bytes_max(1_usize << 20);
        let config = config.window_budget_us(if random.bool() { 2000 } else { 0 });
        let config = config.reliability(if keeps {
            Reliability::Guaranteed
        } else {
            Reliability::Reliable
        });
        let names = Mailboxes::new(Vec::new());
        // Held as long as the process.
        let mailboxes = ["in", "out", "more"].map(|name| names.get(name).expect("a name"));
        let mailboxes = Box::leak(Box::new(mailboxes))
            .each_ref()
            .map(|held| held.id());
        let mut schedule = Self {
            ms: random.u32(..),
            keeps_order: random.bool(),
            wire: Wire::default(),
            random,
            log: log(config),
            keeps,
            pool: ChunkPool::default(),
            batch: Batch::default(),
            payloads: PayloadPool::new(),
            names,
            mailboxes,
            next: 0,
            open: Vec::new(),
            under_way: 0,
            is_up: false,
            processed: 0,
            known: 0,
            has_met: false,
            processed_on_link: 0,
            ended: Ended::default(),
        };
        schedule.connect();
        schedule
    }

    fn step(&mut self) {
        self.ms = self.ms.wrapping_add(self.random.u32(0..3));
        match self.random.u8(0..20) {
            0..8 => self.accept(),
            8..12 => self.send(),
            12..16 => self.acknowledge(),
            16..18 => self.expire(),
            18 if self.is_up => self.cut(),
            _ if !self.is_up => self.connect(),
            _ => {}
        }
        let live = self.open.iter().filter(|message| !message.given_up);
        let waiting = live.count() - self.under_way;
        assert_eq!(self.log.waiting(), waiting as u64);
        assert_eq!(self.log.ledger.queued(), waiting as u64);
        let ledger = &self.log.ledger;
        let (unknown, undelivered) = (self.ended.unknown, self.ended.undelivered);
        assert_eq!(ledger.reported(), unknown + undelivered);
        assert_eq!(ledger.acknowledged(), self.ended.acknowledged);
    }

    fn accept(&mut self) {
        let (id, due) = (
            self.next,
            self.random
                .bool()
                .then(|| self.ms.wrapping_add(self.random.u32(1..20))),
        );
        self.next += 1;
        let mut bytes = id.to_le_bytes().to_vec();
        // Large ones for fragments and for chunks that are full, small ones so that there are many at a time.
        let bytes_max = if self.random.u8(..4) == 0 {
            30_000
        } else {
            300
        };
        bytes.resize(self.random.usize(4..bytes_max), 7);
        let (mut payload, mut is_extended) = (Payload::Borrowed(&bytes[..]), false);
        if due.is_some() || self.random.bool() {
            let attributes = Attributes::new().message_type("t");
            let due = due.map(Moment);
            let message = extended(&self.payloads, None, &attributes, due, &bytes);
            payload = message.expect("it fits").payload;
            is_extended = true;
        }
        let copied = payload.as_slice().to_vec();
        if self.random.bool() {
            payload = Payload::Borrowed(&copied);
        }
        self.log.ledger.accept(1);
        let mailbox = self.mailboxes[self.random.usize(..3)];
        let order = OrderTag::of(self.random.bool().then(|| self.random.u64(0..3)));
        let message = OutgoingMessage {
            mailbox,
            order,
            is_extended,
            payload,
        };
        if self.is_up {
            self.log.hold_name(&self.names, mailbox);
            self.log.outbox.push_message(&mut self.pool, 0, message);
        } else {
            self.log.held.push(&mut self.pool, message);
        }
        self.open.push(Open {
            id,
            mailbox,
            due,
            order,
            was_held: !self.is_up,
            is_begun: false,
            was_sent: false,
            given_up: false,
        });
    }

    /// As a lane does whenever it has its turn.
    fn expire(&mut self) {
        let now = Moment(self.ms);
        if self.log.first_due().is_some_and(|due| due.has_come(now)) {
            self.log.expire(now, &mut self.pool);
        }
        let told = self.log.take_expired();
        let before = (self.ended.undelivered, self.ended.unknown);
        let (is_up, ended) = (self.is_up, &mut self.ended);
        let mut place = 0;
        let under_way = self.under_way;
        self.open.retain_mut(|message| {
            place += 1;
            let has_come = message.due.is_some_and(|due| Moment(due).has_come(now));
            let stays = message.given_up || message.is_begun;
            if place <= under_way || stays || !has_come {
                return true;
            }
            if message.was_sent {
                ended.unknown += 1;
                message.given_up = !is_up;
                return !is_up;
            }
            ended.undelivered += 1;
            false
        });
        let ended = (ended.undelivered - before.0, ended.unknown - before.1);
        assert_eq!((told.undelivered, told.unknown), ended);
        let first = self.open[under_way..]
            .iter()
            .filter(|message| !message.given_up && !message.is_begun);
        let first = first
            .filter_map(|message| message.due.map(Moment))
            .reduce(Moment::min);
        if let Some(first) = first {
            let seen = self.log.first_due().expect("there is one with a deadline");
            assert!(
                seen.has_come(first),
                "looked for too late: {seen:?}, {first:?}"
            );
        }
    }

    fn send(&mut self) {
        if !self.is_up {
            return;
        }
        self.expire();
        let (now, moment) = (Instant::now(), Moment(self.ms));
        let quantum = self.random.usize(1..100_000);
        let (batch, pool) = (&mut self.batch, &mut self.pool);
        let load = self.log.hand_over(batch, pool, quantum, now, moment);
        let mut sent = Vec::new();
        for chunk in self.batch.chunks() {
            chunk.each_message(|message| {
                let bytes = message.payload.as_slice();
                let head = if message.is_extended {
                    extension_block_bytes(bytes)
                } else {
                    0
                };
                let mailbox = message.mailbox;
                sent.push((id_of(&bytes[head..]), deadline_of(&bytes[..head]), mailbox));
            });
        }
        let mut frames = Vec::new();
        self.batch.gather(&mut frames);
        self.batch.finish(&mut self.pool);
        assert_eq!(load.messages, sent.len() as u64);
        let ids: Vec<_> = sent.iter().map(|(id, ..)| *id).collect();
        assert_eq!(self.wire.take(&frames), ids);
        sent.into_iter().for_each(|sent| self.note_sent(sent));
        if let Some(begun) = self.wire.begun() {
            let mut waiting = self.open[self.under_way..].iter_mut();
            let begun = waiting.find(|message| message.id == begun);
            begun.expect("it waits").is_begun = true;
        }
    }

    /// A message is out: none that it had to stay behind is still here.
    fn note_sent(&mut self, (id, due, mailbox): (u32, Option<u32>, Option<MailboxId>)) {
        let waiting = &self.open[self.under_way..];
        let place = waiting.iter().position(|message| message.id == id);
        let place = self.under_way + place.expect("it waited");
        assert_eq!(self.open[place].due, due);
        assert_eq!(self.keeps.then_some(self.open[place].mailbox), mailbox);
        self.overtake(place, self.under_way);
        self.under_way += 1;
    }

    /// The message at `place` was found at an earlier one.
    fn overtake(&mut self, place: usize, earlier: usize) {
        let message = self.open.remove(place);
        for before in &self.open[earlier..place] {
            let in_order = self.keeps_order && before.order == message.order;
            let were_held = before.was_held && message.was_held;
            assert!(!in_order && !were_held, "{message:?} before {before:?}");
        }
        self.open.insert(earlier, message);
    }

    fn acknowledge(&mut self) {
        if !self.is_up {
            return;
        }
        let covered = self.log.ledger.unacknowledged_bytes();
        let news = self
            .log
            .ledger
            .acknowledge_fragments(self.wire.fragment_bytes)
            .expect("honest");
        assert_eq!(self.log.ledger.unacknowledged_bytes(), covered - news);
        if self.under_way == 0 {
            return;
        }
        let count = self.random.usize(1..=self.under_way);
        self.processed += count as u64;
        self.known += count as u64;
        self.processed_on_link += count as u64;
        let processed = u32::try_from(self.processed_on_link).expect("few");
        let ack = Ack {
            processed,
            refused: 0,
            late: 0,
        };
        let news = self
            .log
            .acknowledge(ack, Instant::now(), |_, _| {})
            .expect("honest");
        self.log.let_go(news.messages, &mut self.pool);
        self.open.drain(..count);
        self.under_way -= count;
        self.ended.acknowledged += count as u64;
    }

    fn cut(&mut self) {
        let (_, report) = self.log.end_link(None, false, &mut self.pool);
        self.is_up = false;
        for message in &mut self.open {
            message.is_begun = false;
        }
        if self.keeps {
            // Of what is under way the peer may have processed a part.
            self.processed += self.random.u64(0..=self.under_way as u64);
            for message in &mut self.open[..self.under_way] {
                message.was_sent = true;
            }
        } else {
            self.ended.unknown += self.under_way as u64;
            let left = (self.open.len() - self.under_way) as u64;
            self.ended.undelivered += left;
            assert_eq!(
                (report.unknown, report.undelivered),
                (self.under_way as u64, left)
            );
            self.open.clear();
        }
        self.under_way = 0;
    }

    fn connect(&mut self) {
        let theirs = Progress {
            log: 77,
            peer_log: if self.has_met { LOG } else { 0 },
            processed: self.processed,
            refused: 0,
            endings: Endings::NONE,
        };
        self.log
            .meet(theirs, PEER, true, LOG + 1, &mut self.pool)
            .expect("honest");
        if self.keeps {
            let mut processed = self.processed - self.known;
            self.known = self.processed;
            let ended = &mut self.ended;
            self.open.retain(|message| {
                let is_processed = message.was_sent && processed > 0;
                processed -= u64::from(is_processed);
                ended.acknowledged += u64::from(is_processed && !message.given_up);
                !is_processed && !message.given_up
            });
        }
        self.has_met = true;
        self.processed_on_link = 0;
        self.is_up = true;
        self.wire = Wire::default();
        let fragments = Fragments {
            above_bytes: 3000,
            keeps_order: self.keeps_order,
        };
        self.log.start_link(self.random.bool().then_some(fragments));
        self.log.outbox.begin_line();
        let mut held = std::mem::take(&mut self.log.held);
        let mut count = 0;
        while let Some(front) = held.front() {
            let (mailbox, is_extended) = (front.mailbox.expect("noted"), front.is_extended);
            let bytes = front.payload.as_slice();
            let head = if is_extended {
                extension_block_bytes(bytes)
            } else {
                0
            };
            let (id, mut waiting) = (id_of(&bytes[head..]), self.open[count..].iter());
            let place = waiting.position(|message| message.id == id);
            self.overtake(count + place.expect("it waited"), count);
            assert_eq!(self.open[count].mailbox, mailbox);
            count += 1;
            let message = OutgoingMessage {
                mailbox,
                order: OrderTag::WITHOUT_KEY,
                is_extended,
                payload: front.payload,
            };
            self.log.hold_name(&self.names, mailbox);
            self.log.outbox.push_message(&mut self.pool, 0, message);
            held.drop_front(&mut self.pool);
        }
        self.log.outbox.end_line();
        assert_eq!(count, self.open.len());
        for message in &mut self.open {
            message.was_held = true;
        }
    }
}

#[test]
fn each_message_ends_once_whatever_becomes_of_its_deadline_and_its_connection() {
    for seed in seeds(fastrand::u64(..), SCHEDULES) {
        let mut schedule = Schedule::new(seed);
        let steps = schedule.random.usize(10..120);
        let ends = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..steps).for_each(|_| schedule.step());
            if schedule.is_up {
                schedule.cut();
            }
            let (left, report) = schedule.log.drop_held(&mut schedule.pool);
            let live = schedule.open.iter().filter(|message| !message.given_up);
            assert_eq!(left.messages, live.clone().count() as u64);
            assert_eq!(
                report.unknown,
                live.filter(|message| message.was_sent).count() as u64
            );
            let ledger = &schedule.log.ledger;
            assert!(ledger.is_drained() && ledger.identity_holds(), "{ledger:?}");
        }));
        assert!(ends.is_ok(), "seed {seed}");
    }
}
