//! Handlers on the shard: answering there, over their own lane and over lanes of other shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::payload::{self, Streams};
use crate::support::{config, connect_both, reliable, start};
use overlane::config::Overflow;
use overlane::{Node, SendError};

const COUNT: u64 = 5000;
/// Questions of 100 bytes that are open at a time, at most.
const OPEN_MAX: u64 = 1_000;

fn node(name: &str, shards: usize) -> Node {
    let channel = |name| reliable(name).overflow(Overflow::Block);
    let config = config(name).shards(shards).channel(channel("questions"));
    // With several channels some of the answers' lanes lie on the question's shard, some do not.
    start(["one", "two", "three"].iter().fold(config, |config, name| {
        config.channel(channel(name).parallelism(2))
    }))
}

#[test]
fn a_handler_answers_on_the_lane_of_the_question_and_on_those_of_other_shards() {
    for shards in [1, 3] {
        let (a, b) = (node("a", shards), node("b", shards));
        let mut answers = a.inbox("answers").expect("a mailbox");
        let mailbox = b.mailbox("answers").expect("a name");
        let channels: Vec<_> = ["questions", "one", "two", "three"]
            .map(|name| b.channel(name).expect("it is configured"))
            .into();
        b.handle("questions", move |context, message| {
            let (stream, number) = payload::read_numbered(message.payload());
            let channel = &channels[usize::try_from(stream).expect("four streams")];
            let to = message.reply_to(&mailbox).with_key(number % 2);
            let sent = context.try_send(channel, &to, message.payload());
            assert_eq!(sent, Ok(()), "there is room for what is under way");
        })
        .expect("a mailbox");
        connect_both(&a, &b);
        let questions = a.channel("questions").expect("it is configured");
        let to = a.destination("b", "questions").expect("names");
        let answered = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..COUNT {
                    // A handler cannot wait for room: so many answers fit into a lane's queue.
                    while 4 * number > answered.load(Ordering::Relaxed) + OPEN_MAX {
                        thread::yield_now();
                    }
                    for stream in 0..4 {
                        let message = payload::numbered(stream, number, 100);
                        questions.send_blocking(&to, &message).expect("accepted");
                    }
                }
            });
            // By channel and key, as two lanes do not wait for one another.
            let mut streams = std::collections::HashMap::<_, Streams>::new();
            for _ in 0..4 * COUNT {
                let message = answers
                    .recv_timeout(crate::support::GENEROUS)
                    .expect("an answer");
                answered.fetch_add(1, Ordering::Relaxed);
                let (stream, number) = payload::read_numbered(message.payload());
                let lane = streams.entry((stream, number % 2)).or_default();
                lane.take_after_gap(message.payload());
            }
            let received: u64 = streams.values().map(Streams::received).sum();
            assert_eq!(received, 4 * COUNT);
        });
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "questions", 4 * COUNT);
        for name in ["questions", "one", "two", "three"] {
            all_acknowledged(&metrics[1], "a", name, COUNT);
        }
        assert_eq!(metrics[1].shards[0].handler_panics, 0);
    }
}

#[test]
fn a_handler_that_panics_takes_nothing_with_it() {
    let (a, b) = (node("a", 1), node("b", 1));
    let handled = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&handled);
    b.handle("in", move |_, message| {
        assert_ne!(message.payload(), b"panic", "as the test wants it");
        counted.fetch_add(1, Ordering::Relaxed);
    })
    .expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("questions").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for message in [&b"good"[..], b"panic", b"good"] {
        channel.try_send(&to, message).expect("accepted");
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "questions", 3);
    assert_eq!(metrics[1].shards[0].handler_panics, 1);
    assert_eq!(handled.load(Ordering::Relaxed), 2);
}

#[test]
fn a_builder_gives_a_node_mailboxes_from_its_first_moment_on() {
    let b = node("b", 2);
    let handled = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&handled);
    let data = reliable("questions").overflow(Overflow::Block);
    let channels = ["one", "two", "three"].map(|name| reliable(name).parallelism(2));
    let config = channels
        .into_iter()
        .fold(config("a").channel(data), |config, channel| {
            config.channel(channel.overflow(Overflow::Block))
        })
        .peer("b", b.local_addr())
        .build()
        .expect("a valid configuration");
    let a = Node::builder(config)
        .handle("in", move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .inbox("read")
        .start()
        .expect("it starts");
    // The first moment that b can send at all is early enough.
    let channel = b.channel("questions").expect("it is configured");
    for mailbox in ["in", "read"] {
        let to = b.destination("a", mailbox).expect("names");
        while let Err(error) = channel.try_send(&to, b"hello") {
            assert_eq!(error, SendError::Unreachable);
            thread::yield_now();
        }
    }
    let mut inbox = a.inbox("read").expect("the builder prepared it");
    let received = inbox
        .recv_timeout(crate::support::GENEROUS)
        .expect("it was sent");
    assert_eq!(received.payload(), b"hello");
    assert!(a.inbox("read").is_err(), "it was handed out already");
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[1], "a", "questions", 2);
    assert_eq!(handled.load(Ordering::Relaxed), 1);
}
