//! Monotonic channels: of the messages with a key that wait, only the newest is sent; what was replaced is
//! counted, and nothing else is lost.

use std::thread;
use std::time::Duration;

use crate::support::accounting::{check_accounting, counted};
use crate::support::{
    GENEROUS, best_effort, config, connect_both, connect_through_proxy, connected_pair, hold,
    pair_through_proxy, reliable, start, use_lane, wait_until,
};
use overlane::config::{ChannelConfig, Ordering, Overflow, Reliability};
use overlane::{Channel, Destination, Envelope, Inbox, Node, Reported};

fn monotonic() -> ChannelConfig {
    reliable("data").ordering(Ordering::Monotonic)
}

/// Two connected nodes, an inbox on the second, and the lane up.
fn pair(channel: &ChannelConfig) -> (Node, Node, Inbox, Channel, Destination) {
    let (a, b) = connected_pair(channel);
    let inbox = b.inbox("in").expect("a mailbox");
    b.handle("other", crate::support::counting_handler().0)
        .expect("free");
    use_lane(&a, "b", "data", "other");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    (a, b, inbox, channel, to)
}

fn received(inbox: &mut Inbox, messages: usize) -> Vec<(Option<u64>, u32)> {
    let mut received = Vec::new();
    while received.len() < messages {
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        let number = message.payload().try_into().expect("four bytes");
        received.push((message.key(), u32::from_le_bytes(number)));
    }
    received
}

#[test]
fn a_newer_message_replaces_the_one_that_waits_and_takes_its_place() {
    for channel in [
        monotonic(),
        monotonic().reliability(Reliability::Guaranteed),
        best_effort("data").ordering(Ordering::Monotonic),
    ] {
        let (a, b, mut inbox, data, to) = pair(&channel);
        let held = hold(&a);
        for number in 0..30_u32 {
            // Every fourth has no key, and is not replaced.
            let key = u64::from(number % 4);
            let to = if key == 3 {
                to.clone()
            } else {
                to.with_key(key)
            };
            let payload = number.to_le_bytes();
            match number % 3 {
                0 => data.try_send(&to, &payload).expect("room"),
                1 => data
                    .try_send(&to, Envelope::new(&payload).message_type("t"))
                    .expect("room"),
                _ => assert_eq!(data.send_many(&to, &[&payload]), Ok(1)),
            }
        }
        drop(held);
        let mut expected = vec![(Some(0), 28), (Some(1), 29), (Some(2), 26)];
        expected.extend([3, 7, 11, 15, 19, 23, 27].map(|number| (None, number)));
        assert_eq!(received(&mut inbox, 10), expected);
        let metrics = check_accounting(&[&a, &b]);
        let lane = counted(&metrics[0], "b", "data");
        assert_eq!((lane.accepted, lane.replaced), (31, 20));
        assert_eq!(counted(&metrics[1], "a", "data").delivered, 11);
        assert_eq!(lane.queue_bytes, 0);
    }
}

#[test]
fn keys_are_of_one_mailbox() {
    let (a, b, mut inbox, data, to) = pair(&monotonic());
    let mut second = b.inbox("second").expect("a mailbox");
    let other = a.destination("b", "second").expect("names");
    let held = hold(&a);
    for number in 0..10_u32 {
        for to in [&to, &other] {
            data.try_send(&to.with_key(7), &number.to_le_bytes())
                .expect("room");
        }
    }
    drop(held);
    for inbox in [&mut inbox, &mut second] {
        assert_eq!(received(inbox, 1), [(Some(7), 9)]);
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn a_list_of_destinations_gets_its_keys_and_a_task_on_the_shard_sends_alike() {
    let (a, b, mut inbox, data, to) = pair(&monotonic());
    let keyed = [to.with_key(1), to.with_key(2), to.clone()];
    let held = hold(&a);
    for number in 0..5_u32 {
        let sent = data
            .send_to_all(&keyed, &number.to_le_bytes())
            .expect("it fits");
        assert_eq!(sent.accepted, 3);
    }
    drop(held);
    let numbers = received(&mut inbox, 7);
    assert_eq!(numbers[..2], [(Some(1), 4), (Some(2), 4)]);
    assert_eq!(numbers[2..], [0, 1, 2, 3, 4].map(|number| (None, number)));

    let (channel, keyed) = (data.clone(), to.with_key(3));
    a.spawn_on_shard(0, move |shard| async move {
        for number in 0..5_u32 {
            let sent = shard.try_send(&channel, &keyed, &number.to_le_bytes());
            sent.expect("there is room");
        }
    })
    .expect("there is that shard");
    assert_eq!(received(&mut inbox, 1), [(Some(3), 4)]);
    check_accounting(&[&a, &b]);
}

#[test]
fn whoever_waits_for_a_replaced_message_is_told() {
    let (a, b, mut inbox, data, to) = pair(&monotonic());
    let to = to.with_key(1);
    let held = hold(&a);
    let mut receipts: Vec<_> = (0..3_u32)
        .map(|number| {
            data.try_send_with_receipt(&to, &number.to_le_bytes())
                .expect("room")
        })
        .collect();
    drop(held);
    let mut outcomes = receipts.iter_mut().map(|receipt| receipt.wait(GENEROUS));
    let replaced = Some(Err(Reported::Replaced));
    assert_eq!(outcomes.next(), Some(replaced));
    assert_eq!(outcomes.next(), Some(replaced));
    assert_eq!(outcomes.next(), Some(Some(Ok(()))));
    assert_eq!(received(&mut inbox, 1), [(Some(1), 2)]);
    check_accounting(&[&a, &b]);
}

/// A flood on few keys to a reader that is slow: what comes is ever newer, and ends with the newest.
fn floods(channel: &ChannelConfig, cuts: bool) {
    const KEYS: u64 = 8;
    const MESSAGES: u32 = 40_000;
    let (a, b, proxy) = pair_through_proxy(channel);
    let mut inbox = b.inbox_of("in", 4096).expect("a mailbox");
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let mut newest = vec![0; usize::try_from(KEYS).expect("few")];
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=MESSAGES {
                let key = u64::from(number) % KEYS;
                let payload = number.to_le_bytes();
                data.send_blocking(&to.with_key(key), &payload)
                    .expect("it waits");
                if cuts && number % 5_000 == 0 {
                    proxy.cut();
                }
            }
        });
        let mut ended = 0;
        while ended < KEYS {
            let message = inbox.recv_timeout(GENEROUS).expect("the newest comes");
            let number = u32::from_le_bytes(message.payload().try_into().expect("four"));
            let newest = &mut newest[usize::try_from(u64::from(number) % KEYS).expect("few")];
            assert!(number > *newest, "{number} came after {newest}");
            *newest = number;
            ended += u64::from(u64::from(number) + KEYS > u64::from(MESSAGES));
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    let lane = counted(&metrics[0], "b", "data");
    assert_eq!((lane.accepted, lane.reported), (u64::from(MESSAGES), 0));
    let delivered = counted(&metrics[1], "a", "data").delivered;
    assert_eq!(delivered + lane.replaced, u64::from(MESSAGES));
}

#[test]
fn the_newest_of_each_key_comes_at_last_and_none_after_a_newer_one() {
    floods(&monotonic().overflow(Overflow::Block), false);
}

#[test]
fn also_on_a_guaranteed_channel_that_is_cut() {
    let channel = monotonic().reliability(Reliability::Guaranteed);
    floods(&channel.overflow(Overflow::Block), true);
}

#[test]
fn what_waits_for_its_lane_is_replaced_too_and_reported_when_there_is_none() {
    let a = start(config("a").channel(monotonic()));
    let b = start(config("b").channel(reliable("other")));
    connect_both(&a, &b);
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names").with_key(1);
    let held = hold(&a);
    for _ in 0..5 {
        data.try_send(&to, b"x").expect("it waits for the lane");
    }
    drop(held);
    let lane = |node: &Node| counted(&node.metrics(), "b", "data").clone();
    let lane = wait_until(
        "b has no such channel",
        || lane(&a),
        |lane| lane.reported > 0,
    );
    assert_eq!((lane.accepted, lane.replaced, lane.reported), (5, 4, 1));
    check_accounting(&[&a, &b]);
}

/// What waits for acknowledgements to make room waits where it can be replaced.
#[test]
fn what_waits_for_the_window_is_replaced() {
    let channel = monotonic().unacknowledged_bytes_max(4096_usize);
    // Nobody asks whether the other is there meanwhile.
    let patient = |name| config(name).idle_timeout_ms(3_600_000_u64);
    let (a, b) = (
        start(patient("a").channel(channel.clone())),
        start(patient("b").channel(channel)),
    );
    let proxy = connect_through_proxy(&a, &b);
    let mut inbox = b.inbox("in").expect("a mailbox");
    b.handle("other", crate::support::counting_handler().0)
        .expect("free");
    use_lane(&a, "b", "data", "other");
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    proxy.stall(true);
    let other = a.destination("b", "other").expect("names");
    data.try_send(&other, &[0; 5000]).expect("room");
    let in_flight = || counted(&a.metrics(), "b", "data").in_flight;
    wait_until("it is under way", in_flight, |messages| *messages == 1);
    for number in 0..10_u32 {
        let sent = data.try_send(&to.with_key(1), &number.to_le_bytes());
        sent.expect("there is room");
        // The shard has a turn.
        drop(hold(&a));
    }
    proxy.stall(false);
    assert_eq!(received(&mut inbox, 1), [(Some(1), 9)]);
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(counted(&metrics[0], "b", "data").replaced, 9);
}

/// What waits for its lane ends by its deadline, as anywhere.
#[test]
fn what_waits_and_is_worth_nothing_any_more_is_reported() {
    for reliability in [Reliability::Reliable, Reliability::Guaranteed] {
        let channel = monotonic()
            .reliability(reliability)
            .unacknowledged_bytes_max(4096_usize);
        let (a, b, proxy) = pair_through_proxy(&channel);
        b.handle("in", crate::support::counting_handler().0)
            .expect("free");
        let data = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        proxy.stall(true);
        data.try_send(&to, &[0; 5000]).expect("room");
        let short = Envelope::new(b"x").deadline(Duration::from_millis(5));
        for key in 0..3 {
            data.try_send(&to.with_key(key), short).expect("room");
            data.try_send(&to.with_key(key + 10), b"y").expect("room");
        }
        let reported = || counted(&a.metrics(), "b", "data").reported;
        wait_until("the late ones end", reported, |reported| *reported == 3);
        proxy.stall(false);
        let metrics = check_accounting(&[&a, &b]);
        let lane = counted(&metrics[0], "b", "data");
        assert_eq!((lane.accepted, lane.acknowledged), (7, 4));
    }
}
