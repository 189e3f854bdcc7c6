//! The bound on what is under way, and that a log goes on where its last connection ended.

mod deadlines;

use std::time::{Duration, Instant};

use super::*;
use crate::channel_plan::plan_channels;
use crate::config::{ChannelConfig, Config};
use crate::mailboxes::MailboxId;
use crate::order_tag::OrderTag;
use crate::payload::Payload;
use crate::shard::outbox::OutgoingMessage;
use crate::wire::extension::ExtensionWriter;

const PAYLOAD: [u8; 1000] = [7; 1000];

fn log(config: ChannelConfig) -> Log {
    let config = Config::builder().channel(config).build().expect("valid");
    let plans = plan_channels(&config, 1).expect("valid names");
    Log::new(plans[0].as_ref().expect("it is the first"), 1)
}

/// A channel whose window stays as it is.
fn fixed() -> ChannelConfig {
    ChannelConfig::new("data").window_budget_us(0_u64)
}

fn reliable() -> Log {
    log(fixed().unacknowledged_bytes_max(4096))
}

/// A log, what it sends into, and the time.
struct Sender {
    log: Log,
    pool: ChunkPool,
    batch: Batch,
    now: Instant,
}

impl Sender {
    fn new(log: Log) -> Self {
        Self {
            log,
            pool: ChunkPool::default(),
            batch: Batch::default(),
            now: Instant::now(),
        }
    }

    fn accept(&mut self, messages: u64) {
        self.log.ledger.accept(messages);
        for _ in 0..messages {
            let message = OutgoingMessage {
                mailbox: MailboxId::from_words(0, 0),
                order: OrderTag::WITHOUT_KEY,
                is_extended: false,
                payload: Payload::Borrowed(&PAYLOAD),
            };
            self.log.outbox.push_message(&mut self.pool, 0, message);
        }
    }

    /// A message with a receipt, and a body of its own in the chunk.
    fn accept_with_receipt(&mut self, number: u64) {
        let mut buffer = [0; 32];
        let mut writer = ExtensionWriter::new(&mut buffer);
        writer.receipt(number).expect("there is room");
        let entries = writer.finish().encoded();
        let length = u16::try_from(entries.len()).expect("it is short");
        let message = [&length.to_le_bytes()[..], entries, &PAYLOAD].concat();
        self.log.ledger.accept(1);
        let message = OutgoingMessage {
            mailbox: MailboxId::from_words(0, 0),
            order: OrderTag::WITHOUT_KEY,
            is_extended: true,
            payload: Payload::Borrowed(&message),
        };
        self.log.outbox.push_message(&mut self.pool, 0, message);
    }

    /// Sends one batch of one chunk at most; how many messages went out.
    fn send(&mut self) -> u64 {
        self.now += Duration::from_millis(1);
        let load = self
            .log
            .hand_over(&mut self.batch, &mut self.pool, 1, self.now, Moment(0));
        self.batch.finish(&mut self.pool);
        load.messages
    }

    fn acknowledge(&mut self, processed: u32) {
        let ack = Ack {
            processed,
            refused: 0,
            late: 0,
        };
        let taken = self.log.acknowledge(ack, self.now, |_, _| {});
        assert!(taken.is_ok(), "{taken:?}");
    }
}

#[test]
fn what_is_under_way_is_bounded_and_goes_on_with_the_acknowledgements() {
    let mut sender = Sender::new(reliable());
    // A chunk takes 64 of them: the first batch passes whatever its size.
    sender.accept(100);
    let first = sender.send();
    assert!(first > 5 && first < 100, "{first}");
    assert_eq!(sender.send(), 0, "the bound is reached");
    assert!(!sender.log.may_go_on());
    sender.acknowledge(1);
    assert!(!sender.log.may_go_on(), "still above the bound");
    sender.acknowledge(u32::try_from(first).expect("small"));
    assert!(sender.log.may_go_on());
    assert!(!sender.log.may_go_on(), "once is enough");
    assert_eq!(sender.send(), 100 - first);
}

#[test]
fn frames_of_the_lane_itself_go_out_while_messages_wait() {
    let mut sender = Sender::new(reliable());
    sender.accept(100);
    sender.send();
    let kind = crate::wire::FrameKind::Pong;
    sender.log.outbox.push_control(kind, 1, &[]);
    let load = sender.log.hand_over(
        &mut sender.batch,
        &mut sender.pool,
        1,
        sender.now,
        Moment(0),
    );
    assert_eq!(load.messages, 0);
    assert_eq!(load.wire_bytes, crate::wire::HEADER_BYTES as u64);
}

#[test]
fn nothing_is_held_back_on_a_best_effort_channel() {
    let config = ChannelConfig::new("gossip")
        .reliability(crate::config::Reliability::BestEffort)
        .unacknowledged_bytes_max(4096);
    let mut sender = Sender::new(log(config));
    sender.accept(200);
    let mut sent = 0;
    while sent < 200 {
        let more = sender.send();
        assert!(more > 0, "held back after {sent}");
        sent += more;
    }
}

#[test]
fn a_log_settles_what_a_connection_leaves_and_goes_on_with_the_next() {
    let mut sender = Sender::new(reliable());
    sender.accept(100);
    let under_way = sender.send();
    let (waited, report) = sender.log.end_link(None, false, &mut sender.pool);
    assert_eq!(waited.messages, 100 - under_way);
    assert_eq!(
        report,
        Report {
            undelivered: 100 - under_way,
            unknown: under_way
        }
    );
    assert!(sender.log.is_drained());
    sender.log.start_link(None);
    sender.accept(2);
    assert_eq!(sender.send(), 2, "nothing is under way any more");
    sender.acknowledge(2);
    assert!(sender.log.is_drained());
    let ledger = &sender.log.ledger;
    assert!(ledger.identity_holds());
    assert_eq!((ledger.accepted(), ledger.acknowledged()), (102, 2));
}

#[test]
fn receipts_are_noted_over_all_chunks_of_a_batch() {
    let mut sender = Sender::new(log(fixed()));
    // A chunk takes some 60 of them.
    for number in 0..100 {
        sender.accept_with_receipt(number);
    }
    let (batch, pool) = (&mut sender.batch, &mut sender.pool);
    let (log, now) = (&mut sender.log, sender.now);
    let load = log.hand_over(batch, pool, usize::MAX, now, Moment(0));
    assert_eq!((load.messages, batch.chunks().len()), (100, 2));
    let mut acknowledged = |messages| {
        let receipts = sender.log.receipts.acknowledge(messages);
        receipts.collect::<Vec<_>>()
    };
    assert_eq!(acknowledged(70), (0..70).collect::<Vec<_>>());
    assert_eq!(acknowledged(30), (70..100).collect::<Vec<_>>());
}

#[test]
fn what_is_kept_of_many_small_batches_takes_the_room_of_its_bytes() {
    // Of 36 to a batch no two batches go into one chunk.
    for at_once in [1, 36] {
        kept_of_batches(at_once);
    }
}

fn kept_of_batches(at_once: u32) {
    let config = fixed().reliability(crate::config::Reliability::Guaranteed);
    let mut sender = Sender::new(log(config));
    for batches in 1..=900 / at_once {
        sender.accept(u64::from(at_once));
        assert_eq!(sender.send(), u64::from(at_once));
        let sent = (batches * at_once) as usize;
        let bytes = sent * (PAYLOAD.len() + crate::wire::HEADER_BYTES);
        let room = sender.log.kept.as_ref().expect("it keeps").room_bytes();
        // What is merged grows by doubling, and up to five chunks are as they were sent.
        let chunk_bytes = crate::shard::outbox::CHUNK_BYTES;
        let spare = if at_once == 1 {
            bytes.min(chunk_bytes)
        } else {
            5 * chunk_bytes
        };
        assert!(
            room <= bytes + bytes / 3 + spare,
            "{room} bytes for {bytes}"
        );
        assert!(sender.pool.room_bytes() <= 5 * chunk_bytes);
    }
    let mut left = 0;
    for processed in [1, 2, 63, 64, 65, 130, 400, 401, 899_u32] {
        let before = left;
        sender.acknowledge(processed);
        let load = sender
            .log
            .let_go(u64::from(processed) - before, &mut sender.pool);
        left = u64::from(processed);
        assert_eq!(load.payload_bytes, load.messages * PAYLOAD.len() as u64);
    }
    assert_eq!(sender.log.ledger.in_flight(), 1);
}

#[test]
fn the_oldest_message_is_dropped_but_never_the_only_one_and_each_is_reported_once() {
    let mut sender = Sender::new(reliable());
    sender.accept(3);
    let dropped = Some(Dropped {
        bytes: 1000,
        awaited: None,
    });
    for expected in [dropped, dropped, None] {
        assert_eq!(sender.log.drop_oldest(&mut sender.pool), expected);
    }
    assert_eq!(
        sender.log.take_overflow(5),
        7,
        "five were dropped at the gate"
    );
    assert_eq!(sender.log.take_overflow(5), 0);
    assert_eq!(sender.log.take_overflow(6), 1);
}
