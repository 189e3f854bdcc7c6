//! More mailbox names than a lane has ids: each message reaches the mailbox that it was sent to, in
//! order, whatever became of its id since.

use std::sync::{Arc, Mutex};

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{best_effort, config, connect_both, reliable, start, wait_until};
use overlane::config::{ChannelConfig, ConfigBuilder, Overflow};
use overlane::{Channel, Destination, Message, Node, ShardContext};

/// What came, in order: the mailbox's number and the message's.
type Came = Arc<Mutex<Vec<(usize, u64)>>>;

/// Two nodes, and `names` mailboxes on the second.
struct Pair {
    a: Node,
    b: Node,
    channel: Channel,
    to: Vec<Destination>,
    came: Came,
}

impl Pair {
    fn new(
        channel: &ChannelConfig,
        names: usize,
        tune: impl Fn(&str, ConfigBuilder) -> ConfigBuilder,
    ) -> Self {
        let node = |name| start(tune(name, config(name).channel(channel.clone())));
        let (a, b) = (node("a"), node("b"));
        let came = Came::default();
        for mailbox in 0..names {
            let note = note(mailbox, Arc::clone(&came));
            b.handle(&name(mailbox), note).expect("a mailbox");
        }
        connect_both(&a, &b);
        let to = (0..names)
            .map(|mailbox| a.destination("b", &name(mailbox)).expect("names"))
            .collect();
        let channel = a.channel("data").expect("it is configured");
        Self {
            a,
            b,
            channel,
            to,
            came,
        }
    }

    /// Sends the message of that number to a mailbox: its payload names both.
    fn send(&self, mailbox: usize, number: u64) {
        let payload = format!("{mailbox} {number}");
        self.channel
            .send_blocking(&self.to[mailbox], payload.as_bytes())
            .expect("it is accepted");
    }

    fn came(&self) -> Vec<(usize, u64)> {
        self.came.lock().expect("no handler panics").clone()
    }
}

fn name(mailbox: usize) -> String {
    format!("mailbox-{mailbox}")
}

/// A handler of that mailbox: what is for another would be noted under the wrong number.
fn note(
    mailbox: usize,
    came: Came,
) -> impl Fn(&mut ShardContext<'_>, Message<'_>) + Send + Sync + 'static {
    move |_: &mut ShardContext<'_>, message: Message<'_>| {
        let text = std::str::from_utf8(message.payload()).expect("text");
        let (meant, number) = text.split_once(' ').expect("two numbers");
        assert_eq!(meant, mailbox.to_string(), "it is for another mailbox");
        let number = number.parse().expect("a number");
        came.lock()
            .expect("no handler panics")
            .push((mailbox, number));
    }
}

fn blocking() -> ChannelConfig {
    reliable("data").overflow(Overflow::Block)
}

#[test]
fn messages_to_more_names_than_a_lane_has_ids_are_all_delivered() {
    const NAMES: usize = 4097;
    let pair = Pair::new(&blocking(), NAMES, |_, config| config);
    let expected: Vec<_> = (0..2 * NAMES)
        .zip(0..)
        .map(|(at, number)| (at % NAMES, number))
        .collect();
    for (mailbox, number) in &expected {
        pair.send(*mailbox, *number);
    }
    let metrics = check_accounting(&[&pair.a, &pair.b]);
    all_acknowledged(&metrics[0], "b", "data", 2 * 4097);
    assert!(pair.came() == expected, "all of them, once, in order");
}

#[test]
fn any_order_of_names_is_delivered_to_each_in_its_order() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for ids in [1, 2, 7] {
        // The smaller bound of the two counts, whichever node has it.
        let receiver_has_less = random.bool();
        let pair = Pair::new(&blocking(), 12, |name, config| {
            let is_small = (name == "b") == receiver_has_less;
            config.mailboxes_per_lane_max(if is_small { ids } else { 4096 })
        });
        let mut expected = Vec::new();
        for number in 0..5000 {
            // Some come again soon, and others are not used for long.
            let last = random.usize(0..12);
            let mailbox = random.usize(0..=last);
            expected.push((mailbox, number));
            pair.send(mailbox, number);
        }
        let metrics = check_accounting(&[&pair.a, &pair.b]);
        all_acknowledged(&metrics[0], "b", "data", 5000);
        assert!(
            pair.came() == expected,
            "{ids} ids: all of them, once, in order"
        );
    }
}

#[test]
fn a_name_is_kept_when_the_message_that_brought_it_is_dropped() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let channel = best_effort("data")
        .overflow(Overflow::DropOldest)
        .queue_messages_max(16_usize);
    let pair = Pair::new(&channel, 12, |_, config| config.mailboxes_per_lane_max(3));
    let mut number = 0;
    let dropped = || counted(&pair.a.metrics(), "b", "data").dropped;
    // Faster than the lane carries it, until enough was dropped among names that change.
    while dropped() < 2000 {
        for _ in 0..500 {
            pair.send(random.usize(0..12), number);
            number += 1;
        }
    }
    let metrics = check_accounting(&[&pair.a, &pair.b]);
    let sent = counted(&metrics[0], "b", "data").sent;
    let came = wait_until(
        "all that was sent",
        || pair.came(),
        |came| came.len() as u64 == sent,
    );
    let in_order = came.windows(2).all(|pair| pair[0].1 < pair[1].1);
    assert!(in_order, "{came:?}");
    assert_eq!(
        came.last().map(|(_, number)| *number),
        Some(number - 1),
        "the newest is kept"
    );
}
