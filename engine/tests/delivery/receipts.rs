//! Receipts: each says what became of its message, and all together say what the counters say.

use std::thread;
use std::time::Duration;

use crate::support::accounting::{check_accounting, counted};
use crate::support::{
    GENEROUS, best_effort, connected_pair, counting_handler, hold, pair_through_proxy, reliable,
    wait_until,
};
use futures_lite::future::block_on;
use overlane::config::{ChannelConfig, Overflow, Reliability};
use overlane::{Channel, Destination, Node, RECEIPTS_MAX, Receipt, Reported, SendError};
use overlane_proxy::Direction;

fn guaranteed(name: &str) -> ChannelConfig {
    reliable(name).reliability(Reliability::Guaranteed)
}

/// Two connected nodes with that channel; the second takes messages for `in`.
fn pair(channel: ChannelConfig) -> (Node, Node, Channel, Destination) {
    let (a, b) = connected_pair(&channel);
    b.handle("in", counting_handler().0).expect("free");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    (a, b, channel, to)
}

fn outcome(mut receipt: Receipt) -> Result<(), Reported> {
    receipt.wait(GENEROUS).expect("it ends in time")
}

fn undelivered(outcome: Result<(), Reported>) -> bool {
    matches!(outcome, Err(Reported::Undelivered { .. }))
}

/// How often receipts ended so: acknowledged, undelivered or refused, unknown.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    acknowledged: u64,
    undelivered: u64,
    unknown: u64,
}

impl Sums {
    fn of(receipts: Vec<Receipt>) -> Self {
        let mut sums = Self::default();
        for receipt in receipts {
            match outcome(receipt) {
                Ok(()) => sums.acknowledged += 1,
                Err(Reported::Undelivered { .. } | Reported::Refused) => sums.undelivered += 1,
                Err(Reported::Unknown { .. }) => sums.unknown += 1,
                Err(other) => panic!("{other}"),
            }
        }
        sums
    }

    /// All messages of the channel had receipts: the counters say the same.
    fn agree_with(&self, node: &Node) {
        let metrics = node.metrics();
        let out = counted(&metrics, "b", "data");
        assert_eq!(
            (self.acknowledged, self.undelivered + self.unknown),
            (out.acknowledged, out.reported),
            "{self:?}, {out:?}"
        );
        assert_eq!(metrics.open_receipts, 0);
    }
}

#[test]
fn a_receipt_says_that_its_message_was_acknowledged() {
    for channel in [reliable("data"), guaranteed("data")] {
        let (a, b, channel, to) = pair(channel);
        let large = vec![7; 100_000];
        for payload in [&b"small"[..], &[], &large] {
            let sent = channel.try_send_with_receipt(&to, payload);
            assert_eq!(outcome(sent.expect("there is room")), Ok(()));
            let sent = channel.send_blocking_with_receipt(&to, payload);
            assert_eq!(outcome(sent.expect("there is room")), Ok(()));
            let sent = block_on(channel.send_with_receipt(&to, payload));
            assert_eq!(block_on(sent.expect("there is room")), Ok(()));
        }
        // Known for as long as it is asked.
        let mut receipt = channel.try_send_with_receipt(&to, b"x").expect("room");
        assert_eq!(receipt.wait(GENEROUS), Some(Ok(())));
        assert_eq!(receipt.outcome(), Some(Ok(())));
        check_accounting(&[&a, &b]);
    }
}

#[test]
fn a_node_gives_receipts_for_what_it_sends_to_itself() {
    let (a, _b, channel, _) = pair(reliable("data"));
    a.handle("in", counting_handler().0).expect("free");
    for (mailbox, expected) in [("in", Ok(())), ("nobody", Err(Reported::Refused))] {
        let to = a.destination("a", mailbox).expect("names");
        let receipt = channel.try_send_with_receipt(&to, b"x").expect("room");
        assert_eq!(outcome(receipt), expected);
    }
    check_accounting(&[&a]);
}

/// Acknowledgements are counts: those that are refused among others have to be told from them.
#[test]
fn what_the_peer_refuses_is_told_from_what_it_takes() {
    for channel in [reliable("data"), guaranteed("data")] {
        let (a, b, channel, to) = pair(channel);
        let nobody = a.destination("b", "nobody").expect("names");
        let held = hold(&b);
        let receipts: Vec<_> = (0..40)
            .map(|number| {
                let to = if number % 3 == 0 { &nobody } else { &to };
                channel.try_send_with_receipt(to, b"x").expect("room")
            })
            .collect();
        drop(held);
        for (number, receipt) in receipts.into_iter().enumerate() {
            let expected = match number % 3 {
                0 => Err(Reported::Refused),
                _ => Ok(()),
            };
            assert_eq!(outcome(receipt), expected, "message {number}");
        }
        check_accounting(&[&a, &b]);
    }
}

#[test]
fn what_the_overflow_policy_drops_was_not_delivered_and_the_newest_is_refused() {
    let oldest = reliable("data").overflow(Overflow::DropOldest);
    let (a, b, channel, to) = pair(oldest.queue_messages_max(2_usize));
    let held = hold(&a);
    let receipts: Vec<_> = (0..10)
        .map(|_| channel.try_send_with_receipt(&to, b"x").expect("room"))
        .collect();
    drop(held);
    let outcomes: Vec<_> = receipts.into_iter().map(outcome).collect();
    assert!(undelivered(outcomes[0]), "{outcomes:?}");
    assert_eq!(outcomes[9], Ok(()), "the newest stays");
    check_accounting(&[&a, &b]);

    let newest = reliable("data").overflow(Overflow::DropNewest);
    let (a, b, channel, to) = pair(newest.queue_messages_max(1_usize));
    let held = hold(&a);
    let first = channel.try_send_with_receipt(&to, b"x").expect("room");
    let refused = channel.try_send_with_receipt(&to, b"x").err();
    assert_eq!(refused, Some(SendError::Full));
    drop(held);
    assert_eq!(outcome(first), Ok(()));
    check_accounting(&[&a, &b]);
}

#[test]
fn a_best_effort_channel_gives_no_receipts_and_there_is_a_bound_for_all() {
    let (a, b, channel, to) = pair(best_effort("data"));
    let refused = channel.try_send_with_receipt(&to, b"x").err();
    assert_eq!(refused, Some(SendError::NoReceipts));
    check_accounting(&[&a, &b]);

    let wide = reliable("data").queue_messages_max(RECEIPTS_MAX);
    let wide = wide.queue_bytes_max(4_usize << 20);
    let (a, b, channel, to) = pair(wide.overflow(Overflow::Block));
    let receipts: Vec<_> = (0..RECEIPTS_MAX)
        .map(|_| {
            let sent = channel.send_blocking_with_receipt(&to, b"x");
            sent.expect("it waits for room")
        })
        .collect();
    // Some have ended, and a receipt that has is not open.
    wait_until(
        "all are acknowledged",
        || a.metrics().open_receipts,
        |open| *open == 0,
    );
    assert_eq!(Sums::of(receipts).acknowledged, RECEIPTS_MAX as u64);
    let stalled = a.destination("b", "in").expect("names");
    let held = hold(&b);
    let mut open = Vec::new();
    let refused = loop {
        match channel.try_send_with_receipt(&stalled, b"") {
            Ok(receipt) => open.push(receipt),
            Err(SendError::Full) => thread::yield_now(),
            Err(refused) => break refused,
        }
    };
    let receipts_max = RECEIPTS_MAX;
    assert_eq!(refused, SendError::TooManyReceipts { receipts_max });
    assert_eq!(open.len(), RECEIPTS_MAX);
    // One that nobody waits for makes room.
    open.pop();
    channel
        .try_send_with_receipt(&stalled, b"")
        .map(|receipt| open.push(receipt))
        .expect("there is room for one");
    drop(held);
    drop(open);
    check_accounting(&[&a, &b]);
}

#[test]
fn a_cut_connection_leaves_unknown_what_was_sent_on_it() {
    let (a, b, proxy) = pair_through_proxy(&reliable("data"));
    b.handle("in", counting_handler().0).expect("free");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let first = channel.try_send_with_receipt(&to, b"x").expect("room");
    assert_eq!(outcome(first), Ok(()));
    proxy.stall(true);
    let mut sent = Vec::new();
    let lane = |node: &Node| counted(&node.metrics(), "b", "data").clone();
    for _ in 0..5 {
        sent.push(channel.try_send_with_receipt(&to, b"x").expect("room"));
    }
    wait_until("they are sent", || lane(&a).in_flight, |sent| *sent == 5);
    proxy.cut();
    proxy.stall(false);
    for receipt in sent {
        assert!(matches!(outcome(receipt), Err(Reported::Unknown { .. })));
    }
    check_accounting(&[&a, &b]);
}

/// Sends with receipts while the connection is cut at random, some messages to where nobody is.
fn receipts_agree_with_the_counters(channel: ChannelConfig, refused_of_256: u8) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let channel = channel.overflow(Overflow::Block);
    let (a, b, proxy) = pair_through_proxy(&channel);
    b.handle("in", counting_handler().0).expect("free");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let nobody = a.destination("b", "nobody").expect("names");
    let mut receipts = Vec::new();
    for round in 0..30 {
        for _ in 0..random.usize(1..400) {
            let bytes = vec![1; random.usize(0..3000)];
            let to = if random.u8(..) < refused_of_256 {
                &nobody
            } else {
                &to
            };
            match channel.send_blocking_with_receipt(to, &bytes) {
                Ok(receipt) => receipts.push(receipt),
                // A reliable channel, between two connections.
                Err(SendError::Unreachable) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if round % 2 == 1 {
            proxy.cut();
        }
        if random.bool() {
            a.wait_connected("b", GENEROUS).expect("it comes back");
        }
    }
    a.wait_connected("b", GENEROUS).expect("it comes back");
    check_accounting(&[&a, &b]);
    assert!(receipts.len() > 100, "{} were sent", receipts.len());
    Sums::of(receipts).agree_with(&a);
}

#[test]
fn receipts_agree_with_the_counters_of_a_reliable_channel_that_is_cut() {
    receipts_agree_with_the_counters(reliable("data"), 8);
}

#[test]
fn receipts_agree_with_the_counters_of_a_guaranteed_channel_that_is_cut() {
    receipts_agree_with_the_counters(guaranteed("data"), 8);
}

/// Acknowledgements that a cut took are made up for on the next connection: one by one.
#[test]
fn what_the_peer_refused_before_a_cut_is_told_from_what_it_took() {
    for reliability in [Reliability::AtLeastOnce, Reliability::Guaranteed] {
        let (a, b, proxy) = pair_through_proxy(&reliable("data").reliability(reliability));
        b.handle("in", counting_handler().0).expect("free");
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        let nobody = a.destination("b", "nobody").expect("names");
        let is_refused = |number: usize| number.is_multiple_of(3);
        // The first has come, and is acknowledged.
        let first = channel.try_send_with_receipt(&to, b"x").expect("room");
        assert_eq!(outcome(first), Ok(()));
        for cuts in 1..=3 {
            wait_until(
                "its lane is up",
                || counted(&a.metrics(), "b", "data").lanes_up,
                |lanes| *lanes == 1,
            );
            proxy.set_delay(Direction::FromTarget, 2 * GENEROUS);
            let before = counted(&b.metrics(), "a", "data").delivered;
            let receipts: Vec<_> = (0..40)
                .map(|number| {
                    let to = if is_refused(number) { &nobody } else { &to };
                    channel.try_send_with_receipt(to, b"x").expect("room")
                })
                .collect();
            // The last of them is one that it takes.
            let taken = (0..39).filter(|number| !is_refused(*number)).count() as u64;
            wait_until(
                "all are processed",
                || counted(&b.metrics(), "a", "data").delivered - before,
                |delivered| *delivered >= taken,
            );
            // What it has said of them so far is lost with the connection.
            proxy.cut();
            proxy.set_delay(Direction::FromTarget, Duration::ZERO);
            for (number, receipt) in receipts.into_iter().enumerate() {
                let expected = if is_refused(number) {
                    Err(Reported::Refused)
                } else {
                    Ok(())
                };
                assert_eq!(outcome(receipt), expected, "cut {cuts}, message {number}");
            }
        }
        let metrics = check_accounting(&[&a, &b]);
        let out = counted(&metrics[0], "b", "data");
        assert_eq!((out.refused, out.reported), (3 * 14, 3 * 14), "{out:?}");
    }
}

#[test]
fn a_guaranteed_message_whose_peer_stays_away_is_undelivered_or_unknown() {
    let channel = || guaranteed("data").resume_timeout_ms(300_u64);
    let (a, b, proxy) = pair_through_proxy(&channel());
    b.handle("in", counting_handler().0).expect("free");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let first = channel.try_send_with_receipt(&to, b"x").expect("room");
    assert_eq!(outcome(first), Ok(()));
    proxy.stall(true);
    let sent = channel.try_send_with_receipt(&to, b"x").expect("room");
    wait_until(
        "it is under way",
        || counted(&a.metrics(), "b", "data").in_flight,
        |in_flight| *in_flight == 1,
    );
    proxy.cut();
    wait_until(
        "the lane is gone",
        || counted(&a.metrics(), "b", "data").lanes_up,
        |up| *up == 0,
    );
    let waits = channel.try_send_with_receipt(&to, b"x").expect("held");
    assert!(matches!(outcome(sent), Err(Reported::Unknown { .. })));
    assert!(undelivered(outcome(waits)));
    check_accounting(&[&a]);
    proxy.stall(false);
}

#[test]
fn the_end_of_a_node_ends_its_receipts() {
    let (a, b, channel, to) = pair(reliable("data"));
    let held = hold(&b);
    let mut receipt = channel.try_send_with_receipt(&to, b"x").expect("room");
    assert_eq!(
        receipt.wait(Duration::from_millis(1)),
        None,
        "b stands still"
    );
    assert_eq!(receipt.outcome(), None);
    drop(a);
    assert!(receipt.wait(GENEROUS).expect("it ends").is_err());
    let late = channel.try_send_with_receipt(&to, b"x").err();
    assert_eq!(late, Some(SendError::Closed));
    drop(held);
}
