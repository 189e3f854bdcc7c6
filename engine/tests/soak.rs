//! The long run: many messages between two nodes, none lost, none twice, none out of order per
//! (sender, channel, key), and the books balance.
//!
//! A million by default; `SOAK_MESSAGES=100000000 cargo test --release -p overlane --test soak --
//! --nocapture` is the run that `docs/promises.md` refers to.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use overlane::config::Overflow;
use overlane::{Channel, Destination, Node};
use support::accounting::{all_acknowledged, check_accounting};
use support::{config, connect_both, reliable, start, wait_until};

const CHANNELS: [&str; 2] = ["one", "two"];
const SENDERS: u64 = 2;
const KEYS: u64 = 4;
const STREAMS: u64 = 2 * SENDERS * KEYS;
/// Messages given to `send_many` at a time.
const RUN: u64 = 64;

/// Stream and number in eight bytes; what follows is filling.
fn head(stream: u64, number: u64) -> [u8; 8] {
    (stream << 48 | number).to_le_bytes()
}

/// 8 to 64 bytes, depending on the number.
fn length(number: u64) -> usize {
    8 + usize::try_from(number % 57).unwrap_or(0)
}

/// What came wrong, counted: a handler that asserts would be counted as a panic and go on.
#[derive(Debug, Default)]
struct Ledger {
    next: Vec<AtomicU64>,
    lost: AtomicU64,
    doubled_or_late: AtomicU64,
    wrong_length: AtomicU64,
}

impl Ledger {
    /// A stream has one key, so one lane, so one shard: nobody else touches its number.
    fn take(&self, payload: &[u8]) {
        let word = u64::from_le_bytes(payload[..8].try_into().expect("eight bytes"));
        let (stream, number) = (word >> 48, word & ((1 << 48) - 1));
        let next = &self.next[usize::try_from(stream).expect("few streams")];
        let right = next.load(Ordering::Relaxed);
        if number < right {
            self.doubled_or_late.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.lost.fetch_add(number - right, Ordering::Relaxed);
        if payload.len() != length(number) {
            self.wrong_length.fetch_add(1, Ordering::Relaxed);
        }
        next.store(number + 1, Ordering::Relaxed);
    }

    fn received(&self) -> u64 {
        self.next
            .iter()
            .map(|next| next.load(Ordering::Relaxed))
            .sum()
    }
}

fn node(name: &str) -> Node {
    let channel = |name| reliable(name).parallelism(2).overflow(Overflow::Block);
    let channels = CHANNELS.map(channel);
    let config = channels
        .into_iter()
        .fold(config(name).shards(2), |config, channel| {
            config.channel(channel)
        });
    start(config)
}

/// Sends `count` messages of one stream from `first` on, as one run.
fn send_run(channel: &Channel, to: &Destination, stream: u64, first: u64, count: u64) {
    let messages: Vec<_> = (first..first + count)
        .map(|number| {
            let mut message = [0; 64];
            message[..8].copy_from_slice(&head(stream, number));
            message
        })
        .collect();
    let slices: Vec<_> = (first..)
        .zip(&messages)
        .map(|(number, message)| &message[..length(number)])
        .collect();
    let mut rest = &slices[..];
    while !rest.is_empty() {
        match channel.send_many(to, rest) {
            Ok(taken) => rest = &rest[taken..],
            // Waits for room, and sends one.
            Err(_) => {
                channel.send_blocking(to, rest[0]).expect("accepted");
                rest = &rest[1..];
            }
        }
    }
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    let wanted = std::env::var("SOAK_MESSAGES").map_or(1_000_000, |count| {
        count.parse().expect("SOAK_MESSAGES is a number")
    });
    let each = u64::div_ceil(wanted, STREAMS);
    let (a, b) = (node("a"), node("b"));
    let ledger = Arc::new(Ledger {
        next: (0..STREAMS).map(|_| AtomicU64::new(0)).collect(),
        ..Ledger::default()
    });
    let taking = Arc::clone(&ledger);
    b.handle("in", move |_, message| taking.take(message.payload()))
        .expect("a mailbox");
    connect_both(&a, &b);
    let to = a.destination("b", "in").expect("names");
    let started = Instant::now();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (a, to) = (&a, &to);
            scope.spawn(move || {
                let channels = CHANNELS.map(|name| a.channel(name).expect("it is configured"));
                for first in (0..each).step_by(usize::try_from(RUN).unwrap_or(1)) {
                    for stream in 0..2 * KEYS {
                        let channel = &channels[usize::from(stream >= KEYS)];
                        let to = to.with_key(stream % KEYS);
                        let count = RUN.min(each - first);
                        send_run(channel, &to, sender * 2 * KEYS + stream, first, count);
                    }
                }
            });
        }
    });
    wait_until(
        "all have come",
        || ledger.received(),
        |received| *received == each * STREAMS,
    );
    let seconds = started.elapsed().as_secs_f64();
    let metrics = check_accounting(&[&a, &b]);
    println!(
        "{} messages in {seconds:.1} s: lost {:?}, doubled or late {:?}, wrong length {:?}",
        each * STREAMS,
        ledger.lost,
        ledger.doubled_or_late,
        ledger.wrong_length
    );
    for channel in CHANNELS {
        all_acknowledged(&metrics[0], "b", channel, each * STREAMS / 2);
    }
    for wrong in [&ledger.lost, &ledger.doubled_or_late, &ledger.wrong_length] {
        assert_eq!(wrong.load(Ordering::Relaxed), 0);
    }
    assert_eq!(
        metrics[1]
            .shards
            .iter()
            .map(|shard| shard.handler_panics)
            .sum::<u64>(),
        0
    );
}
